#include <sys/mman.h>

#include "tests/dns/util.h"

#include "dns/serve.h"

/* ---- the world around serve.c, remembered ---- */

enum { LOG_MAX = 256 };
#define T0 (1000 * NS_PER_S)

struct world {
	struct serve *serve;
	bool away; /* the launcher is */
	unsigned n_replies, n_wakes, n_answered, n_acks, n_marks, n_tables, n_forwards, n_loaded;
	struct msg_dns_loaded loaded; /* the newest */
	uint32_t serial; /* of jitsu.example, as last told */
	struct {
		struct client to;
		size_t n;
		uint8_t b[ANSWER_SIZE_MAX];
	} replies[LOG_MAX];
	struct msg_wake wakes[LOG_MAX];
	struct msg_dns_answered answered[LOG_MAX];
	struct msg_dns_state acks[LOG_MAX];
	struct view view; /* the newest */
	unsigned n_special, n_published, n_settled, settled_before_acks; /* how many acks had gone then */
	unsigned acks_after_replies; /* how many replies had gone when the last ack went */
	uint32_t changing_seq; /* of the newest ack */
	unsigned n_published_at_ack;
	int forward_result;
	bool special_verified, special_is_served;
};

static void on_reply(void *arg, const struct client *to, const uint8_t *packet, size_t n)
{
	struct world *w = arg;

	assert_true(w->n_replies < LOG_MAX);
	w->replies[w->n_replies].to = *to;
	w->replies[w->n_replies].n = n;
	memcpy(w->replies[w->n_replies].b, packet, n);
	w->n_replies++;
}

static int on_tell(void *arg, enum msg_type type, const void *body)
{
	struct world *w = arg;

	if (w->away)
		return -EPIPE;
	switch (type) {
	case MSG_WAKE:
		assert_true(w->n_wakes < LOG_MAX);
		w->wakes[w->n_wakes++] = *(const struct msg_wake *)body;
		break;
	case MSG_DNS_ANSWERED: w->answered[w->n_answered++] = *(const struct msg_dns_answered *)body; break;
	case MSG_DNS_STATE_ACK:
		w->acks[w->n_acks++] = *(const struct msg_dns_state *)body;
		w->acks_after_replies = w->n_replies;
		break;
	case MSG_DNS_CHANGING_ACK:
		w->changing_seq = ((const struct msg_dns_changing *)body)->seq;
		w->n_published_at_ack = w->n_published;
		break;
	case MSG_DNS_ZONE_SERIAL: w->serial = ((const struct msg_dns_zone_serial *)body)->serial; break;
	case MSG_DNS_LOADED:
		w->loaded = *(const struct msg_dns_loaded *)body;
		w->n_loaded++;
		break;
	default: fail_msg("told %s", msg_name(type));
	}
	return 0;
}

static void on_mark(void *arg, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	struct world *w = arg;

	(void)svc;
	(void)gen;
	assert_int_not_equal(now_ns, 0);
	w->n_marks++;
}

static int on_forward(void *arg, const struct client *from, const struct wire_query *q)
{
	struct world *w = arg;

	(void)from;
	(void)q;
	w->n_forwards++;
	return w->forward_result;
}

static void on_tables(void *arg, const struct tables *t)
{
	struct world *w = arg;

	(void)t;
	w->n_tables++;
}

static void on_publish(void *arg, const struct view *view)
{
	struct world *w = arg;

	assert_non_null(view->tables);
	assert_non_null(view->rate);
	w->view = *view;
	w->n_published++;
}

static void on_settle(void *arg)
{
	struct world *w = arg;

	w->settled_before_acks = w->n_acks;
	w->n_settled++;
}

/* As special.c: a good signature is verified, and an answer of serve.c's own stays as it is. */
static size_t on_special(void *arg, const struct client *from, const uint8_t *packet, size_t n, struct answer *a,
			 uint8_t *reply, bool *waits)
{
	struct world *w = arg;

	(void)from;
	(void)waits;
	assert_int_equal(a->verdict, VERDICT_SPECIAL);
	w->n_special++;
	a->verified = w->special_verified;
	if (!w->special_is_served)
		a->verdict = VERDICT_REPLY;
	memcpy(reply, packet, n);
	reply[2] |= 0x80;
	return n;
}

static const struct serve_ops ops = { on_reply,	  on_tell,   on_mark,	on_forward,
				      on_tables, on_publish, on_settle, on_special };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	clock_fake_ns(T0);
	w->serve = serve_new(&ops, w, 1);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	serve_free(w->serve);
	free(w);
	clock_fake_ns(0);
	return 0;
}

/* ---- what the launcher says ---- */

static void begin(struct world *w, uint32_t max_waiting)
{
	struct msg_dns_conf conf = { .max_waiting = max_waiting, .max_tcp = 10 };
	struct msg_dns_zone z = zone_msg("jitsu.example");

	serve_launcher_msg(w->serve, MSG_BEGIN, NULL);
	serve_launcher_msg(w->serve, MSG_DNS_CONF, &conf);
	serve_launcher_msg(w->serve, MSG_DNS_ZONE, &z);
}

static void add_service(struct world *w, uint32_t svc, uint32_t gen, const char *name, uint8_t state, uint8_t answer)
{
	char dns[100];
	struct msg_dns_service m;

	snprintf(dns, sizeof(dns), "%s.jitsu.example", name);
	m = service_msg(svc, name, dns, "192.168.1.20", state, answer);
	m.gen = gen;
	serve_launcher_msg(w->serve, MSG_DNS_SERVICE, &m);
}

static void end(struct world *w) { serve_launcher_msg(w->serve, MSG_END, NULL); }

/* One service, www. */
static void snapshot(struct world *w, uint8_t state, uint8_t answer)
{
	begin(w, 100);
	add_service(w, SVC_WWW, GEN, "www", state, answer);
	end(w);
}

static void say_state_answer(struct world *w, uint8_t state, uint8_t answer)
{
	struct msg_dns_state m = { .svc = SVC_WWW, .gen = GEN, .state = state, .answer = answer, .seq = 77 };

	serve_launcher_msg(w->serve, MSG_DNS_STATE, &m);
}

static void say_state(struct world *w, uint8_t state) { say_state_answer(w, state, ANSWER_READY); }

static void say_refused(struct world *w, uint32_t token)
{
	struct msg_dns_refused m = { .svc = SVC_WWW, .gen = GEN, .token = token };

	serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
}

/* ---- clients ---- */

struct asked {
	size_t n; /* of the answer at once */
	unsigned rcode;
	bool cut; /* TC */
	bool waits;
};

static struct asked ask_for(struct world *w, const char *name, unsigned type, const char *addr, uint16_t port, uint64_t conn)
{
	struct client c = { .addr = ip(addr), .port = port, .conn = conn, .t_ns = clock_now_ns() };
	uint8_t query[512], reply[ANSWER_SIZE_MAX];
	struct asked r = { 0 };
	size_t n = make_query(query, (struct ask){ .name = name, .type = type, .id = port, .flags = FLAG_RD });

	r.n = serve_query(w->serve, &c, query, n, reply, &r.waits);
	if (r.n) {
		r.rcode = reply[3] & 15;
		r.cut = reply[2] & FLAG_TC >> 8;
	}
	return r;
}

static struct asked ask(struct world *w, uint16_t port)
{
	return ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", port, 0);
}

