/* Xen through libxl: synchronous calls in workers, each with a context of its own (libxl_ctx.h), events from
 * libxl_domains.h.
 *
 * A domain exists while it runs: Xen keeps no definitions.  So an existing domain (`domain`) can be resumed, stopped
 * and watched, but started only where an xl configuration says how.
 *
 * Each create and destroy is noted before it begins (libxl_notes.h), for the process that comes after us if we die
 * in it.
 */
#include "backends/libxl.h"

#include <sys/utsname.h>

#include "backends/libxl_conf.h"
#include "backends/libxl_domains.h"
#include "backends/libxl_file.h"
#include "backends/libxl_save.h"
#include "base/clock.h"
#include "base/log.h"

enum { GONE_WAIT_MS = 30 * 1000, GONE_LOOK_US = 20 * 1000, UUID_TEXT_LEN = 36 };

struct libxl {
	struct libxl_conf conf;
	struct backend *b;
	struct xl_pool *pool;
	struct xl_notes notes;
	struct xl_domains *domains;
	struct utsname machine;
	struct xl_host host; /* since the first open */
	bool lost; /* loop thread */
};

/* One that was found, for the time of a call. */
struct found {
	libxl_dominfo info;
	uint32_t domid;
	char name[MSG_NAME_MAX * 2];
};

/* ---- the connection ---- */

static void tell_xen(struct libxl *l, libxl_ctx *xl, struct msg_be_hello *hello)
{
	const libxl_version_info *v = libxl_get_version_info(xl);

	if (v)
		snprintf(hello->version, sizeof(hello->version), "Xen %d.%d%.16s", v->xen_version_major, v->xen_version_minor,
			 v->xen_version_extra ? v->xen_version_extra : "");
	snprintf(hello->text, sizeof(hello->text), "%s", l->host.pvh && l->host.pv ? "PVH and PV guests" :
							  l->host.pvh		    ? "PVH guests" :
										      "PV guests alone: no hardware virtualisation");
}

/* Where libxl looks for the one that serves disks: Debian's, and Xen's own. */
static bool has_qemu(void)
{
	static const char *const paths[] = { "/usr/libexec/xen-qemu-system-i386", "/usr/lib/xen/bin/qemu-system-i386",
					     "/usr/local/lib/xen/bin/qemu-system-i386" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (access(paths[i], X_OK) == 0)
			return true;
	}
	return false;
}

static int look_at_host(struct libxl *l, struct xl_ctx *x, struct err *e)
{
	libxl_physinfo info;
	int rc;

	libxl_physinfo_init(&info);
	rc = libxl_get_physinfo(x->xl, &info);
	if (rc != 0)
		return xl_say(x, rc, e);
	/* a PVH guest's memory is the hardware's to translate, or Xen's (which Debian's cannot) */
	l->host = (struct xl_host){ .pvh = info.cap_hvm && (info.cap_hap || info.cap_shadow),
				    .pv = info.cap_pv,
				    .qemu = has_qemu(),
				    .arch = l->machine.machine,
				    .vif_script = l->conf.vif_script };
	libxl_physinfo_dispose(&info);
	return 0;
}

static int libxl_open(void *hv, struct msg_be_hello *hello, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);

	if (!x || look_at_host(l, x, e) < 0)
		return e->code;
	tell_xen(l, x->xl, hello);
	/* before anybody looks: what an earlier process has left is no news */
	xl_notes_clear(&l->notes, x);
	return xl_domains_open(l->domains, e);
}

static bool libxl_spent(void *hv) { return libxl_is_lost(hv); }

/* ---- finding one ---- */

static bool is_uuid(const char *domain, libxl_uuid *uuid)
{
	return strlen(domain) == UUID_TEXT_LEN && domain[8] == '-' && libxl_uuid_from_string(uuid, domain) == 0;
}

