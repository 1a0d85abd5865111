/* Theory of operation
 *
 *	KEYS	each zone's DNSKEY, CDS and CDNSKEY records are put to its apex (RFC 7344, RFC 8078)
 *	CHAIN	its names are ordered and get their NSEC (nsec.c)
 *	NAMES	the sets of each of these names are signed; then the SOA of negative answers
 *
 * RRSIG records are no set of their own: they lie behind the bytes of the set that they sign, so that
 * both are copied into an answer at once.  Signed is what the zone has authority for: all of it, but of
 * delegations only DS and NSEC.  Each form of a service's addresses is signed (enum zone_variant).
 *
 * What is signed (RFC 4034, 3.1.8.1) is put together in one buffer, with the times left zero.  That and
 * the key are the digest by which a signature made before is found (signatures.h); only without one that
 * lasts long enough a new one is made.  A step is as many signatures as fit a millisecond.
 *
 * Signing answers one by one as they are asked for was refused: it is slower by a hundred times, and
 * then the names that do not exist would have to be hidden behind made-up ones.
 */
#include "dns/sign.h"

#include <openssl/evp.h>

#include "dns/canonical.h"
#include "dns/nsec.h"

enum {
	STEP_WORK = 512, /* in signatures found again; to make one is */
	WORK_NEW = 16,
	RRSIG_HEAD = 18, /* of its data, before the signer's name */
};

enum phase { KEYS, CHAIN, NAMES, DONE };

/* A zone's keys. */
struct signer {
	char zone_name[MSG_DOMAIN_NAME_MAX];
	uint32_t zone; /* ZONE_NONE: not signed */
	unsigned n;
	struct key keys[SIGN_KEYS_MAX];
};

/* One record's data, in the buffer. */
struct piece {
	uint32_t at;
	uint16_t n;
};

struct signing {
	struct signatures *cache;
	enum phase phase;
	unsigned n_signers;
	struct signer *signers[SIGN_ZONES_MAX];
	const struct signer *signer; /* whose key was bad, or whose zone is being signed */
	struct nsec *chain;
	uint32_t at; /* NAMES: of the order */
	uint32_t now_s;
	unsigned work; /* of this step */
	/* of the set being signed: its data in canonical form, what is signed, what goes into the tables */
	struct piece *pieces;
	uint8_t *data, *bytes, *out;
	size_t pieces_room, data_room, bytes_room, out_room;
};

struct signing *signing_new(struct signatures *cache)
{
	struct signing *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->cache = cache;
	s->chain = nsec_new();
	if (!s->chain) {
		signing_free(s);
		return NULL;
	}
	signatures_begin(cache);
	return s;
}

static void signer_free(struct signer *signer)
{
	for (unsigned i = 0; i < signer->n; i++)
		key_clear(&signer->keys[i]);
	free(signer);
}

void signing_free(struct signing *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n_signers; i++)
		signer_free(s->signers[i]);
	nsec_free(s->chain);
	free(s->pieces);
	free(s->data);
	free(s->bytes);
	free(s->out);
	free(s);
}

/* For sentences; or "". */
static const char *signing_zone(const struct signing *s) { return s->signer ? s->signer->zone_name : ""; }

/* ---- keys ---- */

static struct signer *signer_of(struct signing *s, const char *zone)
{
	struct signer *signer;

	for (unsigned i = 0; i < s->n_signers; i++)
		if (strcmp(s->signers[i]->zone_name, zone) == 0)
			return s->signers[i];
	signer = s->n_signers < SIGN_ZONES_MAX ? calloc(1, sizeof(*signer)) : NULL;
	if (!signer)
		return NULL;
	str_copy(signer->zone_name, zone);
	signer->zone = ZONE_NONE;
	s->signers[s->n_signers++] = signer;
	return signer;
}

