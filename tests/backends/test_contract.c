/* The backend contract (backends/backend.h), as messages to a process and back: the same cases for
 * every backend.
 *
 *     test_contract                          the fake one; needs nothing
 *     test_contract libvirt KERNEL [strict]  jitsu-libvirt with its embedded driver; root
 *     test_contract libvirtd KERNEL          jitsu-libvirt with a libvirtd that the test starts; root
 *     test_contract libxl KERNEL [pv|pvh]    jitsu-libxl; in dom0 of a Xen that is there for the test (tests/xen)
 *
 * KERNEL is tests/guests' www.elf; www-arm64.img beside it is tried too.  JITSU_LIBVIRT or JITSU_LIBXL names
 * the program (default: beside the tests in the build directory).  Exits 77 where the host cannot do it, and says why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/backend.h"
#include "backends/fake.h"
#include "backends/kvm.h"
#include "base/clock.h"
#include "base/ring_file.h"

enum { WAIT_MS = 120000, TAPS = 4, QUIET_MS = 300 };

#define UUID_OF(n) "9b4c2e1a-0000-4000-8000-00000000000" n
#define EXISTING "existing"
#define EXISTING_UUID UUID_OF("e")

static struct {
	bool libvirt, daemon, xen;
	const char *program, *kernel, *isolation, *machine;
	char dir[64], root[96], kernel_arm64[4096];
	char uri[160], pid_dir[128];
	pid_t libvirtd;
} suite;

static struct {
	pid_t pid;
	int supervisor, launcher; /* our ends */
	uint32_t last_req;
} be = { .supervisor = -1, .launcher = -1 };

/* ---- a message at a time ---- */

static union {
	struct msg_be_hello hello;
	struct msg_be_result result;
	struct msg_be_domain domain;
	struct msg_be_event event;
	struct msg_be_guest guest;
	struct msg_log log;
	char room[MSG_BODY_MAX];
} got;

static void say_fd(int fd, enum msg_type type, const void *body, int pass)
{
	char packet[IPC_PACKET_MAX];
	ssize_t n = ipc_encode(type, body, packet, sizeof(packet));
	struct iovec iov = { packet, (size_t)n };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(n > 0);
	if (pass >= 0) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	while (sendmsg(fd, &m, MSG_NOSIGNAL) < 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		assert_int_equal(errno, EAGAIN);
		assert_true(poll(&p, 1, WAIT_MS) > 0);
	}
}

static void say(enum msg_type type, const void *body) { say_fd(be.launcher, type, body, -1); }

static int got_fd = -1; /* that came with it */

static ssize_t receive(char *packet, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { packet, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(be.launcher, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	fd_close(&got_fd);
	if (c)
		memcpy(&got_fd, CMSG_DATA(c), sizeof(got_fd));
	return n;
}

/* The next message but logs, in `got`; 0 when none came. */
static enum msg_type hear(unsigned ms)
{
	static char packet[IPC_PACKET_MAX];
	uint64_t until = clock_now_ms() + ms;

	for (;;) {
		struct pollfd p = { .fd = be.launcher, .events = POLLIN };
		uint64_t now = clock_now_ms();
		enum msg_type type;
		ssize_t n;

		if (poll(&p, 1, now < until ? (int)(until - now) : 0) <= 0)
			return 0;
		n = receive(packet, sizeof(packet));
		if (n <= 0)
			return 0;
		assert_int_equal(ipc_decode(packet, (size_t)n, &type, &got), 0);
		if (type != MSG_LOG)
			return type;
	}
}

/* Messages that are not waited for are dropped, but events are kept: they come when they like. */
static struct msg_be_event events[64];
static unsigned n_events;

static void keep_event(void)
{
	if (n_events < ARRAY_SIZE(events))
		events[n_events++] = got.event;
}

static void hear_until(enum msg_type wanted)
{
	enum msg_type type;

	while ((type = hear(WAIT_MS)) != wanted) {
		if (type == 0)
			fail_msg("no %s within %d ms", msg_name(wanted), WAIT_MS);
		if (type == MSG_BE_EVENT)
			keep_event();
	}
}

static const struct msg_be_result *hear_result(uint32_t req)
{
	hear_until(MSG_BE_RESULT);
	assert_int_equal(got.result.req, req);
	return &got.result;
}

static const struct msg_be_event *find_event(const char *name, enum domain_event what)
{
	for (unsigned i = 0; i < n_events; i++) {
		if (strcmp(events[i].name, name) == 0 && events[i].what == what)
			return &events[i];
	}
	return NULL;
}

static const struct msg_be_event *hear_event(const char *name, enum domain_event what)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (!find_event(name, what)) {
		if (clock_now_ms() > until || hear(WAIT_MS) == 0)
			fail_msg("no event %d of %s", (int)what, name);
		keep_event();
	}
	return find_event(name, what);
}

/* ---- the process under test ---- */

static struct child *fake_child;

static void fake_tell(void *arg, enum msg_type type, const void *body)
{
	(void)arg;
	child_tell(fake_child, type, body);
}

static void fake_on_launcher(void *arg) { backend_on_launcher(*(struct backend **)arg); }

static void fake_on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	(void)ch;
	(void)fd;
	backend_on_msg(*(struct backend **)arg, type, body);
}

static int fake_main(void)
{
	static const struct child_ops ops = { .on_launcher = fake_on_launcher, .on_launcher_msg = fake_on_msg };
	struct child_args args = { .role = ROLE_BACKEND, .name = "fake", .log_level = "error" };
	struct backend *b = NULL;
	struct fake *f;
	int status;

	fake_child = child_new(&args, &ops, &b);
	f = fake_new(child_base(fake_child));
	b = backend_new(child_base(fake_child), &fake_ops, f, 4, fake_tell, NULL);
	if (!b || fake_define(f, EXISTING, EXISTING_UUID, "br-test") < 0)
		return 1;
	fake_set_backend(f, b);
	child_ready(fake_child);
	status = child_run(fake_child);
	backend_free(b);
	fake_free(f);
	child_free(fake_child);
	return status;
}

static void exec_backend(void)
{
	execl(suite.program, suite.program, "--role", "backend", "--name", "test", "--uri", suite.uri, "--isolation", suite.isolation,
	      "--run-dir", suite.dir, "--qemu-user", "libvirt-qemu", "--log", getenv("JITSU_LOG") ? getenv("JITSU_LOG") : "error",
	      (char *)NULL);
	_exit(127);
}

