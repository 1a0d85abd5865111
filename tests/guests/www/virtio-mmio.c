/* virtio over memory-mapped registers, version 1 (legacy) and 2 (virtio 1.0). */
#include "virtio.h"

enum {
    MAGIC = 0x00, VERSION = 0x04, DEVICE = 0x08,
    DEVICE_FEATURES = 0x10, DEVICE_FEATURES_WORD = 0x14,
    DRIVER_FEATURES = 0x20, DRIVER_FEATURES_WORD = 0x24,
    GUEST_PAGE_SIZE = 0x28,                                 /* version 1 */
    QUEUE_SELECT = 0x30, QUEUE_MAX = 0x34, QUEUE_SIZE = 0x38,
    QUEUE_ALIGN = 0x3c, QUEUE_PAGE = 0x40,                  /* version 1 */
    QUEUE_READY = 0x44,                                     /* version 2 */
    QUEUE_NOTIFY = 0x50,
    INTERRUPT_STATUS = 0x60, INTERRUPT_ACK = 0x64,
    STATUS = 0x70,
    QUEUE_DESCRIPTORS = 0x80, QUEUE_AVAILABLE = 0x90, QUEUE_USED = 0xa0,
    CONFIG = 0x100,

    MAGIC_VALUE = 0x74726976,
};

static volatile uint32_t *registers;

static uint32_t get(unsigned offset)
{
    return registers[offset / 4];
}

static void set(unsigned offset, uint32_t value)
{
    registers[offset / 4] = value;
}

static void set_address(unsigned offset, uintptr_t address)
{
    set(offset, (uint32_t)address);
    set(offset + 4, (uint32_t)((uint64_t)address >> 32));
}

static uint32_t mmio_features(unsigned word)
{
    set(DEVICE_FEATURES_WORD, word);
    return get(DEVICE_FEATURES);
}

static void mmio_accept(unsigned word, uint32_t features)
{
    set(DRIVER_FEATURES_WORD, word);
    set(DRIVER_FEATURES, features);
}

static uint8_t mmio_status(void)
{
    return (uint8_t)get(STATUS);
}

static void mmio_set_status(uint8_t status)
{
    set(STATUS, status);
}

static uint16_t mmio_queue_size(unsigned queue)
{
    uint32_t size;

    set(QUEUE_SELECT, queue);
    size = get(QUEUE_MAX);
    return (uint16_t)(size < VIRTIO_QUEUE_MAX ? size : VIRTIO_QUEUE_MAX);
}

static void legacy_queue_enable(uint16_t size, const struct virtio_ring_address *ring)
{
    set(GUEST_PAGE_SIZE, VIRTIO_PAGE);
    set(QUEUE_SIZE, size);
    set(QUEUE_ALIGN, VIRTIO_PAGE);
    set(QUEUE_PAGE, (uint32_t)(ring->descriptors / VIRTIO_PAGE));
}

static void modern_queue_enable(uint16_t size, const struct virtio_ring_address *ring)
{
    set(QUEUE_SIZE, size);
    set_address(QUEUE_DESCRIPTORS, ring->descriptors);
    set_address(QUEUE_AVAILABLE, ring->available);
    set_address(QUEUE_USED, ring->used);
    set(QUEUE_READY, 1);
}

static void mmio_notify(unsigned queue)
{
    set(QUEUE_NOTIFY, queue);
}

static void mmio_acknowledge(void)
{
    set(INTERRUPT_ACK, get(INTERRUPT_STATUS));
}

static uint8_t mmio_config(unsigned offset)
{
    return ((volatile uint8_t *)registers)[CONFIG + offset];
}

#define COMMON_CALLS                                                \
    .features = mmio_features, .accept = mmio_accept,               \
    .status = mmio_status, .set_status = mmio_set_status,           \
    .queue_size = mmio_queue_size, .notify = mmio_notify,           \
    .acknowledge = mmio_acknowledge, .config = mmio_config

static const struct virtio_transport legacy = {
    COMMON_CALLS, .modern = false, .queue_enable = legacy_queue_enable,
};
static const struct virtio_transport modern = {
    COMMON_CALLS, .modern = true, .queue_enable = modern_queue_enable,
};

uintptr_t virtio_mmio_select(uintptr_t base)
{
    uintptr_t before = (uintptr_t)registers;

    registers = (volatile uint32_t *)base;
    return before;
}

const struct virtio_transport *virtio_mmio_device(uintptr_t base, uint32_t id)
{
    virtio_mmio_select(base);
    if (get(MAGIC) != MAGIC_VALUE || get(DEVICE) != id)
        return NULL;
    return get(VERSION) == 1 ? &legacy : &modern;
}
