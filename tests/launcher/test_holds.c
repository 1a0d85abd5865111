/* Holding, as the launcher does it: what it tells a scripted synproxy, and where it puts the forwarding
 * entry on a real bridge, in a network namespace of the test's own.
 *
 * The VM of service "a" is domain dom-a, with the port vm-a: one end of a veth pair, for all that
 * matters here is that it is a port of the bridge.
 */
#include "tests/launcher/peers.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "base/metric.h"
#include "launcher/netlink_internal.h"

static struct netlink *nl;
static struct {
	unsigned n_bridges, n;
	char bridge[MSG_IFNAME_MAX];
	int tap; /* the last bridge's */
	char ifname[MSG_IFNAME_MAX]; /* ... name */
	struct msg_hold_conf conf;
	struct msg_hold_service services[SERVICES_MAX];
} holds = { .tap = -1 };

/* ---- the network ---- */

static void add_port(const char *name)
{
	assert_int_equal(ip_run("ip link add %s type veth peer name p-%s && ip link set p-%s up && ip link set %s master "
				"br0 up", name, name, name, name), 0);
}

static int setup_holds(void **state)
{
	int r = setup_on_bridge(state, "10.77.0.254/24", NULL);

	if (r == 0)
		add_port("vm-a");
	return r;
}

static int teardown_holds(void **state)
{
	int r = teardown_on_bridge(state);

	hang_up(&w.kept);
	hang_up(&holds.tap);
	ip_run("ip link del vm-a 2>/dev/null; ip link del vm-b 2>/dev/null");
	w.bpf = false;
	return r;
}

static const struct mac_addr mac_a = { { 0x52, 0x54, 0, 0, 0, 10 } }, mac_b = { { 0x52, 0x54, 0, 0, 0, 11 } };

/* Where the bridge has dom-a's MAC: "" for nowhere. */
static const char *where(bool *sticky)
{
	static char name[IF_NAMESIZE];
	struct fdb_entry entry;
	struct err e;

	*sticky = false;
	if (netlink_fdb_find(nl, (int)if_nametoindex("br0"), &mac_a, &entry, &e) < 0)
		return "";
	*sticky = entry.sticky;
	return if_indextoname((unsigned)entry.port, name) ? name : "?";
}

static void expect_entry_(const char *ifname, bool sticky, const char *file, int line)
{
	bool is_sticky;
	const char *at = where(&is_sticky);

	if (strcmp(at, ifname) == 0 && is_sticky == sticky)
		return;
	print_error("the entry is at \"%s\" (sticky: %d), and not at \"%s\"\n", at, is_sticky, ifname);
	_fail(file, line);
}
#define expect_at_tap() expect_entry_(holds.ifname, true, __FILE__, __LINE__)
#define expect_at_vm() expect_entry_("vm-a", false, __FILE__, __LINE__)
#define expect_nowhere() expect_entry_("", false, __FILE__, __LINE__)

/* Hears of every change of a forwarding entry. */
static int watch_entries(void)
{
	struct sockaddr_nl local = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_NEIGH };
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_true(sock >= 0);
	assert_int_equal(bind(sock, (void *)&local, sizeof(local)), 0);
	return sock;
}

/* Until there is a new one at our tap. */
static void await_entry_at_tap(int sock)
{
	int tap = (int)if_nametoindex(holds.ifname);
	struct {
		struct nlmsghdr h;
		struct ndmsg nd;
		char rest[1024];
	} m;

	do {
		struct pollfd p = { .fd = sock, .events = POLLIN };

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_true(recv(sock, &m, sizeof(m), 0) > 0);
	} while (m.h.nlmsg_type != RTM_NEWNEIGH || m.nd.ndm_ifindex != tap);
}

/* Grows by one with each interface that is made. */
static unsigned next_ifindex(void)
{
	unsigned index;

	assert_int_equal(ip_run("ip tuntap add count0 mode tap"), 0);
	index = if_nametoindex("count0");
	assert_int_equal(ip_run("ip link del count0"), 0);
	return index;
}

static unsigned count_hold_taps(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned n = 0;

	assert_non_null(list);
	for (const struct if_nameindex *i = list; i->if_name; i++)
		n += strncmp(i->if_name, "jh", 2) == 0;
	if_freenameindex(list);
	return n;
}

/* ---- synproxy ---- */

static void take_bridge(void)
{
	struct ifreq ifr = { 0 };

	assert_true(w.fd >= 0);
	assert_int_equal(ioctl(w.fd, TUNGETIFF, &ifr), 0);
	str_copy(holds.ifname, ifr.ifr_name);
	str_copy(holds.bridge, got.hold_bridge.name);
	hang_up(&holds.tap);
	holds.tap = dup(w.fd);
	holds.n_bridges++;
}

static void hear_holds_(const char *file, int line)
{
	enum msg_type type;

	holds.n = holds.n_bridges = 0;
	expect_(w.synproxy, MSG_BEGIN, file, line);
	expect_(w.synproxy, MSG_HOLD_CONF, file, line);
	holds.conf = got.hold_conf;
	while ((type = hear(w.synproxy, WAIT_MS)) != MSG_END) {
		if (type == MSG_HOLD_BRIDGE) {
			take_bridge();
			continue;
		}
		assert_int_equal(type, MSG_HOLD_SERVICE);
		assert_true(holds.n < SERVICES_MAX);
		holds.services[holds.n++] = got.hold_service;
	}
}
#define hear_holds() hear_holds_(__FILE__, __LINE__)

static const struct msg_hold_service *held(const char *name)
{
	for (unsigned i = 0; i < holds.n; i++) {
		if (strcmp(holds.services[i].name, name) == 0)
			return &holds.services[i];
	}
	fail_msg("no service \"%s\" is held", name);
	return NULL;
}

static void expect_stage_(const char *name, enum hold_stage stage, const char *file, int line)
{
	expect_(w.synproxy, MSG_HOLD_STAGE, file, line);
	if (got.hold_stage.stage != stage) {
		print_error("expected stage %s, got %s\n", hold_stage_name(stage), hold_stage_name(got.hold_stage.stage));
		_fail(file, line);
	}
	assert_int_equal(got.hold_stage.svc, of(name)->svc);
	assert_int_equal(got.hold_stage.gen, of(name)->gen);
}
#define expect_stage(name, stage) expect_stage_(name, stage, __FILE__, __LINE__)

static void tell(const char *name, enum hold_what what)
{
	struct msg_hold_event m = { .svc = of(name)->svc, .gen = of(name)->gen, .what = (uint8_t)what, .n = 1 };

	m.t_ns = clock_now_ns();
	say(w.synproxy, MSG_HOLD_EVENT, &m);
}

static void tell_in_use(const char *name, const char *addr, const char *mac)
{
	struct msg_hold_event m = { .svc = of(name)->svc, .gen = of(name)->gen, .what = HOLD_IN_USE };

	assert_int_equal(ip_parse(addr, &m.addr), 0);
	assert_int_equal(mac_parse(mac, &m.mac), 0);
	say(w.synproxy, MSG_HOLD_EVENT, &m);
}

static void knock(const char *name, enum wake_cause cause, const char *client)
{
	struct msg_wake m = { .svc = of(name)->svc, .gen = of(name)->gen, .cause = (uint8_t)cause };

	m.t_ns = clock_now_ns();
	if (client)
		assert_int_equal(ip_parse(client, &m.client), 0);
	say(w.synproxy, MSG_WAKE, &m);
}

static void expect_drop_(bool reset, const char *file, int line)
{
	expect_(w.synproxy, MSG_HOLD_DROP, file, line);
	_assert_int_equal(got.hold_drop.reset, reset, file, line);
}
#define expect_drop(reset) expect_drop_(reset, __FILE__, __LINE__)

static void meet_synproxy(void)
{
	meet(&w.synproxy, ROLE_SYNPROXY);
	hear_holds();
}

/* Everyone is there; dom-a and dom-b are off, and never were held. */
static void begin_holds(const char *services)
{
	begin_with("", services);
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "dom-b", -1, DOMAIN_OFF }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	meet_synproxy();
}

/* ... and "a" is asleep and held. */
static void begin_asleep(const char *services)
{
	begin_holds(services);
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
}

/* A client's SYN wakes it; `id` is up, and not handed over yet. */
static void knock_up(int32_t id)
{
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", id);
	expect(w.synproxy, MSG_PROBE_START);
	assert_true(w.fd >= 0);
	expect_state("a", STATE_BOOTING);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
}

