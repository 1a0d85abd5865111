/* What PVH guests of x86 and all guests of arm64 share: addresses are what Xen
 * knows them as, and pages of the host take the place of pages of ours, which
 * are given back. */
#include "xen-hvm.h"

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

enum { PAGE_BITS = 12 };

static uint8_t shared_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t grant_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

xen_pfn_t xen_frame(const void *page)
{
    return (uintptr_t)page >> PAGE_BITS;
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

static void *parameter_page(uint32_t index)
{
    return (void *)((uintptr_t)parameter(index) << PAGE_BITS);
}

static XENSTORE_RING_IDX asked;  /* how much, when the guest was suspended */

uintptr_t xen_leave(void)
{
    asked = xen.store->req_prod;
    return 0;
}

static void attach(struct xen_machine *machine)
{
    put_page(shared_page, XENMAPSPACE_shared_info);
    put_page(grant_page, XENMAPSPACE_grant_table);
    machine->console = parameter_page(HVM_PARAM_CONSOLE_PFN);
    machine->console_port = parameter(HVM_PARAM_CONSOLE_EVTCHN);
    machine->store = parameter_page(HVM_PARAM_STORE_PFN);
    machine->store_port = parameter(HVM_PARAM_STORE_EVTCHN);
}

/* Only guests that take interrupts are told by the result where they are.  But
 * XenStore's page lies where it did, and is blank in another domain. */
bool xen_return(struct xen_machine *machine, long result)
{
    (void)result;
    if (*(volatile XENSTORE_RING_IDX *)&machine->store->req_prod == asked)
        return false;
    attach(machine);
    return true;
}

void xen_hvm_start(const char *cmdline)
{
    struct xen_machine machine = { .shared = (void *)shared_page, .grants = (void *)grant_page };

    attach(&machine);
    xen_main(&machine, cmdline);
}
