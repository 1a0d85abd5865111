/* What the files of a service's life share, and nobody else uses.
 *
 *     service.c         events, and what is always true of a service
 *     service_start.c   actions up to a VM that is up, or to a failure
 *     service_stop.c    actions down to one that is off
 */
#ifndef LAUNCHER_SERVICE_INTERNAL_H
#define LAUNCHER_SERVICE_INTERNAL_H

#include "launcher/launcher.h"

enum { RETRY_MS = 1000 }; /* what cannot be done now is tried again */

/* ---- service.c ---- */

/* What its successor must know of the VM that runs, which is `up` or is not yet. */
void service_save_run_state(struct service *s, bool up);
/* Where its VM is and what it is called, as the record says now.  Not while there is one. */
void service_follow_conf(struct service *s);

/* ---- service_start.c: actions, and what is due ---- */

void service_do_start(struct service *s);
void service_do_resume(struct service *s);
void service_do_probe(struct service *s);
void service_do_up(struct service *s);
void service_do_note_started(struct service *s);
void service_do_adopt(struct service *s);
void service_do_fail(struct service *s);
void service_do_give_up(struct service *s);
void service_start_is_late(struct service *s);

/* ---- service_stop.c: actions, and what is due; `before` is the state that it was in ---- */

void service_do_drain(struct service *s);
void service_do_stay(struct service *s, enum service_state before);
void service_do_stop(struct service *s, enum service_state before);
void service_do_down(struct service *s, enum service_state before);
void service_do_paused(struct service *s, enum service_state before);
void service_do_saved(struct service *s, enum service_state before);
void service_do_discard(struct service *s);
void service_look_for_idle(struct service *s);
void service_last_look(struct service *s);
void service_stop_is_late(struct service *s);
void service_forget(struct service *s);

#endif