static void hand_over(void)
{
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_at_vm();
	tell("a", HOLD_RELEASED);
	tell("a", HOLD_DONE);
}

static void begin_up(const char *services)
{
	begin_asleep(services);
	knock_up(5);
	hand_over();
}

/* By itself: what is to be acknowledged is in *drain and got.state. */
static void expect_drain(struct msg_hold_stage *drain)
{
	expect(w.synproxy, MSG_HOLD_PORT);
	assert_true(w.fd >= 0);
	expect_stage("a", HOLD_STAGE_DRAIN);
	expect_at_tap();
	*drain = got.hold_stage;
	expect_state("a", STATE_DRAINING);
}

static void drain_to_stop(void)
{
	struct msg_hold_stage drain;

	expect_drain(&drain);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	expect_stage("a", HOLD_STAGE_STOP);
	expect_state("a", STATE_STOPPING);
}

/* ---- a life ---- */

static void test_from_the_first_look_to_sleep(void **state)
{
	(void)state;
	begin_holds(SERVICE("a", "1", LAZY ",\"ports\":[80]"));
	assert_int_equal(holds.n_bridges, 1);
	assert_string_equal(holds.bridge, "br0");
	assert_int_equal(held("a")->stage, HOLD_STAGE_CHECK);
	assert_false(held("a")->at_vm);
	assert_memory_equal(&held("a")->mac, &mac_a, sizeof(mac_a));
	assert_int_equal(held("a")->n_ports, 1);
	assert_int_equal(of("a")->answer, ANSWER_READY);
	expect_nowhere();
	assert_string_equal(field(CTL_LIST, "", "held"), "");
	assert_string_not_equal(field(CTL_SHOW, "a", "not_held_because"), "");
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
	assert_int_equal(got.state.answer, ANSWER_AT_ONCE);
	expect_at_tap();
	assert_string_equal(field(CTL_LIST, "", "held"), "0");
	assert_string_equal(field(CTL_SHOW, "a", "not_held_because"), "");
	assert_string_equal(field(CTL_SHOW, "a", "stage"), "sleep");
	tell("a", HOLD_FREE); /* again: nothing is new */
	quiet(w.synproxy);
	quiet(w.dns);
}

static void test_woken_handed_over_and_stopped(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", EAGER));
	knock_up(5);
	expect_at_tap();
	hand_over();
	assert_string_not_equal(field(CTL_TRACE, "a", "t_syn_us"), "");
	assert_string_not_equal(field(CTL_TRACE, "a", "t_moved_us"), "");
	assert_string_not_equal(field(CTL_TRACE, "a", "t_released_us"), "");
	assert_string_equal(field(CTL_WHY, "a", "woken_by"), "syn");
	drain_to_stop();
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect(w.synproxy, MSG_PROBE_STOP);
	expect_state("a", STATE_OFF);
	expect_at_tap();
	assert_non_null(strstr(field(CTL_WHY, "a", "last_stop_reason"), "idle: no traffic"));
	knock_up(6);
	hand_over();
}

/* The usual case: synproxy asks before the launcher has looked, and before the hypervisor has answered. */
static void test_moved_while_booting(void **state)
{
	(void)state;
	begin_asleep(SERVICE_AS("a", "1", "300", "destroy", LAZY));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	tell("a", HOLD_MOVE); /* it has no port yet */
	expect_state("a", STATE_STARTING);
	quiet(w.synproxy);
	expect_at_tap();
	/* quiet() has met another control; the rest goes on */
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_PROBE_START);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_at_vm();
	expect_stage("a", HOLD_STAGE_UP);
	expect_at_vm();
}

static void test_suspended_and_resumed(void **state)
{
	(void)state;
	begin_up(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	drain_to_stop();
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", 5);
	expect_stage("a", HOLD_STAGE_FROZEN);
	expect(w.synproxy, MSG_PROBE_STOP);
	expect_state("a", STATE_SUSPENDED);
	expect_at_tap();
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	expect(w.synproxy, MSG_PROBE_START); /* its port is known */
	expect_target(MSG_BE_RESUME, "dom-a");
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_at_vm();
}

static void test_a_start_that_fails(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_stage("a", HOLD_STAGE_FAILED);
	expect_at_tap();
	knock("a", CAUSE_SYN, "192.0.2.2");
	expect_drop(true);
	quiet(w.be);
}

/* Those who were held were reset when it failed; who is held since, is not told by a snapshot or a reload. */
static void test_a_failure_is_told_once(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_stage("a", HOLD_STAGE_FAILED);
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	quiet(w.synproxy);
	reload_with(SERVICE("a", "1", LAZY ",\"ports\":[80]"));
	expect(w.synproxy, MSG_HOLD_SERVICE);
	assert_int_equal(got.hold_service.stage, HOLD_STAGE_SLEEP);
	quiet(w.synproxy);
}

/* Whoever waits longer than max_hold is told, though nothing was tried. */
static void test_a_start_that_must_wait_too_long(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"max_hold\":\"200ms\""));
	say_hello(false);
	settle();
	for (int i = 0; i < 2; i++) {
		knock("a", CAUSE_SYN, "192.0.2.1");
		expect_stage("a", HOLD_STAGE_FAILED);
	}
	say_hello(true);
	expect(w.be, MSG_BE_LIST);
	say_domain(got.target.req, &(struct domain){ "dom-a", -1, DOMAIN_OFF });
	end_list(got.target.req);
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
}

/* A paused VM still has its connections: they are not reset because there is no room for it now. */
static void test_a_resume_that_must_wait_too_long(void **state)
{
	(void)state;
	begin_up(SERVICE_AS("a", "1", "10", "suspend", EAGER ",\"max_hold\":\"200ms\""));
	drain_to_stop();
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", 5);
	expect_stage("a", HOLD_STAGE_FROZEN);
	expect(w.synproxy, MSG_PROBE_STOP);
	expect_state("a", STATE_SUSPENDED);
	hang_up(&w.be);
	settle();
	knock("a", CAUSE_SYN, "192.0.2.1");
	assert_int_equal(hear(w.synproxy, 500), 0);
	assert_string_equal(field(CTL_SHOW, "a", "stage"), "frozen");
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "it waited"));
}

