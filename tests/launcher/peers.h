/* The launcher process as the supervisor runs it, among peers that follow a script: what it says
 * to dns, control, synproxy and a backend for what they say to it.  Everything goes through real channels.
 * For the tests of launcher/ that need the whole process; each of them uses what it needs.
 */
#ifndef TESTS_LAUNCHER_PEERS_H
#define TESTS_LAUNCHER_PEERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/slots.h"
#include "launcher/main.h"
#include "tests/netns.h"

#pragma GCC diagnostic ignored "-Wunused-function"

enum {
	WAIT_MS = 10000,
	QUIET_MS = 40, /* nothing came for so long: nothing comes */
	SERVICES_MAX = 8,
};

/* One service: its name, the last digit of its address, and what else counts. */
#define SERVICE_AS(name, digit, delay, stop, more)                                                 \
	"{\"name\":\"" name "\",\"dns\":[\"" name ".jitsu.example\"],\"ip\":[\"10.77.0." digit     \
	"/24\"],\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"dom-" name                         \
	"\"},\"ready\":[\"delay:" delay "\"],\"stop\":\"" stop "\"" more "}"
#define SERVICE(name, digit, more) SERVICE_AS(name, digit, "10", "destroy", more)
/* Long enough that nothing happens by itself within a test; and soon. */
#define LAZY ",\"idle_timeout\":\"1h\""
#define IDLES(time, horizon) ",\"idle_timeout\":\"" time "\",\"dns_horizon\":\"" horizon "\""
#define EAGER IDLES("150ms", "0s")
#define EAGER_MS 150

static struct world {
	char dir[64];
	pid_t pid;
	int supervisor, dns, control, synproxy, be; /* our ends; -1 for none */
	int fd; /* that came with the last message; -1 for none */
	int kept; /* what the supervisor kept of the last launcher, as `kept_name`; -1 for nothing */
	char kept_name[MSG_NAME_MAX];
	bool mute; /* the backend does not say that it lives */
	bool bpf; /* the launcher may use it */
	const char *bridge; /* where domains' NICs are; NULL: they have none */
	const char *pools; /* of that bridge, in quotes; NULL: none */
	const char *uri; /* of the hypervisor; NULL: whichever */
	const char *zone; /* what else is said of the zone, after a comma; NULL: nothing */
	struct slots *slots;
	unsigned n;
	struct msg_dns_service services[SERVICES_MAX]; /* of the last snapshot */
	uint32_t last_id;
} w = { .supervisor = -1, .dns = -1, .control = -1, .synproxy = -1, .be = -1, .fd = -1, .kept = -1 };

/* ---- a message at a time ---- */

static union {
	struct msg_peer peer;
	struct msg_want_backend want;
	struct msg_listen listen;
	struct msg_dns_service service;
	struct msg_dns_state state;
	struct msg_dns_changing changing;
	struct msg_dns_refused refused;
	struct msg_dns_conf dns_conf;
	struct msg_dns_zone zone;
	struct msg_dns_zone_file zone_file;
	struct msg_be_start start;
	struct msg_be_target target;
	struct msg_ctl_row row;
	struct msg_ctl_end end;
	struct msg_keep keep;
	struct msg_probe_start probe;
	struct msg_hold_conf hold_conf;
	struct msg_hold_bridge hold_bridge;
	struct msg_hold_service hold_service;
	struct msg_hold_stage hold_stage;
	struct msg_hold_port hold_port;
	struct msg_hold_moved hold_moved;
	struct msg_hold_drop hold_drop;
	struct msg_flows_ask flows_ask;
	struct msg_guest guest;
	struct msg_learn_tell tell;
	struct msg_be_watch watch;
	char room[MSG_BODY_MAX];
} got;

