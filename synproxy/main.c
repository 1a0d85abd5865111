/* Theory of operation
 *
 * The launcher says which services are held and where their VMs are; frames come from our tap on each
 * bridge and from VM ports.  One loop serves them all: messages and the one timer (agenda.h) first,
 * frames after them, a batch at a time.
 *
 * A snapshot (MSG_BEGIN .. MSG_END) is put together aside and takes the old one's place at once at
 * its end: until then, and while the launcher is away, everything goes on as it was.  A service that
 * the new one names as before, by svc and gen, goes on where it was; of another launcher's services,
 * held packets are all that is taken over, by address.  They are in memory that the supervisor keeps
 * (hold.h), so that they outlive us, too; the taps outlive us with the frames in them.
 *
 * MSG_HOLD_STAGE is acknowledged; DRAIN when everything that had come to the tap before it was looked at by
 * its rules: the launcher then knows that it was told of whoever came before its look at the VM.
 *
 * The process is unprivileged, makes no descriptors and keeps to those it is given.
 */
#include "synproxy/main.h"

#include <event2/event.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "synproxy/synproxy.h"

/* ---- the timer ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct synproxy *s = arg;
	uint64_t now_ns = clock_now_ns();

	(void)fd;
	(void)what;
	if (!agenda_rang(&s->agenda, now_ns))
		return;
	ports_tick(s, now_ns);
	wards_tick(s, now_ns);
	wards_tell_counts(s, now_ns);
	taps_retry(s, now_ns);
	learners_tick(s, now_ns);
	agenda_done(&s->agenda);
}

/* ---- ports ---- */

static bool is_right_port(uint32_t svc, int fd)
{
	if (svc < SLOTS_MAX && fd >= 0)
		return true;
	log_limited(LOG_ERROR, "the launcher gave a port without its socket, or of a service that cannot be");
	return false;
}

static void on_probe_start(struct synproxy *s, const struct msg_probe_start *m, int *fd)
{
	if (is_right_port(m->svc, *fd))
		ports_start(s, m, true, fd);
}

static void on_learn_start(struct synproxy *s, const struct msg_learn_start *m, int *fd)
{
	if (is_right_port(m->svc, *fd))
		learners_start(s, m, fd);
}

/* What is known of the service, or will be at the end of the snapshot that is coming in. */
static const struct msg_hold_service *find_conf(struct synproxy *s, uint32_t svc, uint32_t gen)
{
	const struct msg_hold_service *coming = s->coming ? s->coming->services[svc] : NULL;
	const struct ward *w = ward_find(s, svc, gen);

	if (coming && coming->gen == gen)
		return coming;
	return w ? w->conf : NULL;
}

static void on_hold_port(struct synproxy *s, const struct msg_hold_port *m, int *fd)
{
	const struct msg_hold_service *conf = is_right_port(m->svc, *fd) ? find_conf(s, m->svc, m->gen) : NULL;
	struct msg_probe_start want = {
		.svc = m->svc,
		.gen = m->gen,
		.vm_mac = m->vm_mac,
		.probe_mac = m->probe_mac,
		.probe_ip4 = m->probe_ip4,
		.probe_ip6 = m->probe_ip6,
	};

	if (!conf)
		return; /* it is about the past */
	want.n_addrs = conf->n_addrs;
	memcpy(want.addrs, conf->addrs, sizeof(want.addrs));
	ports_start(s, &want, false, fd);
}

/* ---- holding ---- */

static void on_hold_bridge(struct synproxy *s, const struct msg_hold_bridge *m, int *fd)
{
	if (m->bridge >= HOLD_BRIDGES_MAX || *fd < 0) {
		log_limited(LOG_ERROR, "the launcher gave a bridge without a tap, or one too many");
		return;
	}
	if (s->coming)
		tap_set(&s->coming->taps, m, fd);
	else
		tap_replace(s, m, fd);
}

static bool is_right_service(const struct msg_hold_service *m)
{
	if (m->svc < SLOTS_MAX && m->bridge < HOLD_BRIDGES_MAX && m->stage < HOLD_STAGE_N && m->n_addrs > 0 &&
	    m->max_hold_ms > 0)
		return true;
	log_limited(LOG_ERROR, "the launcher told of a held service that cannot be");
	return false;
}

static void on_hold_service(struct synproxy *s, const struct msg_hold_service *m)
{
	struct msg_hold_service **place;

	if (!is_right_service(m))
		return;
	if (!s->coming) {
		ward_set(s, m, clock_now_ns());
		return;
	}
	place = &s->coming->services[m->svc];
	if (!*place)
		*place = malloc(sizeof(**place));
	if (*place)
		**place = *m;
	else
		log_limited(LOG_ERROR, "service=%s is not held: no memory", m->name);
}

static void on_hold_stage(struct synproxy *s, const struct msg_hold_stage *m)
{
	struct ward *w = ward_find(s, m->svc, m->gen);

	if (!w || m->stage >= HOLD_STAGE_N)
		return; /* it is about the past */
	ward_stage(w, (enum hold_stage)m->stage, clock_now_ns());
	if (m->stage == HOLD_STAGE_DRAIN)
		tap_read_empty(s, w->conf->bridge);
	wards_look(s, clock_now_ns());
	child_tell(s->child, MSG_HOLD_ACK, m);
}

static void on_hold_moved(struct synproxy *s, const struct msg_hold_moved *m)
{
	struct ward *w = ward_find(s, m->svc, m->gen);

	if (w)
		ward_moved(w, clock_now_ns());
}

