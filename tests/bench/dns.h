/* What the parts of the DNS benchmark share: the servers, and what each of them is asked.
 *
 * All of it runs in one thread, and prints why it fails on stderr.
 */
#ifndef TESTS_BENCH_DNS_H
#define TESTS_BENCH_DNS_H

#include <sys/types.h>

#include "base/addr.h"

enum { SERVERS_MAX = 8, PIDS_MAX = 64, SOCKETS = 8, REPLY_MAX = 4096, SERVER_NAME_MAX = 32 };

/* What queries carry.  COOKIES: every second one a cookie that its server has made before, so that the
 * others are counted by the rate limit. */
enum asking { ASK_PLAIN, ASK_EDNS, ASK_DNSSEC, ASK_COOKIES, ASK_N };

/* Query i is the bytes from at[i] to at[i + 1]; its ID is i, cut to 16 bits. */
struct queries {
	size_t n, room;
	uint32_t *at;
	uint8_t *bytes;
	size_t bytes_n, bytes_room;
};

struct server {
	char name[SERVER_NAME_MAX];
	struct ip_addr addr;
	uint16_t port;
	unsigned n_pids; /* of all whose CPU time counts, threads included */
	pid_t pids[PIDS_MAX];
	int fds[SOCKETS]; /* connected to it */
	struct queries q;
	size_t next; /* query */
};

/* ---- dns_server.c ---- */

/* "NAME=ADDRESS:PORT=FILE=PID,PID...": FILE has lines "NAME TYPE".  False: it cannot be asked. */
bool server_open(struct server *s, const char *spec, enum asking asking);
void server_close(struct server *s);
/* The CPU time of its processes so far, or 0 when one of them is gone. */
uint64_t server_cpu_ns(const struct server *s);
/* Query i, and its answer; 0: none came, thrice within a second each. */
size_t server_ask(const struct server *s, size_t i, uint8_t *reply);

/* ---- dns_load.c ---- */

struct load {
	uint64_t answered, lost, bytes; /* answers and their bytes; queries without one */
	uint64_t cut; /* answers with TC */
	uint64_t rcodes[16];
	uint64_t cpu_ns, ns; /* the server's, and the time it took */
};

/* Asks the next `count` queries, so many at once that the server never waits for one.  False: it is
 * gone, or does not answer. */
bool load_run(struct server *s, uint64_t count, struct load *out);

/* ---- dns_compare.c ---- */

/* Asks all of them the same queries, `count` at most, and prints a line for each of the first few that
 * are not answered alike.  How many are not. */
size_t compare_servers(const struct server *servers, unsigned n, size_t count);

#endif
