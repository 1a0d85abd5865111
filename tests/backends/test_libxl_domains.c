/* The table of domains and the notes of those that are ours, with a Xen in this process: libxl's functions are
 * here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>

#include "backends/libxl_domains.h"
#include "backends/watches.h"
#include "base/clock.h"
#include "tests/backends/xenstore.h"

#define UUID "12345678-9abc-4def-8123-456789abcdef"

enum { DOMAINS = 4, WAIT_MS = 10000 };

/* ---- a Xen ---- */

static struct {
	pthread_mutex_t lock;
	libxl_dominfo domains[DOMAINS]; /* under lock */
	int n; /* under lock */
	unsigned looks, destroyed[DOMAINS], n_destroyed; /* under lock */
} xen = { .lock = PTHREAD_MUTEX_INITIALIZER };

int libxl_ctx_alloc(libxl_ctx **out, int version, unsigned flags, xentoollog_logger *logger)
{
	(void)version;
	(void)flags;
	(void)logger;
	*out = (libxl_ctx *)&xen;
	return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
	(void)ctx;
	return 0;
}

void libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *hooks, void *user)
{
	(void)ctx;
	(void)hooks;
	(void)user;
}

void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user)
{
	(void)ctx;
	(void)hooks;
	(void)user;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
	(void)ctx;
	(void)hooks;
	(void)user;
}

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user, libxl_evgen_domain_death **out)
{
	(void)ctx;
	(void)domid;
	(void)user;
	*out = NULL;
	return 0;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *n)
{
	libxl_dominfo *list = malloc(sizeof(xen.domains));

	(void)ctx;
	assert_non_null(list);
	pthread_mutex_lock(&xen.lock);
	memcpy(list, xen.domains, sizeof(xen.domains));
	*n = xen.n;
	xen.looks++;
	pthread_mutex_unlock(&xen.lock);
	return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int n)
{
	(void)n;
	free(list);
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
	(void)ctx;
	(void)domid;
	return strdup("jitsu-a");
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	pthread_mutex_lock(&xen.lock);
	assert_true(xen.n_destroyed < DOMAINS);
	xen.destroyed[xen.n_destroyed++] = domid;
	pthread_mutex_unlock(&xen.lock);
	return 0;
}

/* ---- a world ---- */

static struct event_base *base;
static struct xl_domains *domains;
static struct xl_notes notes;
static char dir[] = "/tmp/jitsu-test-XXXXXX";
static libxl_uuid uuid;
static unsigned n_stopped;

static void on_event(void *arg, const struct msg_be_event *event)
{
	(void)arg;
	n_stopped += event->what == EVENT_STOPPED;
}

static void on_console(void *arg, const char *name, const char *tty)
{
	(void)arg;
	(void)name;
	(void)tty;
}

static void on_lost(void *arg, const char *why)
{
	(void)arg;
	fail_msg("%s", why);
}

/* All domains have the one UUID. */
static void set_domains(int n, const libxl_dominfo *list)
{
	pthread_mutex_lock(&xen.lock);
	xen.n = n;
	for (int i = 0; i < n; i++) {
		xen.domains[i] = list[i];
		xen.domains[i].uuid = uuid;
	}
	pthread_mutex_unlock(&xen.lock);
}

static unsigned count(const unsigned *of)
{
	unsigned n;

	pthread_mutex_lock(&xen.lock);
	n = *of;
	pthread_mutex_unlock(&xen.lock);
	return n;
}

static void turn(void)
{
	struct timeval limit = { 0, 10000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

/* The thread has looked, and looked again since: what it found first is done. */
static void wait_for_looks(void)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	unsigned wanted = count(&xen.looks) + 3;

	while (count(&xen.looks) < wanted && clock_now_ms() < until)
		turn();
	assert_true(count(&xen.looks) >= wanted);
}

static void begin(void)
{
	static const struct xl_domains_ops ops = { .event = on_event, .console = on_console, .lost = on_lost };
	struct err e;

	domains = xl_domains_new(base, &notes, &ops, NULL);
	assert_non_null(domains);
	assert_int_equal(xl_domains_open(domains, &e), 0);
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	evthread_use_pthreads();
	base = event_base_new();
	store_begin();
	if (watches_init(base) < 0 || libxl_uuid_from_string(&uuid, UUID) != 0)
		return -1;
	return mkdtemp(dir) ? xl_notes_init(&notes, dir, &e) : -1;
}

/* The thread of a table ends with its process. */
static int teardown(void **state)
{
	(void)state;
	xl_note_set(&notes, &uuid, XL_NOTE_NONE);
	rmdir(notes.dir);
	return rmdir(dir);
}

/* ---- cases ---- */

static void test_leftovers(void **state)
{
	struct xl_ctx x = { .xl = NULL };

	(void)state;
	xl_note_set(&notes, &uuid, XL_NOTE_BUILDING);
	set_domains(2, (libxl_dominfo[]){ { .domid = 5, .dying = true }, { .domid = 6, .paused = true } });
	assert_int_equal(xl_notes_clear(&notes, &x), 1);
	assert_int_equal(xen.n_destroyed, 2); /* the half built one, too */
	assert_int_equal(xen.destroyed[1], 6);
	assert_int_equal(xl_note_get(&notes, &uuid), XL_NOTE_NONE);
	xen.n_destroyed = 0;
}

static void test_one_that_dies_slowly(void **state)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	set_domains(1, (libxl_dominfo[]){ { .domid = 5, .running = true } });
	begin();
	set_domains(2, (libxl_dominfo[]){ { .domid = 5, .dying = true }, { .domid = 6, .running = true } });
	xl_domains_tell(domains, 5, &uuid, "jitsu-a", XL_GONE);
	xl_domains_tell(domains, 6, &uuid, "jitsu-a", XL_RUNNING);
	xl_note_set(&notes, &uuid, XL_NOTE_OURS);
	wait_for_looks();
	set_domains(1, (libxl_dominfo[]){ { .domid = 6, .running = true } });
	wait_for_looks();
	assert_int_equal(n_stopped, 1);
	assert_int_equal(xl_note_get(&notes, &uuid), XL_NOTE_OURS);
	set_domains(1, (libxl_dominfo[]){ { .domid = 6, .shutdown = true } });
	while (count(&xen.n_destroyed) == 0 && clock_now_ms() < until + WAIT_MS)
		turn();
	assert_int_equal(count(&xen.destroyed[0]), 6); /* nobody else would */
	set_domains(0, NULL);
	wait_for_looks();
	assert_int_equal(xl_note_get(&notes, &uuid), XL_NOTE_NONE);
	assert_int_equal(n_stopped, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_leftovers), cmocka_unit_test(test_one_that_dies_slowly) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
