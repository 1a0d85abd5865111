/* A guest of Xen: sleep, console, orders of the host.
 *
 * Sleep is SCHEDOP_poll, which ends when a port is pending.  Its bit is cleared
 * before the rings are looked at, so that an event that comes in between ends
 * the sleep at once.
 *
 * The host asks a guest to go by a word in control/shutdown, which the guest
 * acknowledges by writing nothing there.  After "suspend" the guest goes on in
 * another domain, where all that it had of the host is another one: pages, ports,
 * grants, what it has written into XenStore.  Or in its own, where nothing is.
 * What was on its way to or from the network meanwhile is lost. */
#include "lib.h"
#include "netdev.h"
#include "platform.h"
#include "xen-machine.h"
#include "xenstore.h"

#include <xen/sched.h>

enum {
    GRANTS_RESERVED = 8,        /* for the hypervisor's and the toolstack's own use */
    GRANTS = XEN_PAGE / sizeof(grant_entry_v1_t),
    NANOSECONDS = 1000,         /* in a microsecond */
    PORT_BITS = 8 * sizeof(xen_ulong_t),
};

struct xen_machine xen;
static evtchn_port_t nic_port;  /* 0: not there yet */
static uint64_t started;        /* nanoseconds */
static uint64_t last_time;      /* the last of system_time() */
static grant_ref_t next_grant = GRANTS_RESERVED;
static unsigned off_reason = SHUTDOWN_poweroff;
static const char *cmdline;

/* --- time --- */

/* @value times @factor, which is a fraction of 2^32. */
static uint64_t scale(uint64_t value, uint32_t factor)
{
    return (value >> 32) * factor + ((value & 0xffffffff) * factor >> 32);
}

/* Never goes back. */
static uint64_t system_time(void)
{
    uint64_t now = xen_time();

    last_time = now > last_time ? now : last_time;
    return last_time;
}

uint64_t platform_now(void)
{
    return scale(system_time() - started, (uint32_t)((1ull << 32) / NANOSECONDS));
}

/* --- events --- */

evtchn_port_t xen_port(domid_t other)
{
    struct evtchn_alloc_unbound call = { .dom = DOMID_SELF, .remote_dom = other };

    xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&call, 0);
    return call.port;
}

void xen_notify(evtchn_port_t port)
{
    struct evtchn_send call = { .port = port };

    xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uintptr_t)&call, 0);
}

static void clear(evtchn_port_t port)
{
    __atomic_fetch_and(&xen.shared->evtchn_pending[port / PORT_BITS], ~((xen_ulong_t)1 << port % PORT_BITS),
                       __ATOMIC_SEQ_CST);
}

/* @timeout: a system_time(), 0: none */
static void poll_ports(evtchn_port_t *ports, unsigned count, uint64_t timeout)
{
    struct sched_poll call = { .nr_ports = count, .timeout = timeout };

    set_xen_guest_handle(call.ports, ports);
    xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uintptr_t)&call, 0);
}

void xen_wait(evtchn_port_t port)
{
    poll_ports(&port, 1, 0);
    clear(port);
}

void xen_yield(void)
{
    xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
}

void platform_idle(uint64_t until)
{
    evtchn_port_t ports[2] = { xen.store_port, nic_port };

    for (unsigned i = 0; i < COUNT(ports); i++)
        clear(ports[i]);
    if (until <= platform_now() || netdev_pending() || xenstore_pending())
        return;
    poll_ports(ports, COUNT(ports), started + until * NANOSECONDS);
}

/* --- grants, and what is granted --- */

grant_ref_t xen_grant(domid_t other, const void *page, uint16_t flags)
{
    grant_entry_v1_t *entry = &xen.grants[next_grant];

    if (next_grant == GRANTS)
        platform_crash();
    entry->frame = (uint32_t)xen_frame(page);
    entry->domid = other;
    xen_wmb();
    entry->flags = GTF_permit_access | flags;
    return next_grant++;
}

