/* The control process as the supervisor runs it, with a launcher that answers from a script, and
 * jitsuctl against it.  As root the process enters its whole sandbox, so that a system call
 * missing from its list fails a test here.
 *
 * By hand, to look at jitsuctl: test_process --serve /tmp/control.sock
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json.h"
#include "control/main.h"

enum { NOBODY = 65534, WAIT_MS = 10000 };

/* ---- a launcher ---- */

struct field {
	const char *key;
	enum ctl_kind kind;
	const char *value;
};

#define STR(key, value)             \
	{                           \
		key, CTL_STR, value \
	}
#define NUM(key, value)             \
	{                           \
		key, CTL_NUM, value \
	}
#define LIST(key, value)                 \
	{                                \
		key, CTL_LIST_STR, value \
	}
#define FIELDS(...)                \
	(const struct field[])     \
	{                          \
		__VA_ARGS__, { 0 } \
	}

static const struct field *const list_rows[] = {
	FIELDS(STR("name", "www"), STR("state", "up"), LIST("ip", "192.168.1.20"),
	       LIST("dns", "www.jitsu.example"), STR("hypervisor", "local"), NUM("running_ms", "200345"),
	       NUM("idle_in_ms", "58211"), NUM("wakes", "7"), NUM("last_wake_ms", "412"),
	       NUM("memory_bytes", "16777216"), STR("reason", "")),
	FIELDS(STR("name", "mail"), STR("state", "off"), LIST("ip", "192.168.1.21"),
	       LIST("ip", "fd00:1:2:3::21"), LIST("dns", "mail.jitsu.example"), STR("hypervisor", "local"),
	       NUM("wakes", "0"), NUM("memory_bytes", "134217728"), STR("reason", "")),
	FIELDS(STR("name", "a-service-with-a-rather-long-name"), STR("state", "failed"),
	       LIST("ip", "fd00:1234:5678:9abc:def0:1234:5678:9abc"), LIST("dns", "long.jitsu.example"),
	       STR("hypervisor", "local"), NUM("wakes", "12"), NUM("memory_bytes", "1610612736"),
	       STR("reason",
		   "the hypervisor says: cannot open kernel /var/lib/jitsu/images/long.elf: No such file or "
		   "directory; next try in 34 s")),
	FIELDS(STR("name", "db"), STR("state", "booting"), LIST("ip", "192.168.1.23"),
	       STR("hypervisor", "local"), NUM("running_ms", "312"), { "idle_in_ms", CTL_NULL, "" },
	       NUM("wakes", "3"), NUM("memory_bytes", "536870912"), STR("reason", "")),
	NULL,
};

static const struct field *const show_rows[] = {
	FIELDS(STR("name", "www"), STR("state", "up"), LIST("ip", "192.168.1.20"),
	       LIST("dns", "www.jitsu.example"), STR("hypervisor", "local"), NUM("running_ms", "200345"),
	       NUM("idle_in_ms", "58211"), NUM("wakes", "7"), NUM("last_wake_ms", "412"),
	       NUM("memory_bytes", "16777216"), STR("reason", ""), NUM("gen", "3"), STR("hold", "park"),
	       STR("answer", "ready"), LIST("ready", "tcp"), LIST("ready", "delay:50"),
	       STR("stop", "destroy"), NUM("idle_timeout_ms", "120000"), NUM("ttl_s", "60"),
	       STR("kernel", "/var/lib/jitsu/images/www.elf"), LIST("nics", "jt0 52:54:00:12:34:56 br0"),
	       NUM("asked_ago_ms", "61789"), { "conflict", CTL_BOOL, "false" },
	       { "retry_in_ms", CTL_NULL, "" }, STR("last_error", "")),
	NULL,
};

static const struct field *const why_rows[] = {
	FIELDS(STR("state", "up"), NUM("since_ms_ago", "200345"), STR("woken_by", "dns"),
	       STR("woken_by_client", "192.168.1.5"), NUM("woken_ago_ms", "200757"),
	       LIST("kept_up_by",
		    "a query for its name 62 s ago: its TTL of 60 s may still be trusted by whoever asked"),
	       LIST("kept_up_by", "traffic 3 s ago"), NUM("stops_in_ms", "58211"),
	       STR("last_stop_reason", "idle for 2 min"), NUM("last_stop_ago_ms", "7512345"),
	       STR("last_error", "")),
	NULL,
};

