/* jitsu-hooks: runs what the operator wants to be run when something happens (jobs.c).
 *
 * A process of its own, with a user of its own and no capability: the launcher says what happened, and
 * goes on.  The hooks come with each snapshot (MSG_BEGIN .. MSG_END); what waits or runs by the hooks before
 * is still run.  It has no system call list and sees the file system, for it is there to start programs.
 */
#include "base/child.h"
#include "base/log.h"
#include "hooks/event_text.h"
#include "hooks/jobs.h"

struct hooks {
	struct child *child;
	struct jobs *jobs;
	unsigned n, n_new;
	struct msg_hook v[MSG_HOOKS_MAX], new[MSG_HOOKS_MAX];
};

static void on_counted(void *arg, const struct msg_hook_counts *counts)
{
	struct hooks *h = arg;

	child_tell(h->child, MSG_HOOK_COUNTS, counts);
}

static void happened(struct hooks *h, const struct msg_hook_event *m)
{
	cleanup_buf struct buf text = { 0 };

	if (m->event >= HOOK_EVENT_N)
		return;
	event_text(m, &text);
	if (text.error)
		return;
	for (unsigned i = 0; i < h->n; i++) {
		if (h->v[i].on & 1u << m->event)
			jobs_add(h->jobs, &h->v[i], i, text.text);
	}
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct hooks *h = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_BEGIN: h->n_new = 0; break;
	case MSG_HOOK:
		if (h->n_new < MSG_HOOKS_MAX)
			h->new[h->n_new++] = *(const struct msg_hook *)body;
		break;
	case MSG_END:
		memcpy(h->v, h->new, sizeof(h->v));
		h->n = h->n_new;
		child_ready(h->child);
		break;
	case MSG_HOOK_EVENT: happened(h, body); break;
	default: log_limited(LOG_WARN, "the launcher said %s, which is for others", msg_name(type));
	}
}

int main(int argc, char **argv)
{
	static const struct child_ops ops = { .no_seccomp = true, .on_launcher_msg = on_launcher_msg };
	static struct hooks h;
	struct child_args args;
	int status;

	if (!child_args_parse(argc, argv, &args))
		return 2;
	h.child = child_new(&args, &ops, &h);
	h.jobs = jobs_new(child_base(h.child), on_counted, &h);
	if (!h.jobs)
		log_fatal("no memory for hooks");
	status = child_run(h.child);
	jobs_free(h.jobs);
	child_free(h.child);
	return status;
}
