#include "launcher/run_state.h"

#include <inttypes.h>
#include <limits.h>

#include "base/buf.h"
#include "base/log.h"

static void path_of(char path[PATH_MAX], const char *run_dir, const char *service, const char *suffix)
{
	snprintf(path, PATH_MAX, "%s/services/%s%s", run_dir, service, suffix);
}

void run_state_load(const char *run_dir, const char *service, struct run_state *out)
{
	cleanup_buf struct buf text = { 0 };
	struct run_state st = { .domain_id = -1 };
	char path[PATH_MAX];
	int up, moved = 0, n;

	*out = st;
	path_of(path, run_dir, service, "");
	if (buf_read_file(&text, path, 256) < 0)
		return;
	n = sscanf(text.text, "%39s %" SCNd32 " %d %" SCNu64 " %" SCNx64 " %d %" SCNu64, st.uuid, &st.domain_id, &up,
		   &st.boots, &st.claim, &moved, &st.asked_ms);
	if (n != 4 && n != 7) { /* four: of a version that held nothing */
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
	char path[PATH_MAX], fresh[PATH_MAX];
	bool ok;
	FILE *f;

	path_of(path, run_dir, service, "");
	path_of(fresh, run_dir, service, ".new");
	f = fopen(fresh, "we");
	ok = f && fprintf(f, "%s %" PRId32 " %d %" PRIu64 " %" PRIx64 " %d %" PRIu64 "\n", st->uuid[0] ? st->uuid : "-",
			  st->domain_id, st->up, st->boots, st->claim, st->moved, st->asked_ms) > 0;
	if (f && fclose(f) != 0)
		ok = false;
	if (!ok || rename(fresh, path) < 0)
		log_warn("service=%s cannot write %s: %s", service, path, strerror(errno));
}
