/* virtio: how to reach a device, and the one network card driven through it.
 *
 * A transport (virtio-mmio.c, virtio-pci.c) hides where the registers are and
 * how wide; virtio-net.c knows the rings and the frames.  There is one card. */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "netdev.h"

enum {
    VIRTIO_QUEUE_MAX = 1024,    /* entries; what the largest QEMU ring has */
    VIRTIO_PAGE = 4096,         /* ring alignment that legacy devices assume */
};

struct virtio_ring_address {
    uintptr_t descriptors;      /* page aligned; the other two follow from it */
    uintptr_t available;
    uintptr_t used;
};

struct virtio_transport {
    bool modern;                /* virtio 1.0: feature word 1, 12-byte header */
    uint32_t (*features)(unsigned word);
    void (*accept)(unsigned word, uint32_t features);
    uint8_t (*status)(void);
    void (*set_status)(uint8_t status);
    /* Selects a queue; returns its size, 0: there is none of that number. */
    uint16_t (*queue_size)(unsigned queue);
    /* Both act on the queue last selected. */
    void (*queue_enable)(uint16_t size, const struct virtio_ring_address *ring);
    void (*notify)(unsigned queue);
    void (*acknowledge)(void);  /* lower the interrupt line */
    uint8_t (*config)(unsigned offset);
};

enum { VIRTIO_ID_NET = 1, VIRTIO_ID_SERIAL = 3 };

/**
 * virtio_mmio_device() - The transport for a device of kind @id at @base, or NULL
 *
 * All its calls go to the device last selected, which is this one.
 */
const struct virtio_transport *virtio_mmio_device(uintptr_t base, uint32_t id);
/** virtio_mmio_select() - Select the device at @base; returns the one before */
uintptr_t virtio_mmio_select(uintptr_t base);

/** virtio_talk_find() - Look for a virtio-serial device in @count slots from @slots on */
void virtio_talk_find(uintptr_t slots, size_t slot_size, unsigned count);
/** virtio_talk() - platform_say() of machines with virtio-mmio */
bool virtio_talk(const char *words);
/** virtio_talk_wake() - When virtio_talk() wants to be asked again, or NEVER */
uint64_t virtio_talk_wake(void);

/**
 * virtio_pci_net() - Look for a network card on every PCI bus
 * @line: set to the interrupt line the firmware gave it
 *
 * Returns NULL when there is none, or no PCI at all.
 */
const struct virtio_transport *virtio_pci_net(unsigned *line);

/** netdev_start() - Negotiate, set the rings up, switch the card on */
bool netdev_start(const struct virtio_transport *transport);

/** netdev_interrupt() - Acknowledge the card's interrupt */
void netdev_interrupt(void);

#endif
