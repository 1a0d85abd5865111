/* Xen has no stream of events.  There is a list of domains, which costs one hypercall; a watch in XenStore that fires
 * when a domain is introduced; and libxl's word that one has shut down or died, for each domain that one asks
 * about.  Nobody tells when a domain is paused or runs on.
 *
 * So there is a table, and one way to change it: the hypervisor's list is compared with it, and what differs is the
 * event.  The watches, libxl's words and our own calls only make somebody look at once; a look each second finds
 * what nobody told.
 *
 *     NEW --unpaused--> RUNNING <--> PAUSED        NEW: not yet seen running, so not told of: whoever
 *      |                   |            |          makes a domain leaves it paused until it is whole;
 *      |                   +-----+------+          after NEW_MS it is PAUSED
 *      |   shut down by itself   |  destroyed
 *      |              DOWN <-----+----> GONE
 *      |                |                 ^
 *      +----------------+-----------------+
 *
 * A call of ours tells its outcome itself (xl_domains_tell), or a pause and a resume between two looks would be
 * missed.  A list that was taken before such a call ended must not undo it: each entry has the number of the look
 * that it is newer than, and a look with an earlier number passes it over.  For the same reason an entry that is
 * gone stays until a newer list does not have it.
 *
 * A domain whose guest has shut down stays, with its memory, until somebody destroys it.  `xl create` leaves a
 * process behind for that; for domains of ours (libxl_notes.h) it is done here, by an asynchronous call that
 * proceeds on the loop.
 *
 * The thread: names are read from XenStore, which blocks, and must not block the loop.  The table is under `lock`,
 * which the loop never takes; what is for the loop goes through a queue with a lock of its own.  libxl calls our
 * hooks (libxl_events.c) with locks of its own held, and `lock` may be held then, so the hooks take neither.
 */
#include "backends/libxl_domains.h"

#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <xenstore.h>

#include "backends/libxl_events.h"
#include "base/clock.h"

enum { LOOK_MS = 1000, LOOK_AT_NEW_MS = 50, NEW_MS = 10 * 1000, BURY_AGAIN_MS = 5000, TTY_MAX = 64 };

struct known {
	LIST_ENTRY(known) next;
	uint32_t domid;
	libxl_uuid uuid;
	char name[MSG_NAME_MAX * 2]; /* "" while XenStore does not know it yet */
	enum xl_life life;
	uint64_t newer_than; /* looks up to this number say nothing of it */
	uint64_t seen; /* the last look that has it */
	uint64_t born_ms; /* first seen */
	uint64_t bury_ms; /* when it may be tried (again) */
	bool has_console;
	libxl_evgen_domain_death *death;
};

enum news_kind { NEWS_EVENT, NEWS_CONSOLE, NEWS_LOST };

struct news {
	STAILQ_ENTRY(news) next;
	enum news_kind kind;
	struct msg_be_event event; /* NEWS_CONSOLE: its name; NEWS_LOST: text */
	char tty[TTY_MAX];
};

struct xl_domains {
	const struct xl_notes *notes;
	const struct xl_domains_ops *ops;
	void *arg;
	struct xl_words words;
	libxl_ctx *xl;
	struct xs_handle *xs;
	pthread_t thread;
	int kick; /* eventfd: look now */
	pthread_mutex_t lock;
	LIST_HEAD(, known) all; /* under lock */
	uint64_t look; /* under lock: number of the last */
	bool is_open; /* set before there is a thread: what is found until then is no news */
	pthread_mutex_t news_lock;
	STAILQ_HEAD(, news) news; /* under news_lock */
	struct event *on_news;
};

/* ---- what it means: pure ---- */

enum xl_life xl_life_of(const libxl_dominfo *info)
{
	if (info->dying)
		return XL_GONE;
	if (info->shutdown)
		return XL_DOWN;
	return info->paused ? XL_PAUSED : XL_RUNNING;
}

static bool down_event(libxl_shutdown_reason reason, enum domain_event *what, const char **text)
{
	static const struct {
		libxl_shutdown_reason reason;
		enum domain_event what;
		const char *text;
	} known[] = {
		{ LIBXL_SHUTDOWN_REASON_POWEROFF, EVENT_STOPPED, "shutdown" },
		{ LIBXL_SHUTDOWN_REASON_REBOOT, EVENT_STOPPED, "reboot" },
		{ LIBXL_SHUTDOWN_REASON_SUSPEND, EVENT_SAVED, "saved" },
		{ LIBXL_SHUTDOWN_REASON_CRASH, EVENT_CRASHED, "crashed" },
		{ LIBXL_SHUTDOWN_REASON_WATCHDOG, EVENT_CRASHED, "its watchdog fired" },
	};

	*what = EVENT_STOPPED;
	*text = "stopped";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].reason == reason) {
			*what = known[i].what;
			*text = known[i].text;
		}
	}
	return true;
}

