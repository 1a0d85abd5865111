/* Asks DNS servers, and tells what an answer costs them.
 *
 *     dns cpu     ASKING ROUNDS COUNT SERVER...
 *     dns latency ASKING ROUNDS COUNT SERVER...
 *     dns compare ASKING COUNT SERVER...
 *
 * ASKING is plain, edns, dnssec (EDNS with DO) or cookies.  SERVER is NAME=ADDRESS:PORT=FILE=PID,PID...:
 * what it is asked, a line "NAME TYPE" each, and the processes whose CPU time is its own.
 *
 * cpu and latency ask COUNT queries of each server in each of ROUNDS rounds, in turning order, after one
 * round that does not count.  They print a line for each server in each round:
 *
 *     cpu:      ROUND SERVER CPU-NS-PER-ANSWER ANSWERS-PER-SECOND LOST NXDOMAIN-SHARE OTHERS BYTES-PER-ANSWER
 *     latency:  ROUND SERVER MEDIAN-US LOST
 *
 * OTHERS are answers that are neither NOERROR nor NXDOMAIN, or cut.  compare fails when not all answer alike.
 */
#include <ldns/ldns.h>

#include "base/clock.h"
#include "tests/bench/dns.h"

static struct server servers[SERVERS_MAX];
static unsigned n_servers;
static const char *const askings[ASK_N] = { "plain", "edns", "dnssec", "cookies" };

#define LATE_NS (200 * NS_PER_MS)

/* ---- cpu ---- */

static bool measure_cpu(struct server *s, unsigned round, uint64_t count)
{
	struct load l;
	uint64_t others;
	double n;

	if (!load_run(s, count, &l)) {
		fprintf(stderr, "dns: %s is gone, or does not answer\n", s->name);
		return false;
	}
	n = (double)l.answered;
	others = l.answered - l.rcodes[LDNS_RCODE_NXDOMAIN] - l.rcodes[LDNS_RCODE_NOERROR] + l.cut;
	if (round == 0)
		return true;
	printf("%u %s %.1f %.0f %llu %.4f %llu %.1f\n", round, s->name, (double)l.cpu_ns / n, n * 1e9 / (double)l.ns,
	       (unsigned long long)l.lost, (double)l.rcodes[LDNS_RCODE_NXDOMAIN] / n, (unsigned long long)others,
	       (double)l.bytes / n);
	return true;
}

/* ---- latency ---- */

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* One query at a time.  We do not sleep meanwhile: how long this CPU takes to wake is not the server's. */
static uint64_t ask_ns(struct server *s, size_t i)
{
	uint64_t t0 = clock_now_ns(), now_ns = t0;
	uint8_t reply[REPLY_MAX];
	int fd = s->fds[0];

	if (send(fd, s->q.bytes + s->q.at[i], s->q.at[i + 1] - s->q.at[i], 0) < 0)
		return UINT64_MAX;
	while (now_ns - t0 < LATE_NS) {
		ssize_t n = recv(fd, reply, sizeof(reply), MSG_DONTWAIT);

		now_ns = clock_now_ns();
		if (n > 2 && memcmp(reply, s->q.bytes + s->q.at[i], 2) == 0)
			return now_ns - t0;
	}
	return UINT64_MAX;
}

static bool measure_latency(struct server *s, unsigned round, uint64_t count)
{
	cleanup_free uint64_t *ns = calloc(count, sizeof(*ns));
	uint64_t n = 0, middle;

	for (uint64_t i = 0; ns && i < count; i++) {
		ns[n] = ask_ns(s, s->next);
		s->next = (s->next + 1) % s->q.n;
		if (ns[n] != UINT64_MAX)
			n++;
	}
	if (n == 0) {
		fprintf(stderr, "dns: %s does not answer\n", s->name);
		return false;
	}
	qsort(ns, n, sizeof(*ns), by_number);
	middle = n / 2;
	if (round > 0)
		printf("%u %s %.2f %llu\n", round, s->name, (double)ns[middle] / 1e3, (unsigned long long)(count - n));
	return true;
}

/* ---- rounds ---- */

static bool run_rounds(bool (*measure)(struct server *, unsigned, uint64_t), unsigned rounds, uint64_t count)
{
	for (unsigned round = 0; round <= rounds; round++)
		for (unsigned i = 0; i < n_servers; i++)
			if (!measure(&servers[(round + i) % n_servers], round, count))
				return false;
	return true;
}

static bool compare(unsigned rounds, uint64_t count)
{
	size_t n = compare_servers(servers, n_servers, count);

	(void)rounds;
	if (n > 0)
		fprintf(stderr, "dns: %zu of %llu queries are not answered alike\n", n, (unsigned long long)count);
	return n == 0;
}

static bool cpu(unsigned rounds, uint64_t count) { return run_rounds(measure_cpu, rounds, count); }
static bool latency(unsigned rounds, uint64_t count) { return run_rounds(measure_latency, rounds, count); }

static bool open_servers(const char *asking, char **specs, int n)
{
	enum asking a = ASK_PLAIN;

	while (a < ASK_N && strcmp(askings[a], asking) != 0)
		a++;
	if (a == ASK_N || n < 1 || n > SERVERS_MAX)
		return false;
	for (n_servers = 0; n_servers < (unsigned)n; n_servers++)
		if (!server_open(&servers[n_servers], specs[n_servers], a))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool (*run)(unsigned rounds, uint64_t count);
		int rounds; /* where they stand, or 0 */
	} jobs[] = { { "cpu", cpu, 3 }, { "latency", latency, 3 }, { "compare", compare, 0 } };
	int status = 2;

	for (size_t i = 0; i < ARRAY_SIZE(jobs) && argc > 1; i++) {
		int count = jobs[i].rounds ? 4 : 3;

		if (strcmp(jobs[i].name, argv[1]) != 0 || argc <= count + 1 ||
		    !open_servers(argv[2], argv + count + 1, argc - count - 1))
			continue;
		status = jobs[i].run(jobs[i].rounds ? (unsigned)atoi(argv[3]) : 0, strtoull(argv[count], NULL, 10)) ? 0 : 1;
	}
	for (unsigned i = 0; i < n_servers; i++)
		server_close(&servers[i]);
	if (status == 2)
		fprintf(stderr, "dns: what was asked for cannot be done (see the source)\n");
	return status;
}
