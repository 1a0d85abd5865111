/* An error that a person will read: a sentence that says what was wrong and what to do.
 *
 * Functions return 0 or -errno.  Where a person must act they also take a `struct err *`
 * (never NULL there) and fill in the sentence; on success it is left untouched.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/util.h"

struct err {
	int code; /* -errno of the failure, 0 while nothing failed */
	char text[480];
};

/* Sets the sentence and returns `code` (a negative errno), so that callers can
 * `return err_set(e, -ENOENT, "...")`. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Like err_set(), and ends the sentence with ": " and the text of `code`. */
int err_set_errno(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
