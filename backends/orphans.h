/* libvirt starts QEMU as a daemon: its parent ends at once, and the dead QEMU is left to whoever
 * reaps orphans.  Where that is a slow PID 1, libvirt's destroy polls a zombie for up to 2 s.  So
 * this process takes orphans for itself and reaps them as soon as they end: only those that are
 * QEMU, and only outside our session, because libvirt waits for its own children by pid and would
 * be told of a child that is gone.
 */
#ifndef BACKENDS_ORPHANS_H
#define BACKENDS_ORPHANS_H

struct event_base;
struct orphans;

struct orphans *orphans_new(struct event_base *base); /* NULL with errno */
void orphans_free(struct orphans *o); /* NULL is fine */

#endif
