#include "backends/vif.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <xenstore.h>

#include "backends/vif_link.h"

enum { PATH_BYTES = 256, MTU_USUAL = 1500, MTU_MAX = 65535 };

/* ---- what is wanted ---- */

static const char *word(int argc, char **argv, const char *prefix)
{
	size_t n = strlen(prefix);

	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], prefix, n) == 0)
			return argv[i] + n;
	}
	return NULL;
}

int vif_task_parse(int argc, char **argv, struct vif_task *out, struct err *e)
{
	static const struct {
		const char *command;
		bool join;
	} commands[] = { { "online", true }, { "add", true }, { "offline", false }, { "remove", false } };
	const char *type = word(argc, argv, "type_if="), *variable;
	struct vif_task t = { .path = getenv("XENBUS_PATH") };
	size_t i = 0;

	while (argc > 1 && i < ARRAY_SIZE(commands) && strcmp(argv[1], commands[i].command) != 0)
		i++;
	if (argc < 2 || i == ARRAY_SIZE(commands))
		return err_set(e, -EINVAL, "usage: jitsu-vif online|offline|add|remove [type_if=vif|tap]; libxl runs it");
	if (type && strcmp(type, "vif") != 0 && strcmp(type, "tap") != 0)
		return err_set(e, -EINVAL, "type_if=%.32s is neither vif nor tap", type);
	t.join = commands[i].join;
	t.emulated = type && strcmp(type, "tap") == 0;
	variable = t.emulated ? "INTERFACE" : "vif";
	t.ifname = getenv(variable);
	if (!t.ifname || !t.ifname[0] || strlen(t.ifname) >= IFNAMSIZ)
		return err_set(e, -EINVAL, "the environment has no name of an interface in \"%s\"", variable);
	if (!t.path || !t.path[0] || strlen(t.path) > PATH_BYTES / 2)
		return err_set(e, -EINVAL, "the environment has no path of a device in \"XENBUS_PATH\"");
	*out = t;
	return 0;
}

/* ---- XenStore ---- */

/* The value as a string, "" when there is none, cut where it is longer. */
static void store_read(struct xs_handle *xs, const char *dir, const char *key, char *out, size_t size)
{
	char path[PATH_BYTES];
	unsigned n = 0;
	cleanup_free char *value = NULL;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	value = xs_read(xs, XBT_NULL, path, &n);
	snprintf(out, size, "%.*s", (int)MIN(n, size - 1), value ? value : "");
}

static int store_write(struct xs_handle *xs, const char *dir, const char *key, const char *value)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	return xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value)) ? 0 : -errno;
}

/* ---- the interface ---- */

static int find(const char *ifname) { return (int)if_nametoindex(ifname); }

static int set_up(const char *ifname, bool up)
{
	return link_change(find(ifname), &(struct link_change){ .flag = up ? LINK_UP : LINK_DOWN });
}

static int mtu_of(const char *ifname)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };

	str_copy(r.ifr_name, ifname);
	return ioctl(fd, SIOCGIFMTU, &r) < 0 ? 0 : r.ifr_mtu;
}

/* The highest address there is, or the bridge would take it for its own.  And nothing of ours shall be said into the
 * VM's network: without IPv6 in the kernel there is nothing to say, and it does not know the wish. */
static int describe(const char *ifname)
{
	static const uint8_t highest[] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	int r = link_change(find(ifname), &(struct link_change){ .mac = highest });

	if (r == 0)
		link_change(find(ifname), &(struct link_change){ .no_ipv6 = true });
	return r;
}

static int join(const char *ifname, const char *bridge, struct err *e)
{
	int master = find(bridge), r = link_change(find(ifname), &(struct link_change){ .master = &master });

	if (r == -EOPNOTSUPP)
		return err_set(e, r, "%s is no Linux bridge (Open vSwitch has the script vif-openvswitch)", bridge);
	return r < 0 ? err_set_errno(e, r, "%s cannot join the bridge %s", ifname, bridge) : 0;
}

/* ---- what is done ---- */

/* VIFNAME, unless it has it already. */
static int rename_port(char ifname[IFNAMSIZ], const char *name, struct err *e)
{
	int r = 0;

	if (!name[0] || strcmp(ifname, name) == 0)
		return 0;
	if (strlen(name) >= IFNAMSIZ)
		return err_set(e, -EINVAL, "\"%.40s\" is too long for the name of an interface", name);
	if (find(ifname) || !find(name)) {
		r = set_up(ifname, false);
		if (r == 0)
			r = link_change(find(ifname), &(struct link_change){ .name = name });
	}
	if (r < 0)
		return err_set_errno(e, r, "%s cannot be called %s", ifname, name);
	str_copy_n(ifname, IFNAMSIZ, name);
	return 0;
}

