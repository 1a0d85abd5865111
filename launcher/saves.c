#include "launcher/saves.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "launcher/launcher.h"

enum { ROOM_BYTES = 64 << 20, DIGEST_DIGITS = 16 };

static const char put_aside[] = "failed", unfinished[] = ".part";

struct digest {
	uint64_t machine, files;
};

bool saves_are_ours(const struct service *s)
{
	return !machine_is_defined(&s->conf->machine) || s->conf->machine.xl_config[0];
}

/* ---- paths ---- */

static const char *save_dir(const struct service *s) { return s->l->conf->save_dir; }

static void dir_of(const struct service *s, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.3000s/%s", save_dir(s), s->conf->name);
}

static void path_in(const struct service *s, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.3000s/%s/%.500s", save_dir(s), s->conf->name, file);
}

static bool parse_name(const char *name, struct digest *d)
{
	int n = 0;

	return strlen(name) == 2 * DIGEST_DIGITS + 1 &&
	       sscanf(name, "%16" SCNx64 ".%16" SCNx64 "%n", &d->machine, &d->files, &n) == 2 && name[n] == '\0';
}

/* Nothing else is ever removed, whatever directory was named. */
static bool is_of_ours(const char *name)
{
	char base[2 * DIGEST_DIGITS + 2];
	struct digest d;

	str_copy(base, name);
	return strcmp(name, put_aside) == 0 ||
	       (parse_name(base, &d) && (!name[strlen(base)] || strcmp(name + strlen(base), unfinished) == 0));
}

/* The one that is there. */
static bool find_file(const struct service *s, char path[MSG_PATH_MAX], struct digest *d)
{
	char dir[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *all;

	dir_of(s, dir);
	all = opendir(dir);
	while (all && !found && (entry = readdir(all))) {
		found = parse_name(entry->d_name, d);
		if (found && path)
			snprintf(path, MSG_PATH_MAX, "%.400s/%.60s", dir, entry->d_name);
	}
	if (all)
		closedir(all);
	return found;
}

/* ---- what it was ---- */

static void mix(uint64_t *h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) /* FNV-1a: root alone writes what is compared */
		*h = (*h ^ b[i]) * 1099511628211u;
}

static void mix_text(uint64_t *h, const char *text) { mix(h, text, strlen(text) + 1); }
static void mix_number(uint64_t *h, uint64_t n) { mix(h, &n, sizeof(n)); }

static void mix_nics(uint64_t *h, const struct service *s)
{
	for (size_t i = 0; i < s->conf->machine.nics.n && i < MSG_NICS_MAX; i++) {
		struct msg_nic nic;

		start_describe_nic(s, i, &nic);
		mix(h, &nic.mac, sizeof(nic.mac));
		mix_text(h, nic.bridge);
	}
}

/* With the words that its command line may have; the number of the boot is no other machine. */
static uint64_t digest_machine(const struct service *s)
{
	const struct machine_conf *m = &s->conf->machine;
	const struct hypervisor_conf *hv = conf_hypervisor(s->l->conf, m->hypervisor);
	const char *const texts[] = { machine_is_defined(m) ? "" : s->uuid, hv ? hv->uri : "", m->xl_config, m->kernel, m->initrd, m->cmdline, m->arch, m->machine,
				      s->conf->name, s->conf->dns.n > 0 ? s->conf->dns.v[0] : "",
				      s->conf->gateway };
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		mix_text(&h, texts[i]);
	mix_number(&h, m->vcpus);
	mix_number(&h, m->memory_bytes);
	mix_number(&h, guest_wants_channel(s));
	for (size_t i = 0; i < s->conf->ip.n; i++) {
		if (service_ip_known(&s->conf->ip.v[i]))
			mix(&h, &s->conf->ip.v[i].prefix, sizeof(s->conf->ip.v[i].prefix));
	}
	for (size_t i = 0; i < m->disks.n; i++) {
		mix_text(&h, m->disks.v[i].path);
		mix_text(&h, m->disks.v[i].format);
		mix_number(&h, m->disks.v[i].read_only);
	}
	mix_nics(&h, s);
	return h;
}

