/* A guest of Xen on arm64.  Memory begins where QEMU's board has it, too; devices
 * there are none that this guest needs.
 *
 * Time is the processor's counter.  Xen's own, which SCHEDOP_poll wants to be
 * told, lies off it by what the runstate area says: when this processor last
 * began to run.  Read some moments later, that makes our idea of Xen's time late
 * by these, and a sleep end as much too early, never too late: the main loop
 * sleeps again. */
#include "fdt.h"
#include "xen-hvm.h"

#include <xen/vcpu.h>

enum { SECOND = 1000000000 };

static struct vcpu_runstate_info runstate;

/* What arm64-start.S calls. */
void arm64_main(const uint8_t *device_tree) __attribute__((noreturn));

static uint64_t counter(void)
{
    uint64_t ticks, rate;

    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(rate));
    return ticks / rate * SECOND + ticks % rate * SECOND / rate;
}

uint64_t xen_time(void)
{
    static uint64_t offset;     /* the largest seen is the nearest to the truth */
    uint64_t entered = *(volatile uint64_t *)&runstate.state_entry_time, now = counter();

    if (entered > now && entered - now > offset)
        offset = entered - now;
    return now + offset;
}

static void watch_runstate(void)
{
    struct vcpu_register_runstate_memory_area call = { .addr.v = &runstate };

    xen_hypercall(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, (uintptr_t)&call);
}

void arm64_main(const uint8_t *device_tree)
{
    struct fdt_chosen chosen;

    fdt_read_chosen(device_tree, &chosen);
    watch_runstate();
    xen_hvm_start(chosen.cmdline);
}
