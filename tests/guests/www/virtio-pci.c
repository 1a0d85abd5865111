/* virtio over PCI: legacy and transitional devices through their I/O ports,
 * modern ones (behind a PCI Express port they are always modern) through the
 * structures their capabilities point at.
 *
 * The firmware has given addresses and interrupt lines to everything. */
#include "lib.h"
#include "virtio.h"
#include "x86-pci.h"

enum {
    ID_TRANSITIONAL_NET = 0x10001af4,
    ID_MODERN_NET = 0x10411af4,

    /* legacy: offsets in the I/O BAR */
    IO_DEVICE_FEATURES = 0, IO_DRIVER_FEATURES = 4, IO_QUEUE_PAGE = 8,
    IO_QUEUE_SIZE = 12, IO_QUEUE_SELECT = 14, IO_QUEUE_NOTIFY = 16,
    IO_STATUS = 18, IO_ISR = 19, IO_CONFIG = 20,

    /* modern: the structures, as capabilities number them */
    CAPABILITY_VENDOR = 9,
    COMMON = 1, NOTIFY = 2, ISR = 3, CONFIG = 4, STRUCTURES = 5,
};

/* --- legacy --- */

static uint16_t ports;

static uint32_t io_features(unsigned word)
{
    return word ? 0 : in32(ports + IO_DEVICE_FEATURES);
}

static void io_accept(unsigned word, uint32_t features)
{
    if (!word)
        out32(ports + IO_DRIVER_FEATURES, features);
}

static uint8_t io_status(void)
{
    return in8(ports + IO_STATUS);
}

static void io_set_status(uint8_t status)
{
    out8(ports + IO_STATUS, status);
}

static uint16_t io_queue_size(unsigned queue)
{
    out16(ports + IO_QUEUE_SELECT, (uint16_t)queue);
    return in16(ports + IO_QUEUE_SIZE);
}

static void io_queue_enable(uint16_t size, const struct virtio_ring_address *ring)
{
    (void)size;                 /* the device's choice */
    out32(ports + IO_QUEUE_PAGE, (uint32_t)(ring->descriptors / VIRTIO_PAGE));
}

static void io_notify(unsigned queue)
{
    out16(ports + IO_QUEUE_NOTIFY, (uint16_t)queue);
}

static void io_acknowledge(void)
{
    in8(ports + IO_ISR);        /* reading clears */
}

static uint8_t io_config(unsigned offset)
{
    return in8((uint16_t)(ports + IO_CONFIG + offset));
}

static const struct virtio_transport legacy = {
    .modern = false, .features = io_features, .accept = io_accept,
    .status = io_status, .set_status = io_set_status,
    .queue_size = io_queue_size, .queue_enable = io_queue_enable,
    .notify = io_notify, .acknowledge = io_acknowledge, .config = io_config,
};

/* --- modern --- */

static volatile struct {
    uint32_t device_features_word, device_features;
    uint32_t driver_features_word, driver_features;
    uint16_t msix_config, queues;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_msix, queue_enable, queue_notify;
    uint32_t descriptors[2], available[2], used[2];
} *common;
static uintptr_t structures[STRUCTURES];
static uint32_t notify_multiplier;
static uint16_t notify_offset[2];

static uint32_t bar_features(unsigned word)
{
    common->device_features_word = word;
    return common->device_features;
}

static void bar_accept(unsigned word, uint32_t features)
{
    common->driver_features_word = word;
    common->driver_features = features;
}

static uint8_t bar_status(void)
{
    return common->status;
}

static void bar_set_status(uint8_t status)
{
    common->status = status;
}

static uint16_t bar_queue_size(unsigned queue)
{
    uint16_t size;

    common->queue_select = (uint16_t)queue;
    size = common->queue_size;
    notify_offset[queue % 2] = common->queue_notify;
    return size < VIRTIO_QUEUE_MAX ? size : VIRTIO_QUEUE_MAX;
}

static void set_address(volatile uint32_t *words, uintptr_t address)
{
    words[0] = (uint32_t)address;
    words[1] = 0;
}