/* Its address is known to be its own because it was there with it: nobody is asked. */
static void test_found_running(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	connect_with(DOMAINS({ "dom-a", 7, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_UP);
	assert_true(held("a")->at_vm);
	expect_at_vm();
	assert_int_equal(of("a")->answer, ANSWER_AT_ONCE);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_at_tap();
}

/* Its VM was started by somebody else while we had the entry: it is handed over like ours. */
static void test_started_by_hand(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	say_event("dom-a", EVENT_STARTED, 5, "booted");
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect(w.synproxy, MSG_HOLD_PORT);
	assert_true(w.fd >= 0);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_ADOPTED);
	expect_at_tap();
	hand_over();
}

/* Woken while nobody knows yet whether the address is free: it is not claimed until its VM has it. */
static void test_woken_before_it_was_claimed(void **state)
{
	(void)state;
	begin_holds(SERVICE("a", "1", LAZY));
	wake("a");
	expect_stage("a", HOLD_STAGE_NONE);
	expect_state("a", STATE_STARTING);
	assert_int_equal(got.state.answer, ANSWER_READY);
	tell("a", HOLD_FREE);
	tell("a", HOLD_MOVE);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
	assert_int_equal(got.state.answer, ANSWER_AT_ONCE);
	expect_at_vm();
	quiet(w.synproxy);
}

/* The record of one, service "m", with that last digit of its address. */
static const char *machine_of_ours(unsigned digit)
{
	static char service[512];
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/kernel", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(chmod(w.dir, 0755), 0); /* QEMU's user must get at it */
	snprintf(service, sizeof(service),
		 "{\"name\":\"m\",\"dns\":[\"m.jitsu.example\"],\"ip\":[\"10.77.0.%u/24\"],\"machine\":{"
		 "\"hypervisor\":\"hv\",\"kernel\":\"%s\",\"memory\":\"16MiB\",\"nics\":[{\"bridge\":\"br0\"}]}}", digit, path);
	return service;
}

/* A machine of ours: its tap is there before the hypervisor has answered, and so may the guest be. */
static void test_a_machine_of_ours(void **state)
{
	char tap[MSG_IFNAME_MAX];
	struct fdb_entry entry;
	struct err e;
	uint32_t req;

	(void)state;
	begin_holds(machine_of_ours(5));
	tell("m", HOLD_FREE);
	expect_stage("m", HOLD_STAGE_SLEEP);
	expect_state("m", STATE_OFF);
	assert_int_equal(netlink_fdb_find(nl, (int)if_nametoindex("br0"), &held("m")->mac, &entry, &e), 0);
	assert_int_equal(entry.port, if_nametoindex(holds.ifname));
	knock("m", CAUSE_SYN, "192.0.2.1");
	expect_stage("m", HOLD_STAGE_BOOT);
	expect(w.synproxy, MSG_PROBE_START);
	assert_memory_equal(&got.probe.vm_mac, &held("m")->mac, sizeof(struct mac_addr));
	expect(w.be, MSG_BE_START);
	str_copy(tap, got.start.nics[0].ifname);
	req = got.start.req;
	assert_memory_equal(&got.start.nics[0].mac, &held("m")->mac, sizeof(struct mac_addr));
	tell("m", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	assert_int_equal(netlink_fdb_find(nl, (int)if_nametoindex("br0"), &held("m")->mac, &entry, &e), 0);
	assert_int_equal(entry.port, if_nametoindex(tap));
	say_result(req, "m", -EIO, "broken", -1);
	expect_stage("m", HOLD_STAGE_FAILED);
	assert_int_equal(netlink_fdb_find(nl, (int)if_nametoindex("br0"), &held("m")->mac, &entry, &e), 0);
	assert_int_equal(entry.port, if_nametoindex(holds.ifname));
}

/* synproxy has packets to hand over, and no port: while it boots, too. */
static void test_a_port_while_booting(void **state)
{
	(void)state;
	begin_asleep(SERVICE_AS("a", "1", "2000", "destroy", LAZY));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_PROBE_START);
	tell("a", HOLD_WANT_PORT);
	expect(w.synproxy, MSG_HOLD_PORT);
	assert_true(w.fd >= 0);
}

/* ---- stopping ---- */

/* When the first frame comes to the tap, synproxy has the port to pass it on. */
static void test_the_port_comes_before_the_frames(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int watch = watch_entries();

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	settle();
	while (recv(watch, &(char[2048]){ 0 }, 2048, MSG_DONTWAIT) > 0)
		;
	await_entry_at_tap(watch);
	p.fd = w.synproxy;
	assert_int_equal(poll(&p, 1, 0), 1);
	expect(w.synproxy, MSG_HOLD_PORT);
	expect_stage("a", HOLD_STAGE_DRAIN);
	hang_up(&watch);
}

/* Something else is looked at while both are asked. */
static void test_a_refresh_while_draining(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	expect_drain(&drain);
	assert_int_equal(ip_run("ip link set %s nomaster", holds.ifname), 0);
	for (int i = 0; i < 100 && strcmp(where(&(bool){ 0 }), holds.ifname) != 0; i++)
		usleep(5 * 1000);
	expect_at_tap();
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	assert_int_equal(hear(w.be, 100), 0);
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	expect_target(MSG_BE_STOP, "dom-a");
}

/* It was stopped before it was ready, and stays: it boots on, and is probed anew. */
static void test_a_stop_that_fails_while_booting(void **state)
{
	(void)state;
	begin_asleep(SERVICE_AS("a", "1", "2000", "destroy", LAZY));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_PROBE_START);
	settle();
	ask(CTL_STOP, "a", true);
	expect_stage("a", HOLD_STAGE_STOP);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", -EIO, "broken", 5);
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect_stage("a", HOLD_STAGE_BOOT);
	expect(w.synproxy, MSG_PROBE_START);
	assert_true(w.fd >= 0);
}

static void test_both_must_acknowledge(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	expect_drain(&drain);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	assert_int_equal(hear(w.be, 100), 0);
	drain.seq++;
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	assert_int_equal(hear(w.be, 100), 0);
	drain.seq--;
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	expect_target(MSG_BE_STOP, "dom-a");
}

static void test_a_silent_synproxy_keeps_it_up(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	expect_drain(&drain);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_at_vm();
	assert_int_equal(hear(w.be, 0), 0);
	drain_to_stop();
}

static void test_a_dead_synproxy_does_not_keep_it_up(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	expect_drain(&drain);
	hang_up(&w.synproxy);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("a", STATE_STOPPING);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	expect_at_tap();
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
}

static void test_a_packet_while_draining(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER ",\"wake_deny\":[\"192.0.2.77\"]"));
	expect_drain(&drain);
	knock("a", CAUSE_SYN, "192.0.2.77"); /* whoever it is: it is up, and he uses it */
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_at_vm();
	assert_int_equal(hear(w.be, QUIET_MS), 0);
}

static void test_stopped_by_the_operator(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	ask(CTL_STOP, "a", true);
	expect(w.synproxy, MSG_HOLD_PORT);
	expect_stage("a", HOLD_STAGE_STOP);
	expect_at_tap();
	expect_target(MSG_BE_STOP, "dom-a");
}

static void test_the_vm_dies(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	say_event("dom-a", EVENT_STOPPED, -1, "crashed");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_at_tap();
}

/* A query woke it, and the client that was given the address never came. */
static void test_nobody_comes(void **state)
{
	struct msg_hold_stage drain;
	uint64_t up;

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"dns_grace\":\"300ms\""));
	wake("a");
	expect_stage("a", HOLD_STAGE_BOOT);
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_PROBE_START);
	expect_state("a", STATE_BOOTING);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
	up = clock_now_ms();
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns()); /* asking again does not keep it up */
	assert_non_null(strstr(field(CTL_WHY, "a", "kept_up_by"), "dns_grace"));
	expect_drain(&drain);
	assert_in_range(clock_now_ms() - up, 290, 2000);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	say(w.synproxy, MSG_HOLD_ACK, &drain);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_non_null(strstr(field(CTL_WHY, "a", "state"), "stopping"));
}

/* A query wakes it, and nobody comes: until it is off again. */
static void wake_in_vain(const char *client, int32_t id)
{
	uint32_t req;

	wake_from("a", 0, client);
	expect_stage("a", HOLD_STAGE_BOOT);
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", id);
	expect(w.synproxy, MSG_PROBE_START);
	expect_state("a", STATE_BOOTING);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_UP);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	drain_to_stop();
	req = expect_target(MSG_BE_STOP, "dom-a");
	say_result(req, "dom-a", 0, "", -1);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
	expect(w.synproxy, MSG_PROBE_STOP);
}

static void begin_muting(void)
{
	begin_with("\"mute_after\":2", SERVICE("a", "1", LAZY ",\"dns_grace\":\"100ms\""));
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	meet_synproxy();
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
}

/* A resolver that asks again and again for nobody: its queries are answered, and wake no more. */
static void test_who_wakes_in_vain_is_muted(void **state)
{
	(void)state;
	begin_muting();
	wake_in_vain("192.0.2.1", 5);
	assert_string_equal(field(CTL_WHY, "a", "muted"), "");
	wake_in_vain("192.0.2.77", 6); /* of the same network */
	assert_non_null(strstr(field(CTL_WHY, "a", "muted"), "192.0.2.0/24: nobody came after 2 wakes"));
	assert_non_null(strstr(field(CTL_SHOW, "a", "muted"), "192.0.2.0/24"));
	wake_from("a", 9, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 9);
	assert_int_equal(got.refused.how, REFUSED_ANSWER);
	assert_string_equal(field(CTL_SHOW, "a", "dns_wakes_muted"), "1");
	wake_as("a", 10, "192.0.2.1", false); /* may be a forger: not what was muted */
	expect_start("dom-a");
}

static void test_packets_wake_whoever_is_muted(void **state)
{
	(void)state;
	begin_muting();
	wake_in_vain("192.0.2.1", 5);
	wake_in_vain("192.0.2.1", 6);
	wake_from("a", 0, "192.0.2.1");
	quiet(w.be);
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_start("dom-a");
}

static void test_others_are_not_muted(void **state)
{
	(void)state;
	begin_muting();
	wake_in_vain("192.0.2.1", 5);
	wake_in_vain("198.51.100.1", 6); /* one each */
	wake_from("a", 0, "192.0.2.1");
	expect_start("dom-a");
}

