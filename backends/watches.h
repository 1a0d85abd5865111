/* Sockets and timers of a library with event loop hooks (libvirt, libxl), served by our libevent base:
 * its callbacks come on the loop's thread.  One base per process, made after evthread_use_pthreads(),
 * because the libraries add and remove from threads of their own.
 *
 * The functions have libvirt's types (virEventRegisterImpl()).  All may be called from any thread, from inside
 * callbacks too, with any lock held that no callback and no free function waits for.
 */
#ifndef BACKENDS_WATCHES_H
#define BACKENDS_WATCHES_H

struct event_base;

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

typedef void watch_fd_fn(int id, int fd, int events, void *opaque);
typedef void watch_timer_fn(int id, void *opaque);
typedef void watch_free_fn(void *opaque); /* loop thread, after the last callback */

int watches_init(struct event_base *base); /* 0 or -errno */

/* `events` of WATCH_READ and WATCH_WRITE, or 0.  Errors and hang-ups come with either.  The watch's number,
 * > 0 and never used again, or -1.  `free_opaque` may be NULL. */
int watch_add_fd(int fd, int events, watch_fd_fn *call, void *opaque, watch_free_fn *free_opaque);
void watch_update_fd(int id, int events);
int watch_remove_fd(int id); /* 0, or -1 when there is none */

/* Every `period_ms`; 0: in each round of the loop; -1: not now. */
int watch_add_timer(int period_ms, watch_timer_fn *call, void *opaque, watch_free_fn *free_opaque);
void watch_update_timer(int id, int period_ms);
int watch_remove_timer(int id);

#endif