bool xl_life_event(enum xl_life from, enum xl_life to, libxl_shutdown_reason reason, enum domain_event *what, const char **text)
{
	static const struct {
		enum xl_life from, to;
		enum domain_event what;
		const char *text;
	} known[] = {
		{ XL_NEW, XL_RUNNING, EVENT_STARTED, "started" },
		{ XL_NEW, XL_PAUSED, EVENT_STARTED, "started, paused" }, /* by a call of ours alone */
		{ XL_RUNNING, XL_PAUSED, EVENT_SUSPENDED, "paused" },
		{ XL_PAUSED, XL_RUNNING, EVENT_RESUMED, "resumed" },
		{ XL_RUNNING, XL_GONE, EVENT_STOPPED, "destroyed" },
		{ XL_PAUSED, XL_GONE, EVENT_STOPPED, "destroyed" },
	};

	if (to == XL_DOWN && from != XL_DOWN && from != XL_GONE)
		return down_event(reason, what, text);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].from == from && known[i].to == to) {
			*what = known[i].what;
			*text = known[i].text;
			return true;
		}
	}
	return false;
}

/* ---- news for the loop ---- */

static struct news *news_new(enum news_kind kind)
{
	struct news *n = calloc(1, sizeof(*n));

	if (n)
		n->kind = kind;
	return n;
}

static void post(struct xl_domains *d, struct news *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&d->news_lock);
	STAILQ_INSERT_TAIL(&d->news, n, next);
	pthread_mutex_unlock(&d->news_lock);
	event_active(d->on_news, EV_TIMEOUT, 0);
}

static struct news *take_news(struct xl_domains *d)
{
	struct news *n;

	pthread_mutex_lock(&d->news_lock);
	n = STAILQ_FIRST(&d->news);
	if (n)
		STAILQ_REMOVE_HEAD(&d->news, next);
	pthread_mutex_unlock(&d->news_lock);
	return n;
}

static void tell_news(evutil_socket_t fd, short what, void *arg)
{
	struct xl_domains *d = arg;
	struct news *n;

	(void)fd;
	(void)what;
	while ((n = take_news(d))) {
		switch (n->kind) {
		case NEWS_EVENT: d->ops->event(d->arg, &n->event); break;
		case NEWS_CONSOLE: d->ops->console(d->arg, n->event.name, n->tty); break;
		case NEWS_LOST: d->ops->lost(d->arg, n->event.text); break;
		}
		free(n);
	}
}

/* ---- the table, under lock ---- */

static void look_now(void *arg)
{
	struct xl_domains *d = arg;

	eventfd_write(d->kick, 1);
}

static struct known *find(struct xl_domains *d, uint32_t domid, const libxl_uuid *uuid)
{
	struct known *k;

	LIST_FOREACH (k, &d->all, next) {
		if (k->domid == domid && libxl_uuid_compare(&k->uuid, uuid) == 0)
			return k;
	}
	return NULL;
}

static struct known *add(struct xl_domains *d, uint32_t domid, const libxl_uuid *uuid, const char *name)
{
	struct known *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->domid = domid;
	k->uuid = *uuid;
	k->born_ms = clock_now_ms();
	str_copy(k->name, name);
	if (libxl_evenable_domain_death(d->xl, domid, 0, &k->death) != 0)
		k->death = NULL; /* gone already: the next look finds that */
	LIST_INSERT_HEAD(&d->all, k, next);
	return k;
}

static void drop(struct xl_domains *d, struct known *k)
{
	LIST_REMOVE(k, next);
	if (k->death)
		libxl_evdisable_domain_death(d->xl, k->death);
	free(k);
}

