/* A thread of its own talks to xenstored, which may take its time.  It has a watch on data/jitsu of each domain, and
 * on each key that is waited for; a watch fires once when it is made, so that what was there before is found, too.
 *
 * A watch tells where, and not what: the value is read afterwards.  So a guest that writes as fast as it can costs us
 * no more than XENSTORE_READS_PER_S reads; what it had written in between is lost, which docs/guest-messages.md tells
 * guests.
 *
 *     the loop --orders--> the thread --keys--> the loop
 *                              |
 *                              +--lines--> a socket pair, whose other end is the domain's stream
 *
 * A socket that is full keeps the news until it is not.
 */
#include "backends/xenstore_guest.h"

#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <xenstore.h>

#include "base/bucket.h"
#include "base/log.h"

enum { GUESTS_MAX = 4096, PATH_ROOM = 128, FULL_AGAIN_MS = 100 };

enum order_kind { ORDER_BEGAN, ORDER_GONE, ORDER_WATCH };

struct order {
	STAILQ_ENTRY(order) next;
	enum order_kind kind;
	int32_t domid;
	struct msg_be_guest id; /* ORDER_BEGAN */
	struct msg_be_watch watch; /* ORDER_WATCH */
};

struct found {
	STAILQ_ENTRY(found) next;
	struct msg_be_key m;
};

/* The thread's. */
struct domain {
	LIST_ENTRY(domain) next;
	int32_t domid;
	int out; /* the guest's end of its stream */
	bool news; /* its value is to be read */
	struct bucket reads;
	struct msg_be_watch keys;
	bool missing[MSG_KEYS_MAX]; /* this key was not there yet */
	bool look[MSG_KEYS_MAX]; /* ... and may be now */
};

struct xenstore_guests {
	struct event_base *base;
	struct guests *streams;
	xenstore_key_fn *on_key;
	void *arg;
	pthread_t thread;
	bool has_thread;
	int kick; /* eventfd: there are orders */
	struct event *on_found;
	int found_fd; /* eventfd */
	pthread_mutex_t lock;
	STAILQ_HEAD(, order) orders; /* under lock */
	STAILQ_HEAD(, found) found; /* under lock */
	bool ends; /* under lock */
	/* the thread's */
	struct xs_handle *xs;
	LIST_HEAD(, domain) domains;
	unsigned n_domains;
};

/* ---- XenStore ---- */

static void path_of(const struct domain *d, const char *key, char out[PATH_ROOM])
{
	snprintf(out, PATH_ROOM, "/local/domain/%d/%s", d->domid, key);
}

/* The token says whose watch has fired, and which: 0 is what the guest says, others are keys, from 1 on. */
static void set_watch(struct xenstore_guests *x, const struct domain *d, const char *key, unsigned which, bool on)
{
	char path[PATH_ROOM], token[32];

	path_of(d, key, path);
	snprintf(token, sizeof(token), "%d %u", d->domid, which);
	if (on && !xs_watch(x->xs, path, token))
		log_limited(LOG_WARN, "%s cannot be watched: %s", path, strerror(errno));
	else if (!on)
		xs_unwatch(x->xs, path, token);
}

/* NULL: there is none. */
static char *read_key(struct xenstore_guests *x, const struct domain *d, const char *key, unsigned *n)
{
	char path[PATH_ROOM];

	path_of(d, key, path);
	*n = 0;
	return xs_read(x->xs, XBT_NULL, path, n);
}

/* ---- what it says ---- */

