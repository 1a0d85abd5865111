/* Records in memory, as their schema says: lists, what a record owns, and a copy in one piece. */
#include <assert.h>

#include "config/schema.h"

/* ---- lists ---- */

static const size_t type_sizes[OPT_TYPE_N] = {
	[OPT_BOOL] = sizeof(bool),
	[OPT_INT] = sizeof(uint32_t),
	[OPT_PORT] = sizeof(uint16_t),
	[OPT_DURATION] = sizeof(uint64_t),
	[OPT_SIZE] = sizeof(uint64_t),
	[OPT_SHARE] = sizeof(uint64_t),
	[OPT_RATE] = sizeof(uint32_t),
	[OPT_ENUM] = sizeof(enum stop_how),
	[OPT_WORD] = sizeof(char *),
	[OPT_TEXT] = sizeof(char *),
	[OPT_IP4] = sizeof(struct ip_addr),
	[OPT_IP6] = sizeof(struct ip_addr),
	[OPT_HOST] = sizeof(struct service_ip),
	[OPT_RANGE] = sizeof(struct ip_range),
	[OPT_PREFIX] = sizeof(struct ip_prefix),
	[OPT_ENDPOINT] = sizeof(struct endpoint),
	[OPT_MAC] = sizeof(struct mac_addr),
	[OPT_READY] = sizeof(struct ready_rule),
};

size_t opt_element_size(const struct opt *o) { return o->of ? o->of->size : type_sizes[o->type]; }

static_assert(offsetof(struct string_list, v) == offsetof(struct any_list, v), "lists differ");

/* Copied byte by byte: the list's own type has a pointer to its elements, not to void. */
struct any_list list_get(const void *record, const struct opt *o)
{
	struct any_list list;

	memcpy(&list, (const char *)record + o->offset, sizeof(list));
	return list;
}

void list_set(void *record, const struct opt *o, struct any_list list)
{
	memcpy((char *)record + o->offset, &list, sizeof(list));
}

static void clear_value(const struct opt *o, void *value)
{
	if (o->of)
		schema_clear(o->of, value);
	else if (o->type == OPT_WORD || o->type == OPT_TEXT)
		free(*(char **)value);
}

static void clear_list(const struct opt *o, void *record)
{
	struct any_list list = list_get(record, o);

	for (size_t i = 0; i < list.n; i++)
		clear_value(o, (char *)list.v + i * opt_element_size(o));
	free(list.v);
}

void schema_clear(const struct schema *s, void *record)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];

		if (o->flags & OPT_LIST)
			clear_list(o, record);
		else
			clear_value(o, (char *)record + o->offset);
	}
	memset(record, 0, s->size);
}

/* ---- packing ---- */

/* Done twice: without `to`, to learn how much there is; then for good.  What a record points to lies behind it,
 * texts at the very end, where they need no alignment. */
enum { PACK_ALIGN = sizeof(uint64_t) }; /* no member of a record needs more */

struct packer {
	char *to; /* NULL: only count */
	size_t n_aligned, n_text; /* so far; the texts' place is known once all else was counted */
	size_t text_at;
};

static void pack_record(struct packer *p, const struct schema *s, void *record);

static void pack_text(struct packer *p, char **text)
{
	size_t n = strlen(*text) + 1;

	if (p->to)
		*text = memcpy(p->to + p->text_at + p->n_text, *text, n);
	p->n_text += n;
}

static void pack_value(struct packer *p, const struct opt *o, void *value)
{
	if (o->of)
		pack_record(p, o->of, value);
	else if ((o->type == OPT_WORD || o->type == OPT_TEXT) && *(char **)value)
		pack_text(p, value);
}

static void pack_list(struct packer *p, const struct opt *o, void *record)
{
	struct any_list list = list_get(record, o);
	size_t size = opt_element_size(o), n = list.n * size;

	if (p->to && list.n > 0) {
		list.v = memcpy(p->to + p->n_aligned, list.v, n);
		list_set(record, o, list);
	} else if (p->to) {
		list_set(record, o, (struct any_list){ 0 });
	}
	p->n_aligned += (n + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
	for (size_t i = 0; i < list.n; i++)
		pack_value(p, o, (char *)list.v + i * size);
}

/* `record` is not changed while only counting. */
static void pack_record(struct packer *p, const struct schema *s, void *record)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];

		if (o->flags & OPT_LIST)
			pack_list(p, o, record);
		else
			pack_value(p, o, (char *)record + o->offset);
	}
}

void *schema_pack(const struct schema *s, const void *record)
{
	struct packer count = { .n_aligned = s->size }, p = { .n_aligned = s->size };

	pack_record(&count, s, (void *)record);
	p.text_at = count.n_aligned;
	p.to = malloc(count.n_aligned + count.n_text);
	if (!p.to)
		return NULL;
	memcpy(p.to, record, s->size);
	pack_record(&p, s, p.to);
	return p.to;
}
