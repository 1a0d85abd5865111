/* The rings of virtio, as the device sees them. */
#ifndef GUEST_VIRTIO_RING_H
#define GUEST_VIRTIO_RING_H

#include <stdint.h>

enum {
    VIRTIO_ACKNOWLEDGE = 1, VIRTIO_DRIVER = 2, VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,

    VIRTIO_FEATURE_1_VERSION_1 = 1 << 0,    /* in feature word 1 */

    DESCRIPTOR_DEVICE_WRITES = 2,
    AVAILABLE_NO_INTERRUPT = 1,
    USED_NO_NOTIFY = 1,
};

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct available {
    uint16_t flags, index;
    uint16_t entry[];
};

struct used {
    volatile uint16_t flags, index;
    struct {
        uint32_t id, length;
    } entry[];
};

static inline uintptr_t virtio_round_up(uintptr_t value, uintptr_t to)
{
    return (value + to - 1) & ~(to - 1);
}

static inline void virtio_barrier(void)
{
    __sync_synchronize();
}

#endif
