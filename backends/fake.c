#include "backends/fake.h"

#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/queue.h>

#include "backends/save_file.h"

enum { DOMAINS_MAX = 256, NAME_ROOM = MSG_NAME_MAX * 2 };

struct fake_domain {
	struct msg_be_domain d;
	bool used, persistent;
};

struct fake_event {
	STAILQ_ENTRY(fake_event) next;
	struct msg_be_event m;
};

struct fake {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct backend *b;
	struct fake_domain domains[DOMAINS_MAX];
	int32_t last_id;
	char refusal[MSG_TEXT_MAX];
	char hung[NAME_ROOM];
	bool hangs;
	unsigned delay_ms, now_running, most_running;
	STAILQ_HEAD(, fake_event) events;
	int wakeup;
	struct event *on_wakeup;
};

/* ---- events ---- */

/* Under the lock. */
static void emit(struct fake *f, const struct fake_domain *k, enum domain_event what, const char *text)
{
	struct fake_event *ev = calloc(1, sizeof(*ev));

	if (!ev)
		abort();
	str_copy(ev->m.name, k->d.name);
	str_copy(ev->m.uuid, k->d.uuid);
	ev->m.domain_id = k->d.domain_id;
	ev->m.what = (uint8_t)what;
	str_copy(ev->m.text, text);
	STAILQ_INSERT_TAIL(&f->events, ev, next);
	eventfd_write(f->wakeup, 1);
}

static struct fake_event *next_event(struct fake *f)
{
	struct fake_event *ev;

	pthread_mutex_lock(&f->lock);
	ev = STAILQ_FIRST(&f->events);
	if (ev)
		STAILQ_REMOVE_HEAD(&f->events, next);
	pthread_mutex_unlock(&f->lock);
	return ev;
}

static void tell_events(evutil_socket_t fd, short what, void *arg)
{
	struct fake *f = arg;
	struct fake_event *ev;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	while ((ev = next_event(f))) {
		backend_event(f->b, &ev->m);
		free(ev);
	}
}

/* ---- domains; all under the lock ---- */

static struct fake_domain *find(struct fake *f, const char *domain)
{
	for (int i = 0; i < DOMAINS_MAX; i++) {
		struct fake_domain *k = &f->domains[i];

		if (k->used && (strcmp(k->d.name, domain) == 0 || strcmp(k->d.uuid, domain) == 0))
			return k;
	}
	return NULL;
}

static struct fake_domain *add(struct fake *f, const char *name, const char *uuid)
{
	for (int i = 0; i < DOMAINS_MAX; i++) {
		struct fake_domain *k = &f->domains[i];

		if (k->used)
			continue;
		*k = (struct fake_domain){ .used = true };
		str_copy(k->d.name, name);
		str_copy(k->d.uuid, uuid);
		k->d.domain_id = -1;
		return k;
	}
	return NULL;
}

static bool is_active(const struct fake_domain *k)
{
	return k->d.state == DOMAIN_RUNNING || k->d.state == DOMAIN_PAUSED;
}

static void run(struct fake *f, struct fake_domain *k, bool paused)
{
	k->d.domain_id = ++f->last_id;
	k->d.state = paused ? DOMAIN_PAUSED : DOMAIN_RUNNING;
	if (k->persistent)
		snprintf(k->d.nics[0].ifname, MSG_IFNAME_MAX, "vnet%d", k->d.domain_id);
	emit(f, k, EVENT_STARTED, "started");
}

static void end(struct fake *f, struct fake_domain *k, enum domain_event what, const char *text)
{
	k->d.domain_id = -1;
	k->d.state = DOMAIN_OFF;
	if (k->persistent)
		k->d.nics[0].ifname[0] = '\0';
	emit(f, k, what, text);
	k->used = k->persistent;
}

static void fill(struct msg_be_result *r, const struct fake_domain *k)
{
	str_copy(r->uuid, k->d.uuid);
	r->domain_id = k->d.domain_id;
	r->n_nics = k->d.n_nics;
	memcpy(r->nics, k->d.nics, sizeof(r->nics));
}

/* ---- calls ---- */

/* What every call begins with: its share of slowness.  Takes the lock. */
static void enter(struct fake *f, const char *domain)
{
	pthread_mutex_lock(&f->lock);
	f->now_running++;
	f->most_running = MAX(f->most_running, f->now_running);
	if (f->delay_ms) {
		unsigned ms = f->delay_ms;

		pthread_mutex_unlock(&f->lock);
		usleep(ms * 1000);
		pthread_mutex_lock(&f->lock);
	}
	while (f->hangs && strcmp(f->hung, domain) == 0)
		pthread_cond_wait(&f->changed, &f->lock);
}

static int leave(struct fake *f, int error)
{
	f->now_running--;
	pthread_mutex_unlock(&f->lock);
	return error;
}

