#include "backends/vif_link.h"

#include <assert.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr h;
	struct ifinfomsg link;
	char attributes[256];
};

static struct rtattr *add(struct request *r, unsigned short type, const void *value, size_t n)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));

	assert(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_SPACE(n) <= sizeof(*r));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	if (n > 0)
		memcpy(RTA_DATA(a), value, n);
	r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void end_nest(struct request *r, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((char *)r + r->h.nlmsg_len - (char *)nest);
}

static void add_no_ipv6(struct request *r)
{
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *families = add(r, IFLA_AF_SPEC, NULL, 0), *inet6 = add(r, AF_INET6, NULL, 0);

	add(r, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	end_nest(r, inet6);
	end_nest(r, families);
}

static void write_request(struct request *r, int ifindex, const struct link_change *c)
{
	memset(r, 0, sizeof(*r));
	r->h = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(r->link)),
				  .nlmsg_type = RTM_NEWLINK,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	r->link.ifi_index = ifindex;
	if (c->flag != LINK_AS_IT_IS)
		r->link.ifi_change = IFF_UP;
	if (c->flag == LINK_UP)
		r->link.ifi_flags = IFF_UP;
	if (c->name)
		add(r, IFLA_IFNAME, c->name, strlen(c->name) + 1);
	if (c->mac)
		add(r, IFLA_ADDRESS, c->mac, 6);
	if (c->mtu)
		add(r, IFLA_MTU, &c->mtu, sizeof(c->mtu));
	if (c->master)
		add(r, IFLA_MASTER, c->master, sizeof(*c->master));
	if (c->no_ipv6)
		add_no_ipv6(r);
}

int link_change(int ifindex, const struct link_change *c)
{
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[sizeof(struct request)]; /* the kernel repeats what it did not like */
	} answer;
	struct request r;
	ssize_t n;

	if (ifindex <= 0)
		return -ENODEV;
	if (fd < 0)
		return -errno;
	write_request(&r, ifindex, c);
	if (send(fd, &r, r.h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer.h) + sizeof(answer.e) || answer.h.nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	return answer.e.error;
}