static void run_process(void)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	fflush(NULL);
	be.pid = fork();
	assert_true(be.pid >= 0);
	if (be.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		if (fds[1] == CHILD_SUPERVISOR_FD)
			fcntl(fds[1], F_SETFD, 0);
		else
			dup2(fds[1], CHILD_SUPERVISOR_FD);
		if (suite.libvirt || suite.xen)
			exec_backend();
		exit(fake_main());
	}
	close(fds[1]);
	be.supervisor = fds[0];
}

/* A new channel, as after a restart of the launcher. */
static void connect_launcher(void)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int fds[2];

	fd_close(&be.launcher);
	assert_int_equal(ipc_pair(fds), 0);
	say_fd(be.supervisor, MSG_PEER, &peer, fds[1]);
	close(fds[1]);
	be.launcher = fds[0];
	n_events = 0;
	do
		hear_until(MSG_BE_HELLO);
	while (!got.hello.connected);
}

static int begin(void **state)
{
	(void)state;
	run_process();
	connect_launcher();
	return 0;
}

static int end(void **state)
{
	int status;

	(void)state;
	say_fd(be.supervisor, MSG_STOP, NULL, -1);
	waitpid(be.pid, &status, 0);
	fd_close(&be.launcher);
	fd_close(&be.supervisor);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* ---- requests ---- */

static struct msg_be_start machine(unsigned i)
{
	struct msg_be_start m = { .req = ++be.last_req, .svc = i, .gen = 7, .vcpus = 1, .memory_bytes = 16 << 20, .n_nics = 1 };

	snprintf(m.name, sizeof(m.name), "jitsu-t%u", i);
	snprintf(m.uuid, sizeof(m.uuid), UUID_OF("%u"), i);
	str_copy(m.kernel, suite.kernel);
	snprintf(m.cmdline, sizeof(m.cmdline), "ip=10.77.0.%u/24 mac=52:54:00:77:00:0%u name=t%u", 10 + i, i, i);
	str_copy(m.arch, "x86_64");
	str_copy(m.machine, suite.machine);
	str_copy(m.nics[0].bridge, suite.xen ? "br-test" : "");
	m.nics[0].mac = (struct mac_addr){ { 0x52, 0x54, 0, 0x77, 0, (uint8_t)i } };
	snprintf(m.nics[0].ifname, MSG_IFNAME_MAX, "jt%u", i);
	str_copy(m.nics[0].kind, "ethernet");
	return m;
}

/* Where its NIC is on our side: on a tap that was there, or on what Xen made for it. */
static const char *port_of(unsigned i, int32_t id)
{
	static char name[MSG_IFNAME_MAX];

	if (suite.xen)
		snprintf(name, sizeof(name), "vif%d.0", id);
	else
		snprintf(name, sizeof(name), "jt%u", i);
	return name;
}

static uint32_t ask(enum msg_type type, const char *domain, enum stop_how how)
{
	struct msg_be_target m = { .req = ++be.last_req, .svc = 1, .gen = 7, .how = (uint8_t)how };

	str_copy(m.domain, domain);
	say(type, &m);
	return m.req;
}

static void expect(uint32_t req, int error)
{
	const struct msg_be_result *r = hear_result(req);

	if (r->error != error)
		fail_msg("request %u: %d (%s), expected %d", req, r->error, r->text, error);
	assert_true(error == 0 ? !r->text[0] : r->text[0]);
}

static void start(const struct msg_be_start *m)
{
	say(MSG_BE_START, m);
	expect(m->req, 0);
}

static void stop(const char *domain) { expect(ask(MSG_BE_STOP, domain, STOP_DESTROY), 0); }

/* The row of `name` in a LIST; state DOMAIN_STATE_N when it is not in there. */
static struct msg_be_domain row_of(const char *name)
{
	struct msg_be_domain row = { .state = DOMAIN_STATE_N };
	uint32_t req = ask(MSG_BE_LIST, "", 0);
	enum msg_type type;

	while ((type = hear(WAIT_MS)) != MSG_BE_LIST_END) {
		assert_true(type == MSG_BE_DOMAIN || type == MSG_BE_EVENT || type == MSG_BE_HELLO || type == MSG_BE_GUEST);
		if (type == MSG_BE_EVENT)
			keep_event();
		else if (type == MSG_BE_DOMAIN && strcmp(got.domain.name, name) == 0)
			row = got.domain;
		if (type == MSG_BE_DOMAIN)
			assert_int_equal(got.domain.req, req);
	}
	return row;
}

static void start_existing(uint32_t *req)
{
	struct msg_be_start m = { .req = ++be.last_req, .svc = 2, .gen = 1 };

	str_copy(m.domain, EXISTING);
	*req = m.req;
	say(MSG_BE_START, &m);
}

/* ---- cases ---- */

static void test_hello_comes_with_each_channel(void **state)
{
	(void)state;
	assert_true(got.hello.connected);
	assert_true(strlen(got.hello.version) > 3);
	assert_true(got.hello.kvm || got.hello.text[0]);
	connect_launcher();
	assert_true(got.hello.connected);
}

static void test_inline_machine_comes_and_goes(void **state)
{
	struct msg_be_start m = machine(1);
	const struct msg_be_result *r;
	struct msg_be_domain row;

	(void)state;
	say(MSG_BE_START, &m);
	r = hear_result(m.req);
	if (r->error)
		fail_msg("%s", r->text);
	assert_int_equal(r->svc, 1);
	assert_int_equal(r->gen, 7);
	assert_string_equal(r->uuid, m.uuid);
	assert_true(r->domain_id > 0);
	assert_true(r->t_begin_ns > 0 && r->t_done_ns >= r->t_begin_ns && r->t_done_ns <= clock_now_ns());
	assert_int_equal(r->n_nics, 1);
	assert_string_equal(r->nics[0].ifname, port_of(1, r->domain_id));
	assert_string_equal(hear_event(m.name, EVENT_STARTED)->uuid, m.uuid);
	row = row_of(m.name);
	assert_int_equal(row.state, DOMAIN_RUNNING);
	assert_string_equal(row.uuid, m.uuid);
	assert_int_equal(row.memory_bytes, m.memory_bytes);
	assert_false(row.writable_disk);
	assert_int_equal(row.n_nics, 1);
	assert_memory_equal(&row.nics[0].mac, &m.nics[0].mac, sizeof(struct mac_addr));
	assert_string_equal(row.nics[0].ifname, port_of(1, row.domain_id));
	stop(m.uuid);
	assert_true(strstr(hear_event(m.name, EVENT_STOPPED)->text, "destroyed") != NULL);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	stop(m.name); /* gone already: fine */
}

static void test_second_start_is_refused_and_touches_nothing(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = row_of(m.name).domain_id;
	m.req = ++be.last_req;
	say(MSG_BE_START, &m);
	expect(m.req, -EEXIST);
	assert_string_equal(got.result.uuid, m.uuid);
	assert_int_equal(got.result.domain_id, id);
	assert_int_equal(row_of(m.name).domain_id, id);
	stop(m.name);
}

static void test_failed_start_tells_why_and_leaves_nothing(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	str_copy(m.kernel, "/nowhere/no-such-kernel.elf");
	say(MSG_BE_START, &m);
	hear_result(m.req);
	assert_true(got.result.error < 0);
	if (!strstr(got.result.text, "no-such-kernel"))
		fail_msg("the reason does not name the kernel: %s", got.result.text);
	assert_null(strchr(got.result.text, '\n'));
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	m = machine(1);
	start(&m); /* and the name is free */
	stop(m.name);
}

static void test_paused_start_resume_suspend(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	m.paused = true;
	start(&m);
	assert_int_equal(row_of(m.name).state, DOMAIN_PAUSED);
	expect(ask(MSG_BE_RESUME, m.name, 0), 0);
	assert_true(got.result.domain_id > 0);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	expect(ask(MSG_BE_RESUME, m.uuid, 0), 0);
	expect(ask(MSG_BE_STOP, m.name, STOP_SUSPEND), 0);
	hear_event(m.name, EVENT_SUSPENDED);
	assert_int_equal(row_of(m.name).state, DOMAIN_PAUSED);
	expect(ask(MSG_BE_STOP, m.name, STOP_SUSPEND), 0);
	stop(m.name);
	expect(ask(MSG_BE_RESUME, m.name, 0), -ENOENT);
}

static void test_existing_domain(void **state)
{
	uint32_t req;
	struct msg_be_domain row = row_of(EXISTING);

	(void)state;
	assert_int_equal(row.state, DOMAIN_OFF);
	assert_int_equal(row.domain_id, -1);
	start_existing(&req);
	expect(req, 0);
	assert_string_equal(got.result.uuid, EXISTING_UUID);
	assert_int_equal(got.result.n_nics, 1);
	assert_true(got.result.nics[0].ifname[0]);
	start_existing(&req);
	expect(req, -EEXIST);
	assert_true(got.result.domain_id > 0);
	assert_true(got.result.nics[0].ifname[0]);
	expect(ask(MSG_BE_STOP, EXISTING_UUID, STOP_SUSPEND), 0);
	start_existing(&req);
	expect(req, -EBUSY);
	stop(EXISTING);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_OFF); /* off, and still defined */
	expect(ask(MSG_BE_STOP, EXISTING, STOP_SHUTDOWN), 0);
}

