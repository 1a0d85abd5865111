/* That a console is to be kept, and where it is, come in any order: the launcher asks for it before it starts a
 * domain, and again, after a restart, for those that it finds running.  What was found and not asked for is
 * remembered, bounded; a name that comes again replaces the one before.
 *
 * xenconsoled keeps what nobody reads, up to a bound of its own, so that little is lost while we are restarted.
 * Whoever else opens the terminal (xl console) shares the words with us: each goes to one reader.  So nothing is
 * opened that nobody asked to keep.
 *
 * The path comes from XenStore, and is believed only when it is a pseudo-terminal's.
 */
#include "backends/libxl_console.h"

#include <fcntl.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "backends/console.h"
#include "base/log.h"

enum { FOUND_MAX = 4096, TTY_MAX = 64 };

struct found {
	TAILQ_ENTRY(found) next;
	char name[MSG_NAME_MAX * 2];
	char tty[TTY_MAX];
};

struct xl_consoles {
	struct consoles *kept;
	TAILQ_HEAD(found_list, found) found; /* the latest first */
	unsigned n;
};

static struct found *find(struct xl_consoles *c, const char *name)
{
	struct found *f;

	TAILQ_FOREACH (f, &c->found, next) {
		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static void forget(struct xl_consoles *c, struct found *f)
{
	if (!f)
		return;
	TAILQ_REMOVE(&c->found, f, next);
	c->n--;
	free(f);
}

static bool is_pty(const char *tty)
{
	static const char dir[] = "/dev/pts/";
	const char *number = tty + sizeof(dir) - 1;

	return strncmp(tty, dir, sizeof(dir) - 1) == 0 && *number && !number[strspn(number, "0123456789")];
}

static void attach(struct xl_consoles *c, const char *name, const char *tty)
{
	cleanup_close int fd = is_pty(tty) ? open(tty, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW) : -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode)) {
		log_limited(LOG_WARN, "no console for %s: \"%.63s\" cannot be opened", name, tty);
		return;
	}
	consoles_attach(c->kept, name, fd);
	fd = -1;
}

void xl_consoles_found(struct xl_consoles *c, const char *name, const char *tty)
{
	struct found *f;

	if (consoles_has(c->kept, name)) {
		attach(c, name, tty);
		return;
	}
	forget(c, find(c, name));
	if (c->n == FOUND_MAX)
		forget(c, TAILQ_LAST(&c->found, found_list));
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	str_copy(f->name, name);
	str_copy(f->tty, tty);
	TAILQ_INSERT_HEAD(&c->found, f, next);
	c->n++;
}

void xl_consoles_keep(struct xl_consoles *c, const char *name)
{
	struct found *f = find(c, name);
	struct err e;

	if (consoles_open(c->kept, name, &e) < 0) {
		log_limited(LOG_WARN, "%s", e.text);
		return;
	}
	if (f)
		attach(c, name, f->tty);
	forget(c, f);
}

void xl_consoles_forget(struct xl_consoles *c, const char *name)
{
	forget(c, find(c, name));
	consoles_close(c->kept, name);
}

struct xl_consoles *xl_consoles_new(struct event_base *base, const char *dir, struct err *e)
{
	struct xl_consoles *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, -ENOMEM, "no memory for consoles");
		return NULL;
	}
	TAILQ_INIT(&c->found);
	c->kept = consoles_new(base, dir, CONSOLES_GIVEN, 0, e);
	if (c->kept)
		return c;
	free(c);
	return NULL;
}

void xl_consoles_free(struct xl_consoles *c)
{
	if (!c)
		return;
	while (TAILQ_FIRST(&c->found))
		forget(c, TAILQ_FIRST(&c->found));
	consoles_free(c->kept);
	free(c);
}
