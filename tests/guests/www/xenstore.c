/* XenStore's client: messages through two rings in a page shared with xenstored.
 *
 * A request is a header and its strings; the answer has the request's number.
 * Only reads are waited for.  Answers to the rest, and watches that fire, come
 * in between and are dealt with as they come, so that the ring never fills up:
 * by whoever waits, and by xenstore_fired(), which the main loop calls. */
#include "xenstore.h"

#include "lib.h"
#include "platform.h"
#include "xen-machine.h"

enum { BODY_MAX = 255 };

static struct xenstore_domain_interface *ring;
static evtchn_port_t port;

/* The message that is coming in, as far as it is there. */
static struct {
    struct xsd_sockmsg head;
    char body[BODY_MAX + 1];
    uint32_t have;
} incoming;

static uint32_t last_number;    /* of the requests made */
static uint32_t awaited;        /* the number whose answer is waited for, 0: none */
static bool fired[XENSTORE_WATCHES];

void xenstore_start(const struct xen_machine *machine)
{
    ring = machine->store;
    port = machine->store_port;
    ring->rsp_cons = ring->rsp_prod;    /* after a restore: what is there was for the domain of before */
    incoming.have = 0;
    for (unsigned i = 0; i < XENSTORE_WATCHES; i++)
        fired[i] = false;
}

bool xenstore_pending(void)
{
    return *(volatile XENSTORE_RING_IDX *)&ring->rsp_prod != ring->rsp_cons;
}

/* --- what comes --- */

/* An event has two strings: the path, and the watch's number as its name. */
static void note_event(void)
{
    const char *name = incoming.body + text_length(incoming.body) + 1;
    uint32_t which;

    if (name < incoming.body + BODY_MAX && text_number(&name, 10, &which) && which < XENSTORE_WATCHES)
        fired[which] = true;
}

/* Takes what @byte of the message is; true when that was the last one. */
static bool take(char byte)
{
    uint32_t at = incoming.have++;

    if (at < sizeof incoming.head)
        ((char *)&incoming.head)[at] = byte;
    else if (at - sizeof incoming.head < BODY_MAX)
        incoming.body[at - sizeof incoming.head] = byte;
    if (incoming.have < sizeof incoming.head || incoming.have < sizeof incoming.head + incoming.head.len)
        return false;
    at = incoming.head.len < BODY_MAX ? incoming.head.len : BODY_MAX;
    incoming.body[at] = '\0';
    incoming.have = 0;
    return true;
}

/* Deals with all messages that are there; true as soon as one is the answer awaited. */
static bool drain(void)
{
    while (xenstore_pending()) {
        bool complete;

        xen_rmb();
        complete = take(ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)]);
        xen_mb();
        ring->rsp_cons++;
        if (!complete)
            continue;
        xen_notify(port);       /* there may have been no room for more */
        if (incoming.head.type == XS_WATCH_EVENT)
            note_event();
        else if (incoming.head.req_id == awaited)
            return true;
        else if (incoming.head.type == XS_ERROR)
            platform_console("xenstore: a request was refused\n");
    }
    return false;
}

/* --- what is asked --- */

static bool full(void)
{
    return ring->req_prod - *(volatile XENSTORE_RING_IDX *)&ring->req_cons >= XENSTORE_RING_SIZE;
}

static void put(const void *data, size_t length)
{
    const char *from = data;

    for (; length; length--) {
        while (full()) {
            drain();
            xen_notify(port);
            xen_wait(port);
        }
        ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = *from++;
        xen_wmb();
        ring->req_prod++;
    }
}

/* Sends a request of a path and what follows it; returns its number. */
static uint32_t ask(uint32_t type, const char *path, const char *more, size_t more_length)
{
    struct xsd_sockmsg head = {
        .type = type, .req_id = ++last_number,
        .len = (uint32_t)(text_length(path) + 1 + more_length),
    };

    put(&head, sizeof head);
    put(path, text_length(path) + 1);
    put(more, more_length);
    xen_notify(port);
    return head.req_id;
}

bool xenstore_read(const char *path, char *value, size_t room)
{
    struct text text = { .start = value, .room = room };
    bool found;

    awaited = ask(XS_READ, path, NULL, 0);
    while (!drain())
        xen_wait(port);
    awaited = 0;
    found = incoming.head.type == XS_READ;
    text_add(&text, found ? incoming.body : "");
    return found;
}

void xenstore_write(const char *path, const char *value)
{
    ask(XS_WRITE, path, value, text_length(value));
}

void xenstore_watch(const char *path, enum xenstore_watch which)
{
    const char name[2] = { (char)('0' + which), '\0' };

    ask(XS_WATCH, path, name, sizeof name);
}

bool xenstore_fired(enum xenstore_watch which)
{
    bool has;

    drain();
    has = fired[which];
    fired[which] = false;
    return has;
}

void xenstore_wait(enum xenstore_watch which)
{
    while (!xenstore_fired(which))
        xen_wait(port);
}