bool platform_nic(void)
{
#ifndef __aarch64__     /* where Xen cannot do it */
    xenstore_write("control/feature-suspend", "1");
#endif
    xenstore_watch("control/shutdown", XENSTORE_SHUTDOWN);
    nic_port = xen_netfront_start();
    return nic_port;
}

/* --- being saved --- */

/* The host's clock may be another one: ours goes on from where it was. */
static void go_on_counting(void)
{
    uint64_t now = xen_time();

    started += now - last_time;
    last_time = now;
}

static void suspend(void)
{
    struct sched_shutdown call = { .reason = SHUTDOWN_suspend };
    char none[2];

    system_time();
    xenstore_write("control/shutdown", "");
    xenstore_read("name", none, sizeof none);   /* it has been written by then */
    if (!xen_return(&xen, xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&call, xen_leave())))
        return;
    go_on_counting();
    next_grant = GRANTS_RESERVED;
    xenstore_start(&xen);
    platform_nic();
    platform_console("restored\n");
}

/* --- what jitsu is told --- */

/* A value takes the place of the last one, perhaps before that was read: so
 * what still counts is said again. */
bool platform_say(const char *words)
{
    static bool ready;
    char value[128];
    struct text text = { .start = value, .room = sizeof value };

    if (!words[0])
        return false;
    value[0] = '\0';
    if (text_starts(words, "ready"))
        ready = true;
    else if (ready)
        text_add(&text, "ready\n");
    text_add(&text, words);
    xenstore_write("data/jitsu", value);
    return true;
}

uint64_t platform_say_wake(void)
{
    return NEVER;
}

/* --- going --- */

bool platform_power_button(void)
{
    static const struct {
        const char *word;
        unsigned reason;
    } orders[] = {
        { "poweroff", SHUTDOWN_poweroff },
        { "halt", SHUTDOWN_poweroff },
        { "reboot", SHUTDOWN_reboot },
    };
    char word[16];

    if (!xenstore_fired(XENSTORE_SHUTDOWN) || !xenstore_read("control/shutdown", word, sizeof word))
        return false;
    if (!memcmp(word, "suspend", sizeof "suspend"))
        suspend();
    for (size_t i = 0; i < COUNT(orders); i++) {
        if (memcmp(word, orders[i].word, text_length(orders[i].word) + 1))
            continue;
        xenstore_write("control/shutdown", "");
        off_reason = orders[i].reason;
        return true;
    }
    return false;
}

static void __attribute__((noreturn)) leave(unsigned reason)
{
    struct sched_shutdown call = { .reason = reason };

    for (;;)
        xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&call, 0);
}

void platform_off(void)
{
    leave(off_reason);
}

void platform_crash(void)
{
    leave(SHUTDOWN_crash);
}

void platform_halt(void)
{
    for (;;)
        xen_wait(xen.console_port);
}

/* --- the rest --- */

/* What does not fit is lost: nobody may be reading. */
void platform_console(const char *string)
{
    struct xencons_interface *console = xen.console;
    XENCONS_RING_IDX at = console->out_prod;

    for (; *string; string++) {
        if (at - *(volatile XENCONS_RING_IDX *)&console->out_cons >= sizeof console->out - 1)
            break;
        if (*string == '\n')
            console->out[at++ % sizeof console->out] = '\r';
        console->out[at++ % sizeof console->out] = *string;
    }
    xen_wmb();
    console->out_prod = at;
    xen_notify(xen.console_port);
}

/* The time of day, how long the host has been up and the command line: two
 * boots never share all three. */
uint32_t platform_random(void)
{
    uint64_t time = system_time();
    uint32_t value = mix((uint32_t)time) ^ (uint32_t)(time >> 32);

    value = mix(value ^ xen.shared->wc_sec) ^ xen.shared->wc_nsec;
    for (const char *at = cmdline; *at; at++)
        value = mix(value) ^ (uint8_t)*at;
    return mix(value ^ (uint32_t)system_time());
}

void xen_main(const struct xen_machine *machine, const char *line)
{
    xen = *machine;
    cmdline = line;
    started = system_time();
    xenstore_start(&xen);
    guest_main(line);
}
