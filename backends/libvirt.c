/* One libvirt connection, used by several workers at once.
 *
 * `conn` is guarded by a mutex and handed out with a reference, so that a worker in a call keeps
 * the connection it began with while another one is being made.  Domains are looked up anew for
 * each request: nothing is cached that libvirt knows better.
 *
 * Events and the news that a connection died come on the loop's thread (libvirt_events.c) and go
 * straight to backend.c, unless they are of a connection that has a successor already.  (A
 * connection with callbacks is referenced by them: its address is not used again before they are
 * gone.)
 *
 * libvirt's own words are kept per thread by libvirt; say() takes them right after the call that
 * failed.
 */
#include "backends/libvirt.h"

#include <dirent.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "backends/domain_xml.h"
#include "backends/save_file.h"
#include "base/log.h"

enum { KEEPALIVE_S = 5, KEEPALIVE_MISSED = 3, LOG_BYTES_MAX = 256 * 1024, URI_EMBED_LEN = 13 };

struct libvirt {
	struct libvirt_conf conf;
	struct backend *b;
	struct utsname host;
	pthread_mutex_t lock;
	virConnectPtr conn; /* under lock */
	bool spent; /* under lock: the embedded driver failed to start, which it can try once */
	int lifecycle_id; /* of the callback on conn, -1: none; one worker opens at a time */
};

/* ---- cleanup attributes for libvirt's references ---- */

static void conn_unref(virConnectPtr *c)
{
	if (*c)
		virConnectClose(*c);
}

static void domain_unref(virDomainPtr *d)
{
	if (*d)
		virDomainFree(*d);
}

#define cleanup_conn __attribute__((cleanup(conn_unref)))
#define cleanup_domain __attribute__((cleanup(domain_unref)))

/* ---- errors ---- */

static int errno_of(const virError *v)
{
	static const struct {
		int code, error;
	} known[] = {
		{ VIR_ERR_NO_DOMAIN, -ENOENT },		    { VIR_ERR_DOM_EXIST, -EEXIST },
		{ VIR_ERR_NO_MEMORY, -ENOMEM },		    { VIR_ERR_NO_CONNECT, -ENOTCONN },
		{ VIR_ERR_INVALID_CONN, -ENOTCONN },	    { VIR_ERR_RPC, -ENOTCONN },
		{ VIR_ERR_OPERATION_TIMEOUT, -ETIMEDOUT },  { VIR_ERR_OPERATION_INVALID, -EBUSY },
		{ VIR_ERR_CONFIG_UNSUPPORTED, -ENOTSUP },   { VIR_ERR_NO_SUPPORT, -ENOTSUP },
		{ VIR_ERR_OPERATION_UNSUPPORTED, -ENOTSUP }, { VIR_ERR_XML_ERROR, -EINVAL },
		{ VIR_ERR_XML_DETAIL, -EINVAL },	    { VIR_ERR_INVALID_ARG, -EINVAL },
		{ VIR_ERR_AUTH_FAILED, -EACCES },	    { VIR_ERR_AUTH_CANCELLED, -EACCES },
		{ VIR_ERR_ACCESS_DENIED, -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (v->code == known[i].code)
			return known[i].error;
	}
	return -EIO;
}

/* QEMU complains once in each life that nobody listens on the console yet; that is never why it
 * failed. */
static bool is_noise(const char *line, size_t n)
{
	static const char what[] = "Unable to connect character device charserial";

	return memmem(line, n, what, sizeof(what) - 1) != NULL;
}

/* One line out of libvirt's several, the first and the last when they do not all fit: the first
 * says what failed, the last is QEMU's own reason. */
static void flatten(const char *text, char *out, size_t size)
{
	cleanup_buf struct buf b = { 0 };
	size_t keep = size / 4;

	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		if (n > 0 && (line == text || !is_noise(line, n))) {
			buf_adds(&b, b.n > 0 ? "; " : "");
			buf_add(&b, line, n);
		}
		line += n + (line[n] != '\0');
	}
	if (b.error < 0 || b.n < size)
		str_copy_n(out, size, b.error < 0 ? text : b.n > 0 ? b.text : "");
	else
		snprintf(out, size, "%.*s ... %s", (int)keep, b.text, b.text + b.n - (size - keep - 6));
}

