/* Every option of the configuration, one row each.  The loader, --print-config, the manual's option
 * list and the tests walk these tables and know no option by name; to add one is to add a member to
 * a struct of service.h and a row here (and to run tests/config/test_manual for the manual).
 *
 * A row's type says what JSON it takes and what kind of variable it fills:
 *
 *     type           JSON                        variable           min, max
 *     OPT_BOOL       true, false                 bool               -
 *     OPT_INT        whole number                uint32_t           the number
 *     OPT_PORT       whole number                uint16_t           the number
 *     OPT_DURATION   "120s"                      uint64_t           milliseconds
 *     OPT_SIZE       "64MiB"                     uint64_t           bytes
 *     OPT_SHARE      "64MiB" or "80%"            uint64_t bytes,    bytes
 *                                                `also` uint32_t %
 *     OPT_RATE       "30/min"                    uint32_t number,   the number
 *                                                `also` uint64_t ms
 *     OPT_ENUM       one of `names`              an enum            -
 *     OPT_WORD       one of `names`              char *             -
 *     OPT_TEXT       text of kind `text`         char *             -
 *     OPT_IP4, _IP6  address of that family      struct ip_addr     -
 *     OPT_HOST       "ADDRESS/LENGTH", "auto",   struct service_ip  -
 *                    "auto6", "learned"
 *     OPT_RANGE      "FIRST-LAST/LENGTH" or      struct ip_range    -
 *                    "NETWORK/LENGTH"
 *     OPT_PREFIX     the same, or an address     struct ip_prefix   -
 *     OPT_ENDPOINT   "ADDRESS:PORT"              struct endpoint    -
 *     OPT_MAC        "52:54:00:12:34:56"         struct mac_addr    -
 *     OPT_READY      "tcp:80"                    struct ready_rule  -
 *     OPT_OBJECT     object of schema `of`       that struct        -
 *
 * With OPT_LIST the variable is struct { size_t n; TYPE *v; } and the JSON an array.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "base/buf.h"
#include "config/value.h"

enum opt_type {
	OPT_BOOL,
	OPT_INT,
	OPT_PORT,
	OPT_DURATION,
	OPT_SIZE,
	OPT_SHARE,
	OPT_RATE,
	OPT_ENUM,
	OPT_WORD,
	OPT_TEXT,
	OPT_IP4,
	OPT_IP6,
	OPT_HOST,
	OPT_RANGE,
	OPT_PREFIX,
	OPT_ENDPOINT,
	OPT_MAC,
	OPT_READY,
	OPT_OBJECT,
	OPT_TYPE_N
};

enum opt_flag {
	OPT_REQUIRED = 1 << 0,
	OPT_LIST = 1 << 1,
	OPT_NEVER = 1 << 2,   /* duration: "never" too */
	OPT_AUTO = 1 << 3,    /* duration: "auto" too */
	OPT_SECONDS = 1 << 4, /* duration: whole seconds, and a bare number counts them */
	OPT_UNSET = 1 << 5,   /* may stay zero, "" or empty, and is then not printed */
	OPT_SECRET = 1 << 6,  /* text: is not shown to people, nor told in mistakes */
};

struct schema;

struct opt {
	const char *key;
	enum opt_type type;
	unsigned flags;           /* of enum opt_flag */
	size_t offset;            /* of its variable in the struct */
	size_t also;              /* of its second variable */
	uint64_t min, max;        /* as the table above says; of each element of a list */
	unsigned least, most;     /* elements of a list; most 0: SCHEMA_LIST_MAX */
	const char *fallback;     /* the default as JSON; NULL when there is none */
	const char *otherwise;    /* or: how the default follows from other options, in words */
	const char *const *names; /* ends with NULL */
	const struct text_kind *text;
	const struct schema *of;
	const char *help; /* what it is for: one or a few sentences, no mark-up */
};

struct schema {
	const char *name; /* "a service": heading in the manual, beside the path */
	const char *path; /* "services[]": as mistakes and the manual call it; "" for the whole */
	size_t size;      /* of the struct */
	size_t n;
	const struct opt *opts;
};

enum { SCHEMA_LIST_MAX = 256 };

extern const struct schema schema_conf; /* struct conf, and through it all others */
extern const struct schema schema_service;

/* ---- option.c ---- */

/* Elements that a list may have. */
unsigned opt_most(const struct opt *o);

/* "1s..3600s or \"never\"": what one value (an element, of a list) must be. */
void opt_expected(const struct opt *o, struct buf *out);

const struct opt *schema_find(const struct schema *s, const char *key); /* or NULL */
const char *schema_nearest(const struct schema *s, const char *key);    /* or NULL */

/* ---- record.c ---- */

/* What a list looks like in memory. */
struct any_list {
	size_t n;
	void *v;
};
struct any_list list_get(const void *record, const struct opt *o);
void list_set(void *record, const struct opt *o, struct any_list list);
size_t opt_element_size(const struct opt *o);

/* Frees what a record of this schema owns, and leaves it zeroed. */
void schema_clear(const struct schema *s, void *record);

/* A copy of the record, with all that it points to, in one piece of memory: a record of many small pieces takes
 * twice as much.  It is the caller's to free(), and nothing of it is changed.  NULL: out of memory. */
void *schema_pack(const struct schema *s, const void *record);

/* ---- manual.c ---- */

/* The option list, in mdoc. */
void schema_manual(struct buf *out);

#endif