static const struct field *const trace_rows[] = {
	FIELDS(NUM("wake", "6"), STR("service", "www"), STR("cause", "dns"), STR("client", "192.168.1.5"),
	       NUM("wall_ms", "1767323045678"), STR("result", "up"), NUM("t_wake_us", "312"),
	       NUM("t_start_us", "1540"), NUM("t_running_us", "61644"), NUM("t_link_us", "74012"),
	       NUM("t_port_us", "97398"), NUM("t_up_us", "97420"), NUM("t_answered_us", "97622")),
	FIELDS(NUM("wake", "7"), STR("service", "www"), STR("cause", "cli"), NUM("wall_ms", "1767323145678"),
	       STR("result", "failed"),
	       STR("reason", "the kernel /var/lib/jitsu/images/www.elf is not there"),
	       NUM("t_wake_us", "120"), NUM("t_start_us", "400"), NUM("t_failed_us", "2000")),
	NULL,
};

static const struct field *const flow_rows[] = {
	FIELDS(STR("service", "www"), STR("proto", "tcp"), STR("client", "192.168.1.5"), NUM("client_port", "40001"),
	       STR("addr", "192.168.1.20"), NUM("port", "80"), NUM("age_ms", "1204"), NUM("newest_ago_ms", "204"),
	       NUM("packets", "2"), STR("state", "booting")),
	FIELDS(NUM("held", "3")),
	NULL,
};

static const struct field *const log_rows[] = {
	FIELDS(NUM("wall_ms", "1767323045678"), STR("level", "info"), STR("process", "launcher"),
	       STR("line", "service=www is up (wake 6, 97 ms)")),
	FIELDS(NUM("wall_ms", "1767323145678"), STR("level", "warn"), STR("process", "local"),
	       STR("line", "service=www the kernel is not there")),
	NULL,
};

static const struct field *const status_rows[] = {
	FIELDS(STR("version", "0.1.0"), NUM("pid", "4711"), NUM("uptime_ms", "93784000"),
	       NUM("services", "4"), NUM("running", "1"), NUM("starting", "1"),
	       NUM("memory_bytes", "16777216"), LIST("processes", "dns: pid 4712"),
	       LIST("processes", "control: pid 4714"),
	       LIST("hypervisors", "local: connected, libvirt 9.0.0, KVM works")),
	NULL,
};

static const struct field *const stats_rows[] = {
	FIELDS(NUM("workers", "2"), NUM("queries_udp4", "70"), NUM("queries_tcp", "0"), NUM("rcode_noerror", "69")),
	NULL,
};

static const struct field *const zone_rows[] = {
	FIELDS(STR("zone", "jitsu.example"), NUM("serial", "2026112201"), STR("file", "/etc/jitsu/jitsu.example.zone"),
	       { "signed", CTL_BOOL, "true" }, STR("phase", "signed"), LIST("secondaries", "192.0.2.1 port 53 key k"),
	       LIST("secondaries", "192.0.2.2 port 53"), STR("mistake", "")),
	FIELDS(STR("zone", "plain.example"), { "serial", CTL_NULL, "" }, STR("file", ""), { "signed", CTL_BOOL, "false" },
	       STR("phase", "off"), { "secondaries", CTL_LIST_EMPTY, "" }, STR("mistake", "line 3: no such type")),
	NULL,
};

static const struct field *const no_rows[] = { NULL };

static const struct field *const *const rows_of[CTL_VERB_N] = {
	[CTL_LIST] = list_rows,     [CTL_SHOW] = show_rows,   [CTL_START] = no_rows,   [CTL_STOP] = no_rows,
	[CTL_WHY] = why_rows,       [CTL_TRACE] = trace_rows, [CTL_CONSOLE] = no_rows, [CTL_LOG] = log_rows,
	[CTL_STATUS] = status_rows, [CTL_RELOAD] = no_rows,   [CTL_FLOWS] = flow_rows,
	[CTL_STATS] = stats_rows,   [CTL_ZONES] = zone_rows,
};

