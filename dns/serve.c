/* Theory of operation
 *
 * How tables come into force is serve_tables.c's.
 *
 * A query that must wait becomes a waiter.  It ends by exactly one of:
 *
 *	its service's state lets it be answered (or there is no such name any more)
 *	its service's state changes to FAILED or CONFLICT	SERVFAIL
 *	MSG_DNS_REFUSED with its token			SERVFAIL, or what that says
 *	max_hold is over				SERVFAIL
 *	its TCP connection is gone			nobody to answer
 *
 * and each end is told to the launcher (MSG_DNS_ANSWERED).  STATE_FAILED ends the waits when it
 * comes as a change: the start they waited for has failed.  A query that finds the service FAILED
 * is a new wish, and is held: the launcher decides whether to try again (a state follows) or not
 * (MSG_DNS_REFUSED).
 *
 * Wakes.  A waiter whose service sleeps sends MSG_WAKE with its token, once (`woken`).  While the
 * service is STARTING or BOOTING no wake is needed: the launcher has heard one.  Should it fall
 * asleep again after all, the waiters' wakes are sent anew, because the launcher may have counted
 * the old ones as served.  While the launcher is away wakes cannot be sent; after its next
 * snapshot every waiter that still has to wait for a sleeping service sends one.
 *
 * A wake for a client that does not wait (answer: at-once, also when that was said while it waited;
 * no address of the family asked for; no place to wait in) has token 0.  At most one per service
 * goes out in ZONE_WAKE_PAUSE_MS, and always one in each new state, so that the launcher cannot
 * miss it between two states.  One that could not be sent is kept for the next snapshot.
 *
 * A name of a template that has no instance yet waits for the template, and its wake tells the label.  The launcher
 * makes the instance, and the next tables have it: then the query asks again, and waits, if it still must, for that.
 *
 * Clients that are not verified may be one that forges addresses.  Their wakes have a pause of their own, so
 * that a verified client's is not taken for the repetition of one that the launcher refuses; all of them together
 * are SERVE_UNVERIFIED_WAKES a second; and whoever would wait beyond that is told to show who he is, as he
 * is when the launcher has had enough of them (MSG_DNS_REFUSED).
 */
#include "dns/serve_internal.h"

#include <assert.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/tcp.h"

struct serve *serve_new(const struct serve_ops *ops, void *arg, uint64_t seed)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = ops;
	s->arg = arg;
	s->unverified = (struct bucket){ .burst = SERVE_UNVERIFIED_WAKES, .per_s = SERVE_UNVERIFIED_WAKES };
	s->waiting = waiting_new(SERVE_MAX_WAITING, seed);
	s->rate = rate_new(seed);
	s->counts = counts_new();
	s->signatures = signatures_new();
	if (!s->waiting || !s->rate || !s->counts || !s->signatures) {
		serve_free(s);
		return NULL;
	}
	return s;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	tables_free(s->tables);
	tables_free(s->next);
	load_free(s->load);
	signatures_free(s->signatures);
	changing_free(s->changing);
	waiting_free(s->waiting);
	rate_free(s->rate);
	free(s->counts);
	free(s->warned);
	free(s);
}

/* ---- who asks ---- */

void serve_roll(struct serve *s, uint64_t now_ns)
{
	s->rolled_ns = now_ns;
	memmove(s->cookies.secrets[1], s->cookies.secrets[0], COOKIE_SECRET);
	if (getrandom(s->cookies.secrets[0], COOKIE_SECRET, 0) != COOKIE_SECRET)
		log_limited(LOG_ERROR, "no random numbers: the cookies' secret stays");
	else
		s->cookies.n = MIN(s->cookies.n + 1, 2u);
}

void serve_publish(struct serve *s)
{
	struct view view = { .tables = s->tables, .cookies = s->cookies, .rate = s->rate, .changing = s->changing };

	s->ops->publish(s->arg, &view);
}

uint64_t serve_roll_ns(const struct serve *s)
{
	return s->own_secrets ? s->rolled_ns + SERVE_ROLL_S * NS_PER_S : UINT64_MAX;
}

static void tick(struct serve *s, uint64_t now_ns)
{
	s->now_s = (uint32_t)(clock_wall_ms() / MS_PER_S);
	s->now_s_until_ns = now_ns + NS_PER_S;
	if (now_ns >= serve_roll_ns(s)) {
		serve_roll(s, now_ns);
		serve_publish(s);
	}
}

