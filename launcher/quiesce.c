/* Theory of operation
 *
 * One thread, two numbers.  The loop raises `asked`; the thread notes it, waits once for all programs
 * that run by then, and raises `answered` to what it had noted.  So any number of askings cost two
 * waits at most.
 */
#include "launcher/quiesce.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <bpf/bpf.h>

struct quiesce {
	quiesce_fn *fn;
	void *arg;
	struct event *readable;
	int inner, outer; /* maps of no other use */
	int answers; /* eventfd */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t asked, answered;
	bool ending;
};

/* Updating a map within a map returns when no program uses the old one any more. */
static void wait_for_programs(const struct quiesce *q)
{
	uint32_t zero = 0;

	bpf_map_update_elem(q->outer, &zero, &q->inner, BPF_ANY);
}

static void *run(void *arg)
{
	const uint64_t one = 1;
	struct quiesce *q = arg;

	pthread_mutex_lock(&q->lock);
	while (!q->ending) {
		uint32_t asked = q->asked;

		if (asked == q->answered) {
			pthread_cond_wait(&q->changed, &q->lock);
			continue;
		}
		pthread_mutex_unlock(&q->lock);
		wait_for_programs(q);
		pthread_mutex_lock(&q->lock);
		q->answered = asked;
		if (write(q->answers, &one, sizeof(one)) < 0)
			q->ending = true; /* cannot be: the counter never fills */
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct quiesce *q = arg;
	uint32_t answered;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&q->lock);
	answered = q->answered;
	pthread_mutex_unlock(&q->lock);
	q->fn(q->arg, answered);
}

static int make_maps(struct quiesce *q)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	q->inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "jitsu_inner", 4, 4, 1, NULL);
	if (q->inner < 0)
		return -errno;
	opts.inner_map_fd = (uint32_t)q->inner;
	q->outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "jitsu_outer", 4, 4, 1, &opts);
	return q->outer < 0 ? -errno : 0;
}

/* Signals are the loop's. */
static int start_thread(struct quiesce *q)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&q->thread, NULL, run, q);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	q->has_thread = error == 0;
	return -error;
}

static int prepare(struct quiesce *q, struct event_base *base)
{
	int r = make_maps(q);

	if (r < 0)
		return r;
	q->answers = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->answers < 0)
		return -errno;
	q->readable = event_new(base, q->answers, EV_READ | EV_PERSIST, on_answer, q);
	if (!q->readable)
		return -ENOMEM;
	event_add(q->readable, NULL);
	return start_thread(q);
}

struct quiesce *quiesce_new(struct event_base *base, quiesce_fn *fn, void *arg, struct err *e)
{
	struct quiesce *q = calloc(1, sizeof(*q));
	int r;

	if (!q) {
		err_set(e, -ENOMEM, "no memory to wait for BPF programs");
		return NULL;
	}
	q->fn = fn;
	q->arg = arg;
	q->inner = q->outer = q->answers = -1;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	r = prepare(q, base);
	if (r == 0)
		return q;
	quiesce_free(q);
	err_set_errno(e, r, "cannot wait for BPF programs");
	return NULL;
}

void quiesce_free(struct quiesce *q)
{
	if (!q)
		return;
	if (q->has_thread) {
		pthread_mutex_lock(&q->lock);
		q->ending = true;
		pthread_cond_signal(&q->changed);
		pthread_mutex_unlock(&q->lock);
		pthread_join(q->thread, NULL);
	}
	if (q->readable)
		event_free(q->readable);
	fd_close(&q->answers);
	fd_close(&q->inner);
	fd_close(&q->outer);
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

uint32_t quiesce_ask(struct quiesce *q)
{
	uint32_t asked;

	pthread_mutex_lock(&q->lock);
	asked = ++q->asked;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
	return asked;
}
