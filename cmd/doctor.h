/* `jitsuctl doctor`: is this host fit for jitsud, and what is to be done where it is not?
 *
 * It asks the host, so that it helps where jitsud does not start; and jitsud, where it runs, for the hypervisors that it does not
 * reach and what it cannot hold.
 * Nothing is changed.
 */
#ifndef CMD_DOCTOR_H
#define CMD_DOCTOR_H

#include "base/buf.h"
#include "config/load.h"

enum doctor_grade {
	DOCTOR_GOOD,
	DOCTOR_NOTE, /* it works, but slowly, or not for everybody */
	DOCTOR_BAD,  /* it does not work */
};

const char *doctor_grade_name(enum doctor_grade grade); /* "good", "note", "bad" */

/* `cure`: what to do, "" where nothing is to be done. */
typedef void doctor_say_fn(void *arg, const char *check, enum doctor_grade grade, const char *finding,
			   const char *cure);

struct doctor {
	const char *root;        /* what stands before each path that is looked at: "", but in tests */
	const char *conf_path;   /* of the configuration, which is below no root */
	const struct conf *conf; /* doctor_run() sets it: that, or a small one where it cannot be used */
	const char *check;       /* the one that is being made */
	doctor_say_fn *say;
	void *arg;
	unsigned n_bad, n_notes;
};

/* Makes every check.  How many findings are bad. */
unsigned doctor_run(struct doctor *d);

/* ---- for the checks ---- */

void doctor_good(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A finding and its cure; the cure is a whole sentence. */
void doctor_find(struct doctor *d, enum doctor_grade grade, const char *cure, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The path below the root. */
void doctor_path(const struct doctor *d, char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(4, 5);
bool doctor_is_there(const struct doctor *d, const char *path);
/* A file's whole number; false where there is none. */
bool doctor_number(const struct doctor *d, const char *path, long *out);

/* Who holds the port of `listen`, and what each resolver here has to be told (doctor_port.c). */
void doctor_check_port(struct doctor *d);
/* What jitsud says of its hypervisors and services, if it answers there (doctor_services.c). */
void doctor_check_services(struct doctor *d, const char *socket);

#endif
