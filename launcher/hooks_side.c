/* The launcher's side of hooks: it says what happened, and does not wait.
 *
 * Events are sent only while the process is there; what happens while it is being started again is lost,
 * which is logged.  A channel that is full means that it hangs, and it is restarted like any other peer.
 */
#include "launcher/hooks_side.h"

#include "launcher/launcher.h"
#include "launcher/metrics.h"

static void send_hook(struct launcher *l, const struct hook_conf *c)
{
	struct msg_hook m = { .timeout_ms = (uint32_t)c->timeout_ms };

	for (size_t i = 0; i < c->on.n; i++)
		m.on |= 1u << c->on.v[i];
	str_copy(m.exec, c->exec);
	str_copy(m.webhook, c->webhook);
	ipc_send(l->hooks, MSG_HOOK, &m);
}

void hooks_configured(struct launcher *l)
{
	if (!l->hooks)
		return;
	ipc_send(l->hooks, MSG_BEGIN, NULL);
	for (size_t i = 0; i < l->conf->hooks.n; i++)
		send_hook(l, &l->conf->hooks.v[i]);
	ipc_send(l->hooks, MSG_END, NULL);
}

/* ---- events ---- */

static bool is_wanted(const struct launcher *l, enum hook_event event)
{
	for (size_t i = 0; i < l->conf->hooks.n; i++) {
		for (size_t j = 0; j < l->conf->hooks.v[i].on.n; j++) {
			if (l->conf->hooks.v[i].on.v[j] == event)
				return true;
		}
	}
	return false;
}

static void say(struct launcher *l, struct msg_hook_event *m)
{
	if (!is_wanted(l, m->event))
		return;
	m->wall_ms = clock_wall_ms();
	if (!l->hooks || ipc_send(l->hooks, MSG_HOOK_EVENT, m) < 0)
		log_limited(LOG_WARN, "%s%sno hook is run for \"%s\": their process is being started",
			    m->service[0] ? "service=" : "", m->service[0] ? m->service : "", hook_event_name(m->event));
}

static struct msg_hook_event of(const struct service *s, enum hook_event event)
{
	struct msg_hook_event m = { .event = (uint8_t)event, .cause = CAUSE_N };

	str_copy(m.service, s->conf->name);
	return m;
}

void hooks_up(const struct service *s, uint64_t wake_ms)
{
	struct msg_hook_event m = of(s, HOOK_UP);

	m.cause = (uint8_t)s->cause;
	m.client = s->client;
	m.wake_ms = wake_ms;
	say(s->l, &m);
}

void hooks_failed(const struct service *s)
{
	struct msg_hook_event m = of(s, HOOK_FAILED);

	m.cause = (uint8_t)s->cause;
	m.client = s->client;
	str_copy(m.reason, s->last_error);
	say(s->l, &m);
}

/* ... or is about to. */
static bool any_runs(const struct launcher *l)
{
	const struct service *s;

	TAILQ_FOREACH(s, &l->busy, busy) {
		if (state_counts(s->state) && s->state != STATE_SUSPENDED)
			return true;
	}
	return !TAILQ_EMPTY(&l->waiting);
}

void hooks_stopped(const struct service *s)
{
	struct msg_hook_event m = of(s, HOOK_STOPPED), idle = { .event = HOOK_ALL_IDLE, .cause = CAUSE_N };

	str_copy(m.reason, s->stop_reason);
	say(s->l, &m);
	if (!any_runs(s->l))
		say(s->l, &idle);
}

/* ---- the channel ---- */

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct launcher *l = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_HOOK_COUNTS: metrics_hooks_counted(l, body); break;
	case MSG_LOG: launcher_hear_log(l, "hooks", body); break;
	default: log_limited(LOG_WARN, "hooks said %s, which it may not", msg_name(type));
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct launcher *l = arg;

	ipc_free(ch);
	if (l->hooks == ch)
		l->hooks = NULL;
	if (error < 0)
		launcher_stuck(l, ROLE_HOOKS, "hooks");
}

void hooks_channel(struct launcher *l, int fd)
{
	ipc_free(l->hooks);
	metrics_hooks_new(l);
	l->hooks = ipc_new(l->base, fd, on_msg, on_end, l);
	if (!l->hooks)
		abort();
	hooks_configured(l);
}
