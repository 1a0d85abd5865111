/* "Whatever BPF program was running then has ended": told without making the loop wait for it.
 *
 * An entry that was deleted from a map may still be in the hands of a program that found it just before.
 * The kernel waits for those, some 10 ms, when the map within a map is replaced; here it does so in a
 * thread of its own.
 */
#ifndef LAUNCHER_QUIESCE_H
#define LAUNCHER_QUIESCE_H

#include "base/err.h"
#include "base/util.h"

struct event_base;
struct quiesce;

/* Every quiesce_ask() up to `number` (and that one) is answered; called from the loop. */
typedef void quiesce_fn(void *arg, uint32_t number);

struct quiesce *quiesce_new(struct event_base *base, quiesce_fn *fn, void *arg, struct err *e); /* NULL with *e */
void quiesce_free(struct quiesce *q); /* waits for what is under way; NULL is fine */

/* Numbers rise from 1 on. */
uint32_t quiesce_ask(struct quiesce *q);

#endif
