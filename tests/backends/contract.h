/* What the cases of the backend contract (test_contract.c) have in common: a process under test, what is said to it
 * and heard of it, a message at a time, and the domains that they are about.
 */
#ifndef TESTS_BACKENDS_CONTRACT_H
#define TESTS_BACKENDS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/backend.h"
#include "base/clock.h"

enum { WAIT_MS = 120000, TAPS = 4, QUIET_MS = 300 };

#define UUID_OF(n) "9b4c2e1a-0000-4000-8000-00000000000" n
#define EXISTING "existing"
#define EXISTING_UUID UUID_OF("e")

/* Which backend it is, and where things are. */
struct suite {
	bool libvirt, daemon, xen;
	const char *program, *kernel, *isolation, *machine;
	char dir[64], root[96], kernel_arm64[4096];
	char uri[160], pid_dir[128];
	pid_t libvirtd;
};
extern struct suite suite;

struct process {
	pid_t pid;
	int supervisor, launcher; /* our ends */
	uint32_t last_req;
};
extern struct process be;

/* The last message that came, and a descriptor that came with it, or -1. */
union message {
	struct msg_be_hello hello;
	struct msg_be_result result;
	struct msg_be_domain domain;
	struct msg_be_event event;
	struct msg_be_guest guest;
	struct msg_log log;
	char room[MSG_BODY_MAX];
};
extern union message got;
extern int got_fd;

/* ---- the process ---- */

int begin_process(void **state); /* it runs, and a launcher has met it */
int end_process(void **state); /* it ends when it is told to, with 0 */
void run_process(void); /* one that nobody has met yet */
void kill_process(void);
void connect_launcher(void); /* a new channel, as after a restart of the launcher */

/* ---- a message at a time ---- */

void say(enum msg_type type, const void *body);
void say_fd(int sock, enum msg_type type, const void *body, int pass);
enum msg_type hear(unsigned ms); /* the next message but logs, in `got`; 0 when none came */
void hear_until(enum msg_type wanted); /* what else comes is dropped, but events are kept: they come when they like */
void keep_event(void);
void forget_events(void);
const struct msg_be_event *hear_event(const char *name, enum domain_event what); /* kept, or still to come */

/* ---- requests ---- */

/* Machine `i`, "jitsu-tI", as START has it; with the next request's number. */
struct msg_be_start machine(unsigned i);
/* Where its NIC is on our side: on a tap that was there, or on what Xen made for it. */
const char *port_of(unsigned i, int32_t id);
/* The request's number.  `how`: enum stop_how, enum inspect_what. */
uint32_t ask(enum msg_type type, const char *domain, unsigned how);
const struct msg_be_result *hear_result(uint32_t req);
void expect(uint32_t req, int error); /* that result, with a reason if it is one */
void expect_error(uint32_t req); /* whichever */
void start(const struct msg_be_start *m);
void stop(const char *domain);
void start_existing(uint32_t *req);
void start_fresh(uint32_t *req); /* nothing saved is restored */
/* The row of `name` in a LIST; state DOMAIN_STATE_N when it is not in there. */
struct msg_be_domain row_of(const char *name);
bool console_says(const char *name, const char *what);

/* ---- the host ---- */

bool make_bridge(const char *name);
void remove_bridge(const char *name); /* one that is down, as it was made */
int cannot(const char *why); /* 77 */

/* ---- cases: how many failed, or 77 ---- */

int run_common(const char *name); /* for every backend */
int run_saves(void); /* where machines can be saved */
int run_many_requests(void);
int run_with_definitions(const char *name); /* where a domain that is off is still known */
int run_with_guests(void); /* in QEMU */
int run_libvirt(void);
int run_xen(void);

/* Of backends with real guests. */
void test_guests_outlive_the_process(void **state);
void test_console_is_kept(void **state);

#endif
