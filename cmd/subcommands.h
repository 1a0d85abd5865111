/* jitsuctl's commands, but for those of the registry, which cmd/edit.h has a table of. */
#ifndef CMD_SUBCOMMANDS_H
#define CMD_SUBCOMMANDS_H

#include "cmd/complete.h"
#include "cmd/run.h"

enum { OPT_N = 1 << 0, OPT_FOLLOW = 1 << 1, OPT_RAW = 1 << 2, OPT_DNSSEC = 1 << 3 };
enum name_rule { NAME_NONE, NAME_MAY, NAME_MUST, NAME_DNSSEC };

struct subcommand {
	const char *name, *args, *usage;
	enum name_rule takes_name;
	unsigned options; /* OPT_... */
	int (*exec)(struct run *r); /* the exit status */
};

/* NULL, with the sentence in *e: there is none of this name.  What r->edit names is one as well. */
const struct subcommand *subcommand_find(const char *name, struct err *e);
extern const struct subcommand subcommand_edit;

/* All that can be the first word, one by one, the registry's too; false behind the last. */
bool subcommand_nth(size_t i, struct complete_command *out);

/* In subcommands_edit.c: a command of the registry, and `import-jitsu`. */
int subcommand_do_edit(struct run *r);
int subcommand_do_import_jitsu(struct run *r);

#endif