/* What the call that just failed in this thread had to say. */
static int say(struct err *e)
{
	virErrorPtr v = virGetLastError();
	int code = v ? errno_of(v) : -EIO;

	e->code = code;
	flatten(v && v->message ? v->message : "libvirt gave no reason", e->text, sizeof(e->text));
	return code;
}

/* libvirt prints errors unless somebody takes them; say() has them already. */
static void swallow(void *arg, virErrorPtr v)
{
	(void)arg;
	(void)v;
}

/* ---- the connection ---- */

static virConnectPtr get_conn(struct libvirt *l, struct err *e)
{
	virConnectPtr c;

	pthread_mutex_lock(&l->lock);
	c = l->conn;
	if (c)
		virConnectRef(c);
	pthread_mutex_unlock(&l->lock);
	if (!c)
		err_set(e, -ENOTCONN, "not connected to %s", l->conf.uri);
	return c;
}

static void set_conn(struct libvirt *l, virConnectPtr c)
{
	pthread_mutex_lock(&l->lock);
	l->conn = c;
	pthread_mutex_unlock(&l->lock);
}

static bool is_current(struct libvirt *l, virConnectPtr c)
{
	bool current;

	pthread_mutex_lock(&l->lock);
	current = l->conn == c;
	pthread_mutex_unlock(&l->lock);
	return current;
}

static void on_close(virConnectPtr c, int reason, void *arg)
{
	static const char *const why[] = {
		[VIR_CONNECT_CLOSE_REASON_ERROR] = "the connection to libvirt broke",
		[VIR_CONNECT_CLOSE_REASON_EOF] = "libvirt went away",
		[VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirt does not answer any more",
		[VIR_CONNECT_CLOSE_REASON_CLIENT] = "the connection was closed",
	};
	struct libvirt *l = arg;

	if (is_current(l, c))
		backend_lost(l->b, reason >= 0 && (size_t)reason < ARRAY_SIZE(why) ? why[reason] : "libvirt closed the connection");
}

/* ---- events ---- */

struct event_meaning {
	int event, detail; /* detail -1: any */
	enum domain_event what;
	const char *text;
};

static const struct event_meaning meanings[] = {
	{ VIR_DOMAIN_EVENT_STARTED, -1, EVENT_STARTED, "started" },
	{ VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, EVENT_SUSPENDED, "paused: an error of its disk" },
	{ VIR_DOMAIN_EVENT_SUSPENDED, -1, EVENT_SUSPENDED, "paused" },
	{ VIR_DOMAIN_EVENT_PMSUSPENDED, -1, EVENT_SUSPENDED, "suspended by the guest" },
	{ VIR_DOMAIN_EVENT_RESUMED, -1, EVENT_RESUMED, "resumed" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, EVENT_STOPPED, "shutdown" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, EVENT_STOPPED, "destroyed" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED, EVENT_CRASHED, "crashed" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED, EVENT_STOPPED, "migrated" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SAVED, EVENT_SAVED, "saved" },
	{ VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED, EVENT_CRASHED, "failed: the emulator ended" },
	{ VIR_DOMAIN_EVENT_STOPPED, -1, EVENT_STOPPED, "stopped" },
	{ VIR_DOMAIN_EVENT_CRASHED, -1, EVENT_CRASHED, "the guest panicked" },
};

static const struct event_meaning *meaning_of(int event, int detail)
{
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (meanings[i].event == event && (meanings[i].detail == -1 || meanings[i].detail == detail))
			return &meanings[i];
	}
	return NULL; /* defined, undefined, about to shut down: nothing that runs or stops */
}