/* What the VM's netfront takes it for: it may ask its part of XenStore. */
static int tell_mtu(struct xs_handle *xs, const struct vif_task *t, int mtu)
{
	char dir[PATH_BYTES], text[16];
	unsigned domain, device;

	if (t->emulated || mtu == MTU_USUAL || sscanf(t->path, "backend/vif/%u/%u", &domain, &device) != 2)
		return 0;
	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vif/%u", domain, device);
	snprintf(text, sizeof(text), "%d", mtu);
	return store_write(xs, dir, "mtu", text);
}

static int choose_mtu(struct xs_handle *xs, const struct vif_task *t, const char *ifname, const char *bridge,
		      struct err *e)
{
	char text[16], *end;
	long mtu;
	int r;

	store_read(xs, t->path, "mtu", text, sizeof(text));
	mtu = strtol(text, &end, 10);
	if (text[0] && (*end || mtu < 0 || mtu > MTU_MAX))
		return err_set(e, -EINVAL, "\"%s\" is no MTU", text);
	if (mtu == 0)
		mtu = mtu_of(bridge);
	if (mtu == 0 || mtu == mtu_of(ifname))
		return 0;
	r = link_change(find(ifname), &(struct link_change){ .mtu = (uint32_t)mtu });
	if (r == 0)
		r = tell_mtu(xs, t, (int)mtu);
	return r < 0 ? err_set_errno(e, r, "%s cannot have an MTU of %ld", ifname, mtu) : 0;
}

/* Down while it is set up; its MAC before it joins. */
static int plug(struct xs_handle *xs, const struct vif_task *t, const char *ifname, struct err *e)
{
	char bridge[64];
	int r;

	store_read(xs, t->path, "bridge", bridge, sizeof(bridge));
	if (!bridge[0])
		return err_set(e, -EINVAL, "no bridge is named: give the NIC a \"bridge\"");
	if (strlen(bridge) >= IFNAMSIZ || !find(bridge))
		return err_set(e, -ENODEV, "there is no bridge %s", bridge);
	if (!find(ifname))
		return err_set(e, -ENODEV, "there is no interface %s", ifname);
	r = set_up(ifname, false);
	if (r == 0)
		r = describe(ifname);
	if (r < 0)
		return err_set_errno(e, r, "%s cannot be set up", ifname);
	r = choose_mtu(xs, t, ifname, bridge, e);
	if (r == 0)
		r = join(ifname, bridge, e);
	if (r < 0)
		return r;
	r = set_up(ifname, true);
	return r < 0 ? err_set_errno(e, r, "%s cannot be set up", ifname) : 0;
}

/* The VM is gone, and netback may have taken the interface along already. */
static int unplug(const char *ifname, struct err *e)
{
	int none = 0, r = link_change(find(ifname), &(struct link_change){ .flag = LINK_DOWN, .master = &none });

	return r < 0 && r != -ENODEV ? err_set_errno(e, r, "%s cannot leave its bridge", ifname) : 0;
}

static int work(struct xs_handle *xs, const struct vif_task *t, struct err *e)
{
	char name[64] = "", ifname[IFNAMSIZ];
	int r = 0;

	str_copy(ifname, t->ifname);
	if (!t->emulated)
		store_read(xs, t->path, "vifname", name, sizeof(name));
	if (!t->join)
		return unplug(name[0] ? name : ifname, e);
	r = rename_port(ifname, name, e);
	return r == 0 ? plug(xs, t, ifname, e) : r;
}

static int connected(struct xs_handle *xs, const struct vif_task *t, struct err *e)
{
	int r = t->join && !t->emulated ? store_write(xs, t->path, "hotplug-status", "connected") : 0;

	return r < 0 ? err_set_errno(e, r, "XenStore does not take %s/hotplug-status", t->path) : 0;
}

int vif_do(struct xs_handle *xs, const struct vif_task *t, struct err *e)
{
	int r = work(xs, t, e);

	if (r == 0)
		r = connected(xs, t, e);
	if (r < 0 && (store_write(xs, t->path, "hotplug-error", e->text) < 0 ||
		      store_write(xs, t->path, "hotplug-status", "error") < 0))
		fprintf(stderr, "jitsu-vif: XenStore does not take why it failed: %s\n", strerror(errno));
	return r;
}