/* Who came himself keeps it for idle_timeout. */
static void test_grace_is_not_for_those_who_came(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY ",\"dns_grace\":\"100ms\""));
	assert_int_equal(hear(w.synproxy, 400), 0);
	assert_string_equal(state_of("a"), "up");
}

/* ---- who has the address ---- */

static void test_in_use_at_the_first_look(void **state)
{
	uint32_t id;

	(void)state;
	begin_holds(SERVICE("a", "1", LAZY));
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	expect_stage("a", HOLD_STAGE_CONFLICT);
	expect_state("a", STATE_CONFLICT);
	expect_nowhere();
	assert_non_null(strstr(field(CTL_SHOW, "a", "not_held_because"), "52:54:00:99:99:99"));
	assert_non_null(strstr(field(CTL_SHOW, "a", "conflict_with"), "10.77.0.1 (MAC 52:54:00:99:99:99)"));
	assert_string_equal(field(CTL_SHOW, "a", "conflict"), "true");
	id = ask(CTL_START, "a", true);
	expect_end(id, -EADDRINUSE);
	assert_non_null(strstr(got.end.text, "in use elsewhere"));
	wake_from("a", 7, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_non_null(strstr(got.refused.text, "52:54:00:99:99:99"));
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	quiet(w.synproxy);
	quiet(w.be);
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
	expect_at_tap();
	knock_up(5);
}

static void test_in_use_while_asleep(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	tell_in_use("a", "10.77.0.2", "52:54:00:99:99:99"); /* which is not its */
	quiet(w.synproxy);
	expect_at_tap();
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	expect_stage("a", HOLD_STAGE_CONFLICT);
	expect_state("a", STATE_CONFLICT);
	expect_nowhere();
	knock("a", CAUSE_SYN, "192.0.2.1");
	quiet(w.be);
}

static void test_defended(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"on_conflict\":\"defend\""));
	assert_true(held("a")->defend);
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	quiet(w.synproxy);
	quiet(w.dns);
	expect_at_tap();
	assert_non_null(strstr(field(CTL_SHOW, "a", "conflict_with"), "52:54:00:99:99:99"));
}

/* A VM that runs keeps its address. */
static void test_in_use_while_up(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	quiet(w.synproxy);
	quiet(w.dns);
	expect_at_vm();
	assert_string_equal(state_of("a"), "up");
}

/* It is paused, and must not be woken beside whoever took its address. */
static void test_in_use_while_suspended(void **state)
{
	(void)state;
	begin_up(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	drain_to_stop();
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", 5);
	expect_stage("a", HOLD_STAGE_FROZEN);
	expect(w.synproxy, MSG_PROBE_STOP);
	expect_state("a", STATE_SUSPENDED);
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	expect_stage("a", HOLD_STAGE_CONFLICT);
	expect_nowhere();
	assert_string_equal(state_of("a"), "suspended");
	wake_from("a", 7, "192.0.2.1");
	expect_state("a", STATE_SUSPENDED);
	expect(w.dns, MSG_DNS_REFUSED);
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_FROZEN);
	expect_at_tap();
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_target(MSG_BE_RESUME, "dom-a");
}

/* With its own MAC: it may be its own VM, which somebody started. */
static void test_in_use_by_its_own_vm(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	tell_in_use("a", "10.77.0.1", "52:54:00:00:00:0a");
	expect_stage("a", HOLD_STAGE_CONFLICT);
	expect_state("a", STATE_CONFLICT);
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect_stage("a", HOLD_STAGE_UP);
	expect_state("a", STATE_ADOPTED);
	expect_at_vm();
}

/* ---- which packets wake ---- */

static void test_no_packet_wakes(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"wake_syn\":\"off\""));
	assert_false(held("a")->wakes);
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_drop(false);
	knock("a", CAUSE_UDP, "192.0.2.1");
	expect_drop(false);
	quiet(w.be);
	assert_string_equal(field(CTL_SHOW, "a", "wakes_refused"), "2");
	knock("a", CAUSE_WOL, NULL); /* which is no guess at an address */
	expect_start("dom-a");
}

/* As the metrics have it. */
static uint64_t wakes_refused(enum wake_cause cause)
{
	struct msg_metrics_id ask = { .id = ++w.last_id };
	const struct msg_metrics *m = (const void *)&got;
	struct msg_dns_counts none = { 0 };
	uint64_t n = UINT64_MAX;
	enum msg_type type;

	say(w.control, MSG_METRICS_ASK, &ask);
	while ((type = hear(w.dns, WAIT_MS)) != MSG_DNS_COUNTS_ASK)
		assert_int_not_equal(type, 0);
	say(w.dns, MSG_DNS_COUNTS, &none);
	while ((type = hear(w.control, WAIT_MS)) != MSG_METRICS_END) {
		assert_int_not_equal(type, 0);
		for (unsigned i = 0; type == MSG_METRICS && i < m->n; i++) {
			const struct msg_sample *s = &m->samples[i];

			if (s->metric == METRIC_WAKES && strcmp(s->labels[0].text, cause_name(cause)) == 0 &&
			    strcmp(s->labels[1].text, "refused") == 0)
				n = s->value;
		}
	}
	return n;
}

static void test_refused_packets_are_counted(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"wake_deny\":[\"192.0.2.0/24\"]"));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_drop(false);
	knock("a", CAUSE_SYN, "192.0.2.2");
	expect_drop(false);
	knock("a", CAUSE_UDP, "192.0.2.1");
	expect_drop(false);
	assert_int_equal(wakes_refused(CAUSE_SYN), 2);
	assert_int_equal(wakes_refused(CAUSE_UDP), 1);
	assert_int_equal(wakes_refused(CAUSE_PING), 0);
	assert_int_equal(wakes_refused(CAUSE_DNS), 0);
}

static void test_packets_wake_after_an_answer(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"wake_syn\":\"after-dns\",\"dns_horizon\":\"1s\""));
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_drop(false);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns() - 1500 * NS_PER_MS);
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_drop(false);
	quiet(w.be);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns());
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_start("dom-a");
}

static void test_who_may_wake(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"wake_allow\":[\"192.0.2.0/24\"],\"wake_deny\":[\"192.0.2.9\"]"));
	knock("a", CAUSE_SYN, "198.51.100.1");
	expect_drop(false);
	knock("a", CAUSE_SYN, "192.0.2.9");
	expect_drop(false);
	quiet(w.be);
	knock("a", CAUSE_UDP, "192.0.2.8");
	expect_start("dom-a");
}

static void test_pings(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	knock("a", CAUSE_PING, "192.0.2.1");
	expect_drop(false);
	quiet(w.be);
	reload_with(SERVICE("a", "1", LAZY ",\"wake_ping\":\"wake\""));
	expect(w.synproxy, MSG_HOLD_SERVICE);
	assert_int_equal(got.hold_service.ping, PING_WAKE);
	assert_int_equal(got.hold_service.stage, HOLD_STAGE_SLEEP);
	knock("a", CAUSE_PING, "192.0.2.1");
	expect_start("dom-a");
}

/* It invents causes, clients, tokens. */
static void test_a_hostile_synproxy(void **state)
{
	struct msg_wake m = { 0 };
	struct msg_hold_event event = { 0 };
	struct msg_flows_rows rows = { .id = 1, .n = 1 };
	struct msg_flows_end end = { .id = 1 };
	struct msg_hold_stage ack = { 0 };

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	m.svc = event.svc = ack.svc = of("a")->svc;
	m.gen = event.gen = ack.gen = of("a")->gen;
	say(w.synproxy, MSG_WAKE, &m);
	m.cause = CAUSE_SYN;
	say(w.synproxy, MSG_WAKE, &m); /* of nobody */
	assert_int_equal(ip_parse("192.0.2.1", &m.client), 0);
	m.token = 1;
	say(w.synproxy, MSG_WAKE, &m);
	m.token = 0;
	for (unsigned cause = 0; cause < 256; cause++) {
		m.cause = (uint8_t)cause;
		if (cause != CAUSE_SYN && cause != CAUSE_UDP && cause != CAUSE_WOL && cause != CAUSE_PING)
			say(w.synproxy, MSG_WAKE, &m);
	}
	for (unsigned what = 0; what < 256; what++) {
		event.what = (uint8_t)what;
		if (what != HOLD_IN_USE)
			say(w.synproxy, MSG_HOLD_EVENT, &event);
		event.gen++;
		say(w.synproxy, MSG_HOLD_EVENT, &event);
		event.gen--;
	}
	say(w.synproxy, MSG_HOLD_ACK, &ack);
	say(w.synproxy, MSG_FLOWS_ROWS, &rows);
	say(w.synproxy, MSG_FLOWS_END, &end);
	quiet(w.be);
	quiet(w.dns);
	quiet(w.synproxy);
	expect_at_tap();
	knock_up(5);
}

