#include "backends/process.h"

void process_tell(void *arg, enum msg_type type, const void *body)
{
	struct backend_process *p = arg;
	const struct msg_be_domain *d = body;

	child_tell(p->child, type, body);
	if (p->guests && type == MSG_BE_DOMAIN && d->domain_id >= 0)
		guests_tell(p->guests, d->name);
}

void process_tell_guest(void *arg, const struct msg_be_guest *m, int fd)
{
	struct backend_process *p = arg;

	if (child_launcher(p->child))
		ipc_send_fd(child_launcher(p->child), MSG_BE_GUEST, m, fd);
}

void process_on_launcher(void *arg)
{
	struct backend_process *p = arg;

	if (p->backend)
		backend_on_launcher(p->backend);
	if (p->guests)
		guests_on_launcher(p->guests);
}
