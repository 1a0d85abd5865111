#include "cmd/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "backends/kvm.h"
#include "config/value.h"

enum { NUMBER_MAX_BYTES = 64, IFF_UP_FLAG = 1, KERNEL_MAJOR = 6, TEXT_MAX = 1024 };

/* What is assumed where there is no configuration that can be used. */
static const char small_conf[] = "{\"listen\":[\"0.0.0.0:53\",\"[::]:53\"],"
				 "\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.example\"]}]}";

const char *doctor_grade_name(enum doctor_grade grade)
{
	static const char *const names[] = { [DOCTOR_GOOD] = "good", [DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "bad" };

	return names[grade];
}

void doctor_good(struct doctor *d, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->say(d->arg, d->check, DOCTOR_GOOD, text, "");
}

void doctor_find(struct doctor *d, enum doctor_grade grade, const char *cure, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->n_bad += grade == DOCTOR_BAD;
	d->n_notes += grade == DOCTOR_NOTE;
	d->say(d->arg, d->check, grade, text, cure);
}

void doctor_path(const struct doctor *d, char *out, size_t size, const char *fmt, ...)
{
	int n = snprintf(out, size, "%s", d->root);
	va_list ap;

	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < size)
		vsnprintf(out + n, size - (size_t)n, fmt, ap);
	va_end(ap);
}

bool doctor_is_there(const struct doctor *d, const char *path)
{
	char whole[PATH_MAX];

	doctor_path(d, whole, sizeof(whole), "%s", path);
	return access(whole, F_OK) == 0;
}

bool doctor_number(const struct doctor *d, const char *path, long *out)
{
	cleanup_buf struct buf text = { 0 };
	char whole[PATH_MAX], *end;

	doctor_path(d, whole, sizeof(whole), "%s", path);
	if (buf_read_file(&text, whole, NUMBER_MAX_BYTES) < 0 || !text.text)
		return false;
	*out = strtol(text.text, &end, 0);
	return end != text.text;
}

/* ---- what is configured ---- */

static bool has_uri(const struct doctor *d, const char *part)
{
	for (size_t i = 0; i < d->conf->hypervisors.n; i++)
		if (strstr(d->conf->hypervisors.v[i].uri, part))
			return true;
	return false;
}

static bool has_libvirt(const struct doctor *d)
{
	for (size_t i = 0; i < d->conf->hypervisors.n; i++)
		if (!uri_is_xen(d->conf->hypervisors.v[i].uri))
			return true;
	return false;
}

/* ---- who there is ---- */

static bool find_user(const struct doctor *d, const char *name, struct kvm_user *out)
{
	char path[PATH_MAX];
	struct passwd *pw = NULL;
	FILE *f;

	doctor_path(d, path, sizeof(path), "/etc/passwd");
	f = d->root[0] ? fopen(path, "re") : NULL;
	if (d->root[0])
		while (f && (pw = fgetpwent(f)) && strcmp(pw->pw_name, name) != 0)
			;
	else
		pw = getpwnam(name);
	if (pw)
		*out = (struct kvm_user){ name, pw->pw_uid, pw->pw_gid };
	if (f)
		fclose(f);
	return pw != NULL;
}

static bool find_group(const struct doctor *d, const char *name)
{
	char path[PATH_MAX];
	struct group *gr = NULL;
	FILE *f;

	if (!d->root[0])
		return getgrnam(name) != NULL;
	doctor_path(d, path, sizeof(path), "/etc/group");
	f = fopen(path, "re");
	while (f && (gr = fgetgrent(f)) && strcmp(gr->gr_name, name) != 0)
		;
	if (f)
		fclose(f);
	return gr != NULL;
}

static void check_users(struct doctor *d)
{
	const struct users_conf *u = &d->conf->users;
	const char *const users[] = { u->dns, u->net, u->control, has_libvirt(d) ? u->qemu : NULL,
				      d->conf->hooks.n > 0 ? u->hooks : NULL };
	const char *const groups[] = { u->readers, u->admins };
	struct kvm_user found;
	char cure[160];
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		if (!users[i] || find_user(d, users[i], &found))
			continue;
		snprintf(cure, sizeof(cure), "Make it: useradd --system --user-group --shell /usr/sbin/nologin %s", users[i]);
		doctor_find(d, DOCTOR_BAD, cure, "there is no user \"%s\"", users[i]);
		all = false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (find_group(d, groups[i]))
			continue;
		snprintf(cure, sizeof(cure), "Make it: groupadd --system %s", groups[i]);
		doctor_find(d, DOCTOR_BAD, cure, "there is no group \"%s\"", groups[i]);
		all = false;
	}
	if (all)
		doctor_good(d, "all users and groups are there");
}

