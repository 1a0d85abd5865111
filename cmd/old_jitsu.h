/* The command line of the first jitsu (MirageOS's, 0.3) as services of this one: `jitsuctl import-jitsu`.
 *
 * Every key and option that its README has is known: it becomes what has the same meaning here, or is refused
 * with the reason.
 */
#ifndef CMD_OLD_JITSU_H
#define CMD_OLD_JITSU_H

#include "base/buf.h"

enum { OLD_JITSU_SERVICES_MAX = 64, OLD_JITSU_PREFIX = 24 };

struct old_jitsu {
	size_t n;
	char *records[OLD_JITSU_SERVICES_MAX]; /* JSON of a service each, as `add` takes it */
	bool dry_run, json, help;
};

/* The words behind `import-jitsu`; relative paths are below `cwd`.  0, or -EINVAL with a line in `mistakes` for
 * each mistake.  old_jitsu_free() in either case. */
int old_jitsu_parse(int n, char *const *words, const char *cwd, struct old_jitsu *out, struct buf *mistakes);
void old_jitsu_free(struct old_jitsu *o);

/* What it takes, for people. */
void old_jitsu_help(struct buf *out);

#endif