static struct asker asker_of(struct serve *s, const struct client *c)
{
	if (c->t_ns >= s->now_s_until_ns)
		tick(s, c->t_ns);
	return (struct asker){ .addr = c->addr, .tcp = c->conn != 0, .now_s = s->now_s,
			       .cookies = s->cookies.n > 0 ? &s->cookies : NULL, .keepalive_ms = TCP_IDLE_MS,
			       .has_signed = c->tsig != 0 };
}

/* ---- wakes ---- */

static struct msg_wake wake_for(const struct client *c, uint32_t svc, uint32_t gen, uint32_t token)
{
	return (struct msg_wake){ .svc = svc, .gen = gen, .cause = CAUSE_DNS, .token = token, .client = c->addr,
				  .client_port = c->port, .verified = c->verified, .t_ns = c->t_ns };
}

static void wake_waiter(struct serve *s, struct waiter *w)
{
	struct msg_wake m = wake_for(&w->client, w->svc, w->gen, w->token);

	str_copy(m.label, w->label);
	w->woken = s->ops->tell(s->arg, MSG_WAKE, &m) == 0;
}

static void wake_unheld(struct serve *s, struct zone_service *service, const struct client *c)
{
	struct msg_wake m = wake_for(c, service->svc, service->gen, 0);
	uint64_t *last_ns = &service->last_wake_ns[c->verified];

	if (*last_ns && c->t_ns < *last_ns + ZONE_WAKE_PAUSE_MS * NS_PER_MS)
		return;
	if (!c->verified && !bucket_pass(&s->unverified, c->t_ns))
		return;
	*last_ns = c->t_ns;
	if (s->synced && s->ops->tell(s->arg, MSG_WAKE, &m) == 0) {
		service->wake_pending = false;
	} else if (!service->wake_pending || c->verified) {
		service->wake_pending = true;
		service->pending = m;
	}
}

/* ---- ends of waits ---- */

/* w is gone afterwards. */
static void end_wait(struct serve *s, struct waiter *w, unsigned rcode, const uint8_t *reply, size_t n)
{
	struct msg_dns_answered m = { .svc = w->svc, .gen = w->gen, .token = w->token, .rcode = (uint16_t)rcode,
				      .client = w->client.addr, .t_query_ns = w->client.t_ns };

	if (n > 0)
		s->ops->reply(s->arg, &w->client, reply, n);
	m.t_answer_ns = clock_now_ns();
	waiting_remove(s->waiting, w);
	s->ops->tell(s->arg, MSG_DNS_ANSWERED, &m);
}

static size_t servfail(const struct serve *s, const struct client *c, const struct wire_query *q,
		       enum trouble why, uint8_t *reply)
{
	return answer_servfail(q, c->conn != 0, tables_may_forward(s->tables, &c->addr), why, reply);
}

/* What its network gets of this answer: the length. */
static size_t limit_rate(struct serve *s, const struct client *c, struct answer *a, uint8_t *reply)
{
	return view_limit(s->tables, s->rate, &c->addr, clock_now_ns(), a, reply, s->counts);
}

/* What a query gets that is not to wait any longer. */
static size_t answer_now(struct serve *s, const struct client *c, const uint8_t *packet, size_t n, enum wish wish,
			 enum trouble why, struct answer *a, uint8_t *reply)
{
	struct asker asker = asker_of(s, c);

	asker.wish = wish;
	asker.trouble = why;
	answer_query(s->tables, &asker, packet, n, reply, a);
	assert(a->verdict != VERDICT_DROP && a->verdict != VERDICT_HOLD);
	if (a->mark)
		s->ops->mark(s->arg, a->service->svc, a->service->gen, clock_now_ns());
	if (a->verdict != VERDICT_REPLY) { /* its zone is gone */
		a->rcode = RCODE_SERVFAIL;
		a->n = servfail(s, c, &a->q, why, reply);
	}
	return limit_rate(s, c, a, reply);
}

static void end_wait_now(struct serve *s, struct waiter *w, enum wish wish, enum trouble why)
{
	uint8_t reply[ANSWER_SIZE_MAX];
	struct answer a;
	size_t n = answer_now(s, &w->client, w->packet, w->n, wish, why, &a, reply);

	end_wait(s, w, a.rcode, reply, n);
}