/* ---- the kernel ---- */

static void check_kernel(struct doctor *d)
{
	struct utsname name;
	int major = 0;

	if (uname(&name) == 0 && sscanf(name.release, "%d", &major) == 1 && major < KERNEL_MAJOR)
		doctor_find(d, DOCTOR_NOTE, "Use Debian 12's kernel, or a newer one.",
			    "the kernel is %s; nothing older than 6.1 was tried", name.release);
	else
		doctor_good(d, "the kernel is %s", name.release);
	if (!doctor_is_there(d, "/dev/net/tun"))
		doctor_find(d, DOCTOR_BAD, "Load the module: modprobe tun", "there is no /dev/net/tun, which VMs' and held "
			    "services' network devices are made with");
	if (!doctor_is_there(d, "/proc/net/packet"))
		doctor_find(d, DOCTOR_BAD, "Load the module: modprobe af_packet", "the kernel has no packet sockets, which "
			    "VMs are probed with");
	if (!doctor_is_there(d, "/proc/sys/kernel/unprivileged_bpf_disabled"))
		doctor_find(d, DOCTOR_NOTE, "Use a kernel with CONFIG_BPF_SYSCALL.",
			    "the kernel has no BPF: traffic is counted more slowly, no answers by XDP, and a VM may send "
			    "with others' addresses");
}

static void check_kvm(struct doctor *d)
{
	struct kvm_user user;
	char dir[] = "/tmp/jitsu-doctor-XXXXXX";
	struct err e;
	int r;

	if (!has_libvirt(d))
		return;
	if (!doctor_is_there(d, "/dev/kvm")) {
		doctor_find(d, DOCTOR_NOTE, "Turn on virtualization in the machine's firmware (in a VM: nested "
			    "virtualization), and load kvm_intel or kvm_amd.",
			    "there is no /dev/kvm: guests are emulated, which is slow");
		return;
	}
	if (d->root[0] || geteuid() != 0 || !find_user(d, d->conf->users.qemu, &user)) {
		doctor_find(d, DOCTOR_NOTE, "Run it as root, when QEMU's user is there.", "whether KVM works was not tried");
		return;
	}
	if (!mkdtemp(dir)) {
		doctor_find(d, DOCTOR_NOTE, "Make room in /tmp.", "whether KVM works was not tried: %s", strerror(errno));
		return;
	}
	r = chmod(dir, 0711) < 0 ? err_set_errno(&e, -errno, "cannot open %s to others", dir) : kvm_check(&user, dir, &e);
	rmdir(dir);
	if (r < 0)
		doctor_find(d, DOCTOR_NOTE, "Then restart jitsud: it looks at its start.", "%s", e.text);
	else
		doctor_good(d, "a test guest ran under KVM, as %s", user.name);
}

/* ---- programs ---- */

static bool matches(const struct doctor *d, const char *pattern)
{
	char whole[PATH_MAX];
	glob_t found;
	bool any;

	doctor_path(d, whole, sizeof(whole), "%s", pattern);
	any = glob(whole, GLOB_BRACE, NULL, &found) == 0;
	globfree(&found);
	return any;
}

