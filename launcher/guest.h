/* What a service's guest says of itself (docs/guest-messages.md): that it is ready, that it is busy, that it wants
 * not to be stopped.  A guest need not say anything.
 *
 * Its words come on a stream that a backend made (MSG_BE_GUEST).  We pass it on to synproxy, which reads it, and
 * keep the descriptor for the next synproxy; nothing is read here.  What synproxy has understood is in
 * msg_guest_said: it may be false like all that it says, so what a guest can have is bounded by `guest_lease`, and by
 * the rate at which an honest one can say it.
 *
 * What counts is in run_state, so that the next launcher knows it.  It ends with the boot that it was said in.  It
 * is written at once where the file would let the VM go earlier; all else a second later, with what has come until
 * then.  So a guest that says "busy" and "idle" in turn has its file written at most three times a second, and not
 * for each word.
 */
#ifndef LAUNCHER_GUEST_H
#define LAUNCHER_GUEST_H

#include "base/bucket.h"
#include "base/msg.h"

struct hypervisor;
struct launcher;
struct service;

struct guest {
	int stream_fd; /* -1: there is none */
	uint32_t stream; /* its number */
	struct bucket words, saves;
	uint64_t used_ms; /* when it was last known to be busy, or not; 0: never */
	uint64_t uses; /* how often it has said something that keeps it up */
	uint32_t keys; /* which rules of `ready` have their key: bits by place in the list */
	int32_t keys_of; /* the boot whose keys are watched; -1: none */
	struct event *save; /* what was said is written then; NULL: nothing ever was */
};

/* For how long still it keeps itself up, and since when it was not busy. */
struct guest_use {
	uint64_t busy_ms, lease_ms; /* left; 0: it does not */
	uint64_t used_ms;
};

void guest_init(struct guest *g);
/* A start is asked for: nothing was said in that boot. */
void guest_begin(struct service *s);
/* It runs: is told of the keys of XenStore that its being ready waits for. */
void guest_runs(struct service *s);
/* The VM is gone, or the service is. */
void guest_restored(struct service *s); /* it goes on from where it was ready */
void guest_end(struct service *s);
void guest_free(struct service *s);

/* Every rule of `ready` that is the guest's to fulfil. */
bool guest_is_ready(const struct service *s);
/* Which of them does not hold. */
const char *guest_explain_unready(const struct service *s);
struct guest_use guest_use(const struct service *s);
/* A machine that we define gets a channel. */
bool guest_wants_channel(const struct service *s);

/* From a backend; takes *fd. */
void guest_stream(struct hypervisor *hv, const struct msg_be_guest *m, int *fd);
void guest_key(struct launcher *l, const struct msg_be_key *m);
/* From synproxy. */
void guest_said(struct launcher *l, const struct msg_guest_said *m);
void guests_stop(struct launcher *l); /* what has not been written yet is */
/* Within a snapshot for synproxy. */
void guests_tell_synproxy(struct launcher *l);

#endif
