/* The table of requests under way.
 *
 *               the launcher is there                     end, error, cancel
 *     WAITING -------------------------> SENT ------------------------------------> FREE
 *        |  ^                             |
 *        |  +-----------------------------+  the launcher went away, nothing was told yet,
 *        |                                   and asking again does no harm
 *        +--> FREE  after REQUESTS_WAIT_MS
 *
 * The launcher's answers name a request by a number of ours: the row's index in the low bits, and
 * above them how often the row was used.  So an answer is found without a search, and one that is
 * late, to a request that was cancelled, names nobody.  The client's own id is never sent to the
 * launcher: it is foreign text, and two clients may use the same.
 *
 * The table has room for every client's full share, so that no client can take another's.  Looking
 * for the requests of one client walks it all; that happens when a client comes, asks or goes, not
 * for each row of an answer.
 */
#include "control/requests.h"

#include <assert.h>

enum { INDEX_BITS = 10 };
static_assert(REQUESTS_MAX <= 1 << INDEX_BITS, "an index does not fit");

struct requests {
	struct request rows[REQUESTS_MAX];
	uint32_t uses[REQUESTS_MAX];
};

struct requests *requests_new(void) { return calloc(1, sizeof(struct requests)); }

void requests_free(struct requests *rs) { free(rs); }

struct request *requests_next(struct requests *rs, const struct request *after)
{
	for (size_t i = after ? (size_t)(after - rs->rows) + 1 : 0; i < REQUESTS_MAX; i++) {
		if (rs->rows[i].state != REQUEST_FREE)
			return &rs->rows[i];
	}
	return NULL;
}

unsigned requests_count(const struct requests *rs, uint32_t client)
{
	unsigned n = 0;

	for (size_t i = 0; i < REQUESTS_MAX; i++)
		n += rs->rows[i].state != REQUEST_FREE && rs->rows[i].client == client;
	return n;
}

struct request *requests_find_of(struct requests *rs, uint32_t client, const char *id)
{
	for (struct request *r = requests_next(rs, NULL); r; r = requests_next(rs, r)) {
		if (r->client == client && strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

struct request *requests_find(struct requests *rs, uint32_t id)
{
	size_t i = id & ((1u << INDEX_BITS) - 1);
	struct request *r = i < REQUESTS_MAX ? &rs->rows[i] : NULL;

	return r && r->state != REQUEST_FREE && r->msg.id == id ? r : NULL;
}

static struct request *free_row(struct requests *rs)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *r = &rs->rows[i];

		if (r->state != REQUEST_FREE)
			continue;
		rs->uses[i]++;
		*r = (struct request){ .msg.id = rs->uses[i] << INDEX_BITS | (uint32_t)i };
		return r;
	}
	return NULL;
}

struct request *requests_add(struct requests *rs, uint32_t client, const struct protocol_request *p,
			     uint64_t now_ms, struct err *e)
{
	struct request *r;
	uint32_t id;

	if (requests_find_of(rs, client, p->id)) {
		err_set(e, -EEXIST, "a request with this id is under way; give each one its own");
		return NULL;
	}
	r = requests_count(rs, client) < REQUESTS_PER_CLIENT ? free_row(rs) : NULL;
	if (!r) {
		err_set(e, -EBUSY, "%d requests are under way on this connection; wait for one to end",
			REQUESTS_PER_CLIENT);
		return NULL;
	}
	id = r->msg.id;
	r->msg = p->msg;
	r->msg.id = id;
	r->client = client;
	r->changes = p->needs_admin;
	str_copy(r->id, p->id);
	request_wait(r, now_ms);
	return r;
}

void requests_remove(struct requests *rs, struct request *r)
{
	assert(r >= rs->rows && r < rs->rows + REQUESTS_MAX && r->state != REQUEST_FREE);
	r->state = REQUEST_FREE;
}

void request_wait(struct request *r, uint64_t now_ms)
{
	r->state = REQUEST_WAITING;
	r->waiting_since_ms = now_ms;
}

bool request_waited_too_long(const struct request *r, uint64_t now_ms)
{
	return r->state == REQUEST_WAITING && now_ms - r->waiting_since_ms >= REQUESTS_WAIT_MS;
}
