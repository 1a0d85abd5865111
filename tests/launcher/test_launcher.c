/* The launcher process as the supervisor runs it, among peers that follow a script: what it says
 * to dns, control and a backend for what they say to it.  Everything goes through real channels.
 *
 * The services are domains that are ready after a delay, so that neither taps nor probes, and no
 * privileges, are needed.  As root they work in a network namespace of their own, for a launcher
 * looks for stray taps when it starts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/slots.h"
#include "launcher/main.h"

enum {
	WAIT_MS = 10000,
	QUIET_MS = 40, /* nothing came for so long: nothing comes */
	SERVICES_MAX = 4,
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
	struct slots *slots;
	unsigned n;
	struct msg_dns_service services[SERVICES_MAX]; /* of the last snapshot */
	uint32_t last_id;
} w = { .supervisor = -1, .dns = -1, .control = -1, .synproxy = -1, .be = -1 };

/* ---- a message at a time ---- */

static union {
	struct msg_peer peer;
	struct msg_want_backend want;
	struct msg_dns_service service;
	struct msg_dns_state state;
	struct msg_dns_refused refused;
	struct msg_be_start start;
	struct msg_be_target target;
	struct msg_ctl_row row;
	struct msg_ctl_end end;
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

/* The next message, in `got`; 0 when none came in time. */
static enum msg_type hear(int sock, unsigned ms)
{
	static char packet[IPC_PACKET_MAX];
	struct pollfd p = { .fd = sock, .events = POLLIN };
	enum msg_type type;
	ssize_t n;

	if (poll(&p, 1, (int)ms) <= 0)
		return 0;
	n = recv(sock, packet, sizeof(packet), 0);
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
	setenv("JITSU_NO_BPF", "1", 1);
	if (getenv("TEST_VERBOSE"))
		args.log_level = "debug";
	if (fd != CHILD_SUPERVISOR_FD)
		dup2(fd, CHILD_SUPERVISOR_FD);
	for (fd = CHILD_SUPERVISOR_FD + 1; fd < 64; fd++)
		close(fd);
	_exit(launcher_main(&args));
}

static void write_conf(const char *limits, const char *services)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/conf.json", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"{\"listen\":[\"127.0.0.1:5399\"],\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"]}],"
		"\"hypervisors\":[{\"name\":\"hv\",\"uri\":\"test:///default\"}],\"run_dir\":\"%s\",\"state_dir\":\"%s\","
		"\"users\":{\"qemu\":\"nobody\"},\"limits\":{%s},\"services\":[%s]}",
		w.dir, w.dir, limits, services);
	assert_int_equal(fclose(f), 0);
}

static void hang_up(int *sock)
{
	if (*sock >= 0)
		close(*sock);
	*sock = -1;
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
	int fds[2], slots = slots_create();
	unsigned backends = 0;
	enum msg_type type;

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
	while ((type = hear(w.supervisor, WAIT_MS)) != MSG_READY) {
		assert_int_not_equal(type, 0);
		if (type == MSG_WANT_BACKEND) {
			assert_string_equal(got.want.name, "hv");
			backends++;
		}
	}
	assert_int_equal(backends, 1);
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

static void hear_snapshot(void)
{
	enum msg_type type;

	w.n = 0;
	expect(w.dns, MSG_BEGIN);
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type != MSG_DNS_SERVICE)
			continue;
		assert_true(w.n < SERVICES_MAX);
		w.services[w.n++] = got.service;
	}
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

static void wake_from(const char *name, uint32_t token, const char *client)
{
	struct msg_wake m = { .svc = of(name)->svc, .gen = of(name)->gen, .token = token, .t_ns = clock_now_ns() };

	assert_int_equal(ip_parse(client, &m.client), 0);
	say(w.dns, MSG_WAKE, &m);
}

static void wake(const char *name) { wake_from(name, 1, "192.0.2.1"); }

/* ---- what the backend hears and says ---- */

struct domain {
	const char *name;
	int32_t id; /* -1: off */
	enum domain_state state;
};

static void uuid_of(const char *domain, char uuid[MSG_UUID_MAX])
{
	snprintf(uuid, MSG_UUID_MAX, "00000000-0000-4000-8000-%012x", (unsigned char)domain[strlen(domain) - 1]);
}

static void say_domain(uint32_t req, const struct domain *d)
{
	struct msg_be_domain m = { .req = req, .domain_id = d->id, .state = (uint8_t)d->state, .memory_bytes = 1 << 24 };

	str_copy(m.name, d->name);
	uuid_of(d->name, m.uuid);
	say(w.be, MSG_BE_DOMAIN, &m);
}

static void say_result(uint32_t req, const char *domain, int error, const char *text, int32_t id)
{
	struct msg_be_result m = { .req = req, .error = error, .domain_id = id };

	str_copy(m.text, text);
	uuid_of(domain, m.uuid);
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

/* ---- the snapshot ---- */

static void test_dns_waits_for_what_runs(void **state)
{
	uint32_t req;

	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	meet(&w.dns, ROLE_DNS);
	req = connect_backend();
	say_domain(req, &(struct domain){ "dom-a", 7, DOMAIN_RUNNING });
	quiet(w.dns);
	end_list(req);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_ADOPTED);
	assert_int_equal(of("a")->n_addrs, 1);
	assert_string_equal(of("a")->names[0].text, "a.jitsu.example");
}