static unsigned rcode_of(const struct world *w, unsigned i) { return w->replies[i].b[3] & 15; }

/* ---- names that change ---- */

static void say_changing(struct world *w, uint32_t seq, const char *name, const char *addr)
{
	struct msg_dns_changing m = { .seq = seq, .n_names = 1, .n_addrs = addr != NULL };

	str_copy(m.names[0].text, name);
	if (addr)
		m.addrs[0] = ip(addr);
	serve_launcher_msg(w->serve, MSG_DNS_CHANGING, &m);
}

static struct asked ask_name(struct world *w, const char *name, unsigned type, uint16_t port)
{
	return ask_for(w, name, type, "10.0.0.1", port, 0);
}

/* What a worker does with it. */
static bool worker_passes(struct world *w, const char *name)
{
	struct asker asker = { .addr = ip("10.0.0.1") };
	static struct counts counts;
	enum view_pass pass = PASS_NOT;
	uint8_t query[512], reply[ANSWER_SIZE_MAX];
	size_t n = make_query(query, (struct ask){ .name = name, .type = TYPE_A, .id = 9, .flags = FLAG_RD });

	return view_query(&w->view, &asker, clock_now_ns(), query, n, reply, &counts, &pass) == 0 && pass != PASS_NOT;
}

/* A service is added: whoever asks from the ack on gets what the next tables say, and not that there is none. */
static void test_a_name_that_comes(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(ask_name(w, "new.jitsu.example", TYPE_A, 1).rcode, RCODE_NXDOMAIN);
	assert_false(worker_passes(w, "new.jitsu.example"));
	say_changing(w, 5, "New.jitsu.example", "192.168.1.20");
	assert_int_equal(w->changing_seq, 5);
	assert_int_equal(w->n_published_at_ack, 2); /* workers knew before */
	assert_true(worker_passes(w, "new.jitsu.example"));
	assert_true(worker_passes(w, "20.1.168.192.in-addr.arpa"));
	assert_false(worker_passes(w, "www.jitsu.example"));
	assert_true(ask_name(w, "neW.jitsu.example", TYPE_A, 2).waits);
	assert_true(ask_name(w, "20.1.168.192.in-addr.arpa", TYPE_PTR, 3).waits);
	assert_true(ask_name(w, "www.jitsu.example", TYPE_A, 4).n > 0); /* all others as ever */
	say_state(w, STATE_FAILED); /* which is none of theirs, even where theirs has no number */
	assert_int_equal(w->n_replies, 0);
	begin(w, 100);
	add_service(w, SVC_WWW, GEN, "www", STATE_UP, ANSWER_READY);
	add_service(w, 8, GEN, "new", STATE_UP, ANSWER_READY);
	assert_int_equal(w->n_replies, 0);
	end(w);
	assert_int_equal(w->n_replies, 2);
	assert_int_equal(rcode_of(w, 0), RCODE_NOERROR);
	assert_int_equal(serve_waiting(w->serve), 0);
	assert_false(worker_passes(w, "new.jitsu.example"));
}

/* One that is said while a snapshot comes in is not in that one, but in the next. */
static void test_a_name_between_two_snapshots(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	say_changing(w, 5, "one.jitsu.example", NULL);
	begin(w, 100);
	say_changing(w, 6, "two.jitsu.example", NULL);
	assert_true(ask_name(w, "one.jitsu.example", TYPE_A, 1).waits);
	assert_true(ask_name(w, "two.jitsu.example", TYPE_A, 2).waits);
	end(w);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->replies[0].to.port, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_NXDOMAIN);
	assert_true(worker_passes(w, "two.jitsu.example"));
	begin(w, 100); /* given up: another one follows */
	begin(w, 100);
	add_service(w, 8, GEN, "two", STATE_OFF, ANSWER_READY);
	end(w);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->n_wakes, 1); /* it waits for its service from here on */
	assert_int_equal(w->wakes[0].svc, 8);
}

static void test_tables_that_never_come(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	say_changing(w, 5, "www.jitsu.example", NULL);
	assert_true(ask(w, 1).waits);
	assert_int_equal(serve_deadline_ns(w->serve), T0 + SERVE_CHANGING_S * NS_PER_S);
	serve_launcher_changed(w->serve);
	assert_int_equal(w->n_replies, 0);
	clock_fake_ns(T0 + SERVE_CHANGING_S * NS_PER_S);
	serve_expire(w->serve, T0 + SERVE_CHANGING_S * NS_PER_S);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	snapshot(w, STATE_UP, ANSWER_READY); /* of the next launcher, which knows */
	assert_true(ask(w, 2).n > 0);
}

/* Too many: nothing is said, and the launcher waits for the snapshot. */
static void test_too_many_names_change(void **state)
{
	struct world *w = *state;
	uint32_t seq = 1;

	snapshot(w, STATE_UP, ANSWER_READY);
	for (; seq <= CHANGING_MAX / 2 + 10; seq++) {
		char name[64];

		snprintf(name, sizeof(name), "n%u.jitsu.example", seq);
		say_changing(w, seq, name, "10.0.0.9");
	}
	assert_int_equal(w->changing_seq, CHANGING_MAX / 2);
	assert_true(worker_passes(w, "n1.jitsu.example"));
	assert_false(worker_passes(w, "n2050.jitsu.example"));
	snapshot(w, STATE_UP, ANSWER_READY);
	assert_false(worker_passes(w, "n1.jitsu.example"));
	say_changing(w, seq, "a.jitsu.example", NULL);
	assert_int_equal(w->changing_seq, seq);
}

/* ---- tests ---- */

/* What workers answer from is told before anything else goes by it. */
static void test_workers_know_before_others_hear(void **state)
{
	struct world *w = *state;
	struct msg_dns_state nobody = { .svc = 99, .gen = GEN, .state = STATE_UP, .answer = ANSWER_READY };
	struct tables *first;

	assert_int_equal(w->n_published, 0);
	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(w->n_published, 1);
	first = w->view.tables;
	say_state(w, STATE_DRAINING);
	assert_int_equal(w->n_settled, 1);
	assert_int_equal(w->settled_before_acks, 0);
	assert_int_equal(w->n_acks, 1);
	assert_int_equal(tables_service(first, SVC_WWW, GEN)->state, STATE_DRAINING);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &nobody); /* nothing to settle */
	assert_int_equal(w->n_settled, 1);
	assert_int_equal(w->n_acks, 2);
	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(w->n_published, 2);
	assert_ptr_not_equal(w->view.tables, first);
}

/* Workers give cookies, too: also when the main thread hears of no query for a day. */
static void test_a_new_secret_is_published(void **state)
{
	struct world *w = *state;
	struct cookies before;

	assert_int_equal(serve_roll_ns(w->serve), UINT64_MAX);
	snapshot(w, STATE_UP, ANSWER_READY);
	before = w->view.cookies;
	assert_int_equal(before.n, 1);
	assert_int_equal(serve_roll_ns(w->serve), T0 + SERVE_ROLL_S * NS_PER_S);
	serve_expire(w->serve, serve_roll_ns(w->serve) - 1);
	assert_int_equal(w->n_published, 1);
	serve_expire(w->serve, serve_roll_ns(w->serve));
	assert_int_equal(w->n_published, 2);
	assert_int_equal(w->view.cookies.n, 2);
	assert_memory_equal(w->view.cookies.secrets[1], before.secrets[0], COOKIE_SECRET);
	assert_memory_not_equal(w->view.cookies.secrets[0], before.secrets[0], COOKIE_SECRET);
}