static void test_inspect(void **state)
{
	uint32_t req = ask(MSG_BE_INSPECT, EXISTING, 0);

	(void)state;
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.req, req);
	assert_string_equal(got.domain.name, EXISTING);
	assert_string_equal(got.domain.uuid, EXISTING_UUID);
	assert_int_equal(got.domain.state, DOMAIN_OFF);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	expect(req, 0);
}

static void test_inspect_what_is_not_there(void **state)
{
	(void)state;
	expect(ask(MSG_BE_INSPECT, "no-such-domain", 0), -ENOENT);
	assert_true(strstr(got.result.text, "no-such-domain") != NULL);
	expect(ask(MSG_BE_INSPECT, "01234567-89ab-cdef-0123-456789abcdef", 0), -ENOENT);
}

static void test_requests_for_one_domain_keep_their_order(void **state)
{
	enum { ROUNDS = 3 };
	struct msg_be_start m = machine(1);
	uint32_t first = be.last_req;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		m.req = ++be.last_req;
		say(MSG_BE_START, &m);
		ask(MSG_BE_STOP, i % 2 ? m.uuid : m.name, STOP_DESTROY);
	}
	for (uint32_t req = first + 1; req <= first + 2 * ROUNDS; req++)
		expect(req, 0);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
}

static void test_different_domains_start_side_by_side(void **state)
{
	struct msg_be_start m[TAPS];
	bool answered[TAPS] = { false };

	(void)state;
	for (unsigned i = 0; i < TAPS; i++) {
		m[i] = machine(i);
		say(MSG_BE_START, &m[i]);
	}
	for (unsigned i = 0; i < TAPS; i++) {
		hear_until(MSG_BE_RESULT);
		if (got.result.error)
			fail_msg("%s", got.result.text);
		assert_true(got.result.req >= m[0].req && got.result.req - m[0].req < TAPS);
		assert_false(answered[got.result.req - m[0].req]);
		answered[got.result.req - m[0].req] = true;
	}
	for (unsigned i = 0; i < TAPS; i++) {
		assert_int_equal(row_of(m[i].name).state, DOMAIN_RUNNING);
		stop(m[i].name);
	}
}

static void test_start_whose_result_was_lost_is_in_the_next_list(void **state)
{
	struct msg_be_start m = machine(1);
	enum msg_type type;

	(void)state;
	say(MSG_BE_START, &m);
	usleep(5000); /* it has begun */
	connect_launcher();
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	stop(m.name);
	while ((type = hear(QUIET_MS)))
		assert_int_not_equal(type, MSG_BE_RESULT); /* the old launcher's answer is nobody's */
}

static void test_requests_that_make_no_sense(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	expect(ask(MSG_BE_STOP, "", STOP_DESTROY), -EINVAL);
	expect(ask(MSG_BE_STOP, "x", STOP_N), -EINVAL);
	expect(ask(MSG_BE_INSPECT, "", 0), -EINVAL);
	m.name[0] = '\0';
	say(MSG_BE_START, &m);
	expect(m.req, -EINVAL);
}

static void test_flood_gets_one_answer_each(void **state)
{
	enum { FLOOD = BACKEND_REQUESTS_MAX + 200 };
	static bool answered[FLOOD];
	uint32_t first = be.last_req + 1;
	unsigned n = 0;

	(void)state;
	memset(answered, 0, sizeof(answered));
	for (unsigned i = 0; i < FLOOD; i++)
		ask(MSG_BE_INSPECT, "no-such-domain", 0);
	while (n < FLOOD) {
		hear_until(MSG_BE_RESULT);
		assert_true(got.result.req - first < FLOOD);
		assert_false(answered[got.result.req - first]);
		assert_true(got.result.error == -ENOENT || got.result.error == -EBUSY);
		answered[got.result.req - first] = true;
		n++;
	}
	assert_int_equal(hear(QUIET_MS), 0);
	/* and afterwards there is room for all again */
	for (unsigned i = 0; i < BACKEND_REQUESTS_MAX; i++)
		ask(MSG_BE_INSPECT, "no-such-domain", 0);
	for (n = 0; n < BACKEND_REQUESTS_MAX; n++) {
		hear_until(MSG_BE_RESULT);
		assert_int_equal(got.result.error, -ENOENT);
	}
}

