/* What the benchmarks' clients share: one deadline for all that a process waits for, and a page
 * asked for and timed. */
#ifndef TESTS_BENCH_PAGE_H
#define TESTS_BENCH_PAGE_H

#include "base/addr.h"
#include "base/clock.h"

void limit_set(unsigned ms); /* from now on */
int limit_left_ms(void);
bool limit_wait(int fd, short events); /* false: the time is over */

double ms_since(uint64_t from_ns);
double failed(const char *what); /* -1; says on stderr what failed, with errno */

struct page_times { /* ms, since the given moment */
	double connected, first_byte;
};

/* "GET /" at port 80, and reads to the end.  `patient`: connects again at once while the port
 * is closed.  False when there is no page, with the reason on stderr. */
bool page_get(const struct ip_addr *ip, uint64_t since_ns, bool patient, struct page_times *out);

/* Its two halves, for who has many of them: a non-blocking socket that connects (from `from`, unless
 * that is NULL), or -1; and the request. */
int page_connect(const struct ip_addr *ip, const struct ip_addr *from);
bool page_ask(int fd);

#endif
