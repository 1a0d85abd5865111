/* The time of an x86 guest of Xen: what the hypervisor writes into the shared
 * page, and the time stamp counter since then. */
#include "xen-machine.h"

static uint64_t ticks_now(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

uint64_t xen_time(void)
{
    const volatile struct vcpu_time_info *at = &xen.shared->vcpu_info[0].time;
    uint64_t ticks, now;
    uint32_t version;

    do {
        version = at->version;
        xen_rmb();
        ticks = ticks_now() - at->tsc_timestamp;
        ticks = at->tsc_shift < 0 ? ticks >> -at->tsc_shift : ticks << at->tsc_shift;
        now = at->system_time + (ticks >> 32) * at->tsc_to_system_mul
              + ((ticks & 0xffffffff) * at->tsc_to_system_mul >> 32);
        xen_rmb();
    } while (version & 1 || version != at->version);
    return now;
}