int signing_add_key(struct signing *s, const struct msg_dns_key *m, int fd, struct err *e)
{
	cleanup_close int taken = fd;
	struct signer *signer = signer_of(s, m->zone);
	int r;

	if (!signer)
		return err_set(e, -ENOSPC, "more than %d zones are signed, or there is no memory", SIGN_ZONES_MAX);
	s->signer = signer;
	if (signer->n == SIGN_KEYS_MAX)
		return err_set(e, -ENOSPC, "zone %.200s has more than %d keys", m->zone, SIGN_KEYS_MAX);
	taken = -1;
	r = key_read(m, fd, &signer->keys[signer->n], e);
	if (r == 0)
		signer->n++;
	return r;
}

static int publish(struct tables *t, uint32_t apex, uint32_t ttl_s, const struct key *k)
{
	struct name name;
	uint8_t ds[KEY_DS];
	int r = 0;

	tables_name_at(t, t->nodes[apex].name_at, &name);
	if (k->publish)
		r = tables_add_data(t, apex, TYPE_DNSKEY, ttl_s, k->dnskey, k->dnskey_n);
	if (r == 0 && k->cds)
		r = key_ds(k, &name, ds);
	if (r == 0 && k->cds)
		r = tables_add_data(t, apex, TYPE_CDS, ttl_s, ds, sizeof(ds));
	if (r == 0 && k->cds)
		r = tables_add_data(t, apex, TYPE_CDNSKEY, ttl_s, k->dnskey, k->dnskey_n);
	return r;
}

static int publish_all(struct tables *t, struct signer *signer)
{
	uint32_t i = tables_zone(t, signer->zone_name);
	struct zone *z = &t->zones[i];
	int r = 0;

	if (i == ZONE_NONE) /* left out, or for another snapshot */
		return 0;
	for (unsigned k = 0; r == 0 && k < signer->n; k++) {
		r = publish(t, z->apex, z->ttl_s, &signer->keys[k]);
		z->is_signed |= signer->keys[k].sign;
	}
	if (z->is_signed)
		signer->zone = i;
	return r;
}

static bool any_signed(const struct signing *s)
{
	for (unsigned i = 0; i < s->n_signers; i++)
		if (s->signers[i]->zone != ZONE_NONE)
			return true;
	return false;
}

static int do_keys(struct signing *s, struct tables *t)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < s->n_signers; i++)
		r = publish_all(t, s->signers[i]);
	s->signer = NULL;
	s->phase = any_signed(s) ? CHAIN : DONE;
	if (r == 0 && s->phase == DONE)
		signatures_end(s->cache);
	return r;
}

static int do_chain(struct signing *s, struct tables *t)
{
	int r = nsec_step(s->chain, t);

	if (r == 0)
		s->phase = NAMES;
	return r < 0 ? r : 0;
}

/* ---- the canonical form of a set (RFC 4034, 6.2, 6.3) ---- */

static bool make_room(void *array, size_t *room, size_t n, size_t size)
{
	void **p = array, *more;

	if (n <= *room)
		return true;
	more = reallocarray(*p, n + n / 2, size);
	if (!more)
		return false;
	*p = more;
	*room = n + n / 2;
	return true;
}

static int compare_pieces(const uint8_t *data, const struct piece *a, const struct piece *b)
{
	int c = memcmp(data + a->at, data + b->at, MIN(a->n, b->n));

	return c ? c : a->n - b->n;
}

/* Sorts and leaves out what is there twice; most sets have one record, few more than some ten. */
static unsigned sort_pieces(const uint8_t *data, struct piece *pieces, unsigned n)
{
	unsigned sorted = 0;

	for (unsigned i = 0; i < n; i++) {
		struct piece piece = pieces[i];
		unsigned low = 0, high = sorted;
		int c = 1;

		while (low < high && c != 0) {
			unsigned middle = (low + high) / 2;

			c = compare_pieces(data, &piece, &pieces[middle]);
			if (c > 0)
				low = middle + 1;
			else
				high = middle;
		}
		if (c == 0 && sorted > 0)
			continue;
		memmove(&pieces[low + 1], &pieces[low], (sorted - low) * sizeof(*pieces));
		pieces[low] = piece;
		sorted++;
	}
	return sorted;
}

