/* The registry's services among those of the configuration file: what is in force, and changing it.
 *
 * The launcher alone has the registry.  A service of the file is changed there and by a reload, one
 * of the registry by operators' commands; a name, an address, a disk is in one of them only.
 */
#ifndef LAUNCHER_REGISTRAR_H
#define LAUNCHER_REGISTRAR_H

#include "config/claims.h"
#include "config/registry.h"
#include "launcher/launcher.h"

/* All that shall be in force together. */
struct inventory {
	struct claims *claims; /* of the file's and the registry's services */
	size_t n, room;
	struct conf_ref **refs; /* the registry's; each holds one service */
};

struct registrar *registrar_new(struct launcher *l);
/* The database is one whole file again, which can be copied. */
void registrar_stop(struct launcher *l);

/* ---- gather.c ---- */
/* The services of `conf` and, as they are beside them, the registry's.  -EINVAL with a line in
 * `mistakes` for each that does not fit; `lenient`: such a one is logged and left out.  The registry
 * not to be had is logged, and then its services are those in force. */
int registrar_gather(struct launcher *l, const struct conf *conf, bool lenient, struct inventory *out,
		     struct buf *mistakes);
void inventory_clear(struct inventory *v);
/* It is in force now: its claims are the registrar's from here on. */
void registrar_take(struct launcher *l, struct inventory *v);
/* For the first time: what operators ordered is in force again. */
void registrar_begin(struct launcher *l);

/* ---- changes ---- */

struct edit_change {
	enum registry_kind kind;
	char *name;
	char *was; /* its name before, or NULL; */
	char *learned; /* and what it keeps of what was learned under that, or NULL */
	char *body; /* NULL: removed */
	struct conf_ref *ref; /* of a service that is there afterwards */
	struct service *old; /* that was in force under this name; its claims are taken back until all is decided */
	char *remark; /* that its address is not the one it had, or NULL */
	bool claimed; /* `ref` is in the claims */
	bool refused; /* or cannot be */
};

/* What one command changes, all or nothing. */
struct edit {
	struct launcher *l;
	const char *command; /* as the history shows it */
	uint32_t uid;
	bool dry_run;
	bool waits; /* it is in force: it is done when dns has the next snapshot, not before */
	bool told; /* ... and that was sent meanwhile, if dns is told anything */
	bool named; /* mistakes begin with the service's name: there may be several */
	size_t n, room;
	struct edit_change *v;
};

/* Copies both; at most one change of each object. */
void edit_add(struct edit *ed, enum registry_kind kind, const char *name, const char *body);
/* The service with this record, which was another one's by its name. */
void edit_rename(struct edit *ed, const char *name, const char *to, const char *body);
void edit_clear(struct edit *ed);
/* Checks all of it, writes it to the disk, and puts it in force.  *number: its revision; 0 when it
 * changes nothing, or was dry.  -errno and at least a line in `mistakes`: nothing has changed. */
int registrar_edit(struct edit *ed, uint64_t *number, struct buf *mistakes);

/* The registry, opened if it was not.  NULL with *e. */
struct registry *registrar_registry(struct launcher *l, struct err *e);
/* The same, for a configuration that is not in force yet. */
struct registry *registrar_open(struct launcher *l, const struct conf *conf, struct err *e);
/* ... or NULL when it is not open. */
struct registry *registrar_opened(const struct launcher *l);
struct claims *registrar_claims(const struct launcher *l); /* of what is in force */
/* dns is told soon, of all that has changed by then. */
void registrar_tell(struct launcher *l);
void registrar_forget(struct launcher *l, const char *name); /* but for what it had of pools */
/* What is remembered of services that are configured no more is forgotten. */
void registrar_sweep(struct launcher *l);
/* The service's record as the registry has it.  *e: where it is otherwise, or that it is nowhere. */
int registrar_record(struct launcher *l, const char *name, struct buf *body, struct err *e);

bool service_is_in_file(const struct service *s);
/* dns has all that is in force: what was needed on the way is given back. */
void registrar_told(struct launcher *l);
size_t registrar_count(const struct launcher *l); /* services in force, the file's too */
/* "revision 7", or why it cannot be used. */
void registrar_explain(struct launcher *l, char *out, size_t size);

/* `lines`, each with the service before it (NULL: without). */
void registrar_add_lines(struct buf *out, const char *name, const struct buf *lines);

/* ---- edits.c ---- */
void edits_run(struct launcher *l, const struct msg_ctl_request *ask);
void edits_free_import(struct launcher *l);
struct json;
struct json_node;
/* Text that control has written, or the registry: an object.  NULL with *e. */
struct json *edits_parse(const char *text, struct err *e);
void edits_patch(const struct json *doc, const struct json_node *change, struct buf *out); /* RFC 7396 */

/* ---- orders.c: what operators order of a service beyond its record ---- */
/* `body` as the registry keeps it; NULL: nothing is ordered. */
void orders_set(struct service *s, const char *body);
/* Up for this long (0: until further orders) or down, as text for the registry. */
void orders_print(enum order order, uint64_t until_wall_ms, struct buf *out);

#endif
