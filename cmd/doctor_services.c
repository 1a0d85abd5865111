/* Where jitsud runs, what it says itself: which hypervisors it cannot reach, and which services cannot be held. */
#include "cmd/client.h"
#include "cmd/doctor.h"
#include "cmd/render.h"

static void look_at_service(struct doctor *d, const struct json_node *row)
{
	const char *why = row_text(row, "not_held_because");

	if (why)
		doctor_find(d, DOCTOR_NOTE,
			    "Until then its name alone wakes it; \"hold\": \"off\" in its record says that it is meant so.",
			    "clients of \"%s\" are not held: %s", row_text_or(row, "name", "?"), why);
}

/* "NAME: connected, ...", or what is wrong with it. */
static void look_at_hypervisor(struct doctor *d, const char *text)
{
	const char *colon = strstr(text, ": "), *state = colon ? colon + 2 : text;

	if (strncmp(state, "connected", strlen("connected")) == 0)
		doctor_good(d, "hypervisor %s", text);
	else
		doctor_find(d, DOCTOR_BAD, "Its VMs are neither started nor stopped until it answers; \"jitsuctl log\" has "
			    "what jitsud tried.", "hypervisor %s", text);
}

static void look_at_status(struct doctor *d, const struct json_node *row)
{
	const struct json_node *list = json_get(row, "hypervisors");

	if (!list || json_type(list) != JSON_ARRAY)
		return;
	for (const struct json_node *v = json_first(list); v; v = json_next(v)) {
		if (json_type(v) == JSON_STRING)
			look_at_hypervisor(d, json_string(v));
	}
}

/* How many rows there were; 0, too, when jitsud need not run, or not everybody may ask it. */
static unsigned ask(struct doctor *d, const char *socket, const char *verb,
		    void (*each)(struct doctor *d, const struct json_node *row))
{
	struct client_request q = { .verb = verb, .n = -1, .ds_ttl_s = -1, .revision = -1 };
	struct client *c = NULL;
	struct client_reply reply;
	struct err e;
	unsigned n = 0;

	if (client_open(socket, &c, &e) < 0)
		return 0;
	if (client_ask(c, &q, &e) == 0) {
		for (; client_next(c, &reply, &e) == 0 && reply.kind == REPLY_ROW; n++)
			each(d, reply.row);
	}
	client_close(c);
	return n;
}

void doctor_check_services(struct doctor *d, const char *socket)
{
	unsigned n, before = d->n_notes;

	d->check = "hypervisors";
	ask(d, socket, "status", look_at_status);
	d->check = "services";
	n = ask(d, socket, "list", look_at_service);
	if (n > 0 && d->n_notes == before)
		doctor_good(d, "jitsud says of none of its %u services that it cannot be held", n);
}