/* ---- cases for backends with real guests ---- */

static void test_guests_outlive_the_process(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;
	int status;

	(void)state;
	start(&m);
	id = got.result.domain_id;
	kill(be.pid, SIGKILL);
	waitpid(be.pid, &status, 0);
	fd_close(&be.launcher);
	fd_close(&be.supervisor);
	begin(NULL);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(row_of(m.name).domain_id, id);
	assert_string_equal(row_of(m.name).nics[0].ifname, port_of(1, id));
	stop(m.name);
	start(&m);
	stop(m.name);
}

/* A driver's directory has one owner: who comes while the old one still dies says so and makes
 * room for another try. */
static void test_successor_of_a_process_that_still_lives(void **state)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	pid_t old = be.pid;
	int old_supervisor = be.supervisor, old_launcher = be.launcher;
	int fds[2], status;

	(void)state;
	be.supervisor = be.launcher = -1;
	run_process();
	assert_int_equal(ipc_pair(fds), 0);
	say_fd(be.supervisor, MSG_PEER, &peer, fds[1]);
	close(fds[1]);
	be.launcher = fds[0];
	do
		hear_until(MSG_BE_HELLO);
	while (strstr(got.hello.text, "still connecting"));
	assert_false(got.hello.connected);
	assert_true(strstr(got.hello.text, "driver.pid") != NULL);
	waitpid(be.pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	fd_close(&be.supervisor);
	fd_close(&be.launcher);
	kill(old, SIGKILL);
	waitpid(old, &status, 0);
	close(old_supervisor);
	close(old_launcher);
	begin(NULL);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_OFF);
}

static pid_t qemu_pid(const char *name)
{
	char path[256];
	cleanup_fclose FILE *f = NULL;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s.pid", suite.pid_dir, name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	return pid;
}

static void test_guest_that_dies_is_told(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	start(&m);
	hear_event(m.name, EVENT_STARTED);
	kill(qemu_pid(m.name), SIGKILL);
	hear_event(m.name, EVENT_CRASHED);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
}

/* The process's credentials and seccomp mode, from /proc. */
static void test_qemu_has_no_privileges(void **state)
{
	struct msg_be_start m = machine(1);
	const struct passwd *pw = getpwnam("libvirt-qemu");
	cleanup_fclose FILE *f = NULL;
	char path[64], line[256];
	unsigned uid = 0, seccomp = 0;
	unsigned long long caps = 1;

	(void)state;
	start(&m);
	snprintf(path, sizeof(path), "/proc/%d/status", qemu_pid(m.name));
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Uid: %u", &uid);
		sscanf(line, "Seccomp: %u", &seccomp);
		sscanf(line, "CapEff: %llx", &caps);
	}
	assert_int_equal(uid, pw->pw_uid);
	assert_int_equal(seccomp, 2);
	assert_int_equal(caps, 0);
	stop(m.name);
}

static bool console_says(const char *name, const char *what)
{
	static char text[RING_ROOM_DEFAULT + 1];
	char path[128];
	cleanup_close int fd = -1;
	uint64_t at = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/console/%s.log", suite.dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : ring_file_read(fd, &at, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, what) != NULL;
}

static void test_console_is_kept(void **state)
{
	struct msg_be_start m = machine(2);
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	start(&m);
	while (!console_says(m.name, "jitsu guest: booting t2") && clock_now_ms() < until)
		usleep(10000);
	assert_true(console_says(m.name, "jitsu guest: booting t2"));
	stop(m.name);
}

/* What the guest says, as it says it, on the stream that has come. */
static void guest_says(int fd, const char *what)
{
	char text[256] = "";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = clock_now_ms() + WAIT_MS;
	size_t n = 0;

	while (!strstr(text, what) && clock_now_ms() < until && n < sizeof(text) - 1) {
		ssize_t got_n = poll(&p, 1, 100) > 0 ? recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT) : 0;

		n += got_n > 0 ? (size_t)got_n : 0;
		text[n] = '\0';
	}
	if (!strstr(text, what))
		fail_msg("the guest said \"%s\"", text);
}

static int hear_guest(const char *name)
{
	int fd;

	do
		hear_until(MSG_BE_GUEST);
	while (strcmp(got.guest.name, name) != 0);
	assert_true(got_fd >= 0);
	fd = got_fd;
	got_fd = -1;
	return fd;
}

static void test_guest_is_heard(void **state)
{
	struct msg_be_start m = machine(1);
	struct pollfd p = { .events = POLLIN };
	int first, again;

	(void)state;
	m.guest_channel = true;
	snprintf(m.cmdline + strlen(m.cmdline), 64, " ready_delay=1000");
	say(MSG_BE_START, &m);
	first = hear_guest(m.name);
	connect_launcher(); /* the next launcher has it, too */
	again = hear_guest(m.name);
	close(first);
	guest_says(again, "ready\n");
	stop(m.name);
	p.fd = again;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recv(again, m.name, 1, 0), 0); /* its end */
	close(again);
	connect_launcher(); /* and is told no more of it */
	m = machine(1);
	start(&m);
	for (enum msg_type type; (type = hear(QUIET_MS));)
		assert_int_not_equal(type, MSG_BE_GUEST); /* nor has one that asks for none a channel */
	stop(m.name);
}

/* The channel of a domain that others have defined. */
static void test_guest_of_an_existing_domain_is_heard(void **state)
{
	bool started = false;
	uint32_t req;
	int fd = -1;

	(void)state;
	start_existing(&req);
	while (fd < 0 || !started) { /* in whichever order */
		enum msg_type type = hear(WAIT_MS);

		assert_true(type == MSG_BE_GUEST || type == MSG_BE_RESULT || type == MSG_BE_EVENT);
		started = started || type == MSG_BE_RESULT;
		if (type != MSG_BE_GUEST)
			continue;
		assert_string_equal(got.guest.name, EXISTING);
		assert_string_equal(got.guest.uuid, EXISTING_UUID);
		fd = got_fd;
		got_fd = -1;
	}
	guest_says(fd, "ready\n");
	close(fd);
	stop(EXISTING);
}

