/* Watchers.
 *
 *     launcher --event--> ring of the last WATCHERS_RING, as text
 *                          ^   ^      ^
 *                          |   |      +-- watcher: has read all
 *                          |   +--------- watcher: its socket is full
 *                          +------------- watcher: what it wanted next has left the ring
 *
 * An event is made text once, and kept in one ring for all.  A watcher is a place in that ring.  It is given
 * lines while little waits for it; then it stays where it is until its socket is empty again.  One whose place
 * has left the ring goes on at the oldest event there is, and is told first how many it has missed.  So a
 * watcher that never reads costs WATCHERS_OUTPUT and a small socket buffer, and after WATCHERS_STALL_S nothing.
 *
 * Lines go out FLUSH_MS after an event, with all that came in between, and to TURN watchers in one turn of the
 * loop, so that other clients' requests are served between them, however many watch.
 *
 * The launcher tells events only while there is a watcher.  The first it tells is "begin": from there on every
 * one comes.  That is also what a watcher sees when the launcher was restarted, and numbers begin anew.  An event
 * that the launcher counted and did not tell shows as a gap in the numbers; watchers are told of it.
 *
 * A connection that watches does nothing else: it no longer counts among the clients, who are far fewer.
 */
#include "control/watchers.h"

#include <event2/event.h>

#include "base/clock.h"

enum { FLUSH_MS = 20, TURN = 64 };

struct item {
	char service[MSG_NAME_MAX]; /* "": of interest to all */
	char *text; /* a JSON object; NULL: there was no memory for it */
	uint64_t missed; /* events before it that the launcher did not tell */
};

struct watcher {
	struct session *session; /* whose mark this is */
	size_t place; /* in watchers.v */
	char id[PROTOCOL_ID_MAX];
	char service[MSG_NAME_MAX]; /* "": all */
	uint64_t next; /* the item it is to have next */
	uint64_t missed; /* and not told yet */
};

struct watchers {
	struct event_base *base;
	void (*want)(void *arg, bool on);
	void *arg;
	struct watcher *v[WATCHERS_MAX];
	size_t n;
	struct item ring[WATCHERS_RING];
	uint64_t end; /* items so far: the newest is end - 1 */
	bool begun; /* the launcher tells us all */
	uint64_t newest; /* the number of its newest event */
	struct event *flush;
	size_t turn; /* whose turn is next */
	bool again; /* something came meanwhile */
};

/* ---- lines ---- */

static struct item *item_at(struct watchers *ws, uint64_t place) { return &ws->ring[place % WATCHERS_RING]; }

static bool wants(const struct watcher *w, const struct item *item)
{
	return item->text && (!w->service[0] || !item->service[0] || strcmp(w->service, item->service) == 0);
}

static void add_missed(struct watcher *w, struct buf *out)
{
	if (w->missed == 0)
		return;
	protocol_missed(w->id, w->missed, out);
	w->missed = 0;
}

/* What left the ring before the watcher came to it. */
static void skip_lost(const struct watchers *ws, struct watcher *w)
{
	uint64_t oldest = ws->end > WATCHERS_RING ? ws->end - WATCHERS_RING : 0;

	if (w->next >= oldest)
		return;
	w->missed += oldest - w->next;
	w->next = oldest;
}

static void deliver(struct watchers *ws, struct watcher *w)
{
	cleanup_buf struct buf lines = { 0 };
	size_t waits = session_output(w->session);

	if (waits >= WATCHERS_OUTPUT)
		return;
	skip_lost(ws, w);
	for (; w->next < ws->end && waits + lines.n < WATCHERS_OUTPUT; w->next++) {
		const struct item *item = item_at(ws, w->next);

		w->missed += item->missed + !item->text;
		if (!wants(w, item))
			continue;
		add_missed(w, &lines);
		protocol_event_line(w->id, item->text, &lines);
	}
	if (w->next == ws->end)
		add_missed(w, &lines);
	if (lines.n > 0 || lines.error)
		session_send(w->session, &lines);
}

/* ---- turns ---- */

static void flush_in(struct watchers *ws, uint64_t ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	event_add(ws->flush, &tv);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct watchers *ws = arg;

	(void)fd;
	(void)what;
	if (ws->turn == 0)
		ws->again = false;
	for (unsigned i = 0; i < TURN && ws->turn < WATCHERS_MAX; ws->turn++) {
		if (!ws->v[ws->turn])
			continue;
		deliver(ws, ws->v[ws->turn]);
		i++;
	}
	if (ws->turn < WATCHERS_MAX) {
		flush_in(ws, 0);
		return;
	}
	ws->turn = 0;
	if (ws->again)
		flush_in(ws, FLUSH_MS);
}

