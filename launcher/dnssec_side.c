/* The zones' keys between dnssec.c, which knows what they do, dns, which must be told, and operators.
 *
 * Whatever changes is on disk first, and then in a new snapshot.  One goes out every DNSSEC_RENEW_MS in any case, so
 * that dns makes new signatures long before the old ones end, and when the wall clock was set; the serials of signed
 * zones rise with it, or secondaries would keep the old ones.
 */
#include <dirent.h>

#include "launcher/dnssec.h"
#include "launcher/launcher.h"
#include "launcher/rows.h"
#include "launcher/zone_files.h"

/* ---- dns ---- */

static void arm(struct launcher *l, const struct dnssec_time *now)
{
	uint64_t ms = MIN(dnssec_next_ms(l->dnssec, now), dnssec_renew_ms(l->dnssec, now));
	struct timeval tv = clock_timeval_ms(MIN(ms, (uint64_t)DNSSEC_LOOK_MS));

	event_del(l->dnssec_timer);
	if (ms != UINT64_MAX)
		event_add(l->dnssec_timer, &tv);
}

/* dns is told now, or with the rest once it is known what runs. */
static void tell(struct launcher *l, const struct dnssec_time *now)
{
	struct dnssec_zone *z;

	for (size_t i = 0; (z = dnssec_nth(l->dnssec, i)); i++)
		if (z->keys.n > 0)
			zone_files_zone_changed(l->zone_files, z->name, (uint32_t)now->wall_s);
	dnssec_told(l->dnssec, now);
	if (l->dns && l->dns_told)
		dns_snapshot(l);
	arm(l, now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;
	struct dnssec_time now;

	(void)fd;
	(void)what;
	dnssec_now(&now);
	if (dnssec_tick(l->dnssec, &now) || dnssec_renew_ms(l->dnssec, &now) == 0)
		tell(l, &now);
	else
		arm(l, &now);
}

int dnssec_init(struct launcher *l)
{
	l->dnssec = dnssec_new();
	l->dnssec_timer = evtimer_new(l->base, on_timer, l);
	return l->dnssec && l->dnssec_timer ? 0 : -ENOMEM;
}

void dnssec_configured(struct launcher *l)
{
	struct dnssec_time now;

	dnssec_now(&now);
	dnssec_set(l->dnssec, l->conf, &now);
	arm(l, &now);
}

void dnssec_send_keys(struct launcher *l, const char *zone)
{
	const struct dnssec_zone *z = dnssec_zone(l->dnssec, zone);

	for (unsigned i = 0; z && i < z->keys.n; i++) {
		cleanup_close int fd = dnssec_key_fd(&z->keys.of[i].key);
		struct msg_dns_key m;

		dnssec_describe_key(z, i, &m);
		if (fd < 0)
			log_error("zone %s: key %u cannot be given to dns: %s", zone, m.tag, strerror(-fd));
		ipc_send_fd(l->dns, MSG_DNS_KEY, &m, fd); /* without fd dns refuses it all: better than unsigned */
	}
}

void dnssec_loaded(struct launcher *l)
{
	struct dnssec_time now;

	dnssec_now(&now);
	dnssec_served(l->dnssec, &now);
	arm(l, &now);
}

void dnssec_refused(struct launcher *l)
{
	struct dnssec_time now;

	dnssec_now(&now);
	dnssec_not_taken(l->dnssec, &now);
	arm(l, &now);
}

/* ---- what operators are told ---- */

static const char *duty_of(enum dnssec_role role)
{
	static const char *const duties[DNSSEC_ROLE_N] = {
		[DNSSEC_ACTIVE] = "signs the zone",
		[DNSSEC_NEXT] = "is published, and will sign",
		[DNSSEC_RETIRED] = "is published, and signs no more",
	};

	return duties[role];
}

/* Until the next step that comes by itself, or may be done; UINT64_MAX: there is none. */
static uint64_t until_next_ms(const struct dnssec_zone *z, const struct dnssec_time *now)
{
	uint64_t ms = dnssec_left_ms(z, now);

	if (dnssec_wait_of(z->keys.phase) == DNSSEC_WAIT_NONE)
		return UINT64_MAX;
	return ms == UINT64_MAX ? z->keys.wait_s * 1000ull : ms; /* dns is about to begin */
}

static void add_next(const struct dnssec_zone *z, const struct dnssec_time *now, struct msg_ctl_row *row)
{
	static const char *const next[DNSSEC_PHASE_N] = {
		[DNSSEC_OFF] = "nothing, until \"dnssec enable\"",
		[DNSSEC_FRESH] = "its DS may go to the parent",
		[DNSSEC_WAIT_DS] = "give its DS (\"dnssec ds\") to the parent, then \"dnssec ds-seen\"",
		[DNSSEC_SIGNED] = "nothing, until \"dnssec roll\"",
		[DNSSEC_PUBLISH] = "the new key's DS may be added at the parent",
		[DNSSEC_WAIT_NEW_DS] = "add the new DS (\"dnssec ds\") at the parent, then \"dnssec ds-seen\"",
		[DNSSEC_SWAPPED] = "the old key is removed; leave its DS at the parent until then",
		[DNSSEC_WITHDRAWN] = "its signatures and keys are removed",
	};
	uint64_t ms = until_next_ms(z, now);

	row_str(row, "next", "%s", next[z->keys.phase]);
	if (ms == UINT64_MAX)
		return;
	row_num(row, "next_in_ms", ms);
	row_num(row, "next_at_wall_ms", now->wall_s * 1000 + ms);
}

static void describe_zone(const struct launcher *l, const struct dnssec_zone *z, const struct dnssec_time *now,
			  struct msg_ctl_row *row)
{
	const struct dnssec_keys *k = &z->keys;
	char path[MSG_PATH_MAX];

	dnssec_store_path(dnssec_dir(l->dnssec), z->name, path);
	row_str(row, "zone", "%s", z->name);
	row_str(row, "phase", "%s", dnssec_phase_name(k->phase));
	row_str(row, "meaning", "%s", dnssec_phase_means(k->phase));
	for (unsigned i = 0; i < k->n; i++)
		row_list_str(row, "keys", "%u %s %s", k->of[i].key.tag, dnssec_algorithm_name(k->of[i].key.algorithm),
			     duty_of(k->of[i].role));
	add_next(z, now, row);
	if (k->gone)
		row_str(row, "remark",
			"the DS of the former key, %u, can be removed at the parent; then \"dnssec ds-seen\"", k->gone);
	if (z->mistake[0])
		row_str(row, "mistake", "%.480s", z->mistake);
	if (k->n > 0 || z->mistake[0])
		row_str(row, "directory", "%.480s", path);
}

/* Keys of zones that are not configured. */
static void tell_strays(struct launcher *l, const struct msg_ctl_request *ask, dnssec_row_fn *each, void *arg)
{
	DIR *d = opendir(dnssec_dir(l->dnssec));
	const struct dirent *entry;

	while (d && (entry = readdir(d))) {
		struct msg_ctl_row row = { .id = ask->id };

		if (entry->d_name[0] == '.' || dnssec_zone(l->dnssec, entry->d_name))
			continue;
		row_str(&row, "zone", "%s", entry->d_name);
		row_str(&row, "phase", "not configured");
		row_str(&row, "directory", "%.200s/%s", dnssec_dir(l->dnssec), entry->d_name);
		each(arg, &row);
	}
	if (d)
		closedir(d);
}

static void ask_status(struct launcher *l, const struct msg_ctl_request *ask, const struct dnssec_zone *only,
		       dnssec_row_fn *each, void *arg)
{
	const struct dnssec_zone *z;
	struct dnssec_time now;

	dnssec_now(&now);
	for (size_t i = 0; (z = dnssec_nth(l->dnssec, i)); i++) {
		struct msg_ctl_row row = { .id = ask->id };

		if (only && only != z)
			continue;
		describe_zone(l, z, &now, &row);
		each(arg, &row);
	}
	if (!only)
		tell_strays(l, ask, each, arg);
}

/* What the operator does with the DS records, and when. */
static const char *todo_of(enum dnssec_phase phase)
{
	switch (phase) {
	case DNSSEC_FRESH: return "give this DS to the parent, but not earlier; then run \"jitsuctl dnssec ds-seen\"";
	case DNSSEC_WAIT_DS: return "give this DS to the parent; when it is there, run \"jitsuctl dnssec ds-seen\"";
	case DNSSEC_PUBLISH:
	case DNSSEC_WAIT_NEW_DS:
		return "add the new key's DS at the parent beside the old one; when it is there, run \"jitsuctl dnssec "
		       "ds-seen\"";
	case DNSSEC_SWAPPED: return "leave both DS at the parent until the old key is removed";
	case DNSSEC_WITHDRAWN: return "the parent must not have a DS of this zone";
	default: return "the parent should have this DS, and no other";
	}
}

static void describe_ds(const struct dnssec_zone *z, unsigned i, const struct dnssec_time *now,
			struct msg_ctl_row *row)
{
	const struct dnssec_key *k = &z->keys.of[i].key;
	uint64_t ms = until_next_ms(z, now);

	row_str(row, "zone", "%s", z->name);
	row_num(row, "key_tag", k->tag);
	row_num(row, "algorithm", k->algorithm);
	row_str(row, "role", "%s", dnssec_role_name(z->keys.of[i].role));
	row_str(row, "ds_sha256", "%s", k->sha256);
	row_str(row, "ds_sha384", "%s", k->sha384);
	row_str(row, "dnskey", "%s", k->public_text);
	row_num(row, "flags", DNSSEC_KEY_FLAGS);
	row_bool(row, "cds", dnssec_lists_cds(z->keys.phase));
	row_str(row, "todo", "%s", todo_of(z->keys.phase));
	if (z->keys.phase == DNSSEC_FRESH)
		row_num(row, "not_before_wall_ms", now->wall_s * 1000 + ms);
}

static int ask_ds(const struct msg_ctl_request *ask, const struct dnssec_zone *z, dnssec_row_fn *each, void *arg,
		  struct err *e)
{
	struct dnssec_time now;

	if (z->keys.n == 0)
		return err_set(e, -ENOENT, "%s", z->mistake[0] ? z->mistake : dnssec_refusal(DNSSEC_OFF, DNSSEC_ROLL));
	dnssec_now(&now);
	for (unsigned i = 0; i < z->keys.n; i++) {
		struct msg_ctl_row row = { .id = ask->id };

		describe_ds(z, i, &now, &row);
		each(arg, &row);
	}
	return 0;
}

/* ---- what operators want ---- */

static struct dnssec_zone *find_zone(struct launcher *l, const char *name, struct err *e)
{
	struct dnssec_zone *z = dnssec_zone(l->dnssec, name);

	if (!z)
		err_set(e, -ENOENT, "there is no zone \"%.255s\"; \"jitsuctl dnssec status\" shows them", name);
	return z;
}

static int step(struct launcher *l, const struct msg_ctl_request *ask, struct dnssec_zone *z, enum dnssec_event event,
		struct err *e)
{
	struct dnssec_wish wish = { .force = ask->force, .ds_gone = ask->ds_gone,
				    .ds_ttl_s = ask->has_ds_ttl ? (int64_t)ask->ds_ttl_s : -1 };
	struct dnssec_time now;
	int r;

	if (ask->algorithm[0] && dnssec_algorithm_find(ask->algorithm, &wish.algorithm) < 0)
		return err_set(e, -EINVAL, "algorithm \"%s\" is none that is used here: ecdsap256sha256 or ed25519",
			       ask->algorithm);
	dnssec_now(&now);
	r = dnssec_step(l->dnssec, z, event, &wish, &now, e);
	if (r == 0)
		tell(l, &now);
	return r;
}

static bool event_of(unsigned verb, enum dnssec_event *out)
{
	switch (verb) {
	case CTL_DNSSEC_ENABLE: *out = DNSSEC_ENABLE; return true;
	case CTL_DNSSEC_DISABLE: *out = DNSSEC_DISABLE; return true;
	case CTL_DNSSEC_ROLL: *out = DNSSEC_ROLL; return true;
	case CTL_DNSSEC_DS_SEEN: *out = DNSSEC_DS_SEEN; return true;
	default: return false;
	}
}

int dnssec_ask(struct launcher *l, const struct msg_ctl_request *ask, dnssec_row_fn *each, void *arg, struct err *e)
{
	struct dnssec_zone *z = ask->zone[0] ? find_zone(l, ask->zone, e) : NULL;
	enum dnssec_event event;
	int r = 0;

	if (!z && (ask->zone[0] || ask->verb != CTL_DNSSEC_STATUS))
		return ask->zone[0] ? e->code : err_set(e, -EINVAL, "no zone is named");
	if (event_of(ask->verb, &event))
		r = step(l, ask, z, event, e);
	if (r < 0)
		return r;
	if (ask->verb == CTL_DNSSEC_DS || ask->verb == CTL_DNSSEC_ENABLE || ask->verb == CTL_DNSSEC_ROLL)
		return ask_ds(ask, z, each, arg, e);
	ask_status(l, ask, z, each, arg);
	return 0;
}