/* The data of all records into s->data and s->pieces.  How many there are, or -ENOMEM. */
static int take_pieces(struct signing *s, const struct tables *t, const struct zone_rrset *set)
{
	const uint8_t *p = tables_bytes(t, set);
	uint32_t at = 0;

	if (!make_room(&s->data, &s->data_room, set->n, 1) ||
	    !make_room(&s->pieces, &s->pieces_room, set->count, sizeof(*s->pieces)))
		return -ENOMEM;
	for (unsigned i = 0; i < set->count; i++) {
		uint16_t n = wire_get16(p + 10);

		memcpy(s->data + at, p + WIRE_RECORD_HEAD, n);
		canonical_data(set->type, s->data + at, n);
		s->pieces[i] = (struct piece){ at, n };
		at += n;
		p += WIRE_RECORD_HEAD + n;
	}
	return (int)sort_pieces(s->data, s->pieces, set->count);
}

/* A wildcard's label does not count (RFC 4034, 3.1.3). */
static unsigned labels_of(const uint8_t *name, unsigned labels)
{
	return labels - (labels > 0 && name[0] == 1 && name[1] == '*' ? 1u : 0u);
}

/* What is signed, into s->bytes: an RRSIG's data, of which algorithm, times and tag are still zero, then
 * the records.  Its length, or -ENOMEM. */
static int64_t put_canonical(struct signing *s, const struct tables *t, const struct zone_node *node,
			     const struct zone_rrset *set)
{
	const struct zone_node *apex = &t->nodes[t->zones[node->zone].apex];
	const uint8_t *owner = tables_name(t, node), *first = tables_bytes(t, set);
	int n = take_pieces(s, t, set);
	uint8_t *p;

	if (n < 0 || !make_room(&s->bytes, &s->bytes_room,
				RRSIG_HEAD + WIRE_NAME_MAX + (size_t)n * (node->name_n + 10u) + set->n, 1))
		return -ENOMEM;
	p = s->bytes;
	memset(p, 0, RRSIG_HEAD);
	wire_put16(p, set->type);
	p[3] = (uint8_t)labels_of(owner, node->labels);
	memcpy(p + 4, first + 6, 4); /* the TTL */
	memcpy(p + RRSIG_HEAD, tables_name(t, apex), apex->name_n);
	p += RRSIG_HEAD + apex->name_n;
	for (int i = 0; i < n; i++) {
		memcpy(p, owner, node->name_n);
		p += node->name_n;
		memcpy(p, first + 2, 8); /* type, class, TTL */
		p = wire_put16(p + 8, s->pieces[i].n);
		memcpy(p, s->data + s->pieces[i].at, s->pieces[i].n);
		p += s->pieces[i].n;
	}
	return p - s->bytes;
}

/* ---- signatures ---- */