static int on_lifecycle(virConnectPtr c, virDomainPtr d, int event, int detail, void *arg)
{
	const struct event_meaning *meaning = meaning_of(event, detail);
	struct libvirt *l = arg;
	struct msg_be_event m = { .what = 0 };

	if (!meaning || !is_current(l, c))
		return 0;
	m.what = (uint8_t)meaning->what;
	m.domain_id = (int32_t)virDomainGetID(d);
	str_copy(m.name, virDomainGetName(d));
	virDomainGetUUIDString(d, m.uuid);
	str_copy(m.text, meaning->text);
	backend_event(l->b, &m);
	return 0;
}

static void add_version(virConnectPtr c, bool with_hypervisor, char *out, size_t size)
{
	unsigned long lib = 0, hv = 0;
	int n;

	virConnectGetLibVersion(c, &lib);
	n = snprintf(out, size, "libvirt %lu.%lu.%lu", lib / 1000000, lib / 1000 % 1000, lib % 1000);
	if (with_hypervisor && virConnectGetVersion(c, &hv) == 0 && hv > 0 && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, ", %s %lu.%lu.%lu", virConnectGetType(c), hv / 1000000, hv / 1000 % 1000,
			 hv % 1000);
}

static bool is_embedded(const struct libvirt *l) { return strncmp(l->conf.uri, "qemu:///embed", URI_EMBED_LEN) == 0; }

/* What a remote connection has and the embedded driver does not: a peer that can go away. */
static int watch_peer(struct libvirt *l, virConnectPtr c)
{
	if (is_embedded(l))
		return 0;
	/* Not all transports have it. */
	virConnectSetKeepAlive(c, KEEPALIVE_S, KEEPALIVE_MISSED);
	return virConnectRegisterCloseCallback(c, on_close, l, NULL);
}

/* Callbacks hold the connection: without this it would live on, socket and all. */
static void close_old(struct libvirt *l)
{
	virConnectPtr old = l->conn;

	set_conn(l, NULL);
	if (!old)
		return;
	if (l->lifecycle_id >= 0)
		virConnectDomainEventDeregisterAny(old, l->lifecycle_id);
	l->lifecycle_id = -1;
	if (!is_embedded(l))
		virConnectUnregisterCloseCallback(old, on_close);
	virConnectClose(old);
}

/* A second try of the embedded driver in the same process finds "too many drivers".  The usual
 * reason for the first to fail is a predecessor of ours that still holds the lock. */
static void mark_spent(struct libvirt *l)
{
	pthread_mutex_lock(&l->lock);
	l->spent = is_embedded(l);
	pthread_mutex_unlock(&l->lock);
}

static bool libvirt_spent(void *hv)
{
	struct libvirt *l = hv;
	bool spent;

	pthread_mutex_lock(&l->lock);
	spent = l->spent;
	pthread_mutex_unlock(&l->lock);
	return spent;
}

static int libvirt_open(void *hv, struct msg_be_hello *hello, struct err *e)
{
	struct libvirt *l = hv;
	virConnectPtr c;

	if (l->conf.unusable)
		return err_set(e, -ENOENT, "%s", l->conf.unusable);
	close_old(l);
	c = virConnectOpen(l->conf.uri);
	if (!c) {
		mark_spent(l);
		return say(e);
	}
	/* From here on events count: first known, then listened to. */
	set_conn(l, c);
	l->lifecycle_id = virConnectDomainEventRegisterAny(c, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
							    VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), l, NULL);
	if (l->lifecycle_id < 0 || watch_peer(l, c) < 0) {
		say(e);
		close_old(l);
		return e->code;
	}
	hello->kvm = l->conf.kvm;
	str_copy(hello->text, l->conf.kvm ? "" : l->conf.no_kvm);
	add_version(c, false, hello->version, sizeof(hello->version));
	return 0;
}

/* libvirt asks each emulator what it can do before its first guest, for seconds; once asked, it
 * remembers. */
