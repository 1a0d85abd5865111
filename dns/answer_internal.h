/* What answer.c, answer_service.c, answer_walk.c and answer_sets.c share, and nobody else uses. */
#ifndef DNS_ANSWER_INTERNAL_H
#define DNS_ANSWER_INTERNAL_H

#include "dns/answer.h"

/* What a query for the address of a service leads to, by the service's state and its `answer`. */
enum todo { ANSWER, ANSWER_AND_WAKE, HOLD, HOLD_AND_WAKE, PROVE, FAIL };

enum step { STEP_END, STEP_ON, STEP_HOLD, STEP_PROVE, STEP_FAIL };

static inline bool is_address(unsigned type) { return type == TYPE_A || type == TYPE_AAAA; }

/* ---- replies ---- */

static inline void answer_begin(struct wire_reply *r, const struct wire_query *q, bool tcp, uint8_t *b,
				unsigned flags, unsigned rcode)
{
	wire_begin(r, q, b, MIN(wire_limit(q, tcp), (size_t)ANSWER_SIZE_MAX), flags, rcode);
}

static inline void answer_finish(struct answer *a, struct wire_reply *r, unsigned rcode)
{
	a->verdict = VERDICT_REPLY;
	a->rcode = rcode;
	a->n = wire_end(r, rcode);
}

/* ---- answer_service.c ---- */

/* wake_dns has a say in what wakes and waits: who may not wake it does not wait for it either, where a proof
 * of who he is would help. */
enum todo answer_may_do(const struct answer *a, unsigned wake_dns, enum todo todo);

/* A query for the address of a service.  Of a family that it does not have (*set is NULL), the answer is
 * known at once, unless it is still to be learned; the service is wanted all the same.  *set becomes the form of
 * it that is to be given. */
enum step answer_ask_service(struct answer *a, struct tables *t, const struct zone_node *node,
			     const struct zone_rrset **set);

/* ---- answer_walk.c ---- */

enum { EXTRAS_MAX = 8, GLUED_MAX = 64 };

struct walk {
	struct tables *t;
	struct answer *a;
	bool tcp;
	unsigned flags;
	struct wire_reply r;
	/* where we are */
	struct zone_match m;
	const uint8_t *name; /* in lower case */
	uint8_t name_n, labels;
	bool first; /* still at the question's own name */
	/* names gone through, so that no circle is walked; the last is where we are */
	unsigned n_seen;
	struct name seen[ANSWER_CHAIN_MAX];
	unsigned n_dnames; /* gone through */
	const struct zone_rrset *dnames[ANSWER_CHAIN_MAX + 1];
	/* sets whose names may have addresses worth adding */
	unsigned n_extras;
	const struct zone_rrset *extras[EXTRAS_MAX];
	const struct zone_node *cut; /* a referral's */
	unsigned n_glued;
	const struct zone_node *glued[GLUED_MAX];
	/* names whose NSEC are needed: at most one for each name gone through, and two at the end */
	unsigned n_proofs;
	const struct zone_node *proofs[ANSWER_CHAIN_MAX + 3];
};

/* From where the question's name was found: the whole answer. */
void answer_walk(struct answer *a, struct tables *t, const struct zone_match *m, bool tcp, unsigned flags,
		 uint8_t *b);

/* ---- answer_sets.c ---- */

/* The set of which the bytes are the answer, as a whole: a copy. */
void answer_add_plain(struct wire_reply *r, enum wire_section section, const struct tables *t,
		      const struct zone_rrset *set);
/* RFC 2308, 3: the SOA tells how long "no" may be remembered.  Its owner is the zone: the end of
 * the question's name. */
void answer_add_soa(struct wire_reply *r, const struct tables *t, const struct zone_match *m);

/* In a walk what does not fit is told by TC, but for what is additional.
 * The set with this owner; without one, with the name we have come to. */
void walk_add_set(struct walk *w, enum wire_section section, const struct zone_rrset *set,
		  const struct zone_node *owner);
/* The SOA of the zone we have come to, with the TTL of a "no". */
void walk_add_negative(struct walk *w);
/* RFC 8482, 4.2: one record that says nothing, so that ANY neither amplifies nor wakes. */
void walk_add_hinfo(struct walk *w);
/* The smallest set of the name, but for a service's addresses and the DS of the zone above, that has
 * signatures; or NULL. */
const struct zone_rrset *walk_least_signed(const struct walk *w, const struct zone_node *node);
/* RRSIG as a question is as large a one as ANY, and answered in the same way (RFC 8482, 4.1). */
void walk_add_only_signatures(struct walk *w, const struct zone_rrset *set);

/* What has to be proved, to who asks for it: that this name is not there, or what there is at it; */
void walk_prove(struct walk *w, const uint8_t *name, unsigned labels);
/* what there is at this name, for which its own NSEC is at hand if it is one of this zone; */
void walk_prove_types(struct walk *w, const struct zone_node *node);
/* that no wildcard stands for the name either. */
void walk_prove_no_wildcard(struct walk *w);
/* Behind all else of the authority section. */
void walk_add_proofs(struct walk *w);

/* The addresses of this type that go with what was added.  Of one type for all names, so that each has an
 * address before one has two. */
void walk_add_additional(struct walk *w, unsigned type);
#endif
