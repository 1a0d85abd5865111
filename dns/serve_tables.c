/* Theory of operation
 *
 * Tables.  `tables` is in force; `next` is filled between MSG_BEGIN and MSG_END.  Then the zone files
 * are read into it, a piece at a time (`loading`), while queries go on being answered; at last it takes
 * the other's place.  A state that changes meanwhile is written to both.  A file with a mistake ends
 * `next`: the launcher is told, and says what shall be served instead.
 *
 * Names that change.  A name of which the launcher has said that the next snapshot says something else of it
 * (MSG_DNS_CHANGING) is not answered by the tables in force: whoever asks for it waits for the next ones, for
 * SERVE_CHANGING_S at most.  So an operator's command is done when dns has its names, and one snapshot serves
 * for many.  `covered` of them came before the snapshot that is being read.
 */
#include "dns/serve_internal.h"

#include <assert.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

/* ---- the next tables ---- */

static void drop_next(struct serve *s)
{
	tables_free(s->next);
	load_free(s->load);
	s->next = NULL;
	s->load = NULL;
	s->loading = false;
}

void serve_on_begin(struct serve *s)
{
	drop_next(s);
	s->covered = changing_count(s->changing);
	s->next = tables_new();
	if (!s->next)
		log_error("no memory for new tables: the old ones stay");
}

/* The tables that the first names waited for are in force, or never will be.  The old set, which is free once
 * workers have another view; without memory it stays, and the names wait for the next ones. */
static struct changing *uncover(struct serve *s)
{
	struct changing *old = s->changing, *rest;

	if (s->covered == 0 || changing_new(old, s->covered, NULL, &rest) < 0)
		return NULL;
	s->changing = rest;
	s->covered = 0;
	return old;
}

/* `next` cannot be used.  Where that is a zone's file, the launcher says at once what is to be used instead; else
 * there will be no other tables soon. */
static void refuse_next(struct serve *s, int error, const char *zone, const char *why)
{
	struct msg_dns_loaded m = { .seq = tables_conf(s->next)->seq, .error = error };

	str_copy(m.zone, zone);
	str_copy(m.text, why);
	drop_next(s);
	if (!m.zone[0] && s->tables) {
		struct changing *old = uncover(s);

		serve_publish(s);
		changing_free(old);
		serve_ask_again(s);
	}
	s->ops->tell(s->arg, MSG_DNS_LOADED, &m);
}

/* ---- in force ---- */

enum { WARNINGS_MAX = 10 }; /* about zones, at each load */

struct warnings {
	struct buf text; /* a line for each */
	unsigned n;
};

static void add_warning(void *arg, const char *sentence)
{
	struct warnings *w = arg;

	if (w->n++ < WARNINGS_MAX)
		buf_addf(&w->text, "%s\n", sentence);
}

/* What was said of the tables before is not said again: with each instance of a template there are new ones. */
static void warn(struct serve *s)
{
	struct warnings w = { 0 };
	char *rest = NULL;

	tables_warnings(s->tables, add_warning, &w);
	if (w.n > WARNINGS_MAX)
		buf_addf(&w.text, "and %u more of that kind\n", w.n - WARNINGS_MAX);
	if (!w.text.error && strcmp(w.text.text ? w.text.text : "", s->warned ? s->warned : "") != 0) {
		free(s->warned);
		s->warned = w.text.text ? strdup(w.text.text) : NULL;
		for (char *line = w.text.text ? strtok_r(w.text.text, "\n", &rest) : NULL; line;
		     line = strtok_r(NULL, "\n", &rest))
			log_warn("%s", line);
	}
	buf_free(&w.text);
}

static void tell_loaded(struct serve *s)
{
	struct msg_dns_loaded m = { .seq = tables_conf(s->tables)->seq };

	for (uint32_t i = 0; i < tables_zones(s->tables); i++) {
		const struct zone *zone = tables_zone_at(s->tables, i);
		struct msg_dns_zone_serial z = { .serial = zone->serial, .ttl_s = zone->longest_ttl_s };

		str_copy(z.zone, tables_zone_name(s->tables, i));
		s->ops->tell(s->arg, MSG_DNS_ZONE_SERIAL, &z);
	}
	warn(s);
	s->ops->tell(s->arg, MSG_DNS_LOADED, &m);
}