static void move(struct xl_domains *d, struct known *k, enum xl_life to, libxl_shutdown_reason reason)
{
	enum xl_life from = k->life;
	enum domain_event what;
	const char *text;
	struct news *n;

	k->life = to;
	if (!d->is_open || !xl_life_event(from, to, reason, &what, &text) || !(n = news_new(NEWS_EVENT)))
		return;
	n->event.what = (uint8_t)what;
	n->event.domain_id = (int32_t)k->domid;
	str_copy(n->event.name, k->name);
	xl_uuid_format(&k->uuid, n->event.uuid);
	str_copy(n->event.text, text);
	post(d, n);
}

void xl_domains_tell(struct xl_domains *d, uint32_t domid, const libxl_uuid *uuid, const char *name, enum xl_life life)
{
	struct known *k;

	pthread_mutex_lock(&d->lock);
	k = find(d, domid, uuid);
	if (!k && life != XL_GONE)
		k = add(d, domid, uuid, name);
	if (k && !k->name[0])
		str_copy(k->name, name);
	if (k) {
		move(d, k, life, LIBXL_SHUTDOWN_REASON_UNKNOWN);
		k->newer_than = d->look;
	}
	pthread_mutex_unlock(&d->lock);
	look_now(d);
}

/* ---- a look ---- */

static void read_name(struct xl_domains *d, struct known *k)
{
	cleanup_free char *name = k->name[0] ? NULL : libxl_domid_to_name(d->xl, k->domid);

	if (name)
		str_copy(k->name, name);
}

/* xenconsoled makes it soon after the domain. */
static void find_console(struct xl_domains *d, struct known *k)
{
	char path[64];
	cleanup_free char *tty = NULL;
	unsigned n = 0;
	struct news *news;

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", k->domid);
	tty = xs_read(d->xs, XBT_NULL, path, &n);
	if (!tty || n == 0 || !(news = news_new(NEWS_CONSOLE)))
		return;
	str_copy(news->event.name, k->name);
	str_copy(news->tty, tty);
	post(d, news);
	k->has_console = true;
}

static void on_buried(libxl_ctx *xl, int rc, void *arg)
{
	(void)xl;
	(void)rc; /* if it failed it is still there, and tried again */
	look_now(arg);
}

/* Its guest has shut it down. */
static void bury(struct xl_domains *d, struct known *k)
{
	libxl_asyncop_how how = { .callback = on_buried, .u.for_callback = d };
	uint64_t now = clock_now_ms();

	if (now < k->bury_ms || xl_note_get(d->notes, &k->uuid) != XL_NOTE_OURS)
		return;
	k->bury_ms = now + BURY_AGAIN_MS;
	libxl_domain_destroy(d->xl, k->domid, &how);
}

static bool is_new(const struct known *k) { return k->life == XL_NEW && clock_now_ms() - k->born_ms < NEW_MS; }

static void look_at(struct xl_domains *d, const libxl_dominfo *info, uint64_t look)
{
	struct known *k = find(d, info->domid, &info->uuid);
	enum xl_life life = xl_life_of(info);

	if (!k && life == XL_GONE)
		return;
	if (!k && !(k = add(d, info->domid, &info->uuid, "")))
		return;
	k->seen = look;
	if (k->newer_than >= look)
		return;
	read_name(d, k);
	if (!k->name[0])
		return;
	if (!k->has_console && life != XL_GONE && life != XL_DOWN)
		find_console(d, k);
	if (life != k->life && !(life == XL_PAUSED && is_new(k)))
		move(d, k, life, info->shutdown_reason);
	if (k->life == XL_DOWN)
		bury(d, k);
}

/* A domain may die slowly: its next boot, which has the same UUID and the same note, runs meanwhile. */
static bool has_next_boot(struct xl_domains *d, const struct known *of)
{
	const struct known *k;

	LIST_FOREACH (k, &d->all, next) {
		if (k != of && k->life != XL_GONE && libxl_uuid_compare(&k->uuid, &of->uuid) == 0)
			return true;
	}
	return false;
}

/* Those that the list does not have any more. */
static void look_for_gone(struct xl_domains *d, uint64_t look)
{
	struct known *k, *later;

	for (k = LIST_FIRST(&d->all); k; k = later) {
		later = LIST_NEXT(k, next);
		if (k->seen == look || k->newer_than >= look)
			continue;
		move(d, k, XL_GONE, LIBXL_SHUTDOWN_REASON_UNKNOWN);
		if (xl_note_get(d->notes, &k->uuid) == XL_NOTE_OURS && !has_next_boot(d, k))
			xl_note_set(d->notes, &k->uuid, XL_NOTE_NONE);
		drop(d, k);
	}
}

