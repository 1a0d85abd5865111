/* What is known of one option: its row, by its key, and in words what its value must be. */
#include "base/nearest.h"
#include "config/schema.h"

unsigned opt_most(const struct opt *o) { return o->most ? o->most : SCHEMA_LIST_MAX; }

const struct opt *schema_find(const struct schema *s, const char *key)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->opts[i].key, key) == 0)
			return &s->opts[i];
	}
	return NULL;
}

const char *schema_nearest(const struct schema *s, const char *key)
{
	struct nearest near = { .word = key };

	for (size_t i = 0; i < s->n; i++)
		nearest_try(&near, s->opts[i].key);
	return near.name;
}

/* ---- what a value must be ---- */

static void add_duration_range(const struct opt *o, struct buf *out)
{
	char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];

	buf_addf(out, "%s..%s", duration_format(o->min, min), duration_format(o->max, max));
	if (o->flags & OPT_NEVER)
		buf_adds(out, " or \"never\"");
	if (o->flags & OPT_AUTO)
		buf_adds(out, " or \"auto\"");
}

static void add_size_range(const struct opt *o, struct buf *out)
{
	char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];

	buf_addf(out, "%s..%s", size_format(o->min, min), size_format(o->max, max));
	if (o->type == OPT_SHARE)
		buf_adds(out, " or 1%..100%");
}

static void add_names(const struct opt *o, struct buf *out)
{
	for (size_t i = 0; o->names[i]; i++)
		buf_addf(out, "%s\"%s\"", i == 0 ? "" : o->names[i + 1] ? ", " : " or ", o->names[i]);
}

void opt_expected(const struct opt *o, struct buf *out)
{
	static const char *const plain[OPT_TYPE_N] = {
		[OPT_BOOL] = "true or false",
		[OPT_IP4] = "an IPv4 address",
		[OPT_IP6] = "an IPv6 address",
		[OPT_HOST] = "an address and its network's length, such as \"192.168.1.20/24\", or \"auto\", \"auto6\" or \"learned\"",
		[OPT_RANGE] = "addresses and their network's length: \"192.168.1.100-192.168.1.199/24\", \"192.168.1.0/24\"",
		[OPT_PREFIX] = "an address or a network, such as \"192.168.1.0/24\"",
		[OPT_ENDPOINT] = "an address and a port, such as \"192.168.1.2:53\" or \"[fd00::2]:53\"",
		[OPT_MAC] = "a unicast MAC address, such as \"52:54:00:12:34:56\"",
		[OPT_READY] = "\"arp\", \"tcp\", \"tcp:1..65535\", \"delay:0s..3600s\", \"guest\" or \"xenstore:KEY\"",
		[OPT_OBJECT] = "an object",
	};

	switch (o->type) {
	case OPT_INT:
	case OPT_PORT:
		buf_addf(out, "%llu..%llu", (unsigned long long)o->min, (unsigned long long)o->max);
		break;
	case OPT_DURATION:
		add_duration_range(o, out);
		break;
	case OPT_SIZE:
	case OPT_SHARE:
		add_size_range(o, out);
		break;
	case OPT_RATE:
		buf_addf(out, "%llu..%llu per s, min or h, such as \"30/min\"", (unsigned long long)o->min,
		         (unsigned long long)o->max);
		break;
	case OPT_ENUM:
	case OPT_WORD:
		add_names(o, out);
		break;
	case OPT_TEXT:
		buf_adds(out, o->text->expected);
		break;
	default:
		buf_adds(out, plain[o->type]);
	}
}
