/* Thousands of generated queries, asked of our process and of NSD, over UDP and TCP, with the same
 * zone files: the answers must be the same, but for what `explained` says.
 *
 *	test_nsd [QUERIES [SEED]]	2000 without; LONG=1 in the environment: 20000
 *
 * The same again with signed zones: our tables, which are asked directly then, are written to files for
 * NSD with all that our signer put into them, so that each signature and each proof is the same, too.
 *
 * Sections are compared as sets of records, in lower case: order and compression are nobody's
 * business but the client's.  Needs root (for a network namespace) and NSD's package; else skipped.
 */
#include <sys/prctl.h>

#include "tests/dns/keys.h"
#include "tests/dns/process.h"
#include "tests/netns.h"

#include "dns/zone_walk.h"

#define NSD_ADDR "127.0.0.2"
enum { NSD_ERROR_US = 11000 }; /* it sends a hundred FORMERR and NOTIMP a second, and no more */
enum { NSD_PORT = 5300, QUERIES = 2000, QUERIES_LONG = 20000, PACKET_MAX = 65535, ANSWER_MS = 3000, SHOWN = 30 };

static unsigned n_queries;
static uint64_t seed = 1;

static uint64_t random_bits(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned below(unsigned n) { return (unsigned)(random_bits() >> 33) % n; }

/* ---- zones ---- */

static const char *const zones[] = { "test.example", "inner.test.example", "other.example" };
static bool with_signatures; /* all of them are signed, and asked with DO alone */

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1024 * 1024);

	if (!f)
		fail_msg("%s is not there: run the test from the top of the tree", path);
	assert_true(fread(text, 1, 1024 * 1024 - 1, f) > 0);
	fclose(f);
	return text;
}

/* ---- NSD ---- */

static struct {
	pid_t pid;
	char dir[32];
} nsd;

static const char *nsd_program(void)
{
	static const char *const places[] = { "/usr/sbin/nsd", "/usr/local/sbin/nsd" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

static void write_nsd_conf(const char *path)
{
	FILE *f = fopen(path, "we");
	char cwd[512];

	assert_non_null(f);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	fprintf(f, "server:\n ip-address: %s@%d\n server-count: 1\n database: \"\"\n username: \"\"\n zonesdir: \"%s\"\n"
		   " pidfile: \"%s/pid\"\n xfrdfile: \"%s/xfrd\"\n zonelistfile: \"%s/list\"\n xfrdir: \"%s\"\n"
		   " ipv4-edns-size: %d\n rrl-ratelimit: 0\n hide-version: yes\n hide-identity: yes\n"
		   " minimal-responses: yes\n round-robin: no\n logfile: \"%s/log\"\n"
		   " answer-cookie: yes\n cookie-secret: \"000102030405060708090a0b0c0d0e0f\"\n"
		   "remote-control:\n control-enable: no\n",
		NSD_ADDR, NSD_PORT, cwd, nsd.dir, nsd.dir, nsd.dir, nsd.dir, WIRE_UDP_MAX, nsd.dir);
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++)
		fprintf(f, "zone:\n name: %s\n zonefile: %s/%s\n", zones[i], with_signatures ? nsd.dir : "tests/dns/zones",
			zones[i]);
	fclose(f);
}

static void make_nsd_dir(void)
{
	strcpy(nsd.dir, "/tmp/jitsu-nsd-XXXXXX");
	assert_non_null(mkdtemp(nsd.dir));
}

static void start_nsd(void)
{
	char conf[64];

	snprintf(conf, sizeof(conf), "%s/conf", nsd.dir);
	write_nsd_conf(conf);
	nsd.pid = fork();
	if (nsd.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(nsd_program(), "nsd", "-d", "-c", conf, (char *)NULL);
		_exit(127);
	}
}

static void stop_nsd(void)
{
	const char *const files[] = { "conf", "pid", "xfrd", "list", "log", zones[0], zones[1], zones[2] };
	char path[64];

	kill(nsd.pid, SIGTERM);
	waitpid(nsd.pid, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", nsd.dir, files[i]);
		unlink(path);
	}
	rmdir(nsd.dir);
}

/* ---- ours ---- */

static void load_ours(struct world *w)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 16, .seq = 1, .n_secrets = 1 };

	for (uint8_t i = 0; i < 16; i++) /* the same secret as NSD's */
		conf.secrets[0].b[i] = i;
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		struct msg_dns_zone z = zone_msg(zones[i]);
		char path[100];
		char *text;

		z.serial = 1; /* the file's counts */
		snprintf(path, sizeof(path), "tests/dns/zones/%s", zones[i]);
		text = read_text(path);
		ipc_send(w->launcher, MSG_DNS_ZONE, &z);
		give_zone_file(w, zones[i], text);
		free(text);
	}
	ipc_send(w->launcher, MSG_END, NULL);
	WAIT_FOR(w, w->n_loaded > 0);
	if (w->loaded.error)
		fail_msg("%s", w->loaded.text);
}

