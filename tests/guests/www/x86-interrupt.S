/* Interrupts: all of them end in x86_interrupt(), but for spurious ones. */
        .text
        .globl  x86_interrupt_entry, x86_interrupt_spurious
x86_interrupt_entry:
        pusha
        cld
        call    x86_interrupt
        popa
x86_interrupt_spurious:
        iret
        .section .note.GNU-stack, "", @progbits