/* Nor is it kept waiting for ever; the wake is, until the hypervisor is there. */
static void test_dns_is_told_without_a_hypervisor(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_OFF);
	wake("a");
	quiet(w.dns);
	meet(&w.be, ROLE_BACKEND);
	say_hello(false);
	settle();
	assert_non_null(strstr(field(CTL_SHOW, "a", "reason"), "libvirtd does not answer"));
	say_hello(true);
	expect(w.be, MSG_BE_LIST);
	end_list(got.target.req);
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

static void test_a_new_dns_hears_everything_again(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 3);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("b")->state, STATE_OFF);
	assert_int_not_equal(of("a")->gen, of("b")->gen);
}

/* ---- starting ---- */

static void test_fifty_wakes_start_it_once(void **state)
{
	uint64_t began;
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "120", "destroy", LAZY));
	for (uint32_t i = 0; i < 25; i++)
		wake_from("a", i + 1, "192.0.2.1");
	req = expect_start("dom-a");
	for (uint32_t i = 0; i < 25; i++)
		wake_from("a", i + 26, "198.51.100.1");
	expect_state("a", STATE_STARTING);
	quiet(w.be);
	began = clock_now_ms();
	say_result(req, "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
	wake("a");
	expect_state("a", STATE_UP);
	assert_in_range(clock_now_ms() - began, 115, 2000);
	quiet(w.be);
	quiet(w.dns);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "1");
	assert_string_equal(field(CTL_WHY, "a", "woken_by_client"), "192.0.2.1");
}

static void test_a_failure_backs_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -ENOENT, "Domain not found: no domain with that name", -1);
	expect_state("a", STATE_FAILED);
	wake_from("a", 77, "192.0.2.9");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 77);
	assert_int_equal(got.refused.svc, of("a")->svc);
	assert_non_null(strstr(got.refused.text, "no domain with that name"));
	quiet(w.be);
	assert_string_equal(field(CTL_SHOW, "a", "last_error"), "Domain not found: no domain with that name");
	usleep(1260 * 1000); /* the first back-off is 1 s, a quarter up or down */
	wake("a");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

static void test_an_operator_does_not_wait_for_the_back_off(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	id = ask(CTL_START, "a", true);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_end(id, 0);
}

static void test_one_that_never_gets_ready_is_ended(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "200", "destroy", ",\"start_timeout\":\"250ms\""));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000); /* and then its delay is longer than what is left */
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_FAILED);
	req = expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	usleep(1260 * 1000);
	wake("a"); /* the back-off is over, but not the stop */
	quiet(w.be);
	say_result(req, "dom-a", 0, "", -1);
	expect_start("dom-a");
}

/* Asked to shut down is not yet gone: until it is, it keeps its place and is not started again. */
static void test_one_that_never_gets_ready_is_shut_down_with_care(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE_AS("a", "1", "200", "shutdown", ",\"start_timeout\":\"250ms\"") ","
		   SERVICE("b", "2", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_FAILED);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	say_result(got.target.req, "dom-a", 0, "", 4);
	inspected("dom-a", 4, DOMAIN_RUNNING);
	wake("b");
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_start("dom-b");
}

/* ---- stopping ---- */

static void test_idle_is_stopped_after_the_acknowledgement(void **state)
{
	struct msg_dns_state ack;
	uint64_t up;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	up = clock_now_ms();
	expect_state("a", STATE_DRAINING);
	assert_in_range(clock_now_ms() - up, EAGER_MS - 10, 2000);
	ack = got.state;
	quiet(w.be);
	ack.seq++; /* of another message */
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	quiet(w.be);
	ack.seq--;
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	expect_state("a", STATE_STOPPING);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	say_result(got.target.req, "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	assert_non_null(strstr(field(CTL_WHY, "a", "last_stop_reason"), "idle"));
}

static void test_acknowledging_again_and_again_delays_nothing(void **state)
{
	struct msg_dns_state ack;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	ack = got.state;
	for (int i = 0; i < 15; i++) {
		say(w.dns, MSG_DNS_STATE_ACK, &ack);
		ack.seq = 0;
		usleep(10000);
	}
	assert_int_equal(hear(w.be, 0), MSG_BE_STOP);
}

/* By a query that came a little before, even. */
static void test_asked_for_while_draining(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns() - 20 * NS_PER_MS);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("a", STATE_UP);
	quiet(w.be);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
}

static void test_woken_while_draining(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	wake("a");
	expect_state("a", STATE_UP);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	quiet(w.be);
}

