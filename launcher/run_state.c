#include "launcher/run_state.h"

#include <inttypes.h>
#include <limits.h>

#include "base/buf.h"
#include "base/log.h"

enum { ADDRS_TEXT_MAX = 1024, FILE_MAX = 2048 };

static void path_of(char path[PATH_MAX], const char *run_dir, const char *service, const char *suffix)
{
	snprintf(path, PATH_MAX, "%s/services/%s%s", run_dir, service, suffix);
}

/* Separated by commas; "-" for none.  False when it is something else. */
static bool parse_addrs(char *text, struct run_state *out)
{
	char *rest = NULL;

	if (strcmp(text, "-") == 0)
		return true;
	for (char *addr = strtok_r(text, ",", &rest); addr; addr = strtok_r(NULL, ",", &rest)) {
		if (out->n_addrs == ARRAY_SIZE(out->addrs) || ip_parse(addr, &out->addrs[out->n_addrs]) < 0)
			return false;
		out->n_addrs++;
	}
	return true;
}

static void format_addrs(const struct run_state *st, struct buf *out)
{
	char addr[ADDR_TEXT_MAX];

	for (uint16_t i = 0; i < st->n_addrs; i++)
		buf_addf(out, "%s%s", i ? "," : "", ip_format(&st->addrs[i], addr));
	if (st->n_addrs == 0)
		buf_adds(out, "-");
}

void run_state_load(const char *run_dir, const char *service, struct run_state *out)
{
	cleanup_buf struct buf text = { 0 };
	struct run_state st = { .domain_id = -1 };
	char path[PATH_MAX], addrs[ADDRS_TEXT_MAX] = "-";
	int up, moved = 0, n;

	*out = st;
	path_of(path, run_dir, service, "");
	if (buf_read_file(&text, path, FILE_MAX) < 0)
		return;
	n = sscanf(text.text, "%39s %" SCNd32 " %d %" SCNu64 " %" SCNx64 " %d %" SCNu64 " %1023s", st.uuid,
		   &st.domain_id, &up, &st.boots, &st.claim, &moved, &st.asked_ms, addrs);
	/* four: of a version that held nothing; seven: of one that knew no addresses */
	if ((n != 4 && n != 7 && n != 8) || !parse_addrs(addrs, &st)) {
		log_warn("service=%s %s is damaged: ignoring it", service, path);
		return;
	}
	st.up = up != 0;
	st.moved = moved != 0;
	if (strcmp(st.uuid, "-") == 0)
		st.uuid[0] = '\0';
	*out = st;
}

void run_state_save(const char *run_dir, const char *service, const struct run_state *st)
{
	cleanup_buf struct buf addrs = { 0 };
	char path[PATH_MAX], fresh[PATH_MAX];
	bool ok;
	FILE *f;

	path_of(path, run_dir, service, "");
	path_of(fresh, run_dir, service, ".new");
	format_addrs(st, &addrs);
	f = fopen(fresh, "we");
	ok = f && !addrs.error &&
	     fprintf(f, "%s %" PRId32 " %d %" PRIu64 " %" PRIx64 " %d %" PRIu64 " %s\n", st->uuid[0] ? st->uuid : "-",
		     st->domain_id, st->up, st->boots, st->claim, st->moved, st->asked_ms, addrs.text) > 0;
	if (f && fclose(f) != 0)
		ok = false;
	if (!ok || rename(fresh, path) < 0)
		log_warn("service=%s cannot write %s: %s", service, path, strerror(errno));
}