static void send_rows(struct ipc *ch, const struct msg_ctl_request *q)
{
	for (const struct field *const *row = rows_of[q->verb]; *row; row++) {
		struct msg_ctl_row m = { .id = q->id };

		for (const struct field *f = *row; f->key; f++) {
			struct msg_ctl_field *to = &m.fields[m.n_fields++];

			str_copy(to->key, f->key);
			to->kind = (uint8_t)f->kind;
			str_copy(to->value, f->value);
		}
		ipc_send(ch, MSG_CTL_ROW, &m);
	}
}

static void send_console(struct ipc *ch, const struct msg_ctl_request *q)
{
	static const char text[] = "\033[2J\033[1mbooting\033[0m www\r\nready \xc3\xa4\xff\n";
	struct msg_ctl_data m = { .id = q->id, .n = sizeof(text) - 1 };

	memcpy(m.data, text, sizeof(text) - 1);
	ipc_send(ch, MSG_CTL_DATA, &m);
}

/* To whoever watches, `n` of them. */
static void send_events(struct ipc *ch, uint32_t n)
{
	static uint64_t number;
	struct msg_ctl_event m = { .event = CTL_EVENT_STATE, .service = "www", .state = STATE_UP, .before = STATE_BOOTING,
				   .text = "a reason of some length, as there are many of" };

	for (; n > 0; n--) {
		m.number = ++number;
		ipc_send(ch, MSG_CTL_EVENT, &m);
	}
}

/* Knows the services of list_rows; a service of another name is not there; reload breaks.  Each `log` with -n brings
 * so many events. */
static void launcher_answer(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	const struct msg_ctl_request *q = body;
	struct msg_ctl_end end = { 0 };

	(void)arg;
	(void)fd;
	if (type == MSG_CTL_WATCH) {
		struct msg_ctl_event begin = { .event = CTL_EVENT_BEGIN };

		ipc_send(ch, MSG_CTL_EVENT, &begin);
	}
	if (type != MSG_CTL_REQUEST)
		return;
	if (q->verb == CTL_LOG)
		send_events(ch, q->n);
	end.id = q->id;
	if (q->service[0] && strcmp(q->service, "www") != 0) {
		end.error = -ENOENT;
		snprintf(end.text, sizeof(end.text), "there is no service \"%s\"; did you mean \"www\"?",
			 q->service);
	} else if (q->verb == CTL_CONSOLE) {
		send_console(ch, q);
	} else {
		send_rows(ch, q);
	}
	if (!q->follow)
		ipc_send(ch, MSG_CTL_END, &end);
}

static void launcher_end(void *arg, struct ipc *ch, int error)
{
	(void)ch;
	(void)error;
	event_base_loopbreak(arg);
}

static void run_launcher(int fd)
{
	struct event_base *base = event_base_new();
	struct ipc *ch = ipc_new(base, fd, launcher_answer, launcher_end, base);

	ipc_send(ch, MSG_BEGIN, NULL);
	ipc_send(ch, MSG_END, NULL);
	event_base_dispatch(base);
	_exit(0);
}

/* ---- the processes ---- */

struct world {
	char dir[64], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pid_t control, launcher;
	int supervisor; /* our end of control's channel to the supervisor */
};

static void run_control(int fd, const char *dir)
{
	struct child_args args = {
		.role = ROLE_CONTROL, .log_level = "warn", .readers_gid = getgid(), .admins_gid = getgid()
	};

	if (geteuid() == 0) {
		args.uid = args.gid = NOBODY;
		args.chroot_dir = dir;
	}
	if (fd != CHILD_SUPERVISOR_FD)
		dup2(fd, CHILD_SUPERVISOR_FD);
	_exit(control_main(&args));
}

static pid_t fork_with_parent(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void tell(int sock, enum msg_type type, const void *body, int fd)
{
	char packet[IPC_PACKET_MAX], room[CMSG_SPACE(sizeof(int))] = { 0 };
	ssize_t n = ipc_encode(type, body, packet, sizeof(packet));
	struct iovec iov = { packet, (size_t)n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(n > 0);
	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = room;
		m.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &m, MSG_NOSIGNAL), n);
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	str_copy(sa.sun_path, path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 64), 0);
	chmod(path, 0666);
	return fd;
}

static void start_launcher(struct world *w)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	w->launcher = fork_with_parent();
	if (w->launcher == 0) {
		close(fds[0]);
		run_launcher(fds[1]);
	}
	tell(w->supervisor, MSG_PEER, &peer, fds[0]);
	close(fds[0]);
	close(fds[1]);
}

