/* From the configuration file to records, and back to text.
 *
 * One schema table (schema.h) says of every option its key, type, range, default, unit and help;
 * loading, checking, printing and the manual's option list all walk it.  A file is accepted whole
 * or not at all, and every mistake in it is told, each with its place:
 *
 *     FILE:LINE:COL: services[0].ttl: expected 0s..604800s, got "abc"
 *     FILE:LINE:COL: services[0].ttll: unknown option, did you mean "ttl"?
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "base/buf.h"
#include "base/json.h"
#include "config/service.h"

enum { CONF_MISTAKES_MAX = 100 }; /* told at most; then how many more there are */

/* The records, or NULL and in `mistakes` one line for each mistake (at least one).  `name` is how
 * the lines call the file.  Beyond each option by itself it is checked that names are unique
 * (services, DNS names, addresses, MACs), that every reference leads somewhere (hypervisor,
 * bridge, zone of a DNS name), that options go together (`domain` with an inline machine's keys,
 * ready: tcp without ports ...), and that paths lie under image_dirs. */
struct conf *conf_parse(const char *name, const char *text, size_t n, struct buf *mistakes);

/* What is kept from one configuration to the next: the schema's defaults, parsed (some 20 KiB).  For who wants all
 * memory back. */
void conf_forget_defaults(void);
struct conf *conf_load(const char *path, struct buf *mistakes);
void conf_free(struct conf *c); /* NULL is fine */

const struct hypervisor_conf *conf_hypervisor(const struct conf *c, const char *name); /* NULL: there is none */

/* The programs of its hooks: 0, or -EPERM and in `mistakes` a line for each that others than root and users.hooks can
 * change, or that is not there (base/program.h).  `name` as above. */
int conf_check_programs(const char *name, const struct conf *c, struct buf *mistakes);

/* The secrets in it become "***": for people to see, not to be used any more. */
void conf_hide_secrets(struct conf *c);

/* The whole configuration with all defaults, as JSON that loads to the same records. */
void conf_print(const struct conf *c, struct buf *out);

/* A service by itself: the text of one element of `services`.  It is checked like one, against the
 * rest of `c`; other services are not looked at (claims.h does that).  NULL, and in `mistakes` one line
 * for each, which begins with the option: "machine.memory: expected ...".  With `given`, what the text
 * says is added to it as JSON, each option in its place and in its one way to be written. */
struct service_conf *conf_parse_service(const struct conf *c, const char *text, size_t n, struct buf *given,
                                        struct buf *mistakes);
void conf_free_service(struct service_conf *s); /* NULL is fine */
/* The same record in one piece of memory (schema_pack()), for one that is kept and not changed any more, but for
 * addresses that it is given (pool.h); `s` is freed.
 * Where there is no memory it is `s`. */
struct service_conf *conf_pack_service(struct service_conf *s);

/* The same bytes for the same service: tells on reload what changed. */
void conf_print_service(const struct service_conf *s, struct buf *out);

/* Of the service only the options that the object `given` has.  Inside config/ only. */
void conf_print_given(const struct service_conf *s, const struct json_node *given, struct buf *out);

#endif
