/* The records of zone files: each is checked against what the tables have, the services first. */
#include "dns/zone_internal.h"

/* A record on its way in: where it goes, and what to say when it cannot.  Its name comes to exist only once
 * it may: a name without records would be denied, and answered for, both. */
struct entry {
	struct tables *t;
	uint32_t zone;
	const struct zone_node *node, *encloser; /* as in struct zone_match */
	const struct zone_record *record;
	struct err *e;
};

static const char *entry_name(const struct entry *en, char *text)
{
	return name_to_text(en->record->name.b, text);
}

static int entry_refused(const struct entry *en, const char *why)
{
	char text[NAME_TEXT_MAX];

	return err_set(en->e, -EINVAL, "%.250s: %s", entry_name(en, text), why);
}

static unsigned flags_of(const struct entry *en) { return en->node ? en->node->flags : 0; }

static bool is_apex(const struct entry *en) { return flags_of(en) & NODE_APEX; }

/* Questions, pseudo records, and signatures, which only a signer may make. */
static int check_type(const struct entry *en)
{
	switch (en->record->type) {
	case TYPE_SIG:
	case TYPE_NXT:
	case TYPE_RRSIG:
	case TYPE_NSEC:
	case TYPE_NSEC3:
	case TYPE_NSEC3PARAM:
		return entry_refused(en, "signatures and denials cannot be in a zone file here; give the zone as it was "
					 "before it was signed");
	case 0:
	case TYPE_NULL:
	case TYPE_OPT: return entry_refused(en, "a record of this type cannot be in a zone");
	default:
		if (en->record->type >= 128 && en->record->type <= TYPE_ANY)
			return entry_refused(en, "a record of this type cannot be in a zone");
		return 0;
	}
}

/* Names where its type has names, and nothing cut short. */
static bool is_sound(const struct zone_record *record)
{
	const struct wire_layout *layout = wire_layout(record->type);
	size_t at = layout ? layout->skip : 0;
	unsigned labels;

	for (unsigned i = 0; layout && i < layout->names; i++) {
		size_t n = at < record->n ? wire_name_length(record->data + at, record->n - at, &labels) : 0;

		if (n == 0)
			return false;
		at += n;
	}
	switch (record->type) {
	case TYPE_A: return record->n == 4;
	case TYPE_AAAA: return record->n == 16;
	case TYPE_SOA: return record->n == at + 20;
	case TYPE_DNAME: return wire_name_length(record->data, record->n, &labels) == record->n && record->n > 0;
	default: return layout && layout->compress ? at == record->n : true;
	}
}

static int check_service(const struct entry *en)
{
	char why[200];

	if (!en->node || en->node->service == ZONE_NONE)
		return 0;
	if (en->record->type != TYPE_A && en->record->type != TYPE_AAAA && en->record->type != TYPE_CNAME)
		return 0;
	snprintf(why, sizeof(why), "this is the name of service \"%s\", whose addresses are jitsu's to give; remove "
				   "the record or the service's name", en->t->services[en->node->service].name);
	return entry_refused(en, why);
}

/* Nothing beside a CNAME (RFC 1034, 3.6.2), nothing below a DNAME (RFC 6672, 2.4). */
static int check_aliases(const struct entry *en)
{
	const struct zone_node *above = en->node ? tables_node(en->t, en->node->parent) : en->encloser;
	unsigned flags = flags_of(en);

	if (en->record->type == TYPE_CNAME && en->node && en->node->rrsets != ZONE_NONE && !(flags & NODE_CNAME))
		return entry_refused(en, "it has other records, so it cannot be a CNAME");
	if (en->record->type == TYPE_CNAME && is_apex(en))
		return entry_refused(en, "the zone's own name cannot be a CNAME");
	if (en->record->type != TYPE_CNAME && flags & NODE_CNAME)
		return entry_refused(en, "it is a CNAME, so it cannot have other records");
	if (en->record->type == TYPE_DNAME && flags & NODE_CHILDREN)
		return entry_refused(en, "there are names below it, so it cannot be a DNAME");
	for (; above; above = tables_node(en->t, above->parent))
		if (above->flags & NODE_DNAME)
			return entry_refused(en, "a name above it is a DNAME, so it cannot have records");
	return 0;
}

static int check_single(const struct entry *en)
{
	const struct zone_rrset *set = en->node ? tables_rrset(en->t, en->node, en->record->type) : NULL;

	if (!set || (en->record->type != TYPE_CNAME && en->record->type != TYPE_DNAME))
		return 0;
	if (tables_has_record(en->t, set, en->record->data, en->record->n))
		return 0;
	return entry_refused(en, en->record->type == TYPE_CNAME ? "it has two different CNAME records"
								 : "it has two different DNAME records");
}

