/* Backends: requests under way, their results, and reconciling with what runs.
 *
 * Each hypervisor is a process of its own, known here by its channel.  When the channel or its
 * connection is new, it is asked for every domain, and each service is told what was found of it:
 * running and ours, running and somebody else's, paused, or not there.  Only then services of
 * that hypervisor may be started.  Requests whose answer died with an old channel are settled by
 * the same list.
 *
 * What happens while the list is on its way may be in it or not: those of whom an event told
 * meanwhile are looked at once more.
 *
 * A stop of an existing domain whose start is under way waits for the start's answer: if somebody else
 * started it meanwhile, it is theirs, and must not be stopped.
 *
 * An event "stopped" may belong to a boot that is over already, so it is not believed where that
 * matters: the backend is asked whether the domain truly is gone (REQUEST_VERIFY).
 */
#include "launcher/hypervisor_internal.h"

struct hypervisor *hypervisor_find(struct launcher *l, const char *name)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next) {
		if (strcmp(hv->name, name) == 0)
			return hv;
	}
	return NULL;
}

bool hypervisor_ready(const struct hypervisor *hv)
{
	return hv && hv->channel && hv->hello.connected && hv->reconciled;
}

bool hypervisor_answers(const struct hypervisor *hv) { return hypervisor_ready(hv) && heartbeat_silent_ms(hv) == 0; }

bool hypervisors_reconciled(const struct launcher *l)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next) {
		if (!hv->reconciled)
			return false;
	}
	return true;
}

/* ---- the channel ---- */

static void ask_list(struct hypervisor *hv)
{
	struct msg_be_target m = { .req = ++hv->l->last_req };

	hv->reconciled = false;
	hv->n_found = 0;
	hv->list_req = m.req;
	ipc_send(hv->channel, MSG_BE_LIST, &m);
}

static void on_hello(struct hypervisor *hv, const struct msg_be_hello *m)
{
	bool was = hv->hello.connected, greeted = hv->greeted;

	hv->hello = *m;
	hv->greeted = true;
	if (!m->connected) {
		hv->reconciled = false;
		/* the first word of a new process says only that it is trying */
		if (greeted)
			log_limited(LOG_WARN, "hypervisor \"%s\" is not connected: %s", hv->name, m->text);
		return;
	}
	if (!was || !hv->reconciled)
		ask_list(hv);
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct hypervisor *hv = arg;
	const struct msg_be_target *end = body;

	(void)ch;
	switch (type) {
	case MSG_BE_HELLO: on_hello(hv, body); break;
	case MSG_BE_RESULT: hypervisor_on_result(hv, body); break;
	case MSG_BE_DOMAIN: hypervisor_on_domain(hv, body); break;
	case MSG_BE_LIST_END:
		if (end->req == hv->list_req)
			hypervisor_reconcile(hv);
		break;
	case MSG_BE_EVENT: hypervisor_on_event(hv, body); break;
	case MSG_BE_GUEST: guest_stream(hv, body, fd); break;
	case MSG_BE_KEY: guest_key(hv->l, body); break;
	case MSG_PONG: heartbeat_hear(hv); break;
	case MSG_LOG: launcher_hear_log(hv->l, hv->name, body); break;
	default: log_limited(LOG_WARN, "backend \"%s\" said %s, which it may not", hv->name, msg_name(type));
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct hypervisor *hv = arg;

	ipc_free(ch);
	if (hv->channel != ch)
		return;
	hv->channel = NULL;
	hv->reconciled = false;
	heartbeat_end(hv);
	memset(&hv->hello, 0, sizeof(hv->hello));
	if (error < 0)
		launcher_stuck(hv->l, ROLE_BACKEND, hv->name);
}

void hypervisor_channel(struct hypervisor *hv, int fd)
{
	ipc_free(hv->channel);
	hv->reconciled = false;
	memset(&hv->hello, 0, sizeof(hv->hello));
	hv->greeted = false;
	hv->channel = ipc_new(hv->l->base, fd, on_msg, on_end, hv);
	if (!hv->channel)
		abort();
	heartbeat_begin(hv);
}

static void on_list_again(evutil_socket_t fd, short what, void *arg)
{
	struct hypervisor *hv = arg;

	(void)fd;
	(void)what;
	if (hv->channel && hv->hello.connected && !hv->reconciled && hv->list_req == 0)
		ask_list(hv);
}

struct hypervisor *hypervisor_new(struct launcher *l, const char *name)
{
	struct hypervisor *hv = calloc(1, sizeof(*hv));

	if (!hv)
		abort();
	hv->l = l;
	str_copy(hv->name, name);
	hv->list_again = evtimer_new(l->base, on_list_again, hv);
	if (!hv->list_again)
		abort();
	heartbeat_new(hv);
	TAILQ_INSERT_TAIL(&l->hypervisors, hv, next);
	return hv;
}

void hypervisor_free(struct hypervisor *hv)
{
	TAILQ_REMOVE(&hv->l->hypervisors, hv, next);
	ipc_free(hv->channel);
	event_free(hv->list_again);
	heartbeat_free(hv);
	free(hv->found);
	free(hv->requests);
	free(hv);
}