/* ---- queries ---- */

/* Names to begin with: all of the zones' owners and targets, and what lies beside, above, below. */
static struct {
	char *names[2000];
	unsigned n;
} pool;

static void add_name(const char *name)
{
	for (unsigned i = 0; i < pool.n; i++)
		if (strcasecmp(pool.names[i], name) == 0)
			return;
	if (pool.n < ARRAY_SIZE(pool.names) && strlen(name) < 240)
		pool.names[pool.n++] = strdup(name);
}

static void add_rdata_names(const ldns_rr *rr)
{
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		if (ldns_rdf_get_type(ldns_rr_rdf(rr, i)) == LDNS_RDF_TYPE_DNAME) {
			char *text = ldns_rdf2str(ldns_rr_rdf(rr, i));

			add_name(text);
			free(text);
		}
	}
}

static void add_zone_names(const char *zone)
{
	char path[100];
	ldns_zone *z = NULL;
	ldns_rdf *origin = ldns_dname_new_frm_str(zone);
	FILE *f;
	int line = 0;

	snprintf(path, sizeof(path), "tests/dns/zones/%s", zone);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(ldns_zone_new_frm_fp_l(&z, f, origin, 3600, LDNS_RR_CLASS_IN, &line), LDNS_STATUS_OK);
	for (size_t i = 0; i < ldns_zone_rr_count(z); i++) {
		char *text = ldns_rdf2str(ldns_rr_owner(ldns_rr_list_rr(ldns_zone_rrs(z), i)));

		add_name(text);
		free(text);
		add_rdata_names(ldns_rr_list_rr(ldns_zone_rrs(z), i));
	}
	ldns_zone_deep_free(z);
	ldns_rdf_deep_free(origin);
	fclose(f);
	add_name(zone);
}

static void fill_pool(void)
{
	static const char *const more[] = { ".", "example.", "com.", "elsewhere.net.", "est.example.", "xtest.example.",
					    "y.sub4.test.example.", "sub4.test.example.", "odd.test.example.",
					    "w2.test.example.", "wild.test.example.", "deep.test.example.",
					    "2.3.4.5.6.7.8.9.10.deep.test.example.", "*.test.example." };

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++)
		add_zone_names(zones[i]);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		add_name(more[i]);
}

/* In wire form; 0 when it became too long. */
static size_t random_name(uint8_t *out)
{
	static const char *const labels[] = { "www", "ns", "any", "a", "b", "*", "mail", "x", "nowhere", "_tcp", "www.a",
					      "this-is-a-rather-long-label-that-makes-names-long-1234567890123" };
	char text[1100];
	ldns_rdf *rdf;
	unsigned down = below(10), up = below(10);
	size_t n;

	str_copy(text, pool.names[below(pool.n)]);
	for (; up >= 8 && strchr(text, '.') && text[1]; up--)
		memmove(text, strchr(text, '.') + 1, strlen(strchr(text, '.')));
	for (; down >= 7; down--) {
		char longer[1100];

		snprintf(longer, sizeof(longer), "%s.%.1000s", labels[below(ARRAY_SIZE(labels))], text[0] == '.' ? "" : text);
		str_copy(text, longer);
	}
	rdf = ldns_dname_new_frm_str(text[0] ? text : ".");
	if (!rdf)
		return 0;
	n = ldns_rdf_size(rdf);
	memcpy(out, ldns_rdf_data(rdf), n);
	ldns_rdf_deep_free(rdf);
	for (size_t i = 0; i < n && below(4) == 0; i++)
		if (out[i] >= 'a' && out[i] <= 'z')
			out[i] = (uint8_t)(out[i] - (below(2) ? 32 : 0));
	return n;
}

static unsigned random_type(void)
{
	static const uint16_t usual[] = { 1, 1, 1, 28, 28, 15, 16, 2, 6, 5, 33, 39, 43, 65, 64, 255, 12, 257 };
	static const uint16_t odd[] = { 13, 17, 18, 21, 24, 25, 26, 29, 30, 32, 35, 36, 37, 44, 46, 47, 48, 50, 51, 52, 59, 60,
					99, 256, 731, 65280, 65535, 3, 4, 7, 8, 9, 10, 11, 14, 20, 22, 23, 31, 42, 53, 61, 108 };

	return below(5) ? usual[below(ARRAY_SIZE(usual))] : odd[below(ARRAY_SIZE(odd))];
}

static unsigned random_flags(void)
{
	unsigned flags = below(2) ? FLAG_RD : 0;

	if (below(8) == 0)
		flags |= (unsigned)(random_bits() & (FLAG_RD | FLAG_CD | FLAG_AD | FLAG_RA | FLAG_TC | FLAG_AA | 0x40));
	if (below(100) == 0)
		flags |= (1 + below(15)) << 11;
	return flags;
}