static void use_secrets(struct serve *s, const struct msg_dns_conf *conf)
{
	static_assert((int)COOKIE_SECRETS_MAX >= (int)MSG_SECRETS_MAX, "there is no room for all secrets");

	if (conf->n_secrets == 0 && s->own_secrets)
		return;
	s->own_secrets = conf->n_secrets == 0;
	s->cookies.n = conf->n_secrets;
	for (unsigned i = 0; i < conf->n_secrets; i++)
		memcpy(s->cookies.secrets[i], conf->secrets[i].b, COOKIE_SECRET);
	if (s->own_secrets)
		serve_roll(s, clock_now_ns());
}

static void use_conf(struct serve *s, const struct msg_dns_conf *conf)
{
	waiting_set_max(s->waiting, conf->max_waiting ? conf->max_waiting : SERVE_MAX_WAITING);
	rate_set(s->rate, conf->rate, conf->slip);
	use_secrets(s, conf);
}

/* `next` is whole: from now on it is what we answer from. */
static void use_next(struct serve *s)
{
	struct changing *changed = uncover(s);
	struct tables *old = s->tables;

	s->tables = s->next;
	s->next = NULL;
	s->synced = true;
	drop_next(s);
	use_conf(s, tables_conf(s->tables));
	serve_publish(s);
	changing_free(changed);
	serve_ask_again(s);
	serve_send_pending(s, old);
	tables_free(old);
	s->ops->on_tables(s->arg, s->tables);
	tell_loaded(s);
}

/* ---- what the launcher says of them ---- */

/* The first names come with the first tables. */
void serve_on_changing(struct serve *s, const struct msg_dns_changing *m)
{
	const struct msg_dns_changing ack = { .seq = m->seq };
	struct changing *old = s->changing;

	if (s->tables && changing_new(old, 0, m, &s->changing) < 0)
		return;
	if (s->changing != old) {
		serve_publish(s);
		changing_free(old);
	}
	s->ops->tell(s->arg, MSG_DNS_CHANGING_ACK, &ack);
}

void serve_on_end(struct serve *s)
{
	if (!s->next)
		return;
	if (tables_place(s->next) < 0 || (!s->load && tables_finish(s->next) < 0)) {
		log_error("no memory for new tables: the old ones stay");
		refuse_next(s, -ENOMEM, "", "dns has no memory for it");
	} else if (s->load) {
		s->loading = true;
	} else {
		signatures_begin(s->signatures); /* (nothing is signed) */
		signatures_end(s->signatures);
		use_next(s);
	}
}

bool serve_is_loading(const struct serve *s) { return s->loading; }

void serve_load(struct serve *s)
{
	struct err e;
	int r;

	if (!s->loading)
		return;
	r = load_step(s->load, s->next, &e);
	if (r == 0)
		use_next(s);
	else if (r < 0)
		refuse_next(s, r, load_zone(s->load), e.text);
}

void serve_zone_file(struct serve *s, const struct msg_dns_zone_file *m, int fd)
{
	cleanup_close int taken = fd;

	if (!s->next || s->loading)
		return;
	if (!s->load)
		s->load = load_new(s->signatures);
	taken = -1;
	if (!s->load || load_add(s->load, m, fd) < 0)
		log_error("zone %s: no memory to read %s", m->zone, m->path);
}

void serve_key(struct serve *s, const struct msg_dns_key *m, int fd)
{
	cleanup_close int taken = fd;

	if (!s->next || s->loading)
		return;
	if (!s->load)
		s->load = load_new(s->signatures);
	if (!s->load) {
		refuse_next(s, -ENOMEM, "", "dns has no memory to sign its zones");
		return;
	}
	taken = -1;
	load_add_key(s->load, m, fd);
}

int serve_fill_next(struct tables *next, enum msg_type type, const void *body)
{
	switch (type) {
	case MSG_DNS_CONF: return tables_set_conf(next, body);
	case MSG_DNS_ZONE: return tables_add_zone(next, body);
	case MSG_DNS_FORWARD: return tables_add_forward(next, body);
	case MSG_DNS_ALLOW: return tables_add_allow(next, body);
	case MSG_DNS_EXEMPT: return tables_add_exempt(next, body);
	case MSG_DNS_SERVICE: return tables_add_service(next, body);
	case MSG_DNS_TSIG_KEY: return tables_add_tsig_key(next, body);
	case MSG_DNS_SECONDARY: return tables_add_secondary(next, body);
	case MSG_DNS_TRANSFER: return tables_add_transfer(next, body);
	default: return 0;
	}
}

void serve_launcher_changed(struct serve *s)
{
	drop_next(s);
	s->synced = false;
}