/* Whether it can be read by whoever has to, the start looks itself. */
static int look_at(const struct service *s, const char *path, enum image_kind kind, struct image_file *f, struct err *e)
{
	return image_check(&s->l->conf->image_dirs, path, kind, NULL, f, e);
}

/* Not a device's number, which is another one after a reboot. */
static int mix_file(uint64_t *h, const struct service *s, const char *path, enum image_kind kind, struct err *e)
{
	struct image_file f = { 0 };
	int r = path[0] ? look_at(s, path, kind, &f, e) : 0;

	mix_number(h, f.ino);
	if (kind == IMAGE_DISK) /* which the VM writes to */
		return r;
	mix_number(h, f.size);
	mix_number(h, f.changed_ns);
	return r;
}

static int digest_files(const struct service *s, uint64_t *h, struct err *e)
{
	const struct machine_conf *m = &s->conf->machine;
	int r;

	*h = 14695981039346656037u;
	r = mix_file(h, s, m->xl_config, IMAGE_XL_CONFIG, e);
	if (r == 0)
		r = mix_file(h, s, m->kernel, IMAGE_KERNEL, e);
	if (r == 0)
		r = mix_file(h, s, m->initrd, IMAGE_INITRD, e);
	for (size_t i = 0; r == 0 && i < m->disks.n; i++)
		r = mix_file(h, s, m->disks.v[i].path, m->disks.v[i].read_only ? IMAGE_DISK_READ_ONLY : IMAGE_DISK, e);
	return r;
}

static int digest_now(const struct service *s, struct digest *d, struct err *e)
{
	d->machine = digest_machine(s);
	return digest_files(s, &d->files, e);
}

int saves_note(struct service *s, struct err *e)
{
	struct digest d;
	int r = digest_now(s, &d, e);

	if (r < 0)
		return r;
	s->run.machine = d.machine;
	s->run.files = d.files;
	return 0;
}

/* ---- is it void? ---- */