static void say(struct xenstore_guests *x, struct domain *d)
{
	char line[XENSTORE_VALUE_MAX + 1];
	unsigned n;
	cleanup_free char *value = read_key(x, d, "data/jitsu", &n);

	d->news = false;
	if (!value || n == 0)
		return;
	n = MIN(n, (unsigned)XENSTORE_VALUE_MAX);
	memcpy(line, value, n);
	line[n++] = '\n';
	if (send(d->out, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		d->news = true;
}

/* ---- keys ---- */

static void tell_found(struct xenstore_guests *x, const struct domain *d, unsigned which)
{
	struct found *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->m = (struct msg_be_key){ .svc = d->keys.svc, .gen = d->keys.gen, .domain_id = d->domid };
	str_copy(f->m.key, d->keys.keys[which].text);
	pthread_mutex_lock(&x->lock);
	STAILQ_INSERT_TAIL(&x->found, f, next);
	pthread_mutex_unlock(&x->lock);
	eventfd_write(x->found_fd, 1);
}

static void look_for_key(struct xenstore_guests *x, struct domain *d, unsigned which)
{
	unsigned n;
	cleanup_free char *value = read_key(x, d, d->keys.keys[which].text, &n);

	d->look[which] = false;
	if (!value || n == 0)
		return;
	d->missing[which] = false;
	set_watch(x, d, d->keys.keys[which].text, which + 1, false);
	tell_found(x, d, which);
}

static void forget_keys(struct xenstore_guests *x, struct domain *d)
{
	for (unsigned i = 0; i < d->keys.n_keys; i++) {
		if (d->missing[i])
			set_watch(x, d, d->keys.keys[i].text, i + 1, false);
		d->missing[i] = d->look[i] = false;
	}
	d->keys.n_keys = 0;
}

static void wait_for_keys(struct xenstore_guests *x, struct domain *d, const struct msg_be_watch *m)
{
	forget_keys(x, d);
	d->keys = *m;
	d->keys.n_keys = MIN(m->n_keys, (uint16_t)MSG_KEYS_MAX);
	for (unsigned i = 0; i < d->keys.n_keys; i++) {
		d->missing[i] = d->look[i] = true; /* also where it cannot be watched it may be there */
		set_watch(x, d, d->keys.keys[i].text, i + 1, true);
	}
}

/* ---- domains ---- */

static struct domain *find(struct xenstore_guests *x, int32_t domid)
{
	struct domain *d;

	LIST_FOREACH (d, &x->domains, next) {
		if (d->domid == domid)
			return d;
	}
	return NULL;
}

static void begin(struct xenstore_guests *x, const struct order *o)
{
	struct domain *d = find(x, o->domid);
	int fds[2];

	if (d || x->n_domains == GUESTS_MAX)
		return;
	d = calloc(1, sizeof(*d));
	if (!d || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		log_limited(LOG_WARN, "the guest of %s is not heard: %s", o->id.name, strerror(errno));
		free(d);
		return;
	}
	*d = (struct domain){ .domid = o->domid, .out = fds[1],
			      .reads = { XENSTORE_READS_AT_ONCE, XENSTORE_READS_PER_S, 0 } };
	guests_take(x->streams, o->id.name, o->id.uuid, fds[0]);
	LIST_INSERT_HEAD(&x->domains, d, next);
	x->n_domains++;
	set_watch(x, d, "data/jitsu", 0, true);
}

static void drop(struct xenstore_guests *x, struct domain *d)
{
	forget_keys(x, d);
	set_watch(x, d, "data/jitsu", 0, false);
	LIST_REMOVE(d, next);
	x->n_domains--;
	fd_close(&d->out);
	free(d);
}

static void carry_out(struct xenstore_guests *x, const struct order *o)
{
	struct domain *d = find(x, o->domid);

	switch (o->kind) {
	case ORDER_BEGAN: begin(x, o); break;
	case ORDER_GONE:
		if (d)
			drop(x, d);
		break;
	case ORDER_WATCH:
		if (d)
			wait_for_keys(x, d, &o->watch);
		break;
	}
}

/* ---- the thread ---- */

static void note_fired(struct xenstore_guests *x, const char *token)
{
	struct domain *d;
	unsigned which;
	int domid;

	if (sscanf(token, "%d %u", &domid, &which) != 2 || !(d = find(x, domid)))
		return;
	if (which == 0)
		d->news = true;
	else if (which <= d->keys.n_keys && d->missing[which - 1])
		d->look[which - 1] = true;
}

/* False: xenstored is gone.  libxl_domains.c notices, too, and this process ends. */
static bool hear_watches(struct xenstore_guests *x)
{
	char **event;

	while ((event = xs_check_watch(x->xs))) {
		note_fired(x, event[XS_WATCH_TOKEN]);
		free(event);
	}
	return errno == EAGAIN;
}

static bool wants_a_read(const struct domain *d)
{
	bool wants = d->news;

	for (unsigned i = 0; i < d->keys.n_keys; i++)
		wants = wants || d->look[i];
	return wants;
}

/* False: its stream takes no more. */
static bool read_all(struct xenstore_guests *x, struct domain *d)
{
	for (unsigned i = 0; i < d->keys.n_keys; i++) {
		if (d->look[i])
			look_for_key(x, d, i);
	}
	if (d->news)
		say(x, d);
	return !d->news;
}

/* How long until there is more to do, in ms; -1: until somebody says so. */
static int read_news(struct xenstore_guests *x)
{
	uint64_t now_ns = clock_now_ns();
	struct domain *d;
	int wait = -1;

	LIST_FOREACH (d, &x->domains, next) {
		int again = -1;

		if (!wants_a_read(d))
			continue;
		if (!bucket_pass(&d->reads, now_ns))
			again = (int)((bucket_ready_ns(&d->reads) - now_ns) / NS_PER_MS) + 1;
		else if (!read_all(x, d))
			again = FULL_AGAIN_MS;
		if (again >= 0)
			wait = wait < 0 ? again : MIN(wait, again);
	}
	return wait;
}

/* False: it ends. */
static bool take_orders(struct xenstore_guests *x)
{
	struct order *o;
	eventfd_t n;
	bool ends;

	eventfd_read(x->kick, &n);
	for (;;) {
		pthread_mutex_lock(&x->lock);
		o = STAILQ_FIRST(&x->orders);
		if (o)
			STAILQ_REMOVE_HEAD(&x->orders, next);
		ends = x->ends;
		pthread_mutex_unlock(&x->lock);
		if (!o || ends) {
			free(o);
			return !ends;
		}
		carry_out(x, o);
		free(o);
	}
}

static void *talk(void *arg)
{
	struct xenstore_guests *x = arg;
	struct pollfd p[] = { { .fd = x->kick, .events = POLLIN }, { .fd = xs_fileno(x->xs), .events = POLLIN } };
	bool goes_on = true;

	while (goes_on) {
		poll(p, ARRAY_SIZE(p), read_news(x));
		goes_on = take_orders(x) && hear_watches(x);
	}
	return NULL;
}

/* ---- the loop's side ---- */

static void tell_keys(evutil_socket_t fd, short what, void *arg)
{
	struct xenstore_guests *x = arg;
	struct found *f;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	do {
		pthread_mutex_lock(&x->lock);
		f = STAILQ_FIRST(&x->found);
		if (f)
			STAILQ_REMOVE_HEAD(&x->found, next);
		pthread_mutex_unlock(&x->lock);
		if (f)
			x->on_key(x->arg, &f->m);
		free(f);
	} while (f);
}

static void give_order(struct xenstore_guests *x, const struct order *order)
{
	struct order *o = malloc(sizeof(*o));

	if (!o)
		return;
	*o = *order;
	pthread_mutex_lock(&x->lock);
	STAILQ_INSERT_TAIL(&x->orders, o, next);
	pthread_mutex_unlock(&x->lock);
	eventfd_write(x->kick, 1);
}

void xenstore_guests_began(struct xenstore_guests *x, int32_t domid, const char *name, const char *uuid)
{
	struct order o = { .kind = ORDER_BEGAN, .domid = domid };

	str_copy(o.id.name, name);
	str_copy(o.id.uuid, uuid);
	give_order(x, &o);
}

void xenstore_guests_gone(struct xenstore_guests *x, int32_t domid)
{
	give_order(x, &(struct order){ .kind = ORDER_GONE, .domid = domid });
}

void xenstore_guests_watch(struct xenstore_guests *x, const struct msg_be_watch *m)
{
	give_order(x, &(struct order){ .kind = ORDER_WATCH, .domid = m->domain_id, .watch = *m });
}

/* ---- life ---- */

static int run_thread(struct xenstore_guests *x)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&x->thread, NULL, talk, x);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	x->has_thread = r == 0;
	return -r;
}