/* Takes `text`. */
static void push(struct watchers *ws, const char *service, char *text, uint64_t missed)
{
	struct item *item = item_at(ws, ws->end);

	free(item->text);
	*item = (struct item){ .text = text, .missed = missed };
	str_copy(item->service, service);
	ws->end++;
	ws->again = true;
	if (!event_pending(ws->flush, EV_TIMEOUT, NULL))
		flush_in(ws, FLUSH_MS);
}

/* ---- the launcher ---- */

void watchers_launcher_up(struct watchers *ws)
{
	if (ws->n > 0)
		ws->want(ws->arg, true);
}

void watchers_launcher_gone(struct watchers *ws) { ws->begun = false; }

void watchers_event(struct watchers *ws, const struct msg_ctl_event *m)
{
	cleanup_buf struct buf text = { 0 };
	uint64_t missed = 0;

	if (m->event == CTL_EVENT_BEGIN)
		ws->begun = true;
	else if (!ws->begun || m->event >= CTL_EVENT_N)
		return; /* of an earlier time */
	else if (m->number > ws->newest)
		missed = m->number - ws->newest - 1;
	ws->newest = m->number;
	protocol_event(m, &text);
	push(ws, m->service, text.error ? NULL : strdup(text.text), missed);
}

/* ---- who ---- */

const char *watchers_id(const struct session *s)
{
	const struct watcher *w = session_mark(s);

	return w ? w->id : NULL;
}

size_t watchers_count(const struct watchers *ws) { return ws->n; }

/* -errno with *e when there is none for that user. */
static int find_place(const struct watchers *ws, uid_t uid, size_t *place, struct err *e)
{
	size_t same = 0;

	*place = WATCHERS_MAX;
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		if (!ws->v[i])
			*place = MIN(*place, i);
		else
			same += session_peer(ws->v[i]->session)->uid == uid;
	}
	if (uid != 0 && same >= WATCHERS_PER_USER)
		return err_set(e, -EBUSY, "user %u watches %zu times already, which is as often as a user may", (unsigned)uid,
			       same);
	if (*place == WATCHERS_MAX || (uid != 0 && ws->n >= WATCHERS_MAX - WATCHERS_FOR_ROOT))
		return err_set(e, -EBUSY, "%zu clients watch already; try again later", ws->n);
	return 0;
}

/* Where it begins, unless the launcher is about to say so. */
static void say_begin(struct watchers *ws, struct watcher *w)
{
	struct msg_ctl_event m = { .event = CTL_EVENT_BEGIN, .number = ws->newest, .wall_ms = clock_wall_ms() };
	cleanup_buf struct buf text = { 0 }, line = { 0 };

	if (!ws->begun)
		return;
	protocol_event(&m, &text);
	if (!text.error)
		protocol_event_line(w->id, text.text, &line);
	session_send(w->session, &line);
}

int watchers_add(struct watchers *ws, struct session *s, const struct protocol_request *p, struct err *e)
{
	struct watcher *w;
	size_t place;

	if (find_place(ws, session_peer(s)->uid, &place, e) < 0)
		return e->code;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "out of memory");
	*w = (struct watcher){ .session = s, .place = place, .next = ws->end };
	str_copy(w->id, p->id);
	str_copy(w->service, p->msg.service);
	session_set_mark(s, w);
	ws->v[place] = w;
	ws->n++;
	session_be_patient(s, WATCHERS_STALL_S, WATCHERS_OUTPUT);
	if (ws->n == 1)
		ws->want(ws->arg, true);
	say_begin(ws, w);
	return 0;
}

bool watchers_remove(struct watchers *ws, struct session *s)
{
	struct watcher *w = session_mark(s);

	if (!w)
		return false;
	ws->v[w->place] = NULL;
	session_set_mark(s, NULL);
	free(w);
	ws->n--;
	if (ws->n > 0)
		return true;
	ws->begun = false;
	ws->want(ws->arg, false);
	return true;
}

void watchers_look_after(struct watchers *ws)
{
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		if (ws->v[i] && session_is_deserted(ws->v[i]->session))
			session_drop(ws->v[i]->session, NULL);
	}
}

void watchers_drained(struct watchers *ws, struct session *s)
{
	struct watcher *w = session_mark(s);

	if (w && w->next < ws->end)
		deliver(ws, w);
}

/* ---- life ---- */

struct watchers *watchers_new(struct event_base *base, void (*want)(void *arg, bool on), void *arg)
{
	struct watchers *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return NULL;
	ws->base = base;
	ws->want = want;
	ws->arg = arg;
	ws->flush = evtimer_new(base, on_flush, ws);
	if (ws->flush)
		return ws;
	free(ws);
	return NULL;
}

void watchers_free(struct watchers *ws)
{
	if (!ws)
		return;
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		if (ws->v[i])
			session_free(ws->v[i]->session);
		free(ws->v[i]);
	}
	for (size_t i = 0; i < WATCHERS_RING; i++)
		free(ws->ring[i].text);
	event_free(ws->flush);
	free(ws);
}
