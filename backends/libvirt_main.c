/* jitsu-libvirt: the backend for one libvirt URI, embedded driver or not.
 *
 * It stays root, because libvirt's QEMU driver, which runs inside this process when the URI is an
 * embed one, needs it to make QEMU less than root.  It reads nothing from the network and talks to
 * the launcher and to libvirt alone.
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pwd.h>
#include <sys/stat.h>

#include "backends/kvm.h"
#include "backends/libvirt.h"
#include "backends/libvirt_conf.h"
#include "backends/libvirt_events.h"
#include "backends/orphans.h"
#include "backends/process.h"
#include "backends/stale.h"
#include "base/clock.h"
#include "base/log.h"

enum { WORKERS = 4, SLOW_CHECK_MS = 500, HOUSEKEEPING_MS = 60 * 1000 };

struct program {
	struct backend_process process;
	struct libvirt *libvirt;
	struct consoles *consoles;
	struct orphans *orphans;
	struct event *housekeeping;
	struct kvm_user user;
	struct err no_kvm, unusable;
	char root[MSG_PATH_MAX]; /* of the embedded driver; "" when it is none */
	char console_dir[MSG_PATH_MAX], log_dir[MSG_PATH_MAX + 16];
};

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct program *p = arg;

	(void)ch;
	(void)fd;
	backend_on_msg(p->process.backend, type, body);
}

/* ---- surroundings ---- */

/* libvirt runs "tc qdisc add .. noqueue" for each NIC, which costs some 5 ms of each start, fails
 * without harm where there is no tc, and changes nothing on a tap that queues nothing.  It looks
 * for tc in PATH, and tc is an administrator's program: so PATH has the users' directories only,
 * where QEMU is. */
static void set_environment(void)
{
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	/* What matters of its log comes as errors of calls; operators may still ask for more. */
	setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
	umask(022);
}

static int find_user(const char *name, struct kvm_user *user, struct err *e)
{
	const struct passwd *pw = name ? getpwnam(name) : NULL;

	if (!pw)
		return err_set(e, -ENOENT, "the user %s, which QEMU runs as, does not exist: make it (useradd --system --user-group %s), then restart jitsud",
			       name ? name : "of QEMU", name ? name : "libvirt-qemu");
	if (pw->pw_uid == 0)
		return err_set(e, -EPERM, "QEMU must not run as root: name another user");
	*user = (struct kvm_user){ .name = name, .uid = pw->pw_uid, .gid = pw->pw_gid };
	return 0;
}

/* ---- KVM ---- */

/* A check that never came back is not repeated at each restart, when services wait for us. */
static bool recall_verdict(const char *path, struct err *e)
{
	cleanup_buf struct buf text = { 0 };

	if (buf_read_file(&text, path, sizeof(e->text) - 1) < 0 || text.n == 0)
		return false;
	err_set(e, -EIO, "%s", text.text);
	return true;
}

static void remember_verdict(const char *path, const struct err *e)
{
	cleanup_fclose FILE *f = fopen(path, "we");

	if (f)
		fprintf(f, "%s (as seen before; remove %s to try again)", e->text, path);
}

static bool has_kvm(struct program *p, const char *run_dir)
{
	char verdict[MSG_PATH_MAX];
	uint64_t begin = clock_now_ms();

	snprintf(verdict, sizeof(verdict), "%s/no-kvm", run_dir);
	if (recall_verdict(verdict, &p->no_kvm))
		return false;
	if (kvm_check(&p->user, run_dir, &p->no_kvm) == 0)
		return true;
	if (clock_now_ms() - begin > SLOW_CHECK_MS)
		remember_verdict(verdict, &p->no_kvm);
	return false;
}

static bool is_local(const char *uri) { return strncmp(uri, "qemu:///", 8) == 0; }

/* Fills in the verdict; where there is no KVM for us, the embedded driver shall see none. */
static bool settle_kvm(struct program *p, const struct child_args *args)
{
	struct err e;

	if (!is_local(args->uri)) {
		err_set(&p->no_kvm, -ENOTSUP, "whether KVM works on another host cannot be tried from here");
		return false;
	}
	if (has_kvm(p, args->run_dir))
		return true;
	if (p->root[0] && kvm_hide(&e) < 0)
		log_warn("%s; each start will be slow", e.text);
	return false;
}

