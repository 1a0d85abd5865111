/* Events, for those who watch.
 *
 * What happens is told to control as it happens, once, however many watch: control has the watchers, and
 * whatever they do or do not read stays there.  While nobody watches nothing is sent; events are counted all
 * the same, so that whoever hears two numbers knows what lies between them.
 *
 * All of it comes from what has cost more already, a state that changed or a command, but for the wakes: who
 * may ask as often as he likes can be refused as often.  So there is a rate; what is over it is only counted,
 * and the gap tells.
 */
#include <stdarg.h>

#include "base/bucket.h"
#include "launcher/launcher.h"
#include "launcher/registrar.h"

enum { EVENTS_BURST = 4000, EVENTS_PER_S = 2000 };

struct events {
	uint64_t newest; /* its number */
	bool watched;
	struct bucket rate;
};

static void tell(struct launcher *l, struct msg_ctl_event *m, enum ctl_event event)
{
	m->number = l->events->newest;
	m->event = (uint8_t)event;
	m->wall_ms = clock_wall_ms();
	ipc_send(l->control, MSG_CTL_EVENT, m);
}

/* Counts one; whether it is to be told. */
static bool is_told(struct launcher *l)
{
	if (!l->events)
		return false;
	l->events->newest++;
	return l->events->watched && l->control && bucket_pass(&l->events->rate, clock_now_ns());
}

void events_watch(struct launcher *l, bool on)
{
	struct msg_ctl_event m = { 0 };

	if (!l->events)
		return;
	l->events->watched = on;
	if (on && l->control)
		tell(l, &m, CTL_EVENT_BEGIN);
}

/* The sentence where there is one, else what the event is called. */
static const char *reason(const struct service *s, enum service_event event)
{
	const char *text = "";

	switch (s->state) {
	case STATE_FAILED:
	case STATE_CONFLICT: text = s->last_error; break;
	case STATE_STOPPING:
	case STATE_SUSPENDED:
	case STATE_SAVED:
	case STATE_OFF: text = s->stop_reason; break;
	case STATE_UP:
	case STATE_BOOTING:
		if (event == SVC_STOP_FAILED || event == SVC_STOP_FAILED_EARLY)
			text = s->last_error;
		break;
	default: break;
	}
	return *text ? text : service_event_name(event);
}

void events_moved(const struct service *s, enum service_state before, enum service_event event)
{
	struct msg_ctl_event m = { .state = (uint8_t)s->state, .before = (uint8_t)before };

	if (!is_told(s->l))
		return;
	str_copy(m.service, s->conf->name);
	str_copy(m.text, reason(s, event));
	tell(s->l, &m, CTL_EVENT_STATE);
}

void events_revision(struct launcher *l, uint64_t revision, const char *service, uint32_t changes, uint32_t uid,
		     const char *command)
{
	struct msg_ctl_event m = { .revision = revision, .changes = changes, .uid = uid };

	if (!is_told(l))
		return;
	str_copy(m.service, service);
	snprintf(m.text, sizeof(m.text), "%s", command);
	tell(l, &m, CTL_EVENT_REVISION);
}

void events_address(const struct service *s, const char *fmt, ...)
{
	char text[MSG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	events_readdressed(s, text);
}

/* Of one service. */
static void tell_of(const struct service *s, enum ctl_event event, const char *text)
{
	struct msg_ctl_event m = { 0 };

	if (!is_told(s->l))
		return;
	str_copy(m.service, s->conf->name);
	str_copy(m.text, text);
	tell(s->l, &m, event);
}

void events_saved(const struct service *s, const char *fmt, ...)
{
	char text[MSG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warn("service=%s %s", s->conf->name, text);
	tell_of(s, CTL_EVENT_SAVE, text);
}

void events_readdressed(const struct service *s, const char *why)
{
	tell_of(s, CTL_EVENT_ADDRESS, why);
}

void events_hypervisor(struct launcher *l, const char *fmt, ...)
{
	struct msg_ctl_event m = { 0 };
	va_list ap;

	if (!is_told(l))
		return;
	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	tell(l, &m, CTL_EVENT_HYPERVISOR);
}

/* The first line, and how many more there are. */
static void put_mistakes(const struct buf *mistakes, char *out, size_t size)
{
	const char *text = mistakes->text ? mistakes->text : "out of memory\n";
	int n = (int)strcspn(text, "\n");
	unsigned more = 0;

	for (const char *c = text + n + (text[n] == '\n'); *c; c++)
		more += *c == '\n';
	if (more > 0)
		snprintf(out, size, "%.*s (and %u more)", MIN(n, (int)size - 32), text, more);
	else
		snprintf(out, size, "%.*s", n, text);
}

void events_reloaded(struct launcher *l, bool done, const struct buf *mistakes)
{
	struct msg_ctl_event m = { 0 };

	if (!is_told(l))
		return;
	str_copy(m.result, done ? "done" : "refused");
	if (done)
		snprintf(m.text, sizeof(m.text), "%zu services", registrar_count(l));
	else
		put_mistakes(mistakes, m.text, sizeof(m.text));
	tell(l, &m, CTL_EVENT_RELOAD);
}

static uint64_t took_ms(const struct wake_trace *w)
{
	uint64_t now = clock_now_ns(), end = w->at_ns[MARK_UP] ? w->at_ns[MARK_UP] : now;

	return end > w->at_ns[MARK_QUERY] ? (end - w->at_ns[MARK_QUERY]) / NS_PER_MS : 0;
}

static void on_wake(void *arg, const struct wake_trace *w)
{
	struct msg_ctl_event m = { .wake = w->number, .cause = w->cause, .client = w->client };
	struct launcher *l = arg;
	bool over = w->result != TRACE_UNDER_WAY;

	if (!is_told(l))
		return;
	str_copy(m.service, w->service);
	if (over) {
		m.ms = took_ms(w);
		str_copy(m.result, trace_result_name(w->result));
		str_copy(m.text, w->reason);
	}
	tell(l, &m, over ? CTL_EVENT_WOKEN : CTL_EVENT_WAKE);
}

struct events *events_new(struct launcher *l)
{
	struct events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		abort();
	*ev = (struct events){ .rate = { .burst = EVENTS_BURST, .per_s = EVENTS_PER_S } };
	trace_listen(l->trace, on_wake, l);
	return ev;
}
