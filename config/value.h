/* The small languages that values of the configuration are written in: "120s", "64MiB", "30/min",
 * "tcp:80", host names, paths.  Pure functions: text in, value out, and back.
 *
 * Parsers take the whole text or nothing: 0, -EINVAL when it is not of that form, -ERANGE when the
 * value fits no variable; the output is untouched then.  What is formatted parses to the same value.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/err.h"
#include "config/service.h"

enum { VALUE_TEXT_MAX = 2 * ADDR_TEXT_MAX }; /* room that formatters need */

/* A whole number and ms, s, m, h or d; "0" needs no unit.  Milliseconds. */
int duration_parse(const char *text, uint64_t *ms);
/* In seconds, or milliseconds where it must be; "never" and "auto".  Returns `out`. */
const char *duration_format(uint64_t ms, char *out);

/* A whole number and B, KiB, MiB, GiB or TiB; "0" needs no unit.  Bytes. */
int size_parse(const char *text, uint64_t *bytes);
/* In the largest unit that leaves a whole number. */
const char *size_format(uint64_t bytes, char *out);

/* "0%" .. "100%" */
int percent_parse(const char *text, uint32_t *percent);

/* "30/s", "30/min", "30/h" */
int rate_parse(const char *text, uint32_t *n, uint64_t *period_ms);
const char *rate_format(uint32_t n, uint64_t period_ms, char *out);

/* "arp", "tcp", "tcp:PORT", "delay:MS" or "delay:" and a duration; at most an hour. */
int ready_parse(const char *text, struct ready_rule *out);
const char *ready_format(const struct ready_rule *rule, char *out);

/* "ADDRESS/LENGTH", "auto", "auto6".  What is formatted is what was written, not what was given. */
int service_ip_parse(const char *text, struct service_ip *out);
const char *service_ip_format(const struct service_ip *ip, char *out);

/* "FIRST-LAST/LENGTH", both in one network of that length; or "NETWORK/LENGTH", all of it. */
int range_parse(const char *text, struct ip_range *out);
const char *range_format(const struct ip_range *r, char *out);

/* Only digits: a number that may have lost its unit. */
bool value_lacks_unit(const char *text);

/* ---- kinds of text ---- */

struct text_kind {
	const char *expected; /* "a host name": for sentences and the manual */
	size_t max;           /* bytes, without the NUL */
	bool (*ok)(const char *s);
};

/* Is this the Xen of this host, which jitsu-libxl speaks to? */
bool uri_is_xen(const char *uri);

extern const struct text_kind text_name; /* of a service or a hypervisor */
extern const struct text_kind text_host; /* a DNS name */
extern const struct text_kind text_service_host; /* the same, or "*." and one */
extern const struct text_kind text_ifname;
extern const struct text_kind text_user; /* or group */
extern const struct text_kind text_path;
extern const struct text_kind text_run_dir; /* a path short enough for sockets below it */
extern const struct text_kind text_uri;
extern const struct text_kind text_domain; /* of a hypervisor's: its name or UUID */
extern const struct text_kind text_cmdline;
extern const struct text_kind text_url; /* http or https */
extern const struct text_kind text_ip;
extern const struct text_kind text_nsid;
extern const struct text_kind text_secret; /* 32 hex digits */
extern const struct text_kind text_tsig_secret; /* Base64 of 16 .. MSG_TSIG_SECRET_MAX bytes */

enum { TSIG_SECRET_MIN = 16 };
/* How many bytes this Base64 (RFC 4648, 4) is, written to `out`; -EINVAL when it is none, -ERANGE when it is more
 * than `room`. */
int base64_parse(const char *text, uint8_t *out, size_t room);

bool text_ok(const struct text_kind *kind, const char *s);

/* The placeholders of a command line, NULL at the end: "ip", "prefix" ... */
extern const char *const cmdline_names[];
/* 0, or -EINVAL with a sentence about the first placeholder that is unknown or not closed. */
int cmdline_check(const char *text, struct err *e);
/* Whether {name} is in it. */
bool cmdline_uses(const char *text, const char *name);

/* `path` lies below `dir`, by its text alone. */
bool path_is_below(const char *path, const char *dir);

#endif