static unsigned count(int sock, enum msg_type wanted)
{
	enum msg_type type;
	unsigned n = 0;

	settle();
	while ((type = hear(sock, QUIET_MS)))
		n += type == wanted;
	return n;
}

/* Each port is a packet socket, which takes long to close. */
static void test_ports_without_end(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	knock_up(5);
	hand_over();
	for (int i = 0; i < 50; i++)
		tell("a", HOLD_WANT_PORT);
	assert_int_equal(count(w.synproxy, MSG_HOLD_PORT), 1);
	usleep(500 * 1000);
	tell("a", HOLD_WANT_PORT);
	assert_int_equal(count(w.synproxy, MSG_HOLD_PORT), 1);
}

/* Each change of mind is written down, moves an entry, and asks the hypervisor. */
static void test_conflicts_without_end(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	for (int i = 0; i < 20; i++) {
		tell_in_use("a", "10.77.0.1", "52:54:00:00:00:0a");
		tell("a", HOLD_FREE);
	}
	assert_int_equal(count(w.synproxy, MSG_HOLD_STAGE), 3);
	assert_int_equal(count(w.be, MSG_BE_INSPECT), 1); /* the other waits for its answer */
	assert_string_equal(state_of("a"), "conflict");
	expect_nowhere();
}

static void test_a_source_wakes_no_more_than_it_may(void **state)
{
	(void)state;
	begin_with("\"wakes_per_source\":\"1/h\"", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "dom-b", -1, DOMAIN_OFF }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	meet_synproxy();
	tell("a", HOLD_FREE);
	tell("b", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_stage("b", HOLD_STAGE_SLEEP);
	knock("a", CAUSE_WOL, "192.0.2.1"); /* all magic packets are one source, and not his */
	expect_start("dom-a");
	knock("b", CAUSE_WOL, "192.0.2.2");
	expect_stage("a", HOLD_STAGE_BOOT);
	quiet(w.be);
	quiet(w.synproxy);
	knock("b", CAUSE_SYN, "192.0.2.1");
	expect_start("dom-b");
}

/* ---- ports that go and come ---- */

static void test_the_port_leaves_and_comes_back(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ip_run(i == 0 ? "ip link set vm-a nomaster" : "ip link del vm-a"), 0);
		expect_stage("a", HOLD_STAGE_BOOT);
		expect_at_tap();
		tell("a", HOLD_MOVE); /* it has none */
		assert_string_equal(state_of("a"), "up");
		expect_at_tap();
		if (i == 0)
			assert_int_equal(ip_run("ip link set vm-a master br0"), 0);
		else
			add_port("vm-a");
		expect(w.synproxy, MSG_HOLD_PORT);
		assert_true(w.fd >= 0);
		expect_stage("a", HOLD_STAGE_UP);
		hand_over();
	}
}

/* Before anybody was told: the port is another one all at once. */
static void test_the_port_is_another_one(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	kill(w.pid, SIGSTOP);
	assert_int_equal(ip_run("ip link del vm-a"), 0);
	add_port("vm-a");
	kill(w.pid, SIGCONT);
	expect_stage("a", HOLD_STAGE_BOOT);
	expect(w.synproxy, MSG_HOLD_PORT);
	expect_stage("a", HOLD_STAGE_UP);
	expect_at_tap();
	hand_over();
}

/* A NIC that was taken out of a domain and put in again has another port: the hypervisor knows which. */
static void test_the_port_has_another_name(void **state)
{
	struct msg_be_domain m = { .domain_id = 5, .state = DOMAIN_RUNNING, .n_nics = 1 };

	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	assert_int_equal(ip_run("ip link del vm-a"), 0);
	expect_stage("a", HOLD_STAGE_BOOT);
	add_port("vm-b");
	m.req = expect_target(MSG_BE_INSPECT, "dom-a");
	str_copy(m.name, "dom-a");
	nics_of("dom-a", true, m.nics);
	str_copy(m.nics[0].ifname, "vm-b");
	say(w.be, MSG_BE_DOMAIN, &m);
	say_result(m.req, "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_HOLD_PORT);
	expect_stage("a", HOLD_STAGE_UP);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	expect_entry_("vm-b", false, __FILE__, __LINE__);
}

/* ---- bridges and taps ---- */

static void test_our_tap_is_deleted(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	assert_int_equal(ip_run("ip link del %s", holds.ifname), 0);
	hear_holds();
	assert_int_equal(holds.n_bridges, 1);
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	expect_at_tap();
	assert_int_equal(ip_run("ip link set %s nomaster", holds.ifname), 0);
	for (int i = 0; i < 100 && strcmp(where(&(bool){ 0 }), holds.ifname) != 0; i++)
		usleep(20 * 1000);
	expect_at_tap(); /* the same tap: synproxy need not hear of it */
	quiet(w.synproxy);
}

/* Behind an uplink that comes back nobody may know any more where the addresses are. */
static void test_an_uplink_comes_back(void **state)
{
	(void)state;
	add_port("up0");
	begin_asleep(SERVICE("a", "1", LAZY));
	assert_int_equal(ip_run("ip link set p-up0 down"), 0);
	assert_int_equal(hear(w.synproxy, QUIET_MS), 0);
	assert_int_equal(ip_run("ip link set p-up0 up"), 0);
	expect(w.synproxy, MSG_HOLD_BRIDGE);
	assert_string_equal(got.hold_bridge.name, "br0");
	assert_true(w.fd >= 0);
	ip_run("ip link del up0");
}

static void test_the_bridge_goes_and_comes(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	assert_int_equal(ip_run("ip link del br0"), 0);
	expect_stage("a", HOLD_STAGE_NONE);
	hear_holds();
	assert_int_equal(holds.n + holds.n_bridges, 0);
	expect_state("a", STATE_OFF);
	assert_int_equal(got.state.answer, ANSWER_READY);
	assert_non_null(strstr(field(CTL_SHOW, "a", "not_held_because"), "there is no bridge br0"));
	assert_int_equal(ip_run("ip link add br0 type bridge && ip link set br0 up && ip addr add 10.77.0.254/24 dev br0"),
			 0);
	hear_holds();
	if (held("a")->stage != HOLD_STAGE_SLEEP) /* the address came a moment later */
		expect_stage("a", HOLD_STAGE_SLEEP);
	expect_state("a", STATE_OFF);
	assert_int_equal(got.state.answer, ANSWER_AT_ONCE);
	expect_at_tap();
}

static void test_nobody_needs_the_tap(void **state)
{
	enum msg_type type;

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	while ((type = hear(w.supervisor, QUIET_MS)))
		if (type == MSG_KEEP)
			assert_string_equal(got.keep.name, "hold:br0");
	reload_with(SERVICE("a", "1", LAZY ",\"hold\":\"off\""));
	expect_stage("a", HOLD_STAGE_NONE);
	hear_holds();
	assert_int_equal(holds.n + holds.n_bridges, 0);
	assert_int_equal(of("a")->answer, ANSWER_READY);
	expect_nowhere();
	while ((type = hear(w.supervisor, WAIT_MS)) != MSG_KEEP)
		assert_int_not_equal(type, 0);
	assert_string_equal(got.keep.name, "hold:br0");
	assert_int_equal(w.fd, -1);
	assert_int_equal(count_hold_taps(), 0);
	assert_string_equal(field(CTL_SHOW, "a", "not_held_because"), "hold is off");
	reload_with(SERVICE("a", "1", LAZY)); /* it was claimed, and is again */
	hear_holds();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	expect_at_tap();
}

static void test_an_orderly_end(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	assert_int_equal(count_hold_taps(), 1);
	kill(w.pid, SIGTERM);
	waitpid(w.pid, NULL, 0);
	w.pid = 0;
	assert_int_equal(count_hold_taps(), 0);
	expect_at_vm(); /* it runs on */
	launch(); /* for the end that teardown brings */
}

static void test_taps_of_earlier_runs(void **state)
{
	(void)state;
	assert_int_equal(ip_run("ip tuntap add jh0123456789 mode tap && ip link set jh0123456789 alias jitsu-hold:br7"), 0);
	assert_int_equal(ip_run("ip tuntap add jhforeign mode tap"), 0);
	begin_asleep(SERVICE("a", "1", LAZY));
	assert_int_equal(if_nametoindex("jh0123456789"), 0);
	assert_int_not_equal(if_nametoindex("jhforeign"), 0);
	expect_at_tap();
	ip_run("ip link del jhforeign");
}

/* ---- restarts ---- */

/* The launcher is killed; what the supervisor kept of it stays. */
static void kill_launcher(void)
{
	enum msg_type type;

	kill(w.pid, SIGKILL);
	while ((type = hear(w.supervisor, QUIET_MS))) {
		if (type != MSG_KEEP || w.fd < 0)
			continue;
		hang_up(&w.kept);
		w.kept = dup(w.fd);
		str_copy(w.kept_name, got.keep.name);
	}
	end_launcher();
	assert_true(w.kept >= 0);
	assert_string_equal(w.kept_name, "hold:br0");
}

static void ask_arp(const char *ifname)
{
	static const uint8_t frame[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
					 2, 0, 0, 0, 0, 7, 10, 77, 0, 7, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1 };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname) };
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	assert_int_equal(sendto(sock, frame, sizeof(frame), 0, (void *)&to, sizeof(to)), sizeof(frame));
	close(sock);
}

