/* What a kind of Xen guest (xen-pv.c, xen-pvh.c, xen-arm64.c) gives the code that all share.
 *
 * Events are never delivered: the guest sleeps in the hypervisor's SCHEDOP_poll
 * until one of its ports is pending, or the time has come. */
#ifndef GUEST_XEN_MACHINE_H
#define GUEST_XEN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define xen_mb() __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()

#define __XEN_INTERFACE_VERSION__ 0x00040d00    /* 4.13 */

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

enum { XEN_PAGE = 4096 };

struct xen_machine {
    struct shared_info *shared;
    grant_entry_v1_t *grants;   /* one frame of them */
    struct xencons_interface *console;
    evtchn_port_t console_port;
    struct xenstore_domain_interface *store;
    evtchn_port_t store_port;
};

/* Set by xen_main(). */
extern struct xen_machine xen;

/** xen_time() - The hypervisor's time, in nanoseconds: what SCHEDOP_poll counts in, too */
uint64_t xen_time(void);

/** xen_frame() - The number that Xen knows one of our pages by */
xen_pfn_t xen_frame(const void *page);

/** xen_leave() - Let go of what is the host's: returns what SCHEDOP_shutdown is to be told of a suspend */
uintptr_t xen_leave(void);

/** xen_return() - Find it again in *@machine; @result is the suspend's.  True: in another domain */
bool xen_return(struct xen_machine *machine, long result);

/** xen_main() - What the machine calls, once it has all of the above */
void xen_main(const struct xen_machine *machine, const char *cmdline) __attribute__((noreturn));

#ifdef __aarch64__
static inline long xen_hypercall(unsigned number, uintptr_t first, uintptr_t second, uintptr_t third)
{
    register uintptr_t x0 __asm__("x0") = first;
    register uintptr_t x1 __asm__("x1") = second;
    register uintptr_t x2 __asm__("x2") = third;
    register uintptr_t x16 __asm__("x16") = number;

    __asm__ volatile("hvc #0xea1" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x16) : : "memory");
    return (long)x0;
}
#else
/* A hypercall is a call into a page that the hypervisor has filled. */
extern char xen_hypercall_page[];

static inline long xen_hypercall(unsigned number, uintptr_t first, uintptr_t second, uintptr_t third)
{
    const char *entry = xen_hypercall_page + 32 * number;
    long result;

#ifdef __x86_64__
    __asm__ volatile("call *%[entry]"
                     : "=a"(result), "+D"(first), "+S"(second), "+d"(third)
                     : [entry] "r"(entry)
                     : "rcx", "r8", "r10", "r11", "memory");
#else
    __asm__ volatile("call *%[entry]"
                     : "=a"(result), "+b"(first), "+c"(second), "+d"(third)
                     : [entry] "r"(entry)
                     : "memory");
#endif
    return result;
}
#endif

/* --- what xen.c has for the drivers --- */

/** xen_port() - A new event channel for domain @other to bind to */
evtchn_port_t xen_port(domid_t other);

/** xen_notify() - Send an event */
void xen_notify(evtchn_port_t port);

/** xen_wait() - Sleep until @port is pending, which ends with that */
void xen_wait(evtchn_port_t port);

/** xen_yield() - Let others run, for whom this guest has to wait */
void xen_yield(void);

/** xen_grant() - Let domain @other use @page; @flags are 0 or GTF_readonly */
grant_ref_t xen_grant(domid_t other, const void *page, uint16_t flags);

/** xen_netfront_start() - Connect the card to its backend, anew in another domain; its port for events, 0: there is
 * no card */
evtchn_port_t xen_netfront_start(void);

#endif
