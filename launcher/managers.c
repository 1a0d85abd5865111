/* Only what managers say of interfaces by name or kind is understood here.  In doubt a manager is
 * taken to leave our taps alone: a warning too few costs somebody a search, one too many is there
 * at every start, and then nobody reads any.
 */
#include "launcher/managers.h"

#include <dirent.h>
#include <fnmatch.h>
#include <glob.h>

#include "launcher/hold_tap.h"

/* The names of two taps such as we make. */
static const char *const our_names[] = { TAP_PREFIX "0123456789", HOLD_TAP_PREFIX "0123456789" };

enum { PATH_BYTES = 512, LINE_BYTES = 1024 };

enum { ALL_OURS = (1 << ARRAY_SIZE(our_names)) - 1 };

/* A bit for each of our names that it matches. */
static unsigned ours_in(const char *pattern)
{
	unsigned bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(our_names); i++)
		bits |= (unsigned)(fnmatch(pattern, our_names[i], 0) == 0) << i;
	return bits;
}

static bool read_comm(const char *root, const char *pid, char out[32])
{
	char path[PATH_BYTES];
	cleanup_fclose FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/proc/%.20s/comm", root, pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, 32, f))
		return false;
	out[strcspn(out, "\n")] = '\0';
	return true;
}

/* The kernel cuts a process's name after 15 characters. */
static bool runs(const char *root, const char *comm)
{
	char path[PATH_BYTES], name[32];
	bool found = false;
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc", root);
	dir = opendir(path);
	while (dir && !found && (d = readdir(dir)))
		found = d->d_name[0] >= '1' && d->d_name[0] <= '9' && read_comm(root, d->d_name, name) &&
			strcmp(name, comm) == 0;
	if (dir)
		closedir(dir);
	return found;
}

/* ---- files of lines ---- */

/* "[Section]" comes as key "[Section]" and value "".  False: enough. */
typedef bool line_fn(void *arg, char *key, char *value);

/* Without blanks around it. */
static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]); n--)
		;
	s[n] = '\0';
	return s;
}

/* `between`: what is between a key and its value. */
static void each_line(const char *path, const char *between, line_fn *each, void *arg)
{
	cleanup_fclose FILE *f = fopen(path, "re");
	char line[LINE_BYTES];
	bool more = true;

	while (more && f && fgets(line, sizeof(line), f)) {
		char *key = trim(line), *value = key + strcspn(key, between);

		if (*key == '#' || *key == ';' || !*key)
			continue;
		if (*value)
			*value++ = '\0';
		more = each(arg, trim(key), trim(value));
	}
}