/* The frames that the tap has now: how many of them ask for 10.77.0.1? */
static unsigned arps_in_tap(void)
{
	static const uint8_t wanted[4] = { 10, 77, 0, 1 };
	uint8_t frame[2048];
	unsigned n = 0;

	while (read(holds.tap, frame, sizeof(frame)) >= 42)
		n += frame[12] == 8 && frame[13] == 6 && frame[21] == 1 && memcmp(frame + 38, wanted, 4) == 0;
	return n;
}

/* Asleep, it is held by the next launcher at once, and what came meanwhile waits in the tap. */
static void test_a_new_launcher(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	usleep(50 * 1000);
	arps_in_tap();
	kill_launcher();
	hang_up(&holds.tap);
	expect_at_tap();
	ask_arp("p-vm-a");
	launch();
	meet(&w.synproxy, ROLE_SYNPROXY);
	assert_int_equal(hear(w.synproxy, QUIET_MS), 0); /* it must wait for what runs */
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	hear_holds();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	expect_at_tap();
	assert_int_equal(arps_in_tap(), 1);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->answer, ANSWER_AT_ONCE);
	knock_up(5);
}

/* While its VM is up, and while the hand-over was under way. */
static void test_a_new_launcher_while_it_is_up(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	knock_up(5);
	settle();
	for (int moved = 0; moved < 2; moved++) {
		kill_launcher();
		launch();
		connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }));
		meet(&w.dns, ROLE_DNS);
		hear_snapshot();
		meet_synproxy();
		assert_int_equal(held("a")->stage, HOLD_STAGE_UP);
		assert_int_equal(held("a")->at_vm, moved);
		if (moved) {
			expect_at_vm();
			quiet(w.synproxy);
			continue;
		}
		expect(w.synproxy, MSG_HOLD_PORT);
		assert_true(w.fd >= 0);
		expect_at_tap();
		hand_over();
		settle();
	}
}

/* What an earlier one has put at the tap is found there, though its service is not held any more. */
static void test_a_new_launcher_cleans_up(void **state)
{
	struct fdb_entry entry;
	struct err e;

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	tell("b", HOLD_FREE);
	expect_stage("b", HOLD_STAGE_SLEEP);
	kill_launcher();
	expect_at_tap();
	write_conf("", SERVICE("a", "1", LAZY ",\"hold\":\"off\"") "," SERVICE("b", "2", LAZY));
	launch();
	settle();
	expect_at_tap(); /* nobody has told yet what runs */
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "dom-b", -1, DOMAIN_OFF }));
	meet_synproxy();
	assert_int_equal(holds.n, 1);
	assert_int_equal(held("b")->stage, HOLD_STAGE_SLEEP);
	expect_nowhere();
	assert_int_equal(netlink_fdb_find(nl, (int)if_nametoindex("br0"), &mac_b, &entry, &e), 0);
	assert_int_equal(entry.port, if_nametoindex(holds.ifname));
	assert_true(entry.sticky);
}

static bool is_arp_from(const uint8_t *frame, ssize_t n, uint8_t digit)
{
	const uint8_t from[] = { 10, 77, 0, digit };

	return n >= 42 && frame[12] == 8 && frame[13] == 6 && memcmp(frame + 28, from, 4) == 0;
}

/* The VM on this tap asks the network something: does it come to vm-a's other end?  It is tried so often. */
static bool may_speak(int vm, const struct mac_addr *mac, uint8_t digit, int tries)
{
	uint8_t frame[10 + 42] = { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [22] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 };
	uint8_t heard[2048];
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex("p-vm-a") };
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	bool came = false;

	memcpy(frame + 10 + 6, mac, sizeof(*mac));
	memcpy(frame + 10 + 22, mac, sizeof(*mac));
	memcpy(frame + 10 + 28, (uint8_t[]){ 10, 77, 0, digit }, 4);
	memcpy(frame + 10 + 38, (uint8_t[]){ 10, 77, 0, 200 }, 4);
	assert_int_equal(bind(sock, (void *)&at, sizeof(at)), 0);
	for (int i = 0; i < tries && !came; i++) {
		ssize_t n;

		assert_int_equal(write(vm, frame, sizeof(frame)), sizeof(frame));
		usleep(20 * 1000);
		while ((n = read(sock, heard, sizeof(heard))) > 0)
			came |= is_arp_from(heard, n, digit);
	}
	close(sock);
	return came;
}

/* Its VM was started with another address than the record has by now, and goes on speaking with that. */
static void test_another_address_and_a_new_launcher(void **state)
{
	struct msg_be_result started = { .domain_id = 5 };
	struct msg_be_domain runs = { .name = "jitsu-m", .domain_id = 5, .state = DOMAIN_RUNNING };
	struct mac_addr mac;
	int vm;

	(void)state;
	w.bpf = true;
	begin_holds(machine_of_ours(5));
	tell("m", HOLD_FREE);
	expect_stage("m", HOLD_STAGE_SLEEP);
	knock("m", CAUSE_SYN, "192.0.2.1");
	expect(w.be, MSG_BE_START);
	mac = got.start.nics[0].mac;
	str_copy(started.uuid, got.start.uuid);
	str_copy(runs.uuid, got.start.uuid);
	vm = tap_attach(got.start.nics[0].ifname, IFF_VNET_HDR);
	assert_true(vm >= 0);
	started.req = got.start.req;
	say(w.be, MSG_BE_RESULT, &started);
	settle();
	assert_true(may_speak(vm, &mac, 5, 200));
	if (may_speak(vm, &mac, 7, 5))
		skip(); /* without BPF nothing is guarded */
	kill_launcher();
	write_conf("", machine_of_ours(6));
	launch();
	runs.req = connect_backend();
	say(w.be, MSG_BE_DOMAIN, &runs);
	end_list(runs.req);
	settle();
	assert_true(may_speak(vm, &mac, 5, 200));
	assert_false(may_speak(vm, &mac, 7, 5));
	hang_up(&vm);
}

/* The hypervisor says nothing for longer than anybody waits: what was held, is. */
static void test_a_new_launcher_without_a_hypervisor(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	kill_launcher();
	launch();
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	meet_synproxy();
	assert_int_equal(holds.n, 0); /* which NIC its domain has, nobody has said */
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	hear_holds();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	expect_at_tap();
}

/* A new jitsud: nothing was kept.  What was claimed since the host booted is claimed, once it is known what runs. */
static void test_a_new_jitsud(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	kill_launcher();
	hang_up(&w.kept);
	hang_up(&holds.tap);
	launch();
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	expect_at_tap();
}

