/* Where Xen enters a 64-bit paravirtual kernel: paging on, as the notes below
 * ask for; rsi points at struct start_info. */
#include <xen/elfnote.h>

        .macro  note type:req, value:vararg
        .align  4
        .long   4, 2f - 1f, \type
        .asciz  "Xen"
1:      \value
2:      .align  4
        .endm

        .section .note.xen, "a", @note
        note    XEN_ELFNOTE_GUEST_OS, .asciz "jitsu guest"
        note    XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
        note    XEN_ELFNOTE_VIRT_BASE, .quad 0
        note    XEN_ELFNOTE_PADDR_OFFSET, .quad 0
        note    XEN_ELFNOTE_ENTRY, .quad _start
        note    XEN_ELFNOTE_HYPERCALL_PAGE, .quad xen_hypercall_page
        note    XEN_ELFNOTE_PAE_MODE, .asciz "yes"
        note    XEN_ELFNOTE_LOADER, .asciz "generic"
        note    XEN_ELFNOTE_FEATURES, .asciz "!writable_page_tables|pae_pgdir_above_4gb"

        .text
        .globl  _start, xen_hypercall_page
_start: cld
        mov     $stack_top, %esp
        xor     %ebp, %ebp
        mov     %rsi, %rdi
        call    xen_pv_main
        .align  4096
xen_hypercall_page:
        .skip   4096

        .bss
        .align  16
        .skip   16384
stack_top:
        .section .note.GNU-stack, "", @progbits