/* What dns gave away, at once or to one who waited, keeps it up for the horizon. */
static void test_an_answer_keeps_it_up(void **state)
{
	struct msg_dns_answered m = { .token = 1 };
	uint64_t answered;

	(void)state;
	begin(SERVICE("a", "1", IDLES("150ms", "500ms")));
	bring_up("a", "dom-a", 3);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns());
	answered = clock_now_ms();
	expect_state("a", STATE_DRAINING);
	assert_in_range(clock_now_ms() - answered, 495, 5000);
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.dns, MSG_DNS_ANSWERED, &m);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("a", STATE_UP);
}

static void test_a_dead_dns_does_not_keep_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	hang_up(&w.dns);
	quiet(w.be);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_string_equal(state_of("a"), "off");
}

static void test_woken_while_stopping(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	wake_from("a", 9, "192.0.2.33");
	wake_from("a", 10, "192.0.2.34");
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed"); /* comes before the stop's own result */
	expect_state("a", STATE_OFF);
	say_result(stop, "dom-a", 0, "", -1);
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "2");
	assert_string_equal(field(CTL_WHY, "a", "woken_by_client"), "192.0.2.33");
	quiet_for(w.be, 0);
}

static void test_a_stop_that_fails_leaves_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", -EIO, "the monitor does not answer", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "the monitor does not answer"));
	drain_and_stop("a", "dom-a"); /* it is tried again */
}

/* A shutdown ends with the guest, not with having asked for it. */
static void test_shutdown_waits_for_the_guest(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	req = drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	say_result(req, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	quiet(w.dns);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	expect_state("a", STATE_OFF);
}

static void test_shutdown_that_the_guest_ignores(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"200ms\""));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "stop_timeout"));
}

static void test_shutdown_by_force(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"100ms\",\"stop_force\":true"));
	bring_up("a", "dom-a", 3);
	drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	expect_state("a", STATE_OFF);
}

/* It was off before it was asked to shut down, so that no event tells. */
static void test_shutdown_of_what_is_off(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
}

static void test_suspend_and_resume(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	req = drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SUSPEND);
	say_event("dom-a", EVENT_SUSPENDED, 3, "paused");
	say_result(req, "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	wake("a");
	expect_state("a", STATE_STARTING);
	req = expect_target(MSG_BE_RESUME, "dom-a");
	say_event("dom-a", EVENT_RESUMED, 3, "unpaused");
	say_result(req, "dom-a", 0, "", 3);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
}

/* By hand: it is up again, and ours as before. */
static void test_resumed_from_outside(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	say_event("dom-a", EVENT_RESUMED, 3, "unpaused");
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

/* The VM is still there, paused: the next wake resumes it. */
static void test_a_resume_that_fails(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_target(MSG_BE_RESUME, "dom-a"), "dom-a", -EIO, "cannot acquire state change lock", 3);
	expect_state("a", STATE_FAILED);
	inspected("dom-a", 3, DOMAIN_PAUSED);
	expect_state("a", STATE_SUSPENDED);
	wake_from("a", 5, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_non_null(strstr(got.refused.text, "state change lock"));
	usleep(1260 * 1000);
	wake("a");
	expect_target(MSG_BE_RESUME, "dom-a");
}

/* ---- the operator's hand ---- */

static void test_started_by_someone_else_is_never_stopped(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -EEXIST, "domain is already running", 8);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 3 * EAGER_MS);
	quiet(w.dns);
	id = ask(CTL_STOP, "a", true);
	expect_end(id, -EPERM);
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 9); /* now it is ours */
	drain_and_stop("a", "dom-a");
}

static void test_manage_always(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", EAGER ",\"manage\":\"always\""));
	connect_with(DOMAINS({ "dom-a", 7, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

/* Found by an event, between two boots of ours. */
static void test_started_by_hand_while_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	say_event("dom-a", EVENT_STARTED, 5, "booted");
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 2 * EAGER_MS);
}

/* Stopped and started again by hand while ours was up: what runs now is not ours. */
static void test_restarted_by_hand_while_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", IDLES("400ms", "0s")));
	bring_up("a", "dom-a", 3);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	say_event("dom-a", EVENT_STARTED, 4, "booted");
	inspected("dom-a", 4, DOMAIN_RUNNING);
	expect_state("a", STATE_OFF);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 600);
}

static void test_operators_start_and_stop(void **state)
{
	uint32_t start, stop;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	expect_end(ask(CTL_START, "a", false), -EPERM);
	expect_end(ask(CTL_STOP, "a", false), -EPERM);
	expect_end(ask(CTL_RELOAD, "", false), -EPERM);
	expect_end(ask(CTL_START, "b", true), -ENOENT);
	quiet(w.be);
	start = ask(CTL_START, "a", true);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 2);
	expect_end(start, 0);
	assert_string_equal(state_of("a"), "up");
	stop = ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_end(stop, 0);
	assert_string_equal(state_of("a"), "off");
}

/* While the start is under way: the stop follows it. */
static void test_operators_stop_of_a_start(void **state)
{
	uint32_t start, stop, id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	start = expect_start("dom-a");
	id = ask(CTL_STOP, "a", true);
	stop = expect_target(MSG_BE_STOP, "dom-a");
	say_result(start, "dom-a", 0, "", 5);
	say_result(stop, "dom-a", 0, "", -1);
	expect_end(id, 0);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	assert_string_equal(state_of("a"), "off");
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_STOPPING);
	expect_state("a", STATE_OFF);
	quiet(w.dns);
}

