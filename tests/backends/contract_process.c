/* The process under test, what is said to it and heard of it. */
#include "tests/backends/contract.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "backends/fake.h"
#include "base/ring_file.h"

struct suite suite;
struct process be = { .supervisor = -1, .launcher = -1 };
union message got;
int got_fd = -1;

/* ---- a message at a time ---- */

void say_fd(int fd, enum msg_type type, const void *body, int pass)
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

void say(enum msg_type type, const void *body) { say_fd(be.launcher, type, body, -1); }

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
enum msg_type hear(unsigned ms)
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

void keep_event(void)
{
	if (n_events < ARRAY_SIZE(events))
		events[n_events++] = got.event;
}

void forget_events(void) { n_events = 0; }

void hear_until(enum msg_type wanted)
{
	enum msg_type type;

	while ((type = hear(WAIT_MS)) != wanted) {
		if (type == 0)
			fail_msg("no %s within %d ms", msg_name(wanted), WAIT_MS);
		if (type == MSG_BE_EVENT)
			keep_event();
	}
}

const struct msg_be_result *hear_result(uint32_t req)
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

const struct msg_be_event *hear_event(const char *name, enum domain_event what)
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

void run_process(void)
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
void connect_launcher(void)
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

int begin_process(void **state)
{
	(void)state;
	run_process();
	connect_launcher();
	return 0;
}

int end_process(void **state)
{
	int status;

	(void)state;
	say_fd(be.supervisor, MSG_STOP, NULL, -1);
	waitpid(be.pid, &status, 0);
	fd_close(&be.launcher);
	fd_close(&be.supervisor);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

void kill_process(void)
{
	int status;

	kill(be.pid, SIGKILL);
	waitpid(be.pid, &status, 0);
	fd_close(&be.launcher);
	fd_close(&be.supervisor);
}

/* ---- requests ---- */

struct msg_be_start machine(unsigned i)
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
const char *port_of(unsigned i, int32_t id)
{
	static char name[MSG_IFNAME_MAX];

	if (suite.xen)
		snprintf(name, sizeof(name), "vif%d.0", id);
	else
		snprintf(name, sizeof(name), "jt%u", i);
	return name;
}

uint32_t ask(enum msg_type type, const char *domain, unsigned how)
{
	struct msg_be_target m = { .req = ++be.last_req, .svc = 1, .gen = 7, .how = (uint8_t)how };

	str_copy(m.domain, domain);
	say(type, &m);
	return m.req;
}

void expect(uint32_t req, int error)
{
	const struct msg_be_result *r = hear_result(req);

	if (r->error != error)
		fail_msg("request %u: %d (%s), expected %d", req, r->error, r->text, error);
	assert_true(error == 0 ? !r->text[0] : r->text[0]);
}

void expect_error(uint32_t req)
{
	const struct msg_be_result *r = hear_result(req);

	assert_true(r->error < 0);
	assert_true(r->text[0]);
}

void start(const struct msg_be_start *m)
{
	say(MSG_BE_START, m);
	expect(m->req, 0);
}

void stop(const char *domain) { expect(ask(MSG_BE_STOP, domain, STOP_DESTROY), 0); }

/* The row of `name` in a LIST; state DOMAIN_STATE_N when it is not in there. */
struct msg_be_domain row_of(const char *name)
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

static void start_defined(uint32_t *req, bool fresh)
{
	struct msg_be_start m = { .req = ++be.last_req, .svc = 2, .gen = 1, .fresh = fresh };

	str_copy(m.domain, EXISTING);
	*req = m.req;
	say(MSG_BE_START, &m);
}

void start_existing(uint32_t *req) { start_defined(req, false); }
void start_fresh(uint32_t *req) { start_defined(req, true); }

bool console_says(const char *name, const char *what)
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

/* ---- the host ---- */

bool make_bridge(const char *name)
{
	cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return ioctl(sock, 0x89a0 /* SIOCBRADDBR */, name) == 0;
}

void remove_bridge(const char *name)
{
	cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ioctl(sock, 0x89a1 /* SIOCBRDELBR */, name);
}

int cannot(const char *why)
{
	printf("skipped: %s\n", why);
	return 77;
}