static void test_a_new_synproxy(void **state)
{
	(void)state;
	begin_asleep(SERVICE_AS("a", "1", "400", "destroy", LAZY));
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_SLEEP);
	knock("a", CAUSE_SYN, "192.0.2.1");
	expect_stage("a", HOLD_STAGE_BOOT);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect(w.synproxy, MSG_PROBE_START);
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_BOOT);
	assert_false(held("a")->at_vm);
	expect(w.synproxy, MSG_PROBE_START);
	assert_true(w.fd >= 0);
	expect_stage("a", HOLD_STAGE_UP);
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_UP);
	expect(w.synproxy, MSG_HOLD_PORT);
	tell("a", HOLD_MOVE);
	expect(w.synproxy, MSG_HOLD_MOVED);
	settle();
	meet_synproxy();
	assert_true(held("a")->at_vm);
	quiet(w.synproxy);
	tell("a", HOLD_WANT_PORT); /* it has found packets to hand over */
	expect(w.synproxy, MSG_HOLD_PORT);
	expect_at_vm();
}

static void test_a_new_synproxy_while_draining(void **state)
{
	struct msg_hold_stage drain;

	(void)state;
	begin_up(SERVICE("a", "1", EAGER));
	expect_drain(&drain);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	meet_synproxy();
	assert_int_equal(held("a")->stage, HOLD_STAGE_DRAIN);
	expect(w.synproxy, MSG_HOLD_PORT);
	say(w.synproxy, MSG_HOLD_ACK, &drain); /* of the other */
	assert_int_equal(hear(w.be, 100), 0);
	expect_stage("a", HOLD_STAGE_DRAIN);
	say(w.synproxy, MSG_HOLD_ACK, &got.hold_stage);
	expect_target(MSG_BE_STOP, "dom-a");
}

/* ---- the record changes ---- */

static void test_another_address(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	reload_with(SERVICE("a", "3", LAZY));
	expect_stage("a", HOLD_STAGE_NONE);
	expect(w.synproxy, MSG_HOLD_SERVICE);
	assert_int_equal(got.hold_service.stage, HOLD_STAGE_CHECK);
	hear_holds();
	expect_nowhere();
	tell("a", HOLD_FREE);
	expect_stage("a", HOLD_STAGE_SLEEP);
	expect_at_tap();
}

/* While it is up, the VM has the old one: the new one is looked for when it is off. */
static void test_another_address_while_up(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY));
	reload_with(SERVICE("a", "3", LAZY));
	expect_stage("a", HOLD_STAGE_NONE);
	expect(w.synproxy, MSG_HOLD_SERVICE);
	assert_int_equal(got.hold_service.stage, HOLD_STAGE_NONE);
	hear_holds();
	assert_int_equal(held("a")->stage, HOLD_STAGE_NONE);
	expect_at_vm();
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_stage("a", HOLD_STAGE_CHECK);
}

static void test_removed_while_up(void **state)
{
	(void)state;
	begin_up(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	write_conf("", SERVICE("b", "2", LAZY));
	say(w.supervisor, MSG_RELOAD, NULL);
	expect_stage("a", HOLD_STAGE_NONE);
	hear_holds(); /* whose table has its address no more */
	assert_int_equal(holds.n, 1);
	assert_string_equal(holds.services[0].name, "b");
	expect_at_vm();
}

/* In conflict, and then not to be held at all: that is no conflict. */
static void test_in_conflict_and_then_not_held(void **state)
{
	(void)state;
	begin_holds(SERVICE("a", "1", LAZY));
	tell_in_use("a", "10.77.0.1", "52:54:00:99:99:99");
	expect_stage("a", HOLD_STAGE_CONFLICT);
	expect_state("a", STATE_CONFLICT);
	reload_with(SERVICE("a", "1", LAZY ",\"hold\":\"off\""));
	assert_int_equal(of("a")->state, STATE_OFF);
	wake("a");
	expect_start("dom-a");
}

static void test_limits_change(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	write_conf("\"max_held\":77", SERVICE("a", "1", LAZY));
	say(w.supervisor, MSG_RELOAD, NULL);
	hear_holds();
	assert_int_equal(holds.conf.max_held, 77);
}

/* ---- why not ---- */

static void expect_refused(const char *why)
{
	const char *said;

	settle();
	said = field(CTL_SHOW, "a", "not_held_because");
	if (!strstr(said, why))
		fail_msg("\"%s\" is not the reason; it is: %s", why, said);
	assert_string_equal(field(CTL_LIST, "", "held"), "");
}

static void with_nic(const char *bridge, const char *kind, const char *mac)
{
	struct msg_be_domain m = { .name = "dom-a", .domain_id = -1, .state = DOMAIN_OFF, .n_nics = 1 };

	m.req = connect_backend();
	str_copy(m.nics[0].bridge, bridge);
	str_copy(m.nics[0].kind, kind);
	if (mac)
		assert_int_equal(mac_parse(mac, &m.nics[0].mac), 0);
	say(w.be, MSG_BE_DOMAIN, &m);
	end_list(m.req);
}

static void test_why_it_is_not_held(void **state)
{
	static const struct {
		const char *bridge, *kind, *mac, *why;
	} cases[] = {
		{ "", "user", "52:54:00:00:00:0a", "user-mode" },
		{ "", "direct", "52:54:00:00:00:0a", "macvtap" },
		{ "", "openvswitch", "52:54:00:00:00:0a", "Open vSwitch" },
		{ "br7", "bridge", "52:54:00:00:00:0a", "there is no bridge br7" },
		{ "lo", "bridge", "52:54:00:00:00:0a", "no bridge" },
		{ "br0", "bridge", NULL, "MAC" },
		{ "br0", "bridge", "01:00:5e:00:00:01", "MAC" },
	};

	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	expect_refused("has not told yet");
	connect_with(NULL);
	expect_refused("knows no domain \"dom-a\"");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_nic(cases[i].bridge, cases[i].kind, cases[i].mac);
		expect_refused(cases[i].why);
	}
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->answer, ANSWER_READY);
	reload_with(SERVICE("a", "254", LAZY));
	with_nic("br0", "bridge", "52:54:00:00:00:0a");
	expect_refused("the one of bridge br0 itself");
	assert_int_equal(ip_run("ip addr flush dev br0 scope global"), 0);
	reload_with(SERVICE("a", "1", LAZY));
	settle();
	assert_int_equal(ip_run("ip link set br0 mtu 1400"), 0); /* by which the launcher sees it */
	usleep(150 * 1000);
	reload_with(SERVICE("a", "1", LAZY ",\"ttl\":7"));
	expect_refused("no address to ask");
	wake("a"); /* its name wakes it all the same */
	expect_start("dom-a");
}

/* For a service that cannot be held no tap is made, which would be news of its bridge, and so on for ever. */
static void test_a_refusal_makes_no_tap(void **state)
{
	unsigned index;

	(void)state;
	assert_int_equal(ip_run("ip addr flush dev br0 scope global"), 0);
	begin_with("", SERVICE("a", "1", LAZY));
	index = next_ifindex();
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	expect_refused("no address to ask");
	assert_int_equal(ip_run("ip link set br0 mtu 1400"), 0);
	usleep(300 * 1000);
	assert_int_equal(next_ifindex(), index + 1);
	assert_int_equal(ip_run("ip addr add 10.77.0.254/24 dev br0"), 0);
	assert_int_equal(ip_run("ip link set br0 mtu 1500"), 0); /* by which the launcher sees it */
	for (int i = 0; i < 100 && count_hold_taps() == 0; i++)
		usleep(20 * 1000);
	assert_int_equal(count_hold_taps(), 1);
}

/* Two services of one domain would take its MAC from each other. */
static void test_twins(void **state)
{
	(void)state;
	begin_holds(SERVICE("a", "1", LAZY) ",{\"name\":\"z\",\"dns\":[\"z.jitsu.example\"],\"ip\":[\"10.77.0.9/24\"],"
		    "\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"twin-a\"},\"ready\":[\"delay:10\"]}");
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "twin-a", -1, DOMAIN_OFF }));
	settle();
	assert_int_equal(holds.n, 1);
	assert_non_null(strstr(field(CTL_SHOW, "z", "not_held_because"), "service \"a\" has the same MAC"));
}

static void test_an_answer_of_the_operators_choice(void **state)
{
	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY ",\"answer\":\"ready\""));
	assert_int_equal(got.state.answer, ANSWER_READY);
}

/* ---- what operators see ---- */

