/* What guests say.  A guest's words come on a stream that the launcher gives us (a backend made it), so that no
 * process with privileges reads them.  They are lines (guest_words.h); what they mean is the launcher's business.
 *
 * A guest may say whatever it likes, as often as it likes.  One read takes at most READ_BYTES, becomes at most one
 * message to the launcher, and takes a token; when there is none left, the stream is not looked at before there is.
 * What it writes meanwhile waits in its hypervisor, which makes it wait in turn.
 *
 * A service has one stream.  A new one takes the place of the last.
 */
#include <event2/event.h>
#include <sys/socket.h>

#include "base/bucket.h"
#include "base/log.h"
#include "synproxy/guest_words.h"
#include "synproxy/synproxy.h"

enum { READ_BYTES = 1024, READS_AT_ONCE = 10, READS_PER_S = 10 };

struct guest {
	struct synproxy *s;
	struct msg_guest id;
	int fd;
	struct event *readable, *again;
	struct bucket reads;
	struct guest_words words;
	bool garbled; /* that was told */
	bool stale; /* not yet mentioned in the snapshot that is coming in */
};

static void guest_free(struct guest *g)
{
	g->s->guests[g->id.svc] = NULL;
	if (g->readable)
		event_free(g->readable);
	if (g->again)
		event_free(g->again);
	fd_close(&g->fd);
	free(g);
}

static void tell(struct guest *g, struct msg_guest_said *m)
{
	m->svc = g->id.svc;
	m->gen = g->id.gen;
	m->stream = g->id.stream;
	m->garbled = m->garbled && !g->garbled;
	g->garbled = g->garbled || m->garbled;
	if (m->ready || m->use != GUEST_UNSAID || m->has_lease || m->garbled || m->ended)
		child_tell(g->s->child, MSG_GUEST_SAID, m);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;

	(void)fd;
	(void)what;
	event_add(g->readable, NULL);
}

/* Not before there is a token. */
static void rest(struct guest *g, uint64_t now_ns)
{
	struct timeval tv = clock_timeval_ms((bucket_ready_ns(&g->reads) - now_ns) / NS_PER_MS + 1);

	event_del(g->readable);
	event_add(g->again, &tv);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	struct msg_guest_said m = { .ready = false };
	uint64_t now_ns = clock_now_ns();
	char bytes[READ_BYTES];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		guest_words_read(&g->words, bytes, (size_t)n, &m);
	m.ended = n <= 0;
	tell(g, &m);
	if (m.ended) {
		guest_free(g);
		return;
	}
	bucket_pass(&g->reads, now_ns);
	if (bucket_level(&g->reads, now_ns) == 0)
		rest(g, now_ns);
}

static bool begin(struct guest *g)
{
	struct event_base *base = child_base(g->s->child);

	g->readable = event_new(base, g->fd, EV_READ | EV_PERSIST, on_readable, g);
	g->again = evtimer_new(base, on_again, g);
	return g->readable && g->again && event_priority_set(g->readable, PRIORITY_FRAMES) == 0 &&
	       event_add(g->readable, NULL) == 0;
}

void guests_open(struct synproxy *s, const struct msg_guest *m, int *fd)
{
	struct guest *g = m->svc < SLOTS_MAX ? s->guests[m->svc] : NULL;

	if (m->svc >= SLOTS_MAX || *fd < 0) {
		log_limited(LOG_ERROR, "the launcher gave a guest without its stream, or of no service");
		return;
	}
	if (g && g->id.gen == m->gen && g->id.stream == m->stream) {
		g->stale = false;
		return;
	}
	if (g)
		guest_free(g);
	g = calloc(1, sizeof(*g));
	if (!g) {
		log_limited(LOG_ERROR, "a guest is not heard: no memory");
		return;
	}
	*g = (struct guest){ .s = s, .id = *m, .fd = *fd, .reads = { READS_AT_ONCE, READS_PER_S, 0 } };
	*fd = -1;
	s->guests[m->svc] = g;
	if (begin(g))
		return;
	log_limited(LOG_ERROR, "a guest is not heard: no memory for its stream");
	guest_free(g);
}

void guests_close(struct synproxy *s, const struct msg_guest *m)
{
	struct guest *g = m->svc < SLOTS_MAX ? s->guests[m->svc] : NULL;

	if (g && g->id.gen == m->gen && g->id.stream == m->stream)
		guest_free(g);
}

void guests_mark_stale(struct synproxy *s)
{
	for (uint32_t svc = 0; svc < SLOTS_MAX; svc++) {
		if (s->guests[svc])
			s->guests[svc]->stale = true;
	}
}

void guests_end_stale(struct synproxy *s)
{
	for (uint32_t svc = 0; svc < SLOTS_MAX; svc++) {
		if (s->guests[svc] && s->guests[svc]->stale)
			guest_free(s->guests[svc]);
	}
}

void guests_end(struct synproxy *s)
{
	guests_mark_stale(s);
	guests_end_stale(s);
}