static uint8_t *put_opt(uint8_t *p, unsigned version)
{
	static const uint16_t sizes[] = { 512, 1232, 4096, 0, 100, 65535, 600, 1400 };
	unsigned options = below(4) ? 0 : 1 + below(3);
	uint8_t *length;

	*p++ = 0;
	p = wire_put16(p, TYPE_OPT);
	p = wire_put16(p, sizes[below(ARRAY_SIZE(sizes))]);
	*p++ = 0;
	*p++ = (uint8_t)version;
	p = wire_put16(p, below(3) && !with_signatures ? 0 : 0x8000);
	length = p;
	p += 2;
	for (; options > 0; options--) {
		unsigned n = below(9);

		p = wire_put16(p, 65001 + below(100)); /* for experiments: nobody knows them */
		p = wire_put16(p, n);
		memset(p, (int)below(256), n);
		p += n;
	}
	wire_put16(length, (unsigned)(p - length) - 2);
	return p;
}

struct query {
	uint8_t b[1024];
	size_t n, name_n;
	unsigned type, class, flags, n_opt, version;
};

static void random_query(struct query *q)
{
	uint8_t *p = q->b + WIRE_HEADER;

	do
		q->name_n = random_name(p);
	while (q->name_n == 0);
	q->type = random_type();
	q->class = below(60) ? CLASS_IN : below(2) ? 4 : 254; /* (CH and ANY: see below) */
	q->flags = random_flags();
	q->n_opt = below(2) ? 0 : below(40) ? 1 : 2;
	q->version = below(30) ? 0 : 1 + below(255);
	if (with_signatures) { /* what is refused was asked before */
		q->class = CLASS_IN;
		q->flags &= ~(unsigned)FLAG_OPCODE;
		q->n_opt = 1;
		q->version = 0;
	}
	p = wire_put16(p + q->name_n, q->type);
	p = wire_put16(p, q->class);
	for (unsigned i = 0; i < q->n_opt; i++)
		p = put_opt(p, q->version);
	wire_put16(q->b, (unsigned)random_bits() & 0xffff);
	wire_put16(q->b + 2, q->flags);
	wire_put16(q->b + 4, 1);
	wire_put32(q->b + 6, 0);
	wire_put16(q->b + 10, q->n_opt);
	q->n = (size_t)(p - q->b);
}

/* ---- asking ---- */

struct server {
	const char *what, *addr;
	uint16_t port;
	struct tables *tables; /* asked themselves, if there are any */
	int udp, tcp;
	uint8_t b[PACKET_MAX];
	size_t n;
	ldns_pkt *p;
};

static const struct query *asked; /* the newest */

static void fail_query(const struct server *s, const char *how)
{
	char name[NAME_TEXT_MAX];

	fail_msg("%s %s: %s type %u class %u flags %04x, %u OPT, version %u", s->what, how,
		 name_to_text(asked->b + WIRE_HEADER, name), asked->type, asked->class, asked->flags, asked->n_opt,
		 asked->version);
}

static void wait_readable(const struct server *s, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, ANSWER_MS) != 1)
		fail_query(s, "does not answer");
}

static void receive_all(struct server *s, uint8_t *to, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r;

		wait_readable(s, s->tcp);
		r = recv(s->tcp, to + got, n - got, 0);
		if (r <= 0)
			fail_query(s, "closed the connection");
		got += (size_t)r;
	}
}

static void ask_tables_of(struct server *s, const struct query *q, bool tcp)
{
	struct asker asker = { .addr = ip("127.0.0.1"), .tcp = tcp };
	struct answer a;

	answer_query(s->tables, &asker, q->b, q->n, s->b, &a);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	s->n = a.n;
}

static void ask_tcp(struct server *s, const struct query *q)
{
	uint8_t head[2];

	if (s->tables) {
		ask_tables_of(s, q, true);
		return;
	}
	if (s->tcp < 0)
		s->tcp = client_socket(SOCK_STREAM, "127.0.0.1", s->addr, s->port);
	send_tcp(s->tcp, q->b, q->n);
	receive_all(s, head, 2);
	s->n = wire_get16(head);
	receive_all(s, s->b, s->n);
}

static void ask_udp(struct server *s, const struct query *q)
{
	ssize_t n;

	if (s->tables) {
		ask_tables_of(s, q, false);
		return;
	}
	assert_int_equal(send(s->udp, q->b, q->n, 0), q->n);
	do { /* not what was said to wait_for_nsd() late */
		wait_readable(s, s->udp);
		n = recv(s->udp, s->b, sizeof(s->b), 0);
		assert_true(n >= WIRE_HEADER);
	} while (memcmp(s->b, q->b, 2) != 0);
	s->n = (size_t)n;
}

static void parse(struct server *s)
{
	ldns_pkt_free(s->p);
	s->p = NULL;
	if (ldns_wire2pkt(&s->p, s->b, s->n) != LDNS_STATUS_OK)
		fail_msg("%s's answer of %zu bytes is no DNS message", s->what, s->n);
}

