/* A process that is killed in the middle of a create leaves a domain that is paused and half built: perhaps with
 * no name yet, so that only its UUID tells whose it is.  One killed in the middle of a destroy leaves a domain
 * without its nodes in XenStore.  Both are destroyed by the next one, which knows them by their notes.  One killed
 * while it saves leaves a domain that may be suspended: it goes on, and if its file is whole, the launcher removes that.
 *
 * A record in XenStore, below the domain's own directory, was refused: it is written after the domain was made and
 * removed before it is gone.
 */
#include "backends/libxl_notes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "backends/libxl_save.h"

enum { NOTE_BYTES = 16, PATH_BYTES = MSG_PATH_MAX + MSG_UUID_MAX + 8 };

static const char *const words[] = {
	[XL_NOTE_NONE] = "", [XL_NOTE_BUILDING] = "building", [XL_NOTE_OURS] = "ours",
	[XL_NOTE_SAVING] = "saving", [XL_NOTE_ENDING] = "ending",
};

int xl_notes_init(struct xl_notes *n, const char *run_dir, struct err *e)
{
	int len = snprintf(n->dir, sizeof(n->dir), "%s/libxl", run_dir);

	if (len < 0 || (size_t)len >= sizeof(n->dir))
		return err_set(e, -ENAMETOOLONG, "%s: too long", run_dir);
	if (mkdir(n->dir, 0700) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make %s", n->dir);
	return 0;
}

static void path_of(const struct xl_notes *n, const libxl_uuid *uuid, char path[PATH_BYTES])
{
	char name[MSG_UUID_MAX];

	xl_uuid_format(uuid, name);
	snprintf(path, PATH_BYTES, "%s/%s", n->dir, name);
}

void xl_note_set(const struct xl_notes *n, const libxl_uuid *uuid, enum xl_note what)
{
	char path[PATH_BYTES];
	cleanup_close int fd = -1;
	ssize_t written;

	path_of(n, uuid, path);
	if (what == XL_NOTE_NONE) {
		unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	written = fd < 0 ? -1 : write(fd, words[what], strlen(words[what]));
	(void)written;
}

static enum xl_note read_note(const char *path)
{
	char text[NOTE_BYTES] = "";
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd < 0)
		return XL_NOTE_NONE;
	for (size_t i = XL_NOTE_BUILDING; n > 0 && i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0)
			return (enum xl_note)i;
	}
	return XL_NOTE_BUILDING; /* it was just being written */
}

enum xl_note xl_note_get(const struct xl_notes *n, const libxl_uuid *uuid)
{
	char path[PATH_BYTES];

	path_of(n, uuid, path);
	return read_note(path);
}

/* ---- what an earlier process has left ---- */

static bool may_stay(const libxl_dominfo *d, enum xl_note note)
{
	return (note == XL_NOTE_OURS && !d->shutdown) || note == XL_NOTE_SAVING;
}

/* True when a domain was destroyed.  There may be two of one UUID: one that dies slowly, and its next boot. */
static bool clear_one(const struct xl_notes *n, struct xl_ctx *x, const libxl_dominfo *list, int count, const char *name)
{
	libxl_uuid uuid;
	enum xl_note note;
	bool ended = false, stays = false;

	if (libxl_uuid_from_string(&uuid, name) != 0)
		return false;
	note = xl_note_get(n, &uuid);
	for (int i = 0; i < count; i++) {
		const libxl_dominfo *d = &list[i];

		if (libxl_uuid_compare(&d->uuid, &uuid) != 0)
			continue;
		if (note == XL_NOTE_SAVING)
			xl_save_undo(x, d->domid);
		if (d->domid != 0 && !may_stay(d, note) && libxl_domain_destroy(x->xl, d->domid, NULL) == 0)
			ended = true;
		else
			stays = true;
	}
	if (!stays)
		xl_note_set(n, &uuid, XL_NOTE_NONE);
	else if (note == XL_NOTE_SAVING)
		xl_note_set(n, &uuid, XL_NOTE_OURS);
	return ended;
}

unsigned xl_notes_clear(const struct xl_notes *n, struct xl_ctx *x)
{
	DIR *dir = opendir(n->dir);
	struct dirent *entry;
	unsigned ended = 0;
	int count = 0;
	libxl_dominfo *list = dir ? libxl_list_domain(x->xl, &count) : NULL;

	while (list && (entry = readdir(dir)))
		ended += clear_one(n, x, list, count, entry->d_name);
	if (list)
		libxl_dominfo_list_free(list, count);
	if (dir)
		closedir(dir);
	return ended;
}
