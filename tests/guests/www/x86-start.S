/* Where QEMU and Xen enter a PVH kernel: 32-bit protected mode, no paging, interrupts
 * off, no stack; ebx points at struct hvm_start_info. */
        .section .note.pvh, "a", @note
        .long   4, 4, 18                /* name, descriptor, PHYS32_ENTRY */
        .asciz  "Xen"
        .long   _start

        .text
        .globl  _start
_start: cli
        cld
        mov     $stack_top, %esp
        lgdt    gdt_register
        ljmp    $8, $flat
flat:   mov     $16, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        xor     %ebp, %ebp
        push    %ebx
        call    x86_main

        .section .rodata
        .align  8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 8: all memory, code */
        .quad   0x00cf93000000ffff      /* 16: all memory, data */
gdt_register:
        .word   23
        .long   gdt

        .bss
        .align  16
        .skip   16384
stack_top:
        .section .note.GNU-stack, "", @progbits