static void start(struct world *w, const char *path)
{
	struct msg_listen where = { .proto = LISTEN_UNIX };
	int fds[2], fd;

	str_copy(w->dir, "/tmp/jitsu-control-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	str_copy(w->path, path);
	if (!*path)
		snprintf(w->path, sizeof(w->path), "%s.sock", w->dir);
	assert_int_equal(ipc_pair(fds), 0);
	w->control = fork_with_parent();
	if (w->control == 0)
		run_control(fds[1], w->dir);
	close(fds[1]);
	w->supervisor = fds[0];
	fd = listen_at(w->path);
	tell(w->supervisor, MSG_LISTEN, &where, fd);
	close(fd);
}

static int exit_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void kill_launcher(struct world *w)
{
	kill(w->launcher, SIGKILL);
	exit_status(w->launcher);
}

/* What the control process says to the supervisor, within WAIT_MS; 0 when nothing. */
static enum msg_type heard(struct world *w)
{
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];
	struct pollfd p = { .fd = w->supervisor, .events = POLLIN };
	char packet[IPC_PACKET_MAX];
	enum msg_type type;
	ssize_t n;

	if (poll(&p, 1, WAIT_MS) <= 0)
		return 0;
	n = recv(w->supervisor, packet, sizeof(packet), 0);
	return n > 0 && ipc_decode(packet, (size_t)n, &type, body) == 0 ? type : 0;
}

static void stop(struct world *w)
{
	tell(w->supervisor, MSG_STOP, NULL, -1);
	assert_int_equal(exit_status(w->control), 0);
	kill_launcher(w);
	close(w->supervisor);
	unlink(w->path);
	rmdir(w->dir);
}

/* ---- jitsuctl ---- */

struct output {
	int status;
	char out[16384], err[4096];
};

static void slurp(FILE *f, char *to, size_t size)
{
	rewind(f);
	to[fread(to, 1, size - 1, f)] = '\0';
	fclose(f);
}

/* BUILD/tests/control/test_process knows where BUILD/jitsuctl is. */
static void jitsuctl_path(char *to, size_t size)
{
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	snprintf(to, size, "%s/jitsuctl", self);
}

static struct output jitsuctl(struct world *w, const char *const *args)
{
	FILE *out = tmpfile(), *err = tmpfile();
	static struct output o;
	const char *argv[16] = { "jitsuctl" };
	char program[600];
	pid_t pid;

	jitsuctl_path(program, sizeof(program));
	for (size_t i = 0; i < 14 && args[i]; i++)
		argv[i + 1] = args[i];
	pid = fork_with_parent();
	if (pid == 0) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		setenv("JITSU_SOCKET", w->path, 1);
		setenv("COLUMNS", "80", 1);
		setenv("LC_ALL", "C", 1);
		setenv("TZ", "UTC", 1);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	o.status = exit_status(pid);
	slurp(out, o.out, sizeof(o.out));
	slurp(err, o.err, sizeof(o.err));
	return o;
}

#define JITSUCTL(w, ...) jitsuctl(w, (const char *const[]){ __VA_ARGS__, NULL })

static int setup(void **state)
{
	static struct world w;

	start(&w, "");
	start_launcher(&w);
	assert_int_equal(heard(&w), MSG_READY);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	stop(*state);
	return 0;
}

static void assert_contains(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
}

static void assert_fits(const char *text, size_t width)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		if (n > width)
			fail_msg("a line of %zu columns: %.*s", n, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static void test_list_is_a_table_of_80_columns(void **state)
{
	struct output o = JITSUCTL(*state, "list");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "NAME");
	assert_contains(o.out, "www   ");
	assert_contains(o.out, "3m20s");
	assert_contains(o.out, "cannot open kernel");
	assert_fits(o.out, 80);
	assert_string_equal(o.err, "");
}

