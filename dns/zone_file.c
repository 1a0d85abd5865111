/* Theory of operation
 *
 * An entry is a line, or several within parentheses.  It is cut into words (quoted ones keep their
 * quotes and escapes), which bounds what may be wrong with it; owner, TTL, class and type are taken
 * from the front, and what is left is handed to ldns as one line of text with the type before it;
 * unless it is "\# LENGTH HEX", or a type that only so may be given.
 *
 *	$ORIGIN NAME	names without a final dot end in it
 *	$TTL TIME	for records without one; before the first, the TTL of the record before counts,
 *			and before that the zone's
 *	blank owner	the one before
 */
#include "dns/zone_file.h"

#include <ldns/ldns.h>
#include <sys/stat.h>

enum { WORDS_MAX = 16 * 1024, ENTRY_MAX = 320 * 1024, TTL_MAX = INT32_MAX /* RFC 2181, 8 */ };

struct zone_file {
	char *text;
	size_t n, at;
	unsigned line, entry_line;
	char path[MSG_PATH_MAX];
	struct name origin, owner;
	bool has_owner, has_default_ttl;
	uint32_t ttl_s; /* for a record without one */
	/* the entry being read: its words one behind the other, each with a NUL */
	size_t entry_n;
	unsigned n_words;
	bool blank_owner;
	char entry[ENTRY_MAX];
	uint32_t words[WORDS_MAX];
	uint8_t data[WIRE_TCP_MAX];
	char line_for_ldns[ENTRY_MAX + WORDS_MAX];
};

/* ---- mistakes ---- */

int zone_file_blame(const struct zone_file *f, struct err *e)
{
	struct err why = *e;

	return err_set(e, why.code, "%.200s, line %u: %.250s", f->path, f->entry_line, why.text);
}

static int mistake(const struct zone_file *f, struct err *e, const char *why)
{
	err_set(e, -EINVAL, "%s", why);
	return zone_file_blame(f, e);
}

static int mistake_word(const struct zone_file *f, struct err *e, const char *word, const char *why)
{
	err_set(e, -EINVAL, "\"%.60s\" %s", word, why);
	return zone_file_blame(f, e);
}

/* ---- words ---- */

static bool at_end(const struct zone_file *f) { return f->at >= f->n; }

static char peek(const struct zone_file *f) { return at_end(f) ? '\n' : f->text[f->at]; }

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static void skip_comment(struct zone_file *f)
{
	while (!at_end(f) && f->text[f->at] != '\n')
		f->at++;
}

static bool put_char(struct zone_file *f, char c)
{
	if (f->entry_n == ENTRY_MAX)
		return false;
	f->entry[f->entry_n++] = c;
	return true;
}

static bool ends_word(char c) { return c == '\n' || is_blank(c) || c == '(' || c == ')' || c == ';'; }

/* One word, with its quotes if it has any: one that begins with a quote ends with the next, and
 * within a word (alpn="h2,h3") they make its blanks ordinary.  "" or what is wrong. */
static const char *read_word(struct zone_file *f)
{
	bool starts_quoted = peek(f) == '"', quoted = false;

	for (;;) {
		char c = peek(f);

		if (c == '\n' && quoted)
			return "a quotation has no end on its line";
		if (!quoted && ends_word(c))
			return "";
		if (c != '\t' && ((unsigned char)c < ' ' || c == 0x7f))
			return "there is a byte that is no text";
		f->at++;
		if (!put_char(f, c))
			return "a record is too long";
		if (c == '"')
			quoted = !quoted;
		if (c == '"' && starts_quoted && !quoted)
			return "";
		if (c == '\\' && (unsigned char)peek(f) >= ' ' && !put_char(f, f->text[f->at++]))
			return "a record is too long";
	}
}

static const char *add_word(struct zone_file *f)
{
	const char *wrong;

	if (f->n_words == WORDS_MAX)
		return "a record is too long";
	f->words[f->n_words++] = (uint32_t)f->entry_n;
	wrong = read_word(f);
	return *wrong || put_char(f, '\0') ? wrong : "a record is too long";
}

/* All words up to the entry's end.  "" or what is wrong. */
static const char *read_words(struct zone_file *f)
{
	const char *wrong = "";
	unsigned depth = 0;

	for (;;) {
		char c = peek(f);

		if (at_end(f) && depth > 0)
			return "a parenthesis is never closed";
		if (c == '\n' && (depth == 0 || at_end(f)))
			return "";
		if (c == ';') {
			skip_comment(f);
		} else if (c == '\n' || is_blank(c)) {
			f->line += c == '\n';
			f->at++;
		} else if (c == '(' || c == ')') {
			if (c == ')' && depth == 0)
				return "a parenthesis was never opened";
			depth += c == '(' ? 1u : -1u;
			f->at++;
		} else if (*(wrong = add_word(f))) {
			return wrong;
		}
	}
}

