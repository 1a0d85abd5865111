/* The network card of a Xen guest: netfront, two rings of granted pages.
 *
 * The backend (Linux's netback, in the host) has made its side of the card
 * before the guest runs.  So connecting is one message of a few keys, and
 * nobody is waited for: frames queued before the backend has taken notice go
 * out when it has.
 *
 * Receive: a page for each buffer, all of them the backend's but while
 * netdev_poll() shows one to its callback.  Transmit: two buffers to a page;
 * the backend may give them back in any order, because it hands on pages
 * without copying them, hence the list of free ones.
 *
 * No offloads, as with virtio (virtio-net.c says why). */
#include "lib.h"
#include "netdev.h"
#include "xen-machine.h"
#include "xenstore.h"

#include <xen/io/netif.h>
#include <xen/io/xenbus.h>

enum {
    RECEIVE_BUFFERS = 128,
    TRANSMIT_BUFFERS = 128,
    BUFFERS_PER_PAGE = 2,
    BUFFER_SIZE = XEN_PAGE / BUFFERS_PER_PAGE,
    FRAME_AT = 2,               /* aligns the IP header */
};

static uint8_t receive_pages[RECEIVE_BUFFERS][XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static uint8_t transmit_pages[TRANSMIT_BUFFERS][BUFFER_SIZE] __attribute__((aligned(XEN_PAGE)));
static uint8_t ring_pages[2][XEN_PAGE] __attribute__((aligned(XEN_PAGE)));
static grant_ref_t receive_grants[RECEIVE_BUFFERS];
static grant_ref_t transmit_grants[TRANSMIT_BUFFERS / BUFFERS_PER_PAGE];

static netif_rx_front_ring_t receive;
static netif_tx_front_ring_t transmit;
static uint16_t free_ids[TRANSMIT_BUFFERS];
static unsigned free_count;
static evtchn_port_t port;

/* --- connecting --- */

static void receive_give(uint16_t id)
{
    netif_rx_request_t *request = RING_GET_REQUEST(&receive, receive.req_prod_pvt);

    request->id = id;
    request->gref = receive_grants[id];
    receive.req_prod_pvt++;
}

/* Xen's macros mix signed and unsigned. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
static void rings_init(void)
{
    netif_rx_sring_t *receive_ring = (void *)ring_pages[0];
    netif_tx_sring_t *transmit_ring = (void *)ring_pages[1];

    XEN_FRONT_RING_INIT(&receive, receive_ring, XEN_PAGE);
    XEN_FRONT_RING_INIT(&transmit, transmit_ring, XEN_PAGE);
}
#pragma GCC diagnostic pop

static void rings_start(domid_t backend)
{
    rings_init();
    free_count = 0;
    for (uint16_t i = 0; i < RECEIVE_BUFFERS; i++) {
        receive_grants[i] = xen_grant(backend, receive_pages[i], 0);
        receive_give(i);
    }
    RING_PUSH_REQUESTS(&receive);
    for (unsigned i = 0; i < COUNT(transmit_grants); i++)
        transmit_grants[i] = xen_grant(backend, transmit_pages[BUFFERS_PER_PAGE * i], GTF_readonly);
    for (uint16_t i = 0; i < TRANSMIT_BUFFERS; i++)
        free_ids[free_count++] = i;
}

static void tell(const char *key, uint32_t value)
{
    char path[64], number[12];
    struct text at = { .start = path, .room = sizeof path };
    struct text text = { .start = number, .room = sizeof number };

    text_add(&at, "device/vif/0/");
    text_add(&at, key);
    text_add_number(&text, value, 10, 1);
    xenstore_write(path, number);
}

static void connect(domid_t backend)
{
    tell("rx-ring-ref", xen_grant(backend, ring_pages[0], 0));
    tell("tx-ring-ref", xen_grant(backend, ring_pages[1], 0));
    tell("event-channel", port);
    tell("request-rx-copy", 1);
    tell("feature-rx-notify", 1);
    tell("feature-no-csum-offload", 1);
    tell("state", XenbusStateConnected);
}

/* A backend that is still being made would miss that we are there. */
static void await_backend(const char *path)
{
    char state_path[96], state[4];
    struct text at = { .start = state_path, .room = sizeof state_path };

    text_add(&at, path);
    text_add(&at, "/state");
    if (xenstore_read(state_path, state, sizeof state) && state[0] >= '0' + XenbusStateInitWait)
        return;
    xenstore_watch(state_path, XENSTORE_BACKEND);
    do
        xenstore_wait(XENSTORE_BACKEND);
    while (!xenstore_read(state_path, state, sizeof state) || state[0] < '0' + XenbusStateInitWait);
}

static void read_mac(void)
{
    char value[24];
    const char *at = value;
    uint8_t mac[6] = { 0 };
    uint32_t byte;

    xenstore_read("device/vif/0/mac", value, sizeof value);
    for (unsigned i = 0; i < sizeof mac && text_number(&at, 16, &byte); i++) {
        mac[i] = (uint8_t)byte;
        if (*at == ':')
            at++;
    }
    netdev_choose_mac(mac);
}

evtchn_port_t xen_netfront_start(void)
{
    char backend_path[80];
    const char *number;
    uint32_t backend;

    if (!xenstore_read("device/vif/0/backend", backend_path, sizeof backend_path))
        return 0;
    number = text_starts(backend_path, "/local/domain/");
    if (!number || !text_number(&number, 10, &backend))
        return 0;
    read_mac();
    port = xen_port((domid_t)backend);
    rings_start((domid_t)backend);
    await_backend(backend_path);
    connect((domid_t)backend);
    return port;
}

/* --- frames --- */

bool netdev_pending(void)
{
    return *(volatile RING_IDX *)&receive.sring->rsp_prod != receive.rsp_cons;
}

static void receive_one(void (*input)(const uint8_t *frame, size_t length))
{
    netif_rx_response_t response;

    xen_rmb();
    RING_COPY_RESPONSE(&receive, receive.rsp_cons, &response);
    receive.rsp_cons++;
    if (response.id >= RECEIVE_BUFFERS)
        return;
    if (response.status > 0 && response.offset + response.status <= XEN_PAGE && !netdev_lose())
        input(receive_pages[response.id] + response.offset, (size_t)response.status);
    receive_give(response.id);
}

void netdev_poll(void (*input)(const uint8_t *frame, size_t length))
{
    RING_IDX more;
    int notify;

    for (unsigned budget = RECEIVE_BUFFERS; budget && netdev_pending(); budget--)
        receive_one(input);
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&receive, notify);
    if (notify)
        xen_notify(port);
    RING_FINAL_CHECK_FOR_RESPONSES(&receive, more);     /* and say that we want an event */
    (void)more;
}

