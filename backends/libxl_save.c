#include "backends/libxl_save.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xenstore.h>

#include "backends/save_file.h"
#include "base/log.h"

enum { STREAM_VERSION = 2 }; /* of libxl_domain_suspend(); 1, which is the default, is of Xen before 4.6 */

#ifdef LIBXL_HAVE_NO_SUSPEND_RESUME
int xl_save_check_guest(uint32_t domid, struct err *e)
{
	(void)domid;
	return err_set(e, -ENOTSUP, "Xen for this kind of processor cannot save: choose another \"stop\"");
}
#else
static void path_of_feature(uint32_t domid, char path[64])
{
	snprintf(path, 64, "/local/domain/%u/control/feature-suspend", domid);
}

int xl_save_check_guest(uint32_t domid, struct err *e)
{
	struct xs_handle *xs = xs_open(0);
	cleanup_free char *value = NULL;
	char path[64];
	unsigned n = 0;

	if (!xs)
		return err_set_errno(e, -errno, "XenStore does not answer");
	path_of_feature(domid, path);
	value = xs_read(xs, XBT_NULL, path, &n);
	xs_close(xs);
	if (value && strcmp(value, "1") == 0)
		return 0;
	return err_set(e, -ENOTSUP, "its guest does not say that it can be suspended (control/feature-suspend in XenStore): "
		       "choose another \"stop\"");
}
#endif

/* What was saved can be saved again.  Linux says so once, when it boots, and not again in its new domain. */
static void say_for_guest(uint32_t domid)
{
#ifndef LIBXL_HAVE_NO_SUSPEND_RESUME
	struct xs_handle *xs = xs_open(0);
	char path[64];

	path_of_feature(domid, path);
	if (!xs || !xs_write(xs, XBT_NULL, path, "1", 1))
		log_warn("domain %u cannot be saved again: XenStore does not take %s: %s", domid, path, strerror(errno));
	if (xs)
		xs_close(xs);
#else
	(void)domid;
#endif
}

int xl_save_undo(struct xl_ctx *x, uint32_t domid)
{
	libxl_dominfo info;
	int rc;

	libxl_dominfo_init(&info);
	rc = libxl_domain_info(x->xl, &info, domid);
	if (rc == 0 && info.shutdown && info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND)
		rc = libxl_domain_resume(x->xl, domid, 1, NULL);
	libxl_dominfo_dispose(&info);
	return rc;
}

int xl_save(struct xl_ctx *x, uint32_t domid, const char *file, struct err *e)
{
	char part[SAVE_FILE_PATH_MAX];
	cleanup_close int fd = -1;
	int rc, error;

	save_file_part(file, part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(e, -errno, "cannot make %s", part);
	rc = libxl_domain_suspend(x->xl, domid, fd, 0, NULL);
	error = rc != 0 ? xl_say(x, rc, e) : save_file_commit(file, e);
	if (error == 0)
		return 0;
	xl_save_undo(x, domid);
	save_file_drop_part(file);
	return error;
}

/* What libxl 4.17 is given instead of a stream makes it crash. */
static int check_stream(const char *file, struct err *e)
{
	static const char ident[] = "LibxlFmt";
	char head[sizeof(ident) - 1];
	cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set_errno(e, -errno, "cannot open %s", file);
	if (read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) && memcmp(head, ident, sizeof(head)) == 0)
		return 0;
	return err_set(e, -EBADMSG, "%s is no saved domain", file);
}

static int check_older(const char *path, const struct stat *file, struct err *e)
{
	struct stat st;

	if (!path || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (st.st_mtim.tv_sec < file->st_mtim.tv_sec ||
	    (st.st_mtim.tv_sec == file->st_mtim.tv_sec && st.st_mtim.tv_nsec <= file->st_mtim.tv_nsec))
		return 0;
	return err_set(e, -ESTALE, "%s was written to since", path);
}

int xl_save_check(const libxl_domain_config *c, const char *file, struct err *e)
{
	struct stat st;
	int error = stat(file, &st) < 0 ? err_set_errno(e, -errno, "cannot look at %s", file) : check_stream(file, e);

	if (error == 0)
		error = check_older(c->b_info.kernel, &st, e);
	if (error == 0)
		error = check_older(c->b_info.ramdisk, &st, e);
	for (int i = 0; error == 0 && i < c->num_disks; i++)
		error = check_older(c->disks[i].pdev_path, &st, e);
	return error;
}

int xl_restore(struct xl_ctx *x, libxl_domain_config *c, const char *file, uint32_t *domid)
{
	cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	libxl_domain_restore_params params;
	struct err e = { 0 };
	int rc;

	libxl_domain_restore_params_init(&params);
	params.stream_version = STREAM_VERSION;
	rc = fd < 0 ? ERROR_FAIL : libxl_domain_create_restore(x->xl, c, domid, fd, -1, &params, NULL, NULL);
	libxl_domain_restore_params_dispose(&params);
	if (rc == 0)
		say_for_guest(*domid);
	if (rc != 0 || save_file_spend(file, &e) == 0)
		return rc;
	str_copy(x->words.text, e.text);
	return ERROR_FAIL;
}
