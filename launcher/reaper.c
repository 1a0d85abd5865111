/* Theory of operation
 *
 * One thread, one list of jobs ordered by when they are due, one lock.  A job is a descriptor to
 * close or a tap to delete, or to keep for another VM.  The thread takes a job off the list, notes the tap's name in
 * `deleting`, does it without the lock, and signals.  reaper_keep_tap() removes a tap's job from
 * the list, or waits until `deleting` is another one.
 *
 * The list is as long as there are VMs that just stopped; when memory for a job runs out, it is
 * done by the caller, who then waits those milliseconds.
 *
 * Spare taps: when a port joins a bridge the kernel looks through all that the bridge knows, and
 * when it leaves, again (0.6 ms each, of ten thousand MACs).  So where many services are held a few
 * taps stay ports of the bridge between the lives of VMs, any VM's: they are down, belong to
 * nobody, and get the next VM's name when it starts.  (A port that is up cannot be renamed before
 * Linux 6.2.)  Where it starts with its old name, it must get the tap that still has it.  The next
 * VM must not get what was for the last one: a port is spared only if nothing but the last VM's MAC
 * could be known behind it, and that is known to be elsewhere (held) by now.  Spare taps of a
 * launcher that was killed are deleted by the next one, as those of services that are gone.
 *
 * Refused: a thread per job (as many threads as VMs stop at once), and making the loop wait (a
 * stop would then cost every start that goes on at the same time 20 ms).
 */
#include "launcher/reaper.h"

#include <pthread.h>
#include <signal.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "launcher/netlink.h"

struct job {
	TAILQ_ENTRY(job) next;
	uint64_t due_ms;
	int fd; /* -1: the tap */
	char tap[MSG_IFNAME_MAX];
	int bridge; /* its ifindex: the tap may be spared; 0: it is deleted */
	struct mac_addr vm_mac;
};

struct spare {
	char tap[MSG_IFNAME_MAX]; /* "": this place is free */
	int ifindex, bridge;
};

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a job came, or the end */
	pthread_cond_t done; /* the job in `deleting` */
	TAILQ_HEAD(, job) jobs;
	char deleting[MSG_IFNAME_MAX]; /* "": none */
	struct spare spares[REAPER_SPARES_MAX];
	bool ending;
	struct netlink *nl; /* the thread's own */
};

/* Says nothing when it fails: the log has one owner, the loop, and a tap that stays is found again
 * by the next start of its service or by reconciling. */
static void delete_tap(struct netlink *nl, const char *ifname)
{
	struct err e;

	netlink_tap_delete(nl, ifname, &e);
}

/* With the lock held.  NULL: all have taps, or it is the end. */
static struct spare *free_place(struct reaper *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->spares) && !r->ending; i++) {
		if (!r->spares[i].tap[0])
			return &r->spares[i];
	}
	return NULL;
}

/* By the thread, without the lock: a place that is free stays so meanwhile, since nobody else fills one. */
static bool set_aside(struct reaper *r, const struct job *j, struct spare *place)
{
	struct spare spare = { .bridge = j->bridge };
	struct err e;

	if (!place || netlink_tap_set_aside(r->nl, j->tap, j->bridge, &j->vm_mac, &spare.ifindex, &e) < 0)
		return false;
	str_copy(spare.tap, j->tap);
	pthread_mutex_lock(&r->lock);
	*place = spare;
	pthread_mutex_unlock(&r->lock);
	return true;
}

/* Both clocks of a fake-clock test differ from the kernel's, so the real one is asked. */
static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * MS_PER_S + (uint64_t)t.tv_nsec / NS_PER_MS;
}

/* With the lock held: the next job that is due, or NULL at the end. */
static struct job *next_job(struct reaper *r)
{
	for (;;) {
		struct job *j = TAILQ_FIRST(&r->jobs);
		struct timespec until;

		if (j && (r->ending || j->due_ms <= now_ms()))
			return j;
		if (!j && r->ending)
			return NULL;
		if (!j) {
			pthread_cond_wait(&r->changed, &r->lock);
			continue;
		}
		until.tv_sec = (time_t)(j->due_ms / MS_PER_S);
		until.tv_nsec = (long)(j->due_ms % MS_PER_S * NS_PER_MS);
		pthread_cond_timedwait(&r->changed, &r->lock, &until);
	}
}

