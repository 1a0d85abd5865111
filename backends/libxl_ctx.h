/* Contexts of libxl, which is how it is spoken to: a pool of them, each used by one thread at a time, so that what
 * libxl says while a call runs is what that call has to say, and a call that hangs keeps nothing but its own.
 *
 * Everything that includes libxl's headers includes them through this one.
 */
#ifndef BACKENDS_LIBXL_CTX_H
#define BACKENDS_LIBXL_CTX_H

#define LIBXL_API_VERSION 0x041300

#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xentoollog.h>

#include "base/err.h"
#include "base/msg.h"

enum { XL_WORDS_MAX = 480 };

/* A logger of libxl's that keeps the complaints, one line of them, the first ones. */
struct xl_words {
	struct xentoollog_logger logger; /* first: libxl gives us this */
	char text[XL_WORDS_MAX];
};

void xl_words_init(struct xl_words *w);

struct xl_ctx {
	libxl_ctx *xl;
	struct xl_words words; /* since it was taken */
	struct xl_pool *pool;
	struct xl_ctx *next;
};

/* A context that is in no pool.  NULL with -errno in *e and what libxl says.  `w` lives as long. */
libxl_ctx *xl_open(struct xl_words *w, struct err *e);
/* It may run children.  After its event hooks, if it has any. */
void xl_own_children(libxl_ctx *xl);

struct xl_pool *xl_pool_new(void); /* NULL: no memory */
void xl_pool_free(struct xl_pool *p); /* those taken are not freed */

/* Any thread.  NULL with *e.  Given back by the end of its scope: cleanup_xl. */
struct xl_ctx *xl_take(struct xl_pool *p, struct err *e);
void xl_give(struct xl_ctx **x);
#define cleanup_xl __attribute__((cleanup(xl_give)))

/* Fills in *e from libxl's return code and words, and returns e->code. */
int xl_say(const struct xl_ctx *x, int rc, struct err *e);

/* "9b4c2e1a-...": of our messages. */
void xl_uuid_format(const libxl_uuid *uuid, char out[MSG_UUID_MAX]);

#endif