static void say_fd(int sock, enum msg_type type, const void *body, int fd)
{
	static char packet[IPC_PACKET_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { packet, 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;
	ssize_t n = ipc_encode(type, body, packet, sizeof(packet));

	assert_true(n > 0);
	iov.iov_len = (size_t)n;
	if (fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &m, MSG_NOSIGNAL), n);
}

static void say(int sock, enum msg_type type, const void *body) { say_fd(sock, type, body, -1); }

static void hang_up(int *sock)
{
	if (*sock >= 0)
		close(*sock);
	*sock = -1;
}

/* The launcher's question whether the backend lives is answered whatever the test waits for.  True when nothing
 * else is there to be read before the next one. */
static bool backend_lives(void)
{
	static char packet[IPC_PACKET_MAX];
	static _Alignas(max_align_t) char body[MSG_BODY_MAX];
	enum msg_type type;
	ssize_t n;

	if (w.be < 0 || w.mute)
		return false;
	while ((n = recv(w.be, packet, sizeof(packet), MSG_PEEK | MSG_DONTWAIT)) > 0) {
		if (ipc_decode(packet, (size_t)n, &type, body) < 0 || type != MSG_PING)
			return false;
		recv(w.be, packet, sizeof(packet), MSG_DONTWAIT);
		say(w.be, MSG_PONG, NULL);
	}
	return n < 0;
}

static bool is_readable(int sock, unsigned ms)
{
	uint64_t now = clock_now_ms(), until = now + ms;
	struct pollfd p[] = { { .fd = sock, .events = POLLIN }, { .fd = -1, .events = POLLIN } };

	for (; ; now = clock_now_ms()) {
		p[1].fd = backend_lives() && sock != w.be ? w.be : -1;
		if (poll(p, 2, now < until ? (int)(until - now) : 0) < 0)
			return false;
		if (p[0].revents && !(sock == w.be && backend_lives()))
			return true;
		if (now >= until)
			return false;
	}
}

/* The next message, in `got`, and what came with it, in w.fd; 0 when none came in time. */
static enum msg_type hear(int sock, unsigned ms)
{
	static char packet[IPC_PACKET_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	enum msg_type type;
	ssize_t n;

	if (!is_readable(sock, ms))
		return 0;
	n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	hang_up(&w.fd);
	if (n > 0 && CMSG_FIRSTHDR(&m))
		memcpy(&w.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(w.fd));
	if (n <= 0)
		return 0;
	assert_int_equal(ipc_decode(packet, (size_t)n, &type, &got), 0);
	return type;
}

static void expect_(int sock, enum msg_type wanted, const char *file, int line)
{
	enum msg_type type = hear(sock, WAIT_MS);

	if (type == wanted)
		return;
	print_error("expected %s, got %s\n", msg_name(wanted), type ? msg_name(type) : "nothing");
	_fail(file, line);
}
#define expect(sock, type) expect_(sock, type, __FILE__, __LINE__)

/* ---- the launcher and its peers ---- */

static void run_launcher(int fd)
{
	static char conf[96];
	struct child_args args = { .role = ROLE_LAUNCHER, .log_level = "error", .conf_path = conf, .run_dir = w.dir };

	snprintf(conf, sizeof(conf), "%s/conf.json", w.dir);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!w.bpf)
		setenv("JITSU_NO_BPF", "1", 1);
	if (getenv("TEST_VERBOSE"))
		args.log_level = "debug";
	if (fd != CHILD_SUPERVISOR_FD)
		dup2(fd, CHILD_SUPERVISOR_FD);
	for (fd = CHILD_SUPERVISOR_FD + 1; fd < 64; fd++)
		close(fd);
	_exit(launcher_main(&args));
}

/* A file of the test's own directory. */
static void put_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void write_conf(const char *limits, const char *services)
{
	char path[96], bridges[256] = "";
	FILE *f;

	if (w.bridge)
		snprintf(bridges, sizeof(bridges), "{\"name\":\"%s\",\"pools\":[%s]}", w.bridge, w.pools ? w.pools : "");
	snprintf(path, sizeof(path), "%s/conf.json", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"{\"listen\":[\"127.0.0.1:5399\"],\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"]%s}],"
		"\"zone_dirs\":[\"%s\"],"
		"\"hypervisors\":[{\"name\":\"hv\",\"uri\":\"%s\"}],\"run_dir\":\"%s\",\"state_dir\":\"%s\","
		"\"users\":{\"qemu\":\"nobody\"},\"image_dirs\":[\"%s\"],\"bridges\":[%s],\"limits\":{%s},\"services\":[%s]}",
		w.zone ? w.zone : "", w.dir, w.uri ? w.uri : "test:///default", w.dir, w.dir, w.dir, bridges, limits, services);
	assert_int_equal(fclose(f), 0);
}