/* By UUID, else by name.  0, or -ENOENT with *e. */
static int find(struct xl_ctx *x, const char *domain, struct found *f, struct err *e)
{
	cleanup_free char *name = NULL;
	libxl_uuid uuid;
	int n = 0, found = -1;
	libxl_dominfo *list = libxl_list_domain(x->xl, &n);
	bool by_uuid = is_uuid(domain, &uuid);

	if (!list)
		return xl_say(x, ERROR_FAIL, e);
	for (int i = 0; i < n && found < 0; i++) {
		cleanup_free char *its = by_uuid ? NULL : libxl_domid_to_name(x->xl, list[i].domid);

		if (list[i].domid != 0 && !list[i].dying &&
		    (by_uuid ? libxl_uuid_compare(&list[i].uuid, &uuid) == 0 : its && strcmp(its, domain) == 0))
			found = i;
	}
	if (found >= 0) {
		f->info = list[found];
		f->info.ssid_label = NULL;
		f->domid = list[found].domid;
		name = libxl_domid_to_name(x->xl, f->domid);
		str_copy(f->name, name ? name : "");
	}
	libxl_dominfo_list_free(list, n);
	return found >= 0 ? 0 : err_set(e, -ENOENT, "no domain %s runs on this Xen", domain);
}

static bool is_active(const struct found *f)
{
	enum xl_life life = xl_life_of(&f->info);

	return life == XL_RUNNING || life == XL_PAUSED;
}

static void tell(struct libxl *l, const struct found *f, enum xl_life life)
{
	xl_domains_tell(l->domains, f->domid, &f->info.uuid, f->name, life);
}

/* ---- what is known of one ---- */

static void add_nics(struct xl_ctx *x, uint32_t domid, uint16_t *n_out, struct msg_nic *out)
{
	int n = 0;
	libxl_device_nic *nics = libxl_device_nic_list(x->xl, domid, &n);

	*n_out = 0;
	for (int i = 0; i < n && i < MSG_NICS_MAX; i++)
		xl_conf_tell_nic(domid, &nics[i], &out[(*n_out)++]);
	if (nics)
		libxl_device_nic_list_free(nics, n);
}

static bool has_writable_disk(struct xl_ctx *x, uint32_t domid)
{
	int n = 0;
	libxl_device_disk *disks = libxl_device_disk_list(x->xl, domid, &n);
	bool writable = false;

	for (int i = 0; i < n; i++)
		writable |= disks[i].readwrite && !disks[i].is_cdrom;
	if (disks)
		libxl_device_disk_list_free(disks, n);
	return writable;
}

static void describe(struct xl_ctx *x, const struct found *f, struct msg_be_domain *out)
{
	enum xl_life life = xl_life_of(&f->info);
	uint64_t kib = 0;

	str_copy(out->name, f->name);
	xl_uuid_format(&f->info.uuid, out->uuid);
	out->state = life == XL_RUNNING ? DOMAIN_RUNNING : life == XL_PAUSED ? DOMAIN_PAUSED : DOMAIN_OFF;
	out->domain_id = is_active(f) ? (int32_t)f->domid : -1;
	if (libxl_get_memory_target(x->xl, f->domid, &kib) != 0)
		kib = f->info.current_memkb;
	out->memory_bytes = kib * 1024;
	out->writable_disk = has_writable_disk(x, f->domid);
	add_nics(x, f->domid, &out->n_nics, out->nics);
}

static void fill_result(struct xl_ctx *x, const struct found *f, struct msg_be_result *r)
{
	xl_uuid_format(&f->info.uuid, r->uuid);
	r->domain_id = (int32_t)f->domid;
	add_nics(x, f->domid, &r->n_nics, r->nics);
}

/* ---- start ---- */

/* The guest has shut it down, and whoever made it has not yet removed it. */
static int wait_gone(struct xl_ctx *x, const char *domain, struct err *e)
{
	uint64_t until = clock_now_ms() + GONE_WAIT_MS;
	struct found f;
	struct err ignored;

	while (find(x, domain, &f, &ignored) == 0) {
		if (is_active(&f))
			return 0;
		if (clock_now_ms() > until)
			return err_set(e, -EAGAIN, "domain %s (%u) has shut down, and nobody removes it: xl destroy %u", f.name,
				       f.domid, f.domid);
		usleep(GONE_LOOK_US);
	}
	return 0;
}

/* 0: it is not there, and may be made. */
static int check_absent(struct xl_ctx *x, const char *domain, struct msg_be_result *r, struct err *e)
{
	int error = domain[0] ? wait_gone(x, domain, e) : 0;
	struct err ignored;
	struct found f;

	if (error < 0)
		return error;
	if (!domain[0] || find(x, domain, &f, &ignored) < 0)
		return 0;
	fill_result(x, &f, r);
	if (xl_life_of(&f.info) == XL_PAUSED)
		return err_set(e, -EBUSY, "domain %s is paused", f.name);
	return err_set(e, -EEXIST, "domain %s runs already", f.name);
}

