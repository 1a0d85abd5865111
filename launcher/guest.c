#include <inttypes.h>
#include <strings.h>
#include <sys/stat.h>

#include "launcher/launcher.h"

enum { WORDS_AT_ONCE = 30, WORDS_PER_S = 20, SAVES_AT_ONCE = 3, SAVES_PER_S = 2, SAVE_LATE_MS = 1000 };

void guest_init(struct guest *g)
{
	*g = (struct guest){ .stream_fd = -1, .keys_of = -1, .words = { WORDS_AT_ONCE, WORDS_PER_S, 0 },
			     .saves = { SAVES_AT_ONCE, SAVES_PER_S, 0 } };
}

static bool has_rule(const struct service *s, enum ready_kind kind)
{
	for (size_t i = 0; i < s->conf->ready.n; i++) {
		if (s->conf->ready.v[i].kind == kind)
			return true;
	}
	return false;
}

bool guest_wants_channel(const struct service *s)
{
	return s->conf->guest_lease_ms > 0 || has_rule(s, READY_GUEST);
}

bool guest_is_ready(const struct service *s)
{
	for (size_t i = 0; i < s->conf->ready.n; i++) {
		enum ready_kind kind = s->conf->ready.v[i].kind;

		if ((kind == READY_GUEST && !s->run.guest_ready) ||
		    (kind == READY_KEY && !(s->guest.keys & 1u << i)))
			return false;
	}
	return true;
}

const char *guest_explain_unready(const struct service *s)
{
	if (has_rule(s, READY_GUEST) && !s->run.guest_ready)
		return s->guest.stream_fd >= 0 ? "its guest has not said that it is ready" :
						 "its guest cannot say that it is ready: there is no channel to it";
	return "a key in XenStore is not there";
}

/* ---- what it keeps up ---- */

struct guest_use guest_use(const struct service *s)
{
	uint64_t now = clock_now_ms(), busy = s->run.guest_busy_ms, lease = s->run.guest_lease_ms;
	struct guest_use u = { .used_ms = s->guest.used_ms };

	u.busy_ms = busy > now ? busy - now : 0;
	u.lease_ms = lease > now ? lease - now : 0;
	if (busy)
		u.used_ms = MIN(busy, now);
	return u;
}

static void take_use(struct service *s, enum guest_use_said said)
{
	uint64_t now = clock_now_ms();

	if (said == GUEST_IDLE && s->run.guest_busy_ms) {
		s->guest.used_ms = MIN(s->run.guest_busy_ms, now);
		s->run.guest_busy_ms = 0;
	} else if (said == GUEST_BUSY && s->conf->guest_lease_ms > 0) {
		s->run.guest_busy_ms = now + s->conf->guest_lease_ms;
		s->guest.uses++;
	}
}

static void take_lease(struct service *s, uint32_t seconds)
{
	uint64_t ms = MIN(seconds * (uint64_t)MS_PER_S, s->conf->guest_lease_ms);

	s->run.guest_lease_ms = ms ? clock_now_ms() + ms : 0;
	s->guest.uses += ms > 0;
}

static void on_save(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;

	(void)fd;
	(void)what;
	run_state_save(s->l->conf->run_dir, s->conf->name, &s->run);
}

/* The file would let it go earlier, and by more than it may be behind. */
static bool is_promise(uint64_t until_ms, uint64_t saved_ms) { return until_ms > saved_ms + SAVE_LATE_MS; }

static void save(struct service *s, bool at_once)
{
	struct timeval late = clock_timeval_ms(SAVE_LATE_MS);

	at_once = at_once || is_promise(s->run.guest_busy_ms, s->run.saved_busy_ms) ||
		  is_promise(s->run.guest_lease_ms, s->run.saved_lease_ms);
	if (at_once && bucket_pass(&s->guest.saves, clock_now_ns())) {
		on_save(-1, 0, s);
		return;
	}
	if (!s->guest.save)
		s->guest.save = evtimer_new(s->l->base, on_save, s);
	if (!s->guest.save)
		abort();
	if (!evtimer_pending(s->guest.save, NULL))
		event_add(s->guest.save, &late);
}

/* ---- the stream ---- */

static void close_stream(struct service *s)
{
	struct msg_guest m = { s->index, s->gen, s->guest.stream };

	if (s->guest.stream_fd < 0)
		return;
	fd_close(&s->guest.stream_fd);
	if (synproxy_is_told(s->l))
		ipc_send(s->l->synproxy, MSG_GUEST_CLOSE, &m);
}

static void say_stream(struct service *s)
{
	struct msg_guest m = { s->index, s->gen, s->guest.stream };

	ipc_send_fd(s->l->synproxy, MSG_GUEST_OPEN, &m, s->guest.stream_fd);
}