/* A new channel between the launcher and one of its peers, whose end becomes *sock. */
static void meet(int *sock, enum role role)
{
	struct msg_peer m = { .role = (uint8_t)role };
	int fds[2];

	if (role == ROLE_BACKEND)
		str_copy(m.name, "hv");
	assert_int_equal(ipc_pair(fds), 0);
	say_fd(w.supervisor, MSG_PEER, &m, fds[1]);
	close(fds[1]);
	hang_up(sock);
	*sock = fds[0];
}

static void meet_control(void)
{
	meet(&w.control, ROLE_CONTROL);
	expect(w.control, MSG_BEGIN);
	expect(w.control, MSG_END);
}

/* Until everything said before has taken effect.  A channel that is new in one turn of the
 * launcher's loop is read in the next one; after two of them, so are all others.  (Asking twice
 * through an old one proves nothing: it is read for as long as there is more.)  An operator's request
 * that waits is dropped. */
static void settle(void)
{
	for (int i = 0; i < 2; i++) {
		struct msg_ctl_request m = { .id = ++w.last_id, .verb = CTL_STATUS };

		meet_control();
		say(w.control, MSG_CTL_REQUEST, &m);
		expect(w.control, MSG_CTL_ROW);
		expect(w.control, MSG_CTL_END);
		assert_int_equal(got.end.id, w.last_id);
	}
}

static void quiet_for_(int sock, unsigned ms, const char *file, int line)
{
	enum msg_type type;

	settle();
	type = hear(sock, ms);
	if (!type)
		return;
	print_error("expected nothing, got %s\n", msg_name(type));
	_fail(file, line);
}
#define quiet_for(sock, ms) quiet_for_(sock, ms, __FILE__, __LINE__)
#define quiet(sock) quiet_for(sock, QUIET_MS)

/* What it wants is told, and it is ready: then it meets control. */
static void launch(void)
{
	struct msg_keep keep = { 0 }, none = { 0 };
	int fds[2], slots = slots_create();
	unsigned backends = 0, listens = 0;
	enum msg_type type;
	cpu_set_t cpus;

	assert_true(slots >= 0);
	assert_int_equal(ipc_pair(fds), 0);
	w.pid = fork();
	assert_true(w.pid >= 0);
	if (w.pid == 0)
		run_launcher(fds[1]);
	close(fds[1]);
	w.supervisor = fds[0];
	w.slots = slots_map(slots);
	assert_non_null(w.slots);
	say_fd(w.supervisor, MSG_SLOTS, NULL, slots);
	close(slots);
	if (w.kept >= 0) {
		str_copy(keep.name, w.kept_name);
		say_fd(w.supervisor, MSG_KEPT, &keep, w.kept);
	}
	say(w.supervisor, MSG_KEPT, &none);
	while ((type = hear(w.supervisor, WAIT_MS)) != MSG_READY) {
		assert_int_not_equal(type, 0);
		if (type == MSG_WANT_BACKEND) {
			assert_string_equal(got.want.name, "hv");
			backends++;
		}
		if (type == MSG_WANT_LISTEN) { /* a socket for each CPU, without another word */
			assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
			assert_int_equal(got.listen.sharers, got.listen.proto == LISTEN_UDP ? CPU_COUNT(&cpus) : 0);
			listens++;
		}
	}
	assert_int_equal(backends, 2); /* at once, and again in the whole list */
	assert_true(listens >= 2);
	meet_control();
}

