/* The measurements of the Xen benchmark that need a program, in dom0: one per run, printed in ms.
 *
 *     xen create TYPE KERNEL BRIDGE SCRIPT MAC   libxl's creation of a domain (pv, pvh) whose vif is hot-plugged by
 *                                                SCRIPT; the domain is destroyed again
 *     xen raw NETNS CONFIG IP                    from the exec of "xl create CONFIG" (in NETNS) to the first byte of
 *                                                the page; whoever runs this destroys the domain
 *
 * "-1" is printed for a failure, with the reason on stderr.  For `raw` the client asks by ARP every few milliseconds,
 * so that no timer of its own is part of what is measured, and connects again at once while the port is closed.
 */
#define LIBXL_API_VERSION 0x041300
#include <arpa/inet.h>
#include <fcntl.h>
#include <libxl.h>
#include <libxl_utils.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/bench/page.h"

enum { LIMIT_MS = 120000, ASK_EVERY_MS = 5, MEMORY_KB = 8 * 1024 };

/* ---- libxl alone ---- */

static void describe(libxl_ctx *ctx, char **argv, libxl_domain_config *c)
{
	libxl_device_nic *nic = calloc(1, sizeof(*nic));

	libxl_domain_config_init(c);
	c->c_info.type = strcmp(argv[0], "pvh") == 0 ? LIBXL_DOMAIN_TYPE_PVH : LIBXL_DOMAIN_TYPE_PV;
	c->c_info.name = strdup("bench-create");
	libxl_uuid_generate(&c->c_info.uuid);
	libxl_domain_build_info_init_type(&c->b_info, c->c_info.type);
	c->b_info.max_vcpus = 1;
	libxl_cpu_bitmap_alloc(ctx, &c->b_info.avail_vcpus, 1);
	libxl_bitmap_set_any(&c->b_info.avail_vcpus);
	c->b_info.max_memkb = c->b_info.target_memkb = MEMORY_KB;
	c->b_info.kernel = strdup(argv[1]);
	libxl_device_nic_init(nic);
	nic->nictype = LIBXL_NIC_TYPE_VIF;
	nic->bridge = strdup(argv[2]);
	nic->script = strdup(argv[3]);
	sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &nic->mac[0], &nic->mac[1], &nic->mac[2], &nic->mac[3],
	       &nic->mac[4], &nic->mac[5]);
	c->nics = nic;
	c->num_nics = 1;
}

static double create(char **argv)
{
	xentoollog_logger_stdiostream *log = xtl_createlogger_stdiostream(stderr, XTL_WARN, 0);
	uint32_t domain = UINT32_MAX;
	libxl_domain_config c;
	libxl_ctx *ctx;
	uint64_t t0;
	double ms;
	int r;

	if (!log || libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, (xentoollog_logger *)log) != 0)
		return failed("libxl");
	describe(ctx, argv, &c);
	t0 = clock_now_ns();
	r = libxl_domain_create_new(ctx, &c, &domain, NULL, NULL);
	ms = ms_since(t0);
	if (domain != UINT32_MAX && libxl_domain_destroy(ctx, domain, NULL) != 0)
		r = -1;
	libxl_domain_config_dispose(&c);
	libxl_ctx_free(ctx);
	xtl_logger_destroy((xentoollog_logger *)log);
	return r == 0 ? ms : failed("create");
}

/* ---- xl ---- */

static pid_t run_xl(const char *netns, const char *config)
{
	pid_t pid = fork();
	int ns;

	if (pid != 0)
		return pid;
	ns = open(netns, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0 || dup2(2, 1) < 0)
		_exit(126);
	execlp("xl", "xl", "create", "-q", config, NULL);
	_exit(127);
}

struct asker {
	int fd;
	struct sockaddr_ll to;
	struct ether_arp arp;
};

/* A question for `ip`, from eth0 and its first address. */
static bool asker_init(struct asker *a, const struct ip_addr *ip)
{
	struct ifreq mac = { .ifr_name = "eth0" }, addr = { .ifr_name = "eth0" };

	a->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
	if (a->fd < 0 || ioctl(a->fd, SIOCGIFHWADDR, &mac) < 0)
		return false;
	int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool known = inet >= 0 && ioctl(inet, SIOCGIFADDR, &addr) == 0;

	if (inet >= 0)
		close(inet);
	a->to = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_halen = ETH_ALEN,
				      .sll_ifindex = (int)if_nametoindex("eth0") };
	memset(a->to.sll_addr, 0xff, ETH_ALEN);
	a->arp = (struct ether_arp){ .ea_hdr = { htons(ARPHRD_ETHER), htons(ETH_P_IP), ETH_ALEN, 4, htons(ARPOP_REQUEST) } };
	memcpy(a->arp.arp_sha, mac.ifr_hwaddr.sa_data, ETH_ALEN);
	memcpy(a->arp.arp_spa, &((struct sockaddr_in *)(void *)&addr.ifr_addr)->sin_addr, 4);
	memcpy(a->arp.arp_tpa, ip->b + 12, 4);
	return known && bind(a->fd, (void *)&a->to, sizeof(a->to)) == 0;
}

static bool asker_wait(struct asker *a)
{
	while (limit_left_ms() > 0) {
		struct pollfd p = { .fd = a->fd, .events = POLLIN };
		struct ether_arp heard;

		sendto(a->fd, &a->arp, sizeof(a->arp), 0, (void *)&a->to, sizeof(a->to));
		while (poll(&p, 1, ASK_EVERY_MS) > 0)
			if (recv(a->fd, &heard, sizeof(heard), 0) == (ssize_t)sizeof(heard) &&
			    memcmp(heard.arp_spa, a->arp.arp_tpa, 4) == 0)
				return true;
	}
	return false;
}

static double raw(char **argv)
{
	struct page_times t = { -1, -1 };
	struct ip_addr ip;
	struct asker a;
	uint64_t t0;
	pid_t pid;
	bool there;

	if (ip_parse(argv[2], &ip) < 0 || !asker_init(&a, &ip))
		return failed("setting up");
	t0 = clock_now_ns();
	pid = run_xl(argv[0], argv[1]);
	there = pid > 0 && asker_wait(&a) && page_get(&ip, t0, true, &t);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	close(a.fd);
	return there ? t.first_byte : failed("no page");
}

int main(int argc, char **argv)
{
	double ms;

	limit_set(LIMIT_MS);
	if (argc == 7 && strcmp(argv[1], "create") == 0)
		ms = create(argv + 2);
	else if (argc == 5 && strcmp(argv[1], "raw") == 0)
		ms = raw(argv + 2);
	else
		return 2;
	printf("%.3f\n", ms);
	return ms < 0;
}
