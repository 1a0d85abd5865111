/* Who holds the port that jitsud wants, as the kernel's socket tables tell it, and how each of the usual resolvers
 * is told to ask jitsud.
 *
 * A socket's holder is found by its inode among all processes' descriptors, which root may see. */
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>

#include "base/addr.h"
#include "cmd/doctor.h"

enum { HOLDERS_MAX = 64, COMM_MAX = 32, TCP_LISTENS = 0x0a, CURE_MAX = 1024, NAME_BYTES = 256,
       DNS_PORT = 53 };

struct holder {
	struct ip_addr addr;
	bool tcp;
	unsigned long inode;
	char comm[COMM_MAX]; /* "": nobody knows */
};

struct holders {
	size_t n;
	struct holder v[HOLDERS_MAX];
};

/* %1$s: the zone, %2$s: an address of jitsud, %3$u: its port; how it frees the port, and how it forwards, to port 53
 * and to another one. */
static const struct {
	const char *comm, *free, *forward, *elsewhere;
} resolvers[] = {
	{ "dnsmasq", "\"bind-interfaces\" and \"listen-address=\" in /etc/dnsmasq.conf make it listen elsewhere (libvirt's "
		     "networks have one each, on their own address)",
	  "server=/%1$s/%2$s", "server=/%1$s/%2$s#%3$u" },
	{ "pihole-FTL", "Settings, DNS, \"Bind only to interface\" makes it listen elsewhere",
	  "server=/%1$s/%2$s in /etc/dnsmasq.d/10-jitsu.conf (version 6: in misc.dnsmasq_lines)",
	  "server=/%1$s/%2$s#%3$u in /etc/dnsmasq.d/10-jitsu.conf (version 6: in misc.dnsmasq_lines)" },
	{ "unbound", "\"interface:\" in /etc/unbound/unbound.conf makes it listen elsewhere",
	  "stub-zone: name: \"%1$s\" stub-addr: %2$s (and domain-insecure: \"%1$s\" where the parent is signed)",
	  "stub-zone: name: \"%1$s\" stub-addr: %2$s@%3$u (and domain-insecure: \"%1$s\" where the parent is "
	  "signed)" },
	{ "systemd-resolve", "\"DNSStubListener=no\" in /etc/systemd/resolved.conf frees it",
	  "in /etc/systemd/resolved.conf: DNS=%2$s and Domains=~%1$s",
	  "in /etc/systemd/resolved.conf: DNS=%2$s:%3$u (an IPv6 address in brackets) and Domains=~%1$s" },
	{ "named", "\"listen-on\" in /etc/bind/named.conf.options makes it listen elsewhere",
	  "zone \"%1$s\" { type static-stub; server-addresses { %2$s; }; };",
	  "zone \"%1$s\" { type forward; forward only; forwarders { %2$s port %3$u; }; };" },
};

/* ---- the kernel's tables ---- */

/* "0100007F:0035", or 32 digits: 32-bit words as this machine has them. */
static bool parse_local(const char *text, struct ip_addr *addr, unsigned *port)
{
	size_t digits = strcspn(text, ":");
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *v4 = (void *)&ss;
	struct sockaddr_in6 *v6 = (void *)&ss;
	uint16_t none;

	if (sscanf(text + digits, ":%4x", port) != 1)
		return false;
	if (digits == 8) {
		v4->sin_family = AF_INET;
		if (sscanf(text, "%8" SCNx32, &v4->sin_addr.s_addr) != 1)
			return false;
	} else if (digits == 32) {
		v6->sin6_family = AF_INET6;
		for (int i = 0; i < 4; i++) {
			uint32_t word;

			if (sscanf(text + 8 * i, "%8" SCNx32, &word) != 1)
				return false;
			memcpy(v6->sin6_addr.s6_addr + 4 * i, &word, sizeof(word));
		}
	} else {
		return false;
	}
	ip_from_sockaddr((void *)&ss, addr, &none);
	return true;
}

static void read_table(const struct doctor *d, const char *name, bool tcp, unsigned wanted, struct holders *out)
{
	char path[PATH_MAX], line[512], local[64];
	FILE *f;

	doctor_path(d, path, sizeof(path), "/proc/net/%s", name);
	f = fopen(path, "re");
	while (f && out->n < HOLDERS_MAX && fgets(line, sizeof(line), f)) {
		struct holder *h = &out->v[out->n];
		unsigned port, state;

		if (sscanf(line, " %*[^:]: %63s %*s %x %*s %*s %*s %*s %*s %lu", local, &state, &h->inode) != 3 ||
		    !parse_local(local, &h->addr, &port) || port != wanted || (tcp && state != TCP_LISTENS))
			continue;
		h->tcp = tcp;
		h->comm[0] = '\0';
		out->n++;
	}
	if (f)
		fclose(f);
}

/* ---- whose they are ---- */

static void read_comm(const struct doctor *d, const char *pid, char comm[COMM_MAX])
{
	cleanup_buf struct buf text = { 0 };
	char path[PATH_MAX];

	doctor_path(d, path, sizeof(path), "/proc/%s/comm", pid);
	if (buf_read_file(&text, path, COMM_MAX) < 0 || !text.text)
		return;
	snprintf(comm, COMM_MAX, "%.*s", (int)strcspn(text.text, "\n"), text.text);
}