/* ---- events ---- */

static void test_a_stale_stop_is_not_believed(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 5);
	say_event("dom-a", EVENT_STOPPED, 4, "destroyed");
	inspected("dom-a", 5, DOMAIN_RUNNING);
	quiet(w.dns);
	assert_string_equal(state_of("a"), "up");
	say_event("dom-a", EVENT_CRASHED, -1, "crashed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -EIO, "no answer", -1); /* nobody knows: it stays */
	quiet(w.dns);
	say_event("dom-a", EVENT_CRASHED, -1, "crashed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 6);
}

/* An end of the boot before, told while the next one is on its way. */
static void test_a_stale_stop_while_starting(void **state)
{
	uint32_t start, req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	start = expect_start("dom-a");
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(start, "dom-a", 0, "", 5);
	say_domain(req, &(struct domain){ "dom-a", 5, DOMAIN_RUNNING });
	say_result(req, "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	quiet(w.dns);
}

static void test_the_guest_ends_while_booting(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10s", "destroy", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	say_event("dom-a", EVENT_CRASHED, -1, "panicked");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "panicked"));
}

/* ---- the backend is replaced ---- */

static void test_a_start_that_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_start("dom-a");
	hang_up(&w.be);
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	say_result(expect_start("dom-a"), "dom-a", 0, "", 6);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* It ran: the one who asked for it was us. */
static void test_a_start_whose_result_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_start("dom-a");
	connect_with(DOMAINS({ "dom-a", 6, DOMAIN_RUNNING }));
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

static void test_a_stop_whose_result_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", LAZY));
	bring_up("b", "dom-b", 2);
	bring_up("a", "dom-a", 3);
	drain_and_stop("a", "dom-a");
	connect_with(DOMAINS({ "dom-a", 3, DOMAIN_RUNNING }, { "dom-b", 2, DOMAIN_RUNNING }));
	expect_target(MSG_BE_STOP, "dom-a");
	connect_with(DOMAINS({ "dom-b", 2, DOMAIN_RUNNING }));
	expect_state("a", STATE_OFF);
	quiet(w.be);
	quiet(w.dns);
	assert_string_equal(state_of("b"), "up");
}

/* It went down while the backend was away. */
static void test_gone_meanwhile(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	hang_up(&w.be);
	wake("a");
	quiet(w.dns);
	connect_with(NULL);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 4);
}

/* Between the row that says it runs and the end of the list it stops: the event is all there is. */
static void test_an_event_within_the_list(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	req = connect_backend();
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	say_domain(req, &(struct domain){ "dom-a", 3, DOMAIN_RUNNING });
	end_list(req);
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_OFF);
}

static void test_a_list_that_fails(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	say_result(connect_backend(), "dom-a", -EIO, "cannot recv data", -1);
	expect(w.be, MSG_BE_LIST);
	end_list(got.target.req);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	wake("a");
	expect_start("dom-a");
}

/* Old numbers mean nothing on a new channel. */
static void test_results_of_the_old_channel(void **state)
{
	uint32_t old, fresh;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	old = expect_start("dom-a");
	connect_with(NULL);
	expect_start("dom-a");
	fresh = got.start.req;
	say_result(old, "dom-a", -EIO, "of the past", -1);
	quiet(w.dns);
	say_result(fresh, "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
}

/* ---- the launcher is replaced ---- */

static void relaunch(void)
{
	kill(w.pid, SIGKILL);
	end_launcher();
	launch();
}

static void test_a_new_launcher_knows_its_own(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", EAGER) "," SERVICE("c", "3", EAGER));
	bring_up("a", "dom-a", 5);
	wake("c");
	expect_state("c", STATE_STARTING);
	say_result(expect_start("dom-c"), "dom-c", 0, "", 7);
	expect_state("c", STATE_BOOTING);
	expect_state("c", STATE_UP);
	settle();
	relaunch();
	/* dom-b was never ours, and dom-c was started again by someone */
	meet(&w.dns, ROLE_DNS);
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }, { "dom-b", 6, DOMAIN_RUNNING }, { "dom-c", 8, DOMAIN_RUNNING }));
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("b")->state, STATE_ADOPTED);
	assert_int_equal(of("c")->state, STATE_ADOPTED);
	drain_and_stop("a", "dom-a");
	quiet_for(w.be, 2 * EAGER_MS);
}

static void test_a_new_launcher_goes_on_with_a_boot(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "300", "destroy", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	relaunch();
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* It died between the request and its answer. */
static void test_a_new_launcher_finds_what_the_old_one_asked_for(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", EAGER));
	wake("a");
	expect_start("dom-a");
	wake("b");
	say_result(expect_start("dom-b"), "dom-b", -EEXIST, "is running already", 3);
	settle();
	relaunch();
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }, { "dom-b", 3, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("b")->state, STATE_ADOPTED);
	if (of("a")->state == STATE_BOOTING)
		expect_state("a", STATE_UP);
	else
		assert_int_equal(of("a")->state, STATE_UP);
	drain_and_stop("a", "dom-a");
}