static void test_counters(void **state)
{
	struct msg_hold_counts m = { .held = 3, .syns = 9, .parked = 5, .released = 2, .conflicts = 1 };

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.synproxy, MSG_HOLD_COUNTS, &m);
	settle();
	assert_string_equal(field(CTL_LIST, "", "held"), "3");
	assert_string_equal(field(CTL_STATUS, "", "held"), "3");
	assert_string_equal(field(CTL_SHOW, "a", "held"), "3");
	assert_string_equal(field(CTL_SHOW, "a", "syns"), "9");
	assert_string_equal(field(CTL_SHOW, "a", "parked"), "5");
	assert_string_equal(field(CTL_SHOW, "a", "released"), "2");
	assert_string_equal(field(CTL_SHOW, "a", "conflicts"), "1");
}

static const char *row_value(const char *key)
{
	for (uint16_t i = 0; i < got.row.n_fields; i++) {
		if (strcmp(got.row.fields[i].key, key) == 0)
			return got.row.fields[i].value;
	}
	return "";
}

static uint32_t ask_flows(const char *name, uint32_t n)
{
	struct msg_ctl_request m = { .id = ++w.last_id, .verb = CTL_FLOWS, .n = n };

	str_copy(m.service, name);
	say(w.control, MSG_CTL_REQUEST, &m);
	return m.id;
}

static void test_flows(void **state)
{
	struct msg_flows_rows rows = { .n = 3 };
	struct msg_flows_end end = { .total = 17 };
	uint32_t id;

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	id = ask_flows("a", 2);
	expect(w.synproxy, MSG_FLOWS_ASK);
	assert_false(got.flows_ask.all);
	assert_int_equal(got.flows_ask.svc, of("a")->svc);
	rows.id = end.id = got.flows_ask.id;
	for (unsigned i = 0; i < 3; i++) {
		rows.flows[i] = (struct msg_flow){ .svc = of("a")->svc, .gen = of("a")->gen, .port = 80, .packets = 2 };
		rows.flows[i].client_port = (uint16_t)(4000 + i);
		rows.flows[i].since_ns = clock_now_ns() - 500 * NS_PER_MS;
		rows.flows[i].newest_ns = UINT64_MAX;
		assert_int_equal(ip_parse("192.0.2.1", &rows.flows[i].client), 0);
		assert_int_equal(ip_parse("10.77.0.1", &rows.flows[i].addr), 0);
	}
	rows.flows[0].svc = of("b")->svc; /* nobody asked for that, and there is no such gen */
	say(w.synproxy, MSG_FLOWS_ROWS, &rows);
	rows.n = 2;
	rows.flows[0] = rows.flows[1];
	say(w.synproxy, MSG_FLOWS_ROWS, &rows); /* that would be four, and two were asked for */
	say(w.synproxy, MSG_FLOWS_END, &end);
	for (unsigned i = 1; i < 3; i++) {
		expect(w.control, MSG_CTL_ROW);
		assert_string_equal(row_value("service"), "a");
		assert_string_equal(row_value("proto"), "tcp");
		assert_string_equal(row_value("client"), "192.0.2.1");
		assert_int_equal(strtoul(row_value("client_port"), NULL, 10), 4000 + i);
		assert_string_equal(row_value("addr"), "10.77.0.1");
		assert_string_equal(row_value("port"), "80");
		assert_in_range(strtoul(row_value("age_ms"), NULL, 10), 499, 5000);
		assert_string_equal(row_value("newest_ago_ms"), "0");
		assert_string_equal(row_value("packets"), "2");
		assert_string_equal(row_value("state"), "off");
	}
	expect(w.control, MSG_CTL_ROW);
	assert_string_equal(row_value("held"), "17");
	expect_end(id, 0);
}

static void test_flows_without_synproxy(void **state)
{
	struct msg_ctl_cancel cancel;
	uint32_t id;

	(void)state;
	begin_asleep(SERVICE("a", "1", LAZY));
	cancel.id = ask_flows("", 0);
	expect(w.synproxy, MSG_FLOWS_ASK);
	assert_true(got.flows_ask.all);
	say(w.control, MSG_CTL_CANCEL, &cancel);
	id = ask_flows("", 0);
	expect(w.synproxy, MSG_FLOWS_ASK);
	hang_up(&w.synproxy);
	expect_end(id, -ENOTCONN); /* and nothing of the one that was cancelled */
	id = ask_flows("", 0);
	expect_end(id, -ENOTCONN);
	assert_non_null(strstr(got.end.text, "synproxy"));
	id = ask_flows("nobody", 0);
	expect_end(id, -ENOENT);
	meet_synproxy();
	id = ask_flows("a", 0);
	expect_end(id, -ETIMEDOUT); /* it is connected, and says nothing */
}

#define HOLDS(test) cmocka_unit_test_setup_teardown(test, setup_holds, teardown_holds)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		HOLDS(test_from_the_first_look_to_sleep),
		HOLDS(test_woken_handed_over_and_stopped),
		HOLDS(test_moved_while_booting),
		HOLDS(test_suspended_and_resumed),
		HOLDS(test_a_start_that_fails),
		HOLDS(test_a_failure_is_told_once),
		HOLDS(test_a_resume_that_must_wait_too_long),
		HOLDS(test_a_start_that_must_wait_too_long),
		HOLDS(test_found_running),
		HOLDS(test_started_by_hand),
		HOLDS(test_woken_before_it_was_claimed),
		HOLDS(test_a_machine_of_ours),
		HOLDS(test_a_port_while_booting),
		HOLDS(test_the_port_comes_before_the_frames),
		HOLDS(test_a_refresh_while_draining),
		HOLDS(test_a_stop_that_fails_while_booting),
		HOLDS(test_both_must_acknowledge),
		HOLDS(test_a_silent_synproxy_keeps_it_up),
		HOLDS(test_a_dead_synproxy_does_not_keep_it_up),
		HOLDS(test_a_packet_while_draining),
		HOLDS(test_stopped_by_the_operator),
		HOLDS(test_the_vm_dies),
		HOLDS(test_nobody_comes),
		HOLDS(test_who_wakes_in_vain_is_muted),
		HOLDS(test_packets_wake_whoever_is_muted),
		HOLDS(test_others_are_not_muted),
		HOLDS(test_grace_is_not_for_those_who_came),
		HOLDS(test_in_use_at_the_first_look),
		HOLDS(test_in_use_while_asleep),
		HOLDS(test_defended),
		HOLDS(test_in_use_while_up),
		HOLDS(test_in_use_while_suspended),
		HOLDS(test_in_use_by_its_own_vm),
		HOLDS(test_no_packet_wakes),
		HOLDS(test_refused_packets_are_counted),
		HOLDS(test_packets_wake_after_an_answer),
		HOLDS(test_who_may_wake),
		HOLDS(test_pings),
		HOLDS(test_a_hostile_synproxy),
		HOLDS(test_ports_without_end),
		HOLDS(test_conflicts_without_end),
		HOLDS(test_a_source_wakes_no_more_than_it_may),
		HOLDS(test_the_port_leaves_and_comes_back),
		HOLDS(test_the_port_is_another_one),
		HOLDS(test_the_port_has_another_name),
		HOLDS(test_our_tap_is_deleted),
		HOLDS(test_an_uplink_comes_back),
		HOLDS(test_the_bridge_goes_and_comes),
		HOLDS(test_nobody_needs_the_tap),
		HOLDS(test_an_orderly_end),
		HOLDS(test_taps_of_earlier_runs),
		HOLDS(test_a_new_launcher),
		HOLDS(test_a_new_launcher_while_it_is_up),
		HOLDS(test_a_new_launcher_cleans_up),
		HOLDS(test_another_address_and_a_new_launcher),
		HOLDS(test_a_new_launcher_without_a_hypervisor),
		HOLDS(test_a_new_jitsud),
		HOLDS(test_a_new_synproxy),
		HOLDS(test_a_new_synproxy_while_draining),
		HOLDS(test_another_address),
		HOLDS(test_another_address_while_up),
		HOLDS(test_removed_while_up),
		HOLDS(test_in_conflict_and_then_not_held),
		HOLDS(test_limits_change),
		HOLDS(test_why_it_is_not_held),
		HOLDS(test_a_refusal_makes_no_tap),
		HOLDS(test_twins),
		HOLDS(test_an_answer_of_the_operators_choice),
		HOLDS(test_counters),
		HOLDS(test_flows),
		HOLDS(test_flows_without_synproxy),
	};
	struct err e;

	if (!netns_enter())
		return 77;
	nl = netlink_new(&e);
	if (!nl)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("launcher/holds", tests, NULL, NULL);
}
