/* IP addresses, prefixes and MACs as plain values.
 *
 * An address is always 16 bytes; IPv4 is held as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that
 * every table, message and key has one form for both families.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/util.h"

enum { ADDR_TEXT_MAX = 64, MAC_TEXT_MAX = 18 };

struct ip_addr {
	uint8_t b[16];
};

struct ip_prefix {
	struct ip_addr addr; /* host bits are kept: "192.168.1.20/24" is a host in its network */
	uint8_t len; /* 0..128; an IPv4 prefix of n bits is 96 + n */
};

struct mac_addr {
	uint8_t b[6];
};

bool ip_is_v4(const struct ip_addr *a);
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
bool ip_is_zero(const struct ip_addr *a);
/* -EINVAL for anything but one whole address. */
int ip_parse(const char *text, struct ip_addr *out);
/* "192.168.1.20" or "fd00::1"; `out` holds at least ADDR_TEXT_MAX bytes.  Returns `out`. */
const char *ip_format(const struct ip_addr *a, char *out);
void ip_from_sockaddr(const struct sockaddr *sa, struct ip_addr *out, uint16_t *port);
socklen_t ip_to_sockaddr(const struct ip_addr *a, uint16_t port, struct sockaddr_storage *out);

/* "A.B.C.D/24"; without "/" the whole address.  -EINVAL else. */
int prefix_parse(const char *text, struct ip_prefix *out);
const char *prefix_format(const struct ip_prefix *p, char *out);
bool prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
/* The length as people write it: 0..32 for IPv4, 0..128 for IPv6. */
unsigned prefix_bits(const struct ip_prefix *p);

/* "0.0.0.0:53" or "[::]:53"; -EINVAL else.  Port 0 is refused. */
int endpoint_parse(const char *text, struct ip_addr *addr, uint16_t *port);
const char *endpoint_format(const struct ip_addr *a, uint16_t port, char *out);

/* "52:54:00:12:34:56"; -EINVAL else. */
int mac_parse(const char *text, struct mac_addr *out);
const char *mac_format(const struct mac_addr *m, char *out);
bool mac_is_zero(const struct mac_addr *m);

#endif
