/* A paravirtual guest, 64 bits: virtual memory begins at 0, where the notes in
 * xen-pv-start.S put it, and pages of the host are mapped by asking for it.
 *
 * The guest's own pages are known to Xen by where they lie in the host's
 * memory, which a table of start_info tells.
 *
 * A guest that is saved has that table known to whoever saves it, maps nothing
 * of the host's, and has its own numbers in start_info where there are the
 * host's: so all that it names can be found in other memory. */
#include "xen-machine.h"

enum {
    PAGE_BITS = 12,
    PAGE_PRESENT = 1, PAGE_WRITABLE = 2, PAGE_USER = 4, PAGE_ACCESSED = 0x20, PAGE_DIRTY = 0x40,
    ENTRIES = XEN_PAGE / sizeof(uint64_t),
    PAGE_FLAGS = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY,
};

/* Where the pages of the host are mapped, in place of these. */
static uint8_t shared_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t grant_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

static const unsigned long *frames;     /* of the host, by our own page number */
static struct start_info *info;
static uint64_t frames_pages[ENTRIES] __attribute__((aligned(XEN_PAGE)));       /* the host's numbers of the table's pages */
static uint64_t frames_pages_page[ENTRIES] __attribute__((aligned(XEN_PAGE)));  /* that of frames_pages */

/* What xen-pv-start.S calls. */
void xen_pv_main(struct start_info *start) __attribute__((noreturn));

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

static void publish_frames(struct shared_info *shared)
{
    uint64_t count = (info->nr_pages + ENTRIES - 1) / ENTRIES;

    for (uint64_t i = 0; i < count && i < ENTRIES; i++)
        frames_pages[i] = xen_frame((const char *)frames + i * XEN_PAGE);
    frames_pages_page[0] = xen_frame(frames_pages);
    shared->arch.max_pfn = info->nr_pages;
    shared->arch.pfn_to_mfn_frame_list_list = xen_frame(frames_pages_page);
}

static void attach(struct xen_machine *machine)
{
    map(shared_page, info->shared_info >> PAGE_BITS);
    machine->shared = (void *)shared_page;
    machine->grants = map_grants();
    machine->console = own_page(info->console.domU.mfn);
    machine->console_port = info->console.domU.evtchn;
    machine->store = own_page(info->store_mfn);
    machine->store_port = info->store_evtchn;
    publish_frames(machine->shared);
}

static void unmap(void *page)
{
    xen_hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)page, 0, UVMF_INVLPG);
}

uintptr_t xen_leave(void)
{
    info->store_mfn = machine_to_phys_mapping[info->store_mfn];
    info->console.domU.mfn = machine_to_phys_mapping[info->console.domU.mfn];
    unmap(shared_page);
    unmap(grant_page);
    return xen_frame(info);
}

/* In another domain start_info has been filled in anew. */
bool xen_return(struct xen_machine *machine, long result)
{
    if (result) {
        info->store_mfn = frames[info->store_mfn];
        info->console.domU.mfn = frames[info->console.domU.mfn];
    }
    attach(machine);
    return result == 0;
}

void xen_pv_main(struct start_info *start)
{
    struct xen_machine machine = { 0 };

    info = start;
    frames = (const unsigned long *)start->mfn_list;
    attach(&machine);
    xen_main(&machine, (const char *)start->cmd_line);
}