struct xenstore_guests *xenstore_guests_new(struct event_base *base, struct guests *streams, xenstore_key_fn *on_key,
					    void *arg)
{
	struct xenstore_guests *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	*x = (struct xenstore_guests){ .base = base, .streams = streams, .on_key = on_key, .arg = arg };
	pthread_mutex_init(&x->lock, NULL);
	STAILQ_INIT(&x->orders);
	STAILQ_INIT(&x->found);
	x->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	x->found_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	x->on_found = x->found_fd < 0 ? NULL : event_new(base, x->found_fd, EV_READ | EV_PERSIST, tell_keys, x);
	x->xs = xs_open(0);
	if (x->xs && x->kick >= 0 && x->on_found && event_add(x->on_found, NULL) == 0 && run_thread(x) == 0)
		return x;
	xenstore_guests_free(x);
	errno = EIO;
	return NULL;
}

void xenstore_guests_free(struct xenstore_guests *x)
{
	struct order *o;
	struct found *f;

	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	x->ends = true;
	pthread_mutex_unlock(&x->lock);
	if (x->has_thread) {
		eventfd_write(x->kick, 1);
		pthread_join(x->thread, NULL);
	}
	while (!LIST_EMPTY(&x->domains))
		drop(x, LIST_FIRST(&x->domains));
	while ((o = STAILQ_FIRST(&x->orders))) {
		STAILQ_REMOVE_HEAD(&x->orders, next);
		free(o);
	}
	while ((f = STAILQ_FIRST(&x->found))) {
		STAILQ_REMOVE_HEAD(&x->found, next);
		free(f);
	}
	if (x->on_found)
		event_free(x->on_found);
	if (x->xs)
		xs_close(x->xs);
	fd_close(&x->found_fd);
	fd_close(&x->kick);
	pthread_mutex_destroy(&x->lock);
	free(x);
}