static void collect_sent(void)
{
    while (transmit.rsp_cons != *(volatile RING_IDX *)&transmit.sring->rsp_prod) {
        uint16_t id;

        xen_rmb();
        id = RING_GET_RESPONSE(&transmit, transmit.rsp_cons)->id;
        transmit.rsp_cons++;
        if (id < TRANSMIT_BUFFERS && free_count < TRANSMIT_BUFFERS)
            free_ids[free_count++] = id;
    }
}

uint8_t *netdev_frame(void)
{
    collect_sent();
    if (!free_count)
        netdev_flush();
    while (!free_count) {
        xen_yield();
        collect_sent();
    }
    return transmit_pages[free_ids[free_count - 1]] + FRAME_AT;
}

void netdev_send(size_t length)
{
    netif_tx_request_t *request = RING_GET_REQUEST(&transmit, transmit.req_prod_pvt);
    uint16_t id = free_ids[free_count - 1];

    if (netdev_lose())
        return;
    free_count--;
    request->gref = transmit_grants[id / BUFFERS_PER_PAGE];
    request->offset = (uint16_t)(id % BUFFERS_PER_PAGE * BUFFER_SIZE + FRAME_AT);
    request->flags = 0;
    request->id = id;
    request->size = (uint16_t)length;
    transmit.req_prod_pvt++;
}

void netdev_flush(void)
{
    int notify;

    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&transmit, notify);
    if (notify)
        xen_notify(port);
}