static void look_at_link(const struct doctor *d, const char *pid, const char *path, struct holders *h)
{
	char target[64];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	unsigned long inode;

	if (n <= 0)
		return;
	target[n] = '\0';
	if (sscanf(target, "socket:[%lu]", &inode) != 1)
		return;
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].inode == inode && !h->v[i].comm[0])
			read_comm(d, pid, h->v[i].comm);
}

static void look_at_process(const struct doctor *d, const char *pid, struct holders *h)
{
	char path[PATH_MAX], link[PATH_MAX + NAME_BYTES + 1];
	struct dirent *e;
	DIR *dir;

	doctor_path(d, path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
		look_at_link(d, pid, link, h);
	}
	if (dir)
		closedir(dir);
}

static void name_holders(const struct doctor *d, struct holders *h)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	doctor_path(d, path, sizeof(path), "/proc");
	dir = h->n > 0 ? opendir(path) : NULL;
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			look_at_process(d, e->d_name, h);
	if (dir)
		closedir(dir);
}

/* ---- findings ---- */

static bool is_any(const struct ip_addr *a)
{
	struct ip_addr any;

	return ip_is_zero(a) || (ip_parse("0.0.0.0", &any) == 0 && ip_equal(a, &any));
}

static bool in_the_way(const struct holder *h, const struct endpoint *wanted)
{
	bool same_family = ip_is_v4(&h->addr) == ip_is_v4(&wanted->addr);

	return same_family && (ip_equal(&h->addr, &wanted->addr) || is_any(&h->addr) || is_any(&wanted->addr));
}

/* The cure by the resolver's name: how it lets go of the port, if it is in the way; how it asks jitsud. */
static void tell_cure(const struct doctor *d, const char *comm, bool conflict, char out[CURE_MAX])
{
	const struct endpoint *listen = &d->conf->listen.v[0];
	const char *zone = d->conf->zones.n > 0 ? d->conf->zones.v[0].name : "ZONE";
	char address[64] = "THIS-HOSTS-ADDRESS", forward[CURE_MAX / 2] = "";
	const char *freed = "Stop it, or have it listen elsewhere";

	if (!is_any(&listen->addr))
		ip_format(&listen->addr, address);
	for (size_t i = 0; i < ARRAY_SIZE(resolvers); i++) {
		if (strcmp(resolvers[i].comm, comm) != 0)
			continue;
		freed = resolvers[i].free;
		snprintf(forward, sizeof(forward), listen->port == DNS_PORT ? resolvers[i].forward : resolvers[i].elsewhere,
			 zone, address, (unsigned)listen->port);
	}
	snprintf(out, CURE_MAX, "%s%s%s%s", conflict ? freed : "",
		 conflict ? "; or name one address of this host that is free in \"listen\". " : "",
		 forward[0] ? "To have it ask jitsud: " : "", forward);
}

static bool is_resolver(const char *comm)
{
	for (size_t i = 0; i < ARRAY_SIZE(resolvers); i++)
		if (strcmp(resolvers[i].comm, comm) == 0)
			return true;
	return false;
}

static bool is_told_already(const struct holders *h, size_t k, bool conflict, const bool conflicts[HOLDERS_MAX])
{
	for (size_t i = 0; i < k; i++)
		if (strcmp(h->v[i].comm, h->v[k].comm) == 0 && conflicts[i] == conflict)
			return true;
	return false;
}

/* The first socket of each program, for being in the way, and for being there. */
static bool tell_holder(struct doctor *d, const struct holders *h, size_t k, unsigned port,
			bool conflicts[HOLDERS_MAX])
{
	const struct holder *holder = &h->v[k];
	const char *comm = holder->comm[0] ? holder->comm : "some program (run this as root to see which)";
	char at[64], cure[CURE_MAX];

	conflicts[k] = false;
	for (size_t i = 0; i < d->conf->listen.n; i++)
		if (d->conf->listen.v[i].port == port && in_the_way(holder, &d->conf->listen.v[i]))
			conflicts[k] = true;
	if (strcmp(comm, "jitsud") == 0 || (!conflicts[k] && !is_resolver(comm)) ||
	    is_told_already(h, k, conflicts[k], conflicts))
		return false;
	endpoint_format(&holder->addr, (uint16_t)port, at);
	tell_cure(d, comm, conflicts[k], cure);
	doctor_find(d, conflicts[k] ? DOCTOR_BAD : DOCTOR_NOTE, cure, "%s %s %s (%s)", comm,
		    conflicts[k] ? "is in jitsud's way: it holds" : "answers at", at, holder->tcp ? "TCP" : "UDP");
	return conflicts[k];
}

static bool look_at_port(struct doctor *d, unsigned port)
{
	struct holders holders = { 0 };
	bool conflicts[HOLDERS_MAX], any = false;

	read_table(d, "udp", false, port, &holders);
	read_table(d, "udp6", false, port, &holders);
	read_table(d, "tcp", true, port, &holders);
	read_table(d, "tcp6", true, port, &holders);
	name_holders(d, &holders);
	for (size_t i = 0; i < holders.n; i++)
		any = tell_holder(d, &holders, i, port, conflicts) || any;
	return any;
}

/* Where jitsud is on another port, a resolver on 53 is who asks it. */
void doctor_check_port(struct doctor *d)
{
	unsigned port = d->conf->listen.n > 0 ? d->conf->listen.v[0].port : DNS_PORT;

	if (d->conf->listen.n == 0)
		return;
	if (port != DNS_PORT)
		look_at_port(d, DNS_PORT);
	if (!look_at_port(d, port))
		doctor_good(d, "nobody else holds port %u where jitsud listens", port);
}
