/* PCI configuration space, through the ports every PC has (microvm has none:
 * there, everything reads as all ones). */
#ifndef GUEST_X86_PCI_H
#define GUEST_X86_PCI_H

#include "x86-io.h"

enum {
    PCI_ID = 0x00, PCI_COMMAND = 0x04, PCI_HEADER_TYPE = 0x0e, PCI_BAR = 0x10,
    PCI_SECONDARY_BUS = 0x19, PCI_CAPABILITIES = 0x34, PCI_INTERRUPT_LINE = 0x3c,

    PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4,
};

/* A function's address: bus, device and function as configuration cycles have
 * them, bits 8 and up. */
typedef uint32_t pci_function;

static inline pci_function pci_at(unsigned bus, unsigned device, unsigned function)
{
    return 0x80000000u | bus << 16 | device << 11 | function << 8;
}

static inline uint32_t pci_get32(pci_function at, unsigned offset)
{
    out32(0xcf8, at | (offset & 0xfc));
    return in32(0xcfc);
}

static inline uint8_t pci_get8(pci_function at, unsigned offset)
{
    return (uint8_t)(pci_get32(at, offset) >> (offset & 3) * 8);
}

static inline void pci_set32(pci_function at, unsigned offset, uint32_t value)
{
    out32(0xcf8, at | (offset & 0xfc));
    out32(0xcfc, value);
}

#endif
