/* A paravirtual guest, 64 bits: virtual memory begins at 0, where the notes in
 * xen-pv-start.S put it, and pages of the host are mapped by asking for it.
 *
 * The guest's own pages are known to Xen by where they lie in the host's
 * memory, which a table of start_info tells. */
#include "xen-machine.h"

enum {
    PAGE_BITS = 12,
    PAGE_PRESENT = 1, PAGE_WRITABLE = 2, PAGE_USER = 4, PAGE_ACCESSED = 0x20, PAGE_DIRTY = 0x40,
    PAGE_FLAGS = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY,
};

/* Where the pages of the host are mapped, in place of these. */
static uint8_t shared_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t grant_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

static const unsigned long *frames;     /* of the host, by our own page number */

/* What xen-pv-start.S calls. */
void xen_pv_main(const struct start_info *start) __attribute__((noreturn));

xen_pfn_t xen_frame(const void *page)
{
    return frames[(uintptr_t)page >> PAGE_BITS];
}

static void map(void *page, uint64_t frame)
{
    xen_hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)page, frame << PAGE_BITS | PAGE_FLAGS, UVMF_INVLPG);
}

/* Where one of our own pages is that we are told the host's number of. */
static void *own_page(uint64_t frame)
{
    return (void *)(machine_to_phys_mapping[frame] << PAGE_BITS);
}

static grant_entry_v1_t *map_grants(void)
{
    xen_pfn_t frame = 0;
    struct gnttab_setup_table call = { .dom = DOMID_SELF, .nr_frames = 1 };

    set_xen_guest_handle(call.frame_list, &frame);
    xen_hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, (uintptr_t)&call, 1);
    map(grant_page, frame);
    return (void *)grant_page;
}

void xen_pv_main(const struct start_info *start)
{
    struct xen_machine machine = {
        .shared = (void *)shared_page,
        .console = own_page(start->console.domU.mfn),
        .console_port = start->console.domU.evtchn,
        .store = own_page(start->store_mfn),
        .store_port = start->store_evtchn,
    };

    frames = (const unsigned long *)start->mfn_list;
    map(shared_page, start->shared_info >> PAGE_BITS);
    machine.grants = map_grants();
    xen_main(&machine, (const char *)start->cmd_line);
}
