/* libxl's registrations are watches by number: what for_app_registration holds is the number.  A number that is
 * known no more does no harm, which settles the races that libxl asks its users to settle: a timeout that is
 * modified while it occurs, a descriptor that is deregistered while it is served (libxl knows its own late ones).
 */
#include "backends/libxl_events.h"

#include <limits.h>
#include <poll.h>
#include <sys/time.h>

#include "backends/watches.h"
#include "base/util.h"

struct registered {
	libxl_ctx *xl;
	void *for_libxl;
};

static struct {
	libxl_ctx *xl;
	void (*happened)(void *arg);
	void *arg;
} us; /* one context of a process has hooks */

static struct registered *registered_new(void *for_libxl)
{
	struct registered *r = calloc(1, sizeof(*r));

	if (r)
		*r = (struct registered){ .xl = us.xl, .for_libxl = for_libxl };
	return r;
}

static int to_watch(short events) { return (events & POLLIN ? WATCH_READ : 0) | (events & POLLOUT ? WATCH_WRITE : 0); }
static int number(void *for_app) { return (int)(intptr_t)for_app; }

static void on_fd(int id, int fd, int events, void *opaque)
{
	const struct registered *r = opaque;
	short revents = (short)((events & WATCH_READ ? POLLIN : 0) | (events & WATCH_WRITE ? POLLOUT : 0));

	(void)id;
	libxl_osevent_occurred_fd(r->xl, r->for_libxl, fd, POLLIN | POLLOUT, revents);
}

static int fd_register(void *user, int fd, void **out, short events, void *for_libxl)
{
	struct registered *r = registered_new(for_libxl);
	int id = r ? watch_add_fd(fd, to_watch(events), on_fd, r, free) : -1;

	(void)user;
	if (id < 0) {
		free(r);
		return ERROR_OSEVENT_REG_FAIL;
	}
	*out = (void *)(intptr_t)id;
	return 0;
}

static int fd_modify(void *user, int fd, void **update, short events)
{
	(void)user;
	(void)fd;
	watch_update_fd(number(*update), to_watch(events));
	return 0;
}

static void fd_deregister(void *user, int fd, void *for_app)
{
	(void)user;
	(void)fd;
	watch_remove_fd(number(for_app));
}

/* Once. */
static void on_timeout(int id, void *opaque)
{
	struct registered r = *(const struct registered *)opaque;

	watch_remove_timer(id);
	libxl_osevent_occurred_timeout(r.xl, r.for_libxl);
}

static int ms_until(struct timeval at)
{
	struct timeval now;
	int64_t left;

	gettimeofday(&now, NULL);
	left = (at.tv_sec - now.tv_sec) * INT64_C(1000000) + at.tv_usec - now.tv_usec;
	return left <= 0 ? 0 : (int)MIN(left / 1000 + 1, INT_MAX);
}

static int timeout_register(void *user, void **out, struct timeval at, void *for_libxl)
{
	struct registered *r = registered_new(for_libxl);
	int id = r ? watch_add_timer(ms_until(at), on_timeout, r, free) : -1;

	(void)user;
	if (id < 0) {
		free(r);
		return ERROR_OSEVENT_REG_FAIL;
	}
	*out = (void *)(intptr_t)id;
	return 0;
}

static int timeout_modify(void *user, void **update, struct timeval at)
{
	(void)user;
	watch_update_timer(number(*update), ms_until(at));
	return 0;
}

static void timeout_deregister(void *user, void *for_app)
{
	(void)user;
	watch_remove_timer(number(for_app));
}

static void event_occurs(void *user, libxl_event *event)
{
	(void)user;
	us.happened(us.arg);
	libxl_event_free(us.xl, event);
}

/* Without this libxl would end the process.  Whoever counts on events looks from time to time as well. */
static void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
	(void)user;
	(void)type;
	(void)msg;
	(void)errnoval;
	us.happened(us.arg);
}

void libxl_events_register(libxl_ctx *xl, void (*happened)(void *arg), void *arg)
{
	static const libxl_osevent_hooks hooks = {
		.fd_register = fd_register,
		.fd_modify = fd_modify,
		.fd_deregister = fd_deregister,
		.timeout_register = timeout_register,
		.timeout_modify = timeout_modify,
		.timeout_deregister = timeout_deregister,
	};
	static const libxl_event_hooks events = {
		.event_occurs_mask = LIBXL_EVENTMASK_ALL,
		.event_occurs = event_occurs,
		.disaster = disaster,
	};

	us.xl = xl;
	us.happened = happened;
	us.arg = arg;
	libxl_osevent_register_hooks(xl, &hooks, NULL);
	libxl_event_register_callbacks(xl, &events, NULL);
}