/* ---- life ---- */

static void on_housekeeping(evutil_socket_t fd, short what, void *arg)
{
	const struct program *p = arg;

	(void)fd;
	(void)what;
	libvirt_trim_logs(p->libvirt);
}

static void prepare_embedded(struct program *p, const struct child_args *args)
{
	enum isolation isolation = strcmp(args->isolation ? args->isolation : "", "fast") == 0 ? ISOLATION_FAST : ISOLATION_STRICT;

	snprintf(p->log_dir, sizeof(p->log_dir), "%s/log/qemu", p->root);
	if (stale_end_forks(p->root) > 0)
		log_info("ended what an earlier process had only just begun to start");
	if (libvirt_conf_write(p->root, isolation, p->user.uid, p->user.gid, &p->unusable) == 0)
		stale_clear(p->root);
}

/* The paths and the consoles, before anything can ask for one. */
static void prepare(struct program *p, const struct child_args *args)
{
	struct err e;

	if (!libvirt_embed_root(args->uri, p->root))
		p->root[0] = '\0';
	if (find_user(args->qemu_user, &p->user, &p->unusable) < 0)
		return;
	snprintf(p->console_dir, sizeof(p->console_dir), "%s/console", args->run_dir);
	p->consoles = consoles_new(child_base(p->process.child), p->console_dir, p->user.uid, p->user.gid, &e);
	if (!p->consoles)
		log_warn("%s: no consoles", e.text);
	if (p->root[0])
		prepare_embedded(p, args);
}

static void begin(struct program *p, const struct child_args *args)
{
	struct event_base *base = child_base(p->process.child);
	struct timeval every = clock_timeval_ms(HOUSEKEEPING_MS);
	struct libvirt_conf conf = {
		.uri = args->uri,
		.console_dir = p->console_dir,
		.log_dir = p->root[0] ? p->log_dir : NULL,
	};

	prepare(p, args);
	if (!p->unusable.code)
		conf.kvm = settle_kvm(p, args);
	conf.no_kvm = p->no_kvm.text;
	conf.unusable = p->unusable.code ? p->unusable.text : NULL;
	conf.consoles = p->consoles;
	conf.guests = p->process.guests = guests_new(base, process_tell_guest, p);
	conf.qemu_uid = p->user.uid;
	conf.qemu_gid = p->user.gid;
	/* From here on there are threads. */
	if (p->root[0])
		p->orphans = orphans_new(base);
	if (libvirt_events_register(base) < 0 || !(p->libvirt = libvirt_new(&conf)))
		log_fatal("cannot start libvirt");
	p->process.backend = backend_new(base, &libvirt_ops, p->libvirt, WORKERS, process_tell, p);
	p->housekeeping = event_new(base, -1, EV_PERSIST, on_housekeeping, p);
	if (!p->process.backend || !p->housekeeping || event_add(p->housekeeping, &every) < 0)
		log_fatal("cannot start the backend: %s", strerror(errno));
	libvirt_set_backend(p->libvirt, p->process.backend);
}

int main(int argc, char **argv)
{
	static const struct child_ops ops = { .on_launcher = process_on_launcher, .on_launcher_msg = on_launcher_msg };
	static struct program p;
	struct child_args args;
	int status;

	if (!child_args_parse(argc, argv, &args) || !args.uri) {
		fprintf(stderr, "%s: --uri is missing\n", argv[0]);
		return 2;
	}
	set_environment();
	/* libvirt's threads add and remove events. */
	if (evthread_use_pthreads() < 0)
		return 1;
	p.process.child = child_new(&args, &ops, &p);
	begin(&p, &args);
	child_ready(p.process.child);
	status = child_run(p.process.child);
	/* A worker may hang in a call for ever, and libvirt keeps threads of its own: nothing is
	 * freed that they may be using.  Guests live on. */
	_exit(libvirt_ops.spent(p.libvirt) ? 1 : status);
}