/* libxl's own reason for a kernel that is not there names no kernel. */
static int check_files(const libxl_domain_config *c, struct err *e)
{
	const char *const files[] = { c->b_info.kernel, c->b_info.ramdisk };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (files[i] && access(files[i], R_OK) < 0)
			return err_set_errno(e, -errno, "cannot read %s", files[i]);
	}
	return 0;
}

static int check_memory(struct xl_ctx *x, const libxl_domain_config *c, struct err *e)
{
	uint64_t kib = 0;

	if (libxl_get_free_memory(x->xl, &kib) != 0 || kib >= c->b_info.max_memkb)
		return 0;
	return err_set(e, -ENOMEM, "Xen has %llu MiB left, and the VM needs %llu: give dom0 less of the host's memory (dom0_mem "
				   "on Xen's command line), or stop other domains",
		       (unsigned long long)kib / 1024, (unsigned long long)c->b_info.max_memkb / 1024);
}

/* libxl leaves it paused; when it fails it has removed what there was. */
static int create(struct libxl *l, struct xl_ctx *x, libxl_domain_config *c, const struct msg_be_start *m, struct found *f,
		  struct err *e)
{
	int rc;

	x->words.text[0] = '\0'; /* looking for it was no failure */
	xl_note_set(&l->notes, &c->c_info.uuid, XL_NOTE_BUILDING);
	if (m->save[0])
		rc = xl_restore(x, c, m->save, &f->domid);
	else
		rc = libxl_domain_create_new(x->xl, c, &f->domid, NULL, NULL);
	if (rc == 0 && !m->paused)
		rc = libxl_domain_unpause(x->xl, f->domid, NULL);
	if (rc == 0)
		return 0;
	xl_say(x, rc, e);
	if (f->domid != 0 && f->domid != (uint32_t)INVALID_DOMID)
		libxl_domain_destroy(x->xl, f->domid, NULL);
	xl_note_set(&l->notes, &c->c_info.uuid, XL_NOTE_NONE);
	return e->code;
}

static int start_config(struct libxl *l, struct xl_ctx *x, libxl_domain_config *c, const struct msg_be_start *m,
			struct msg_be_result *r, struct err *e)
{
	struct found f = { .domid = (uint32_t)INVALID_DOMID };
	int error = check_files(c, e);

	if (error == 0)
		error = xl_conf_place_disks(c, &l->host, e);
	if (error == 0 && m->save[0])
		error = xl_save_check(c, m->save, e);
	if (error == 0)
		error = check_memory(x, c, e);
	if (error == 0)
		error = create(l, x, c, m, &f, e);
	if (error < 0)
		return error;
	f.info.uuid = c->c_info.uuid;
	str_copy(f.name, c->c_info.name);
	fill_result(x, &f, r);
	tell(l, &f, m->paused ? XL_PAUSED : XL_RUNNING);
	/* not before it is in the table, or the end of the boot before would take the note away */
	xl_note_set(&l->notes, &c->c_info.uuid, XL_NOTE_OURS);
	return 0;
}

static int start_inline(struct libxl *l, struct xl_ctx *x, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	libxl_domain_config c;
	int error = check_absent(x, m->uuid, r, e);

	if (error == 0)
		error = check_absent(x, m->name, r, e);
	if (error < 0)
		return error == -EBUSY ? (e->code = -EEXIST) : error;
	libxl_domain_config_init(&c);
	error = xl_conf_build(m, &l->host, &c, e);
	if (error == 0)
		error = start_config(l, x, &c, m, r, e);
	libxl_domain_config_dispose(&c);
	return error;
}

static int start_existing(struct libxl *l, struct xl_ctx *x, const struct msg_be_start *m, struct msg_be_result *r,
			  struct err *e)
{
	int error = check_absent(x, m->domain, r, e);
	libxl_domain_config c;

	if (error < 0)
		return error;
	if (!m->xl_config[0])
		return err_set(e, -ENOENT, "domain %s does not run, and Xen keeps no definitions: name the file that has it in "
					   "xl_config, or start it with xl create", m->domain);
	libxl_domain_config_init(&c);
	error = xl_file_read(m->xl_config, m->domain, &l->host, &c, e);
	if (error == 0)
		error = start_config(l, x, &c, m, r, e);
	libxl_domain_config_dispose(&c);
	return error;
}

