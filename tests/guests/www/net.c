/* Ethernet, ARP, IPv4, ICMP and UDP echo.
 *
 * No state but our own address: an answer goes to the station that the question
 * came from, which saves the guest from asking who has an address, and from
 * needing a gateway.  A host on another network is reached the same way, for
 * its packets come from the router.
 *
 * Fragments are dropped: no peer of a test needs them. */
#include "net.h"

#include "lib.h"
#include "netdev.h"
#include "options.h"
#include "tcp.h"

enum {
    ETHERNET_HEADER = 14, FRAME_MIN = 60,
    TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806,

    ARP_LENGTH = 28, ARP_REQUEST = 1, ARP_REPLY = 2,

    IPV4_HEADER = 20, IPV4_TTL = 64,
    IPV4_FRAGMENT = 0x3fff,     /* more to come, or not the first */
    IPV4_NO_FRAGMENT = 0x4000,
    PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17,

    ICMP_HEADER = 8, ICMP_ECHO = 8, ICMP_ECHO_REPLY = 0,

    UDP_HEADER = 8,

    TCP_FLAGS = 13, TCP_SYN = 2, TCP_ACK = 16,

    TYPE_IPV6 = 0x86dd, IPV6_HEADER = 40, IPV6_HOP_BY_HOP = 0, PROTOCOL_ICMP6 = 58,
    MLD_REPORT = 143, MLD_LENGTH = 28, MLD_TO_EXCLUDE = 4,
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* The frame begun: its address is asked for once per packet. */
static uint8_t *frame_begun;

static uint8_t *ethernet_begin(const uint8_t *to, unsigned type)
{
    frame_begun = netdev_frame();
    memcpy(frame_begun, to, 6);
    memcpy(frame_begun + 6, netdev_mac, 6);
    put16(frame_begun + 12, type);
    return frame_begun + ETHERNET_HEADER;
}

static void ethernet_end(size_t length)
{
    length += ETHERNET_HEADER;
    if (length < FRAME_MIN) {
        memset(frame_begun + length, 0, FRAME_MIN - length);
        length = FRAME_MIN;
    }
    netdev_send(length);
}

/* --- ARP --- */

static void arp_send(unsigned operation, const uint8_t *to_mac,
                     const uint8_t *target_mac, const uint8_t *target_address)
{
    static const uint8_t fixed[6] = { 0, 1, TYPE_IPV4 >> 8, 0, 6, 4 };
    uint8_t *arp = ethernet_begin(to_mac, TYPE_ARP);

    memcpy(arp, fixed, sizeof fixed);
    put16(arp + 6, operation);
    memcpy(arp + 8, netdev_mac, 6);
    memcpy(arp + 14, options.address, 4);
    memcpy(arp + 18, target_mac, 6);
    memcpy(arp + 24, target_address, 4);
    ethernet_end(ARP_LENGTH);
}

static void arp_input(const uint8_t *arp, size_t length)
{
    if (length < ARP_LENGTH || get16(arp + 2) != TYPE_IPV4
        || get16(arp + 6) != ARP_REQUEST || memcmp(arp + 24, options.address, 4))
        return;
    arp_send(ARP_REPLY, arp + 8, arp + 8, arp + 14);
}

void net_announce(void)
{
    static const uint8_t nobody[6];

    arp_send(ARP_REQUEST, broadcast, nobody, options.address);
}

/* --- IPv6: no more than a word --- */

void net_report_group(void)
{
    static const uint8_t routers_mac[6] = { 0x33, 0x33, 0, 0, 0, 0x16 };
    static const uint8_t routers[16] = { 0xff, 0x02, [15] = 0x16 };
    static const uint8_t router_alert[8] = { PROTOCOL_ICMP6, 0, 5, 2, 0, 0, 1, 0 };
    uint8_t *ip = ethernet_begin(routers_mac, TYPE_IPV6);
    uint8_t *report = ip + IPV6_HEADER + sizeof router_alert;
    uint32_t sum;

    memset(ip, 0, IPV6_HEADER);
    ip[0] = 0x60;
    put16(ip + 4, sizeof router_alert + MLD_LENGTH);
    ip[6] = IPV6_HOP_BY_HOP;
    ip[7] = 1;
    memcpy(ip + 24, routers, sizeof routers);
    memcpy(ip + IPV6_HEADER, router_alert, sizeof router_alert);
    memset(report, 0, MLD_LENGTH);
    report[0] = MLD_REPORT;
    report[7] = 1;              /* one record: the solicited-node group of our MAC */
    report[8] = MLD_TO_EXCLUDE;
    memcpy(report + 12, (const uint8_t[]){ 0xff, 0x02 }, 2);
    memcpy(report + 23, (const uint8_t[]){ 1, 0xff }, 2);
    memcpy(report + 25, netdev_mac + 3, 3);
    sum = sum16(PROTOCOL_ICMP6 + MLD_LENGTH, routers, sizeof routers);  /* from :: */
    put16(report + 2, checksum(sum16(sum, report, MLD_LENGTH)));
    ethernet_end(IPV6_HEADER + sizeof router_alert + MLD_LENGTH);
}

/* --- IPv4 --- */

const char *net_address(void)
{
    static char buffer[16];
    struct text text = { .start = buffer, .room = sizeof buffer };

    for (unsigned i = 0; i < 4; i++) {
        text_add(&text, i ? "." : "");
        text_add_number(&text, options.address[i], 10, 1);
    }
    return buffer;
}

uint8_t *net_begin(const struct host *to)
{
    return ethernet_begin(to->mac, TYPE_IPV4) + IPV4_HEADER;
}

uint32_t net_pseudo_sum(const struct host *to, unsigned protocol, size_t length)
{
    uint32_t sum = protocol + (uint32_t)length;

    sum = sum16(sum, to->address + sizeof mapped, 4);
    return sum16(sum, options.address, 4);
}

void net_end(const struct host *to, unsigned protocol, size_t length)
{
    uint8_t *ip = frame_begun + ETHERNET_HEADER;

    length += IPV4_HEADER;
    memset(ip, 0, IPV4_HEADER);
    ip[0] = 0x40 | IPV4_HEADER / 4;
    put16(ip + 2, (uint32_t)length);
    put16(ip + 6, IPV4_NO_FRAGMENT);
    ip[8] = IPV4_TTL;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, options.address, 4);
    memcpy(ip + 16, to->address + sizeof mapped, 4);
    put16(ip + 10, checksum(sum16(0, ip, IPV4_HEADER)));
    ethernet_end(length);
}