static void bar_queue_enable(uint16_t size, const struct virtio_ring_address *ring)
{
    common->queue_size = size;
    set_address(common->descriptors, ring->descriptors);
    set_address(common->available, ring->available);
    set_address(common->used, ring->used);
    common->queue_enable = 1;
}

static void bar_notify(unsigned queue)
{
    uintptr_t at = structures[NOTIFY] + notify_offset[queue % 2] * notify_multiplier;

    *(volatile uint16_t *)at = (uint16_t)queue;
}

static void bar_acknowledge(void)
{
    *(volatile uint8_t *)structures[ISR];       /* reading clears */
}

static uint8_t bar_config(unsigned offset)
{
    return ((volatile uint8_t *)structures[CONFIG])[offset];
}

static const struct virtio_transport modern = {
    .modern = true, .features = bar_features, .accept = bar_accept,
    .status = bar_status, .set_status = bar_set_status,
    .queue_size = bar_queue_size, .queue_enable = bar_queue_enable,
    .notify = bar_notify, .acknowledge = bar_acknowledge, .config = bar_config,
};

/* Remembers where one capability points, unless that is above 4 GB. */
static void note_structure(pci_function at, unsigned capability)
{
    unsigned kind = pci_get8(at, capability + 3);
    unsigned bar = PCI_BAR + 4u * pci_get8(at, capability + 4);
    uint32_t base = pci_get32(at, bar);
    bool wide = (base & 6) == 4;

    if (kind >= STRUCTURES || base & 1 || (wide && pci_get32(at, bar + 4)))
        return;
    structures[kind] = (base & ~15u) + pci_get32(at, capability + 8);
    if (kind == NOTIFY)
        notify_multiplier = pci_get32(at, capability + 16);
}

static bool find_structures(pci_function at)
{
    unsigned capability = pci_get8(at, PCI_CAPABILITIES) & ~3u;

    for (unsigned hops = 0; capability && hops < 48; hops++) {
        if (pci_get8(at, capability) == CAPABILITY_VENDOR)
            note_structure(at, capability);
        capability = pci_get8(at, capability + 1) & ~3u;
    }
    common = (void *)structures[COMMON];
    return structures[COMMON] && structures[NOTIFY] && structures[ISR]
        && structures[CONFIG];
}

/* --- finding it --- */

static const struct virtio_transport *attach(pci_function at, unsigned *line)
{
    uint32_t id = pci_get32(at, PCI_ID), bar = pci_get32(at, PCI_BAR);

    if (id != ID_TRANSITIONAL_NET && id != ID_MODERN_NET)
        return NULL;
    *line = pci_get8(at, PCI_INTERRUPT_LINE);
    pci_set32(at, PCI_COMMAND, (pci_get32(at, PCI_COMMAND) & 0xffff)
              | PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    if (id == ID_TRANSITIONAL_NET && bar & 1) {
        ports = bar & 0xfffc;
        return &legacy;
    }
    return find_structures(at) ? &modern : NULL;
}

static const struct virtio_transport *search(unsigned bus, unsigned *line)
{
    const struct virtio_transport *found = NULL;

    for (unsigned slot = 0; slot < 32 * 8 && !found; slot++) {
        pci_function at = pci_at(bus, slot / 8, slot % 8);
        unsigned header, below;

        if (pci_get32(at, PCI_ID) == UINT32_MAX) {
            if (slot % 8 == 0)
                slot += 7;      /* no function 0: no device */
            continue;
        }
        header = pci_get8(at, PCI_HEADER_TYPE);
        below = pci_get8(at, PCI_SECONDARY_BUS);
        if ((header & 0x7f) == 0)
            found = attach(at, line);
        else if ((header & 0x7f) == 1 && below > bus)
            found = search(below, line);
        if (slot % 8 == 0 && !(header & 0x80))
            slot += 7;          /* one function only */
    }
    return found;
}

const struct virtio_transport *virtio_pci_net(unsigned *line)
{
    return search(0, line);
}