/* A file that has become bad is not used, and the last good one is. */
static void test_a_new_launcher_with_a_bad_file(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	write_conf("", "{\"name\":\"a\"}");
	expect_end(ask(CTL_RELOAD, "", true), -EINVAL);
	assert_non_null(strstr(got.end.text, "conf.json:1:"));
	relaunch();
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	bring_up("a", "dom-a", 1);
}

/* ---- limits ---- */

static void test_no_more_run_than_may(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY) "," SERVICE("c", "3", LAZY));
	bring_up("a", "dom-a", 1);
	wake("b");
	wake("c");
	quiet(w.be);
	quiet(w.dns);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "limits.max_running"));
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	expect_start("dom-b"); /* first come, first served */
	quiet(w.be);
}

static void test_no_more_start_at_once_than_may(void **state)
{
	uint32_t first;

	(void)state;
	begin_limited("\"max_starting\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	wake("a");
	first = expect_start("dom-a");
	wake("b");
	quiet(w.be);
	say_result(first, "dom-a", -EIO, "broken", -1);
	expect_start("dom-b");
}

/* Memory counts what a domain has, as far as it is known. */
static void test_no_more_memory_than_may(void **state)
{
	(void)state;
	begin_with("\"memory\":\"24MiB\"", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "dom-b", -1, DOMAIN_OFF }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	bring_up("a", "dom-a", 1);
	wake("b");
	quiet(w.be);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "limits.memory"));
}

/* Its client has given up by then: it is not started for nobody. */
static void test_who_waits_too_long_is_not_started(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY ",\"max_hold\":\"200ms\""));
	bring_up("a", "dom-a", 1);
	wake("b");
	usleep(600 * 1000);
	assert_non_null(strstr(field(CTL_SHOW, "b", "last_error"), "waited"));
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	quiet(w.be);
}

static void test_a_stop_takes_it_out_of_the_queue(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 1);
	wake("b");
	settle();
	expect_end(ask(CTL_STOP, "b", true), 0);
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	quiet(w.be);
}

static void test_a_source_wakes_no_more_than_it_may(void **state)
{
	(void)state;
	begin_limited("\"wakes_per_source\":\"2/h\",\"max_starting\":8",
		   SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY) "," SERVICE("c", "3", LAZY));
	wake_from("a", 1, "192.0.2.1");
	expect_start("dom-a");
	wake_from("a", 2, "192.0.2.1"); /* wakes nothing, costs nothing */
	wake_from("b", 3, "192.0.2.200"); /* of the same network */
	expect_start("dom-b");
	expect_state("a", STATE_STARTING);
	expect_state("b", STATE_STARTING);
	wake_from("c", 4, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 4);
	assert_non_null(strstr(got.refused.text, "wakes_per_source"));
	quiet(w.be);
	wake_from("c", 5, "198.51.100.1");
	expect_start("dom-c");
}

/* A wake while it stops starts it again, and so counts like any other. */
static void test_a_source_may_not_keep_restarting(void **state)
{
	uint32_t req;

	(void)state;
	begin_limited("\"wakes_per_source\":\"1/h\"", SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	req = drain_and_stop("a", "dom-a");
	wake_from("a", 4, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 4);
	say_result(req, "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	quiet(w.be);
}

/* ---- another configuration ---- */

static void reload_with(const char *services)
{
	write_conf("", services);
	say(w.supervisor, MSG_RELOAD, NULL);
	hear_snapshot();
}

static void test_an_old_generation_is_the_past(void **state)
{
	struct msg_dns_service old;
	struct msg_wake m = { .token = 1 };
	struct msg_dns_state ack = { 0 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	old = *of("a");
	reload_with(SERVICE("b", "2", EAGER));
	assert_int_equal(w.n, 1);
	assert_int_equal(of("b")->svc, old.svc);
	assert_int_not_equal(of("b")->gen, old.gen);
	m.svc = old.svc;
	m.gen = old.gen;
	say(w.dns, MSG_WAKE, &m);
	quiet(w.be);
	quiet(w.dns);
	bring_up("b", "dom-b", 1);
	expect_state("b", STATE_DRAINING);
	ack = got.state;
	ack.gen = old.gen;
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	quiet(w.be);
}

static void test_removed_while_up(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", LAZY));
	bring_up("b", "dom-b", 2);
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("b", "2", LAZY));
	assert_int_equal(w.n, 1);
	assert_int_equal(of("b")->state, STATE_UP);
	req = expect_target(MSG_BE_STOP, "dom-a");
	assert_string_equal(field(CTL_STATUS, "", "services"), "2");
	say_result(req, "dom-a", 0, "", -1);
	quiet(w.be);
	assert_string_equal(field(CTL_STATUS, "", "services"), "1");
	reload_with(SERVICE("b", "2", LAZY) "," SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 2);
}

static void test_removed_and_back_before_it_was_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("b", "2", LAZY));
	reload_with(SERVICE("a", "1", LAZY));
	assert_int_equal(of("a")->state, STATE_UP);
	quiet(w.be);
}