/* The tables in force may say of its name what is not so any more. */
static void give_up_changing(struct serve *s, struct waiter *w)
{
	struct asker asker = asker_of(s, &w->client);
	uint8_t reply[ANSWER_SIZE_MAX];
	struct answer a;

	answer_query(s->tables, &asker, w->packet, w->n, reply, &a);
	end_wait(s, w, RCODE_SERVFAIL, reply, servfail(s, &w->client, &a.q, TROUBLE_SLOW, reply));
}

static void fail_wait(struct serve *s, struct waiter *w, enum trouble why)
{
	if (w->changing)
		give_up_changing(s, w);
	else
		end_wait_now(s, w, WISH_GIVE_UP, why);
}

/* Something changed: is there an answer by now?  w may be gone afterwards. */
static void try_again(struct serve *s, struct waiter *w)
{
	struct asker asker = asker_of(s, &w->client);
	uint8_t reply[ANSWER_SIZE_MAX];
	struct answer a;

	answer_query(s->tables, &asker, w->packet, w->n, reply, &a);
	if (changing_has(s->changing, &a.q))
		return;
	w->changing = false;
	if (a.mark)
		s->ops->mark(s->arg, a.service->svc, a.service->gen, clock_now_ns());
	switch (a.verdict) {
	case VERDICT_REPLY:
		if (a.wake && !w->woken)
			wake_unheld(s, a.service, &w->client);
		end_wait(s, w, a.rcode, reply, limit_rate(s, &w->client, &a, reply));
		break;
	case VERDICT_HOLD:
		if (w->svc != a.service->svc || w->gen != a.service->gen)
			waiting_move(s->waiting, w, a.service->svc, a.service->gen);
		str_copy(w->label, a.label);
		if (a.wake && !w->woken)
			wake_waiter(s, w);
		break;
	case VERDICT_FORWARD: /* its zone is gone */
	case VERDICT_SPECIAL:
	case VERDICT_DROP:
		fail_wait(s, w, TROUBLE_START);
		break;
	}
}

/* ---- queries ---- */

/* A client that cannot wait.  One that is not verified may do better when it is. */
static size_t turn_away(struct serve *s, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply)
{
	struct answer a;

	return answer_now(s, from, packet, n, WISH_PROVE, TROUBLE_CROWD, &a, reply);
}

static size_t hold(struct serve *s, const struct client *from, const struct answer *a, uint8_t *reply,
		   bool *waits)
{
	uint64_t deadline_ns = from->t_ns + a->service->max_hold_ms * NS_PER_MS;
	uint8_t packet[WIRE_NORMAL_MAX];
	size_t n = wire_normalise(&a->q, true, packet);
	struct waiter *w;
	int r;

	if (a->wake && !from->verified && !bucket_pass(&s->unverified, from->t_ns))
		return turn_away(s, from, packet, n, reply);
	r = waiting_add(s->waiting, from, packet, n, a->service->svc, a->service->gen, deadline_ns, &w);

	if (r == 0 || r == -EALREADY) {
		str_copy(w->label, a->label);
		w->client.tsig = from->tsig; /* of a query that is repeated, its newest signature */
		if (a->wake && !w->woken)
			wake_waiter(s, w);
		*waits = r == 0;
		return 0;
	}
	log_limited(LOG_WARN, "service=%s: a query cannot wait: %s", a->service->name,
		    r == -EDQUOT ? "its network has its share waiting" : "too many wait (limits.max_waiting)");
	if (a->wake && !a->label[0])
		wake_unheld(s, a->service, from);
	return turn_away(s, from, packet, n, reply);
}

/* It waits for the next tables. */
static size_t hold_changing(struct serve *s, const struct client *from, const struct answer *a, uint8_t *reply,
			    bool *waits)
{
	uint8_t packet[WIRE_NORMAL_MAX];
	size_t n = wire_normalise(&a->q, true, packet);
	struct waiter *w;
	int r = waiting_add(s->waiting, from, packet, n, 0, 0, from->t_ns + SERVE_CHANGING_S * NS_PER_S, &w);

	if (r == 0)
		w->changing = true;
	else if (r != -EALREADY)
		return servfail(s, from, &a->q, TROUBLE_CROWD, reply);
	w->client.tsig = from->tsig;
	*waits = r == 0;
	return 0;
}