static void test_nothing_before_the_first_end(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, 1).n, 0);
	begin(w, 10);
	add_service(w, SVC_WWW, GEN, "www", STATE_UP, ANSWER_READY);
	assert_int_equal(ask(w, 1).n, 0);
	assert_int_equal(w->n_tables, 0);
	end(w);
	assert_int_equal(w->n_tables, 1);
	assert_true(ask(w, 1).n > 0);
	assert_int_equal(w->n_marks, 1);
	assert_int_equal(w->n_wakes, 0);
}

static void test_wake_and_answer_when_up(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	assert_true(ask(w, 1000).waits);
	assert_int_equal(w->n_wakes, 1);
	assert_int_equal(w->wakes[0].svc, SVC_WWW);
	assert_int_equal(w->wakes[0].gen, GEN);
	assert_int_equal(w->wakes[0].cause, CAUSE_DNS);
	assert_int_not_equal(w->wakes[0].token, 0);
	assert_int_equal(w->wakes[0].client_port, 1000);
	assert_int_equal(w->wakes[0].t_ns, T0);
	say_state(w, STATE_STARTING);
	say_state(w, STATE_BOOTING);
	assert_int_equal(w->n_replies, 0);
	clock_fake_ns(T0 + 40 * NS_PER_MS);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->replies[0].to.port, 1000);
	assert_int_equal(rcode_of(w, 0), 0);
	assert_int_equal(w->n_marks, 1);
	assert_int_equal(w->n_answered, 1);
	assert_int_equal(w->answered[0].token, w->wakes[0].token);
	assert_int_equal(w->answered[0].t_query_ns, T0);
	assert_int_equal(w->answered[0].t_answer_ns, T0 + 40 * NS_PER_MS);
	assert_int_equal(serve_waiting(w->serve), 0);
	assert_int_equal(w->n_acks, 3);
	assert_int_equal(w->acks[2].seq, 77);
	assert_int_equal(w->acks[2].state, STATE_UP);
	assert_int_equal(w->acks_after_replies, 1); /* the ack comes when it has taken effect */
}

static void test_started_is_answered_when_booting(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_STARTED);
	ask(w, 1);
	say_state_answer(w, STATE_STARTING, ANSWER_STARTED);
	assert_int_equal(w->n_replies, 0);
	say_state_answer(w, STATE_BOOTING, ANSWER_STARTED);
	assert_int_equal(w->n_replies, 1);
}

static void test_many_ask_while_it_starts(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	for (uint16_t i = 1; i <= 10; i++)
		ask(w, i);
	assert_int_equal(w->n_wakes, 10); /* each has its token */
	say_state(w, STATE_STARTING);
	for (uint16_t i = 11; i <= 20; i++)
		assert_true(ask(w, i).waits);
	assert_int_equal(w->n_wakes, 10); /* it is starting: no more are needed */
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 20);
	assert_int_equal(w->n_answered, 20);
}

static void test_retry_is_answered_once(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	assert_true(ask(w, 1).waits);
	assert_false(ask(w, 1).waits);
	assert_false(ask(w, 1).waits);
	assert_int_equal(w->n_wakes, 1);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 1);
}

static void test_max_hold(void **state)
{
	struct world *w = *state;
	uint64_t deadline = T0 + 60 * NS_PER_S;

	snapshot(w, STATE_OFF, ANSWER_READY);
	assert_int_equal(serve_deadline_ns(w->serve), UINT64_MAX);
	ask(w, 1);
	assert_int_equal(serve_deadline_ns(w->serve), deadline);
	serve_expire(w->serve, deadline - 1);
	assert_int_equal(w->n_replies, 0);
	serve_expire(w->serve, deadline);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	assert_int_equal(w->answered[0].rcode, RCODE_SERVFAIL);
	assert_int_equal(serve_deadline_ns(w->serve), UINT64_MAX);
}

static void test_refused_ends_that_wait_alone(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	ask(w, 2);
	say_refused(w, 0);
	say_refused(w, w->wakes[0].token + 1000);
	assert_int_equal(w->n_replies, 0);
	say_refused(w, w->wakes[0].token);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	assert_int_equal(w->replies[0].to.port, 1);
	say_refused(w, w->wakes[0].token);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(serve_waiting(w->serve), 1);
}

static void test_failed_ends_waits_but_a_new_query_waits(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	say_state(w, STATE_STARTING);
	ask(w, 2);
	say_state(w, STATE_FAILED);
	assert_int_equal(w->n_replies, 2);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	assert_int_equal(rcode_of(w, 1), RCODE_SERVFAIL);
	assert_true(ask(w, 3).waits); /* FAILED stands: the launcher decides */
	assert_int_equal(w->n_wakes, 2);
	say_state(w, STATE_STARTING);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 3);
	assert_int_equal(rcode_of(w, 2), 0);
}

static void test_conflict(void **state)
{
	struct world *w = *state;
	struct asked a;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	say_state(w, STATE_CONFLICT);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	a = ask(w, 2);
	assert_false(a.waits);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
}

static void test_stopping_then_off_keeps_waiting(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	say_state(w, STATE_DRAINING);
	assert_true(ask(w, 1).waits); /* nothing from the table any more */
	assert_int_equal(w->n_marks, 0);
	assert_int_equal(w->n_wakes, 1);
	say_state(w, STATE_STOPPING);
	say_state(w, STATE_OFF);
	assert_int_equal(w->n_replies, 0);
	assert_int_equal(w->n_wakes, 1); /* the launcher knows */
	say_state(w, STATE_STARTING);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 1);
}

/* It started for those who wait, and went down again: their wish stands. */
static void test_asleep_again_wakes_again(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	say_state(w, STATE_STARTING);
	ask(w, 2); /* sent no wake */
	say_state(w, STATE_OFF);
	assert_int_equal(w->n_wakes, 3);
	assert_int_equal(w->wakes[1].token, w->wakes[0].token);
	assert_int_not_equal(w->wakes[2].token, w->wakes[0].token);
	say_state(w, STATE_OFF);
	assert_int_equal(w->n_wakes, 3);
}

static void test_at_once_wakes_are_paced(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	for (uint16_t i = 1; i <= 20; i++)
		assert_true(ask(w, i).n > 0);
	assert_int_equal(w->n_marks, 20);
	assert_int_equal(w->n_wakes, 1);
	assert_int_equal(w->wakes[0].token, 0);
	clock_fake_ns(T0 + 49 * NS_PER_MS);
	ask(w, 30);
	assert_int_equal(w->n_wakes, 1);
	clock_fake_ns(T0 + 50 * NS_PER_MS);
	ask(w, 31);
	assert_int_equal(w->n_wakes, 2);
	say_state_answer(w, STATE_STARTING, ANSWER_AT_ONCE);
	ask(w, 32);
	assert_int_equal(w->n_wakes, 2);
	say_state_answer(w, STATE_DRAINING, ANSWER_AT_ONCE); /* a new state: never silent in it */
	ask(w, 33);
	assert_int_equal(w->n_wakes, 3);
}