static int digest(const struct key *k, const uint8_t *bytes, size_t n, uint8_t *out)
{
	uint8_t all[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
		    EVP_DigestUpdate(ctx, k->dnskey, k->dnskey_n) && EVP_DigestUpdate(ctx, bytes, n) &&
		    EVP_DigestFinal_ex(ctx, all, NULL);

	EVP_MD_CTX_free(ctx);
	memcpy(out, all, SIGNATURES_DIGEST);
	return good ? 0 : -ENOMEM;
}

/* Times compare as serials do (RFC 4034, 3.1.5). */
static bool lasts(const struct signature *known, uint32_t now_s)
{
	return (int32_t)(now_s - known->inception_s) >= 0 && (int32_t)(known->expiration_s - now_s) >= SIGN_RENEW_S;
}

/* Of s->bytes, whose head is complete then but for the times of the signature. */
static int get_signature(struct signing *s, const struct key *k, size_t n, struct signature *out)
{
	const struct signature *known;
	int r;

	memset(s->bytes + 8, 0, 8);
	s->bytes[2] = k->algorithm;
	wire_put16(s->bytes + 16, k->tag);
	r = digest(k, s->bytes, n, out->digest);
	if (r < 0)
		return r;
	s->work++;
	known = signatures_find(s->cache, out->digest);
	if (known && lasts(known, s->now_s)) {
		*out = *known;
		return 0;
	}
	s->work += WORK_NEW;
	out->inception_s = s->now_s - SIGN_EARLY_S;
	out->expiration_s = s->now_s + SIGN_VALID_S;
	wire_put32(s->bytes + 8, out->expiration_s);
	wire_put32(s->bytes + 12, out->inception_s);
	r = key_sign(k, s->bytes, n, out->bytes);
	if (r == 0)
		signatures_add(s->cache, out);
	return r;
}

static uint8_t *put_rrsig(const struct signing *s, uint8_t *p, uint32_t ttl_s, size_t head_n,
			  const struct signature *signature)
{
	uint8_t *data = tables_put_head(p, TYPE_RRSIG, ttl_s, head_n + KEY_SIGNATURE);

	memcpy(data, s->bytes, head_n);
	wire_put32(data + 8, signature->expiration_s);
	wire_put32(data + 12, signature->inception_s);
	memcpy(data + head_n, signature->bytes, KEY_SIGNATURE);
	return data + head_n + KEY_SIGNATURE;
}

static bool is_of_keys(unsigned type) { return type == TYPE_DNSKEY || type == TYPE_CDS || type == TYPE_CDNSKEY; }

/* RRSIG records of all keys that sign this, at `p`.  Where they end, or NULL with *error. */
static uint8_t *put_rrsigs(struct signing *s, bool of_keys, uint8_t *p, uint32_t ttl_s, size_t head_n, size_t n,
			   int *error)
{
	for (unsigned i = 0; i < s->signer->n; i++) {
		const struct key *k = &s->signer->keys[i];
		struct signature signature;

		if (of_keys ? !k->sign_keys : !k->sign)
			continue;
		*error = get_signature(s, k, n, &signature);
		if (*error < 0)
			return NULL;
		p = put_rrsig(s, p, ttl_s, head_n, &signature);
	}
	return p;
}

/* The set's bytes again, with its signatures behind them. */
static int sign_set(struct signing *s, struct tables *t, uint32_t node, uint32_t i)
{
	struct zone_rrset *set = &t->rrsets[i];
	int64_t n = put_canonical(s, t, &t->nodes[node], set), at;
	size_t head_n = RRSIG_HEAD + t->zones[t->nodes[node].zone].name_n;
	bool of_keys = t->nodes[node].flags & NODE_APEX && is_of_keys(set->type);
	uint32_t ttl_s;
	uint8_t *end;
	int r = 0;

	if (n < 0 || !make_room(&s->out, &s->out_room,
				set->n + SIGN_KEYS_MAX * (WIRE_RECORD_HEAD + head_n + KEY_SIGNATURE), 1))
		return -ENOMEM;
	memcpy(s->out, tables_bytes(t, set), set->n);
	ttl_s = (uint32_t)wire_get16(s->out + 6) << 16 | wire_get16(s->out + 8);
	end = put_rrsigs(s, of_keys, s->out + set->n, ttl_s, head_n, (size_t)n, &r);
	if (!end)
		return r;
	at = tables_store(t, s->out, (size_t)(end - s->out));
	if (at < 0)
		return (int)at;
	set->at = (uint32_t)at;
	set->room = set->n;
	set->sig_n = (uint16_t)(end - s->out - set->n);
	return 0;
}

/* ---- names ---- */

static const struct signer *signer_at(const struct signing *s, uint32_t zone)
{
	for (unsigned i = 0; i < s->n_signers; i++)
		if (s->signers[i]->zone == zone)
			return s->signers[i];
	return NULL;
}

/* A delegation's NS are the inner zone's, a zone's DS the outer's. */
static bool is_signed_here(const struct zone_node *node, unsigned type)
{
	if (node->flags & NODE_CUT)
		return type == TYPE_DS || type == TYPE_NSEC;
	return !(node->flags & NODE_APEX) || type != TYPE_DS;
}

/* The node of an inner zone of ours has the DS as the outer zone's has (nsec.c). */
static void share_ds(struct tables *t, uint32_t node)
{
	const struct zone_node *outer = &t->nodes[node];
	const struct zone_rrset *signed_ds = tables_rrset(t, outer, TYPE_DS);
	struct zone_rrset *ds = NULL;
	struct zone_match match;

	if (signed_ds && tables_find(t, tables_name(t, outer), outer->name_n, outer->labels, &match) && match.node)
		ds = (struct zone_rrset *)tables_rrset(t, match.node, TYPE_DS);
	if (!ds || ds == signed_ds)
		return;
	ds->at = signed_ds->at;
	ds->sig_n = signed_ds->sig_n;
}

static int sign_node(struct signing *s, struct tables *t, uint32_t node)
{
	int r = 0;

	if (!s->signer || s->signer->zone != t->nodes[node].zone)
		s->signer = signer_at(s, t->nodes[node].zone);
	for (uint32_t i = t->nodes[node].rrsets; r == 0 && i != ZONE_NONE; i = t->rrsets[i].next)
		if (is_signed_here(&t->nodes[node], t->rrsets[i].type))
			r = sign_set(s, t, node, i);
	if (r == 0 && t->nodes[node].flags & NODE_CUT)
		share_ds(t, node);
	return r;
}

/* The SOA of negative answers has the signatures of the SOA, with a TTL as its own. */
static int sign_negative(struct tables *t, struct zone *z)
{
	const struct zone_rrset *soa = tables_rrset(t, &t->nodes[z->apex], TYPE_SOA);
	size_t n = z->negative.n, sig_n = soa->sig_n;
	uint8_t *b = malloc(n + sig_n);
	int64_t at;

	if (!b)
		return -ENOMEM;
	memcpy(b, tables_bytes(t, &z->negative), n);
	memcpy(b + n, tables_bytes(t, soa) + soa->n, sig_n);
	for (size_t i = n; i < n + sig_n; i += WIRE_RECORD_HEAD + (size_t)wire_get16(b + i + 10))
		memcpy(b + i + 6, b + 6, 4);
	at = tables_store(t, b, n + sig_n);
	free(b);
	if (at < 0)
		return (int)at;
	z->negative.at = (uint32_t)at;
	z->negative.sig_n = (uint16_t)sig_n;
	return 0;
}

static int do_names(struct signing *s, struct tables *t)
{
	int r = 0;

	for (s->work = 0; r == 0 && s->work < STEP_WORK && s->at < t->n_order; s->at++)
		r = sign_node(s, t, t->order[s->at]);
	if (r < 0 || s->at < t->n_order)
		return r;
	for (unsigned i = 0; r == 0 && i < s->n_signers; i++)
		if (s->signers[i]->zone != ZONE_NONE)
			r = sign_negative(t, &t->zones[s->signers[i]->zone]);
	if (r == 0)
		signatures_end(s->cache);
	s->phase = DONE;
	return r;
}

int signing_step(struct signing *s, struct tables *t, uint32_t now_s, struct err *e)
{
	static int (*const steps[])(struct signing *, struct tables *) = { [KEYS] = do_keys, [CHAIN] = do_chain,
									   [NAMES] = do_names };
	int r = 0;

	s->now_s = now_s;
	if (s->phase != DONE)
		r = steps[s->phase](s, t);
	if (r < 0)
		return err_set_errno(e, r, "zone %.200s cannot be signed", signing_zone(s));
	return s->phase != DONE;
}