static void check_programs(struct doctor *d)
{
	static const struct {
		const char *pattern, *what, *cure;
		const char *uri; /* wanted by hypervisors in whose URI this is; NULL: by all but Xen */
	} programs[] = {
		{ "/usr/{,local/}sbin/jitsu-libvirt", "jitsu-libvirt", "Install the package jitsu-libvirt.", NULL },
		{ "/usr/bin/qemu-system-*", "QEMU", "apt-get install qemu-system-x86", "/embed" },
		{ "/usr/lib{,64,/*}/libvirt/connection-driver/libvirt_driver_qemu.so", "libvirt's QEMU driver",
		  "apt-get install libvirt-daemon libvirt-daemon-driver-qemu", "/embed" },
		{ "/usr/{,local/}sbin/jitsu-libxl", "jitsu-libxl", "Install the package jitsu-xen.", "libxl:" },
	};
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (!(programs[i].uri ? has_uri(d, programs[i].uri) : has_libvirt(d)) || matches(d, programs[i].pattern))
			continue;
		doctor_find(d, DOCTOR_BAD, programs[i].cure, "%s is not installed", programs[i].what);
		all = false;
	}
	if (all)
		doctor_good(d, "everything that VMs are started with is installed");
}

static void check_libvirt(struct doctor *d)
{
	if (!has_uri(d, "qemu:///system"))
		return;
	if (doctor_is_there(d, "/run/libvirt/libvirt-sock") || doctor_is_there(d, "/run/libvirt/virtqemud-sock"))
		doctor_good(d, "libvirt's daemon listens");
	else
		doctor_find(d, DOCTOR_BAD, "apt-get install libvirt-daemon-system, or: systemctl start libvirtd",
			    "hypervisors has qemu:///system, but no libvirt daemon listens in /run/libvirt");
}

static void check_xen(struct doctor *d)
{
	if (!has_uri(d, "libxl:"))
		return;
	if (!doctor_is_there(d, "/dev/xen/privcmd") && !doctor_is_there(d, "/proc/xen/privcmd"))
		doctor_find(d, DOCTOR_BAD, "Boot this host with Xen (apt-get install xen-system-amd64 makes it an entry of "
			    "GRUB's); where it has been: modprobe xen-privcmd", "this is no dom0 of Xen: there is no "
			    "/dev/xen/privcmd");
	else if (!doctor_is_there(d, "/run/xenstored/socket"))
		doctor_find(d, DOCTOR_BAD, "service xen start", "xenstored does not listen in /run/xenstored");
	else
		doctor_good(d, "Xen is there, and xenstored listens");
}

/* ---- bridges ---- */

/* "jt" or "jh" and ten hex digits: a VM's port, or where its clients are held. */
static bool is_tap_of_ours(const char *ifname)
{
	return strlen(ifname) == 12 && (strncmp(ifname, "jt", 2) == 0 || strncmp(ifname, "jh", 2) == 0) &&
	       strspn(ifname + 2, "0123456789abcdef") == 10;
}

/* Other ports than ours: somebody else can reach it. */
static bool has_ports(const struct doctor *d, const char *bridge)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool any = false;
	DIR *dir;

	doctor_path(d, path, sizeof(path), "/sys/class/net/%s/brif", bridge);
	dir = opendir(path);
	while (dir && !any && (entry = readdir(dir)))
		any = entry->d_name[0] != '.' && !is_tap_of_ours(entry->d_name);
	if (dir)
		closedir(dir);
	return any;
}

