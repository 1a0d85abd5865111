#include "launcher/identity.h"
#include "launcher/netlink.h"
#include "launcher/port.h"

/* The link-local address that a MAC makes (RFC 4291, appendix A). */
static void link_local(const struct mac_addr *m, struct ip_addr *out)
{
	const uint8_t *b = m->b;

	*out = (struct ip_addr){ { 0xfe, 0x80, [8] = b[0] ^ 2, b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5] } };
}

void prober_choose(const struct identity *id, const struct bridge_info *b, const struct ip_addr *ip4,
		   const struct ip_addr *ip6, struct prober *out)
{
	bool as_bridge = ip_is_zero(ip4) || ip_equal(ip4, &b->ip4.addr);

	memset(out, 0, sizeof(*out));
	out->ip4 = as_bridge ? b->ip4.addr : *ip4;
	if (as_bridge) {
		out->mac = b->mac;
		out->ip6 = b->ip6_link_local;
		if (ip_is_zero(&out->ip6)) /* a bridge gets it with its first port that has a carrier */
			link_local(&out->mac, &out->ip6);
	} else {
		identity_probe_mac(id, b->name, &out->mac);
		out->ignore_mac = out->mac;
		link_local(&out->mac, &out->ip6);
	}
	if (!ip_is_zero(ip6))
		out->ip6 = *ip6;
}
