#include "tests/bench/dns.h"

#include <dirent.h>
#include <ldns/ldns.h>
#include <poll.h>

enum { QUERY_MAX = 512, HEADER = 12, UDP_SIZE = 1232, FLAG_DO = 0x8000, TRIES = 3, ANSWER_MS = 1000 };
enum { OPTION_COOKIE = 10, COOKIE_CLIENT = 8, COOKIE_MAX = 40 };

/* ---- queries ---- */

static uint8_t *put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static unsigned get16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }

static uint8_t *put_opt(uint8_t *p, bool dnssec, const uint8_t *cookie, size_t cookie_n)
{
	*p++ = 0;
	p = put16(p, LDNS_RR_TYPE_OPT);
	p = put16(p, UDP_SIZE);
	p = put16(p, 0);
	p = put16(p, dnssec ? FLAG_DO : 0);
	p = put16(p, cookie_n ? (unsigned)cookie_n + 4 : 0);
	if (cookie_n == 0)
		return p;
	p = put16(p, OPTION_COOKIE);
	p = put16(p, (unsigned)cookie_n);
	memcpy(p, cookie, cookie_n);
	return p + cookie_n;
}

/* 0: no such name or type. */
static size_t make_query(uint8_t *out, size_t id, const char *name, const char *type, enum asking asking,
			 const uint8_t *cookie, size_t cookie_n)
{
	unsigned type_number = ldns_get_rr_type_by_name(type);
	ldns_rdf *dname = type_number ? ldns_dname_new_frm_str(name) : NULL;
	uint8_t *p = out + HEADER;

	if (!dname)
		return 0;
	memset(out, 0, HEADER);
	put16(out, (unsigned)id & 0xffff);
	put16(out + 4, 1);
	memcpy(p, ldns_rdf_data(dname), ldns_rdf_size(dname));
	p += ldns_rdf_size(dname);
	ldns_rdf_deep_free(dname);
	p = put16(p, type_number);
	p = put16(p, LDNS_RR_CLASS_IN);
	if (asking != ASK_PLAIN) {
		put16(out + 10, 1);
		p = put_opt(p, asking == ASK_DNSSEC, cookie, cookie_n);
	}
	return (size_t)(p - out);
}

static bool add_query(struct queries *q, const uint8_t *bytes, size_t n)
{
	if (q->n + 1 >= q->room) {
		q->room = MAX(q->room * 2, (size_t)1024);
		q->at = reallocarray(q->at, q->room, sizeof(q->at[0]));
	}
	if (q->bytes_n + n > q->bytes_room) {
		q->bytes_room = MAX(q->bytes_room * 2, (size_t)65536);
		q->bytes = realloc(q->bytes, q->bytes_room);
	}
	if (!q->at || !q->bytes)
		return false;
	memcpy(q->bytes + q->bytes_n, bytes, n);
	q->at[q->n++] = (uint32_t)q->bytes_n;
	q->bytes_n += n;
	q->at[q->n] = (uint32_t)q->bytes_n;
	return true;
}

static bool read_queries(struct server *s, const char *path, enum asking asking, const uint8_t *cookie,
			 size_t cookie_n)
{
	cleanup_fclose FILE *f = fopen(path, "re");
	char name[256], type[16];
	uint8_t query[QUERY_MAX];

	s->q.n = s->q.bytes_n = 0;
	while (f && fscanf(f, "%255s %15s", name, type) == 2) {
		size_t n = make_query(query, s->q.n, name, type, asking, cookie, s->q.n % 2 ? cookie_n : 0);

		if (n == 0 || !add_query(&s->q, query, n))
			return false;
	}
	return s->q.n > 0;
}

/* ---- asking one ---- */

size_t server_ask(const struct server *s, size_t i, uint8_t *reply)
{
	const uint8_t *query = s->q.bytes + s->q.at[i];
	struct pollfd p = { .fd = s->fds[0], .events = POLLIN };
	ssize_t n;

	for (unsigned try = 0; try < TRIES; try++) {
		if (send(p.fd, query, s->q.at[i + 1] - s->q.at[i], 0) < 0)
			continue;
		while (poll(&p, 1, ANSWER_MS) > 0) {
			n = recv(p.fd, reply, REPLY_MAX, MSG_DONTWAIT);
			if (n > HEADER && get16(reply) == get16(query))
				return (size_t)n;
		}
	}
	return 0;
}