static int fake_open(void *hv, struct msg_be_hello *hello, struct err *e)
{
	struct fake *f = hv;
	int error = 0;

	enter(f, FAKE_OPEN);
	if (f->refusal[0])
		error = err_set(e, -ECONNREFUSED, "%s", f->refusal);
	str_copy(hello->version, "fake 1");
	str_copy(hello->text, "a fake has no KVM");
	return leave(f, error);
}

static void fake_warm(void *hv, struct msg_be_hello *hello)
{
	(void)hello;
	enter(hv, "");
	leave(hv, 0);
}

static int start_existing(struct fake *f, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct fake_domain *k = find(f, m->domain);

	if (!k)
		return err_set(e, -ENOENT, "Domain not found: no domain with matching name '%s'", m->domain);
	if (k->d.state == DOMAIN_PAUSED)
		return err_set(e, -EBUSY, "domain %s is paused", m->domain);
	if (k->d.state == DOMAIN_RUNNING) {
		fill(r, k);
		return err_set(e, -EEXIST, "domain %s runs already", m->domain);
	}
	run(f, k, m->paused);
	fill(r, k);
	return 0;
}

static int start_inline(struct fake *f, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct fake_domain *k = find(f, m->name);

	if (k) {
		if (is_active(k))
			fill(r, k);
		return err_set(e, -EEXIST, "domain '%s' already exists", m->name);
	}
	if (access(m->kernel, R_OK) < 0)
		return err_set(e, -EIO, "could not open kernel file '%s'", m->kernel);
	k = add(f, m->name, m->uuid);
	if (!k)
		return err_set(e, -ENOMEM, "too many domains");
	k->d.memory_bytes = m->memory_bytes;
	k->d.n_nics = m->n_nics;
	memcpy(k->d.nics, m->nics, sizeof(k->d.nics));
	for (unsigned i = 0; i < m->n_disks; i++)
		k->d.writable_disk |= !m->disks[i].read_only;
	run(f, k, m->paused);
	fill(r, k);
	return 0;
}

static int fake_start(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct fake *f = hv;

	enter(f, m->domain[0] ? m->domain : m->name);
	return leave(f, m->domain[0] ? start_existing(f, m, r, e) : start_inline(f, m, r, e));
}

static int stop_active(struct fake *f, struct fake_domain *k, enum stop_how how, struct msg_be_result *r)
{
	str_copy(r->uuid, k->d.uuid);
	if (how == STOP_DESTROY) {
		end(f, k, EVENT_STOPPED, "destroyed");
		return 0;
	}
	r->domain_id = k->d.domain_id;
	if (how == STOP_SHUTDOWN) {
		end(f, k, EVENT_STOPPED, "shutdown");
	} else if (k->d.state == DOMAIN_RUNNING) {
		k->d.state = DOMAIN_PAUSED;
		emit(f, k, EVENT_SUSPENDED, "paused");
	}
	return 0;
}

static int fake_stop(void *hv, const char *domain, enum stop_how how, struct msg_be_result *r, struct err *e)
{
	struct fake *f = hv;
	struct fake_domain *k;

	enter(f, domain);
	k = find(f, domain);
	if (k && is_active(k))
		return leave(f, stop_active(f, k, how, r));
	return leave(f, how == STOP_SUSPEND ? err_set(e, k ? -EBUSY : -ENOENT, "domain %s is off", domain) : 0);
}

static int write_domain(const struct fake_domain *k, const char *file, struct err *e)
{
	char part[SAVE_FILE_PATH_MAX];
	cleanup_close int fd = -1;

	save_file_part(file, part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, &k->d, sizeof(k->d)) != sizeof(k->d))
		return err_set_errno(e, -errno, "cannot write %s", part);
	return save_file_commit(file, e);
}

static int save_active(struct fake *f, struct fake_domain *k, const char *file, struct err *e)
{
	bool kept = !file[0] && k->persistent;
	int error = kept ? 0 : write_domain(k, file, e);

	if (error < 0)
		return error;
	end(f, k, EVENT_SAVED, "saved");
	if (kept)
		k->d.state = DOMAIN_SAVED;
	return 0;
}

static int fake_save(void *hv, const char *domain, const char *file, struct msg_be_result *r, struct err *e)
{
	struct fake *f = hv;
	struct fake_domain *k;

	enter(f, domain);
	k = find(f, domain);
	if (!k || !is_active(k))
		return leave(f, err_set(e, k ? -EBUSY : -ENOENT, "domain %s is off", domain));
	str_copy(r->uuid, k->d.uuid);
	return leave(f, save_active(f, k, file, e));
}

static int restore(struct fake *f, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	cleanup_close int fd = open(m->save, O_RDONLY | O_CLOEXEC);
	struct fake_domain *k = find(f, m->name);
	struct msg_be_domain d;
	int error;

	if (k) {
		fill(r, k);
		return err_set(e, -EEXIST, "domain '%s' already exists", m->name);
	}
	if (fd < 0 || read(fd, &d, sizeof(d)) != sizeof(d) || strcmp(d.uuid, m->uuid) != 0)
		return err_set(e, -EIO, "%s is no saved state of %s", m->save, m->name);
	k = add(f, m->name, m->uuid);
	if (!k)
		return err_set(e, -ENOMEM, "too many domains");
	error = save_file_spend(m->save, e);
	k->used = error == 0;
	if (error < 0)
		return error;
	k->d = d;
	run(f, k, m->paused);
	fill(r, k);
	return 0;
}