/* ---- libvirtd ---- */

static void run_libvirtd(void)
{
	char conf[128], socket_path[128], out[128];
	uint64_t until = clock_now_ms() + WAIT_MS;

	snprintf(conf, sizeof(conf), "%s/libvirtd.conf", suite.dir);
	snprintf(socket_path, sizeof(socket_path), "%s/libvirt-sock", suite.dir);
	snprintf(out, sizeof(out), "%s/libvirtd.out", suite.dir);
	fflush(NULL);
	suite.libvirtd = fork();
	if (suite.libvirtd == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl("/usr/sbin/libvirtd", "libvirtd", "-f", conf, "-p", "/run/libvirt/libvirtd.pid", (char *)NULL);
		_exit(127);
	}
	while (access(socket_path, F_OK) < 0 && clock_now_ms() < until)
		usleep(10000);
}

static void kill_libvirtd(void)
{
	char socket_path[128];
	int status;

	snprintf(socket_path, sizeof(socket_path), "%s/libvirt-sock", suite.dir);
	kill(suite.libvirtd, SIGKILL);
	waitpid(suite.libvirtd, &status, 0);
	unlink(socket_path);
}

static void test_lost_libvirtd_is_told_and_found_again(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = got.result.domain_id;
	kill_libvirtd();
	hear_until(MSG_BE_HELLO);
	assert_false(got.hello.connected);
	assert_true(got.hello.text[0]);
	expect(ask(MSG_BE_INSPECT, m.name, 0), -ENOTCONN);
	expect(ask(MSG_BE_STOP, m.name, STOP_DESTROY), -ENOTCONN);
	run_libvirtd();
	do
		hear_until(MSG_BE_HELLO);
	while (!got.hello.connected);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(row_of(m.name).domain_id, id);
	n_events = 0;
	stop(m.name);
	hear_event(m.name, EVENT_STOPPED); /* events come again */
}

/* A daemon that is stopped, not dead, answers nothing: calls must not hang for ever. */
static void test_silent_libvirtd_is_given_up(void **state)
{
	(void)state;
	kill(suite.libvirtd, SIGSTOP);
	do
		hear_until(MSG_BE_HELLO);
	while (got.hello.connected);
	expect(ask(MSG_BE_INSPECT, EXISTING, 0), -ENOTCONN);
	kill(suite.libvirtd, SIGCONT);
	do
		hear_until(MSG_BE_HELLO);
	while (!got.hello.connected);
	assert_string_equal(row_of(EXISTING).uuid, EXISTING_UUID);
}

/* Each kind of machine boots: the guest says so on its console.  With a disk and without. */
static void boots(const char *arch, const char *kind, const char *kernel, const char *disk_format)
{
	struct msg_be_start m = machine(3);
	uint64_t until = clock_now_ms() + WAIT_MS;
	char path[160], banner[128];

	snprintf(m.name, sizeof(m.name), "jitsu-%s-%s-%s", arch, kind[0] ? kind : "any", disk_format);
	snprintf(m.cmdline, sizeof(m.cmdline), "ip=10.77.0.13/24 mac=52:54:00:77:00:03 name=%s", m.name);
	snprintf(banner, sizeof(banner), "jitsu guest: booting %s", m.name);
	str_copy(m.arch, arch);
	str_copy(m.machine, kind);
	str_copy(m.kernel, kernel);
	if (disk_format[0]) {
		m.n_disks = 1;
		snprintf(path, sizeof(path), "%s/disk.raw", suite.dir);
		str_copy(m.disks[0].path, path);
		str_copy(m.disks[0].format, disk_format);
		m.disks[0].read_only = true;
	}
	start(&m);
	while (!console_says(m.name, banner) && clock_now_ms() < until)
		usleep(10000);
	if (!console_says(m.name, banner))
		fail_msg("%s does not boot", m.name);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_string_equal(row_of(m.name).nics[0].ifname, "jt3");
	assert_false(row_of(m.name).writable_disk);
	stop(m.name);
}

static void test_every_machine_boots(void **state)
{
	char path[160];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/disk.raw", suite.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	boots("x86_64", "", suite.kernel, "");
	boots("x86_64", "microvm", suite.kernel, "raw");
	boots("x86_64", "pc", suite.kernel, "");
	boots("x86_64", "pc", suite.kernel, "raw");
	boots("x86_64", "q35", suite.kernel, "");
	boots("x86_64", "q35", suite.kernel, "raw");
	if (access(suite.kernel_arm64, R_OK) == 0 && access("/usr/bin/qemu-system-aarch64", X_OK) == 0) {
		boots("aarch64", "", suite.kernel_arm64, "");
		boots("aarch64", "virt", suite.kernel_arm64, "raw");
	}
}

/* ---- the host ---- */

static bool make_tap(unsigned i)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, IFNAMSIZ, "jt%u", i);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0)
		return false;
	ifr.ifr_flags = IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) == 0;
}

static bool make_bridge(const char *name)
{
	cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return ioctl(sock, 0x89a0 /* SIOCBRADDBR */, name) == 0;
}