/* ---- comparing ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The records of a section, sorted, in lower case, one per line. */
static char *section_text(const ldns_rr_list *section)
{
	size_t n = ldns_rr_list_rr_count(section), size = 1, at = 0;
	char **lines = calloc(n + 1, sizeof(*lines));
	char *text;

	for (size_t i = 0; i < n; i++) {
		lines[i] = ldns_rr2str(ldns_rr_list_rr(section, i));
		for (char *c = lines[i]; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		size += strlen(lines[i]);
	}
	qsort(lines, n, sizeof(*lines), by_text);
	text = calloc(1, size);
	for (size_t i = 0; i < n; i++) {
		at += (size_t)sprintf(text + at, "%s", lines[i]);
		free(lines[i]);
	}
	free(lines);
	return text;
}

enum { IN_HEADER, IN_QUESTION, IN_ANSWER, IN_AUTHORITY, IN_ADDITIONAL, IN_EDNS, WHERE_N };
static const char *const where_names[] = { "header", "question", "answer", "authority", "additional", "EDNS" };

struct difference {
	const struct query *q;
	const struct server *ours, *theirs;
	bool tcp;
	unsigned where; /* bits */
	unsigned our_flags, their_flags;
};

static const ldns_rr_list *section_of(const struct server *s, unsigned where)
{
	return where == IN_ANSWER ? ldns_pkt_answer(s->p) : where == IN_AUTHORITY ? ldns_pkt_authority(s->p)
										   : ldns_pkt_additional(s->p);
}

static bool same_section(const struct server *a, const struct server *b, unsigned where)
{
	char *x = section_text(section_of(a, where)), *y = section_text(section_of(b, where));
	bool same = strcmp(x, y) == 0;

	free(x);
	free(y);
	return same;
}

static bool same_question(const struct server *a, const struct server *b, const struct query *q)
{
	size_t n = wire_get16(a->b + 4) ? q->name_n + 4 : 0;

	return wire_get16(a->b + 4) == wire_get16(b->b + 4) && memcmp(a->b + 12, b->b + 12, n) == 0;
}

static bool same_edns(const ldns_pkt *a, const ldns_pkt *b)
{
	return ldns_pkt_edns(a) == ldns_pkt_edns(b) && ldns_pkt_edns_version(a) == ldns_pkt_edns_version(b) &&
	       ldns_pkt_edns_do(a) == ldns_pkt_edns_do(b) &&
	       ldns_pkt_edns_extended_rcode(a) == ldns_pkt_edns_extended_rcode(b);
}

static void compare(struct difference *d)
{
	const struct server *a = d->ours, *b = d->theirs;

	d->our_flags = wire_get16(a->b + 2);
	d->their_flags = wire_get16(b->b + 2);
	d->where = 0;
	if (memcmp(a->b, b->b, 4) != 0)
		d->where |= 1 << IN_HEADER;
	if (!same_question(a, b, d->q))
		d->where |= 1 << IN_QUESTION;
	for (unsigned i = IN_ANSWER; i <= IN_ADDITIONAL; i++)
		if (!same_section(a, b, i))
			d->where |= 1u << i;
	if (!same_edns(a->p, b->p))
		d->where |= 1 << IN_EDNS;
}

/* ---- what may differ ---- */

struct explanation {
	bool (*is_it)(const struct difference *d);
	const char *why;
	unsigned where; /* it explains differences there, and nowhere else */
	unsigned count;
};

#define HEADER (1u << IN_HEADER)
#define QUESTION (1u << IN_QUESTION)
#define ANSWER (1u << IN_ANSWER)
#define AUTHORITY (1u << IN_AUTHORITY)
#define ADDITIONAL (1u << IN_ADDITIONAL)
#define EDNS (1u << IN_EDNS)

static bool is_opcode(const struct difference *d) { return (d->q->flags & FLAG_OPCODE) != 0; }

static bool is_badvers(const struct difference *d)
{
	return d->q->version > 0 && ldns_pkt_edns_extended_rcode(d->ours->p) == 1;
}

static bool is_class(const struct difference *d)
{
	return d->q->class != CLASS_IN && (d->our_flags & 15) == RCODE_REFUSED;
}

/* Ours is one HINFO (or the CNAME), theirs one set, or TC. */
static bool is_any(const struct difference *d)
{
	bool is_there = ldns_rr_list_rr_count(ldns_pkt_answer(d->theirs->p)) > 0 || d->their_flags & FLAG_TC;

	return d->q->type == TYPE_ANY && ldns_rr_list_rr_count(ldns_pkt_answer(d->ours->p)) > 0 && is_there &&
	       (d->our_flags & ~(unsigned)FLAG_TC) == (d->their_flags & ~(unsigned)FLAG_TC);
}

/* Only ours has TC. */
static bool is_cut_here(const struct difference *d)
{
	return d->our_flags & FLAG_TC && (d->our_flags & ~(unsigned)FLAG_TC) == d->their_flags;
}

static ldns_rr_type first_type(const ldns_rr_list *section)
{
	return ldns_rr_list_rr_count(section) > 0 ? ldns_rr_get_type(ldns_rr_list_rr(section, 0)) : LDNS_RR_TYPE_NULL;
}

/* The same referral, but for the glue. */
static bool is_glue(const struct difference *d)
{
	return is_cut_here(d) && first_type(ldns_pkt_authority(d->ours->p)) == LDNS_RR_TYPE_NS;
}

/* Addresses that nobody asked for: theirs has none, ours is whole all the same. */
static bool is_additional(const struct difference *d)
{
	return d->our_flags & FLAG_AA && d->our_flags == d->their_flags &&
	       ldns_rr_list_rr_count(ldns_pkt_additional(d->theirs->p)) == 0;
}

/* The only record of ours (and its signature), twice. */
static bool is_self(const struct difference *d)
{
	ldns_rr_list *ours = ldns_pkt_answer(d->ours->p), *theirs = ldns_pkt_answer(d->theirs->p);
	size_t n = with_signatures ? 2 : 1;
	bool same = ldns_rr_list_rr_count(ours) == n && ldns_rr_list_rr_count(theirs) == 2 * n &&
		    ldns_rr_get_type(ldns_rr_list_rr(ours, 0)) == LDNS_RR_TYPE_CNAME;

	for (size_t i = 0; same && i < 2 * n; i++)
		same = ldns_rr_compare(ldns_rr_list_rr(ours, i % n), ldns_rr_list_rr(theirs, i)) == 0;
	return same;
}

/* RRSIG as a question: ours are among theirs. */
static bool is_rrsig(const struct difference *d)
{
	ldns_rr_list *ours = ldns_pkt_answer(d->ours->p);
	bool cut = d->their_flags & FLAG_TC, among = d->q->type == TYPE_RRSIG && ldns_rr_list_rr_count(ours) > 0;

	for (size_t i = 0; among && !cut && i < ldns_rr_list_rr_count(ours); i++)
		among = ldns_rr_list_contains_rr(ldns_pkt_answer(d->theirs->p), ldns_rr_list_rr(ours, i));
	return among;
}

/* Signed, and both say TC. */
static bool is_both_cut(const struct difference *d)
{
	return with_signatures && d->our_flags & FLAG_TC && d->our_flags == d->their_flags;
}

/* Signed, and each record of theirs is among ours, which are more. */
static bool is_more(const struct difference *d, unsigned where)
{
	const ldns_rr_list *ours = section_of(d->ours, where), *theirs = section_of(d->theirs, where);
	bool among = with_signatures && ldns_rr_list_rr_count(ours) > ldns_rr_list_rr_count(theirs);

	for (size_t i = 0; among && i < ldns_rr_list_rr_count(theirs); i++)
		among = ldns_rr_list_contains_rr(ours, ldns_rr_list_rr(theirs, i));
	return among;
}

static bool is_unproven(const struct difference *d)
{
	return with_signatures && ldns_pkt_get_rcode(d->theirs->p) == LDNS_RCODE_NXDOMAIN &&
	       first_type(ldns_pkt_answer(d->theirs->p)) == LDNS_RR_TYPE_DNAME &&
	       (is_cut_here(d) || is_more(d, IN_AUTHORITY));
}

/* Theirs did just fit. */
static bool is_whole_soa(const struct difference *d)
{
	size_t limit = MIN(MAX(wire_get16(d->q->b + WIRE_HEADER + d->q->name_n + 7), WIRE_UDP_PLAIN), WIRE_UDP_MAX);

	return with_signatures && is_cut_here(d) && first_type(ldns_pkt_authority(d->ours->p)) == LDNS_RR_TYPE_SOA &&
	       d->theirs->n + 40 > limit;
}

static bool is_unsigned_additional(const struct difference *d) { return is_more(d, IN_ADDITIONAL); }

static bool is_nsec3(const struct difference *d)
{
	ldns_rr_list *ours = ldns_pkt_answer(d->ours->p);

	return d->q->type == TYPE_NSEC3 && ldns_rr_list_rr_count(ours) > 0 &&
	       ldns_rr_list_rr_count(ldns_pkt_answer(d->theirs->p)) == 0;
}

/* ns.inner.test.example or below: test.example's file has it, but it lies in a zone of its own. */
static bool is_shadowed(const struct difference *d)
{
	static const char shadowed[] = "\x02ns\x05inner\x04test\x07" "example";
	uint8_t name[WIRE_NAME_MAX];
	size_t n = sizeof(shadowed);

	wire_lower(name, d->q->b + WIRE_HEADER, d->q->name_n);
	return d->q->name_n >= n && memcmp(name + d->q->name_n - n, shadowed, n) == 0;
}

/* Aliases that do not fit, or do not fit NSD, which compresses less. */
static bool is_cut_chain(const struct difference *d)
{
	ldns_rr_list *ours = ldns_pkt_answer(d->ours->p), *theirs = ldns_pkt_answer(d->theirs->p);

	return d->their_flags & FLAG_TC && ldns_rr_list_rr_count(ours) >= ldns_rr_list_rr_count(theirs) &&
	       ldns_rr_list_rr_count(theirs) > 0 &&
	       (ldns_rr_get_type(ldns_rr_list_rr(theirs, 0)) == LDNS_RR_TYPE_DNAME ||
		ldns_rr_get_type(ldns_rr_list_rr(theirs, 0)) == LDNS_RR_TYPE_CNAME);
}

#define SECTIONS (ANSWER | AUTHORITY | ADDITIONAL)

static struct explanation explained[] = {
	{ is_cut_chain, "aliases that do not fit: NSD compresses fewer, and beside TC may have the rcode of their end",
	  HEADER | SECTIONS, 0 },
	{ is_nsec3, "NSEC3: NSD follows no alias to it", HEADER | SECTIONS, 0 },
	{ is_shadowed, "a wildcard of a zone, and its parent's glue for that name: to NSD the name is there",
	  HEADER | SECTIONS, 0 },
	{ is_opcode, "NOTIMP: NSD leaves out question and OPT, and copies the query's flags", HEADER | QUESTION | EDNS, 0 },
	{ is_additional, "addresses of MX, SRV, NS, HTTPS targets: without \"minimal-responses\" NSD would add NS, too",
	  ADDITIONAL, 0 },
	{ is_self, "a wildcard that is a CNAME of the name itself: once is enough", ANSWER, 0 },
	{ is_badvers, "BADVERS: NSD does not echo DO, and copies other flags of the query", HEADER | EDNS, 0 },
	{ is_class, "another class: NSD leaves out the question", QUESTION, 0 },
	{ is_any, "ANY: RFC 8482, 4.2 (HINFO) here, 4.1 (one set; here the smallest, if it is signed) there",
	  HEADER | SECTIONS, 0 },
	{ is_rrsig, "RRSIG: those of one set here, as RFC 8482 has it for ANY", HEADER | ANSWER, 0 },
	{ is_both_cut, "signed answers that do not fit: as much as there was room for, and TC", SECTIONS, 0 },
	{ is_unproven, "NXDOMAIN behind a DNAME: NSD 4.6 does not prove that the name is not there", HEADER | AUTHORITY, 0 },
	{ is_whole_soa, "a signed \"no\" that just fits there: our SOA has names of other zones uncompressed",
	  HEADER | AUTHORITY, 0 },
	{ is_unsigned_additional, "additional sets whose signature does not fit: RFC 4035, 3.1.1 lets them stay",
	  ADDITIONAL, 0 },
	{ is_glue, "glue that does not fit: RFC 9471 wants TC, NSD 4.6 leaves it out", HEADER | ADDITIONAL, 0 },
};

static bool is_explained(const struct difference *d)
{
	unsigned left = d->where;

	for (size_t i = 0; i < ARRAY_SIZE(explained) && left; i++) {
		if (!explained[i].is_it || !(explained[i].where & left) || !explained[i].is_it(d))
			continue;
		explained[i].count++;
		left &= ~explained[i].where;
	}
	return left == 0;
}

static void show(const struct difference *d)
{
	char name[NAME_TEXT_MAX];
	char *text;

	printf("---- %s type %u class %u flags %04x, %u OPT, version %u, %s; differs in", name_to_text(d->q->b + 12, name),
		      d->q->type, d->q->class, d->q->flags, d->q->n_opt, d->q->version, d->tcp ? "TCP" : "UDP");
	for (unsigned i = 0; i < WHERE_N; i++)
		if (d->where & 1u << i)
			printf(" %s", where_names[i]);
	text = ldns_pkt2str(d->ours->p);
	printf("\n== ours, %zu bytes\n%s", d->ours->n, text);
	free(text);
	text = ldns_pkt2str(d->theirs->p);
	printf("== NSD's, %zu bytes\n%s", d->theirs->n, text);
	free(text);
}

/* ---- the test ---- */

static unsigned ask_both(struct server *ours, struct server *theirs, unsigned i)
{
	struct difference d = { .ours = ours, .theirs = theirs, .tcp = i % 8 == 0 };
	struct query q = { .n = 0 };

	random_query(&q);
	d.q = asked = &q;
	if (q.flags & FLAG_OPCODE || q.n_opt > 1)
		usleep(NSD_ERROR_US);
	(d.tcp ? ask_tcp : ask_udp)(ours, &q);
	(d.tcp ? ask_tcp : ask_udp)(theirs, &q);
	asked = NULL;
	parse(ours);
	parse(theirs);
	compare(&d);
	if (is_explained(&d))
		return 0;
	show(&d);
	return 1;
}

/* NSD listens some time after it was started. */
static void wait_for_nsd(struct server *s)
{
	struct query q = { .n = WIRE_HEADER + 5 };
	struct pollfd p = { .fd = s->udp, .events = POLLIN };
	uint64_t until = clock_now_ms() + 10000;
	bool up = false;

	wire_put16(q.b + 4, 1);
	wire_put32(q.b + WIRE_HEADER + 1, 0x00060001); /* the root's SOA */
	while (!up && clock_now_ms() < until) {
		send(s->udp, q.b, q.n, 0);
		up = poll(&p, 1, 50) == 1 && recv(s->udp, s->b, sizeof(s->b), 0) > 0;
		if (!up)
			usleep(20000);
	}
	assert_true(up);
}

struct both {
	struct world w;
	struct server ours, theirs;
};

static int setup(void **state)
{
	struct both *b = calloc(1, sizeof(*b));

	*state = b;
	with_signatures = false;
	make_nsd_dir();
	start_nsd();
	start_process(&b->w);
	load_ours(&b->w);
	b->ours = (struct server){ .what = "jitsu", .addr = "127.0.0.1", .port = b->w.port4, .tcp = -1 };
	b->theirs = (struct server){ .what = "NSD", .addr = NSD_ADDR, .port = NSD_PORT, .tcp = -1 };
	b->ours.udp = client_socket(SOCK_DGRAM, "127.0.0.1", b->ours.addr, b->ours.port);
	b->theirs.udp = client_socket(SOCK_DGRAM, "127.0.0.1", b->theirs.addr, b->theirs.port);
	fill_pool();
	wait_for_nsd(&b->theirs);
	return 0;
}

static void close_server(struct server *s)
{
	ldns_pkt_free(s->p);
	close(s->udp);
	if (s->tcp >= 0)
		close(s->tcp);
}

static int teardown(void **state)
{
	struct both *b = *state;

	stop_nsd();
	stop_process(&b->w);
	for (unsigned i = 0; i < pool.n; i++)
		free(pool.names[i]);
	pool.n = 0;
	close_server(&b->ours);
	close_server(&b->theirs);
	free(b);
	return 0;
}

static void test_same_answers_as_nsd(void **state)
{
	struct both *b = *state;
	unsigned differ = 0;

	for (unsigned i = 0; i < n_queries && differ < SHOWN; i++)
		differ += ask_both(&b->ours, &b->theirs, i);
	for (size_t i = 0; i < ARRAY_SIZE(explained); i++) {
		print_message("%6u %s\n", explained[i].count, explained[i].why);
		explained[i].count = 0;
	}
	assert_int_equal(differ, 0);
}

/* ---- signed zones ---- */

static struct tables *make_signed_tables(void)
{
	static const unsigned algorithms[] = { LDNS_SIGN_ECDSAP256SHA256, LDNS_SIGN_ED25519, LDNS_SIGN_ECDSAP256SHA256 };
	struct test_key *keys[ARRAY_SIZE(zones) + 1] = { NULL };
	struct signatures *cache = signatures_new();
	struct tables *t = tables_new();

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		struct msg_dns_zone z = zone_msg(zones[i]);

		keys[i] = make_key(zones[i], algorithms[i], KEY_ALL);
		assert_int_equal(tables_add_zone(t, &z), 0);
	}
	assert_int_equal(tables_place(t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		char path[100];
		char *text;

		snprintf(path, sizeof(path), "tests/dns/zones/%s", zones[i]);
		text = read_text(path);
		add_zone_text(t, zones[i], text);
		free(text);
	}
	assert_int_equal(tables_finish(t), 0);
	sign_tables(t, keys, cache, (uint32_t)(clock_wall_ms() / MS_PER_S));
	signatures_free(cache);
	for (size_t i = 0; keys[i]; i++)
		free_key(keys[i]);
	return t;
}

static void print_set(FILE *f, const struct tables *t, const struct zone_set *set)
{
	const uint8_t *p = set->records;

	for (unsigned i = 0; i < set->count; i++) {
		uint8_t b[WIRE_NAME_MAX + PACKET_MAX];
		size_t n = WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10), at = 0;
		ldns_rr *rr = NULL;

		memcpy(b, tables_name(t, set->owner), set->owner->name_n);
		memcpy(b + set->owner->name_n, p + 2, n - 2);
		assert_int_equal(ldns_wire2rr(&rr, b, set->owner->name_n + n - 2, &at, LDNS_SECTION_ANSWER), LDNS_STATUS_OK);
		ldns_rr_print(f, rr);
		ldns_rr_free(rr);
		p += n;
	}
}