static void icmp_input(const struct host *from, const uint8_t *icmp, size_t length)
{
    uint8_t *reply;

    if (length < ICMP_HEADER || icmp[0] != ICMP_ECHO
        || length > NETDEV_FRAME_MAX - ETHERNET_HEADER - IPV4_HEADER
        || checksum(sum16(0, icmp, length)))
        return;
    reply = net_begin(from);
    memcpy(reply, icmp, length);
    reply[0] = ICMP_ECHO_REPLY;
    put16(reply + 2, 0);
    put16(reply + 2, checksum(sum16(0, reply, length)));
    net_end(from, PROTOCOL_ICMP, length);
}

/* Whatever comes to the echo port goes back as it is. */
static void udp_input(const struct host *from, const uint8_t *udp, size_t length)
{
    uint8_t *reply;

    if (length < UDP_HEADER || get16(udp + 2) != options.udp || get16(udp + 4) != length
        || length > NETDEV_FRAME_MAX - ETHERNET_HEADER - IPV4_HEADER
        || (get16(udp + 6)
            && checksum(sum16(net_pseudo_sum(from, PROTOCOL_UDP, length), udp, length))))
        return;
    reply = net_begin(from);
    memcpy(reply, udp, length);
    put16(reply, options.udp);
    put16(reply + 2, get16(udp));
    put16(reply + 6, 0);        /* IPv4 does without a checksum */
    net_end(from, PROTOCOL_UDP, length);
}

/* As a firewall that says nothing: who is not let in, learns nothing of our ports. */
static bool filtered(const struct host *from, const uint8_t *tcp, size_t length)
{
    uint32_t differs = get32(from->address + sizeof mapped) ^ get32(options.filter);

    return differs & options.filter_mask && length > TCP_FLAGS
        && (tcp[TCP_FLAGS] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static void ipv4_input(const uint8_t *from_mac, const uint8_t *ip, size_t length)
{
    struct host from;
    size_t header = (ip[0] & 15) * 4u, total;

    if (length < IPV4_HEADER || ip[0] >> 4 != 4 || header < IPV4_HEADER)
        return;
    total = get16(ip + 2);
    if (total < header || total > length || get16(ip + 6) & IPV4_FRAGMENT
        || checksum(sum16(0, ip, header)) || memcmp(ip + 16, options.address, 4))
        return;
    memcpy(from.mac, from_mac, sizeof from.mac);
    memcpy(from.address, mapped, sizeof mapped);
    memcpy(from.address + sizeof mapped, ip + 12, 4);
    if (ip[9] == PROTOCOL_ICMP)
        icmp_input(&from, ip + header, total - header);
    else if (ip[9] == PROTOCOL_UDP && options.udp)
        udp_input(&from, ip + header, total - header);
    else if (ip[9] == NET_TCP && !filtered(&from, ip + header, total - header))
        tcp_input(&from, ip + header, total - header);
}

void net_input(const uint8_t *frame, size_t length)
{
    if (length < ETHERNET_HEADER
        || (memcmp(frame, netdev_mac, 6) && memcmp(frame, broadcast, 6)))
        return;
    length -= ETHERNET_HEADER;
    if (get16(frame + 12) == TYPE_ARP)
        arp_input(frame + ETHERNET_HEADER, length);
    else if (get16(frame + 12) == TYPE_IPV4 && length)
        ipv4_input(frame + 6, frame + ETHERNET_HEADER, length);
}
