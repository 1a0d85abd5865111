#include "backends/workers.h"

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

TAILQ_HEAD(job_list, job);

/* One list holds waiting and running jobs in the order they were given; a job may begin when
 * nothing before it in that list shares a key with it.  The lists are short (the launcher bounds
 * what it asks for, backend.c bounds what it accepts), so a scan is cheaper than an index. */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job_list jobs; /* under lock */
	struct job_list ended; /* under lock: wait for the loop */
	unsigned slow_running; /* under lock */
	bool gate_open, stopping; /* under lock */
	pthread_t threads[WORKERS_MAX];
	unsigned n_threads;
	int wakeup; /* eventfd: something is in `ended` */
	struct event *on_wakeup;
};

static bool share_key(const struct job *a, const struct job *b)
{
	for (int i = 0; i < JOB_KEYS; i++) {
		for (int k = 0; k < JOB_KEYS; k++) {
			if (a->keys[i][0] && strcmp(a->keys[i], b->keys[k]) == 0)
				return true;
		}
	}
	return false;
}

/* Two threads are kept for jobs that somebody waits for. */
static bool may_begin(const struct workers *w, const struct job *job)
{
	if (job->slow && w->slow_running + 2 >= w->n_threads)
		return false;
	if (job->gated && !w->gate_open)
		return false;
	for (const struct job *before = TAILQ_FIRST(&w->jobs); before != job; before = TAILQ_NEXT(before, next)) {
		if (job->alone || share_key(before, job))
			return false;
	}
	return true;
}

static struct job *next_job(struct workers *w)
{
	struct job *job;

	TAILQ_FOREACH (job, &w->jobs, next) {
		if (job->state == JOB_WAITING && may_begin(w, job))
			return job;
	}
	return NULL;
}

static void run_one(struct workers *w, struct job *job)
{
	job->state = JOB_RUNNING;
	w->slow_running += job->slow;
	pthread_mutex_unlock(&w->lock);
	job->run(job);
	pthread_mutex_lock(&w->lock);
	w->slow_running -= job->slow;
	job->state = JOB_DONE;
	TAILQ_REMOVE(&w->jobs, job, next);
	TAILQ_INSERT_TAIL(&w->ended, job, next);
	eventfd_write(w->wakeup, 1);
	/* Its end may let several begin. */
	pthread_cond_broadcast(&w->more);
}

static void *work(void *arg)
{
	struct workers *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		struct job *job = next_job(w);

		if (job)
			run_one(w, job);
		else
			pthread_cond_wait(&w->more, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static struct job *take_ended(struct workers *w)
{
	struct job *job;

	pthread_mutex_lock(&w->lock);
	job = TAILQ_FIRST(&w->ended);
	if (job)
		TAILQ_REMOVE(&w->ended, job, next);
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void tell_ended(evutil_socket_t fd, short what, void *arg)
{
	struct workers *w = arg;
	struct job *job;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	while ((job = take_ended(w)))
		job->done(job);
}

int workers_add(struct workers *w)
{
	sigset_t all, old;
	int error;

	if (w->n_threads == WORKERS_MAX)
		return -EBUSY;
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&w->threads[w->n_threads], NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error != 0)
		return -error;
	pthread_mutex_lock(&w->lock);
	w->n_threads++;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

struct workers *workers_new(struct event_base *base, unsigned n)
{
	struct workers *w = calloc(1, sizeof(*w));
	int error = 0;

	assert(n >= 3 && n <= WORKERS_MAX);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	TAILQ_INIT(&w->jobs);
	TAILQ_INIT(&w->ended);
	w->gate_open = true;
	w->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wakeup >= 0)
		w->on_wakeup = event_new(base, w->wakeup, EV_READ | EV_PERSIST, tell_ended, w);
	if (!w->on_wakeup || event_add(w->on_wakeup, NULL) < 0)
		error = -ENOMEM;
	while (error == 0 && w->n_threads < n)
		error = workers_add(w);
	if (error < 0) {
		workers_free(w);
		errno = -error;
		return NULL;
	}
	return w;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	if (w->on_wakeup)
		event_free(w->on_wakeup);
	fd_close(&w->wakeup);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void workers_submit(struct workers *w, struct job *job)
{
	pthread_mutex_lock(&w->lock);
	assert(job->state == JOB_NEW);
	job->state = JOB_WAITING;
	TAILQ_INSERT_TAIL(&w->jobs, job, next);
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
}

bool workers_take_back(struct workers *w, struct job *job)
{
	bool taken;

	pthread_mutex_lock(&w->lock);
	taken = job->state == JOB_WAITING;
	if (taken) {
		TAILQ_REMOVE(&w->jobs, job, next);
		job->state = JOB_NEW;
		/* Others may have waited for this one. */
		pthread_cond_broadcast(&w->more);
	}
	pthread_mutex_unlock(&w->lock);
	return taken;
}

static void set_gate(struct workers *w, bool open)
{
	pthread_mutex_lock(&w->lock);
	w->gate_open = open;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
}

void workers_open_gate(struct workers *w) { set_gate(w, true); }
void workers_shut_gate(struct workers *w) { set_gate(w, false); }
