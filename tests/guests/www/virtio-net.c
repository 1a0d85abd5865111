/* The network card: two rings, copied buffers, no offloads.
 *
 * Every receive buffer belongs to the card except while netdev_poll() shows it
 * to its callback.  A transmit buffer is the card's from netdev_send() until
 * the card counts it as used; since the card may use them in any order only in
 * theory (QEMU keeps the order), buffers are reused round robin.
 *
 * The frame starts at the same place of every buffer, chosen so that the IP
 * header is aligned, and the virtio header, which is 10 or 12 bytes long,
 * grows backwards from there.
 *
 * No checksum or segmentation offload is taken.  The checks the guest makes
 * itself are part of what it is for: a packet rewritten wrongly on its way
 * is dropped here as it would be on a real network. */
#include "lib.h"
#include "virtio.h"
#include "virtio-ring.h"

enum {
    RECEIVE, TRANSMIT, QUEUES,

    BUFFERS = 128,              /* per ring, if the ring is that large */
    BUFFER_SIZE = 2048,
    FRAME_AT = 18,

    FEATURE_MAC = 1 << 5,
    FEATURE_ANY_LAYOUT = 1 << 27,
};

struct queue {
    uint16_t size;              /* entries, a power of two */
    uint16_t buffers;           /* how many of them we use */
    uint16_t seen;              /* used entries dealt with */
    bool dirty;                 /* the card has not been told of the latest */
    struct descriptor *descriptors;
    struct available *available;
    struct used *used;
};

/* Descriptors, available ring, page boundary, used ring: the legacy layout. */
enum {
    AVAILABLE_AT = 16 * VIRTIO_QUEUE_MAX,
    RING_BYTES = AVAILABLE_AT + 3 * VIRTIO_PAGE + 8 * VIRTIO_QUEUE_MAX,
};

static uint8_t ring_memory[QUEUES][RING_BYTES] __attribute__((aligned(VIRTIO_PAGE)));
static uint8_t buffers[QUEUES][BUFFERS][BUFFER_SIZE] __attribute__((aligned(64)));
static struct queue queues[QUEUES];
static const struct virtio_transport *card;
static unsigned header_length;


static bool queue_start(unsigned number)
{
    struct queue *queue = &queues[number];
    struct virtio_ring_address ring;
    uint16_t size = card->queue_size(number);

    if (!size || size > VIRTIO_QUEUE_MAX)
        return false;
    ring.descriptors = (uintptr_t)ring_memory[number];
    ring.available = ring.descriptors + 16u * size;
    ring.used = virtio_round_up(ring.available + 6 + 2u * size, VIRTIO_PAGE);
    queue->size = size;
    queue->buffers = size < BUFFERS ? size : BUFFERS;
    queue->descriptors = (void *)ring.descriptors;
    queue->available = (void *)ring.available;
    queue->used = (void *)ring.used;
    for (unsigned i = 0; i < queue->buffers; i++)
        queue->descriptors[i].address =
            (uintptr_t)buffers[number][i] + FRAME_AT - header_length;
    card->queue_enable(size, &ring);
    return true;
}

/* Lets the card have descriptor @id. */
static void queue_add(struct queue *queue, unsigned id)
{
    struct available *available = queue->available;

    available->entry[available->index % queue->size] = (uint16_t)id;
    virtio_barrier();
    available->index++;
    queue->dirty = true;
}

static void queue_notify(unsigned number)
{
    struct queue *queue = &queues[number];

    if (!queue->dirty)
        return;
    queue->dirty = false;
    virtio_barrier();
    if (!(queue->used->flags & USED_NO_NOTIFY))
        card->notify(number);
}

static bool negotiate(void)
{
    uint8_t status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;

    card->set_status(0);
    card->set_status(status);
    card->accept(0, card->features(0) & (FEATURE_MAC | FEATURE_ANY_LAYOUT));
    if (!card->modern)
        return true;
    card->accept(1, card->features(1) & VIRTIO_FEATURE_1_VERSION_1);
    card->set_status(status | VIRTIO_FEATURES_OK);
    return card->status() & VIRTIO_FEATURES_OK;
}

static void receive_start(void)
{
    struct queue *queue = &queues[RECEIVE];

    for (unsigned i = 0; i < queue->buffers; i++) {
        queue->descriptors[i].length = BUFFER_SIZE - FRAME_AT + header_length;
        queue->descriptors[i].flags = DESCRIPTOR_DEVICE_WRITES;
        queue_add(queue, i);
    }
}

bool netdev_start(const struct virtio_transport *transport)
{
    uint8_t mac[6];

    card = transport;
    header_length = card->modern ? 12 : 10;
    if (!negotiate() || !queue_start(RECEIVE) || !queue_start(TRANSMIT))
        return false;
    for (unsigned i = 0; i < sizeof mac; i++)
        mac[i] = card->config(i);
    netdev_choose_mac(mac);
    queues[TRANSMIT].available->flags = AVAILABLE_NO_INTERRUPT;
    receive_start();
    card->set_status(card->status() | VIRTIO_DRIVER_OK);
    queue_notify(RECEIVE);
    return true;
}

bool netdev_pending(void)
{
    return queues[RECEIVE].used->index != queues[RECEIVE].seen;
}

void netdev_poll(void (*input)(const uint8_t *frame, size_t length))
{
    struct queue *queue = &queues[RECEIVE];

    for (unsigned budget = queue->buffers; budget && netdev_pending(); budget--) {
        unsigned at = queue->seen++ % queue->size;
        uint32_t id, length;

        virtio_barrier();
        id = queue->used->entry[at].id;
        length = queue->used->entry[at].length;
        if (id >= queue->buffers)
            continue;
        if (length > header_length && !netdev_lose())
            input(buffers[RECEIVE][id] + FRAME_AT, length - header_length);
        queue_add(queue, id);
    }
    queue_notify(RECEIVE);
}

static bool transmit_full(void)
{
    const struct queue *queue = &queues[TRANSMIT];
    uint16_t waiting = queue->available->index - queue->used->index;

    return waiting >= queue->buffers;
}

uint8_t *netdev_frame(void)
{
    const struct queue *queue = &queues[TRANSMIT];

    if (transmit_full())
        netdev_flush();
    while (transmit_full())
        ;
    return buffers[TRANSMIT][queue->available->index % queue->buffers] + FRAME_AT;
}

void netdev_send(size_t length)
{
    struct queue *queue = &queues[TRANSMIT];
    unsigned id = queue->available->index % queue->buffers;

    if (netdev_lose())
        return;
    memset(buffers[TRANSMIT][id] + FRAME_AT - header_length, 0, header_length);
    queue->descriptors[id].length = (uint32_t)length + header_length;
    queue_add(queue, id);
}

void netdev_flush(void)
{
    queue_notify(TRANSMIT);
}

void netdev_interrupt(void)
{
    if (card)
        card->acknowledge();
}
