/* What the guest says to jitsu (docs/guest-messages.md), over a virtio-serial
 * port named "org.jitsu.guest.0", where the machine has virtio-mmio.
 *
 * A virtio-serial device has many ports, each with two rings, and two rings for
 * control messages.  The device tells its ports one after the other; ours is
 * known by its name.  Nothing may be sent before the host's side is open:
 * QEMU throws away what it cannot pass on.
 *
 * There is no interrupt: whoever wants to say something polls. */
#include "lib.h"
#include "platform.h"
#include "virtio.h"
#include "virtio-ring.h"

enum {
    CONTROL_IN = 2, CONTROL_OUT = 3,        /* rings; those of port N > 0 follow */
    RINGS = 3,                              /* that we use: these two, and ours */

    FEATURE_MULTIPORT = 1 << 1,

    DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7,

    BUFFERS = 8, BUFFER_SIZE = 128, ENTRIES_MAX = 128,
    SETTLE = 300000, STEP = 1000,           /* microseconds */
};

struct ring {
    unsigned number;
    uint16_t size, seen;
    struct descriptor *descriptors;
    struct available *available;
    struct used *used;
    uint8_t (*buffers)[BUFFER_SIZE];
};

struct control {
    uint32_t id;
    uint16_t event, value;
};

static uint8_t ring_memory[RINGS][3 * VIRTIO_PAGE] __attribute__((aligned(VIRTIO_PAGE)));
static uint8_t buffers[RINGS][BUFFERS][BUFFER_SIZE] __attribute__((aligned(8)));
static struct ring control_in = { .number = CONTROL_IN }, control_out = { .number = CONTROL_OUT }, out;
static const struct virtio_transport *device;
static uintptr_t device_base;
static uint32_t port;           /* ours; 0: not found yet */
static bool host_open;
static uint64_t settled_at;

static bool ring_start(struct ring *ring, unsigned memory)
{
    struct virtio_ring_address address;
    uint16_t size = device->queue_size(ring->number);

    if (!size)
        return false;
    size = size < ENTRIES_MAX ? size : ENTRIES_MAX;
    address.descriptors = (uintptr_t)ring_memory[memory];
    address.available = address.descriptors + 16u * size;
    address.used = virtio_round_up(address.available + 6 + 2u * size, VIRTIO_PAGE);
    ring->size = size;
    ring->descriptors = (void *)address.descriptors;
    ring->available = (void *)address.available;
    ring->used = (void *)address.used;
    ring->buffers = buffers[memory];
    ring->available->flags = AVAILABLE_NO_INTERRUPT;
    for (unsigned i = 0; i < BUFFERS; i++)
        ring->descriptors[i].address = (uintptr_t)ring->buffers[i];
    device->queue_enable(size, &address);
    return true;
}

static void ring_add(struct ring *ring, unsigned id, uint32_t length, uint16_t flags)
{
    struct available *available = ring->available;

    ring->descriptors[id].length = length;
    ring->descriptors[id].flags = flags;
    available->entry[available->index % ring->size] = (uint16_t)id;
    virtio_barrier();
    available->index++;
    virtio_barrier();
}

/* What is sent goes through the buffers in turn.  False when all are on their way. */
static bool ring_send(struct ring *ring, const void *data, size_t length)
{
    uint16_t waiting = (uint16_t)(ring->available->index - ring->used->index);
    unsigned id = ring->available->index % BUFFERS;

    if (waiting >= BUFFERS)
        return false;
    length = length < BUFFER_SIZE ? length : BUFFER_SIZE;
    memcpy(ring->buffers[id], data, length);
    ring_add(ring, id, (uint32_t)length, 0);
    device->notify(ring->number);
    return true;
}

static void send_control(uint32_t id, uint16_t event)
{
    struct control message = { id, event, 1 };

    ring_send(&control_out, &message, sizeof message);
}

/* The port's own ring can be set up only now: which it is follows from its number. */
static void found_port(uint32_t id)
{
    out.number = 2 * (id + 1) + 1;
    if (port || !id || !ring_start(&out, 2))
        return;
    port = id;
    send_control(id, PORT_OPEN);
}

static void hear_control(const struct control *message, const char *name)
{
    switch (message->event) {
    case PORT_ADD:
        send_control(message->id, PORT_READY);
        break;
    case PORT_NAME:
        if (text_starts(name, "org.jitsu.guest.0"))
            found_port(message->id);
        break;
    case PORT_OPEN:
        if (message->id == port || !port)
            host_open = message->value;
        break;
    }
}

static void poll(void)
{
    while (control_in.used->index != control_in.seen) {
        unsigned at = control_in.seen++ % control_in.size;
        uint32_t id, length;

        virtio_barrier();
        id = control_in.used->entry[at].id;
        length = control_in.used->entry[at].length;
        if (id >= BUFFERS)
            continue;
        if (length >= sizeof(struct control) && length < BUFFER_SIZE) {
            const uint8_t *bytes = control_in.buffers[id];

            control_in.buffers[id][length] = '\0';
            hear_control((const void *)bytes, (const char *)bytes + sizeof(struct control));
        }
        ring_add(&control_in, id, BUFFER_SIZE, DESCRIPTOR_DEVICE_WRITES);
        device->notify(CONTROL_IN);
    }
}

static bool negotiate(void)
{
    uint8_t status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;

    device->set_status(0);
    device->set_status(status);
    if (!(device->features(0) & FEATURE_MULTIPORT))
        return false;
    device->accept(0, FEATURE_MULTIPORT);
    if (!device->modern)
        return true;
    device->accept(1, device->features(1) & VIRTIO_FEATURE_1_VERSION_1);
    device->set_status(status | VIRTIO_FEATURES_OK);
    return device->status() & VIRTIO_FEATURES_OK;
}

static bool start(uintptr_t base)
{
    bool ok;

    device = virtio_mmio_device(base, VIRTIO_ID_SERIAL);
    ok = device && negotiate() && ring_start(&control_in, 0) && ring_start(&control_out, 1);
    if (ok) {
        for (unsigned i = 0; i < BUFFERS; i++)
            ring_add(&control_in, i, BUFFER_SIZE, DESCRIPTOR_DEVICE_WRITES);
        device->set_status(device->status() | VIRTIO_DRIVER_OK);
        device->notify(CONTROL_IN);
        send_control(UINT32_MAX, DEVICE_READY);
        device_base = base;
        settled_at = platform_now() + SETTLE;
    }
    return ok;
}

void virtio_talk_find(uintptr_t slots, size_t slot_size, unsigned count)
{
    uintptr_t before = virtio_mmio_select(slots);

    for (unsigned slot = 0; slot < count; slot++)
        if (start(slots + slot * slot_size))
            break;
    virtio_mmio_select(before);
}

bool virtio_talk(const char *words)
{
    uintptr_t before;
    bool sent = false;

    if (!device_base)
        return false;
    before = virtio_mmio_select(device_base);
    poll();
    if (port && host_open && words[0])
        sent = ring_send(&out, words, text_length(words));
    virtio_mmio_select(before);
    return sent;
}

uint64_t virtio_talk_wake(void)
{
    uint64_t now = platform_now();

    return device_base && !host_open && now < settled_at ? now + STEP : NEVER;
}
