/* Ethernet frames, parsed and built: what probing and holding need of ARP, neighbour discovery,
 * TCP, UDP, pings and Wake-on-LAN.
 *
 * Pure functions without memory of their own.  What is parsed comes from a VM or the wire and is
 * hostile: every length is checked, and what is not whole, or not sound where soundness tells
 * something (checksums of what is acted upon), is FRAME_OTHER, or FRAME_IP where the IP header is
 * sound.  IPv4 options are stepped over; IPv6 extension headers are not followed: no client's TCP
 * or UDP has them.
 */
#ifndef SYNPROXY_FRAME_H
#define SYNPROXY_FRAME_H

#include "base/addr.h"
#include "base/util.h"

enum frame_kind {
	FRAME_OTHER, /* nothing for us */
	FRAME_ARP, /* Ethernet and IPv4 (RFC 826); request, reply, probe or announcement */
	FRAME_RARP, /* RFC 903; VMs that were moved say so where they are now */
	FRAME_SOLICIT, /* neighbour solicitation (RFC 4861, 4.3) */
	FRAME_ADVERT, /* neighbour advertisement (RFC 4861, 4.4) */
	FRAME_TCP,
	FRAME_UDP,
	FRAME_ECHO, /* echo request of ICMP (RFC 792) or ICMPv6 (RFC 4443, 4.1) */
	FRAME_WOL, /* Wake-on-LAN: a magic packet, in a frame of its own or in UDP to port 7 or 9 */
	FRAME_IP, /* any other IPv4 or IPv6 packet, and any fragment */
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

/* A frame, as far as its kind has it; the rest is zero. */
struct frame {
	enum frame_kind kind;
	struct mac_addr eth_dst, eth_src;
	struct ip_addr src, dst; /* of the IP header; ARP: sender's and target's protocol address */
	/* ARP, RARP: sender's hardware address.  SOLICIT, ADVERT: of the link-layer address option, or
	 * zero.  WOL: whom to wake */
	struct mac_addr hw;
	uint16_t arp_op;
	struct ip_addr target; /* SOLICIT, ADVERT */
	bool fragment; /* IP: a piece of a packet, the first one too */
	/* TCP, UDP, WOL in UDP */
	uint16_t src_port, dst_port;
	/* TCP */
	uint32_t seq, ack;
	uint8_t tcp_flags;
	/* ECHO */
	uint16_t echo_id, echo_seq;
	/* In bytes from the frame's beginning.  All of IP: where the packet ends (behind it is padding).
	 * TCP, UDP, ECHO: where the data begins, and how much of it there is */
	uint32_t end, payload, payload_n;
};

void frame_parse(const uint8_t *bytes, size_t n, struct frame *out);

/* Somebody asks whether an address is free: an ARP probe (RFC 5227, 2.1.1), or a solicitation
 * from :: (RFC 4862, 5.4.2).  It is in f->dst, or in f->target. */
bool frame_is_dad(const struct frame *f);
/* Somebody says, unasked, that an address is its own: ARP whose sender is its target (RFC 5227,
 * 2.3), or an advertisement to all nodes (RFC 4861, 7.2.6). */
bool frame_is_announcement(const struct frame *f);

/* Both were parsed as TCP, UDP or WOL in UDP: are they of one flow?  The same addresses, ports and
 * protocol, in the same direction. */
bool frame_same_flow(const uint8_t *a, const uint8_t *b);

/* ---- building: each returns the frame's length, at most FRAME_BUILT_MAX ---- */

enum { FRAME_BUILT_MAX = 96 };

/* Both addresses IPv4. */
size_t frame_arp(uint8_t *out, uint16_t op, const struct mac_addr *eth_dst, const struct mac_addr *sender_mac,
		 const struct ip_addr *sender, const struct mac_addr *target_mac, const struct ip_addr *target);

/* Who has `target`?  To its solicited-node group (RFC 4861, 4.3; RFC 2464, 7), with the source
 * link-layer address unless `from` is ::. */
size_t frame_solicit(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *from,
		     const struct ip_addr *target);

/* The answer to a solicitation: `target` is at `mac` (override; solicited unless `to` is a group). */
size_t frame_advert(uint8_t *out, const struct mac_addr *eth_dst, const struct ip_addr *to,
		    const struct mac_addr *mac, const struct ip_addr *target);

/* Is anybody at `addr`?  What frame_is_dad() tells of. */
size_t frame_dad(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *addr);
/* `addr` is at `mac`, to everyone: what frame_is_announcement() tells of. */
size_t frame_announce(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *addr);

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

/* What a host says to this segment of a connection that it does not have (RFC 9293, 3.10.7.1): RST
 * to where it came from, from where it went to and from `mac`.  To a SYN that is RST and ACK: "nobody
 * listens".  0: nothing is said to a RST.  `f` is FRAME_TCP. */
size_t frame_reset(uint8_t *out, const struct frame *f, const struct mac_addr *mac);

/* ---- made of a frame that came: `bytes` is what was parsed into *f ---- */

/* The answer to a FRAME_ECHO, with all its data.  `out` has room for as many bytes as came, and for
 * FRAME_BUILT_MAX at least. */
size_t frame_echo_reply(uint8_t *out, const uint8_t *bytes, const struct frame *f, const struct mac_addr *mac);

/* A FRAME_TCP segment without its data; all else as it came.  How many bytes: at most
 * FRAME_BARE_MAX, which `out` has room for. */
enum { FRAME_BARE_MAX = 134 }; /* Ethernet, an IPv4 and a TCP header with all options */
size_t frame_bare_tcp(uint8_t *out, const uint8_t *bytes, const struct frame *f);

/* The Internet checksum (RFC 1071) of these bytes, added to `sum`; not yet folded.  All but the last
 * of several pieces are of even length. */
uint32_t frame_sum(const uint8_t *p, size_t n, uint32_t sum);
uint16_t frame_fold(uint32_t sum); /* folded and inverted */

#endif