static int libxl_start(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);

	if (!x)
		return e->code;
	return m->domain[0] ? start_existing(l, x, m, r, e) : start_inline(l, x, m, r, e);
}

/* ---- stop and resume ---- */

/* Guests without PV drivers know an ACPI button alone. */
static int shut_down(struct xl_ctx *x, uint32_t domid)
{
	int rc = libxl_domain_shutdown(x->xl, domid, NULL);

	return rc == ERROR_NOPARAVIRT ? libxl_send_trigger(x->xl, domid, LIBXL_TRIGGER_POWER, 0, NULL) : rc;
}

static int destroy(struct libxl *l, struct xl_ctx *x, const struct found *f)
{
	int rc;

	xl_note_set(&l->notes, &f->info.uuid, XL_NOTE_ENDING);
	rc = libxl_domain_destroy(x->xl, f->domid, NULL);
	if (rc == 0)
		xl_note_set(&l->notes, &f->info.uuid, XL_NOTE_NONE);
	return rc;
}

static int stop_found(struct libxl *l, struct xl_ctx *x, const struct found *f, enum stop_how how)
{
	switch (how) {
	case STOP_SHUTDOWN:
		return is_active(f) ? shut_down(x, f->domid) : 0;
	case STOP_SUSPEND:
		return xl_life_of(&f->info) == XL_PAUSED ? 0 : libxl_domain_pause(x->xl, f->domid, NULL);
	default:
		return destroy(l, x, f);
	}
}

static int libxl_stop(void *hv, const char *domain, enum stop_how how, struct msg_be_result *r, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);
	struct err ignored;
	struct found f;
	int rc;

	if (!x)
		return e->code;
	if (find(x, domain, &f, e) < 0)
		return e->code == -ENOENT && how != STOP_SUSPEND ? 0 : e->code;
	if (how == STOP_SUSPEND && !is_active(&f))
		return err_set(e, -ENOENT, "domain %s is off", domain);
	xl_uuid_format(&f.info.uuid, r->uuid);
	x->words.text[0] = '\0';
	rc = stop_found(l, x, &f, how);
	/* It may have gone by itself meanwhile, and that is what was asked for. */
	if (rc != 0 && (how == STOP_SUSPEND || find(x, domain, &f, &ignored) == 0))
		return xl_say(x, rc, e);
	if (how == STOP_DESTROY)
		tell(l, &f, XL_GONE);
	else
		r->domain_id = is_active(&f) ? (int32_t)f.domid : -1;
	if (how == STOP_SUSPEND)
		tell(l, &f, XL_PAUSED);
	return 0;
}

/* Between suspend and destroy it has shut down, as far as Xen knows: the note keeps it from being buried. */
static int save_found(struct libxl *l, struct xl_ctx *x, const struct found *f, const char *file, struct err *e)
{
	enum xl_note before = xl_note_get(&l->notes, &f->info.uuid);
	int rc, error;

	xl_note_set(&l->notes, &f->info.uuid, XL_NOTE_SAVING);
	error = xl_save(x, f->domid, file, e);
	if (error < 0) {
		xl_note_set(&l->notes, &f->info.uuid, before);
		return error;
	}
	rc = destroy(l, x, f);
	if (rc != 0)
		return xl_say(x, rc, e);
	tell(l, f, XL_GONE);
	return 0;
}

static int libxl_save(void *hv, const char *domain, const char *file, struct msg_be_result *r, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);
	struct found f;

	if (!x || find(x, domain, &f, e) < 0)
		return e->code;
	xl_uuid_format(&f.info.uuid, r->uuid);
	if (!file[0])
		return err_set(e, -ENOTSUP, "Xen keeps no domains that are off");
	if (xl_life_of(&f.info) != XL_RUNNING)
		return err_set(e, -EBUSY, "domain %s does not run: its guest could not take part", f.name);
	if (xl_save_check_guest(f.domid, e) < 0)
		return e->code;
	x->words.text[0] = '\0';
	return save_found(l, x, &f, file, e);
}

static int libxl_resume(void *hv, const char *domain, struct msg_be_result *r, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);
	struct found f;
	int rc;

	if (!x || find(x, domain, &f, e) < 0)
		return e->code;
	if (!is_active(&f))
		return err_set(e, -ENOENT, "domain %s is off", domain);
	x->words.text[0] = '\0';
	rc = xl_life_of(&f.info) == XL_PAUSED ? libxl_domain_unpause(x->xl, f.domid, NULL) : 0;
	if (rc != 0)
		return xl_say(x, rc, e);
	fill_result(x, &f, r);
	tell(l, &f, XL_RUNNING);
	return 0;
}