static void each_line_of(const char *root, const char *pattern, const char *between, line_fn *each, void *arg)
{
	char path[PATH_BYTES];
	glob_t g = { 0 };

	snprintf(path, sizeof(path), "%s%s", root, pattern);
	if (glob(path, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			each_line(g.gl_pathv[i], between, each, arg);
	}
	globfree(&g);
}

/* ---- NetworkManager ---- */

struct nm {
	unsigned left_alone; /* bits of ours_in() */
	unsigned section; /* those that the [device] section being read is about */
	bool unmanaged; /* it says so */
};

/* NetworkManager.conf(5), "Device List Format". */
static unsigned nm_list(char *list)
{
	static const char by_name[] = "interface-name:";
	unsigned bits = 0;
	char *rest;

	for (char *w = strtok_r(list, ",; ", &rest); w; w = strtok_r(NULL, ",; ", &rest)) {
		if (strcmp(w, "*") == 0 || strcmp(w, "type:tun") == 0)
			bits |= ALL_OURS;
		else if (strncmp(w, by_name, strlen(by_name)) == 0)
			bits |= ours_in(w + strlen(by_name));
	}
	return bits;
}

static bool on_nm_line(void *arg, char *key, char *value)
{
	struct nm *nm = arg;

	if (*key == '[') {
		nm->section = 0;
		nm->unmanaged = false;
	} else if (strncmp(key, "unmanaged-devices", strlen("unmanaged-devices")) == 0) { /* also with "+" */
		nm->left_alone |= nm_list(value);
	} else if (strcmp(key, "match-device") == 0) {
		nm->section = nm_list(value);
	} else if (strcmp(key, "managed") == 0) {
		nm->unmanaged = strcmp(value, "0") == 0 || strcmp(value, "false") == 0 || strcmp(value, "no") == 0;
	}
	if (nm->unmanaged)
		nm->left_alone |= nm->section;
	return nm->left_alone != ALL_OURS;
}

static void look_at_nm(const char *root, netlink_warn_fn *fn, void *arg)
{
	static const char *const files[] = {
		"/etc/NetworkManager/NetworkManager.conf",
		"/etc/NetworkManager/conf.d/*.conf",
		"/run/NetworkManager/conf.d/*.conf",
		"/usr/lib/NetworkManager/conf.d/*.conf",
	};
	struct nm nm = { 0 };

	if (!runs(root, "NetworkManager"))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		each_line_of(root, files[i], "=", on_nm_line, &nm);
	if (nm.left_alone != ALL_OURS)
		netlink_warn(fn, arg,
			     "NetworkManager runs here and may take VMs' ports for its own; write to "
			     "/etc/NetworkManager/conf.d/jitsu.conf: [keyfile] unmanaged-devices=interface-name:%s*;"
			     "interface-name:%s* (each on a line of its own), then: nmcli general reload",
			     TAP_PREFIX, HOLD_TAP_PREFIX);
}

/* ---- systemd-networkd ---- */

/* What a .network file says, systemd.network(5). */
struct network {
	bool in_match, in_link;
	bool by_name; /* [Match] has a Name= */
	bool of_others; /* ... or something that our taps do not have */
	unsigned names; /* bits of ours_in() */
	bool unmanaged;
};

/* "vnet* eth0", or "!vnet* !eth0" for everything else. */
static unsigned networkd_names(char *list)
{
	bool inverted = *list == '!';
	unsigned bits = 0;
	char *rest;

	for (char *w = strtok_r(list, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest))
		bits |= ours_in(w + (*w == '!'));
	return inverted ? ALL_OURS & ~bits : bits;
}

static void on_match(struct network *n, const char *key, char *value)
{
	if (strcmp(key, "Name") == 0) {
		n->by_name = true;
		n->names |= networkd_names(value);
	} else if (strcmp(key, "Type") == 0) {
		n->of_others |= !strstr(value, "ether") || *value == '!';
	} else if (strcmp(key, "Kind") == 0) {
		n->of_others |= (!strstr(value, "tun") && !strstr(value, "tap")) || *value == '!';
	} else {
		n->of_others = true; /* a MAC, a driver, a path, a host ... */
	}
}

static bool on_network_line(void *arg, char *key, char *value)
{
	struct network *n = arg;

	if (*key == '[') {
		n->in_match = strcmp(key, "[Match]") == 0;
		n->in_link = strcmp(key, "[Link]") == 0;
	} else if (n->in_match) {
		on_match(n, key, value);
	} else if (n->in_link && strcmp(key, "Unmanaged") == 0) {
		n->unmanaged = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
	}
	return true;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* glob() found them directory by directory, the one that counts most first; networkd goes by the
 * files' names. */
static int by_base_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	int r = strcmp(base_name(*x), base_name(*y));

	return r ? r : strcmp(*x, *y); /* /etc, /run, /usr: in this order, too */
}

static void find_networks(const char *root, glob_t *g)
{
	static const char *const dirs[] = {
		"/etc/systemd/network",
		"/run/systemd/network",
		"/usr/lib/systemd/network",
	};
	char path[PATH_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s/*.network", root, dirs[i]);
		glob(path, i > 0 ? GLOB_APPEND : 0, NULL, g);
	}
	if (g->gl_pathc > 0)
		qsort(g->gl_pathv, g->gl_pathc, sizeof(*g->gl_pathv), by_base_name);
}

/* Does the file that our taps get, the first that matches, make them networkd's?  For each of our
 * names that may be another one. */
static const char *networkd_file(const glob_t *g)
{
	unsigned left = ALL_OURS;

	for (size_t i = 0; i < g->gl_pathc && left; i++) {
		struct network n = { 0 };
		unsigned names;

		if (i > 0 && strcmp(base_name(g->gl_pathv[i]), base_name(g->gl_pathv[i - 1])) == 0)
			continue; /* overridden */
		each_line(g->gl_pathv[i], "=", on_network_line, &n);
		names = n.of_others ? 0 : n.by_name ? n.names : ALL_OURS;
		if (names & left && !n.unmanaged)
			return g->gl_pathv[i];
		left &= ~names;
	}
	return NULL;
}

static void look_at_networkd(const char *root, netlink_warn_fn *fn, void *arg)
{
	const char *file;
	glob_t g = { 0 };

	if (!runs(root, "systemd-network"))
		return;
	find_networks(root, &g);
	file = networkd_file(&g);
	if (file)
		netlink_warn(fn, arg,
			     "systemd-networkd runs here and takes VMs' ports for its own, as %s says; write to "
			     "/etc/systemd/network/00-jitsu.network: [Match] Name=%s* %s* [Link] Unmanaged=yes (each on "
			     "a line of its own), then: networkctl reload",
			     file + strlen(root), TAP_PREFIX, HOLD_TAP_PREFIX);
	globfree(&g);
}

/* ---- ifupdown ---- */

/* interfaces(5): udev has it bring up what is named, also by a pattern behind "/". */
static bool on_interfaces_line(void *arg, char *key, char *value)
{
	bool *takes_us = arg;
	char *rest;

	if (strcmp(key, "allow-hotplug") != 0)
		return true;
	for (char *w = strtok_r(value, " \t", &rest); w && !*takes_us; w = strtok_r(NULL, " \t", &rest))
		*takes_us = ours_in(w + (*w == '/')) != 0;
	return !*takes_us;
}

static void look_at_ifupdown(const char *root, netlink_warn_fn *fn, void *arg)
{
	bool takes_us = false;

	each_line_of(root, "/etc/network/interfaces", " \t", on_interfaces_line, &takes_us);
	each_line_of(root, "/etc/network/interfaces.d/*", " \t", on_interfaces_line, &takes_us);
	if (takes_us)
		netlink_warn(fn, arg,
			     "ifupdown takes VMs' ports for its own: an allow-hotplug line in /etc/network/interfaces "
			     "(or interfaces.d) matches %s* or %s*; name the interfaces that are meant",
			     TAP_PREFIX, HOLD_TAP_PREFIX);
}

void managers_warnings(const char *root, netlink_warn_fn *fn, void *arg)
{
	look_at_nm(root, fn, arg);
	look_at_networkd(root, fn, arg);
	look_at_ifupdown(root, fn, arg);
}