/* Connections begin to be held for it, and are no longer. */
static void test_answer_changes_with_the_state(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	assert_true(ask(w, 1).waits);
	assert_int_equal(w->n_wakes, 1);
	say_state_answer(w, STATE_OFF, ANSWER_AT_ONCE);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->answered[0].rcode, RCODE_NOERROR);
	assert_int_equal(w->n_marks, 1);
	assert_int_equal(w->n_wakes, 1); /* its wake was heard */
	assert_true(ask(w, 2).n > 0);
	assert_int_equal(w->n_marks, 2);
	assert_int_equal(w->n_wakes, 2);
	assert_int_equal(w->wakes[1].token, 0);
	say_state_answer(w, STATE_OFF, ANSWER_READY);
	assert_true(ask(w, 3).waits);
	assert_int_equal(w->n_marks, 2);
	assert_int_equal(w->n_wakes, 3);
	assert_int_not_equal(w->wakes[2].token, 0);
}

/* In use elsewhere: nobody is led there, nothing is woken for it. */
static void test_at_once_is_not_for_a_conflict(void **state)
{
	struct world *w = *state;
	struct asked a;

	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	say_state_answer(w, STATE_CONFLICT, ANSWER_AT_ONCE);
	a = ask(w, 1);
	assert_true(a.n > 0 && a.rcode == RCODE_SERVFAIL);
	assert_int_equal(w->n_marks, 0);
	assert_int_equal(w->n_wakes, 0);
}

/* The wake that the new launcher never heard goes out with the answer, once for all of them. */
static void test_waiters_answered_at_once_wake_the_new_launcher(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	ask(w, 2);
	assert_int_equal(w->n_wakes, 2);
	begin(w, 100);
	add_service(w, 9, GEN + 5, "www", STATE_OFF, ANSWER_AT_ONCE);
	end(w);
	assert_int_equal(w->n_replies, 2);
	assert_int_equal(w->n_wakes, 3);
	assert_int_equal(w->wakes[2].svc, 9);
	assert_int_equal(w->wakes[2].token, 0);
}

static void test_other_family_wakes_without_waiting(void **state)
{
	struct world *w = *state;
	struct asked a;

	snapshot(w, STATE_OFF, ANSWER_READY);
	a = ask_for(w, "www.jitsu.example", TYPE_AAAA, "10.0.0.1", 1, 0);
	assert_true(a.n > 0 && a.rcode == 0 && !a.waits);
	assert_int_equal(w->n_wakes, 1);
	assert_int_equal(w->wakes[0].token, 0);
}

/* Over UDP he may be a forger, and find a place over TCP. */
static void test_no_place_is_said_and_still_wakes(void **state)
{
	struct world *w = *state;
	struct asked a;

	begin(w, 4);
	add_service(w, SVC_WWW, GEN, "www", STATE_OFF, ANSWER_READY);
	end(w);
	assert_true(ask(w, 1).waits);
	a = ask(w, 2); /* its network's share is 1 of 4 */
	assert_true(a.cut);
	assert_int_equal(w->n_wakes, 2);
	assert_int_equal(w->wakes[1].token, 0);
	assert_false(w->wakes[1].verified);
	ask(w, 3);
	assert_int_equal(w->n_wakes, 2); /* paced */
	a = ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", 4, 9);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	assert_int_equal(w->n_wakes, 3); /* the pace of others is not his */
	assert_true(w->wakes[2].verified);
	assert_true(ask_for(w, "www.jitsu.example", TYPE_A, "10.9.0.1", 1, 0).waits);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 2);
}

/* What the launcher says instead of waking. */
static void test_refused_in_three_ways(void **state)
{
	static const struct {
		uint64_t conn;
		unsigned rcode, answers;
		uint8_t how;
		bool cut;
	} cases[] = {
		{ 0, RCODE_SERVFAIL, 0, REFUSED_FAIL, false },	{ 5, RCODE_SERVFAIL, 0, REFUSED_FAIL, false },
		{ 0, RCODE_NOERROR, 0, REFUSED_PROVE, true },	{ 5, RCODE_SERVFAIL, 0, REFUSED_PROVE, false },
		{ 0, RCODE_NOERROR, 1, REFUSED_ANSWER, false }, { 5, RCODE_NOERROR, 1, REFUSED_ANSWER, false },
	};
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg_dns_refused m = { .svc = SVC_WWW, .gen = GEN, .how = cases[i].how };

		assert_true(ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", (uint16_t)(i + 1), cases[i].conn).waits);
		m.token = w->wakes[i].token;
		serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
		assert_int_equal(w->n_replies, i + 1);
		assert_int_equal(!!(w->replies[i].b[2] & FLAG_TC >> 8), cases[i].cut);
		assert_int_equal(rcode_of(w, i), cases[i].rcode);
		assert_int_equal(w->replies[i].b[7], cases[i].answers);
		assert_int_equal(w->answered[i].rcode, cases[i].rcode);
	}
	assert_int_equal(w->n_marks, 2);
}

/* A client with EDNS is told whether it could not be, or may not be (RFC 8914). */
static void test_refused_with_a_reason(void **state)
{
	static const struct {
		uint8_t how;
		const char *text;
	} cases[] = {
		{ REFUSED_FAIL, "the service could not be started" },
		{ REFUSED_FULL, "no more services of its template may be made now" },
	};
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg_dns_refused m = { .svc = SVC_WWW, .gen = GEN, .how = cases[i].how };
		struct client c = { .addr = ip("10.0.0.1"), .port = (uint16_t)(i + 1), .t_ns = clock_now_ns() };
		uint8_t query[512], reply[ANSWER_SIZE_MAX];
		size_t n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A, .id = i + 1,
							   .edns_size = 1232 });
		bool waits = false;

		assert_int_equal(serve_query(w->serve, &c, query, n, reply, &waits), 0);
		assert_true(waits);
		m.token = w->wakes[i].token;
		serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
		assert_int_equal(w->n_replies, i + 1);
		assert_int_equal(rcode_of(w, i), RCODE_SERVFAIL);
		assert_non_null(memmem(w->replies[i].b, w->replies[i].n, cases[i].text, strlen(cases[i].text)));
	}
}

/* A flood of clients that may be anybody: so many wakes a second, the others are told to show who they are, and
 * who has is not kept waiting by them. */
static void test_a_flood_of_wakes(void **state)
{
	struct world *w = *state;
	unsigned waits = 0, cut = 0;

	begin(w, 4000);
	for (uint32_t i = 0; i < 4; i++) {
		static const char *const names[] = { "a", "b", "c", "d" };

		add_service(w, 10 + i, GEN, names[i], STATE_OFF, i < 2 ? ANSWER_AT_ONCE : ANSWER_READY);
	}
	end(w);
	for (unsigned i = 0; i < 2 * SERVE_UNVERIFIED_WAKES; i++) {
		char addr[32];
		struct asked a;

		if (w->n_wakes >= LOG_MAX - 8)
			w->n_wakes = 0;
		snprintf(addr, sizeof(addr), "198.%u.%u.1", 18 + i / 256, i % 256);
		a = ask_for(w, i % 2 ? "c.jitsu.example" : "d.jitsu.example", TYPE_A, addr, 1, 0);
		waits += a.waits;
		cut += a.cut;
	}
	assert_int_equal(waits, SERVE_UNVERIFIED_WAKES);
	assert_int_equal(cut, SERVE_UNVERIFIED_WAKES);
	w->n_wakes = 0;
	assert_true(ask_for(w, "a.jitsu.example", TYPE_A, "198.51.100.1", 1, 0).n > 0);
	assert_int_equal(w->n_wakes, 0); /* answered, and not woken */
	assert_true(ask_for(w, "a.jitsu.example", TYPE_A, "198.51.100.1", 1, 7).n > 0);
	assert_true(ask_for(w, "c.jitsu.example", TYPE_A, "198.51.100.1", 1, 7).waits);
	assert_int_equal(w->n_wakes, 2);
	clock_fake_ns(T0 + NS_PER_S);
	assert_true(ask_for(w, "b.jitsu.example", TYPE_A, "198.51.100.1", 1, 0).n > 0);
	assert_int_equal(w->n_wakes, 3);
}