/* What the upstream will say is charged for now.  False: what is said instead is a->n bytes. */
static bool may_forward(struct serve *s, const struct client *from, struct answer *a, uint8_t *reply)
{
	enum rate_verdict verdict = a->verified ? RATE_PASS : rate_take(s->rate, &from->addr, from->t_ns);

	if (verdict == RATE_PASS || tables_is_exempt(s->tables, &from->addr))
		return true;
	count_one(s->counts, verdict == RATE_SLIP ? DNS_COUNT_SLIPPED : DNS_COUNT_LIMITED);
	a->n = verdict == RATE_SLIP ? answer_slip(&a->q, reply) : 0;
	return false;
}

static size_t forward(struct serve *s, const struct client *from, struct answer *a, uint8_t *reply, bool *waits)
{
	int r;

	if (!may_forward(s, from, a, reply))
		return a->n;
	r = s->ops->forward(s->arg, from, &a->q);
	*waits = r == 0;
	if (r == 0 || r == -EALREADY)
		return 0;
	log_limited(LOG_WARN, "a query cannot be forwarded: %s", strerror(-r));
	count_rcode(s->counts, RCODE_SERVFAIL);
	return servfail(s, from, &a->q, r == -ENOSPC || r == -EDQUOT ? TROUBLE_CROWD : TROUBLE_UPSTREAM, reply);
}

/* The others a worker has counted. */
static void count_tcp(struct serve *s, const struct answer *a)
{
	count_one(s->counts, DNS_COUNT_TCP);
	if (a->verdict == VERDICT_DROP)
		count_one(s->counts, DNS_COUNT_DROPPED);
	else
		count_type(s->counts, a->q.type);
}

static size_t answer_special(struct serve *s, const struct client *from, const uint8_t *packet, size_t n,
			     struct answer *a, uint8_t *reply, bool *waits)
{
	struct client client = *from;

	a->n = s->ops->special(s->arg, from, packet, n, a, reply, waits);
	client.verified = a->verified;
	return a->n > 0 && a->verdict == VERDICT_REPLY ? limit_rate(s, &client, a, reply) : a->n;
}

size_t serve_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply,
		   bool *waits)
{
	struct serve *s = arg;
	struct asker asker = asker_of(s, from);
	struct client client = *from;
	struct answer a;

	if (!s->tables)
		return 0;
	answer_query(s->tables, &asker, packet, n, reply, &a);
	client.verified = a.verified;
	if (from->conn && from->tsig == 0)
		count_tcp(s, &a);
	if ((a.verdict == VERDICT_REPLY || a.verdict == VERDICT_HOLD) && changing_has(s->changing, &a.q))
		return hold_changing(s, &client, &a, reply, waits);
	if (a.mark)
		s->ops->mark(s->arg, a.service->svc, a.service->gen, from->t_ns);
	switch (a.verdict) {
	case VERDICT_HOLD: return hold(s, &client, &a, reply, waits);
	case VERDICT_FORWARD: return forward(s, &client, &a, reply, waits);
	case VERDICT_REPLY:
		if (a.wake)
			wake_unheld(s, a.service, &client);
		return limit_rate(s, &client, &a, reply);
	case VERDICT_SPECIAL: return answer_special(s, from, packet, n, &a, reply, waits);
	case VERDICT_DROP: break;
	}
	return 0;
}

void serve_forget(struct serve *s, uint64_t conn)
{
	struct waiter *w = waiting_first(s->waiting);

	while (w) {
		struct waiter *next = waiting_next(w);

		if (w->client.conn == conn)
			end_wait(s, w, RCODE_SERVFAIL, NULL, 0);
		w = next;
	}
}

void serve_expire(struct serve *s, uint64_t now_ns)
{
	struct waiter *w;

	while ((w = waiting_soonest(s->waiting)) && w->deadline_ns <= now_ns)
		fail_wait(s, w, TROUBLE_SLOW);
	if (now_ns >= serve_roll_ns(s))
		tick(s, now_ns);
}

uint64_t serve_deadline_ns(const struct serve *s)
{
	const struct waiter *w = waiting_soonest(s->waiting);

	return w ? w->deadline_ns : UINT64_MAX;
}

uint32_t serve_waiting(const struct serve *s) { return waiting_count(s->waiting); }

struct counts *serve_counts(struct serve *s) { return s->counts; }

/* ---- the launcher ---- */

static bool is_awake(uint8_t state)
{
	return state == STATE_STARTING || state == STATE_BOOTING || state == STATE_UP || state == STATE_ADOPTED;
}