static void test_json_is_an_object_per_line(void **state)
{
	struct output o = JITSUCTL(*state, "--json", "list");
	unsigned lines = 0;

	assert_int_equal(o.status, 0);
	for (char *line = strtok(o.out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		struct json_place at;
		struct err e;
		struct json *doc = json_parse(line, strlen(line), &at, &e);

		assert_non_null(doc);
		assert_non_null(json_get(json_root(doc), "name"));
		assert_int_equal(json_type(json_get(json_root(doc), "ip")), JSON_ARRAY);
		json_free(doc);
	}
	assert_int_equal(lines, 4);
}

static void test_show_why_status_log_say_what_the_rows_say(void **state)
{
	struct output o = JITSUCTL(*state, "show", "www");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "idle timeout      2 min\n");
	assert_contains(o.out, "memory            16 MiB\n");
	assert_contains(o.out, "asked             1 min 1 s ago\n");
	assert_contains(o.out, "ready             tcp\n                  delay:50\n");
	o = JITSUCTL(*state, "why", "www");
	assert_contains(o.out, "www has been up for 3 min 20 s.\n");
	assert_contains(o.out, "It was last woken by dns from 192.168.1.5, 3 min 20 s ago.\n");
	assert_contains(o.out, "  - traffic 3 s ago\n");
	assert_contains(o.out, "It stops in 58 s");
	assert_fits(o.out, 80);
	o = JITSUCTL(*state, "status");
	assert_contains(o.out, "uptime            1 d 2 h\n");
	o = JITSUCTL(*state, "log", "-n", "2");
	assert_contains(o.out, "03:04:05.678 info launcher: service=www is up (wake 6, 97 ms)\n");
}

static void test_trace_draws_each_wake(void **state)
{
	struct output o = JITSUCTL(*state, "trace", "www", "-n", "3");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "up in 97.4 ms\n");
	assert_contains(o.out, "  total          97.6 ms\n");
	assert_contains(o.out, "failed\n");
	assert_contains(o.out, "  failed          1.6  ");
	assert_contains(o.out, "is not there");
	assert_fits(o.out, 80);
}

static void test_flows_are_a_table_with_the_rest_counted(void **state)
{
	struct output o = JITSUCTL(*state, "flows");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "SERVICE");
	assert_contains(o.out, "192.168.1.5:40001");
	assert_contains(o.out, "\n2 more are held and not shown\n");
	assert_fits(o.out, 80);
	o = JITSUCTL(*state, "flows", "www", "-n", "1", "--json");
	assert_contains(o.out, "\"client_port\":40001");
	assert_contains(o.out, "{\"held\":3}\n");
}

static void test_stats_are_a_table(void **state)
{
	struct output o = JITSUCTL(*state, "stats");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "queries udp4       70\n");
	assert_null(strstr(o.out, "tcp"));
	o = JITSUCTL(*state, "stats", "--json");
	assert_contains(o.out, "\"queries_tcp\":0,");
}

static void test_zones_are_a_table(void **state)
{
	struct output o = JITSUCTL(*state, "zones");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "jitsu.example  2026112201  signed  192.0.2.1");
	assert_contains(o.out, "plain.example           -  no      -");
	assert_contains(o.out, "\nplain.example: line 3: no such type\n");
	assert_fits(o.out, 80);
	o = JITSUCTL(*state, "zones", "--json");
	assert_contains(o.out, "\"signed\":true");
	assert_contains(o.out, "\"secondaries\":[]");
}

static void test_top_is_one_table_where_there_is_no_terminal(void **state)
{
	struct output o = JITSUCTL(*state, "top");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "NAME");
	assert_contains(o.out, "\nwww ");
	assert_null(strchr(o.out, '\033'));
	assert_fits(o.out, 80);
	o = JITSUCTL(*state, "top", "--json");
	assert_contains(o.out, "{\"name\":\"www\"");
}

static void test_watch_ends_after_so_many(void **state)
{
	struct output o = JITSUCTL(*state, "watch", "-n", "1");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "from here on every event is shown\n");
	o = JITSUCTL(*state, "watch", "nobody");
	assert_int_equal(o.status, 1);
	assert_contains(o.err, "there is no service");
}

/* ---- many who watch ---- */

enum {
	WATCHERS_MOST = 1000,
	ROUNDS = 20, /* of EVENTS events */
	EVENTS = 1000,
	ROOM_KIB = 48 * 1024, /* what they all may cost in control */
};

static int watch(const struct world *w)
{
	static const char ask[] = "{\"version\":1,\"id\":1,\"do\":\"watch\"}\n";
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	str_copy(sa.sun_path, w->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL), sizeof(ask) - 1);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1); /* it has a place */
	return fd;
}

