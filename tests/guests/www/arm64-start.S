/* Where QEMU and Xen enter a Linux Image: EL1, MMU and interrupts off, x0 points at
 * the device tree (which is why there is an Image header at all).
 *
 * The MMU is switched on before memory is written for the first time: without
 * it every access is uncached, which is slow, must be aligned, and under KVM
 * may not see what QEMU wrote. */
        .section .head, "ax"
        .globl  _start
_start: b       start
        .long   0
        .quad   0x80000                 /* where to load, from the start of RAM */
        .quad   image_size
        .quad   0, 0, 0, 0
        .ascii  "ARM\x64"
        .long   0

start:  ldr     x1, =memory_attributes
        msr     mair_el1, x1
        ldr     x1, =translation
        msr     tcr_el1, x1
        adr     x1, table
        msr     ttbr0_el1, x1
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        mrs     x1, sctlr_el1
        mov     x2, #0x1005             /* MMU, data cache, instruction cache */
        orr     x1, x1, x2
        msr     sctlr_el1, x1
        isb
        ldr     x1, =stack_top
        mov     sp, x1
        mov     x29, #0
        mov     x30, #0
        bl      arm64_main

        /* attribute 0: device memory; attribute 1: write-back */
        .equ    memory_attributes, 0xff00
        /* 39 bits of address, 4 KB granule, cacheable table walks, 36 bits of
         * physical address, no second table */
        .equ    translation, 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 32
        .ltorg

        /* Virtual is physical, in blocks of 1 GB: devices, then RAM.  Where Xen
         * has devices it also has pages that it shares, and only these are used. */
        .equ    block, 1 | 1 << 10      /* accessed */
        .equ    device, block | 3 << 53 /* never executed */
        .equ    ram, block | 1 << 2 | 3 << 8
        .align  12
#ifdef XEN_GUEST
table:  .quad   ram
#else
table:  .quad   device
#endif
        .quad   0x40000000 | ram
        .quad   0x80000000 | ram
        .quad   0xc0000000 | ram
        .skip   4096 - 4 * 8

        .bss
        .align  4
        .skip   16384
stack_top:
        .section .note.GNU-stack, "", %progbits