static void check_bridge(struct doctor *d, const char *name)
{
	char path[PATH_MAX], cure[160];
	long flags, stp, vlans;

	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", name);
	if (!doctor_is_there(d, path)) {
		snprintf(cure, sizeof(cure), "Make it (README.md has lines for /etc/network/interfaces), or: ip link add %s "
			 "type bridge", name);
		doctor_find(d, DOCTOR_BAD, cure, "there is no Linux bridge \"%s\"", name);
		return;
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s/flags", name);
	snprintf(cure, sizeof(cure), "ip link set %s up", name);
	if (doctor_number(d, path, &flags) && !(flags & IFF_UP_FLAG))
		doctor_find(d, DOCTOR_BAD, cure, "%s is down", name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/stp_state", name);
	snprintf(cure, sizeof(cure), "Where no loop can be: ip link set %s type bridge stp_state 0", name);
	if (doctor_number(d, path, &stp) && stp != 0)
		doctor_find(d, DOCTOR_NOTE, cure, "%s uses the spanning tree protocol: a new VM's port carries nothing for "
			    "many seconds", name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/vlan_filtering", name);
	if (doctor_number(d, path, &vlans) && vlans != 0)
		doctor_find(d, DOCTOR_NOTE, "Add others with: bridge vlan add", "%s filters VLANs: a new VM's port is in the "
			    "bridge's default VLAN only", name);
	snprintf(cure, sizeof(cure), "To join a network card: ip link set CARD master %s", name);
	if (!has_ports(d, name))
		doctor_find(d, DOCTOR_NOTE, cure, "%s has no ports: nobody but this host reaches its VMs", name);
	else
		doctor_good(d, "%s is there", name);
}

static void check_bridges(struct doctor *d)
{
	for (size_t i = 0; i < d->conf->bridges.n; i++)
		check_bridge(d, d->conf->bridges.v[i].name);
}

static void check_netfilter(struct doctor *d)
{
	static const char *const tables[] = { "iptables", "ip6tables", "arptables" };
	cleanup_buf struct buf which = { 0 }, cure = { 0 };
	char path[PATH_MAX];
	long on;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/bridge/bridge-nf-call-%s", tables[i]);
		if (!doctor_number(d, path, &on) || on == 0)
			continue;
		buf_addf(&which, "%s%s", which.n > 0 ? ", " : "", tables[i]);
		buf_addf(&cure, "%s net.bridge.bridge-nf-call-%s=0", cure.n > 0 ? "" : "sysctl -w", tables[i]);
	}
	buf_adds(&cure, ", or let them pass there.");
	if (which.n > 0)
		doctor_find(d, DOCTOR_NOTE, cure.text, "what bridges carry goes through the host's %s, too, which may "
			    "drop what VMs get", which.text);
	else
		doctor_good(d, "the host's firewall does not see what bridges carry");
}

/* ---- files ---- */

/* As the launcher wants it: root's, and nobody else's to write to. */
static void check_image_dir(struct doctor *d, const char *dir)
{
	char path[PATH_MAX], cure[PATH_MAX + 64];
	struct stat st;

	doctor_path(d, path, sizeof(path), "%s", dir);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		snprintf(cure, sizeof(cure), "install -d %s", dir);
		doctor_find(d, DOCTOR_BAD, cure, "there is no directory %s", dir);
	} else if (st.st_uid != 0 || (st.st_mode & 022)) {
		snprintf(cure, sizeof(cure), "chown root: %s && chmod go-w %s", dir, dir);
		doctor_find(d, DOCTOR_BAD, cure, "%s is not root's alone to write to: nothing is booted from there", dir);
	} else {
		doctor_good(d, "%s is root's", dir);
	}
}

static void check_images(struct doctor *d)
{
	for (size_t i = 0; i < d->conf->image_dirs.n; i++)
		check_image_dir(d, d->conf->image_dirs.v[i]);
}

static void check_configuration(struct doctor *d, const char *mistakes)
{
	char cure[PATH_MAX + 64];

	if (!mistakes) {
		doctor_good(d, "%s has no mistakes", d->conf_path);
		return;
	}
	snprintf(cure, sizeof(cure), "jitsud --check-config %s tells them all; README.md has an example.", d->conf_path);
	doctor_find(d, DOCTOR_BAD, cure, "%.*s", (int)strcspn(mistakes, "\n"), mistakes);
}

/* ---- all ---- */

static const struct {
	const char *name;
	void (*make)(struct doctor *d);
} checks[] = {
	{ "users", check_users },         { "programs", check_programs },   { "kernel", check_kernel },
	{ "kvm", check_kvm },             { "libvirt", check_libvirt },     { "xen", check_xen },
	{ "bridges", check_bridges },     { "netfilter", check_netfilter }, { "port", doctor_check_port },
	{ "images", check_images },
};

unsigned doctor_run(struct doctor *d)
{
	cleanup_buf struct buf mistakes = { 0 }, none = { 0 };
	struct conf *conf = conf_load(d->conf_path, &mistakes);
	bool usable = conf != NULL;

	if (!usable)
		conf = conf_parse("small", small_conf, strlen(small_conf), &none);
	if (!conf)
		abort();
	d->conf = conf;
	d->n_bad = 0;
	d->check = "configuration";
	check_configuration(d, usable ? NULL : mistakes.text ? mistakes.text : "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		d->check = checks[i].name;
		checks[i].make(d);
	}
	d->conf = NULL;
	conf_free(conf);
	return d->n_bad;
}