static void write_zone(const struct tables *t, uint32_t zone)
{
	const struct zone_rrset *soa = zone_soa(t, zone);
	struct zone_set set = { tables_node(t, tables_zone_at(t, zone)->apex), TYPE_SOA, 1, tables_bytes(t, soa), soa->n };
	unsigned budget = UINT32_MAX;
	struct zone_walk w;
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", nsd.dir, zones[zone]);
	f = fopen(path, "we");
	assert_non_null(f);
	print_set(f, t, &set);
	zone_walk_begin(&w, t, zone);
	while (zone_walk_next(&w, &budget, &set) > 0)
		print_set(f, t, &set);
	fclose(f);
}

static int setup_signed(void **state)
{
	struct both *b = calloc(1, sizeof(*b));

	*state = b;
	with_signatures = true;
	make_nsd_dir();
	b->ours = (struct server){ .what = "jitsu", .tcp = -1, .udp = -1, .tables = make_signed_tables() };
	for (uint32_t i = 0; i < ARRAY_SIZE(zones); i++)
		write_zone(b->ours.tables, i);
	start_nsd();
	b->theirs = (struct server){ .what = "NSD", .addr = NSD_ADDR, .port = NSD_PORT, .tcp = -1 };
	b->theirs.udp = client_socket(SOCK_DGRAM, "127.0.0.1", b->theirs.addr, b->theirs.port);
	fill_pool();
	wait_for_nsd(&b->theirs);
	return 0;
}