static void *run(void *arg)
{
	struct reaper *r = arg;
	struct spare *place;
	struct job *j;

	pthread_mutex_lock(&r->lock);
	while ((j = next_job(r))) {
		TAILQ_REMOVE(&r->jobs, j, next);
		str_copy(r->deleting, j->tap);
		place = j->bridge ? free_place(r) : NULL;
		pthread_mutex_unlock(&r->lock);
		if (*j->tap && !set_aside(r, j, place))
			delete_tap(r->nl, j->tap);
		fd_close(&j->fd);
		free(j);
		pthread_mutex_lock(&r->lock);
		r->deleting[0] = '\0';
		pthread_cond_broadcast(&r->done);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct reaper *r)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&r->thread, NULL, run, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

struct reaper *reaper_new(struct err *e)
{
	struct reaper *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;
	int error;

	if (!r) {
		err_set(e, -ENOMEM, "no memory for the thread that cleans up");
		return NULL;
	}
	TAILQ_INIT(&r->jobs);
	r->nl = netlink_new(e);
	if (!r->nl) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_cond_init(&r->done, &attr);
	pthread_condattr_destroy(&attr);
	error = start_thread(r);
	if (error < 0) {
		err_set_errno(e, error, "cannot start the thread that cleans up");
		netlink_free(r->nl);
		free(r);
		return NULL;
	}
	return r;
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->ending = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(r->spares); i++) {
		if (r->spares[i].tap[0])
			delete_tap(r->nl, r->spares[i].tap);
	}
	pthread_cond_destroy(&r->changed);
	pthread_cond_destroy(&r->done);
	pthread_mutex_destroy(&r->lock);
	netlink_free(r->nl);
	free(r);
}

static struct job *job_new(int fd, const char *tap, uint64_t delay_ms)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->fd = fd;
	str_copy(j->tap, tap);
	j->due_ms = now_ms() + delay_ms;
	return j;
}

static void add_job(struct reaper *r, struct job *j)
{
	struct job *later;

	pthread_mutex_lock(&r->lock);
	TAILQ_FOREACH (later, &r->jobs, next) {
		if (later->due_ms > j->due_ms)
			break;
	}
	if (later)
		TAILQ_INSERT_BEFORE(later, j, next);
	else
		TAILQ_INSERT_TAIL(&r->jobs, j, next);
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void reaper_close(struct reaper *r, int fd)
{
	struct job *j;

	if (fd < 0)
		return;
	j = job_new(fd, "", REAPER_DELAY_MS);
	if (j)
		add_job(r, j);
	else
		close(fd);
}

void reaper_delete_tap(struct reaper *r, const char *ifname)
{
	struct job *j = job_new(-1, ifname, 0);
	struct err e;

	if (j) {
		add_job(r, j);
		return;
	}
	struct netlink *nl = netlink_new(&e);

	if (nl)
		delete_tap(nl, ifname);
	netlink_free(nl);
}

void reaper_spare_tap(struct reaper *r, const char *ifname, int bridge, const struct mac_addr *vm_mac)
{
	struct job *j = job_new(-1, ifname, 0);

	if (!j) {
		reaper_delete_tap(r, ifname);
		return;
	}
	j->bridge = bridge;
	j->vm_mac = *vm_mac;
	add_job(r, j);
}

/* With the lock held: the one that has this name, wherever it is; else any of this bridge.  Its place is free then. */
static bool take_spare(struct reaper *r, const char *ifname, int bridge, struct spare *out)
{
	struct spare *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(r->spares); i++) {
		struct spare *s = &r->spares[i];
		bool its_own = strcmp(s->tap, ifname) == 0;

		if (its_own || (s->tap[0] && s->bridge == bridge))
			found = s;
		if (its_own)
			break;
	}
	if (!found)
		return false;
	*out = *found;
	found->tap[0] = '\0';
	return true;
}

static bool rename_spare(struct netlink *nl, const struct spare *s, const char *ifname)
{
	struct err e;

	if (strcmp(s->tap, ifname) == 0)
		return true;
	if (netlink_tap_rename(nl, s->ifindex, ifname, &e) == 0)
		return true;
	delete_tap(nl, s->tap);
	return false;
}

bool reaper_keep_tap(struct reaper *r, struct netlink *nl, const char *ifname, int bridge)
{
	struct job *j, *next;
	struct spare spare;
	bool found;

	pthread_mutex_lock(&r->lock);
	for (j = TAILQ_FIRST(&r->jobs); j; j = next) {
		next = TAILQ_NEXT(j, next);
		if (strcmp(j->tap, ifname) != 0)
			continue;
		TAILQ_REMOVE(&r->jobs, j, next);
		free(j);
	}
	while (strcmp(r->deleting, ifname) == 0)
		pthread_cond_wait(&r->done, &r->lock);
	found = take_spare(r, ifname, bridge, &spare);
	pthread_mutex_unlock(&r->lock);
	return found && rename_spare(nl, &spare, ifname);
}