/* Workers pass on the first of them. */
static void test_a_worker_passes_on_what_is_new(void **state)
{
	struct world *w = *state;
	struct asker asker = { .addr = ip("10.0.0.1") };
	static struct counts counts;
	uint8_t query[512], reply[WIRE_UDP_MAX];
	size_t n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A });
	struct zone_service *www;
	enum view_pass pass;

	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	www = tables_service(w->view.tables, SVC_WWW, GEN);
	for (unsigned i = 0; i < 6; i++) { /* a pause is two rounds */
		pass = PASS_NOT;
		size_t reply_n = view_query(&w->view, &asker, T0 + i * ZONE_WAKE_PAUSE_MS * NS_PER_MS / 2, query, n, reply,
					    &counts, &pass);

		assert_int_equal(pass, i % 2 ? PASS_NOT : PASS_ANYBODY);
		assert_int_equal(reply_n > 0, i % 2);
	}
	assert_true(atomic_load(&www->passed_ns[0]) > 0);
	say_state_answer(w, STATE_STOPPING, ANSWER_AT_ONCE);
	assert_int_equal(atomic_load(&www->passed_ns[0]), 0); /* in each new state anew */
}

static void test_tcp_client_goes(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", 1, 5);
	ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", 2, 5);
	ask_for(w, "www.jitsu.example", TYPE_A, "10.0.0.1", 3, 6);
	serve_forget(w->serve, 5);
	assert_int_equal(w->n_replies, 0);
	assert_int_equal(w->n_answered, 2);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->replies[0].to.conn, 6);
}

/* ---- the launcher goes and comes ---- */

static void test_launcher_away(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	w->away = true;
	assert_true(ask(w, 2).waits);
	assert_int_equal(w->n_wakes, 1);
	w->away = false;
	serve_launcher_changed(w->serve);
	snapshot(w, STATE_OFF, ANSWER_READY);
	assert_int_equal(w->n_wakes, 3); /* both: it is a new launcher */
	assert_int_equal(w->wakes[1].token, w->wakes[0].token);
	serve_launcher_changed(w->serve);
	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(w->n_replies, 2);
	assert_int_equal(w->n_wakes, 3);
}

static void test_tables_serve_while_the_launcher_is_away(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	w->away = true;
	serve_launcher_changed(w->serve);
	assert_true(ask(w, 1).n > 0);
	begin(w, 10); /* a snapshot that breaks off changes nothing */
	serve_launcher_changed(w->serve);
	end(w);
	assert_int_equal(w->n_tables, 1);
	assert_true(ask(w, 2).n > 0);
}

static void test_unheld_wake_is_kept_for_the_launcher(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	w->away = true;
	assert_true(ask(w, 1).n > 0);
	assert_int_equal(w->n_wakes, 0);
	w->away = false;
	begin(w, 100); /* the new launcher counts services anew */
	add_service(w, 9, GEN + 5, "www", STATE_OFF, ANSWER_AT_ONCE);
	end(w);
	assert_int_equal(w->n_wakes, 1);
	assert_int_equal(w->wakes[0].svc, 9);
	assert_int_equal(w->wakes[0].gen, GEN + 5);
	assert_int_equal(w->wakes[0].client_port, 1);
	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	assert_int_equal(w->n_wakes, 1);
}

/* A new launcher is there but has not said anything yet: it would not know what our numbers mean. */
static void test_unheld_wake_waits_for_the_snapshot(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_AT_ONCE);
	serve_launcher_changed(w->serve);
	assert_true(ask(w, 1).n > 0);
	assert_int_equal(w->n_wakes, 0);
	begin(w, 100);
	add_service(w, 9, GEN + 5, "www", STATE_OFF, ANSWER_AT_ONCE);
	end(w);
	assert_int_equal(w->n_wakes, 1);
	assert_int_equal(w->wakes[0].gen, GEN + 5);
}

static void test_waiter_follows_its_name(void **state)
{
	struct world *w = *state;
	struct msg_dns_state m = { .svc = 9, .gen = GEN + 5, .state = STATE_UP, .answer = ANSWER_READY, .seq = 1 };

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	begin(w, 100);
	add_service(w, 9, GEN + 5, "www", STATE_OFF, ANSWER_READY);
	end(w);
	assert_int_equal(w->n_wakes, 2);
	assert_int_equal(w->wakes[1].svc, 9);
	assert_int_equal(w->wakes[1].gen, GEN + 5);
	say_refused(w, w->wakes[0].token); /* about the past: another service */
	say_state(w, STATE_FAILED); /* likewise */
	assert_int_equal(w->n_replies, 0);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &m);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->answered[0].svc, 9);
}

static void test_refusal_of_the_past_is_ignored(void **state)
{
	struct world *w = *state;
	struct msg_dns_refused m = { .svc = SVC_WWW, .gen = GEN + 1 };

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	begin(w, 100); /* the service was changed: the wish is told anew */
	add_service(w, SVC_WWW, GEN + 1, "www", STATE_OFF, ANSWER_READY);
	end(w);
	m.token = w->wakes[0].token;
	say_refused(w, m.token);
	assert_int_equal(w->n_replies, 0);
	serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
	assert_int_equal(w->n_replies, 1);
}

static void test_service_goes_under_its_waiters(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	begin(w, 100);
	end(w);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_NXDOMAIN);
	assert_int_equal(w->answered[0].rcode, RCODE_NXDOMAIN);
	assert_int_equal(serve_waiting(w->serve), 0);
}

static void test_zone_goes_under_its_waiters(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	serve_launcher_msg(w->serve, MSG_BEGIN, NULL);
	end(w);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_REFUSED);
	assert_int_equal(serve_waiting(w->serve), 0);
}

static void test_standing_failed_after_a_snapshot_wakes(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	ask(w, 1);
	snapshot(w, STATE_FAILED, ANSWER_READY);
	assert_int_equal(w->n_replies, 0);
	assert_int_equal(w->n_wakes, 2);
	say_refused(w, w->wakes[1].token);
	assert_int_equal(w->n_replies, 1);
}

static void test_stale_and_odd_states_are_acked_and_ignored(void **state)
{
	struct world *w = *state;
	struct msg_dns_state stale = { .svc = SVC_WWW, .gen = GEN - 1, .state = STATE_OFF, .seq = 5 };
	struct msg_dns_state unknown = { .svc = 4000000, .gen = GEN, .state = STATE_OFF, .seq = 6 };
	struct msg_dns_state odd = { .svc = SVC_WWW, .gen = GEN, .state = STATE_N, .seq = 7 };
	struct msg_dns_state odder = { .svc = SVC_WWW, .gen = GEN, .state = STATE_OFF, .answer = ANSWER_N, .seq = 8 };

	serve_launcher_msg(w->serve, MSG_DNS_STATE, &stale); /* before any table */
	snapshot(w, STATE_UP, ANSWER_READY);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &stale);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &unknown);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &odd);
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &odder);
	assert_int_equal(w->n_acks, 5);
	assert_int_equal(w->acks[2].seq, 6);
	assert_true(ask(w, 1).n > 0);
}