static void test_a_change_goes_on_as_it_is(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("a", "1", EAGER ",\"ttl\":7"));
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("a")->ttl_s, 7);
	drain_and_stop("a", "dom-a");
}

/* ---- hostile peers ---- */

static void test_a_hostile_dns(void **state)
{
	static const uint32_t indices[] = { 1, 4095, 4096, UINT32_MAX };
	struct msg_be_result result = { .req = 1 };
	struct msg_ctl_request request = { .id = 1, .verb = CTL_START, .service = "a", .admin = true };
	struct msg_be_start start = { .req = 1 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	say(w.dns, MSG_BE_RESULT, &result);
	say(w.dns, MSG_BE_START, &start);
	say(w.dns, MSG_CTL_REQUEST, &request);
	say(w.dns, MSG_RELOAD, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		struct msg_wake m = { .svc = indices[i], .gen = of("a")->gen, .token = 1 };
		struct msg_dns_state ack = { .svc = indices[i], .gen = of("a")->gen };
		struct msg_dns_answered answered = { .svc = indices[i], .gen = of("a")->gen };

		say(w.dns, MSG_WAKE, &m);
		say(w.dns, MSG_DNS_STATE_ACK, &ack);
		say(w.dns, MSG_DNS_ANSWERED, &answered);
		m.svc = of("a")->svc;
		m.cause = (uint8_t)(CAUSE_N + i);
		say(w.dns, MSG_WAKE, &m);
	}
	quiet(w.be);
	quiet(w.dns);
	quiet(w.control);
	wake("a");
	expect_start("dom-a");
}

/* A time from the future is not taken for one. */
static void test_a_wake_from_the_future(void **state)
{
	struct msg_wake m = { .token = 1, .t_ns = UINT64_MAX };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.dns, MSG_WAKE, &m);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	assert_in_range(strtoul(field(CTL_SHOW, "a", "last_wake_ms"), NULL, 10), 9, 5000);
}

static void test_nonsense_ends_the_channel(void **state)
{
	static const uint8_t nonsense[] = { 1, 0, 255, 255, 0 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	assert_int_equal(send(w.dns, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	expect(w.supervisor, MSG_STUCK);
	assert_int_equal(got.peer.role, ROLE_DNS);
	assert_int_equal(send(w.be, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	expect(w.supervisor, MSG_STUCK);
	assert_int_equal(got.peer.role, ROLE_BACKEND);
	assert_string_equal(got.peer.name, "hv");
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	connect_with(NULL);
	bring_up("a", "dom-a", 1);
}

static void test_a_hostile_control(void **state)
{
	struct msg_ctl_request m = { .id = 1, .verb = CTL_VERB_N, .admin = true };
	struct msg_ctl_cancel cancel = { .id = 12345 };
	struct msg_wake wake_up = { 0 };
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake_up.svc = of("a")->svc;
	wake_up.gen = of("a")->gen;
	say(w.control, MSG_CTL_REQUEST, &m);
	say(w.control, MSG_CTL_CANCEL, &cancel);
	say(w.control, MSG_WAKE, &wake_up);
	quiet(w.be);
	for (unsigned i = 0; i < 300; i++) { /* more than may wait; the last ones are told so */
		struct msg_ctl_request follow = { .id = 1000 + i, .verb = CTL_LOG, .n = 1, .follow = true };

		say(w.control, MSG_CTL_REQUEST, &follow);
	}
	while ((id = hear(w.control, WAIT_MS)) == MSG_CTL_ROW)
		;
	assert_int_equal(id, MSG_CTL_END);
	assert_int_equal(got.end.error, -EBUSY);
}

/* Nobody asked it to probe: what it says makes nothing ready. */
static void test_a_hostile_synproxy(void **state)
{
	struct msg_probe_event m = { .what = PROBE_DONE };
	struct msg_dns_state ack = { 0 };

	(void)state;
	begin(SERVICE_AS("a", "1", "10s", "destroy", LAZY));
	meet(&w.synproxy, ROLE_SYNPROXY);
	expect(w.synproxy, MSG_BEGIN);
	expect(w.synproxy, MSG_END);
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
	m.svc = ack.svc = of("a")->svc;
	m.gen = ack.gen = of("a")->gen;
	say(w.synproxy, MSG_PROBE_EVENT, &m);
	m.what = 200;
	say(w.synproxy, MSG_PROBE_EVENT, &m);
	say(w.synproxy, MSG_DNS_STATE_ACK, &ack);
	quiet(w.dns);
}

static void test_a_hostile_backend(void **state)
{
	struct msg_wake m = { 0 };
	struct msg_be_event event = { .what = 200, .name = "dom-a" };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	say_result(4711, "dom-a", 0, "", 1);
	say_domain(4711, &(struct domain){ "dom-a", 1, DOMAIN_RUNNING });
	end_list(4711);
	say_result(0, "dom-a", -EIO, "?", 1);
	say(w.be, MSG_BE_EVENT, &event);
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.be, MSG_WAKE, &m);
	quiet(w.dns);
	quiet(w.be);
	assert_string_equal(state_of("a"), "off");
}

/* ---- late, lost, or twice ---- */

/* Its time was over and its end asked for: nobody is sent to it any more. */
static void test_a_start_that_comes_too_late(void **state)
{
	uint32_t start, stop;

	(void)state;
	begin(SERVICE("a", "1", ",\"start_timeout\":\"100ms\""));
	wake("a");
	expect_state("a", STATE_STARTING);
	start = expect_start("dom-a");
	expect_state("a", STATE_FAILED);
	stop = expect_target(MSG_BE_STOP, "dom-a");
	say_result(start, "dom-a", 0, "", 4);
	quiet(w.dns);
	say_result(stop, "dom-a", 0, "", -1);
	quiet(w.dns);
	assert_string_equal(state_of("a"), "failed");
}

/* Each backend dies with it: that does not go on for ever. */
static void test_a_start_that_is_lost_again_and_again(void **state)
{
	uint64_t began;

	(void)state;
	begin(SERVICE("a", "1", ",\"start_timeout\":\"1s\""));
	wake("a");
	began = clock_now_ms();
	expect_state("a", STATE_STARTING);
	for (int i = 0; i < 3; i++) {
		expect_start("dom-a");
		usleep(200 * 1000);
		connect_with(NULL);
	}
	expect_state("a", STATE_FAILED);
	assert_in_range(clock_now_ms() - began, 995, 1500);
}

/* While the hypervisor has not said whether it will shut down, it is not up again. */
static void test_a_shutdown_that_is_answered_late(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"100ms\""));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	usleep(150 * 1000);
	quiet(w.dns);
	say_result(stop, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
}

/* How it is stopped is what was asked for then, whatever the record says by now. */
static void test_a_shutdown_and_then_another_record(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	reload_with(SERVICE("a", "1", EAGER));
	say_result(stop, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	quiet(w.dns);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	expect_state("a", STATE_OFF);
}

static void test_force_for_what_never_got_ready(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "200", "shutdown",
			 ",\"start_timeout\":\"250ms\",\"stop_timeout\":\"100ms\",\"stop_force\":true"));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", 4);
	inspected("dom-a", 4, DOMAIN_RUNNING);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
}

/* Nothing is there that could be suspended: it is off, and not up. */
static void test_a_suspend_of_what_is_gone(void **state)
{
	uint32_t id, req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", LAZY));
	wake("a");
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	id = ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", -ENOENT, "no such domain", -1);
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_STOPPING);
	expect_state("a", STATE_OFF);
	expect_end(id, 0);
}

static void test_saved_by_hand(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	say_event("dom-a", EVENT_SAVED, -1, "saved");
	inspected("dom-a", -1, DOMAIN_SAVED);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 4);
}

