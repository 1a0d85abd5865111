/* Reads frames from a TAP and forgets them: what a process cannot do cheaper that wants to see each.
 *
 *     discard IFNAME
 *
 * Makes the TAP, as jitsud makes its own, prints "ready" and goes on until it is ended.  How many
 * frames it has read is in the TAP's own counters (tx_packets).
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/util.h"

enum { FRAME_BYTES = 2048 };

static int make_tap(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	if (fd < 0 || !str_copy(r.ifr_name, name) || ioctl(fd, TUNSETIFF, &r) < 0)
		fd_close(&fd);
	return fd;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? make_tap(argv[1]) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t frame[FRAME_BYTES];

	if (fd < 0) {
		perror("discard");
		return 2;
	}
	printf("ready\n");
	fflush(stdout);
	while (poll(&p, 1, -1) > 0) {
		while (read(fd, frame, sizeof(frame)) > 0)
			;
	}
	return 1;
}