static void libvirt_warm(void *hv, struct msg_be_hello *hello)
{
	static const struct {
		const char *program, *arch, *machine;
	} emulators[] = {
		{ "/usr/bin/qemu-system-x86_64", "x86_64", "microvm" },
		{ "/usr/bin/qemu-system-aarch64", "aarch64", "virt" },
	};
	struct libvirt *l = hv;
	struct err e;
	cleanup_conn virConnectPtr c = get_conn(l, &e);

	if (!c)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(emulators) && is_embedded(l); i++) {
		if (access(emulators[i].program, X_OK) == 0)
			free(virConnectGetDomainCapabilities(c, NULL, emulators[i].arch, emulators[i].machine, NULL, 0));
	}
	add_version(c, true, hello->version, sizeof(hello->version));
}

/* ---- what is known of a domain ---- */

static virDomainPtr lookup(virConnectPtr c, const char *domain, struct err *e)
{
	virDomainPtr d = NULL;

	if (strlen(domain) == VIR_UUID_STRING_BUFLEN - 1 && domain[8] == '-')
		d = virDomainLookupByUUIDString(c, domain);
	if (!d)
		d = virDomainLookupByName(c, domain);
	if (!d)
		say(e);
	return d;
}

static void find_bridges(virConnectPtr c, struct msg_be_domain *d, const struct domain_more *more)
{
	for (unsigned i = 0; i < d->n_nics; i++) {
		virNetworkPtr n = more->network[i][0] ? virNetworkLookupByName(c, more->network[i]) : NULL;
		cleanup_free char *xml = n ? virNetworkGetXMLDesc(n, 0) : NULL;

		if (xml)
			network_xml_read_bridge(xml, d->nics[i].bridge);
		if (n)
			virNetworkFree(n);
	}
}

static uint8_t state_of(virDomainPtr d)
{
	int state = VIR_DOMAIN_NOSTATE;

	virDomainGetState(d, &state, NULL, 0);
	switch (state) {
	case VIR_DOMAIN_PAUSED:
	case VIR_DOMAIN_PMSUSPENDED:
		return DOMAIN_PAUSED;
	case VIR_DOMAIN_SHUTOFF:
	case VIR_DOMAIN_CRASHED:
		return virDomainHasManagedSaveImage(d, 0) == 1 ? DOMAIN_SAVED : DOMAIN_OFF;
	case VIR_DOMAIN_NOSTATE:
		return DOMAIN_OFF;
	default:
		return DOMAIN_RUNNING;
	}
}

/* A machine of ours comes to us; to the channel of another domain, if it has one, we must go. */
static void hear_guest(const struct libvirt *l, const struct msg_be_domain *d, const struct domain_more *more)
{
	if (l->conf.guests && d->domain_id >= 0 && more->guest_path[0])
		guests_connect(l->conf.guests, d->name, d->uuid, more->guest_path);
}

static int describe(const struct libvirt *l, virConnectPtr c, virDomainPtr d, struct msg_be_domain *out, struct err *e)
{
	cleanup_free char *xml = virDomainGetXMLDesc(d, 0);
	struct domain_more more;

	if (!xml)
		return say(e);
	if (domain_xml_read(xml, out, &more) < 0)
		return err_set(e, -EIO, "cannot read libvirt's description of %s", virDomainGetName(d));
	find_bridges(c, out, &more);
	out->state = state_of(d);
	out->domain_id = out->state == DOMAIN_RUNNING || out->state == DOMAIN_PAUSED ? (int32_t)virDomainGetID(d) : -1;
	hear_guest(l, out, &more);
	return 0;
}

static void copy_nics(struct msg_be_result *r, const struct msg_nic *nics, uint16_t n)
{
	memcpy(r->nics, nics, n * sizeof(*nics));
	r->n_nics = n;
}

static void copy_identity(struct msg_be_result *r, virDomainPtr d)
{
	virDomainGetUUIDString(d, r->uuid);
	r->domain_id = (int32_t)virDomainGetID(d);
}

/* ---- start ---- */

static int fill_from_running(const struct libvirt *l, virConnectPtr c, virDomainPtr d, struct msg_be_result *r, struct err *e)
{
	struct msg_be_domain found = { 0 };
	int error = describe(l, c, d, &found, e);

	if (error < 0)
		return error;
	copy_identity(r, d);
	copy_nics(r, found.nics, found.n_nics);
	return 0;
}