static void make_path(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static const char *embed_etc(void)
{
	static char etc[128];

	snprintf(etc, sizeof(etc), "%s/etc", suite.root);
	return etc;
}

static bool write_file(const char *path, const char *text)
{
	cleanup_fclose FILE *f = fopen(path, "we");

	return f && fputs(text, f) >= 0;
}

/* Everything libvirtd keeps is on file systems of our own. */
static bool prepare_libvirtd(void)
{
	static const char *const dirs[] = { "/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt",
					    "/etc/libvirt" };
	char path[128], text[256];
	struct err e;

	/* Where KVM does not work, libvirtd would look for it again and again, for seconds each. */
	if (kvm_hide(&e) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if ((mkdir(dirs[i], 0755) < 0 && errno != EEXIST) || mount("test", dirs[i], "tmpfs", 0, "mode=0755") < 0)
			return false;
	}
	snprintf(path, sizeof(path), "%s/libvirtd.conf", suite.dir);
	snprintf(text, sizeof(text), "unix_sock_dir = \"%s\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n", suite.dir);
	return write_file(path, text) &&
	       write_file("/etc/libvirt/qemu.conf", "stdio_handler = \"file\"\nuser = \"libvirt-qemu\"\ngroup = \"libvirt-qemu\"\n"
						      "dynamic_ownership = 0\nremember_owner = 0\ncgroup_controllers = []\n"
						      "namespaces = []\nsecurity_driver = \"none\"\n");
}

/* A domain that the driver finds defined when it starts. */
static bool define_existing(void)
{
	char path[160];
	cleanup_fclose FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/qemu/%s.xml", suite.daemon ? "/etc/libvirt" : embed_etc(), EXISTING);
	make_path(path);
	f = fopen(path, "we");
	return f && fprintf(f,
			    "<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
			    "<os><type arch='x86_64' machine='microvm'>hvm</type><kernel>%s</kernel>"
			    "<cmdline>ready_delay=1000</cmdline></os>"
			    "<devices><controller type='usb' model='none'/><interface type='bridge'><source bridge='br-test'/>"
			    "<mac address='52:54:00:00:00:99'/><model type='virtio'/><address type='virtio-mmio'/></interface>"
			    "<controller type='virtio-serial' index='0'><address type='virtio-mmio'/></controller>"
			    "<channel type='unix'><target type='virtio' name='org.jitsu.guest.0'/></channel>"
			    "<memballoon model='none'/></devices></domain>\n",
			    EXISTING, EXISTING_UUID, suite.kernel) > 0;
}

static int cannot(const char *why)
{
	printf("skipped: %s\n", why);
	return 77;
}

/* Namespaces of our own: taps, mounts and what the driver leaves vanish with the test. */
static int prepare_libvirt(void)
{
	if (geteuid() != 0)
		return cannot("needs root");
	if (!getpwnam("libvirt-qemu"))
		return cannot("needs the user libvirt-qemu");
	if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0 || access(suite.kernel, R_OK) < 0)
		return cannot("needs qemu-system-x86_64 and the guest's kernel");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		return cannot("needs namespaces of its own");
	for (unsigned i = 0; i < TAPS; i++) {
		if (!make_tap(i))
			return cannot("needs /dev/net/tun");
	}
	if (!make_bridge("br-test"))
		return cannot("needs bridges");
	snprintf(suite.dir, sizeof(suite.dir), "/run/jitsu-test-XXXXXX");
	if (!mkdtemp(suite.dir) || chmod(suite.dir, 0755) < 0 || mount("test", suite.dir, "tmpfs", 0, "mode=0755") < 0)
		return cannot("needs a tmpfs of its own");
	snprintf(suite.root, sizeof(suite.root), "%s/qemu", suite.dir);
	snprintf(suite.uri, sizeof(suite.uri), "qemu:///embed?root=%s", suite.root);
	snprintf(suite.pid_dir, sizeof(suite.pid_dir), "%s/run/qemu", suite.root);
	if (suite.daemon) {
		snprintf(suite.uri, sizeof(suite.uri), "qemu:///system?socket=%s/libvirt-sock", suite.dir);
		snprintf(suite.pid_dir, sizeof(suite.pid_dir), "/run/libvirt/qemu");
		if (access("/usr/sbin/libvirtd", X_OK) < 0 || !prepare_libvirtd())
			return cannot("needs libvirtd (package libvirt-daemon)");
	}
	return define_existing() ? 0 : cannot("cannot write to its own tmpfs");
}

static const struct CMUnitTest common[] = {
	cmocka_unit_test(test_hello_comes_with_each_channel),
	cmocka_unit_test(test_inline_machine_comes_and_goes),
	cmocka_unit_test(test_second_start_is_refused_and_touches_nothing),
	cmocka_unit_test(test_failed_start_tells_why_and_leaves_nothing),
	cmocka_unit_test(test_paused_start_resume_suspend),
	cmocka_unit_test(test_inspect_what_is_not_there),
	cmocka_unit_test(test_requests_for_one_domain_keep_their_order),
	cmocka_unit_test(test_different_domains_start_side_by_side),
	cmocka_unit_test(test_start_whose_result_was_lost_is_in_the_next_list),
	cmocka_unit_test(test_requests_that_make_no_sense),
};

static const struct CMUnitTest many_requests[] = {
	cmocka_unit_test(test_flood_gets_one_answer_each),
};

/* Where a domain that is off is still known. */
static const struct CMUnitTest with_definitions[] = {
	cmocka_unit_test(test_existing_domain),
	cmocka_unit_test(test_inspect),
};

static const struct CMUnitTest with_guests[] = {
	cmocka_unit_test(test_guests_outlive_the_process),
	cmocka_unit_test(test_guest_that_dies_is_told),
	cmocka_unit_test(test_qemu_has_no_privileges),
	cmocka_unit_test(test_console_is_kept),
	cmocka_unit_test(test_guest_is_heard),
	cmocka_unit_test(test_guest_of_an_existing_domain_is_heard),
	cmocka_unit_test(test_every_machine_boots),
};

static const struct CMUnitTest embedded[] = {
	cmocka_unit_test(test_successor_of_a_process_that_still_lives),
};

static const struct CMUnitTest with_daemon[] = {
	cmocka_unit_test(test_lost_libvirtd_is_told_and_found_again),
	cmocka_unit_test(test_silent_libvirtd_is_given_up),
};

/* A case that failed half-way may have left guests. */
static void kill_guests(void)
{
	DIR *dir = opendir(suite.pid_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[512];
		cleanup_fclose FILE *f = NULL;
		int pid = 0;

		snprintf(path, sizeof(path), "%s/%s", suite.pid_dir, entry->d_name);
		f = strstr(entry->d_name, "jitsu-") == entry->d_name && strstr(path, ".pid") ? fopen(path, "re") : NULL;
		if (f && fscanf(f, "%d", &pid) == 1 && pid > 1)
			kill(pid, SIGKILL);
	}
	if (dir)
		closedir(dir);
}

static int run_libvirt(void)
{
	int status = prepare_libvirt();

	if (status != 0)
		return status;
	if (suite.daemon)
		run_libvirtd();
	status = cmocka_run_group_tests_name("backend contract: libvirt", common, begin, end);
	status += cmocka_run_group_tests_name("backend contract: many requests", many_requests, begin, end);
	status += cmocka_run_group_tests_name("backend contract: libvirt's definitions", with_definitions, begin, end);
	status += cmocka_run_group_tests_name("backend contract: libvirt's guests", with_guests, begin, end);
	if (!suite.daemon)
		status += cmocka_run_group_tests_name("backend contract: the embedded driver", embedded, begin, end);
	if (suite.daemon) {
		status += cmocka_run_group_tests_name("backend contract: libvirtd", with_daemon, begin, end);
		kill_libvirtd();
	}
	kill_guests();
	umount2(suite.dir, MNT_DETACH);
	rmdir(suite.dir);
	return status;
}

