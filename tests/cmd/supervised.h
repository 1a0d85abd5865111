/* A supervisor whose processes follow a script: it runs the test's very program for each role. */
#ifndef TESTS_CMD_SUPERVISED_H
#define TESTS_CMD_SUPERVISED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/log.h"
#include "config/load.h"
#include "cmd/supervisor.h"

/* ---- a process ---- */

static const char *my_role;

static void on_end(void *arg, struct ipc *ch, int error)
{
	(void)arg;
	(void)ch;
	(void)error;
	exit(0);
}

/* The exit status of one of this role, which answers what the supervisor says with `on_msg`. */
static int play(const char *role, ipc_msg_fn *on_msg, bool is_ready)
{
	struct event_base *base = event_base_new();
	struct ipc *ch;

	my_role = role;
	signal(SIGINT, SIG_IGN);
	ch = base ? ipc_new(base, CHILD_SUPERVISOR_FD, on_msg, on_end, NULL) : NULL;
	if (!ch || (is_ready && ipc_send(ch, MSG_READY, NULL) < 0))
		return 1;
	return event_base_dispatch(base) < 0;
}

/* ---- the supervisor ---- */

static char dir[64]; /* all that it writes is below */
static pid_t supervisor;

static int make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/jitsu-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

/* `prepare` is called in the new process. */
static pid_t start_supervisor(void (*prepare)(void))
{
	cleanup_buf struct buf text = { 0 }, mistakes = { 0 };
	struct conf *conf;
	pid_t pid;

	buf_addf(&text,
		 "{\"listen\":[\"127.0.0.1:53\"],\"zones\":[{\"name\":\"z\",\"ns\":[\"n.z\"]}],\"run_dir\":\"%s/run\","
		 "\"state_dir\":\"%s/state\",\"users\":{\"dns\":\"nobody\",\"net\":\"nobody\",\"control\":\"nobody\","
		 "\"readers\":\"nogroup\",\"admins\":\"nogroup\"}}",
		 dir, dir);
	conf = conf_parse("t.json", text.text, text.n, &mistakes);
	if (!conf)
		fail_msg("%s", mistakes.text);
	pid = fork();
	if (pid == 0) {
		prepare();
		log_init("jitsud", LOG_ERROR);
		_exit(supervisor_run(conf, "/nowhere/t.json"));
	}
	conf_free(conf);
	assert_true(pid > 0);
	return pid;
}

static int exit_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 0 when it stopped as it should; `dir` is gone. */
static int stop_supervisor(void)
{
	char line[128];
	int status;

	kill(supervisor, SIGTERM);
	status = exit_status(supervisor);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line) != 0 || status != 0;
}

#endif
