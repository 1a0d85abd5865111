#include "launcher/run_state.h"

#include <dirent.h>
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
		struct ip_addr a;

		if (out->addrs.n == MSG_LIST_MAX || ip_parse(addr, &a) < 0 || !addr_list_add(&out->addrs, &a))
			return false;
	}
	return true;
}

static void format_addrs(const struct run_state *st, struct buf *out)
{
	char addr[ADDR_TEXT_MAX];

	for (uint16_t i = 0; i < st->addrs.n; i++)
		buf_addf(out, "%s%s", i ? "," : "", ip_format(&st->addrs.v[i], addr));
	if (st->addrs.n == 0)
		buf_adds(out, "-");
}

/* Never 0. */
static uint64_t hash_of(const struct buf *text)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < text->n; i++) /* FNV-1a */
		hash = (hash ^ (uint8_t)text->text[i]) * 1099511628211u;
	return hash | 1;
}

void run_state_load(const char *run_dir, const char *service, struct run_state *out)
{
	cleanup_buf struct buf text = { 0 };
	struct run_state st = { .domain_id = -1 };
	char path[PATH_MAX], addrs[ADDRS_TEXT_MAX] = "-";
	int up, moved = 0, ready = 0, n;

	*out = st;
	path_of(path, run_dir, service, "");
	if (buf_read_file(&text, path, FILE_MAX) < 0)
		return;
	n = sscanf(text.text, "%39s %" SCNd32 " %d %" SCNu64 " %" SCNx64 " %d %" SCNu64 " %1023s %d %" SCNu64 " %" SCNu64
		   " %" SCNx64 " %" SCNx64,
		   st.uuid, &st.domain_id, &up, &st.boots, &st.claim, &moved, &st.asked_ms, addrs, &ready,
		   &st.guest_busy_ms, &st.guest_lease_ms, &st.machine, &st.files);
	/* four: of a version that held nothing; seven: of one that knew no addresses; eight: that did not hear guests; eleven: that did not save */
	if ((n != 4 && n != 7 && n != 8 && n != 11 && n != 13) || !parse_addrs(addrs, &st)) {
		log_warn("service=%s %s is damaged: ignoring it", service, path);
		run_state_clear(&st);
		return;
	}
	st.up = up != 0;
	st.moved = moved != 0;
	st.guest_ready = ready != 0;
	if (strcmp(st.uuid, "-") == 0)
		st.uuid[0] = '\0';
	st.saved = hash_of(&text);
	st.saved_busy_ms = st.guest_busy_ms;
	st.saved_lease_ms = st.guest_lease_ms;
	*out = st;
}

void run_state_clear(struct run_state *st) { addr_list_clear(&st->addrs); }

static void format(const struct run_state *st, struct buf *out)
{
	buf_addf(out, "%s %" PRId32 " %d %" PRIu64 " %" PRIx64 " %d %" PRIu64 " ", st->uuid[0] ? st->uuid : "-",
		 st->domain_id, st->up, st->boots, st->claim, st->moved, st->asked_ms);
	format_addrs(st, out);
	buf_addf(out, " %d %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRIx64 "\n", st->guest_ready, st->guest_busy_ms,
		 st->guest_lease_ms, st->machine, st->files);
}

void run_state_save(const char *run_dir, const char *service, struct run_state *st)
{
	cleanup_buf struct buf text = { 0 };
	char path[PATH_MAX], fresh[PATH_MAX];
	uint64_t stands_for;
	bool ok;
	FILE *f;

	format(st, &text);
	stands_for = hash_of(&text);
	if (stands_for == st->saved)
		return;
	path_of(path, run_dir, service, "");
	path_of(fresh, run_dir, service, ".new");
	f = fopen(fresh, "we");
	ok = f && !text.error && fputs(text.text, f) >= 0;
	if (f && fclose(f) != 0)
		ok = false;
	ok = ok && rename(fresh, path) == 0;
	if (!ok)
		log_warn("service=%s cannot write %s: %s", service, path, strerror(errno));
	st->saved = ok ? stands_for : 0;
	st->saved_busy_ms = ok ? st->guest_busy_ms : 0;
	st->saved_lease_ms = ok ? st->guest_lease_ms : 0;
}

static void tell_one(const char *run_dir, const char *service,
		     void (*fn)(void *arg, const char *service, bool has_vm), void *arg)
{
	struct run_state st;
	bool has_vm;

	run_state_load(run_dir, service, &st);
	has_vm = st.domain_id != RUN_STATE_OFF;
	run_state_clear(&st);
	fn(arg, service, has_vm);
}

void run_state_each(const char *run_dir, void (*fn)(void *arg, const char *service, bool has_vm), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/services", run_dir);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (!strchr(entry->d_name, '.')) /* no service is called so, but a file that is being written */
			tell_one(run_dir, entry->d_name, fn, arg);
	}
	if (dir)
		closedir(dir);
}
