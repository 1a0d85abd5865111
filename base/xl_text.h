/* The text of an xl configuration (xl.cfg(5)), as far as one must know it without Xen's libraries: which options it
 * sets, where, and what the plain ones are.  Pure.
 *
 *     name = "www"
 *     vif = [ 'mac=00:16:3e:00:00:01,bridge=br0',
 *             'bridge=br1' ]
 */
#ifndef BASE_XL_TEXT_H
#define BASE_XL_TEXT_H

#include "base/err.h"

enum { XL_TEXT_BYTES_MAX = 64 * 1024, XL_TEXT_KEY_MAX = 64, XL_TEXT_VALUE_MAX = 256 };

struct xl_option {
	char key[XL_TEXT_KEY_MAX];
	unsigned line; /* of the key, from 1 */
	bool is_list;
	bool adds; /* key += value */
	char value[XL_TEXT_VALUE_MAX]; /* not of a list; cut when longer */
};

/* Calls fn() for each option, in their order, until it returns other than 0, which is returned.  0; -EBADMSG with the
 * line in *e, which begins with "LINE: ", when it is no such text. */
int xl_text_each(const char *text, int (*fn)(void *arg, const struct xl_option *o), void *arg, struct err *e);

/* The domain's name.  0; -EBADMSG as above, -ENOENT or -EINVAL when there is none that could be one. */
int xl_text_name(const char *text, char *name, size_t size, struct err *e);

#endif
