/* Ethernet frames, parsed and built: what a prober needs of ARP, neighbour discovery and TCP.
 *
 * Pure functions.  What is parsed comes from a VM and is hostile: every length is checked, and
 * what is not whole, or not sound where soundness tells something (checksums of what is acted
 * upon), is FRAME_OTHER.  IPv4 options and IPv6 extension headers before TCP are not followed:
 * no answer to a probe has them (IPv4 options are stepped over).
 */
#ifndef SYNPROXY_FRAME_H
#define SYNPROXY_FRAME_H

#include "base/addr.h"
#include "base/util.h"

enum frame_kind {
	FRAME_OTHER, /* nothing for us */
	FRAME_ARP, /* Ethernet and IPv4 (RFC 826); request, reply, probe or announcement */
	FRAME_SOLICIT, /* neighbour solicitation (RFC 4861, 4.3) */
	FRAME_ADVERT, /* neighbour advertisement (RFC 4861, 4.4) */
	FRAME_TCP,
	FRAME_IP, /* any other IPv4 or IPv6 packet */
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

/* A frame, as far as its kind has it; the rest is zero. */
struct frame {
	enum frame_kind kind;
	struct mac_addr eth_dst, eth_src;
	struct ip_addr src, dst; /* of the IP header; ARP: sender's and target's protocol address */
	/* ARP: sender's hardware address.  SOLICIT, ADVERT: of the link-layer address option, or zero */
	struct mac_addr hw;
	uint16_t arp_op;
	struct ip_addr target; /* SOLICIT, ADVERT */
	/* TCP */
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t tcp_flags;
};

void frame_parse(const uint8_t *bytes, size_t n, struct frame *out);

/* ---- building: each returns the frame's length, at most FRAME_BUILT_MAX ---- */

enum { FRAME_BUILT_MAX = 96 };

/* Both addresses IPv4. */
size_t frame_arp(uint8_t *out, uint16_t op, const struct mac_addr *eth_dst, const struct mac_addr *sender_mac,
		 const struct ip_addr *sender, const struct mac_addr *target_mac, const struct ip_addr *target);

/* Who has `target`?  To its solicited-node group (RFC 4861, 4.3; RFC 2464, 7), with the source
 * link-layer address. */
size_t frame_solicit(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *from,
		     const struct ip_addr *target);

/* The answer to a solicitation: `target` is at `mac` (solicited, override). */
size_t frame_advert(uint8_t *out, const struct mac_addr *eth_dst, const struct ip_addr *to, const struct mac_addr *mac,
		    const struct ip_addr *target);

struct tcp_segment {
	struct mac_addr eth_dst, eth_src;
	struct ip_addr src, dst; /* of one family */
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint16_t mss; /* 0: no option */
};

/* A segment without data. */
size_t frame_tcp(uint8_t *out, const struct tcp_segment *t);

/* The Internet checksum (RFC 1071) of these bytes, added to `sum`; not yet folded. */
uint32_t frame_sum(const uint8_t *p, size_t n, uint32_t sum);
uint16_t frame_fold(uint32_t sum); /* folded and inverted */

#endif