static void on_hold_drop(struct synproxy *s, const struct msg_hold_drop *m)
{
	struct ward *w = ward_find(s, m->svc, m->gen);

	if (!w)
		return;
	handover_drop(w->handover, &m->client, m->reset, clock_now_ns());
	ward_touch(w);
}

static void set_limits(struct synproxy *s)
{
	if (s->shared.table)
		hold_limits(s->shared.table, s->conf.max_held, s->conf.held_per_source);
}

static void on_hold_memory(struct synproxy *s, int fd)
{
	if (s->shared.table)
		return; /* it is the same */
	s->shared.table = hold_open(fd);
	if (!s->shared.table) {
		log_error("nothing can be held: the memory for it cannot be used: %s", strerror(errno));
		return;
	}
	set_limits(s);
	s->assign_due = s->lookup != NULL; /* else the first snapshot says whose it is */
}

/* ---- snapshots ---- */

static void snapshot_free(struct snapshot *c)
{
	if (!c)
		return;
	taps_end(&c->taps);
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		free(c->services[i]);
	free(c);
}

static void on_begin(struct synproxy *s)
{
	snapshot_free(s->coming); /* a launcher that did not get to its end */
	s->coming = calloc(1, sizeof(*s->coming));
	if (!s->coming) {
		log_error("no memory for what the launcher says");
		return;
	}
	taps_init(&s->coming->taps);
	ports_mark_stale(s);
	learners_mark_stale(s);
	guests_mark_stale(s);
}

/* Of those that were there, the ones that are named again go on. */
static void take_services(struct synproxy *s, const struct snapshot *c, uint64_t now_ns)
{
	for (uint32_t svc = 0; svc < SLOTS_MAX; svc++) {
		const struct msg_hold_service *m = c->services[svc];

		if (m)
			ward_set(s, m, now_ns);
		else
			ward_free(s, svc);
	}
}

static void on_end(struct synproxy *s)
{
	uint64_t now_ns = clock_now_ns();
	struct snapshot *c = s->coming;

	s->coming = NULL;
	if (c) {
		taps_take(s, &c->taps);
		take_services(s, c, now_ns);
		ports_end_stale(s);
		learners_end_stale(s);
		guests_end_stale(s);
		snapshot_free(c);
	}
	wards_look(s, now_ns);
	child_ready(s->child);
}

/* ---- messages ---- */

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct synproxy *s = arg;

	(void)ch;
	if (s->assign_due && type != MSG_HOLD_SERVICE)
		wards_look(s, clock_now_ns());
	switch ((int)type) {
	case MSG_BEGIN: on_begin(s); break;
	case MSG_END: on_end(s); break;
	case MSG_PROBE_START: on_probe_start(s, body, fd); break;
	case MSG_PROBE_STOP: ports_stop(s, body); break;
	case MSG_LEARN_START: on_learn_start(s, body, fd); break;
	case MSG_LEARN_STOP: learners_stop(s, body); break;
	case MSG_LEARN_TELL: learners_tell(s, body); break;
	case MSG_GUEST_OPEN: guests_open(s, body, fd); break;
	case MSG_GUEST_CLOSE: guests_close(s, body); break;
	case MSG_HOLD_PORT: on_hold_port(s, body, fd); break;
	case MSG_HOLD_STAGE: on_hold_stage(s, body); break;
	case MSG_HOLD_MOVED: on_hold_moved(s, body); break;
	case MSG_HOLD_DROP: on_hold_drop(s, body); break;
	case MSG_FLOWS_ASK: flows_tell(s, body); break;
	case MSG_HOLD_CONF:
		s->conf = *(const struct msg_hold_conf *)body;
		set_limits(s);
		break;
	case MSG_HOLD_BRIDGE: on_hold_bridge(s, body, fd); break;
	case MSG_HOLD_SERVICE: on_hold_service(s, body); break;
	default: log_limited(LOG_WARN, "the launcher says %s, which is not for synproxy", msg_name(type));
	}
	wards_look_soon(s, clock_now_ns());
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	(void)ch;
	(void)body;
	if (type == MSG_HOLD_MEMORY)
		on_hold_memory(arg, *fd);
}

static const struct child_ops child_ops = {
	.on_launcher_msg = on_launcher_msg,
	.on_supervisor_msg = on_supervisor_msg,
};

/* ---- lifetime ---- */

static void start(struct synproxy *s, const struct child_args *args)
{
	uint64_t seed = clock_now_ns();

	taps_init(&s->taps);
	handover_shared_init(&s->shared, NULL);
	s->child = child_new(args, &child_ops, s);
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		log_debug("no random numbers yet: the time serves");
	claim_pace_init(&s->pace, seed);
	if (event_base_priority_init(child_base(s->child), PRIORITY_N) < 0 || agenda_init(&s->agenda, DUE_N) < 0)
		log_fatal("cannot make a timer");
	s->tick = event_new(child_base(s->child), s->agenda.fd, EV_READ | EV_PERSIST, on_timer, s);
	if (!s->tick || event_add(s->tick, NULL) < 0)
		log_fatal("cannot make a timer");
}

static void end(struct synproxy *s)
{
	ports_end(s);
	learners_end(s);
	guests_end(s);
	for (uint32_t svc = 0; svc < SLOTS_MAX; svc++)
		ward_free(s, svc);
	snapshot_free(s->coming);
	taps_end(&s->taps);
	lookup_free(s->lookup);
	hold_close(s->shared.table);
	event_free(s->tick);
	agenda_end(&s->agenda);
	child_free(s->child);
	free(s);
}

int synproxy_main(const struct child_args *args)
{
	struct synproxy *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return 1;
	start(s, args);
	status = child_run(s->child);
	end(s);
	return status;
}
