/* Network namespaces of a test's own: they vanish with the test. */
#ifndef TESTS_NETNS_H
#define TESTS_NETNS_H

#include <sched.h>
#include <stdarg.h>

#include "base/util.h"

/* Runs a command of iproute2; 0 when it did its work. */
__attribute__((unused)) static int ip_run(const char *fmt, ...) PRINTF_LIKE(1, 2);
static int ip_run(const char *fmt, ...)
{
	char line[512] = "PATH=$PATH:/sbin:/usr/sbin; ";
	size_t n = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	return system(line) == 0 ? 0 : -EIO;
}

/* From now on this process is in an empty network namespace.  False, with the reason on stdout,
 * when that is not allowed here: the test should skip. */
__attribute__((unused)) static bool netns_enter(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("skipped: needs root and a network namespace of its own\n");
		return false;
	}
	if (ip_run("ip link set lo up") < 0) {
		printf("skipped: needs the ip command (package iproute2)\n");
		return false;
	}
	return true;
}

/* The same for root; others stay where they are, and can do what needs no root. */
__attribute__((unused)) static bool netns_enter_as_root(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNET) < 0) {
		printf("skipped: root, and yet no network namespace of its own\n");
		return false;
	}
	return true;
}

#endif