/* The next entry that has words.  1, 0 at the end, -EINVAL. */
static int read_entry(struct zone_file *f, struct err *e)
{
	while (!at_end(f)) {
		const char *wrong;

		f->entry_n = f->n_words = 0;
		f->entry_line = f->line;
		f->blank_owner = is_blank(peek(f));
		wrong = read_words(f);
		if (*wrong)
			return mistake(f, e, wrong);
		f->at++;
		f->line++;
		if (f->n_words > 0)
			return 1;
	}
	return 0;
}

static const char *word(const struct zone_file *f, unsigned i) { return f->entry + f->words[i]; }

/* ---- names, times ---- */

static bool read_name(const struct zone_file *f, const char *text, struct name *out)
{
	size_t n = strlen(text), escapes = 0;
	struct name name;

	if (strcmp(text, "@") == 0) {
		*out = f->origin;
		return true;
	}
	if (n == 0 || !name_from_text(text, &name))
		return false;
	while (escapes < n - 1 && text[n - 2 - escapes] == '\\')
		escapes++;
	if (text[n - 1] == '.' && escapes % 2 == 0) {
		*out = name;
		return true;
	}
	return name_join(name.b, name.n - 1u, f->origin.b, f->origin.n, out);
}

/* "3600", "1h30m".  False: no time. */
static bool read_ttl(const char *text, uint32_t *out)
{
	static const struct { char unit; uint32_t s; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 },
	};
	uint64_t total = 0;

	if (!*text)
		return false;
	while (*text) {
		uint64_t n = 0, s = 0;

		if (*text < '0' || *text > '9')
			return false;
		for (; *text >= '0' && *text <= '9'; text++)
			n = MIN(n * 10 + (uint64_t)(*text - '0'), (uint64_t)TTL_MAX + 1);
		for (size_t i = 0; *text && i < ARRAY_SIZE(units); i++)
			if ((*text | 0x20) == units[i].unit)
				s = units[i].s;
		if (*text && s == 0)
			return false;
		total = MIN(total + n * (*text ? s : 1), (uint64_t)TTL_MAX + 1);
		text += *text != '\0';
	}
	*out = (uint32_t)MIN(total, (uint64_t)TTL_MAX + 1);
	return true;
}

/* ---- directives ---- */

static int take_origin(struct zone_file *f, struct err *e)
{
	struct name name;

	if (f->n_words != 2 || !read_name(f, word(f, 1), &name))
		return mistake(f, e, "$ORIGIN wants one DNS name");
	f->origin = name;
	return 0;
}

static int take_default_ttl(struct zone_file *f, struct err *e)
{
	uint32_t ttl_s;

	if (f->n_words != 2 || !read_ttl(word(f, 1), &ttl_s) || ttl_s > TTL_MAX)
		return mistake(f, e, "$TTL wants one time, such as 3600 or 1h");
	f->ttl_s = ttl_s;
	f->has_default_ttl = true;
	return 0;
}

static int take_directive(struct zone_file *f, struct err *e)
{
	const char *what = word(f, 0);

	if (strcasecmp(what, "$ORIGIN") == 0)
		return take_origin(f, e);
	if (strcasecmp(what, "$TTL") == 0)
		return take_default_ttl(f, e);
	if (strcasecmp(what, "$INCLUDE") == 0)
		return mistake(f, e, "$INCLUDE is not supported: put everything into one file");
	if (strcasecmp(what, "$GENERATE") == 0)
		return mistake(f, e, "$GENERATE is not supported: write the records out");
	return mistake_word(f, e, what, "is no directive; there are $ORIGIN and $TTL");
}

/* ---- records ---- */

static int take_owner(struct zone_file *f, unsigned *i, struct err *e)
{
	if (f->blank_owner)
		return f->has_owner ? 0 : mistake(f, e, "there is no name yet that this record could belong to");
	if (!read_name(f, word(f, 0), &f->owner))
		return mistake_word(f, e, word(f, 0), "is no DNS name");
	f->has_owner = true;
	*i = 1;
	return 0;
}

static bool is_class(const char *text)
{
	return strcasecmp(text, "IN") == 0 || strcasecmp(text, "CH") == 0 || strcasecmp(text, "HS") == 0 ||
	       strncasecmp(text, "CLASS", 5) == 0;
}