/* ---- inspect and list ---- */

static int describe_file(const struct libxl *l, const struct msg_be_target *t, struct msg_be_domain *out,
			 struct err *e)
{
	libxl_domain_config c;
	int error;

	libxl_domain_config_init(&c);
	error = xl_file_read(t->xl_config, t->domain, &l->host, &c, e);
	if (error == 0)
		xl_file_tell(&c, out);
	libxl_domain_config_dispose(&c);
	return error;
}

static int libxl_inspect(void *hv, const struct msg_be_target *t, struct msg_be_domain *out, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);
	struct found f;

	if (!x)
		return e->code;
	if (find(x, t->domain, &f, e) == 0)
		describe(x, &f, out);
	else
		return e->code == -ENOENT && t->xl_config[0] ? describe_file(l, t, out, e) : e->code;
	return 0;
}

/* One without a name is being made, or is almost gone. */
static int add_row(struct xl_ctx *x, const libxl_dominfo *info, struct backend_rows *rows, struct err *e)
{
	struct msg_be_domain row = { .domain_id = -1 };
	cleanup_free char *name = libxl_domid_to_name(x->xl, info->domid);
	struct found f = { .info = *info, .domid = info->domid };

	if (info->domid == 0 || info->dying || !name)
		return 0;
	str_copy(f.name, name);
	describe(x, &f, &row);
	return backend_add_row(rows, &row) < 0 ? err_set(e, -ENOMEM, "too many domains") : 0;
}

static int libxl_list(void *hv, struct backend_rows *rows, struct err *e)
{
	struct libxl *l = hv;
	cleanup_xl struct xl_ctx *x = xl_take(l->pool, e);
	int n = 0, error = 0;
	libxl_dominfo *list = x ? libxl_list_domain(x->xl, &n) : NULL;

	if (!list)
		return x ? xl_say(x, ERROR_FAIL, e) : e->code;
	for (int i = 0; i < n && error == 0; i++)
		error = add_row(x, &list[i], rows, e);
	libxl_dominfo_list_free(list, n);
	return error;
}

static void libxl_console(void *hv, const char *name)
{
	struct libxl *l = hv;

	l->conf.keep(l->conf.arg, name);
}

static void libxl_console_end(void *hv, const char *name)
{
	struct libxl *l = hv;

	l->conf.forget(l->conf.arg, name);
}

const struct backend_ops libxl_ops = {
	.open = libxl_open,
	.start = libxl_start,
	.stop = libxl_stop,
	.save = libxl_save,
	.restore = libxl_start, /* which looks whether there is a file */
	.resume = libxl_resume,
	.inspect = libxl_inspect,
	.list = libxl_list,
	.console = libxl_console,
	.console_end = libxl_console_end,
	.spent = libxl_spent,
};

/* ---- news of domains: loop thread ---- */

static void on_event(void *arg, const struct msg_be_event *event)
{
	struct libxl *l = arg;

	backend_event(l->b, event);
}

static void on_console(void *arg, const char *name, const char *tty)
{
	struct libxl *l = arg;

	l->conf.console(l->conf.arg, name, tty);
}

static void on_lost(void *arg, const char *why)
{
	struct libxl *l = arg;

	l->lost = true;
	backend_lost(l->b, why);
}

struct libxl *libxl_new(struct event_base *base, const struct libxl_conf *conf, struct err *e)
{
	static const struct xl_domains_ops ops = { .event = on_event, .console = on_console, .lost = on_lost };
	struct libxl *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	l->conf = *conf;
	uname(&l->machine);
	l->pool = xl_pool_new();
	l->domains = xl_domains_new(base, &l->notes, &ops, l);
	if (!l->pool || !l->domains)
		err_set(e, -ENOMEM, "no memory");
	else if (xl_notes_init(&l->notes, conf->run_dir, e) == 0)
		return l;
	xl_pool_free(l->pool);
	free(l);
	return NULL;
}

void libxl_set_backend(struct libxl *l, struct backend *b) { l->b = b; }

bool libxl_is_lost(const struct libxl *l) { return l->lost; }
