/* jitsu-libxl: the backend for the Xen of this host.
 *
 * It stays root, which is what dom0's toolstack is.  It reads nothing from the network and talks to the launcher,
 * to libxl and to xenstored alone.
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <limits.h>
#include <sys/stat.h>

#include "backends/libxl.h"
#include "backends/libxl_console.h"
#include "backends/process.h"
#include "backends/watches.h"
#include "backends/xenstore_guest.h"
#include "base/log.h"

enum { WORKERS = 4 };

struct program {
	struct backend_process process;
	struct libxl *libxl;
	struct xl_consoles *consoles;
	struct xenstore_guests *xenstore; /* NULL: guests are not heard */
	char vif_script[PATH_MAX + 16], console_dir[MSG_PATH_MAX];
};

/* ---- what guests say ---- */

static void tell_key(void *arg, const struct msg_be_key *m)
{
	struct program *p = arg;

	child_tell(p->process.child, MSG_BE_KEY, m);
}

/* Domains begin and end by events, and those that were there before are in the launcher's first list. */
static void follow_event(struct program *p, const struct msg_be_event *m)
{
	if (m->what == EVENT_STARTED)
		xenstore_guests_began(p->xenstore, m->domain_id, m->name, m->uuid);
	else if (m->what == EVENT_STOPPED || m->what == EVENT_CRASHED || m->what == EVENT_SAVED)
		xenstore_guests_gone(p->xenstore, m->domain_id);
}

static void follow(struct program *p, enum msg_type type, const void *body)
{
	const struct msg_be_domain *d = body;

	if (type == MSG_BE_EVENT)
		follow_event(p, body);
	else if (type == MSG_BE_DOMAIN && d->domain_id >= 0)
		xenstore_guests_began(p->xenstore, d->domain_id, d->name, d->uuid);
}

static void begin_guests(struct program *p, struct event_base *base)
{
	struct guests *guests = p->process.guests = guests_new(base, process_tell_guest, p);

	p->xenstore = guests ? xenstore_guests_new(base, guests, tell_key, p) : NULL;
	if (!p->xenstore)
		log_warn("guests are not heard: XenStore cannot be reached: %s", strerror(errno));
}

/* ---- the launcher ---- */

static void tell(void *arg, enum msg_type type, const void *body)
{
	struct program *p = arg;

	process_tell(&p->process, type, body);
	if (p->xenstore)
		follow(p, type, body);
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct program *p = arg;

	(void)ch;
	(void)fd;
	if (type != MSG_BE_WATCH)
		backend_on_msg(p->process.backend, type, body);
	else if (p->xenstore)
		xenstore_guests_watch(p->xenstore, body);
}

static void on_console(void *arg, const char *name, const char *tty)
{
	struct program *p = arg;

	if (p->consoles)
		xl_consoles_found(p->consoles, name, tty);
}

static void on_keep(void *arg, const char *name)
{
	struct program *p = arg;

	if (p->consoles)
		xl_consoles_keep(p->consoles, name);
}

static void on_forget(void *arg, const char *name)
{
	struct program *p = arg;

	if (p->consoles)
		xl_consoles_forget(p->consoles, name);
}

/* What connects a NIC to its bridge: ours, beside this program, or else libxl's own script. */
static const char *find_vif_script(struct program *p)
{
	const char *named = getenv("JITSU_VIF");
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (named)
		return named;
	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	snprintf(p->vif_script, sizeof(p->vif_script), "%s/jitsu-vif", exe);
	if (access(p->vif_script, X_OK) == 0)
		return p->vif_script;
	log_warn("%s is not there: NICs are connected by Xen's own script, which is slow", p->vif_script);
	return NULL;
}

static void begin(struct program *p, const struct child_args *args)
{
	struct event_base *base = child_base(p->process.child);
	struct libxl_conf conf = { .run_dir = args->run_dir, .console = on_console, .keep = on_keep,
				   .forget = on_forget, .arg = p };
	struct err e;

	snprintf(p->console_dir, sizeof(p->console_dir), "%s/console", args->run_dir);
	p->consoles = xl_consoles_new(base, p->console_dir, &e);
	if (!p->consoles)
		log_warn("%s: no consoles", e.text);
	conf.vif_script = find_vif_script(p);
	begin_guests(p, base);
	if (watches_init(base) < 0)
		log_fatal("cannot watch for libxl's events");
	p->libxl = libxl_new(base, &conf, &e);
	if (!p->libxl)
		log_fatal("%s", e.text);
	p->process.backend = backend_new(base, &libxl_ops, p->libxl, WORKERS, tell, p);
	if (!p->process.backend)
		log_fatal("cannot start the backend: %s", strerror(errno));
	libxl_set_backend(p->libxl, p->process.backend);
}

int main(int argc, char **argv)
{
	static const struct child_ops ops = { .on_launcher = process_on_launcher, .on_launcher_msg = on_launcher_msg };
	static struct program p;
	struct child_args args;
	int status;

	if (!child_args_parse(argc, argv, &args) || !args.uri || !args.run_dir) {
		fprintf(stderr, "%s: --uri or --run-dir is missing\n", argv[0]);
		return 2;
	}
	umask(022);
	/* libxl is used by several threads, and each of them registers what it waits for. */
	if (evthread_use_pthreads() < 0)
		return 1;
	p.process.child = child_new(&args, &ops, &p);
	begin(&p, &args);
	child_ready(p.process.child);
	status = child_run(p.process.child);
	/* A worker may hang in a call for ever: nothing is freed that it may be using.  Guests live on. */
	_exit(libxl_is_lost(p.libxl) ? 1 : status);
}
