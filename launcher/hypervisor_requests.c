/* Requests to backends: those that are under way, and what each of them asks. */
#include "launcher/hypervisor_internal.h"

enum { REQUESTS_KEPT = 1024, DISCOVER_AT_ONCE = 256 };

/* ---- under way ---- */

static struct request *request_new(struct hypervisor *hv, enum request_kind kind, const struct service *s)
{
	struct request *r;

	if (hv->n_requests == hv->room_requests) {
		hv->room_requests = hv->room_requests ? hv->room_requests * 2 : 16;
		hv->requests = realloc(hv->requests, hv->room_requests * sizeof(*r));
		if (!hv->requests)
			abort();
	}
	r = &hv->requests[hv->n_requests++];
	*r = (struct request){ .kind = kind, .req = ++hv->l->last_req, .svc = s->index, .gen = s->gen,
				.boot = s->domain_id };
	return r;
}

/* Its place is another one's now.  After a crowd the room is given back. */
void request_drop(struct hypervisor *hv, struct request *r)
{
	*r = hv->requests[--hv->n_requests];
	if (hv->n_requests > 0 || hv->room_requests <= REQUESTS_KEPT)
		return;
	free(hv->requests);
	hv->requests = NULL;
	hv->room_requests = 0;
}

void requests_clear(struct hypervisor *hv)
{
	for (size_t i = 0; i < hv->n_requests; i++)
		free(hv->requests[i].domain);
	hv->n_requests = 0;
}

struct request *request_find(struct hypervisor *hv, uint32_t req)
{
	for (size_t i = 0; i < hv->n_requests; i++) {
		if (hv->requests[i].req == req)
			return &hv->requests[i];
	}
	return NULL;
}

struct request *request_of(const struct hypervisor *hv, const struct service *s, enum request_kind kind)
{
	for (size_t i = 0; i < hv->n_requests; i++) {
		struct request *r = &hv->requests[i];

		if (r->svc == s->index && r->gen == s->gen && r->kind == kind)
			return r;
	}
	return NULL;
}

/* ---- asking ---- */

/* A backend that died just before is like one that dies just after: the next list settles the request. */
static int send_request(struct hypervisor *hv, enum msg_type type, const void *body)
{
	int r = ipc_send(hv->channel, type, body);

	return r == -EPIPE ? 0 : r;
}

/* Xen knows nothing of a domain that is off: its file does. */
static void ask_file(struct service *s, struct msg_be_target *m)
{
	struct err e;

	if (!s->conf->machine.xl_config[0] || state_counts(s->state) || s->stop_under_way)
		return;
	note_clear(&s->hold.unread);
	if (start_name_file(s, m->domain, m->xl_config, &e) < 0)
		note_set(&s->hold.unread, "%s", e.text);
}

static int send_target_of(struct service *s, enum msg_type type, enum request_kind kind, struct msg_be_target m)
{
	struct request *r;

	if (!hypervisor_ready(s->hv))
		return -ENOTCONN;
	str_copy(m.domain, s->target);
	if (kind == REQUEST_DISCOVER)
		ask_file(s, &m);
	r = request_new(s->hv, kind, s);
	r->how = m.how;
	m.req = r->req;
	m.svc = s->index;
	m.gen = s->gen;
	return send_request(s->hv, type, &m);
}

static int send_target(struct service *s, enum msg_type type, enum request_kind kind, uint8_t how)
{
	return send_target_of(s, type, kind, (struct msg_be_target){ .how = how });
}

int hypervisor_start(struct service *s, struct msg_be_start *m)
{
	if (!hypervisor_ready(s->hv))
		return -ENOTCONN;
	m->req = request_new(s->hv, REQUEST_START, s)->req;
	return send_request(s->hv, MSG_BE_START, m);
}

int hypervisor_resume(struct service *s) { return send_target(s, MSG_BE_RESUME, REQUEST_RESUME, 0); }

/* The answer that is on its way may be older than what is asked about now. */
static void inspect(struct service *s, enum request_kind kind)
{
	struct request *r = s->hv ? request_of(s->hv, s, kind) : NULL;

	if (r)
		r->again = true;
	else if (s->hv)
		send_target(s, MSG_BE_INSPECT, kind, 0);
}

