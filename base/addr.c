#include "base/addr.h"

#include <arpa/inet.h>

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool ip_is_v4(const struct ip_addr *a) { return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0; }

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

bool ip_is_zero(const struct ip_addr *a)
{
	static const struct ip_addr none;

	return ip_equal(a, &none);
}

int ip_parse(const char *text, struct ip_addr *out)
{
	struct ip_addr a;

	if (inet_pton(AF_INET, text, a.b + 12) == 1)
		memcpy(a.b, v4_mapped, sizeof(v4_mapped));
	else if (inet_pton(AF_INET6, text, a.b) != 1)
		return -EINVAL;
	*out = a;
	return 0;
}

const char *ip_format(const struct ip_addr *a, char *out)
{
	if (ip_is_v4(a))
		inet_ntop(AF_INET, a->b + 12, out, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->b, out, ADDR_TEXT_MAX);
	return out;
}

void ip_from_sockaddr(const struct sockaddr *sa, struct ip_addr *out, uint16_t *port)
{
	memset(out, 0, sizeof(*out));
	*port = 0;
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(out->b, v4_mapped, sizeof(v4_mapped));
		memcpy(out->b + 12, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(out->b, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	}
}

socklen_t ip_to_sockaddr(const struct ip_addr *a, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ip_is_v4(a)) {
		struct sockaddr_in *in = (void *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->b, 16);
	return sizeof(*in6);
}

/* A whole decimal number up to `max`, with nothing before or behind it. */
static int parse_number(const char *text, unsigned max, unsigned *out)
{
	unsigned v = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++) {
		v = v * 10 + (unsigned)(*text - '0');
		if (v > max)
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	*out = v;
	return 0;
}

int prefix_parse(const char *text, struct ip_prefix *out)
{
	const char *slash = strchr(text, '/');
	char addr[ADDR_TEXT_MAX];
	struct ip_prefix p;
	unsigned bits, most;

	if (!slash)
		slash = text + strlen(text);
	if ((size_t)(slash - text) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	if (ip_parse(addr, &p.addr) < 0)
		return -EINVAL;
	most = ip_is_v4(&p.addr) ? 32 : 128;
	bits = most;
	if (*slash && parse_number(slash + 1, most, &bits) < 0)
		return -EINVAL;
	p.len = (uint8_t)(128 - most + bits);
	*out = p;
	return 0;
}

unsigned prefix_bits(const struct ip_prefix *p)
{
	return ip_is_v4(&p->addr) && p->len >= 96 ? p->len - 96u : p->len;
}

const char *prefix_format(const struct ip_prefix *p, char *out)
{
	size_t n = strlen(ip_format(&p->addr, out));

	snprintf(out + n, ADDR_TEXT_MAX - n, "/%u", prefix_bits(p));
	return out;
}

bool prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
	unsigned whole = p->len / 8, rest = p->len % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) & mask) == 0;
}

int endpoint_parse(const char *text, struct ip_addr *addr, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	const char *start = text, *end = colon;
	bool bracket = text[0] == '[';
	char host[ADDR_TEXT_MAX];
	struct ip_addr a;
	unsigned number;

	if (!colon || colon == text)
		return -EINVAL;
	if (bracket) {
		start++;
		if (*--end != ']')
			return -EINVAL;
	}
	if (end < start || (size_t)(end - start) >= sizeof(host))
		return -EINVAL;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (ip_parse(host, &a) < 0 || bracket == ip_is_v4(&a))
		return -EINVAL;
	if (parse_number(colon + 1, 65535, &number) < 0 || number == 0)
		return -EINVAL;
	*addr = a;
	*port = (uint16_t)number;
	return 0;
}

const char *endpoint_format(const struct ip_addr *a, uint16_t port, char *out)
{
	char host[ADDR_TEXT_MAX];

	snprintf(out, ADDR_TEXT_MAX, ip_is_v4(a) ? "%.45s:%u" : "[%.45s]:%u", ip_format(a, host), port);
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int mac_parse(const char *text, struct mac_addr *out)
{
	struct mac_addr m;

	for (size_t i = 0; i < sizeof(m.b); i++, text += 3) {
		int high = hex_digit(text[0]);
		int low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0 || text[2] != (i == 5 ? '\0' : ':'))
			return -EINVAL;
		m.b[i] = (uint8_t)(high << 4 | low);
	}
	*out = m;
	return 0;
}

const char *mac_format(const struct mac_addr *m, char *out)
{
	snprintf(out, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m->b[0], m->b[1], m->b[2], m->b[3], m->b[4],
		 m->b[5]);
	return out;
}

bool mac_is_zero(const struct mac_addr *m)
{
	static const struct mac_addr none;

	return memcmp(m, &none, sizeof(none)) == 0;
}