static int start_existing(const struct libvirt *l, virConnectPtr c, const struct msg_be_start *m, struct msg_be_result *r,
			  struct err *e)
{
	cleanup_domain virDomainPtr d = lookup(c, m->domain, e);
	int error;

	if (!d)
		return e->code;
	switch (state_of(d)) {
	case DOMAIN_PAUSED:
		return err_set(e, -EBUSY, "domain %s is paused", m->domain);
	case DOMAIN_RUNNING:
		error = fill_from_running(l, c, d, r, e);
		return error < 0 ? error : err_set(e, -EEXIST, "domain %s runs already", m->domain);
	default:
		break;
	}
	if (virDomainCreateWithFlags(d, (m->paused ? VIR_DOMAIN_START_PAUSED : 0) |
					(m->fresh ? VIR_DOMAIN_START_FORCE_BOOT : 0)) < 0)
		return say(e);
	return fill_from_running(l, c, d, r, e);
}

/* QEMU's stderr is appended to a file per domain, for ever: begun anew when it has grown. */
static void trim_log(const char *dir, const char *file)
{
	char path[MSG_PATH_MAX + 256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_BYTES_MAX && truncate(path, 0) < 0)
		log_limited(LOG_WARN, "cannot shorten %s: %s", path, strerror(errno));
}

void libvirt_trim_logs(const struct libvirt *l)
{
	DIR *dir = l->conf.log_dir ? opendir(l->conf.log_dir) : NULL;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		trim_log(l->conf.log_dir, entry->d_name);
	closedir(dir);
}

static int create(const struct libvirt *l, virConnectPtr c, const char *xml, const struct msg_be_start *m,
		  struct msg_be_result *r, struct err *e)
{
	cleanup_domain virDomainPtr d = virDomainCreateXML(c, xml, m->paused ? VIR_DOMAIN_START_PAUSED : 0);
	cleanup_domain virDomainPtr other = NULL;
	struct err ignored;

	if (d) {
		copy_identity(r, d);
		copy_nics(r, m->nics, m->n_nics);
		return 0;
	}
	say(e);
	/* "already exists" is an operation that failed, like many others: look. */
	other = lookup(c, m->name, &ignored);
	if (other && virDomainIsActive(other) == 1) {
		e->code = -EEXIST;
		fill_from_running(l, c, other, r, &ignored);
	}
	return e->code;
}

static int start_inline(struct libvirt *l, virConnectPtr c, const struct msg_be_start *m, struct msg_be_result *r,
			struct err *e)
{
	cleanup_buf struct buf xml = { 0 };
	char console[MSG_PATH_MAX], channel[MSG_PATH_MAX];
	struct domain_host host = { .kvm = l->conf.kvm, .arch = l->host.machine };
	int error;

	if (l->conf.consoles && console_socket_path(l->conf.console_dir, m->name, console, sizeof(console)))
		host.console_path = console;
	if (l->conf.guests && guests_socket_path(l->conf.console_dir, m->name, channel, sizeof(channel)))
		host.guest_path = channel;
	error = domain_xml_write(m, &host, &xml, e);
	if (error < 0)
		return error;
	if (xml.error < 0)
		return err_set_errno(e, xml.error, "cannot describe the machine");
	return create(l, c, xml.text, m, r, e);
}

/* The file is removed between the restore and the first instruction. */
static int run_restored(virDomainPtr d, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	int error = save_file_spend(m->save, e);

	if (error == 0 && !m->paused && virDomainResume(d) < 0)
		error = say(e);
	if (error < 0) {
		virDomainDestroy(d);
		return error;
	}
	copy_identity(r, d);
	copy_nics(r, m->nics, m->n_nics);
	return 0;
}