/* Of a machine that we define a backend may know nothing but what it is called. */
static bool is_of(const struct msg_be_guest *m, const struct service *s)
{
	if (strcmp(m->name, s->target) == 0 || strcasecmp(m->uuid, s->target) == 0)
		return true;
	return !m->uuid[0] && !s->conf->machine.domain[0] && strncmp(m->name, "jitsu-", 6) == 0 &&
	       strcmp(m->name + 6, s->conf->name) == 0;
}

static struct service *service_of(struct hypervisor *hv, const struct msg_be_guest *m)
{
	struct service *s;

	FOR_EACH_SERVICE(hv->l, s) {
		if (s->hv == hv && is_of(m, s))
			return s;
	}
	return NULL;
}

/* Backends tell a stream more than once. */
static bool is_same(int a, int b)
{
	struct stat of_a, of_b;

	return a >= 0 && fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
	       of_a.st_ino == of_b.st_ino;
}

/* A domain that is none of a service's: what its guest says is nobody's business. */
void guest_stream(struct hypervisor *hv, const struct msg_be_guest *m, int *fd)
{
	struct service *s = *fd >= 0 ? service_of(hv, m) : NULL;

	if (!s || is_same(s->guest.stream_fd, *fd))
		return;
	close_stream(s);
	s->guest.stream++;
	s->guest.stream_fd = *fd;
	*fd = -1;
	if (synproxy_is_told(s->l))
		say_stream(s);
}

void guests_tell_synproxy(struct launcher *l)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->guest.stream_fd >= 0)
			say_stream(s);
	}
}

/* ---- words ---- */

void guest_said(struct launcher *l, const struct msg_guest_said *m)
{
	struct service *s = service_find(l, m->svc, m->gen);
	bool became_ready;

	if (!s || s->guest.stream_fd < 0 || m->stream != s->guest.stream)
		return; /* it is about the past */
	if (m->ended)
		fd_close(&s->guest.stream_fd);
	if (!bucket_pass(&s->guest.words, clock_now_ns())) {
		log_limited(LOG_WARN, "service=%s synproxy tells more of its guest than it can have heard",
			    s->conf->name);
		return;
	}
	if (m->garbled)
		log_limited(LOG_WARN, "service=%s its guest says what is no message (docs/guest-messages.md): such "
				      "lines are passed over", s->conf->name);
	became_ready = m->ready && !s->run.guest_ready;
	if (became_ready)
		log_debug("service=%s its guest says that it is ready", s->conf->name);
	s->run.guest_ready = s->run.guest_ready || m->ready;
	take_use(s, (enum guest_use_said)m->use);
	if (m->has_lease)
		take_lease(s, m->lease_s);
	save(s, became_ready);
	if (m->ready)
		ready_look(s);
	if (s->state == STATE_UP && (m->use != GUEST_UNSAID || m->has_lease))
		service_arm(s, TIMER_IDLE, 1);
}

/* ---- keys of XenStore ---- */

void guest_runs(struct service *s)
{
	struct msg_be_watch m = { .svc = s->index, .gen = s->gen, .domain_id = s->domain_id };

	if (!has_rule(s, READY_KEY) || s->domain_id < 0 || !hypervisor_ready(s->hv))
		return;
	for (size_t i = 0; i < s->conf->ready.n && m.n_keys < ARRAY_SIZE(m.keys); i++) {
		if (s->conf->ready.v[i].kind != READY_KEY)
			continue;
		str_copy(m.keys[m.n_keys].text, s->conf->ready.v[i].key);
		m.n_keys++;
	}
	str_copy(m.domain, s->target);
	s->guest.keys_of = s->domain_id;
	ipc_send(s->hv->channel, MSG_BE_WATCH, &m);
}

void guest_key(struct launcher *l, const struct msg_be_key *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s || s->guest.keys_of < 0 || m->domain_id != s->guest.keys_of)
		return; /* it is about the past */
	for (size_t i = 0; i < s->conf->ready.n; i++) {
		if (s->conf->ready.v[i].kind == READY_KEY && strcmp(s->conf->ready.v[i].key, m->key) == 0)
			s->guest.keys |= 1u << i;
	}
	ready_look(s);
}

/* ---- life ---- */

static void forget(struct service *s)
{
	s->run.guest_ready = false;
	s->run.guest_busy_ms = s->run.guest_lease_ms = 0;
	s->guest.used_ms = 0;
	s->guest.keys = 0;
	s->guest.keys_of = -1;
}

void guest_begin(struct service *s)
{
	close_stream(s);
	forget(s);
	if (s->guest.save)
		event_del(s->guest.save);
}

void guest_restored(struct service *s)
{
	s->run.guest_ready = true;
	s->guest.keys = UINT32_MAX;
}

void guest_end(struct service *s) { guest_begin(s); }

void guests_stop(struct launcher *l)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->guest.save && evtimer_pending(s->guest.save, NULL))
			on_save(-1, 0, s);
	}
}

void guest_free(struct service *s)
{
	guest_end(s);
	if (s->guest.save)
		event_free(s->guest.save);
}