static void begin_with(const char *limits, const char *services)
{
	write_conf(limits, services);
	launch();
}

static void end_launcher(void)
{
	int status = 0;

	hang_up(&w.supervisor);
	hang_up(&w.dns);
	hang_up(&w.control);
	hang_up(&w.synproxy);
	hang_up(&w.be);
	hang_up(&w.fd);
	slots_unmap(w.slots);
	w.slots = NULL;
	if (w.pid > 0)
		waitpid(w.pid, &status, 0);
	w.pid = 0;
}

static int setup(void **state)
{
	char path[96];

	(void)state;
	strcpy(w.dir, "/tmp/jitsu-launcher-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	snprintf(path, sizeof(path), "%s/services", w.dir);
	return mkdir(path, 0700);
}

/* It must have lived until now, and end with 0 when it is told to. */
static int teardown(void **state)
{
	char line[128];
	int status = -1;

	(void)state;
	if (w.pid > 0) {
		kill(w.pid, SIGTERM);
		waitpid(w.pid, &status, 0);
		w.pid = 0;
	}
	end_launcher();
	snprintf(line, sizeof(line), "rm -rf %s", w.dir);
	if (system(line) != 0)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* The same on a bridge, br0, that has this address and these pools of addresses; NULL: none. */
static int setup_on_bridge(void **state, const char *address, const char *pools)
{
	if (ip_run("ip link add br0 type bridge && ip link set br0 address 02:00:00:00:00:fe up") < 0 ||
	    (address && ip_run("ip addr add %s dev br0", address) < 0))
		return -1;
	w.bridge = "br0";
	w.pools = pools;
	return setup(state);
}

static int teardown_on_bridge(void **state)
{
	int r = teardown(state);

	ip_run("ip link del br0 2>/dev/null");
	w.bridge = w.pools = NULL;
	return r;
}

/* ---- the registry, as another program sees it ---- */

static void registry_run(const char *statement)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/registry.db", w.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* As if it had been learned by a launcher before. */
static void put_learned(const char *name, const char *text)
{
	char statement[256];

	snprintf(statement, sizeof(statement), "INSERT INTO learned (name, key, value, wall_ms) "
		 "VALUES ('%s', 'address', '%s', 1)", name, text);
	registry_run(statement);
}

/* ---- what dns hears and says ---- */

static const struct msg_dns_service *of(const char *name)
{
	for (unsigned i = 0; i < w.n; i++) {
		if (strcmp(w.services[i].name, name) == 0)
			return &w.services[i];
	}
	fail_msg("no service \"%s\" in the snapshot", name);
	return NULL;
}

/* dns goes by each snapshot as soon as it was heard: set by tests of what waits for that. */
__attribute__((unused)) static bool loads_at_once;

static void hear_rest_of_snapshot(void)
{
	static struct msg_dns_loaded loaded;
	enum msg_type type;

	w.n = 0;
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF)
			loaded.seq = got.dns_conf.seq;
		if (type != MSG_DNS_SERVICE)
			continue;
		assert_true(w.n < SERVICES_MAX);
		w.services[w.n++] = got.service;
	}
	if (loads_at_once)
		say(w.dns, MSG_DNS_LOADED, &loaded);
}

static void hear_snapshot(void)
{
	expect(w.dns, MSG_BEGIN);
	hear_rest_of_snapshot();
}

/* What has changed may be told once more before it. */
static void hear_snapshot_after_states(void)
{
	enum msg_type type;

	while ((type = hear(w.dns, WAIT_MS)) == MSG_DNS_STATE)
		;
	assert_int_equal(type, MSG_BEGIN);
	hear_rest_of_snapshot();
}

