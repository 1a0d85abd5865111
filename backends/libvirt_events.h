/* libvirt's event loop interface over our libevent base: its sockets and timers are served by the
 * loop, so that its callbacks come on the loop's thread.  Once per process, before the first
 * connection is opened; the base must have been made after evthread_use_pthreads(), because
 * libvirt adds and removes from its own threads.
 */
#ifndef BACKENDS_LIBVIRT_EVENTS_H
#define BACKENDS_LIBVIRT_EVENTS_H

struct event_base;

int libvirt_events_register(struct event_base *base); /* 0 or -errno */

#endif
