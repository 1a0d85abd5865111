/* The supervisor with processes that follow a script.  It runs this very program for each role, which
 * writes what it hears, a line each, into a pipe that the test reads:
 *
 *     launcher 4711 MSG_KEPT tap 123        role, pid, message, name, inode of the descriptor
 *
 * The first launcher has some descriptors kept; a later one hears of them. */
#include "tests/cmd/supervised.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define REPORT "JITSU_TEST_REPORT"

enum { WAIT_MS = 20000, LINE_MAX_BYTES = 256, FILES_FEW = 256, FILES_MANY = 4096 };

/* ---- a process ---- */

static unsigned n_kept;

static unsigned long inode(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

static void report(const char *what, const char *name, int fd)
{
	const char *path = getenv(REPORT);
	cleanup_close int out = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	if (out >= 0)
		dprintf(out, "%s %d %s %s %lu\n", my_role, (int)getpid(), what, name[0] ? name : "-", inode(fd));
}

static void keep(struct ipc *ch, const char *name, bool with_fd)
{
	struct msg_keep m = { .name = "" };
	cleanup_close int fd = with_fd ? memfd_create(name, MFD_CLOEXEC) : -1;

	str_copy(m.name, name);
	report("keeps", name, fd);
	if (fd >= 0)
		ipc_send_fd(ch, MSG_KEEP, &m, fd);
	else
		ipc_send(ch, MSG_KEEP, &m);
}

/* "a" twice, "b" and not after all, nothing without a name; then a socket that nobody can open, whose
 * failure comes back when all before it was heard. */
static void first_launcher(struct ipc *ch)
{
	struct msg_listen nowhere = { .proto = LISTEN_UDP, .port = 53 };

	keep(ch, "b", true);
	keep(ch, "a", true);
	keep(ch, "a", true);
	keep(ch, "b", false);
	keep(ch, "", true);
	ipc_send(ch, MSG_WANT_END, NULL);
	ip_parse("203.0.113.1", &nowhere.addr);
	ipc_send(ch, MSG_WANT_LISTEN, &nowhere);
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	const struct msg_keep *kept = body;

	(void)arg;
	if (type == MSG_STOP)
		exit(0);
	report(msg_name(type), type == MSG_KEPT ? kept->name : "", *fd);
	if (type != MSG_KEPT)
		return;
	if (kept->name[0])
		n_kept++;
	else if (n_kept == 0)
		first_launcher(ch);
}

/* ---- the test ---- */

static FILE *reports;

static void have_few_files(void) { setrlimit(RLIMIT_NOFILE, &(struct rlimit){ FILES_FEW, FILES_MANY }); }

static int setup(void **state)
{
	char path[128];
	int fd;

	(void)state;
	if (geteuid() != 0)
		return 0;
	if (make_dir() < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/report", dir);
	if (mkfifo(path, 0600) < 0 || setenv(REPORT, path, 1) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC); /* never at its end: we could write, too */
	reports = fd < 0 ? NULL : fdopen(fd, "r+");
	if (!reports)
		return -1;
	setvbuf(reports, NULL, _IONBF, 0);
	supervisor = start_supervisor(have_few_files);
	return 0;
}

static int teardown(void **state)
{
	int r;

	(void)state;
	if (geteuid() != 0)
		return 0;
	r = stop_supervisor();
	fclose(reports); /* processes write into it until then */
	return r;
}

struct heard {
	pid_t pid;
	char what[64], name[64];
	unsigned long inode;
};

static pid_t dead; /* what is still in the pipe of it does not count */

/* The next thing that this role reports; others' are passed over. */
static struct heard next_of(const char *role)
{
	char line[LINE_MAX_BYTES], who[32];
	struct heard h;
	int pid;

	for (;;) {
		struct pollfd p = { .fd = fileno(reports), .events = POLLIN };

		if (poll(&p, 1, WAIT_MS) != 1 || !fgets(line, sizeof(line), reports))
			fail_msg("%s said nothing", role);
		if (sscanf(line, "%31s %d %63s %63s %lu", who, &pid, h.what, h.name, &h.inode) != 5)
			fail_msg("%s", line);
		h.pid = pid;
		if (strcmp(who, role) == 0 && pid != dead)
			return h;
	}
}

static struct heard expect(const char *role, const char *what)
{
	struct heard h = next_of(role);

	if (strcmp(h.what, what) != 0)
		fail_msg("%s: %s instead of %s", role, h.what, what);
	return h;
}

static void end(const struct heard *h)
{
	dead = h->pid;
	assert_int_equal(kill(dead, SIGKILL), 0);
}

static void test_held_packets_outlive_synproxy(void **state)
{
	struct heard first, second;

	(void)state;
	if (geteuid() != 0)
		skip();
	first = expect("synproxy", msg_name(MSG_HOLD_MEMORY));
	assert_true(first.inode != 0);
	expect("synproxy", msg_name(MSG_PEER));
	end(&first);
	second = expect("synproxy", msg_name(MSG_HOLD_MEMORY));
	assert_int_equal(second.inode, first.inode);
	expect("synproxy", msg_name(MSG_PEER));
}

static void test_kept_descriptors_outlive_the_launcher(void **state)
{
	unsigned long kept = 0;
	unsigned processes = 0;
	struct heard h;

	(void)state;
	if (geteuid() != 0)
		skip();
	expect("launcher", msg_name(MSG_SLOTS));
	h = expect("launcher", msg_name(MSG_KEPT));
	assert_string_equal(h.name, "-"); /* nothing was kept before */
	for (int i = 0; i < 5; i++) {
		h = expect("launcher", "keeps");
		if (strcmp(h.name, "a") == 0)
			kept = h.inode;
	}
	do {
		h = next_of("launcher");
		processes += strcmp(h.what, msg_name(MSG_PROCESS)) == 0;
	} while (strcmp(h.what, msg_name(MSG_PEER)) == 0 || strcmp(h.what, msg_name(MSG_PROCESS)) == 0);
	assert_true(processes >= 2); /* the supervisor, and the launcher itself */
	assert_string_equal(h.what, msg_name(MSG_WANT_FAILED));
	for (int i = 0; i < 2; i++) { /* not for one successor only */
		end(&h);
		expect("launcher", msg_name(MSG_SLOTS));
		h = expect("launcher", msg_name(MSG_KEPT));
		assert_string_equal(h.name, "a");
		assert_int_equal(h.inode, kept);
		h = expect("launcher", msg_name(MSG_KEPT));
		assert_string_equal(h.name, "-");
		expect("launcher", msg_name(MSG_PROCESS)); /* who runs, before it meets anybody */
		do
			h = next_of("launcher");
		while (strcmp(h.what, msg_name(MSG_PROCESS)) == 0);
		assert_string_equal(h.what, msg_name(MSG_PEER));
	}
}

/* Started by hand it has as many as under a service manager: hosts have more VMs than a shell has descriptors. */
static void test_processes_have_room_for_descriptors(void **state)
{
	struct rlimit files;
	struct heard h;

	(void)state;
	if (geteuid() != 0)
		skip();
	h = expect("launcher", msg_name(MSG_SLOTS));
	assert_int_equal(prlimit(h.pid, RLIMIT_NOFILE, NULL, &files), 0);
	assert_int_equal(files.rlim_cur, FILES_MANY);
}

static void test_a_second_one_does_not_start(void **state)
{
	pid_t second;

	(void)state;
	if (geteuid() != 0)
		skip();
	expect("control", msg_name(MSG_LISTEN)); /* the first has the lock */
	second = start_supervisor(have_few_files);
	assert_int_equal(exit_status(second), 1);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_held_packets_outlive_synproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_descriptors_outlive_the_launcher, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes_have_room_for_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_second_one_does_not_start, setup, teardown),
	};

	if (argc > 2 && strcmp(argv[1], "--role") == 0)
		return play(argv[2], on_msg, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