static void expect_state_(const char *name, enum service_state state, const char *file, int line)
{
	expect_(w.dns, MSG_DNS_STATE, file, line);
	if (got.state.state != state) {
		print_error("expected %s, got %s\n", state_name(state), state_name(got.state.state));
		_fail(file, line);
	}
	assert_int_equal(got.state.svc, of(name)->svc);
	assert_int_equal(got.state.gen, of(name)->gen);
}
#define expect_state(name, state) expect_state_(name, state, __FILE__, __LINE__)

static void wake_as(const char *name, uint32_t token, const char *client, bool verified)
{
	struct msg_wake m = { .svc = of(name)->svc, .gen = of(name)->gen, .token = token, .verified = verified,
			      .t_ns = clock_now_ns() };

	assert_int_equal(ip_parse(client, &m.client), 0);
	say(w.dns, MSG_WAKE, &m);
}

static void wake_from(const char *name, uint32_t token, const char *client) { wake_as(name, token, client, true); }

static void wake(const char *name) { wake_from(name, 1, "192.0.2.1"); }

/* ---- what the backend hears and says ---- */

struct domain {
	const char *name;
	int32_t id; /* -1: off */
	enum domain_state state;
};

/* What tells domains apart; 0: of none. */
static char last_of(const char *domain) { return domain[0] ? domain[strlen(domain) - 1] : '\0'; }

static void uuid_of(const char *domain, char uuid[MSG_UUID_MAX])
{
	snprintf(uuid, MSG_UUID_MAX, "00000000-0000-4000-8000-%012x", (unsigned char)last_of(domain));
}

/* vm-a, with a MAC that ends in 0a; its port is there while it runs. */
static uint16_t nics_of(const char *domain, bool runs, struct msg_nic *out)
{
	char last = last_of(domain);

	if (!w.bridge)
		return 0;
	*out = (struct msg_nic){ .mac = { { 0x52, 0x54, 0, 0, 0, (uint8_t)(last - 'a' + 10) } }, .kind = "bridge" };
	str_copy(out->bridge, w.bridge);
	if (runs)
		snprintf(out->ifname, sizeof(out->ifname), "vm-%c", last);
	return 1;
}

static void say_domain(uint32_t req, const struct domain *d)
{
	struct msg_be_domain m = { .req = req, .domain_id = d->id, .state = (uint8_t)d->state, .memory_bytes = 1 << 24 };

	str_copy(m.name, d->name);
	uuid_of(d->name, m.uuid);
	m.n_nics = nics_of(d->name, d->id >= 0, m.nics);
	say(w.be, MSG_BE_DOMAIN, &m);
}

static void say_result(uint32_t req, const char *domain, int error, const char *text, int32_t id)
{
	struct msg_be_result m = { .req = req, .error = error, .domain_id = id };

	str_copy(m.text, text);
	uuid_of(domain, m.uuid);
	m.n_nics = nics_of(domain, id >= 0, m.nics);
	m.t_begin_ns = m.t_done_ns = clock_now_ns();
	say(w.be, MSG_BE_RESULT, &m);
}

static void say_event(const char *domain, enum domain_event what, int32_t id, const char *text)
{
	struct msg_be_event m = { .what = (uint8_t)what, .domain_id = id };

	str_copy(m.name, domain);
	str_copy(m.text, text);
	uuid_of(domain, m.uuid);
	say(w.be, MSG_BE_EVENT, &m);
}

static void say_hello(bool connected)
{
	struct msg_be_hello m = { .connected = connected };

	str_copy(m.version, "a script");
	str_copy(m.text, connected ? "no KVM" : "libvirtd does not answer");
	say(w.be, MSG_BE_HELLO, &m);
}

static uint32_t connect_backend(void)
{
	meet(&w.be, ROLE_BACKEND);
	say_hello(true);
	expect(w.be, MSG_BE_LIST);
	return got.target.req;
}

static void end_list(uint32_t req)
{
	struct msg_be_target m = { .req = req };

	say(w.be, MSG_BE_LIST_END, &m);
}