/* TTL and class, in any order, or none. */
static int take_ttl_and_class(struct zone_file *f, unsigned *i, uint32_t *ttl_s, struct err *e)
{
	bool has_ttl = false, has_class = false;

	*ttl_s = f->ttl_s;
	for (; *i < f->n_words; (*i)++) {
		const char *text = word(f, *i);

		if (!has_class && is_class(text)) {
			if (strcasecmp(text, "IN") != 0 && strcasecmp(text, "CLASS1") != 0)
				return mistake_word(f, e, text, "is not the class of this zone, which is IN");
			has_class = true;
		} else if (!has_ttl && read_ttl(text, ttl_s)) {
			if (*ttl_s > TTL_MAX)
				return mistake_word(f, e, text, "is too long a time; at most 2147483647 seconds");
			has_ttl = true;
		} else {
			break;
		}
	}
	if (has_ttl && !f->has_default_ttl)
		f->ttl_s = *ttl_s;
	return 0;
}

static int take_type(const struct zone_file *f, unsigned *i, uint16_t *type, struct err *e)
{
	unsigned t;

	if (*i >= f->n_words)
		return mistake(f, e, "there is a name, but no record");
	t = ldns_get_rr_type_by_name(word(f, *i));
	if (t == 0 || t > UINT16_MAX)
		return mistake_word(f, e, word(f, *i), "is no record type");
	*type = (uint16_t)t;
	(*i)++;
	return 0;
}

/* ---- data ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3597, 5: "\# LENGTH HEX...", of any type. */
static int read_generic(struct zone_file *f, unsigned at, size_t *n, struct err *e)
{
	size_t digits = 0, wanted = at + 1 < f->n_words ? strtoul(word(f, at + 1), NULL, 10) : WIRE_TCP_MAX;

	if (wanted > ZONE_RRSET_MAX)
		return mistake(f, e, "\\# wants a length and as many bytes in hex");
	for (unsigned i = at + 2; i < f->n_words; i++) {
		for (const char *c = word(f, i); *c; c++, digits++) {
			int v = hex(*c);

			if (v < 0 || digits / 2 >= wanted)
				return mistake_word(f, e, word(f, i), "is not hex, or more than the length says");
			f->data[digits / 2] = (uint8_t)(digits % 2 ? f->data[digits / 2] | v : v << 4);
		}
	}
	if (digits != 2 * wanted)
		return mistake(f, e, "\\# wants a length and as many bytes in hex");
	*n = wanted;
	return 0;
}

/* Whether data of this type may be given in words.  Those that nobody uses are left to read_generic():
 * every parser is one more that can be wrong. */
static bool is_spoken(unsigned type)
{
	static const uint16_t types[] = {
		TYPE_A,	  TYPE_NS,	      TYPE_CNAME,	TYPE_SOA,	    TYPE_PTR,	     TYPE_HINFO,
		TYPE_MINFO, TYPE_MX,	      TYPE_TXT,		TYPE_AAAA,	    TYPE_SRV,	     TYPE_DNAME,
		TYPE_DS,	  TYPE_SVCB,	      TYPE_HTTPS,	LDNS_RR_TYPE_RP,    LDNS_RR_TYPE_AFSDB,
		LDNS_RR_TYPE_RT,  LDNS_RR_TYPE_LOC,   LDNS_RR_TYPE_NAPTR, LDNS_RR_TYPE_KX,  LDNS_RR_TYPE_CERT,
		LDNS_RR_TYPE_SSHFP, LDNS_RR_TYPE_DNSKEY, LDNS_RR_TYPE_TLSA, LDNS_RR_TYPE_SMIMEA, LDNS_RR_TYPE_CDS,
		LDNS_RR_TYPE_CDNSKEY, LDNS_RR_TYPE_OPENPGPKEY, LDNS_RR_TYPE_CSYNC, LDNS_RR_TYPE_SPF, LDNS_RR_TYPE_URI,
		LDNS_RR_TYPE_CAA, /* and these, so that they can be told to go: */
		TYPE_RRSIG, TYPE_NSEC, TYPE_NSEC3, TYPE_NSEC3PARAM,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i] == type)
			return true;
	return false;
}

/* Data as text, with its type and whatever owner, for ldns.  NULL: too long. */
static const char *line_for_ldns(struct zone_file *f, unsigned type_at)
{
	char *out = f->line_for_ldns;
	size_t n = (size_t)sprintf(out, ". 0 IN");

	for (unsigned i = type_at; i < f->n_words; i++) {
		size_t word_n = strlen(word(f, i));

		if (n + word_n + 2 > sizeof(f->line_for_ldns))
			return NULL;
		out[n++] = ' ';
		memcpy(out + n, word(f, i), word_n);
		n += word_n;
	}
	out[n] = '\0';
	return out;
}

static int flatten(const struct zone_file *f, const ldns_rr *rr, uint8_t *data, size_t *n, struct err *e)
{
	*n = 0;
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
		size_t more = rdf ? ldns_rdf_size(rdf) : 0;

		if (!rdf || more > WIRE_TCP_MAX - *n)
			return mistake(f, e, rdf ? "its data is too long" : "its data is not whole");
		if (more > 0)
			memcpy(data + *n, ldns_rdf_data(rdf), more);
		*n += more;
	}
	return 0;
}