/* A disk that somebody else has written to is not the one that the VM in the file knows. */
static int check_disks(const struct service *s, const char *path, struct err *e)
{
	const struct disk_list *disks = &s->conf->machine.disks;
	struct image_file disk;
	struct stat st;
	int r = stat(path, &st) < 0 ? err_set_errno(e, -errno, "cannot look at %s", path) : 0;

	for (size_t i = 0; r == 0 && i < disks->n; i++) {
		r = look_at(s, disks->v[i].path, disks->v[i].read_only ? IMAGE_DISK_READ_ONLY : IMAGE_DISK, &disk, e);
		if (r == 0 && disk.changed_ns > (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec)
			r = err_set(e, -ESTALE, "its disk %s was written to since", disks->v[i].path);
	}
	return r;
}

int saves_find(const struct service *s, char path[MSG_PATH_MAX], struct err *e)
{
	struct digest then, now;
	int r;

	if (!saves_are_ours(s) || !find_file(s, path, &then))
		return 0;
	r = digest_now(s, &now, e);
	if (r < 0)
		return r;
	if (then.machine != now.machine)
		return err_set(e, -ESTALE, "its record says another machine since");
	if (then.files != now.files)
		return err_set(e, -ESTALE, "its %s is another file since", s->conf->machine.xl_config[0] ?
			       "xl configuration" : "kernel, initial RAM disk or a disk");
	r = check_disks(s, path, e);
	return r < 0 ? r : 1;
}

bool saves_exist(const struct service *s, char path[MSG_PATH_MAX])
{
	struct digest d;

	return saves_are_ours(s) && find_file(s, path, &d);
}

/* ---- making room ---- */

/* What is in it is a VM's memory, with all its secrets. */
static int make_dir(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make the directory %s (save_dir)", path);
	if (lstat(path, &st) < 0)
		return err_set_errno(e, -errno, "cannot look at %s (save_dir)", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, -EPERM, "%s (save_dir) is no directory of root's that root alone can write to: chown root and "
			       "chmod 700 it, or name another", path);
	return 0;
}

static int check_room(const struct service *s, struct err *e)
{
	uint64_t wanted = service_memory(s) + ROOM_BYTES, there;
	struct statvfs fs;

	if (statvfs(save_dir(s), &fs) < 0)
		return err_set_errno(e, -errno, "cannot look at %s (save_dir)", save_dir(s));
	there = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (there >= wanted)
		return 0;
	return err_set(e, -ENOSPC, "%s (save_dir) has %" PRIu64 " MiB left, and its memory may take %" PRIu64 " MiB: make "
		       "room, or name another directory", save_dir(s), there >> 20, wanted >> 20);
}

int saves_place(struct service *s, char path[MSG_PATH_MAX], struct err *e)
{
	char dir[PATH_MAX];
	int r;

	path[0] = '\0';
	if (!saves_are_ours(s))
		return 0;
	saves_drop(s);
	dir_of(s, dir);
	r = make_dir(save_dir(s), e);
	if (r == 0)
		r = make_dir(dir, e);
	if (r == 0)
		r = check_room(s, e);
	if (r == 0 && s->run.machine == 0) /* booted by a version that did not save */
		r = saves_note(s, e);
	if (r < 0)
		return r;
	if (snprintf(path, MSG_PATH_MAX, "%s/%016" PRIx64 ".%016" PRIx64, dir, s->run.machine, s->run.files) >=
	    MSG_PATH_MAX - (int)sizeof(unfinished))
		return err_set(e, -ENAMETOOLONG, "%s (save_dir) is too long a path", save_dir(s));
	return 0;
}

/* ---- removing ---- */

static unsigned remove_dir(const char *path, const char *but)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *all = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned n = 0;

	while (all && (entry = readdir(all))) {
		if (!is_of_ours(entry->d_name) || (but && strcmp(entry->d_name, but) == 0))
			continue;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			n++;
		else if (errno != ENOENT)
			log_warn("%s/%s cannot be removed: %s", path, entry->d_name, strerror(errno));
	}
	if (all)
		closedir(all);
	else
		fd_close(&fd);
	if (n > 0 || !but)
		rmdir(path);
	return n;
}

void saves_drop(const struct service *s)
{
	char dir[PATH_MAX];

	if (!saves_are_ours(s))
		return;
	dir_of(s, dir);
	remove_dir(dir, NULL);
}

void saves_runs(const struct service *s)
{
	char dir[PATH_MAX];

	if (!saves_are_ours(s))
		return;
	dir_of(s, dir);
	remove_dir(dir, put_aside);
}

bool saves_put_aside(const struct service *s)
{
	char path[MSG_PATH_MAX], aside[PATH_MAX];

	if (!saves_exist(s, path))
		return false;
	path_in(s, put_aside, aside);
	if (rename(path, aside) == 0)
		return true;
	log_warn("service=%s %s cannot be put aside, and is removed: %s", s->conf->name, path, strerror(errno));
	unlink(path);
	return false;
}

void saves_put_back(const struct service *s)
{
	char aside[PATH_MAX], name[2 * DIGEST_DIGITS + 2], path[PATH_MAX];

	path_in(s, put_aside, aside);
	snprintf(name, sizeof(name), "%016" PRIx64 ".%016" PRIx64, s->run.machine, s->run.files);
	path_in(s, name, path);
	if (rename(aside, path) < 0)
		log_warn("service=%s %s cannot be put back: %s", s->conf->name, aside, strerror(errno));
}

void saves_sweep(struct launcher *l)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *all = opendir(l->conf->save_dir);

	while (all && (entry = readdir(all))) {
		const struct service *s = service_by_name_any(l, entry->d_name);

		if (entry->d_name[0] == '.' || (s && saves_are_ours(s)))
			continue;
		snprintf(path, sizeof(path), "%.3000s/%.255s", l->conf->save_dir, entry->d_name);
		if (remove_dir(path, NULL) > 0)
			log_warn("%s is removed: it was saved of a service that is no longer configured", path);
	}
	if (all)
		closedir(all);
}