/* A new backend, where these domains (up to one without a name) are. */
static void connect_with(const struct domain *domains)
{
	uint32_t req = connect_backend();

	for (; domains && domains->name; domains++)
		say_domain(req, domains);
	end_list(req);
}

#define DOMAINS(...) ((const struct domain[]){ __VA_ARGS__, { 0 } })

/* Everyone is there, and all is off. */
static void begin_limited(const char *limits, const char *services)
{
	begin_with(limits, services);
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
}

static void begin(const char *services) { begin_limited("", services); }

static uint32_t expect_start_(const char *domain, const char *file, int line)
{
	expect_(w.be, MSG_BE_START, file, line);
	assert_string_equal(got.start.domain, domain);
	return got.start.req;
}
#define expect_start(domain) expect_start_(domain, __FILE__, __LINE__)

static uint32_t expect_target_(enum msg_type type, const char *domain, const char *file, int line)
{
	expect_(w.be, type, file, line);
	assert_string_equal(got.target.domain, domain);
	return got.target.req;
}
#define expect_target(type, domain) expect_target_(type, domain, __FILE__, __LINE__)

/* It asks what has become of the domain, and hears; id -1: it is off. */
static void inspected_(const char *domain, int32_t id, enum domain_state state, const char *file, int line)
{
	uint32_t req = expect_target_(MSG_BE_INSPECT, domain, file, line);

	say_domain(req, &(struct domain){ domain, id, state });
	say_result(req, domain, 0, "", id);
}
#define inspected(domain, id, state) inspected_(domain, id, state, __FILE__, __LINE__)

/* Woken, started and ready, as domain `id`. */
static void bring_up(const char *name, const char *domain, int32_t id)
{
	wake(name);
	expect_state(name, STATE_STARTING);
	say_result(expect_start(domain), domain, 0, "", id);
	expect_state(name, STATE_BOOTING);
	expect_state(name, STATE_UP);
}

/* UP with an EAGER service: it becomes idle by itself, dns says yes, and the stop is asked for. */
static uint32_t drain_and_stop(const char *name, const char *domain)
{
	expect_state(name, STATE_DRAINING);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state(name, STATE_STOPPING);
	return expect_target(MSG_BE_STOP, domain);
}

/* ---- what control hears and says ---- */

static uint32_t ask(enum ctl_verb verb, const char *name, bool admin)
{
	struct msg_ctl_request m = { .id = ++w.last_id, .verb = (uint8_t)verb, .admin = admin };

	str_copy(m.service, name);
	say(w.control, MSG_CTL_REQUEST, &m);
	return m.id;
}

static void expect_end_(uint32_t id, int error, const char *file, int line)
{
	expect_(w.control, MSG_CTL_END, file, line);
	if (got.end.error != error)
		print_error("%s\n", got.end.text);
	_assert_int_equal((uintmax_t)got.end.error, (uintmax_t)error, file, line);
	_assert_int_equal(got.end.id, id, file, line);
}
#define expect_end(id, error) expect_end_(id, error, __FILE__, __LINE__)

/* The value of a field of what `verb` says of the service; "" when it is not there. */
static const char *field(enum ctl_verb verb, const char *name, const char *key)
{
	static char value[MSG_VALUE_MAX];
	uint32_t id = ask(verb, name, false);

	value[0] = '\0';
	expect(w.control, MSG_CTL_ROW);
	for (uint16_t i = 0; i < got.row.n_fields; i++) {
		if (strcmp(got.row.fields[i].key, key) == 0)
			str_copy(value, got.row.fields[i].value);
	}
	expect_end(id, 0);
	return value;
}

static const char *state_of(const char *name)
{
	settle();
	return field(CTL_SHOW, name, "state");
}

/* ---- the configuration ---- */

static void reload_with(const char *services)
{
	write_conf("", services);
	say(w.supervisor, MSG_RELOAD, NULL);
	hear_snapshot_after_states();
}

#endif