/* The answer to the first question may be older than the second event. */
static void test_an_end_while_an_earlier_one_is_looked_at(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 5);
	say_event("dom-a", EVENT_STOPPED, 4, "destroyed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_event("dom-a", EVENT_STOPPED, 5, "destroyed");
	say_domain(req, &(struct domain){ "dom-a", 5, DOMAIN_RUNNING });
	say_result(req, "dom-a", 0, "", 5);
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
}

/* dns may still send somebody there, until it says that it does not. */
static void test_a_silent_dns_keeps_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	expect_state("a", STATE_UP);
	quiet_for(w.be, 0);
	drain_and_stop("a", "dom-a");
}

/* It could not be stopped, and clients would wait for that. */
static void test_idle_without_a_hypervisor(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	say_hello(false);
	quiet_for(w.dns, 2 * EAGER_MS);
	id = ask(CTL_STOP, "a", true);
	expect_end(id, -ENOTCONN);
	assert_non_null(strstr(got.end.text, "\"hv\" is not connected"));
	quiet(w.dns);
	connect_with(DOMAINS({ "dom-a", 3, DOMAIN_RUNNING }));
	drain_and_stop("a", "dom-a");
}

/* Who comes later waits as long as who came first. */
static void test_the_queue_waits_for_its_last_client(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY ",\"max_hold\":\"500ms\""));
	bring_up("a", "dom-a", 1);
	wake("b");
	usleep(300 * 1000);
	wake_from("b", 2, "198.51.100.1");
	usleep(400 * 1000);
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_start("dom-b");
}

/* The domain that runs is the one to be stopped; the next start is another's. */
static void test_another_domain_from_the_next_start_on(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	reload_with("{\"name\":\"a\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"hypervisor\":"
		    "\"hv\",\"domain\":\"dom-z\"},\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" EAGER "}");
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-z", 2);
	say_result(drain_and_stop("a", "dom-z"), "dom-z", 0, "", -1);
	expect_state("a", STATE_OFF);
	say_event("dom-z", EVENT_STARTED, 3, "started");
	inspected("dom-z", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_ADOPTED);
}