/* The cookie this server makes for us: RFC 7873, 5.2.3.  0: none. */
static size_t get_cookie(struct server *s, const char *path, uint8_t *cookie)
{
	uint8_t reply[REPLY_MAX];
	ldns_pkt *pkt = NULL;
	ldns_rdf *options;
	size_t n, cookie_n = 0;

	memcpy(cookie, "\x01\x23\x45\x67\x89\xab\xcd\xef", COOKIE_CLIENT);
	if (!read_queries(s, path, ASK_COOKIES, cookie, COOKIE_CLIENT))
		return 0;
	n = server_ask(s, 1, reply);
	if (n == 0 || ldns_wire2pkt(&pkt, reply, n) != LDNS_STATUS_OK)
		return 0;
	options = ldns_pkt_edns_data(pkt);
	if (options && ldns_rdf_size(options) > 4 && get16(ldns_rdf_data(options)) == OPTION_COOKIE)
		cookie_n = ldns_rdf_size(options) - 4;
	if (cookie_n > COOKIE_CLIENT && cookie_n <= COOKIE_MAX)
		memcpy(cookie, ldns_rdf_data(options) + 4, cookie_n);
	ldns_pkt_free(pkt);
	return cookie_n > COOKIE_CLIENT && cookie_n <= COOKIE_MAX ? cookie_n : 0;
}

/* ---- a server ---- */

static bool open_sockets(struct server *s)
{
	struct sockaddr_storage to;
	socklen_t to_n = ip_to_sockaddr(&s->addr, s->port, &to);
	int size = 1024 * 1024;

	for (unsigned i = 0; i < SOCKETS; i++)
		s->fds[i] = -1;
	for (unsigned i = 0; i < SOCKETS; i++) {
		s->fds[i] = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s->fds[i] < 0 || connect(s->fds[i], (void *)&to, to_n) < 0)
			return false;
		setsockopt(s->fds[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	return true;
}

static void take_pids(struct server *s, char *text)
{
	char *rest = text, *word;

	while ((word = strsep(&rest, ",")) != NULL) {
		if (*word && s->n_pids < PIDS_MAX)
			s->pids[s->n_pids++] = (pid_t)atoi(word);
	}
}

static bool failed_because(const struct server *s, const char *why)
{
	fprintf(stderr, "dns: %s: %s\n", s->name, why);
	return false;
}

bool server_open(struct server *s, const char *spec, enum asking asking)
{
	cleanup_free char *text = strdup(spec);
	char *rest = text, *name = strsep(&rest, "="), *where = strsep(&rest, "="), *path = strsep(&rest, "=");
	uint8_t cookie[COOKIE_MAX];
	size_t cookie_n = 0;

	memset(s, 0, sizeof(*s));
	if (!path || !str_copy(s->name, name) || endpoint_parse(where, &s->addr, &s->port) < 0)
		return failed_because(s, "say NAME=ADDRESS:PORT=FILE=PID,PID...");
	if (rest)
		take_pids(s, rest);
	if (!open_sockets(s))
		return failed_because(s, strerror(errno));
	if (asking == ASK_COOKIES) {
		cookie_n = get_cookie(s, path, cookie);
		if (cookie_n == 0)
			return failed_because(s, "it gives no cookie");
	}
	if (!read_queries(s, path, asking, cookie, cookie_n))
		return failed_because(s, "these are no queries");
	return true;
}

void server_close(struct server *s)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		fd_close(&s->fds[i]);
	free(s->q.at);
	free(s->q.bytes);
}

/* ---- what it costs ---- */

static uint64_t thread_cpu_ns(pid_t pid, const char *thread)
{
	char path[64];
	unsigned long long ns = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, thread);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return ns;
}

uint64_t server_cpu_ns(const struct server *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->n_pids; i++) {
		char path[64];
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%d/task", (int)s->pids[i]);
		dir = opendir(path);
		if (!dir)
			return 0;
		while ((entry = readdir(dir)) != NULL)
			if (entry->d_name[0] != '.')
				sum += thread_cpu_ns(s->pids[i], entry->d_name);
		closedir(dir);
	}
	return sum;
}
