/* A guest in Xen's PVH mode: a machine with memory, a processor and the
 * hypervisor, and nothing else.  32 bits, without paging. */
#include "xen-hvm.h"

enum { CPUID_XEN = 0x40000000 };

char xen_hypercall_page[XEN_PAGE] __attribute__((aligned(XEN_PAGE)));

/* What x86-start.S calls. */
void x86_main(const uint32_t *start_info) __attribute__((noreturn));

/* The hypervisor tells which register of the processor takes the page's address. */
static void fill_hypercall_page(void)
{
    uint32_t pages = CPUID_XEN + 2, msr, ecx = 0, edx;

    __asm__ volatile("cpuid" : "+a"(pages), "=b"(msr), "+c"(ecx), "=d"(edx));
    __asm__ volatile("wrmsr" : : "a"(xen_hypercall_page), "d"(0), "c"(msr) : "memory");
}

void x86_main(const uint32_t *start_info)
{
    fill_hypercall_page();
    xen_hvm_start(start_info[6] ? (const char *)start_info[6] : "");
}
