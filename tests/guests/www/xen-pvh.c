/* A guest in Xen's PVH mode: a machine with memory, a processor and the
 * hypervisor, and nothing else.  32 bits, without paging: addresses are what Xen
 * knows them as.
 *
 * Pages of the host take the place of pages of ours, which are given back. */
#include "lib.h"
#include "xen-machine.h"

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

enum {
    PAGE_BITS = 12,
    CPUID_XEN = 0x40000000,
};

static uint8_t shared_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t grant_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
char xen_hypercall_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

/* What x86-start.S calls. */
void x86_main(const uint32_t *start_info) __attribute__((noreturn));

xen_pfn_t xen_frame(const void *page)
{
    return (uintptr_t)page >> PAGE_BITS;
}

/* The hypervisor tells which register of the processor takes the page's address. */
static void fill_hypercall_page(void)
{
    uint32_t pages = CPUID_XEN + 2, msr, ecx = 0, edx;

    __asm__ volatile("cpuid" : "+a"(pages), "=b"(msr), "+c"(ecx), "=d"(edx));
    __asm__ volatile("wrmsr" : : "a"(xen_hypercall_page), "d"(0), "c"(msr) : "memory");
}

static void put_page(void *page, unsigned space)
{
    struct xen_add_to_physmap call = { .domid = DOMID_SELF, .space = space, .gpfn = xen_frame(page) };

    xen_hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)&call, 0);
}

static uint32_t parameter(uint32_t index)
{
    struct xen_hvm_param call = { .domid = DOMID_SELF, .index = index };

    xen_hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&call, 0);
    return (uint32_t)call.value;
}

void x86_main(const uint32_t *start_info)
{
    struct xen_machine machine = { .shared = (void *)shared_page, .grants = (void *)grant_page };

    fill_hypercall_page();
    put_page(shared_page, XENMAPSPACE_shared_info);
    put_page(grant_page, XENMAPSPACE_grant_table);
    machine.console = (void *)(parameter(HVM_PARAM_CONSOLE_PFN) << PAGE_BITS);
    machine.console_port = parameter(HVM_PARAM_CONSOLE_EVTCHN);
    machine.store = (void *)(parameter(HVM_PARAM_STORE_PFN) << PAGE_BITS);
    machine.store_port = parameter(HVM_PARAM_STORE_EVTCHN);
    xen_main(&machine, start_info[6] ? (const char *)start_info[6] : "");
}