static void test_state_between_begin_and_end_is_not_lost(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, ANSWER_READY);
	begin(w, 100);
	add_service(w, SVC_WWW, GEN, "www", STATE_OFF, ANSWER_READY);
	say_state(w, STATE_UP);
	assert_true(ask(w, 1).n > 0);
	end(w);
	assert_true(ask(w, 2).n > 0);
}

static void test_forwarding(void **state)
{
	struct world *w = *state;
	struct msg_dns_forward f = { .addr = ip("127.0.0.1"), .port = 53 };
	struct msg_dns_allow a;
	struct asked r;

	prefix_parse("10.0.0.0/8", &a.prefix);
	begin(w, 10);
	serve_launcher_msg(w->serve, MSG_DNS_FORWARD, &f);
	serve_launcher_msg(w->serve, MSG_DNS_ALLOW, &a);
	end(w);
	r = ask_for(w, "example.org", TYPE_A, "11.0.0.1", 1, 0);
	assert_int_equal(r.rcode, RCODE_REFUSED);
	assert_int_equal(w->n_forwards, 0);
	r = ask_for(w, "example.org", TYPE_A, "10.0.0.1", 1, 0);
	assert_true(r.n == 0 && r.waits);
	w->forward_result = -EALREADY;
	r = ask_for(w, "example.org", TYPE_A, "10.0.0.1", 1, 0);
	assert_true(r.n == 0 && !r.waits);
	w->forward_result = -EDQUOT;
	r = ask_for(w, "example.org", TYPE_A, "10.0.0.1", 1, 0);
	assert_true(r.rcode == RCODE_SERVFAIL && !r.waits);
	assert_int_equal(w->n_forwards, 3);
}

/* ---- zone files ---- */

static void give_file(struct world *w, const char *text, bool lenient)
{
	struct msg_dns_zone_file m = { .zone = "jitsu.example", .path = "/zones/f", .lenient = lenient };
	int fd = memfd_create("zone", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	serve_zone_file(w->serve, &m, fd);
}

static void snapshot_with_file(struct world *w, const char *text, bool lenient)
{
	begin(w, 100);
	give_file(w, text, lenient);
	add_service(w, SVC_WWW, GEN, "www", STATE_UP, ANSWER_READY);
	end(w);
}

static unsigned load_all(struct world *w)
{
	unsigned steps = 0;

	for (; serve_is_loading(w->serve); steps++)
		serve_load(w->serve);
	return steps;
}

static unsigned rcode_at_once(struct world *w, const char *name, unsigned type)
{
	struct asked r = ask_for(w, name, type, "192.0.2.1", 99, 0);

	assert_true(r.n > 0);
	return r.rcode;
}

static void test_zone_file_is_read_in_pieces(void **state)
{
	struct world *w = *state;
	size_t room = 64 * 1024, n = 0;
	char *text = malloc(room);

	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(w->n_loaded, 1);
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, room - n, "host-%d A 10.0.0.1\n", i);
	snapshot_with_file(w, text, false);
	free(text);
	assert_true(serve_is_loading(w->serve));
	for (unsigned steps = 0; serve_is_loading(w->serve); steps++) {
		assert_int_equal(rcode_at_once(w, "www.jitsu.example", TYPE_A), 0);
		assert_int_equal(rcode_at_once(w, "host-1.jitsu.example", TYPE_A), RCODE_NXDOMAIN);
		assert_in_range(steps, 0, 20);
		serve_load(w->serve);
	}
	assert_int_equal(rcode_at_once(w, "host-1.jitsu.example", TYPE_A), 0);
	assert_int_equal(rcode_at_once(w, "host-1999.jitsu.example", TYPE_A), 0);
	assert_int_equal(w->n_loaded, 2);
	assert_int_equal(w->loaded.error, 0);
	assert_int_equal(w->n_tables, 2);
}

static void test_states_change_while_a_file_is_read(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	snapshot_with_file(w, "a A 10.0.0.1\n", false);
	say_state(w, STATE_DRAINING);
	assert_int_equal(w->n_acks, 1);
	load_all(w);
	assert_true(ask(w, 1).waits);
	assert_int_equal(w->n_wakes, 1);
}

static void test_a_bad_file_changes_nothing(void **state)
{
	struct world *w = *state;

	snapshot_with_file(w, "a A 10.0.0.1\n", false);
	load_all(w);
	snapshot_with_file(w, "b A 10.0.0.1\nwww A 10.0.0.1\n", false);
	load_all(w);
	assert_int_equal(w->loaded.error, -EINVAL);
	assert_string_equal(w->loaded.zone, "jitsu.example");
	assert_non_null(strstr(w->loaded.text, "/zones/f, line 2: www.jitsu.example.: this is the name of service"));
	assert_int_equal(rcode_at_once(w, "a.jitsu.example", TYPE_A), 0);
	assert_int_equal(rcode_at_once(w, "b.jitsu.example", TYPE_A), RCODE_NXDOMAIN);
	snapshot_with_file(w, "b A 10.0.0.1\nwww A 10.0.0.1\n", true);
	load_all(w);
	assert_int_equal(w->loaded.error, 0);
	assert_int_equal(rcode_at_once(w, "b.jitsu.example", TYPE_A), 0);
	snapshot_with_file(w, "b A 10.0.0.\n", true); /* no text that was ever good */
	load_all(w);
	assert_int_equal(w->loaded.error, -EINVAL);
	assert_int_equal(rcode_at_once(w, "b.jitsu.example", TYPE_A), 0);
}

static void test_a_newer_snapshot_ends_the_reading(void **state)
{
	struct world *w = *state;

	snapshot_with_file(w, "a A 10.0.0.1\n", false);
	serve_load(w->serve);
	snapshot_with_file(w, "b A 10.0.0.1\n", false);
	load_all(w);
	assert_int_equal(w->n_loaded, 1);
	assert_int_equal(rcode_at_once(w, "a.jitsu.example", TYPE_A), RCODE_NXDOMAIN);
	snapshot_with_file(w, "c A 10.0.0.1\n", false);
	serve_launcher_changed(w->serve);
	assert_false(serve_is_loading(w->serve));
	assert_int_equal(rcode_at_once(w, "b.jitsu.example", TYPE_A), 0);
}

static void test_serial_is_told(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_UP, ANSWER_READY);
	assert_int_equal(w->serial, 5);
	snapshot_with_file(w, "@ SOA a b 7 1 1 1 1\n", false);
	load_all(w);
	assert_int_equal(w->serial, 7);
}

/* ---- rates and cookies ---- */

static void limited_snapshot(struct world *w, uint32_t rate, uint16_t n_secrets)
{
	struct msg_dns_conf conf = { .max_waiting = 10, .rate = rate, .slip = 2, .n_secrets = n_secrets,
				     .secrets = { { "0123456789abcde" } } };
	struct msg_dns_allow exempt = { { ip("10.0.0.0"), 104 } };

	begin(w, 10);
	serve_launcher_msg(w->serve, MSG_DNS_CONF, &conf);
	serve_launcher_msg(w->serve, MSG_DNS_EXEMPT, &exempt);
	add_service(w, SVC_WWW, GEN, "www", STATE_UP, ANSWER_READY);
	end(w);
}

