/* Theory of operation
 *
 * Two filters can sit in a tap: a BPF program of the device and a classic one of the descriptor's.
 * The kernel asks both.  Attaching one replaces its predecessor between two frames, so the filter
 * that shall be is attached first, and what else is there taken off after that: for a moment both
 * must agree, and never does everything pass.
 *
 * The tables are this process's own: a predecessor's program goes on with its tables until ours,
 * filled, takes its place.
 */
#include <assert.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "launcher/bpf_load.h"
#include "launcher/filter.h"
#include "launcher/hold_filter.h"
#include "launcher/hold_tap.h"

BPF_OBJECT(hold_filter_object, HOLD_FILTER_BPF);

static_assert((int)HOLD_FILTER_ADDRS_MAX == HOLD_FILTER_ADDRS && (int)HOLD_FILTER_MACS_MAX == HOLD_FILTER_MACS &&
		      (int)HOLD_PASS_WATCH == HOLD_FILTER_WATCH && (int)HOLD_PASS_FROM == HOLD_FILTER_FROM &&
		      (int)HOLD_PASS_TO == HOLD_FILTER_TO,
	      "hold_tap.h and hold_filter.h say the same");

struct hold_filter {
	struct bpf_object *object; /* NULL: the classic filter */
	int program, addrs, macs; /* descriptors of the object's */
	char note[MSG_TEXT_MAX];
};

struct hold_filter *hold_filter_new(bool bpf, struct err *e)
{
	struct hold_filter *f = calloc(1, sizeof(*f));

	if (!f) {
		err_set(e, -ENOMEM, "no memory for the filter of hold taps");
		return NULL;
	}
	if (bpf)
		f->object = bpf_load("jitsu_hold", hold_filter_object, hold_filter_object_end);
	if (f->object) {
		f->program = bpf_load_program(f->object, "to_tap");
		f->addrs = bpf_load_map(f->object, "addrs");
		f->macs = bpf_load_map(f->object, "macs");
		return f;
	}
	snprintf(f->note, sizeof(f->note),
		 "no BPF (%s): what bridges flood to hold taps is dropped only after it has woken a process",
		 bpf ? strerror(errno) : "not wanted");
	return f;
}

void hold_filter_free(struct hold_filter *f)
{
	if (f && f->object)
		bpf_object__close(f->object);
	free(f);
}

const char *hold_filter_note(const struct hold_filter *f) { return f->note; }

static int set(int map, const void *key, unsigned pass)
{
	uint32_t value = pass;

	if (pass != HOLD_PASS_NONE)
		return bpf_map_update_elem(map, key, &value, BPF_ANY) < 0 ? -errno : 0;
	return bpf_map_delete_elem(map, key) < 0 && errno != ENOENT ? -errno : 0;
}

int hold_filter_set_addr(struct hold_filter *f, int tap_ifindex, const struct ip_addr *addr, unsigned pass)
{
	struct hold_addr_key key = { .tap = (uint32_t)tap_ifindex };

	memcpy(key.addr, addr->b, sizeof(key.addr));
	return f->object ? set(f->addrs, &key, pass) : 0;
}

int hold_filter_set_mac(struct hold_filter *f, int tap_ifindex, const struct mac_addr *mac, unsigned pass)
{
	struct hold_mac_key key = { .tap = (uint32_t)tap_ifindex };

	memcpy(key.mac, mac->b, sizeof(key.mac));
	return f->object ? set(f->macs, &key, pass) : 0;
}

static int attach_bpf(const struct hold_filter *f, int fd)
{
	int program = f->program;
	struct sock_fprog ignored = { .len = 0 };

	if (ioctl(fd, TUNSETFILTEREBPF, &program) < 0)
		return -errno;
	return ioctl(fd, TUNDETACHFILTER, &ignored) < 0 && errno != ENOENT ? -errno : 0;
}

static int attach_classic(int fd)
{
	int none = -1;
	struct filter f;
	struct sock_fprog prog = { .filter = f.code };

	filter_hold(&f);
	prog.len = f.n;
	if (ioctl(fd, TUNATTACHFILTER, &prog) < 0)
		return -errno;
	return ioctl(fd, TUNSETFILTEREBPF, &none) < 0 ? -errno : 0;
}

int hold_filter_attach(struct hold_filter *f, const struct hold_tap *t, struct err *e)
{
	int r = f->object ? attach_bpf(f, t->fd) : attach_classic(t->fd);

	return r < 0 ? err_set_errno(e, r, "cannot put the filter into the tap %s", t->ifname) : 0;
}
