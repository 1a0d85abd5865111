#include "cmd/dnssec.h"

#include "base/nearest.h"
#include "cmd/render.h"

enum { OPT_ALGORITHM = 1 << 0, OPT_FORCE = 1 << 1, OPT_DS_GONE = 1 << 2, OPT_DS_TTL = 1 << 3 };

static const struct dnssec_action actions[] = {
	{ "status", "dnssec-status", "[ZONE]", "the zones' keys, and what happens next", false, false, 0 },
	{ "ds", "dnssec-ds", "ZONE", "the DS records that the parent should have", true, true, 0 },
	{ "enable", "dnssec-enable", "ZONE [--algorithm NAME]", "sign it", true, true, OPT_ALGORITHM },
	{ "ds-seen", "dnssec-ds-seen", "ZONE [--ds-ttl SECONDS] [--force]", "the parent has the DS: go on", true,
	  false, OPT_DS_TTL | OPT_FORCE },
	{ "roll", "dnssec-roll", "ZONE [--algorithm NAME]", "give it a new key, step by step", true, true, OPT_ALGORITHM },
	{ "disable", "dnssec-disable", "ZONE --yes-ds-is-gone [--ds-ttl SECONDS] [--force]", "sign it no longer",
	  true, false, OPT_DS_GONE | OPT_DS_TTL | OPT_FORCE },
};

const struct dnssec_action *dnssec_action_nth(size_t i) { return i < ARRAY_SIZE(actions) ? &actions[i] : NULL; }

const struct dnssec_action *dnssec_action_find(const char *name, struct err *e)
{
	struct nearest near = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
		nearest_try(&near, actions[i].name);
	}
	if (near.name)
		err_set(e, -EINVAL, "there is no command \"dnssec %.60s\"; did you mean \"dnssec %s\"?", name,
			near.name);
	else
		err_set(e, -EINVAL, "there is no command \"dnssec %.60s\"", name);
	return NULL;
}

int dnssec_action_check(const struct dnssec_action *a, const char *zone, const struct dnssec_options *o,
			struct err *e)
{
	const struct {
		bool given;
		unsigned option;
		const char *name;
	} given[] = {
		{ o->algorithm, OPT_ALGORITHM, "--algorithm" },
		{ o->force, OPT_FORCE, "--force" },
		{ o->ds_gone, OPT_DS_GONE, "--yes-ds-is-gone" },
		{ o->ds_ttl_s >= 0, OPT_DS_TTL, "--ds-ttl" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (given[i].given && !(a->options & given[i].option))
			return err_set(e, -EINVAL, "dnssec %s takes no %s", a->name, given[i].name);
	if (a->needs_zone && !zone)
		return err_set(e, -EINVAL, "dnssec %s needs the name of a zone; jitsuctl dnssec status tells them",
			       a->name);
	return 0;
}

int dnssec_parse_ds_ttl(const char *text, int64_t *out, struct err *e)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 0 || n > DNSSEC_DS_TTL_MAX)
		return err_set(e, -EINVAL, "--ds-ttl: expected 0..%d seconds, got \"%.40s\"", DNSSEC_DS_TTL_MAX, text);
	*out = n;
	return 0;
}

/* ---- DS records ---- */

/* A sentence, broken into lines of comment. */
static void put_comment(const struct term *t, const char *text, struct buf *out)
{
	struct term narrow = *t;
	cleanup_buf struct buf lines = { 0 };
	const char *line;

	narrow.width -= 2;
	text_wrap(&narrow, text, 0, 0, &lines);
	for (line = lines.text; line && *line;) {
		size_t n = strcspn(line, "\n");

		buf_adds(out, "; ");
		buf_add(out, line, n);
		buf_adds(out, "\n");
		line += n + (line[n] == '\n');
	}
}

/* A record whose last field goes over several lines, each of at most `columns`. */
static void put_record(const struct json_node *row, const struct term *t, const char *head, const char *field,
		       size_t columns, struct buf *out)
{
	cleanup_buf struct buf line = { 0 };

	buf_addf(&line, "%s. IN %s (", row_text_or(row, "zone", "?"), head);
	text_clean(t, line.text ? line.text : "", out);
	for (size_t at = 0, n = strlen(field); at < n; at += columns) {
		cleanup_free char *part = strndup(field + at, columns);

		buf_adds(out, "\n    ");
		text_clean(t, part ? part : "", out);
	}
	buf_adds(out, " )\n");
}

static void put_digest(const struct json_node *row, const struct term *t, const char *key, unsigned digest,
		       size_t columns, struct buf *out)
{
	char head[64];

	snprintf(head, sizeof(head), "DS %.8s %.8s %u", row_text_or(row, "key_tag", "?"),
		 row_text_or(row, "algorithm", "?"), digest);
	put_record(row, t, head, row_text_or(row, key, ""), columns, out);
}

static bool is_true(const struct json_node *row, const char *key)
{
	const struct json_node *v = json_get(row, key);

	return v && json_type(v) == JSON_BOOL && json_bool(v);
}

static void put_notes(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	cleanup_buf struct buf note = { 0 };
	char when[TEXT_UNIT_MAX];
	uint64_t wall_ms;

	if (is_true(row, "cds"))
		put_comment(t, "The zone has CDS and CDNSKEY records that say the same, for a parent that reads them.",
			    out);
	buf_addf(&note, "What to do: %s.", row_text_or(row, "todo", "?"));
	if (row_number(row, "not_before_wall_ms", &wall_ms))
		buf_addf(&note, "  Not before %s: until then resolvers may have records without signatures.",
			 text_time(wall_ms, now_wall_ms, when));
	put_comment(t, note.text ? note.text : "", out);
}

void dnssec_render_ds(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	cleanup_buf struct buf title = { 0 };
	char head[64];

	buf_addf(&title, "Key %s of %s (%s).", row_text_or(row, "key_tag", "?"), row_text_or(row, "zone", "?"),
		 row_text_or(row, "role", "?"));
	put_comment(t, title.text ? title.text : "", out);
	put_digest(row, t, "ds_sha256", 2, 64, out);
	put_digest(row, t, "ds_sha384", 4, 48, out);
	snprintf(head, sizeof(head), "DNSKEY %.8s 3 %.8s", row_text_or(row, "flags", "?"),
		 row_text_or(row, "algorithm", "?"));
	put_record(row, t, head, row_text_or(row, "dnskey", ""), 44, out);
	put_notes(row, t, now_wall_ms, out);
}