static void set_state(struct zone_service *service, const struct msg_dns_state *m)
{
	service->state = m->state;
	service->answer = m->answer;
	memset(service->last_wake_ns, 0, sizeof(service->last_wake_ns));
	for (unsigned i = 0; i < ARRAY_SIZE(service->passed_ns); i++)
		atomic_store_explicit(&service->passed_ns[i], 0, memory_order_relaxed);
	service->wake_pending = false;
}

static void tell_waiters(struct serve *s, uint32_t svc, uint8_t was, uint8_t state)
{
	bool asleep_again = is_awake(was) && !is_awake(state);
	struct waiter *w = waiting_first_of(s->waiting, svc);

	while (w) {
		struct waiter *next = waiting_next_of(w);

		if (w->changing) { /* for no service */
			w = next;
			continue;
		}
		if (asleep_again)
			w->woken = false;
		if (state == STATE_FAILED || state == STATE_CONFLICT)
			fail_wait(s, w, state == STATE_FAILED ? TROUBLE_START : TROUBLE_CONFLICT);
		else
			try_again(s, w);
		w = next;
	}
}

static void on_state(struct serve *s, const struct msg_dns_state *m)
{
	bool known = m->state < STATE_N && m->answer < ANSWER_N;
	struct zone_service *service = known && s->next ? tables_service(s->next, m->svc, m->gen) : NULL;

	if (service)
		set_state(service, m);
	service = known && s->tables ? tables_service(s->tables, m->svc, m->gen) : NULL;
	if (service) {
		uint8_t was = service->state;

		set_state(service, m);
		s->ops->settle(s->arg);
		tell_waiters(s, m->svc, was, m->state);
	}
	s->ops->tell(s->arg, MSG_DNS_STATE_ACK, m);
}

static void on_refused(struct serve *s, const struct msg_dns_refused *m)
{
	static const struct {
		enum wish wish;
		enum trouble trouble;
	} hows[REFUSED_N] = {
		[REFUSED_FAIL] = { WISH_GIVE_UP, TROUBLE_START },
		[REFUSED_PROVE] = { WISH_PROVE, TROUBLE_START },
		[REFUSED_ANSWER] = { WISH_NOW, TROUBLE_START },
		[REFUSED_FULL] = { WISH_GIVE_UP, TROUBLE_FULL },
	};
	struct waiter *w = waiting_find(s->waiting, m->token);

	if (w && w->svc == m->svc && w->gen == m->gen && m->how < REFUSED_N)
		end_wait_now(s, w, hows[m->how].wish, hows[m->how].trouble);
}

static struct zone_service *same_service(struct tables *t, const struct zone_service *as)
{
	struct zone_service *service;

	for (uint32_t i = 0; (service = tables_service_at(t, i)); i++)
		if (strcmp(service->name, as->name) == 0)
			return service;
	return NULL;
}

void serve_send_pending(struct serve *s, struct tables *old)
{
	struct zone_service *service, *now;

	for (uint32_t i = 0; old && (service = tables_service_at(old, i)); i++) {
		struct client c;

		if (!service->wake_pending)
			continue;
		now = same_service(s->tables, service);
		if (!now || is_awake(now->state))
			continue;
		c = (struct client){ .addr = service->pending.client, .port = service->pending.client_port,
				     .verified = service->pending.verified, .t_ns = service->pending.t_ns };
		wake_unheld(s, now, &c);
	}
}

void serve_ask_again(struct serve *s)
{
	struct waiter *w = waiting_first(s->waiting);

	while (w) {
		struct waiter *next = waiting_next(w);

		w->woken = false;
		try_again(s, w);
		w = next;
	}
}

void serve_launcher_msg(struct serve *s, enum msg_type type, const void *body)
{
	int r;

	switch (type) {
	case MSG_BEGIN: serve_on_begin(s); break;
	case MSG_END: serve_on_end(s); break;
	case MSG_DNS_STATE: on_state(s, body); break;
	case MSG_DNS_REFUSED: on_refused(s, body); break;
	case MSG_DNS_CHANGING: serve_on_changing(s, body); break;
	default:
		r = s->next && !s->loading ? serve_fill_next(s->next, type, body) : 0;
		if (r < 0)
			log_limited(LOG_ERROR, "%s left out: %s", msg_name(type), strerror(-r));
	}
}
