#include "cmd/notify.h"

#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"

enum { WATCHDOG_MIN_MS = 100 };

void notify_send(const char *state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	cleanup_close int fd = -1;
	socklen_t n;

	if (!path || !*path || !str_copy(sun.sun_path, path))
		return;
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	/* It waits for nobody: the caller's loop serves others. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&sun, n) < 0)
		log_limited(LOG_WARN, "cannot notify the service manager: %s", strerror(errno));
}

void notify_reloading(void)
{
	struct timespec now;
	char state[64];

	clock_gettime(CLOCK_MONOTONIC, &now); /* systemd compares it with its own: never a test's clock */
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	notify_send(state);
}

static bool parse(const char *text, uint64_t *out)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && !*end;
}

uint64_t notify_watchdog_ms(void)
{
	const char *watched = getenv("WATCHDOG_PID");
	uint64_t usec, pid;

	if (!parse(getenv("WATCHDOG_USEC"), &usec) || usec == 0)
		return 0;
	if (watched && (!parse(watched, &pid) || pid != (uint64_t)getpid()))
		return 0;
	return MAX(usec / 1000, WATCHDOG_MIN_MS);
}