static int teardown_signed(void **state)
{
	struct both *b = *state;

	stop_nsd();
	for (unsigned i = 0; i < pool.n; i++)
		free(pool.names[i]);
	pool.n = 0;
	tables_free(b->ours.tables);
	close_server(&b->ours);
	close_server(&b->theirs);
	free(b);
	return 0;
}

/* Asks with this cookie; the one in the answer. */
static void exchange_cookie(struct server *s, const uint8_t *cookie, size_t n, uint8_t out[COOKIE_FULL])
{
	struct query q = { .name_n = 1, .type = TYPE_SOA, .class = CLASS_IN, .n_opt = 1 };
	const uint8_t *options;
	uint8_t *p;
	size_t i = 0;

	asked = &q;
	wire_put16(q.b, 4711);
	wire_put16(q.b + 4, 1);
	wire_put16(q.b + 10, 1);
	p = put_dotted(q.b + WIRE_HEADER, "test.example");
	p = wire_put32(p, TYPE_SOA << 16 | CLASS_IN);
	*p++ = 0;
	p = wire_put32(wire_put16(wire_put16(p, TYPE_OPT), 1232), 0);
	p = wire_put16(p, (unsigned)n + 4);
	p = wire_put16(wire_put16(p, OPTION_COOKIE), (unsigned)n);
	memcpy(p, cookie, n);
	q.n = (size_t)(p - q.b) + n;
	ask_udp(s, &q);
	parse(s);
	assert_non_null(ldns_pkt_edns_data(s->p));
	options = ldns_rdf_data(ldns_pkt_edns_data(s->p));
	while (wire_get16(options + i) != OPTION_COOKIE)
		i += 4u + wire_get16(options + i + 2);
	assert_int_equal(wire_get16(options + i + 2), COOKIE_FULL);
	memcpy(out, options + i + 4, COOKIE_FULL);
	asked = NULL;
}