/* Who waits for one that is configured no more is told. */
static void test_removed_while_an_operator_waits(void **state)
{
	uint32_t id;

	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 1);
	id = ask(CTL_START, "b", true);
	usleep(50 * 1000);
	reload_with(SERVICE("a", "1", LAZY));
	expect_end(id, -EIO);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest first_half[] = {
	CASE(test_dns_waits_for_what_runs),
	CASE(test_dns_is_told_without_a_hypervisor),
	CASE(test_a_new_dns_hears_everything_again),
	CASE(test_fifty_wakes_start_it_once),
	CASE(test_a_failure_backs_off),
	CASE(test_an_operator_does_not_wait_for_the_back_off),
	CASE(test_one_that_never_gets_ready_is_ended),
	CASE(test_one_that_never_gets_ready_is_shut_down_with_care),
	CASE(test_idle_is_stopped_after_the_acknowledgement),
	CASE(test_acknowledging_again_and_again_delays_nothing),
	CASE(test_asked_for_while_draining),
	CASE(test_woken_while_draining),
	CASE(test_an_answer_keeps_it_up),
	CASE(test_a_dead_dns_does_not_keep_it_up),
	CASE(test_woken_while_stopping),
	CASE(test_a_stop_that_fails_leaves_it_up),
	CASE(test_shutdown_waits_for_the_guest),
	CASE(test_shutdown_that_the_guest_ignores),
	CASE(test_shutdown_by_force),
	CASE(test_shutdown_of_what_is_off),
};

static const struct CMUnitTest second_half[] = {
	CASE(test_suspend_and_resume),
	CASE(test_resumed_from_outside),
	CASE(test_a_resume_that_fails),
	CASE(test_started_by_someone_else_is_never_stopped),
	CASE(test_manage_always),
	CASE(test_started_by_hand_while_off),
	CASE(test_restarted_by_hand_while_up),
	CASE(test_operators_start_and_stop),
	CASE(test_operators_stop_of_a_start),
	CASE(test_a_stale_stop_is_not_believed),
	CASE(test_a_stale_stop_while_starting),
	CASE(test_the_guest_ends_while_booting),
	CASE(test_a_start_that_was_lost),
	CASE(test_a_start_whose_result_was_lost),
	CASE(test_a_stop_whose_result_was_lost),
	CASE(test_gone_meanwhile),
	CASE(test_an_event_within_the_list),
	CASE(test_a_list_that_fails),
	CASE(test_results_of_the_old_channel),
	CASE(test_a_new_launcher_knows_its_own),
	CASE(test_a_new_launcher_goes_on_with_a_boot),
	CASE(test_a_new_launcher_finds_what_the_old_one_asked_for),
	CASE(test_a_new_launcher_with_a_bad_file),
	CASE(test_no_more_run_than_may),
	CASE(test_no_more_start_at_once_than_may),
	CASE(test_no_more_memory_than_may),
	CASE(test_who_waits_too_long_is_not_started),
	CASE(test_a_stop_takes_it_out_of_the_queue),
	CASE(test_a_source_wakes_no_more_than_it_may),
	CASE(test_a_source_may_not_keep_restarting),
	CASE(test_an_old_generation_is_the_past),
	CASE(test_removed_while_up),
	CASE(test_removed_and_back_before_it_was_off),
	CASE(test_a_change_goes_on_as_it_is),
	CASE(test_a_hostile_dns),
	CASE(test_a_wake_from_the_future),
	CASE(test_nonsense_ends_the_channel),
	CASE(test_a_hostile_control),
	CASE(test_a_hostile_synproxy),
	CASE(test_a_hostile_backend),
	CASE(test_a_start_that_comes_too_late),
	CASE(test_a_start_that_is_lost_again_and_again),
	CASE(test_a_shutdown_that_is_answered_late),
	CASE(test_a_shutdown_and_then_another_record),
	CASE(test_force_for_what_never_got_ready),
	CASE(test_a_suspend_of_what_is_gone),
	CASE(test_saved_by_hand),
	CASE(test_an_end_while_an_earlier_one_is_looked_at),
	CASE(test_a_silent_dns_keeps_it_up),
	CASE(test_idle_without_a_hypervisor),
	CASE(test_the_queue_waits_for_its_last_client),
	CASE(test_another_domain_from_the_next_start_on),
	CASE(test_removed_while_an_operator_waits),
};

/* Half of them in a process of its own, for most of the time is waiting.  What it says, `said`
 * keeps. */
static pid_t run_second_half(FILE *said)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fileno(said), STDOUT_FILENO);
	dup2(fileno(said), STDERR_FILENO);
	exit(cmocka_run_group_tests(second_half, NULL, NULL));
}

int main(int argc, char **argv)
{
	FILE *said = tmpfile();
	int failed, status = -1, c;
	pid_t pid;

	if (geteuid() == 0 && unshare(CLONE_NEWNET) < 0) {
		printf("skipped: root, and yet no network namespace of its own\n");
		return 77;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	pid = said ? run_second_half(said) : -1;
	if (pid < 0)
		return 1;
	failed = cmocka_run_group_tests(first_half, NULL, NULL);
	waitpid(pid, &status, 0);
	rewind(said);
	while ((c = getc(said)) != EOF)
		putchar(c);
	return failed || status != 0;
}