/* What one of them read. */
struct heard {
	uint64_t events, missed, last; /* the last one's number */
	unsigned begins;
};

static void hear_line(const char *line, size_t n, struct heard *h)
{
	struct json_place at;
	struct err e;
	struct json *doc = json_parse(line, n, &at, &e);
	const struct json_node *row = doc ? json_get(json_root(doc), "row") : NULL, *v;
	int64_t number = -1;

	if (!row)
		fail_msg("not a row: %.*s", (int)n, line);
	v = json_get(row, "missed");
	if (v) {
		assert_int_equal(json_integer(v, &number), 0);
		h->missed += (uint64_t)number;
	} else {
		assert_int_equal(json_integer(json_get(row, "number"), &number), 0);
		if (strcmp(json_string(json_get(row, "event")), "begin") == 0) {
			h->begins++;
		} else {
			assert_true((uint64_t)number > h->last);
			h->last = (uint64_t)number;
			h->events++;
		}
	}
	json_free(doc);
}

/* Reads what there is, and on until event `last` has come, or 0: until there is no more. */
static void read_events(int fd, uint64_t last, struct buf *in, struct heard *h)
{
	char chunk[65536];
	ssize_t n;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const char *at, *end;

		if (last && h->last >= last)
			return;
		if (poll(&p, 1, last ? WAIT_MS : 0) <= 0) {
			assert_int_equal(last, 0);
			return;
		}
		n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		assert_true(n > 0);
		buf_add(in, chunk, (size_t)n);
		for (at = in->text; (end = memchr(at, '\n', in->n - (size_t)(at - in->text))); at = end + 1)
			hear_line(at, (size_t)(end - at), h);
		n = (ssize_t)(in->text + in->n - at);
		memmove(in->text, at, (size_t)n + 1);
		in->n = (size_t)n;
	}
}

static uint64_t resident_kib(pid_t pid)
{
	char path[64], line[128];
	unsigned long long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
			break;
	}
	fclose(f);
	assert_true(kib > 0);
	return kib;
}

/* Descriptors for all of them. */
static size_t watchers_possible(void)
{
	struct rlimit limit;

	if (geteuid() != 0)
		return 100;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)2048);
	setrlimit(RLIMIT_NOFILE, &limit);
	return MIN((size_t)WATCHERS_MOST, (size_t)limit.rlim_cur - 100);
}

/* All but two never read; one reads as it comes, another one only at the end. */
static void test_a_thousand_watchers_delay_nobody(void **state)
{
	struct world *w = *state;
	size_t n = watchers_possible();
	int fds[WATCHERS_MOST] = { 0 };
	struct heard first = { 0 }, second = { 0 };
	cleanup_buf struct buf in = { 0 }, in_second = { 0 };
	uint64_t before, after, longest = 0;

	assert_true(n >= 2);
	for (size_t i = 0; i < n; i++)
		fds[i] = watch(w);
	before = resident_kib(w->control);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin = clock_now_ms(), took;
		struct output o = JITSUCTL(w, "log", "-n", "1000");

		assert_int_equal(o.status, 0);
		took = clock_now_ms() - begin;
		longest = MAX(longest, took);
		read_events(fds[0], 0, &in, &first);
	}
	read_events(fds[0], ROUNDS * EVENTS, &in, &first);
	after = resident_kib(w->control);
	assert_int_equal(first.events + first.missed, ROUNDS * EVENTS);
	read_events(fds[1], ROUNDS * EVENTS, &in_second, &second);
	print_message("%zu watchers, %d events: %llu KiB before, %llu after; a request took %llu ms at most; one read %llu, "
		      "missed %llu; one that slept read %llu, missed %llu\n",
		      n, ROUNDS * EVENTS, (unsigned long long)before, (unsigned long long)after, (unsigned long long)longest,
		      (unsigned long long)first.events, (unsigned long long)first.missed, (unsigned long long)second.events,
		      (unsigned long long)second.missed);
	assert_int_equal(second.events + second.missed, ROUNDS * EVENTS);
	assert_true(second.missed > 0);
	assert_int_equal(second.begins, 1);
#ifndef JITSU_SANITIZED
	assert_true(after < before + ROOM_KIB);
