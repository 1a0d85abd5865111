#include "dns/name.h"

#include <ldns/ldns.h>

bool name_from_wire(const uint8_t *p, size_t n, struct name *out)
{
	unsigned labels = 0;

	if (n == 0 || wire_name_length(p, n, &labels) != n)
		return false;
	memcpy(out->b, p, n);
	out->n = (uint8_t)n;
	out->labels = (uint8_t)labels;
	return true;
}

bool name_from_text(const char *text, struct name *out)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(text[0] ? text : ".");
	bool good = rdf && name_from_wire(ldns_rdf_data(rdf), ldns_rdf_size(rdf), out);

	if (good)
		wire_lower(out->b, out->b, out->n);
	ldns_rdf_deep_free(rdf);
	return good;
}

/* A pointer leads backwards, before all that was read of the name: so the reading ends. */
size_t name_read(const uint8_t *packet, size_t n, size_t at, struct name *out)
{
	size_t end = 0, least = at, name_n = 0;

	out->labels = 0;
	while (at < n) {
		unsigned length = packet[at];

		if (length >= 0xc0) {
			if (at + 2 > n)
				return 0;
			end = end ? end : at + 2;
			at = wire_get16(packet + at) & 0x3fffu;
			if (at >= least)
				return 0;
			least = at;
			continue;
		}
		if (length > WIRE_LABEL_MAX || length + 1 > n - at || name_n + length + 1 > WIRE_NAME_MAX)
			return 0;
		memcpy(out->b + name_n, packet + at, length + 1);
		name_n += length + 1;
		at += length + 1;
		if (length == 0) {
			out->n = (uint8_t)name_n;
			return end ? end : at;
		}
		out->labels++;
	}
	return 0;
}

static char *put_byte(char *p, uint8_t b)
{
	if (b <= ' ' || b >= 0x7f)
		return p + sprintf(p, "\\%03u", b);
	if (strchr("\".;\\()@$", b))
		*p++ = '\\';
	*p++ = (char)b;
	return p;
}

const char *name_to_text(const uint8_t *name, char *out)
{
	char *p = out;

	if (*name == 0)
		*p++ = '.';
	for (; *name; name += *name + 1u) {
		for (unsigned i = 1; i <= *name; i++)
			p = put_byte(p, name[i]);
		*p++ = '.';
	}
	*p = '\0';
	return out;
}

static void add_label(struct name *to, const char *label)
{
	size_t n = strlen(label);

	to->b[to->n++] = (uint8_t)n;
	memcpy(to->b + to->n, label, n);
	to->n = (uint8_t)(to->n + n);
	to->labels++;
}

void name_of_address(const struct ip_addr *a, struct name *out)
{
	bool v4 = ip_is_v4(a);
	char label[8];

	out->n = out->labels = 0;
	for (int i = 15; i >= (v4 ? 12 : 0); i--) {
		snprintf(label, sizeof(label), v4 ? "%u" : "%x", v4 ? a->b[i] : a->b[i] & 0x0fu);
		add_label(out, label);
		if (v4)
			continue;
		snprintf(label, sizeof(label), "%x", (unsigned)a->b[i] >> 4);
		add_label(out, label);
	}
	add_label(out, v4 ? "in-addr" : "ip6");
	add_label(out, "arpa");
	out->b[out->n++] = 0;
}

bool name_join(const uint8_t *prefix, size_t prefix_n, const uint8_t *suffix, size_t suffix_n, struct name *out)
{
	uint8_t b[2 * WIRE_NAME_MAX];

	if (prefix_n + suffix_n > WIRE_NAME_MAX)
		return false;
	memcpy(b, prefix, prefix_n);
	memcpy(b + prefix_n, suffix, suffix_n);
	return name_from_wire(b, prefix_n + suffix_n, out);
}

uint32_t name_hash(const uint8_t *name, unsigned labels)
{
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hash = NAME_HASH_ROOT;

	name_label_starts(name, labels, starts);
	for (unsigned l = labels; l-- > 0;)
		hash = name_hash_label(hash, name + starts[l]);
	return hash;
}
