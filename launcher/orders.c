/* What operators order of a service beyond its record: stay up, stay down, until when.
 *
 * An order is kept in the registry, so that it outlives everything, and is for services of the file,
 * too.  It acts in three places: a service that is kept up is never idle (use.c), one that is kept down
 * is not woken (wake.c), and here, every LOOK_MS while there are orders, whatever is not as ordered is
 * started or stopped: by hand, or by its own failing.  A start that failed is tried again after its
 * back-off, like any other.  What somebody else started is left alone.
 */
#include "base/json.h"
#include "launcher/registrar.h"

enum { LOOK_MS = 1000 };

static bool is_over(const struct service *s) { return s->order_until_ms && clock_wall_ms() >= s->order_until_ms; }

bool order_keeps_up(const struct service *s) { return s->order == ORDER_UP && !is_over(s) && service_is_served(s); }

bool order_keeps_down(const struct service *s) { return s->order == ORDER_DOWN && !is_over(s); }

static void forget_order(struct service *s)
{
	s->order = ORDER_NONE;
	if (s->state == STATE_UP)
		service_arm(s, TIMER_IDLE, 1);
}

static void bring_up(struct service *s)
{
	struct err e;

	if (s->queued || s->stop_under_way || (s->state == STATE_FAILED && clock_now_ms() < s->retry_ms))
		return;
	if (s->state == STATE_OFF || s->state == STATE_FAILED || s->state == STATE_SUSPENDED ||
	    s->state == STATE_SAVED)
		if (wake_by_hand(s, &e) < 0)
			service_set_error(s, "%s", e.text);
}

static void bring_down(struct service *s)
{
	if (s->state != STATE_UP && s->state != STATE_BOOTING)
		return;
	note_set(&s->stop_reason, "an operator keeps it down (pin)");
	wake_forget(s, s->stop_reason);
	service_event(s, SVC_OPERATOR_STOP);
}

static void follow_order(struct service *s)
{
	if (is_over(s)) {
		log_info("service=%s its lease is over", s->conf->name);
		forget_order(s);
	} else if (hypervisor_ready(s->hv) && order_keeps_up(s)) {
		bring_up(s);
	} else if (hypervisor_ready(s->hv) && order_keeps_down(s)) {
		bring_down(s);
	}
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = clock_timeval_ms(LOOK_MS);
	struct launcher *l = arg;
	struct service *s;
	bool any = false;

	(void)fd;
	(void)what;
	FOR_EACH_SERVICE(l, s) {
		if (s->order == ORDER_NONE)
			continue;
		follow_order(s);
		any = true;
	}
	if (any)
		event_add(l->orders, &again);
}

static uint64_t until_of(const struct json_node *root)
{
	const struct json_node *v = json_get(root, "until_ms");
	int64_t ms;

	return v && json_type(v) == JSON_NUMBER && json_integer(v, &ms) == 0 && ms > 0 ? (uint64_t)ms : 0;
}

static enum order order_of(const struct json_node *root)
{
	const struct json_node *v = json_get(root, "pin");

	if (!v || json_type(v) != JSON_STRING)
		return ORDER_NONE;
	return strcmp(json_string(v), "up") == 0 ? ORDER_UP : strcmp(json_string(v), "down") == 0 ? ORDER_DOWN : ORDER_NONE;
}

void orders_set(struct service *s, const char *body)
{
	struct timeval now = { 0 };
	struct json_place at;
	struct err e;
	struct json *doc = body ? json_parse(body, strlen(body), &at, &e) : NULL;
	bool object = doc && json_type(json_root(doc)) == JSON_OBJECT;

	s->order = object ? order_of(json_root(doc)) : ORDER_NONE;
	s->order_until_ms = object ? until_of(json_root(doc)) : 0;
	json_free(doc);
	if (s->order == ORDER_NONE || is_over(s))
		forget_order(s);
	else
		event_add(s->l->orders, &now);
}

void orders_print(enum order order, uint64_t until_wall_ms, struct buf *out)
{
	struct json_writer w = { .out = out };

	json_open(&w, NULL, '{');
	json_put_string(&w, "pin", order == ORDER_UP ? "up" : "down");
	if (until_wall_ms)
		json_put_integer(&w, "until_ms", (int64_t)until_wall_ms);
	json_close(&w, '}');
}

void orders_init(struct launcher *l)
{
	l->orders = evtimer_new(l->base, on_look, l);
	if (!l->orders)
		abort();
}