/* ---- Xen ---- */

static const char *xl_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s.cfg", suite.dir, name);
	return path;
}

/* A domain as xl has it, with a line more. */
static void write_xl(const char *name, const char *uuid, const char *more)
{
	cleanup_fclose FILE *f = fopen(xl_path(name), "we");

	assert_non_null(f);
	fprintf(f, "name = '%s'\nuuid = '%s'\ntype = '%s'\nkernel = '%s'\nmemory = 16\nvcpus = 1\n"
		   "cmdline = 'ip=10.77.0.99/24 name=%s'\nvif = [ 'mac=52:54:00:00:00:99,bridge=br-test,script=%s' ]\n%s\n",
		name, uuid, suite.machine, suite.kernel, name, getenv("JITSU_VIF"), more);
}

static void start_xl(const char *name, const char *file, int error)
{
	struct msg_be_start m = { .req = ++be.last_req, .svc = 2, .gen = 1 };

	str_copy(m.domain, name);
	str_copy(m.xl_config, file);
	say(MSG_BE_START, &m);
	expect(m.req, error);
}

/* Xen's toolstack as others use it. */
static void run_xl(const char *command, const char *what)
{
	char line[256];

	snprintf(line, sizeof(line), "xl %s %s > %s/xl.out 2>&1 < /dev/null", command, what, suite.dir);
	assert_int_equal(system(line), 0);
}

static void test_domain_from_an_xl_config(void **state)
{
	const char *file = xl_path(EXISTING);
	uint32_t req;

	(void)state;
	write_xl(EXISTING, EXISTING_UUID, "");
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N);
	start_xl(EXISTING, "", -ENOENT);
	assert_true(strstr(got.result.text, "xl_config") != NULL);
	start_xl(EXISTING, file, 0);
	assert_string_equal(got.result.uuid, EXISTING_UUID);
	assert_int_equal(got.result.n_nics, 1);
	assert_string_equal(got.result.nics[0].ifname, port_of(0, got.result.domain_id));
	hear_event(EXISTING, EVENT_STARTED);
	req = ask(MSG_BE_INSPECT, EXISTING_UUID, 0);
	hear_until(MSG_BE_DOMAIN);
	assert_string_equal(got.domain.name, EXISTING);
	assert_int_equal(got.domain.state, DOMAIN_RUNNING);
	assert_int_equal(got.domain.memory_bytes, 16 << 20);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	expect(req, 0);
	start_xl(EXISTING, file, -EEXIST);
	assert_true(got.result.domain_id > 0);
	start_xl(EXISTING, "", -EEXIST); /* who made it does not count */
	expect(ask(MSG_BE_STOP, EXISTING_UUID, STOP_SUSPEND), 0);
	start_xl(EXISTING, file, -EBUSY);
	stop(EXISTING);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N);
	expect(ask(MSG_BE_STOP, EXISTING, STOP_SHUTDOWN), 0);
}

static uint32_t inspect_xl(const char *name, const char *file)
{
	struct msg_be_target m = { .req = ++be.last_req, .svc = 2, .gen = 1 };

	str_copy(m.domain, name);
	str_copy(m.xl_config, file);
	say(MSG_BE_INSPECT, &m);
	return m.req;
}

/* Of a domain that is off, its file tells all; of one that runs, nothing. */
static void test_inspect_reads_an_xl_config(void **state)
{
	const char *file = xl_path(EXISTING);
	uint32_t req;

	(void)state;
	write_xl(EXISTING, EXISTING_UUID, "");
	expect(inspect_xl(EXISTING, ""), -ENOENT);
	req = inspect_xl(EXISTING, file);
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.req, req);
	assert_int_equal(got.domain.state, DOMAIN_OFF);
	assert_int_equal(got.domain.domain_id, -1);
	assert_string_equal(got.domain.name, EXISTING);
	assert_string_equal(got.domain.uuid, EXISTING_UUID);
	assert_int_equal(got.domain.memory_bytes, 16 << 20);
	assert_int_equal(got.domain.n_nics, 1);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	assert_string_equal(got.domain.nics[0].ifname, "");
	expect(req, 0);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N); /* looking starts nothing */
	expect(inspect_xl("other", file), -EINVAL);
	assert_true(strstr(got.result.text, "is called " EXISTING " now") != NULL);
	expect(inspect_xl(EXISTING, "/nowhere/none.cfg"), -ENOENT);
	assert_true(strstr(got.result.text, "/nowhere/none.cfg") != NULL);
	start_xl(EXISTING, file, 0);
	req = inspect_xl(EXISTING, "/nowhere/none.cfg");
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.state, DOMAIN_RUNNING);
	assert_string_equal(got.domain.nics[0].ifname, port_of(0, got.domain.domain_id));
	expect(req, 0);
	stop(EXISTING);
}

static void test_xl_config_that_cannot_be(void **state)
{
	(void)state;
	write_xl("bad", EXISTING_UUID, "usb = 1");
	start_xl("bad", xl_path("bad"), -ENOTSUP);
	assert_true(strstr(got.result.text, "bad.cfg:9: usb") != NULL);
	write_xl("bad", EXISTING_UUID, "");
	start_xl("good", xl_path("bad"), -EINVAL);
	assert_true(strstr(got.result.text, "is called bad now") != NULL);
	start_xl("bad", xl_path("none"), -ENOENT);
	assert_int_equal(row_of("bad").state, DOMAIN_STATE_N);
}

static void wait_for_no(const char *name)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (row_of(name).state != DOMAIN_STATE_N && clock_now_ms() < until)
		usleep(50000);
	assert_int_equal(row_of(name).state, DOMAIN_STATE_N);
}

/* It says so, and nothing is left of it: nobody else would remove it. */
static void test_guest_shuts_itself_down(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	n_events = 0;
	start(&m);
	while (!console_says(m.name, "booting"))
		usleep(50000);
	expect(ask(MSG_BE_STOP, m.name, STOP_SHUTDOWN), 0);
	assert_string_equal(hear_event(m.name, EVENT_STOPPED)->text, "shutdown");
	m.req = ++be.last_req;
	start(&m); /* at once: it waits for the rest to be gone */
	stop(m.name);
	start(&m);
	while (!console_says(m.name, "booting"))
		usleep(50000);
	expect(ask(MSG_BE_STOP, m.name, STOP_SHUTDOWN), 0);
	wait_for_no(m.name);
}