struct flooded {
	unsigned whole, cut, silent;
	size_t largest;
};

/* `cookie`: NULL, or 8 bytes, or 24. */
static struct flooded flood(struct world *w, const char *from, unsigned n, uint64_t conn, const uint8_t *cookie,
			   size_t cookie_n, uint8_t *reply)
{
	struct client c = { .addr = ip(from), .port = 9, .conn = conn, .t_ns = clock_now_ns() };
	struct flooded counts = { 0 };

	for (unsigned i = 0; i < n; i++) {
		uint8_t query[512];
		size_t query_n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = 1, .id = i + 1,
								 .edns_size = 1232 });
		bool waits = false;
		size_t reply_n;

		if (cookie) {
			wire_put16(query + query_n - 2, (unsigned)cookie_n + 4);
			wire_put16(wire_put16(query + query_n, OPTION_COOKIE), (unsigned)cookie_n);
			memcpy(query + query_n + 4, cookie, cookie_n);
			query_n += 4 + cookie_n;
		}
		reply_n = serve_query(w->serve, &c, query, query_n, reply, &waits);
		counts.silent += reply_n == 0;
		counts.cut += reply_n > 0 && wire_get16(reply + 2) & FLAG_TC;
		counts.whole += reply_n > 0 && wire_get16(reply + 6) == 1;
		if (reply_n > 0 && wire_get16(reply + 2) & FLAG_TC)
			assert_true(2 * reply_n <= 3 * query_n); /* it amplifies nothing */
	}
	return counts;
}

static void test_a_network_over_its_rate(void **state)
{
	uint8_t *reply = malloc(ANSWER_SIZE_MAX);
	struct world *w = *state;
	struct flooded c;

	limited_snapshot(w, 20, 1);
	c = flood(w, "192.0.2.1", 100, 0, NULL, 0, reply);
	assert_int_equal(c.whole, 20);
	assert_int_equal(c.cut, 40);
	assert_int_equal(c.silent, 40);
	assert_int_equal(flood(w, "192.0.2.77", 10, 0, NULL, 0, reply).whole, 0);
	assert_int_equal(flood(w, "192.0.3.1", 10, 0, NULL, 0, reply).whole, 10);
	assert_int_equal(flood(w, "10.1.1.1", 100, 0, NULL, 0, reply).whole, 100); /* exempt */
	assert_int_equal(flood(w, "192.0.2.1", 100, 7, NULL, 0, reply).whole, 100); /* TCP */
	free(reply);
}

/* Where its cookie lies in the answer; it is the only option. */
static const uint8_t *cookie_in(const uint8_t *reply)
{
	const uint8_t *opt = reply + WIRE_HEADER + 19 + 4 + (wire_get16(reply + 6) ? 16 : 0);

	assert_int_equal(opt[0], 0);
	assert_int_equal(wire_get16(opt + 1), TYPE_OPT);
	assert_int_equal(wire_get16(opt + 9), 4 + COOKIE_FULL);
	assert_int_equal(wire_get16(opt + 11), OPTION_COOKIE);
	return opt + 15;
}

/* Who has had an answer of ours is not limited; who only says so is. */
/* NOTIFY, zones and bad signatures are limited like all that may be forged; good signatures are not. */
static void test_special_queries_and_the_rate(void **state)
{
	struct world *w = *state;
	uint8_t b[512], reply[ANSWER_SIZE_MAX];
	size_t n = make_query(b, (struct ask){ .name = "jitsu.example", .type = TYPE_SOA, .flags = OPCODE_NOTIFY });
	struct client c = { .addr = ip("198.51.100.1"), .port = 999, .t_ns = T0 };
	unsigned unlimited = 0;
	bool waits = false;

	limited_snapshot(w, 5, 0);
	for (unsigned i = 0; i < 100; i++)
		unlimited += serve_query(w->serve, &c, b, n, reply, &waits) == n && !(reply[2] & FLAG_TC >> 8);
	assert_int_equal(w->n_special, 100);
	assert_in_range(unlimited, 5, 20);
	w->special_verified = true;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(serve_query(w->serve, &c, b, n, reply, &waits), n);
	w->special_verified = false;
	w->special_is_served = true; /* it was limited already, if it had to be */
	assert_int_equal(serve_query(w->serve, &c, b, n, reply, &waits), n);
	assert_false(waits);
}

static void test_a_cookie_is_beyond_the_rate(void **state)
{
	uint8_t *reply = malloc(ANSWER_SIZE_MAX), cookie[COOKIE_FULL];
	struct world *w = *state;

	limited_snapshot(w, 20, 1);
	assert_int_equal(flood(w, "192.0.2.1", 1, 0, (const uint8_t *)"8 bytes.", 8, reply).whole, 1);
	memcpy(cookie, cookie_in(reply), sizeof(cookie));
	assert_memory_equal(cookie, "8 bytes.", 8);
	assert_int_equal(flood(w, "192.0.2.1", 100, 0, (const uint8_t *)"8 bytes.", 8, reply).whole, 19);
	assert_int_equal(flood(w, "192.0.2.1", 100, 0, cookie, sizeof(cookie), reply).whole, 100);
	cookie[20] ^= 1;
	assert_int_equal(flood(w, "192.0.2.1", 100, 0, cookie, sizeof(cookie), reply).whole, 0);
	cookie_in(reply); /* and yet it learns a good one, for its next query */
	free(reply);
}

/* An advice to ask over TCP has the cookie, too. */
static void test_a_slip_has_the_cookie(void **state)
{
	uint8_t *reply = malloc(ANSWER_SIZE_MAX), cookie[COOKIE_FULL];
	struct world *w = *state;

	limited_snapshot(w, 2, 1);
	flood(w, "192.0.2.1", 4, 0, (const uint8_t *)"8 bytes.", 8, reply); /* two, none, a slip */
	assert_int_equal(wire_get16(reply + 2), FLAG_QR | FLAG_TC);
	memcpy(cookie, cookie_in(reply), sizeof(cookie));
	assert_int_equal(flood(w, "192.0.2.1", 5, 0, cookie, sizeof(cookie), reply).whole, 5);
	free(reply);
}

/* Our own secret is kept over snapshots, and the one before it is taken for a while. */
static void test_our_own_secret_rolls(void **state)
{
	uint8_t *reply = malloc(ANSWER_SIZE_MAX), first[COOKIE_FULL], other[COOKIE_FULL];
	struct world *w = *state;

	limited_snapshot(w, 1, 0);
	flood(w, "192.0.2.1", 1, 0, (const uint8_t *)"8 bytes.", 8, reply);
	memcpy(first, cookie_in(reply), sizeof(first));
	limited_snapshot(w, 1, 0);
	assert_int_equal(flood(w, "192.0.2.1", 5, 0, first, sizeof(first), reply).whole, 5);
	limited_snapshot(w, 1, 1); /* now one is configured */
	assert_int_equal(flood(w, "192.0.2.1", 5, 0, first, sizeof(first), reply).whole, 0);
	limited_snapshot(w, 1, 0);
	clock_fake_ns(T0 + 2 * NS_PER_S);
	flood(w, "192.0.2.1", 1, 0, (const uint8_t *)"8 bytes.", 8, reply);
	memcpy(first, cookie_in(reply), sizeof(first));
	clock_fake_ns(T0 + (SERVE_ROLL_S + 3) * NS_PER_S);
	assert_int_equal(flood(w, "192.0.2.1", 5, 0, first, sizeof(first), reply).whole, 5);
	memcpy(other, cookie_in(reply), sizeof(other)); /* made with the new one */
	assert_memory_not_equal(first, other, sizeof(first));
	clock_fake_ns(T0 + (2 * SERVE_ROLL_S + 4) * NS_PER_S);
	assert_int_equal(flood(w, "192.0.2.1", 5, 0, other, sizeof(other), reply).whole, 5);
	assert_true(flood(w, "192.0.2.1", 5, 0, first, sizeof(first), reply).whole <= 1);
	free(reply);
}