static int look(struct xl_domains *d)
{
	libxl_dominfo *list;
	uint64_t number;
	int n = 0;

	pthread_mutex_lock(&d->lock);
	number = ++d->look;
	pthread_mutex_unlock(&d->lock);
	list = libxl_list_domain(d->xl, &n);
	if (!list)
		return -EIO;
	pthread_mutex_lock(&d->lock);
	for (int i = 0; i < n; i++) {
		if (list[i].domid != 0)
			look_at(d, &list[i], number);
	}
	look_for_gone(d, number);
	pthread_mutex_unlock(&d->lock);
	libxl_dominfo_list_free(list, n);
	return 0;
}

/* Somebody is about to run, or to have a console. */
static bool is_restless(struct xl_domains *d)
{
	uint64_t now = clock_now_ms();
	bool restless = false;
	struct known *k;

	pthread_mutex_lock(&d->lock);
	LIST_FOREACH (k, &d->all, next)
		restless |= now - k->born_ms < NEW_MS && (k->life == XL_NEW || !k->has_console);
	pthread_mutex_unlock(&d->lock);
	return restless;
}

/* ---- the thread ---- */

/* False: XenStore is gone, and with it all that libxl does. */
static bool drain_watches(struct xs_handle *xs)
{
	char **event;

	while ((event = xs_check_watch(xs)))
		free(event);
	return errno == EAGAIN;
}

static bool wait_for_news(struct xl_domains *d)
{
	struct pollfd p[] = { { .fd = d->kick, .events = POLLIN }, { .fd = xs_fileno(d->xs), .events = POLLIN } };
	eventfd_t ignored;

	poll(p, ARRAY_SIZE(p), is_restless(d) ? LOOK_AT_NEW_MS : LOOK_MS);
	if (p[0].revents)
		eventfd_read(d->kick, &ignored);
	return !p[1].revents || drain_watches(d->xs);
}

static void *watch(void *arg)
{
	struct xl_domains *d = arg;
	struct news *n;

	while (wait_for_news(d) && look(d) == 0)
		;
	n = news_new(NEWS_LOST);
	if (n)
		str_copy(n->event.text, "xenstored went away, or Xen does not answer any more");
	post(d, n);
	return NULL;
}

static int run_thread(struct xl_domains *d)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&d->thread, NULL, watch, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

static void close_all(struct xl_domains *d)
{
	struct known *k;

	while ((k = LIST_FIRST(&d->all)))
		drop(d, k);
	if (d->xl)
		libxl_ctx_free(d->xl);
	if (d->xs)
		xs_close(d->xs);
	d->xl = NULL;
	d->xs = NULL;
}

static int open_all(struct xl_domains *d, struct err *e)
{
	struct known *k;

	d->xl = xl_open(&d->words, e);
	if (!d->xl)
		return e->code;
	libxl_events_register(d->xl, look_now, d);
	xl_own_children(d->xl);
	d->xs = xs_open(0);
	if (!d->xs || !xs_watch(d->xs, "@introduceDomain", "new") || !xs_watch(d->xs, "@releaseDomain", "gone"))
		return err_set_errno(e, -errno, "cannot watch XenStore");
	if (look(d) < 0)
		return err_set(e, -EIO, "Xen does not say which domains there are");
	LIST_FOREACH (k, &d->all, next)
		k->life = k->life == XL_NEW ? XL_PAUSED : k->life;
	return 0;
}

int xl_domains_open(struct xl_domains *d, struct err *e)
{
	int r = open_all(d, e);

	d->is_open = r == 0;
	if (r == 0 && (r = run_thread(d)) < 0)
		err_set_errno(e, r, "cannot watch Xen's domains");
	if (r < 0) {
		close_all(d);
		d->is_open = false;
	}
	return r;
}

struct xl_domains *xl_domains_new(struct event_base *base, const struct xl_notes *notes, const struct xl_domains_ops *ops,
				  void *arg)
{
	struct xl_domains *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->notes = notes;
	d->ops = ops;
	d->arg = arg;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->news_lock, NULL);
	LIST_INIT(&d->all);
	STAILQ_INIT(&d->news);
	d->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->on_news = event_new(base, -1, 0, tell_news, d);
	if (d->kick >= 0 && d->on_news)
		return d;
	fd_close(&d->kick);
	if (d->on_news)
		event_free(d->on_news);
	free(d);
	return NULL;
}