/* What others do with domains, ours and theirs, is told. */
static void test_domains_of_others(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	write_xl("theirs", UUID_OF("d"), "");
	run_xl("create", xl_path("theirs"));
	assert_string_equal(hear_event("theirs", EVENT_STARTED)->uuid, UUID_OF("d"));
	assert_int_equal(row_of("theirs").state, DOMAIN_RUNNING);
	run_xl("pause", "theirs");
	hear_event("theirs", EVENT_SUSPENDED);
	run_xl("unpause", "theirs");
	hear_event("theirs", EVENT_RESUMED);
	run_xl("destroy", "theirs");
	assert_string_equal(hear_event("theirs", EVENT_STOPPED)->text, "destroyed");
	start(&m);
	run_xl("destroy", m.name);
	hear_event(m.name, EVENT_STOPPED);
	wait_for_no(m.name);
	start(&m);
	stop(m.name);
}

/* Processes are killed in the middle of a create: what they had half built is not in the way, and is not there. */
static void test_killed_in_the_middle_of_a_start(void **state)
{
	int status;

	(void)state;
	for (unsigned ms = 20; ms < 2000; ms = ms * 5 / 2) {
		struct msg_be_start m = machine(1);

		say(MSG_BE_START, &m);
		usleep(ms * 1000);
		kill(be.pid, SIGKILL);
		waitpid(be.pid, &status, 0);
		fd_close(&be.launcher);
		fd_close(&be.supervisor);
		begin(NULL);
		if (row_of(m.name).state != DOMAIN_STATE_N) /* it was whole */
			assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
		stop(m.name);
		m.req = ++be.last_req;
		start(&m);
		stop(m.name);
	}
}

static unsigned count_lines(const char *command)
{
	FILE *f = popen(command, "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	pclose(f);
	return n;
}

/* After all of the above: no domain, no port, no node in XenStore, no note. */
static void test_nothing_is_left(void **state)
{
	char notes[128];
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	snprintf(notes, sizeof(notes), "ls %s/libxl", suite.dir);
	while (count_lines("xl list") > 2 && clock_now_ms() < until)
		usleep(100000);
	assert_int_equal(count_lines("xl list"), 2); /* the heading and dom0 */
	assert_int_equal(count_lines("ls /sys/class/net | grep vif"), 0);
	assert_int_equal(count_lines("xenstore-list /local/domain"), 1);
	assert_int_equal(count_lines("xenstore-ls /local/domain/0/backend/vif 2>/dev/null | grep -c frontend | grep -v '^0'"), 0);
	assert_int_equal(count_lines(notes), 0);
}

/* The test is in a dom0 that is there for it, and leaves no domain of its own. */
static int prepare_xen(void)
{
	char text[64] = "", vif[PATH_MAX];
	cleanup_close int fd = open("/proc/xen/capabilities", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !strstr(text, "control_d"))
		return cannot("needs dom0 of a Xen: tests/xen/run.sh");
	snprintf(suite.dir, sizeof(suite.dir), "/run/jitsu-test-XXXXXX");
	if (!mkdtemp(suite.dir) || chmod(suite.dir, 0755) < 0)
		return cannot("needs /run");
	snprintf(suite.uri, sizeof(suite.uri), "libxl:///");
	snprintf(vif, sizeof(vif), "%s/jitsu-vif", dirname(strdupa(suite.program)));
	setenv("JITSU_VIF", vif, 0);
	return make_bridge("br-test") ? 0 : cannot("needs bridges");
}

static const struct CMUnitTest with_xen[] = {
	cmocka_unit_test(test_domain_from_an_xl_config),
	cmocka_unit_test(test_inspect_reads_an_xl_config),
	cmocka_unit_test(test_xl_config_that_cannot_be),
	cmocka_unit_test(test_guests_outlive_the_process),
	cmocka_unit_test(test_console_is_kept),
	cmocka_unit_test(test_guest_shuts_itself_down),
	cmocka_unit_test(test_domains_of_others),
	cmocka_unit_test(test_killed_in_the_middle_of_a_start),
	cmocka_unit_test(test_nothing_is_left),
};

static int run_xen(void)
{
	int status = prepare_xen();

	if (status != 0)
		return status;
	status = cmocka_run_group_tests_name("backend contract: libxl", common, begin, end);
	status += cmocka_run_group_tests_name("backend contract: Xen's guests", with_xen, begin, end);
	if (getenv("LONG")) /* a minute, where Xen is emulated */
		status += cmocka_run_group_tests_name("backend contract: many requests", many_requests, begin, end);
	return status;
}

/* ---- what is asked for ---- */

static void find_program(const char *argv0, const char *name, const char *variable)
{
	static char beside[4096];

	suite.program = getenv(variable);
	if (suite.program)
		return;
	snprintf(beside, sizeof(beside), "%s/../../%s", dirname(strdup(argv0)), name);
	suite.program = beside;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	suite.kernel = "/proc/self/exe"; /* the fake only looks whether it is there */
	suite.isolation = "fast";
	suite.machine = "";
	if (argc < 2 || strcmp(argv[1], "fake") == 0)
		return cmocka_run_group_tests_name("backend contract: fake", common, begin, end) +
		       cmocka_run_group_tests_name("backend contract: many requests", many_requests, begin, end) +
		       cmocka_run_group_tests_name("backend contract: the fake's definitions", with_definitions, begin, end);
	suite.daemon = strcmp(argv[1], "libvirtd") == 0;
	suite.xen = strcmp(argv[1], "libxl") == 0;
	suite.libvirt = suite.daemon || strcmp(argv[1], "libvirt") == 0;
	if (argc < 3 || (!suite.libvirt && !suite.xen))
		return cannot("usage: test_contract [fake | libvirt KERNEL [strict] | libvirtd KERNEL | libxl KERNEL [pv|pvh]]");
	suite.kernel = argv[2];
	snprintf(suite.kernel_arm64, sizeof(suite.kernel_arm64), "%s-arm64.img", suite.kernel);
	if (strstr(suite.kernel, ".elf"))
		strcpy(strstr(suite.kernel_arm64, ".elf"), "-arm64.img");
	if (suite.xen) {
		suite.machine = argc > 3 ? argv[3] : "pv";
		find_program(argv[0], "jitsu-libxl", "JITSU_LIBXL");
		return run_xen();
	}
	if (argc > 3)
		suite.isolation = argv[3];
	find_program(argv[0], "jitsu-libvirt", "JITSU_LIBVIRT");
	return run_libvirt();
}
