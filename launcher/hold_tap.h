/* The hold tap of a bridge: our own port, to which the bridge sends the frames of VMs that are
 * away.
 *
 * It is a persistent tap of one queue without packet information or virtio header: read() gives
 * one Ethernet frame, checksums done, no segmentation offload, at most MTU + 18 bytes; write() sends
 * one into the bridge.  HOLD_TAP_FRAMES frames wait in it, and what comes on top is dropped.
 *
 * As a port of the bridge it does not learn (we write frames with others' sources), hears all that
 * is flooded and every multicast group, and has no IPv6 address and no queueing discipline.  Its
 * MAC begins with fe:, so that the bridge never takes it for its own.
 *
 * The open descriptor is what keeps the frames, and what tells the bridge that the port has a
 * carrier.  Whoever shall survive this process must be given a copy.
 */
#ifndef LAUNCHER_HOLD_TAP_H
#define LAUNCHER_HOLD_TAP_H

#include "base/slots.h"
#include "launcher/netlink.h"

struct hold_filter;
struct identity;

/* Distinct from TAP_PREFIX.  A hold tap is ours when its name begins so and its alias is
 * "jitsu-hold:BRIDGE". */
#define HOLD_TAP_PREFIX "jh"

enum { HOLD_TAP_FRAMES = 4096 };

struct hold_tap {
	int fd; /* nonblocking, close-on-exec; -1: none */
	int ifindex;
	char ifname[MSG_IFNAME_MAX];
	bool kept; /* it is the one behind the descriptor that was given, and may hold frames */
};

/* Makes the hold tap of this bridge, or takes over the one that is there.
 *
 * `kept` is the descriptor that an earlier launcher had kept for it, or -1.  It is used up: if it
 * is that tap's it becomes out->fd, else it is closed (the tap was deleted meanwhile, or it is
 * something else).  Everything about the tap is set right again.  A tap that is new drops
 * everything until hold_filter_attach(); one that was kept goes on with the filter that it has.
 *
 * -EBUSY when another process has it (the sentence names it), -EEXIST when the name is another's.
 * `out` is the caller's to close with hold_tap_close(). */
int hold_tap_open(struct netlink *nl, const struct identity *id, const struct bridge_info *b, int kept,
		  struct hold_tap *out, struct err *e);

/* Closes our descriptor; the tap stays. */
void hold_tap_close(struct hold_tap *t);

/* Deletes a hold tap of ours, open or not, with the frames in it; what is none is left alone
 * (-EPERM).  0 too when it is gone. */
int hold_tap_delete(struct netlink *nl, const char *ifname, struct err *e);

/* Calls `each` for every hold tap of ours, with the bridge that it was made for (which need not be
 * there any more). */
typedef void hold_tap_fn(void *arg, const struct link_info *link, const char *bridge);
int hold_tap_list(struct netlink *nl, hold_tap_fn *each, void *arg, struct err *e);

/* ---- the filter ----
 *
 * A bridge floods broadcasts and what it does not know to every port.  A BPF program in the tap
 * drops all of it that concerns no address of ours, before it costs anybody a wakeup.  It belongs
 * to the tap and outlives this process; a new one replaces it at once, between two frames.
 *
 * It goes by two tables, of addresses and of MACs, per tap.  What it passes, is:
 *
 *     Wake-on-LAN       EtherType 0x0842; UDP to port 7 or 9 in a broadcast or multicast frame
 *     HOLD_PASS_TO      an ARP packet for the address; a neighbour solicitation for it; an IPv4 or
 *                       IPv6 packet to it in a frame to a MAC with HOLD_PASS_TO; UDP to port 7
 *                       or 9 in such a frame, whatever its address
 *     HOLD_PASS_WATCH   what says that somebody uses the address or MAC: ARP and RARP with it as
 *                       sender (RARP: or target); an ARP probe for it (RFC 5227, 2.1.1: the
 *                       sender's address is zero); a neighbour advertisement for it, or a
 *                       solicitation from it or from :: for it (RFC 4862, 5.4)
 *     HOLD_PASS_FROM    (a MAC) any frame that has it as Ethernet source
 *
 * and nothing else: no frame with a VLAN tag.  It looks no deeper: whoever reads the tap checks
 * lengths, checksums and whose MAC goes with whose address.
 *
 * Without BPF a classic filter passes everything of these kinds whosesoever it is: ARP, RARP,
 * neighbour discovery, IP in unicast frames, Wake-on-LAN.  Then HOLD_PASS_FROM has no effect.
 */

enum hold_pass {
	HOLD_PASS_NONE = 0,
	HOLD_PASS_WATCH = 1,
	HOLD_PASS_FROM = 2,
	HOLD_PASS_TO = 4,
	HOLD_PASS_CLAIM = HOLD_PASS_WATCH | HOLD_PASS_FROM | HOLD_PASS_TO,
};

enum { HOLD_FILTER_ADDRS_MAX = SLOTS_MAX * MSG_LIST_MAX, HOLD_FILTER_MACS_MAX = SLOTS_MAX };

/* Falls back to the classic filter where BPF is not allowed or `bpf` is false; then
 * hold_filter_note() says why and what of it ("" otherwise), for the log.  NULL with *e only when
 * memory ran out. */
struct hold_filter *hold_filter_new(bool bpf, struct err *e);
void hold_filter_free(struct hold_filter *f); /* taps keep what is attached to them; NULL is fine */
const char *hold_filter_note(const struct hold_filter *f);

/* From now on `pass` is what this tap lets through for the address or MAC; HOLD_PASS_NONE removes
 * it.  0, or -errno: -E2BIG when a table is full. */
int hold_filter_set_addr(struct hold_filter *f, int tap_ifindex, const struct ip_addr *addr, unsigned pass);
int hold_filter_set_mac(struct hold_filter *f, int tap_ifindex, const struct mac_addr *mac, unsigned pass);

/* Puts it in place of whatever filter the tap has; after the tables were filled, where the tap is
 * not new.  0 or -errno with *e. */
int hold_filter_attach(struct hold_filter *f, const struct hold_tap *t, struct err *e);

#endif