/* RFC 9018: servers with one secret take each other's cookies.  What is good comes back as it was. */
static void test_cookies_of_nsd_are_good(void **state)
{
	static const uint8_t client[WIRE_COOKIE_CLIENT] = "8 bytes";
	uint8_t theirs[COOKIE_FULL], ours[COOKIE_FULL], again[COOKIE_FULL];
	struct both *b = *state;

	exchange_cookie(&b->theirs, client, sizeof(client), theirs);
	usleep(1100000); /* a new one would have another time in it */
	exchange_cookie(&b->ours, theirs, sizeof(theirs), again);
	assert_memory_equal(again, theirs, sizeof(theirs));
	exchange_cookie(&b->ours, client, sizeof(client), ours);
	assert_memory_not_equal(ours, theirs, sizeof(ours));
	usleep(1100000);
	exchange_cookie(&b->theirs, ours, sizeof(ours), again);
	assert_memory_equal(again, ours, sizeof(ours));
	theirs[20] ^= 1;
	exchange_cookie(&b->ours, theirs, sizeof(theirs), again);
	assert_memory_not_equal(again, theirs, sizeof(theirs));
}

static void test_skipped(void **state)
{
	(void)state;
	skip();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_same_answers_as_nsd, setup, teardown),
					    cmocka_unit_test_setup_teardown(test_same_answers_as_nsd, setup_signed, teardown_signed),
					    cmocka_unit_test_setup_teardown(test_cookies_of_nsd_are_good, setup, teardown) };
	const struct CMUnitTest none[] = { cmocka_unit_test(test_skipped) };

	signal(SIGPIPE, SIG_IGN);
	n_queries = argc > 1 ? (unsigned)atoi(argv[1]) : getenv("LONG") ? QUERIES_LONG : QUERIES;
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10) * 2 + 1;
	if (!nsd_program()) {
		printf("skip: NSD is not here (package nsd)\n");
		return cmocka_run_group_tests(none, NULL, NULL);
	}
	if (!netns_enter()) {
		printf("skip: no network namespace\n");
		return cmocka_run_group_tests(none, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
