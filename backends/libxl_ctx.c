/* What libxl says is a line per level of its calls, the deepest first: it is the one that tells the reason, and
 * the first to be kept.  Each line begins with the place in libxl's source, which helps nobody here.
 *
 * Workers have all signals blocked, and what libxl runs (a script for each NIC) would inherit that: so children
 * are forked by us.  All contexts share SIGCHLD (selective_reap): libxl's handler looks only for its own children.
 */
#include "backends/libxl_ctx.h"

#include <pthread.h>
#include <signal.h>

struct xl_pool {
	pthread_mutex_t lock;
	struct xl_ctx *idle; /* under lock */
};

/* ---- words ---- */

/* "libxl_create.c:1265:initiate_domain_create: Domain 5:why": "why" is left, and the domain. */
static const char *skip_place(const char *line)
{
	const char *c = strstr(line, ".c:"), *end = strstr(line, ": ");

	return c && end && c < end && !memchr(line, ' ', (size_t)(c - line)) ? end + 2 : line;
}

static void add_words(struct xl_words *w, const char *line)
{
	size_t n = strlen(w->text);

	if (strstr(w->text, line) || n + 3 + strlen(line) >= sizeof(w->text))
		return;
	snprintf(w->text + n, sizeof(w->text) - n, "%s%s", n > 0 ? "; " : "", line);
}

static void one_line(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	for (; *text; text++) {
		if ((unsigned char)*text < ' ')
			*text = ' ';
	}
}

__attribute__((format(printf, 5, 0))) static void on_message(struct xentoollog_logger *logger, xentoollog_level level,
							     int errnoval, const char *context, const char *format,
							     va_list ap)
{
	struct xl_words *w = (struct xl_words *)logger;
	char line[XL_WORDS_MAX], whole[XL_WORDS_MAX + 128];
	bool known = errnoval > 0;

	(void)context;
	if (level < XTL_ERROR)
		return;
	vsnprintf(line, sizeof(line), format, ap);
	snprintf(whole, sizeof(whole), "%s%s%s", skip_place(line), known ? ": " : "", known ? strerror(errnoval) : "");
	one_line(whole);
	add_words(w, whole);
}

static void on_destroy(struct xentoollog_logger *logger) { (void)logger; }

void xl_words_init(struct xl_words *w)
{
	*w = (struct xl_words){ .logger = { .vmessage = on_message, .destroy = on_destroy } };
}

/* ---- contexts ---- */

static pid_t fork_unblocked(void *user)
{
	pid_t pid = fork();
	sigset_t none;

	(void)user;
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
	}
	return pid;
}

void xl_own_children(libxl_ctx *xl)
{
	static const libxl_childproc_hooks hooks = {
		.chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
		.fork_replacement = fork_unblocked,
	};

	libxl_childproc_setmode(xl, &hooks, NULL);
}

libxl_ctx *xl_open(struct xl_words *w, struct err *e)
{
	libxl_ctx *xl = NULL;

	xl_words_init(w);
	if (libxl_ctx_alloc(&xl, LIBXL_VERSION, 0, &w->logger) != 0) {
		err_set(e, -ENOTCONN, "Xen does not answer: this must be dom0 of a running Xen, with xenstored (%s)",
			w->text[0] ? w->text : "libxl gave no reason");
		return NULL;
	}
	return xl;
}

struct xl_pool *xl_pool_new(void)
{
	struct xl_pool *p = calloc(1, sizeof(*p));

	if (p)
		pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void ctx_free(struct xl_ctx *x)
{
	libxl_ctx_free(x->xl);
	free(x);
}

void xl_pool_free(struct xl_pool *p)
{
	struct xl_ctx *x;

	if (!p)
		return;
	while ((x = p->idle)) {
		p->idle = x->next;
		ctx_free(x);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct xl_ctx *ctx_new(struct xl_pool *p, struct err *e)
{
	struct xl_ctx *x = calloc(1, sizeof(*x));

	if (!x) {
		err_set(e, -ENOMEM, "no memory for a context of libxl");
		return NULL;
	}
	x->pool = p;
	x->xl = xl_open(&x->words, e);
	if (!x->xl) {
		free(x);
		return NULL;
	}
	xl_own_children(x->xl);
	return x;
}

struct xl_ctx *xl_take(struct xl_pool *p, struct err *e)
{
	struct xl_ctx *x;

	pthread_mutex_lock(&p->lock);
	x = p->idle;
	if (x)
		p->idle = x->next;
	pthread_mutex_unlock(&p->lock);
	if (!x)
		return ctx_new(p, e);
	x->words.text[0] = '\0';
	return x;
}

void xl_give(struct xl_ctx **x)
{
	struct xl_pool *p = *x ? (*x)->pool : NULL;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	(*x)->next = p->idle;
	p->idle = *x;
	pthread_mutex_unlock(&p->lock);
	*x = NULL;
}

/* ---- what it returns ---- */

static int errno_of(int rc)
{
	static const struct {
		int rc, error;
	} known[] = {
		{ ERROR_NOMEM, -ENOMEM },	       { ERROR_INVAL, -EINVAL },
		{ ERROR_VERSION, -ENOTSUP },	       { ERROR_NI, -ENOTSUP },
		{ ERROR_TIMEDOUT, -ETIMEDOUT },	       { ERROR_GUEST_TIMEDOUT, -ETIMEDOUT },
		{ ERROR_DOMAIN_NOTFOUND, -ENOENT },    { ERROR_DOMAIN_DESTROYED, -ENOENT },
		{ ERROR_FEATURE_REMOVED, -ENOTSUP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].rc == rc)
			return known[i].error;
	}
	return -EIO;
}

int xl_say(const struct xl_ctx *x, int rc, struct err *e)
{
	if (x->words.text[0])
		return err_set(e, errno_of(rc), "%s", x->words.text);
	return err_set(e, errno_of(rc), "libxl gave no reason (its error %d)", rc);
}

void xl_uuid_format(const libxl_uuid *uuid, char out[MSG_UUID_MAX])
{
	const uint8_t *b = libxl_uuid_bytearray_const(uuid);
	size_t at = 0;

	for (unsigned i = 0; i < 16; i++)
		at += (size_t)snprintf(out + at, MSG_UUID_MAX - at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				       b[i]);
}