static int libvirt_restore(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	cleanup_domain virDomainPtr d = NULL;
	struct err ignored = { 0 };
	int error;

	if (!c)
		return e->code;
	error = virDomainRestoreFlags(c, m->save, NULL, VIR_DOMAIN_SAVE_PAUSED) < 0 ? say(e) : 0;
	d = lookup(c, m->name, error < 0 ? &ignored : e);
	if (error == 0)
		return d ? run_restored(d, m, r, e) : e->code;
	if (d && virDomainIsActive(d) == 1) {
		e->code = -EEXIST;
		fill_from_running(hv, c, d, r, &ignored);
	}
	return e->code;
}

static int libvirt_start(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct libvirt *l = hv;
	cleanup_conn virConnectPtr c = get_conn(l, e);

	if (!c)
		return e->code;
	return m->domain[0] ? start_existing(l, c, m, r, e) : start_inline(l, c, m, r, e);
}

/* ---- stop and resume ---- */

static int stop_active(virDomainPtr d, enum stop_how how)
{
	switch (how) {
	case STOP_SHUTDOWN:
		return virDomainShutdown(d);
	case STOP_SUSPEND:
		return state_of(d) == DOMAIN_PAUSED ? 0 : virDomainSuspend(d);
	default:
		return virDomainDestroy(d);
	}
}

static int libvirt_stop(void *hv, const char *domain, enum stop_how how, struct msg_be_result *r, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	cleanup_domain virDomainPtr d = c ? lookup(c, domain, e) : NULL;

	if (!d)
		return e->code == -ENOENT && how != STOP_SUSPEND ? 0 : e->code;
	virDomainGetUUIDString(d, r->uuid);
	if (stop_active(d, how) == 0) {
		if (how != STOP_DESTROY)
			r->domain_id = (int32_t)virDomainGetID(d);
		return 0;
	}
	say(e);
	/* It may have gone by itself meanwhile, and that is what was asked for. */
	if (how != STOP_SUSPEND && (e->code == -ENOENT || virDomainIsActive(d) == 0))
		return 0;
	return e->code;
}

static int save_to(virDomainPtr d, const char *file, struct err *e)
{
	char part[SAVE_FILE_PATH_MAX];
	int error;

	if (!file[0])
		return virDomainManagedSave(d, VIR_DOMAIN_SAVE_RUNNING) < 0 ? say(e) : 0;
	save_file_part(file, part);
	if (virDomainSaveFlags(d, part, NULL, VIR_DOMAIN_SAVE_RUNNING) == 0)
		return save_file_commit(file, e);
	error = say(e);
	save_file_drop_part(file);
	return error;
}

static int libvirt_save(void *hv, const char *domain, const char *file, struct msg_be_result *r, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	cleanup_domain virDomainPtr d = c ? lookup(c, domain, e) : NULL;

	if (!d)
		return e->code;
	virDomainGetUUIDString(d, r->uuid);
	return save_to(d, file, e);
}

static int libvirt_resume(void *hv, const char *domain, struct msg_be_result *r, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	cleanup_domain virDomainPtr d = c ? lookup(c, domain, e) : NULL;

	if (!d)
		return e->code;
	switch (state_of(d)) {
	case DOMAIN_PAUSED:
		if (virDomainResume(d) < 0)
			return say(e);
		break;
	case DOMAIN_RUNNING:
		break;
	default:
		return err_set(e, -ENOENT, "domain %s is off", domain);
	}
	copy_identity(r, d);
	return 0;
}

/* ---- inspect and list ---- */

static int libvirt_inspect(void *hv, const struct msg_be_target *t, struct msg_be_domain *out, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	cleanup_domain virDomainPtr d = c ? lookup(c, t->domain, e) : NULL;

	return d ? describe(hv, c, d, out, e) : e->code;
}

static void add_address(struct msg_be_domain *d, const char *mac, const char *addr, enum learn_how how)
{
	struct msg_be_address a = { .how = (uint8_t)how };

	if (d->n_addrs >= ARRAY_SIZE(d->addrs) || !mac || mac_parse(mac, &a.mac) < 0 || ip_parse(addr, &a.addr) < 0)
		return;
	d->addrs[d->n_addrs++] = a;
}