static int read_words_of_data(struct zone_file *f, unsigned type_at, size_t *n, struct err *e)
{
	const char *line = line_for_ldns(f, type_at);
	ldns_rdf *origin = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, f->origin.n, f->origin.b);
	ldns_status status = LDNS_STATUS_MEM_ERR;
	ldns_rr *rr = NULL;
	int r;

	if (!line)
		status = LDNS_STATUS_DDD_OVERFLOW;
	else if (origin)
		status = ldns_rr_new_frm_str(&rr, line, 0, origin, NULL);
	if (status == LDNS_STATUS_OK) {
		r = flatten(f, rr, f->data, n, e);
	} else if (status == LDNS_STATUS_MEM_ERR) {
		r = err_set(e, -ENOMEM, "no memory to read %s", f->path);
	} else {
		err_set(e, -EINVAL, "the data of this %.20s record cannot be understood: %.150s", word(f, type_at),
			ldns_get_errorstr_by_id(status));
		r = zone_file_blame(f, e);
	}
	ldns_rr_free(rr);
	ldns_rdf_deep_free(origin);
	return r;
}

static int read_data(struct zone_file *f, unsigned type_at, unsigned type, size_t *n, struct err *e)
{
	if (type_at + 1 < f->n_words && strcmp(word(f, type_at + 1), "\\#") == 0)
		return read_generic(f, type_at + 1, n, e);
	if (!is_spoken(type))
		return mistake_word(f, e, word(f, type_at), "has data that must be given as \\# LENGTH HEX (RFC 3597, 5)");
	return read_words_of_data(f, type_at, n, e);
}

static int take_record(struct zone_file *f, struct zone_record *out, struct err *e)
{
	unsigned i = 0;
	int r = take_owner(f, &i, e);

	if (r == 0)
		r = take_ttl_and_class(f, &i, &out->ttl_s, e);
	if (r == 0)
		r = take_type(f, &i, &out->type, e);
	if (r == 0)
		r = read_data(f, i - 1, out->type, &out->n, e);
	if (r < 0)
		return r;
	out->name = f->owner;
	out->data = f->data;
	return 1;
}

int zone_file_next(struct zone_file *f, struct zone_record *out, struct err *e)
{
	int r;

	for (;;) {
		r = read_entry(f, e);
		if (r <= 0)
			return r;
		if (f->blank_owner || word(f, 0)[0] != '$')
			return take_record(f, out, e);
		r = take_directive(f, e);
		if (r < 0)
			return r;
	}
}

/* ---- life ---- */

static struct zone_file *new_file(const char *path, const char *zone, uint32_t ttl_s, size_t n, struct err *e)
{
	struct zone_file *f = n <= ZONE_FILE_MAX ? malloc(sizeof(*f)) : NULL;

	if (n > ZONE_FILE_MAX) {
		err_set(e, -EFBIG, "%s is larger than %d MiB", path, ZONE_FILE_MAX / 1024 / 1024);
		return NULL;
	}
	if (f) {
		memset(f, 0, offsetof(struct zone_file, entry)); /* not the large buffers */
		f->text = malloc(n + 1);
	}
	if (!f || !f->text || !name_from_text(zone, &f->origin)) {
		err_set(e, -ENOMEM, "no memory to read %s", path);
		zone_file_free(f);
		return NULL;
	}
	str_copy(f->path, path);
	f->line = 1;
	f->ttl_s = ttl_s;
	return f;
}

struct zone_file *zone_file_new(const char *text, size_t n, const char *path, const char *zone, uint32_t ttl_s,
				struct err *e)
{
	struct zone_file *f = new_file(path, zone, ttl_s, n, e);

	if (f) {
		memcpy(f->text, text, n);
		f->n = n;
	}
	return f;
}

static int read_all(struct zone_file *f, int fd, size_t n)
{
	while (f->n < n) {
		ssize_t got = read(fd, f->text + f->n, n - f->n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		f->n += (size_t)got;
	}
	return 0;
}

struct zone_file *zone_file_open(int fd, const char *path, const char *zone, uint32_t ttl_s, struct err *e)
{
	cleanup_close int taken = fd;
	struct zone_file *f;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;

	f = r == 0 ? new_file(path, zone, ttl_s, (size_t)st.st_size, e) : NULL;
	if (f)
		r = read_all(f, taken, (size_t)st.st_size);
	if (r == 0)
		return f;
	err_set_errno(e, r, "cannot read %s", path);
	zone_file_free(f);
	return NULL;
}

void zone_file_free(struct zone_file *f)
{
	if (!f)
		return;
	free(f->text);
	free(f);
}