static int check_cut(const struct entry *en)
{
	if (en->record->type == TYPE_DS && is_apex(en))
		return entry_refused(en, "the DS records of a zone belong into the zone above it");
	if (en->record->type != TYPE_NS || is_apex(en))
		return 0;
	if (flags_of(en) & NODE_SERVICE)
		return entry_refused(en, "a service's name lies there, so it cannot be delegated");
	if (en->record->name.b[0] == 1 && en->record->name.b[1] == '*')
		return entry_refused(en, "a wildcard cannot be delegated");
	return 0;
}

static int take_soa(const struct entry *en)
{
	struct draft *d = &en->t->drafts[en->zone];
	const uint8_t *data = en->record->data, *numbers = data + en->record->n - 20;
	uint32_t v[5];
	int64_t at;

	if (!is_apex(en))
		return entry_refused(en, "only the zone's own name has an SOA record");
	if (d->from_file)
		return entry_refused(en, "a zone has one SOA record");
	at = tables_store(en->t, data, en->record->n - 20);
	if (at < 0)
		return (int)at;
	for (unsigned i = 0; i < 5; i++)
		v[i] = (uint32_t)wire_get16(numbers + 4 * i) << 16 | wire_get16(numbers + 4 * i + 2);
	d->from_file = true;
	d->primary_at = (uint32_t)at;
	d->mailbox_at = d->primary_at + (uint32_t)wire_name_length(data, en->record->n, &(unsigned){ 0 });
	if ((int32_t)(v[0] - d->serial) > 0) /* RFC 1982: the later one */
		d->serial = v[0];
	d->refresh_s = v[1];
	d->retry_s = v[2];
	d->expire_s = v[3];
	d->minimum_s = v[4];
	d->ttl_s = en->record->ttl_s;
	return 0;
}

static void set_flags(struct tables *t, uint32_t node, unsigned type)
{
	uint8_t *flags = &t->nodes[node].flags;

	switch (type) {
	case TYPE_NS: *flags |= *flags & NODE_APEX ? NODE_STATIC_NS : NODE_CUT; break;
	case TYPE_CNAME: *flags |= NODE_CNAME; break;
	case TYPE_DNAME: *flags |= NODE_DNAME; break;
	default: break;
	}
}

static int place(const struct entry *en)
{
	const struct zone_record *record = en->record;
	int64_t node = tables_place_name(en->t, &record->name, en->zone, NULL);
	int r;

	if (node < 0)
		return (int)node;
	r = tables_add_data(en->t, (uint32_t)node, record->type, record->ttl_s, record->data, record->n);
	if (r == -E2BIG)
		return entry_refused(en, "its records of this type are too many for one answer");
	if (r == 0)
		set_flags(en->t, (uint32_t)node, record->type);
	return r;
}

static int enter(const struct entry *en)
{
	static int (*const checks[])(const struct entry *) = { check_service, check_aliases, check_single, check_cut };
	int r = 0;

	if (en->record->type == TYPE_SOA)
		return take_soa(en);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(checks); i++)
		r = checks[i](en);
	return r == 0 ? place(en) : r;
}

/* In a zone of ours within this one: what it says of itself counts.  Only DS is the outer one's. */
static int enter_shadowed(const struct entry *en, uint32_t apex)
{
	const struct zone_record *record = en->record;

	if (record->type != TYPE_DS || record->name.n != en->t->nodes[apex].name_n)
		return 0;
	return tables_add_data(en->t, apex, TYPE_DS, record->ttl_s, record->data, record->n);
}

int tables_add_record(struct tables *t, uint32_t zone, const struct zone_record *record, struct err *e)
{
	struct zone_record lower = *record;
	struct entry en = { .t = t, .zone = zone, .record = &lower, .e = e };
	struct zone_match match;
	uint32_t inner = ZONE_NONE;
	int r;

	wire_lower(lower.name.b, record->name.b, record->name.n);
	if (!tables_is_in_zone(t, &lower.name, &t->zones[zone]))
		return entry_refused(&en, "this name is not in the zone");
	if (check_type(&en) < 0)
		return e->code;
	if (!is_sound(record))
		return entry_refused(&en, "its data is not what a record of this type has");
	if (tables_find(t, lower.name.b, lower.name.n, lower.name.labels, &match) && match.zone == &t->zones[zone]) {
		en.node = match.node;
		en.encloser = match.encloser;
		return enter(&en);
	}
	r = (int)tables_place_name(t, &lower.name, zone, &inner);
	return r == -EXDEV ? enter_shadowed(&en, inner) : r;
}