static void test_held_queries_keep_their_cookie(void **state)
{
	struct client c = { .addr = ip("192.0.2.1"), .port = 9, .t_ns = clock_now_ns() };
	struct msg_dns_conf conf = { .max_waiting = 10, .n_secrets = 1 };
	uint8_t query[512], *reply = malloc(ANSWER_SIZE_MAX);
	struct world *w = *state;
	bool waits = false;
	size_t n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = 1, .edns_size = 1232 });

	begin(w, 10);
	serve_launcher_msg(w->serve, MSG_DNS_CONF, &conf);
	add_service(w, SVC_WWW, GEN, "www", STATE_OFF, ANSWER_READY);
	end(w);
	memcpy(query + n - 2, "\0\14\0\12\0\10" "8 bytes.", 14);
	assert_int_equal(serve_query(w->serve, &c, query, n + 12, reply, &waits), 0);
	assert_true(waits);
	say_state(w, STATE_UP);
	assert_int_equal(w->n_replies, 1);
	assert_memory_equal(cookie_in(w->replies[0].b), "8 bytes.", 8);
	free(reply);
}

/* ---- templates ---- */

static void template_snapshot(struct world *w, const char *instance, uint8_t state)
{
	struct msg_dns_service m = service_msg(4, "vm", "*.vm.jitsu.example", "", STATE_OFF, ANSWER_READY);

	m.template4 = true;
	begin(w, 100);
	serve_launcher_msg(w->serve, MSG_DNS_SERVICE, &m);
	if (instance)
		add_service(w, 5, GEN + 1, instance, state, ANSWER_READY);
	end(w);
}

/* It waits for the template, and when there is an instance, for that. */
static void test_a_name_becomes_an_instance(void **state)
{
	struct world *w = *state;
	struct msg_dns_state up = { .svc = 5, .gen = GEN + 1, .state = STATE_UP, .answer = ANSWER_READY };

	template_snapshot(w, NULL, 0);
	assert_true(ask_for(w, "A.vm.jitsu.example", TYPE_A, "10.0.0.1", 1000, 0).waits);
	assert_true(ask_for(w, "b.vm.jitsu.example", TYPE_A, "10.0.0.1", 1001, 0).waits);
	assert_int_equal(w->n_wakes, 2);
	assert_int_equal(w->wakes[0].svc, 4);
	assert_string_equal(w->wakes[0].label, "a");
	assert_string_equal(w->wakes[1].label, "b");
	assert_int_not_equal(w->wakes[1].token, 0);
	template_snapshot(w, "a.vm", STATE_STARTING);
	assert_int_equal(w->n_replies, 0);
	assert_int_equal(w->n_wakes, 3); /* the other one's, once more */
	assert_string_equal(w->wakes[2].label, "b");
	serve_launcher_msg(w->serve, MSG_DNS_STATE, &up);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(w->replies[0].to.port, 1000);
	assert_int_equal(rcode_of(w, 0), RCODE_NOERROR);
	assert_int_equal(w->n_marks, 1);
	/* it ends: its name is the template's again */
	template_snapshot(w, NULL, 0);
	assert_true(ask_for(w, "a.vm.jitsu.example", TYPE_A, "10.0.0.1", 1002, 0).waits);
	assert_int_equal(w->wakes[w->n_wakes - 1].svc, 4);
	assert_string_equal(w->wakes[w->n_wakes - 1].label, "a");
}

static void test_a_template_that_makes_no_more(void **state)
{
	struct world *w = *state;
	struct msg_dns_refused m = { .svc = 4, .gen = GEN };

	template_snapshot(w, NULL, 0);
	assert_true(ask_for(w, "a.vm.jitsu.example", TYPE_A, "10.0.0.1", 1000, 0).waits);
	m.token = w->wakes[0].token;
	serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
	assert_int_equal(w->n_replies, 1);
	assert_int_equal(rcode_of(w, 0), RCODE_SERVFAIL);
	assert_int_equal(serve_waiting(w->serve), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_before_the_first_end),
		T(test_a_name_becomes_an_instance),
		T(test_a_template_that_makes_no_more),
		T(test_a_name_that_comes),
		T(test_a_name_between_two_snapshots),
		T(test_tables_that_never_come),
		T(test_too_many_names_change),
		T(test_workers_know_before_others_hear),
		T(test_a_new_secret_is_published),
		T(test_wake_and_answer_when_up),
		T(test_started_is_answered_when_booting),
		T(test_many_ask_while_it_starts),
		T(test_retry_is_answered_once),
		T(test_max_hold),
		T(test_refused_ends_that_wait_alone),
		T(test_failed_ends_waits_but_a_new_query_waits),
		T(test_conflict),
		T(test_stopping_then_off_keeps_waiting),
		T(test_asleep_again_wakes_again),
		T(test_at_once_wakes_are_paced),
		T(test_answer_changes_with_the_state),
		T(test_at_once_is_not_for_a_conflict),
		T(test_waiters_answered_at_once_wake_the_new_launcher),
		T(test_other_family_wakes_without_waiting),
		T(test_no_place_is_said_and_still_wakes),
		T(test_refused_in_three_ways),
		T(test_refused_with_a_reason),
		T(test_a_flood_of_wakes),
		T(test_a_worker_passes_on_what_is_new),
		T(test_tcp_client_goes),
		T(test_launcher_away),
		T(test_tables_serve_while_the_launcher_is_away),
		T(test_unheld_wake_is_kept_for_the_launcher),
		T(test_unheld_wake_waits_for_the_snapshot),
		T(test_waiter_follows_its_name),
		T(test_refusal_of_the_past_is_ignored),
		T(test_service_goes_under_its_waiters),
		T(test_zone_goes_under_its_waiters),
		T(test_standing_failed_after_a_snapshot_wakes),
		T(test_stale_and_odd_states_are_acked_and_ignored),
		T(test_state_between_begin_and_end_is_not_lost),
		T(test_forwarding),
		T(test_zone_file_is_read_in_pieces),
		T(test_states_change_while_a_file_is_read),
		T(test_a_bad_file_changes_nothing),
		T(test_a_newer_snapshot_ends_the_reading),
		T(test_serial_is_told),
		T(test_a_network_over_its_rate),
		T(test_special_queries_and_the_rate),
		T(test_a_cookie_is_beyond_the_rate),
		T(test_a_slip_has_the_cookie),
		T(test_our_own_secret_rolls),
		T(test_held_queries_keep_their_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