/* Each source that knows nothing, or is not there, is no error. */
static void ask_source(virDomainPtr d, unsigned source, enum learn_how how, struct msg_be_domain *out)
{
	virDomainInterfacePtr *all = NULL;
	int n = virDomainInterfaceAddresses(d, &all, source, 0);

	for (int i = 0; i < n; i++) {
		for (unsigned j = 0; j < all[i]->naddrs; j++)
			add_address(out, all[i]->hwaddr, all[i]->addrs[j].addr, how);
		virDomainInterfaceFree(all[i]);
	}
	free(all);
}

static void libvirt_addresses(void *hv, const char *domain, struct msg_be_domain *out)
{
	struct err e;
	cleanup_conn virConnectPtr c = get_conn(hv, &e);
	cleanup_domain virDomainPtr d = c ? lookup(c, domain, &e) : NULL;

	if (!d)
		return;
	ask_source(d, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, LEARN_LEASE, out);
	if (out->n_addrs == 0) /* which may take seconds to say that it is not there */
		ask_source(d, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, LEARN_AGENT, out);
}

static int add_row(const struct libvirt *l, virConnectPtr c, virDomainPtr d, struct backend_rows *rows, struct err *e)
{
	struct msg_be_domain row = { .domain_id = -1 };

	/* One that is gone by now is no error. */
	if (describe(l, c, d, &row, e) < 0)
		return e->code == -ENOTCONN ? e->code : 0;
	return backend_add_row(rows, &row) < 0 ? err_set(e, -ENOMEM, "too many domains") : 0;
}

static int libvirt_list(void *hv, struct backend_rows *rows, struct err *e)
{
	cleanup_conn virConnectPtr c = get_conn(hv, e);
	virDomainPtr *all = NULL;
	int n = c ? virConnectListAllDomains(c, &all, 0) : -1;
	int error = 0;

	if (n < 0)
		return c ? say(e) : e->code;
	for (int i = 0; i < n; i++) {
		if (error == 0)
			error = add_row(hv, c, all[i], rows, e);
		virDomainFree(all[i]);
	}
	free(all);
	return error;
}

static void libvirt_console(void *hv, const char *name)
{
	struct libvirt *l = hv;
	struct err e;

	if (l->conf.consoles && consoles_open(l->conf.consoles, name, &e) < 0)
		log_limited(LOG_WARN, "%s", e.text);
	if (l->conf.guests && l->conf.consoles &&
	    guests_listen(l->conf.guests, l->conf.console_dir, name, l->conf.qemu_uid, l->conf.qemu_gid, &e) < 0)
		log_limited(LOG_WARN, "%s", e.text);
}

static void libvirt_console_end(void *hv, const char *name)
{
	struct libvirt *l = hv;

	if (l->conf.consoles)
		consoles_close(l->conf.consoles, name);
	if (l->conf.guests)
		guests_leave(l->conf.guests, l->conf.console_dir, name);
}

const struct backend_ops libvirt_ops = {
	.open = libvirt_open,
	.warm = libvirt_warm,
	.start = libvirt_start,
	.stop = libvirt_stop,
	.save = libvirt_save,
	.restore = libvirt_restore,
	.resume = libvirt_resume,
	.inspect = libvirt_inspect,
	.addresses = libvirt_addresses,
	.list = libvirt_list,
	.console = libvirt_console,
	.console_end = libvirt_console_end,
	.spent = libvirt_spent,
};

struct libvirt *libvirt_new(const struct libvirt_conf *conf)
{
	struct libvirt *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->conf = *conf;
	l->lifecycle_id = -1;
	uname(&l->host);
	pthread_mutex_init(&l->lock, NULL);
	virSetErrorFunc(NULL, swallow);
	if (virInitialize() < 0) {
		free(l);
		errno = ENOSYS;
		return NULL;
	}
	return l;
}

void libvirt_set_backend(struct libvirt *l, struct backend *b) { l->b = b; }

void libvirt_free(struct libvirt *l)
{
	if (!l)
		return;
	close_old(l);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
