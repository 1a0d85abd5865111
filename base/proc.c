#include "base/proc.h"

#include <poll.h>
#include <sys/syscall.h>

#include "base/util.h"

int proc_open(pid_t pid, proc_is_fn *is, void *arg)
{
	int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd >= 0 && is && !is(arg, pid))
		fd_close(&fd);
	return fd;
}

void proc_signal(int pidfd, int sig) { syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0); }

bool proc_wait(int pidfd, unsigned ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, (int)ms) > 0;
}
