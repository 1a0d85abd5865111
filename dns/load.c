#include "dns/load.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/zone_file.h"

struct source {
	char *zone, *path;
	bool lenient;
	int fd;
};

struct load {
	unsigned n, at;
	struct source sources[LOAD_FILES_MAX];
	struct zone_file *file; /* of sources[at], once it is open */
	uint32_t zone;
	bool finished; /* the tables */
	struct signing *signing;
	struct err bad_key; /* the first */
};

struct load *load_new(struct signatures *cache)
{
	struct load *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->signing = signing_new(cache);
	if (!l->signing) {
		free(l);
		return NULL;
	}
	return l;
}

void load_free(struct load *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < l->n; i++) {
		fd_close(&l->sources[i].fd);
		free(l->sources[i].zone);
		free(l->sources[i].path);
	}
	zone_file_free(l->file);
	signing_free(l->signing);
	free(l);
}

int load_add(struct load *l, const struct msg_dns_zone_file *m, int fd)
{
	cleanup_close int taken = fd;
	struct source *s = &l->sources[l->n];

	if (l->n == LOAD_FILES_MAX)
		return -ENOSPC;
	*s = (struct source){ .zone = strdup(m->zone), .path = strdup(m->path), .fd = fd,
			       .lenient = m->lenient };
	l->n++; /* whatever it has, load_free() frees */
	taken = -1;
	return s->zone && s->path ? 0 : -ENOMEM;
}

void load_add_key(struct load *l, const struct msg_dns_key *m, int fd)
{
	if (l->bad_key.code == 0)
		signing_add_key(l->signing, m, fd, &l->bad_key);
	else
		close(fd);
}

const char *load_zone(const struct load *l)
{
	return l->bad_key.code == 0 && l->at < l->n ? l->sources[l->at].zone : "";
}

static void next_file(struct load *l)
{
	zone_file_free(l->file);
	l->file = NULL;
	l->at++;
}

static int open_file(struct load *l, const struct tables *t, struct err *e)
{
	struct source *s = &l->sources[l->at];
	int fd = s->fd;

	l->zone = tables_zone(t, s->zone);
	if (l->zone == ZONE_NONE) {
		log_warn("there is a file for zone %s, but no such zone", s->zone);
		l->at++;
		return 0;
	}
	s->fd = -1;
	l->file = zone_file_open(fd, s->path, s->zone, tables_zone_at(t, l->zone)->ttl_s, e);
	return l->file ? 0 : e->code;
}

static int add_record(struct load *l, struct tables *t, const struct zone_record *record, struct err *e)
{
	int r = tables_add_record(t, l->zone, record, e);

	if (r == -EINVAL) {
		zone_file_blame(l->file, e);
		if (!l->sources[l->at].lenient)
			return r;
		log_limited(LOG_WARN, "left out: %s", e->text);
		return 0;
	}
	return r < 0 ? err_set_errno(e, r, "zone %s", l->sources[l->at].zone) : 0;
}

static int read_some(struct load *l, struct tables *t, struct err *e)
{
	struct zone_record record;
	int r = 0;

	for (unsigned i = 0; i < LOAD_STEP && r == 0; i++) {
		r = zone_file_next(l->file, &record, e);
		if (r == 0)
			next_file(l);
		if (r <= 0)
			return r;
		r = add_record(l, t, &record, e);
	}
	return r;
}

static int finish(struct load *l, struct tables *t, struct err *e)
{
	int r = tables_finish(t);

	l->finished = true;
	return r < 0 ? err_set_errno(e, r, "the zones cannot be put together") : 1;
}

int load_step(struct load *l, struct tables *t, struct err *e)
{
	int r;

	if (l->bad_key.code < 0) {
		*e = l->bad_key;
		return e->code;
	}
	if (l->at < l->n) {
		r = l->file ? read_some(l, t, e) : open_file(l, t, e);
		return r < 0 ? r : 1;
	}
	if (!l->finished)
		return finish(l, t, e);
	return signing_step(l->signing, t, (uint32_t)(clock_wall_ms() / MS_PER_S), e);
}
