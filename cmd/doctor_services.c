/* Where jitsud runs: which of its services cannot be held, as it says itself. */
#include "cmd/client.h"
#include "cmd/doctor.h"
#include "cmd/render.h"

static void look_at(struct doctor *d, const struct json_node *row)
{
	const char *why = row_text(row, "not_held_because");

	if (why)
		doctor_find(d, DOCTOR_NOTE,
			    "Until then its name alone wakes it; \"hold\": \"off\" in its record says that it is meant so.",
			    "clients of \"%s\" are not held: %s", row_text_or(row, "name", "?"), why);
}

void doctor_check_services(struct doctor *d, const char *socket)
{
	struct client_request q = { .verb = "list", .n = -1, .ds_ttl_s = -1, .revision = -1 };
	struct client *c = NULL;
	struct client_reply reply;
	struct err e;
	unsigned n = 0, before;

	d->check = "services";
	before = d->n_notes;
	if (client_open(socket, &c, &e) < 0)
		return; /* jitsud need not run, nor may everybody ask it */
	if (client_ask(c, &q, &e) == 0) {
		for (; client_next(c, &reply, &e) == 0 && reply.kind == REPLY_ROW; n++)
			look_at(d, reply.row);
	}
	client_close(c);
	if (n > 0 && d->n_notes == before)
		doctor_good(d, "jitsud says of none of its %u services that it cannot be held", n);
}