static int fake_restore(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e)
{
	struct fake *f = hv;

	enter(f, m->name);
	return leave(f, restore(f, m, r, e));
}

static int fake_resume(void *hv, const char *domain, struct msg_be_result *r, struct err *e)
{
	struct fake *f = hv;
	struct fake_domain *k;

	enter(f, domain);
	k = find(f, domain);
	if (!k || !is_active(k))
		return leave(f, err_set(e, -ENOENT, "domain %s is off", domain));
	if (k->d.state == DOMAIN_PAUSED) {
		k->d.state = DOMAIN_RUNNING;
		emit(f, k, EVENT_RESUMED, "resumed");
	}
	str_copy(r->uuid, k->d.uuid);
	r->domain_id = k->d.domain_id;
	return leave(f, 0);
}

static int fake_inspect(void *hv, const struct msg_be_target *t, struct msg_be_domain *d, struct err *e)
{
	struct fake *f = hv;
	struct fake_domain *k;

	enter(f, t->domain);
	k = find(f, t->domain);
	if (!k)
		return leave(f, err_set(e, -ENOENT, "Domain not found: no domain with matching name '%s'", t->domain));
	*d = k->d;
	return leave(f, 0);
}

static int fake_list(void *hv, struct backend_rows *rows, struct err *e)
{
	struct fake *f = hv;
	int error = 0;

	(void)e;
	enter(f, "?");
	for (int i = 0; i < DOMAINS_MAX && error == 0; i++) {
		if (f->domains[i].used)
			error = backend_add_row(rows, &f->domains[i].d);
	}
	return leave(f, error);
}

const struct backend_ops fake_ops = {
	.open = fake_open,
	.warm = fake_warm,
	.start = fake_start,
	.stop = fake_stop,
	.save = fake_save,
	.restore = fake_restore,
	.resume = fake_resume,
	.inspect = fake_inspect,
	.list = fake_list,
};

/* ---- what tests ask for ---- */

int fake_define(struct fake *f, const char *name, const char *uuid, const char *bridge)
{
	struct fake_domain *k;

	pthread_mutex_lock(&f->lock);
	k = add(f, name, uuid);
	if (k) {
		k->persistent = true;
		k->d.memory_bytes = 16 << 20;
		k->d.n_nics = 1;
		mac_parse("52:54:00:00:00:99", &k->d.nics[0].mac);
		str_copy(k->d.nics[0].bridge, bridge);
		str_copy(k->d.nics[0].kind, "bridge");
	}
	pthread_mutex_unlock(&f->lock);
	return k ? 0 : -ENOMEM;
}

int fake_kill(struct fake *f, const char *name)
{
	struct fake_domain *k;
	bool active;

	pthread_mutex_lock(&f->lock);
	k = find(f, name);
	active = k && is_active(k);
	if (active)
		end(f, k, EVENT_CRASHED, "crashed");
	pthread_mutex_unlock(&f->lock);
	return active ? 0 : -ENOENT;
}

void fake_refuse(struct fake *f, const char *why)
{
	pthread_mutex_lock(&f->lock);
	str_copy(f->refusal, why ? why : "");
	pthread_mutex_unlock(&f->lock);
}

static void set_hung(struct fake *f, bool hangs, const char *name)
{
	pthread_mutex_lock(&f->lock);
	f->hangs = hangs;
	str_copy(f->hung, name);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void fake_hang(struct fake *f, const char *name) { set_hung(f, true, name); }
void fake_release(struct fake *f) { set_hung(f, false, ""); }

void fake_set_delay(struct fake *f, unsigned ms)
{
	pthread_mutex_lock(&f->lock);
	f->delay_ms = ms;
	pthread_mutex_unlock(&f->lock);
}

unsigned fake_most_at_once(struct fake *f)
{
	unsigned n;

	pthread_mutex_lock(&f->lock);
	n = f->most_running;
	pthread_mutex_unlock(&f->lock);
	return n;
}

struct fake *fake_new(struct event_base *base)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	STAILQ_INIT(&f->events);
	f->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->on_wakeup = f->wakeup < 0 ? NULL : event_new(base, f->wakeup, EV_READ | EV_PERSIST, tell_events, f);
	if (!f->on_wakeup || event_add(f->on_wakeup, NULL) < 0) {
		fake_free(f);
		return NULL;
	}
	return f;
}

void fake_set_backend(struct fake *f, struct backend *b) { f->b = b; }

void fake_free(struct fake *f)
{
	struct fake_event *ev;

	if (!f)
		return;
	while ((ev = next_event(f)))
		free(ev);
	if (f->on_wakeup)
		event_free(f->on_wakeup);
	fd_close(&f->wakeup);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