#endif
	assert_true(longest < WAIT_MS);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void test_console_passes_bytes_when_it_is_no_terminal(void **state)
{
	struct output o = JITSUCTL(*state, "console", "www");

	assert_int_equal(o.status, 0);
	assert_string_equal(o.out, "\033[2J\033[1mbooting\033[0m www\r\nready \xc3\xa4\xff\n");
	o = JITSUCTL(*state, "console", "www", "--json");
	assert_contains(o.out, "{\"base64\":\"G1sySh");
}

static void test_start_and_stop_tell_the_state_after_it(void **state)
{
	struct output o = JITSUCTL(*state, "start", "www");

	assert_int_equal(o.status, 0);
	assert_string_equal(o.out, "www is up\n");
	o = JITSUCTL(*state, "stop", "nobody");
	assert_int_equal(o.status, 1);
	assert_string_equal(o.out, "");
	assert_contains(o.err, "did you mean \"www\"?");
}

static void test_wrong_use_exits_2_with_a_hint(void **state)
{
	static const struct {
		const char *args[4], *hint;
	} cases[] = {
		{ { "lits" }, "did you mean \"list\"?" },
		{ { "xyzzy" }, "there is no command \"xyzzy\"" },
		{ { "show" }, "show needs the name of a service" },
		{ { "list", "www" }, "list takes no argument" },
		{ { "show", "a", "b" }, "show takes one name alone" },
		{ { "list", "-f" }, "list takes no -f" },
		{ { "show", "www", "-n3" }, "show takes no -n" },
		{ { "log", "--raw" }, "log takes no --raw" },
		{ { "trace", "-n", "many" }, "-n: expected 1..1000, got \"many\"" },
		{ { "trace", "-n", "1001" }, "-n: expected 1..1000" },
		{ { "log", "-n" }, "-n needs a value" },
		{ { "log", "-q" }, "there is no option -q" },
		{ { "log", "--folow" }, "did you mean --follow?" },
		{ { "help", "lgo" }, "did you mean \"log\"?" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct output o = jitsuctl(*state, cases[i].args);

		assert_int_equal(o.status, 2);
		assert_string_equal(o.out, "");
		assert_contains(o.err, cases[i].hint);
	}
}

static void test_help_and_version_need_no_daemon(void **state)
{
	struct output o = JITSUCTL(*state, "--help");

	assert_int_equal(o.status, 0);
	assert_contains(o.out, "console");
	assert_fits(o.out, 80);
	o = JITSUCTL(*state, "help", "trace");
	assert_contains(o.out, "trace [NAME] [-n N]");
	o = JITSUCTL(*state, "--version");
	assert_int_equal(o.status, 0);
	assert_contains(o.out, "jitsuctl ");
}

static void test_an_absent_socket_says_what_to_do(void **state)
{
	struct output o = JITSUCTL(*state, "-S", "/nonexistent/control.sock", "list");

	assert_int_equal(o.status, 1);
	assert_contains(o.err, "jitsud does not run, or uses another run_dir");
}

static void test_requests_survive_a_launcher_that_dies(void **state)
{
	struct world *w = *state;
	struct output o;

	kill_launcher(w);
	start_launcher(w);
	o = JITSUCTL(w, "list");
	assert_int_equal(o.status, 0);
	assert_contains(o.out, "www");
}

/* ---- by hand ---- */

static void wake_up(int sig) { (void)sig; }

static int serve(const char *path)
{
	struct world w = { 0 };

	start(&w, path);
	start_launcher(&w);
	printf("serving at %s\n", path);
	fflush(stdout);
	signal(SIGTERM, wake_up);
	signal(SIGINT, wake_up);
	pause();
	stop(&w); /* PR_SET_PDEATHSIG does not outlive the change of user */
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list_is_a_table_of_80_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json_is_an_object_per_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_show_why_status_log_say_what_the_rows_say, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_trace_draws_each_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows_are_a_table_with_the_rest_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats_are_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zones_are_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_top_is_one_table_where_there_is_no_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_ends_after_so_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thousand_watchers_delay_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_console_passes_bytes_when_it_is_no_terminal, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_start_and_stop_tell_the_state_after_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_use_exits_2_with_a_hint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_help_and_version_need_no_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_absent_socket_says_what_to_do, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_survive_a_launcher_that_dies, setup, teardown),
	};

	if (argc == 3 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