static void discover_later(struct service *s)
{
	if (!s->is_undiscovered)
		TAILQ_INSERT_TAIL(&s->l->undiscovered, s, undiscovered);
	s->is_undiscovered = true;
}

void hypervisor_forget(struct service *s)
{
	if (s->is_undiscovered)
		TAILQ_REMOVE(&s->l->undiscovered, s, undiscovered);
	s->is_undiscovered = false;
}

int64_t hypervisor_ask_domain(struct hypervisor *hv, const char *domain)
{
	static const struct service nobody = { .index = UINT32_MAX };
	struct msg_be_target m = { .svc = nobody.index, .how = INSPECT_ADDRESSES };
	int r;

	if (!hypervisor_ready(hv))
		return -ENOTCONN;
	str_copy(m.domain, domain);
	m.req = request_new(hv, REQUEST_ADOPT, &nobody)->req;
	r = send_request(hv, MSG_BE_INSPECT, &m);
	return r < 0 ? r : (int64_t)m.req;
}

/* Of thousands that are new, a backend would refuse most. */
void hypervisor_discover(struct service *s)
{
	if (s->hv && s->hv->n_requests >= DISCOVER_AT_ONCE)
		discover_later(s);
	else
		inspect(s, REQUEST_DISCOVER);
}

/* A request was answered: one of those that wait takes its place.  (Those that none is sent for, because their
 * hypervisor went away, are settled when it is back.) */
void request_next(struct launcher *l)
{
	struct service *s = TAILQ_FIRST(&l->undiscovered);

	if (!s)
		return;
	hypervisor_forget(s);
	hypervisor_discover(s);
}

void hypervisor_verify(struct service *s) { inspect(s, REQUEST_VERIFY); }

void hypervisor_ask_addresses(struct service *s)
{
	if (s->hv && !request_of(s->hv, s, REQUEST_ADDRESSES))
		send_target(s, MSG_BE_INSPECT, REQUEST_ADDRESSES, INSPECT_ADDRESSES);
}

int hypervisor_stop(struct service *s, enum stop_how how)
{
	int r = 0;

	s->stop_waits = machine_is_defined(&s->conf->machine) && hypervisor_ready(s->hv) &&
			request_is_there(s->hv, s, REQUEST_START);
	if (s->stop_waits)
		s->stop_how = how;
	else
		r = send_target(s, MSG_BE_STOP, REQUEST_STOP, (uint8_t)how);
	if (r == 0)
		s->stop_under_way = true;
	service_is_busy(s);
	return r;
}

int hypervisor_save(struct service *s, struct err *e)
{
	struct msg_be_target m = { .how = STOP_SAVE };
	int r = saves_place(s, m.save, e);

	if (r == 0 && machine_is_defined(&s->conf->machine) && request_is_there(s->hv, s, REQUEST_START))
		r = err_set(e, -EBUSY, "the hypervisor has not said yet how its start went");
	if (r == 0)
		r = send_target_of(s, MSG_BE_STOP, REQUEST_STOP, m);
	s->stop_under_way = s->saves = r == 0;
	service_is_busy(s);
	return r;
}

bool hypervisor_is_stopping(const struct service *s)
{
	return s->stop_waits || (s->hv && request_is_there(s->hv, s, REQUEST_STOP));
}

/* ---- consoles ---- */

void request_console(struct hypervisor *hv, const struct service *s)
{
	struct msg_be_console m = { .svc = s->index, .gen = s->gen };

	if (machine_is_defined(&s->conf->machine))
		return;
	snprintf(m.name, sizeof(m.name), "jitsu-%s", s->conf->name);
	ipc_send(hv->channel, MSG_BE_CONSOLE, &m);
}

void hypervisor_end_console(const struct service *s)
{
	struct msg_be_console m = { .svc = s->index, .gen = s->gen, .over = true };

	if (!s->hv || !s->hv->channel)
		return;
	snprintf(m.name, sizeof(m.name), "jitsu-%s", s->conf->name);
	ipc_send(s->hv->channel, MSG_BE_CONSOLE, &m);
}
