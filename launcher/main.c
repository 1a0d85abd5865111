/* The launcher process: wiring.  launcher.h says which file does what. */
#include "launcher/main.h"

#include <sys/random.h>

#include "launcher/hooks_side.h"
#include "launcher/instances.h"
#include "launcher/metrics.h"
#include "launcher/pools.h"
#include "launcher/registrar.h"
#include "launcher/secondaries.h"
#include "launcher/zone_files.h"

/* ---- peers ---- */

void launcher_stuck(struct launcher *l, enum role role, const char *name)
{
	struct msg_peer m = { .role = (uint8_t)role };

	if (!child_supervisor(l->child))
		return;
	str_copy(m.name, name);
	ipc_send(child_supervisor(l->child), MSG_STUCK, &m);
}

void launcher_hear_log(struct launcher *l, const char *process, const struct msg_log *m)
{
	enum log_level level = m->level <= LOG_DEBUG ? (enum log_level)m->level : LOG_DEBUG;
	const struct journal_line *line = journal_add(l->journal, level, process, m->line);

	metrics_logged(l, level);
	if (line)
		operators_line(l, line);
}

/* Our own lines take the same way as those of the others. */
static void hear_own_log(void *arg, enum log_level level, const char *text)
{
	struct launcher *l = arg;
	struct msg_log m = { .level = (uint8_t)level };

	str_copy(m.line, text);
	launcher_hear_log(l, "launcher", &m);
}

static void meet(struct launcher *l, const struct msg_peer *peer, int *fd)
{
	struct hypervisor *hv;
	int taken = *fd;

	*fd = -1;
	switch (peer->role) {
	case ROLE_DNS: dns_channel(l, taken); break;
	case ROLE_SYNPROXY: synproxy_channel(l, taken); break;
	case ROLE_CONTROL: operators_channel(l, taken); break;
	case ROLE_HOOKS: hooks_channel(l, taken); break;
	case ROLE_BACKEND:
		hv = hypervisor_find(l, peer->name);
		if (hv)
			hypervisor_channel(hv, taken);
		else
			close(taken); /* no longer configured: the supervisor is about to end it */
		break;
	default: close(taken);
	}
}

/* ---- the supervisor ---- */

static void map_slots(struct launcher *l, int fd)
{
	slots_unmap(l->slots);
	l->slots = slots_map(fd);
	if (!l->slots)
		log_error("cannot map the shared memory: %s", strerror(errno));
}

static void reload_and_say(struct launcher *l, struct ipc *supervisor)
{
	cleanup_buf struct buf mistakes = { 0 };

	reload(l, &mistakes);
	ipc_send(supervisor, MSG_RELOADED, NULL);
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct launcher *l = arg;

	if (type == MSG_PEER && *fd >= 0)
		meet(l, body, fd);
	else if (type == MSG_SLOTS && *fd >= 0)
		map_slots(l, *fd);
	else if (type == MSG_KEPT)
		hold_bridges_kept(l, body, fd);
	else if (type == MSG_RELOAD)
		reload_and_say(l, ch);
	else if (type == MSG_LOG)
		launcher_hear_log(l, "jitsud", body);
	else if (type == MSG_PROCESS)
		metrics_process(l, body);
	else if (type == MSG_WANT_FAILED)
		log_error("%s", ((const struct msg_want_failed *)body)->text);
}

/* The launcher has no launcher. */
static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	(void)arg;
	(void)ch;
	(void)type;
	(void)body;
	(void)fd;
}

/* ---- life ---- */

/* Nothing is held any more, and taps that were about to be deleted are. */
static void on_stop(void *arg)
{
	struct launcher *l = arg;

	xdp_side_stop(l);
	hold_bridges_stop(l);
	registrar_stop(l);
	guests_stop(l);
	reaper_free(l->reaper);
	l->reaper = NULL;
}

static void on_dns_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	dns_snapshot(arg);
}

/* Generations go on from a random place, so that a peer which remembers an earlier launcher's
 * never takes one for another. */
static uint32_t first_gen(void)
{
	uint32_t gen;

	if (getrandom(&gen, sizeof(gen), 0) != sizeof(gen))
		gen = (uint32_t)clock_now_ns();
	return gen & 0x7fffffff;
}

static int prepare(struct launcher *l, struct err *e)
{
	l->netlink = netlink_new(e);
	if (!l->netlink)
		return e->code;
	l->monitor = port_monitor_new(l->netlink, getenv("JITSU_NO_BPF") ? PORT_WAY_SOCKET : PORT_WAY_BPF, e);
	l->reaper = reaper_new(e);
	l->bridges = hold_bridges_new(l, e);
	l->links = links_watch(l, e);
	if (!l->monitor || !l->reaper || !l->bridges || !l->links)
		return e->code;
	if (port_monitor_note(l->monitor)[0])
		log_warn("traffic is counted by packet sockets: %s", port_monitor_note(l->monitor));
	return 0;
}

static void delete_stray_tap(void *arg, const struct tap_info *tap)
{
	struct launcher *l = arg;

	if (service_by_name(l, tap->service) || tap->link.carrier)
		return;
	if (strcmp(tap->service, TAP_SPARE) == 0)
		log_info("removing %s, a spare tap of an earlier run", tap->link.name);
	else
		log_info("removing %s, the tap of service \"%s\", which is no longer configured", tap->link.name,
			 tap->service);
	reaper_delete_tap(l->reaper, tap->link.name);
}

int launcher_main(const struct child_args *args)
{
	static const struct child_ops ops = {
		.on_launcher_msg = on_launcher_msg,
		.on_supervisor_msg = on_supervisor_msg,
		.on_stop = on_stop,
	};
	struct launcher *l = calloc(1, sizeof(*l));
	struct err e;

	if (!l)
		abort();
	l->args = args;
	l->child = child_new(args, &ops, l);
	l->base = child_base(l->child);
	l->started_ms = clock_now_ms();
	l->last_gen = first_gen();
	TAILQ_INIT(&l->hypervisors);
	TAILQ_INIT(&l->waiting);
	TAILQ_INIT(&l->busy);
	TAILQ_INIT(&l->refused);
	TAILQ_INIT(&l->unlearned);
	TAILQ_INIT(&l->undiscovered);
	LIST_INIT(&l->learning);
	l->trace = trace_new();
	l->journal = journal_new();
	hold_events_init(l);
	l->zone_files = zone_files_new();
	l->secondaries = secondaries_new();
	l->flows = flows_new();
	l->sweeps = sweeps_new();
	l->metrics = metrics_new(l);
	l->dns_late = evtimer_new(l->base, on_dns_late, l);
	if (!l->trace || !l->journal || !l->zone_files || !l->secondaries || !l->sweeps || !l->metrics ||
	    !l->dns_late || synproxy_init(l) < 0 || dnssec_init(l) < 0)
		abort();
	log_set_sink(hear_own_log, l);
	if (prepare(l, &e) < 0)
		log_fatal("%s", e.text);
	l->operators = operators_new(l);
	l->events = events_new(l);
	l->pools = pools_new(l);
	l->registrar = registrar_new(l);
	orders_init(l);
	if (reload_first(l) < 0)
		log_fatal("%s cannot be used", args->conf_path);
	instances_sweep(l);
	if (wake_init(l) < 0)
		abort();
	if (netlink_taps(l->netlink, delete_stray_tap, l, &e) < 0)
		log_warn("%s", e.text);
	child_ready(l->child);
	return child_run(l->child);
}
