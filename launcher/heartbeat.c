/* Whether a hypervisor's process still answers.
 *
 * Its loop never blocks (backends/backend.h), so an answer to MSG_PING comes at once, whatever its calls to the
 * hypervisor do; when none comes the process is stopped, or caught where it should not be.
 *
 *     asked --answer--> quiet for EVERY_MS --> asked
 *       | EVERY_MS
 *       v
 *     silent --answer--> quiet ...
 *       | patience
 *       v
 *     MSG_STUCK: the supervisor kills it and starts another, which reconciles
 *
 * While it is silent, wakes of its services wait in the queue as if it were not connected, and those that are
 * starting do not count against limits.max_starting, so that other hypervisors' services do not wait for it.
 * What was sent to it stays with it: it may only have been slow.
 *
 * Patience is the shortest start_timeout of its services: for longer no client of that one waits for an answer.
 * A longer one would make one patient service the reason that others fail.  It is at least PATIENCE_MIN_MS,
 * because a loaded host is slow too, and each replacement costs what asking for all domains costs.  A process that
 * has not said its first word is given START_MS: before it has a loop it tries KVM, which takes seconds where
 * it hangs.
 *
 * The supervisor has a pulse of its own for all processes (cmd/pulse.h), but only where a service manager watches
 * over it, in that one's time, and without knowing who waits.
 */
#include "launcher/launcher.h"

enum { EVERY_MS = 1000, PATIENCE_MIN_MS = 2000, PATIENCE_MS = 60000, START_MS = 60000 };

static uint64_t patience(const struct hypervisor *hv)
{
	uint64_t shortest = UINT64_MAX;
	const struct service *s;

	FOR_EACH_SERVICE(hv->l, s) {
		if (s->hv == hv)
			shortest = MIN(shortest, s->conf->start_timeout_ms);
	}
	if (shortest == UINT64_MAX)
		shortest = PATIENCE_MS;
	return MAX(shortest, (uint64_t)(hv->greeted ? PATIENCE_MIN_MS : START_MS));
}

static void look_in(struct hypervisor *hv, uint64_t ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	event_add(hv->heartbeat.timer, &tv);
}

static void ask(struct hypervisor *hv)
{
	hv->heartbeat.asked = true;
	hv->heartbeat.asked_ms = clock_now_ms();
	if (hv->channel)
		ipc_send(hv->channel, MSG_PING, NULL);
	look_in(hv, EVERY_MS);
}

static void fall_silent(struct hypervisor *hv)
{
	struct heartbeat *h = &hv->heartbeat;

	h->silent = true;
	h->patience_ms = patience(hv);
	log_warn("the process of hypervisor \"%s\" does not answer: another one takes its place after %llu ms", hv->name,
		 (unsigned long long)h->patience_ms);
	events_hypervisor(hv->l, "\"%s\" does not answer", hv->name);
	wake_pump(hv->l); /* those of other hypervisors need not wait for its own */
}

static void give_up(struct hypervisor *hv)
{
	unsigned long long ms = heartbeat_silent_ms(hv);

	log_error("the process of hypervisor \"%s\" has not answered for %llu ms: replacing it", hv->name, ms);
	events_hypervisor(hv->l, "the process of \"%s\" has not answered for %llu ms and is replaced", hv->name, ms);
	launcher_stuck(hv->l, ROLE_BACKEND, hv->name);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hypervisor *hv = arg;
	struct heartbeat *h = &hv->heartbeat;
	uint64_t silent_ms;

	(void)fd;
	(void)what;
	if (!h->asked) {
		ask(hv);
		return;
	}
	if (!h->silent)
		fall_silent(hv);
	silent_ms = heartbeat_silent_ms(hv);
	if (silent_ms < h->patience_ms) {
		look_in(hv, h->patience_ms - silent_ms);
		return;
	}
	give_up(hv);
	look_in(hv, h->patience_ms); /* should the signal not reach it */
}

void heartbeat_new(struct hypervisor *hv)
{
	hv->heartbeat.timer = evtimer_new(hv->l->base, on_timer, hv);
	if (!hv->heartbeat.timer)
		abort();
}

void heartbeat_free(struct hypervisor *hv) { event_free(hv->heartbeat.timer); }

void heartbeat_begin(struct hypervisor *hv)
{
	heartbeat_end(hv);
	ask(hv);
}

void heartbeat_end(struct hypervisor *hv)
{
	event_del(hv->heartbeat.timer);
	hv->heartbeat.asked = hv->heartbeat.silent = false;
}

void heartbeat_hear(struct hypervisor *hv)
{
	struct heartbeat *h = &hv->heartbeat;
	unsigned long long ms = heartbeat_silent_ms(hv);
	bool was_silent = h->silent;

	if (!h->asked)
		return;
	h->asked = h->silent = false;
	look_in(hv, EVERY_MS);
	if (!was_silent)
		return;
	log_info("the process of hypervisor \"%s\" answers again, after %llu ms", hv->name, ms);
	events_hypervisor(hv->l, "\"%s\" answers again, after %llu ms", hv->name, ms);
	wake_pump(hv->l);
}

uint64_t heartbeat_silent_ms(const struct hypervisor *hv)
{
	return hv->heartbeat.silent ? MAX(clock_now_ms() - hv->heartbeat.asked_ms, (uint64_t)1) : 0;
}
