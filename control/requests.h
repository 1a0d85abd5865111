/* Which requests of which clients are under way, and under which number the launcher knows them:
 * a fixed table, no sockets, time as an argument.
 */
#ifndef CONTROL_REQUESTS_H
#define CONTROL_REQUESTS_H

#include "control/protocol.h"

enum {
	REQUESTS_CLIENTS_MAX = 64,
	REQUESTS_PER_CLIENT = 16,
	REQUESTS_MAX = REQUESTS_CLIENTS_MAX * REQUESTS_PER_CLIENT,
	REQUESTS_WAIT_MS = 5000, /* for a launcher that is away */
};

struct requests;

enum request_state {
	REQUEST_FREE,
	REQUEST_WAITING, /* there is no launcher to ask */
	REQUEST_SENT,
};

/* A row of the table: borrowed, dies with requests_remove().  Across callbacks keep msg.id. */
struct request {
	enum request_state state;
	uint32_t client;
	char id[PROTOCOL_ID_MAX]; /* the client's, as JSON text */
	bool told; /* the client has had a part of the answer */
	bool changes; /* it does something, so that doing it twice is not the same */
	uint64_t waiting_since_ms;
	struct msg_ctl_request msg; /* msg.id is ours: unique for as long as it could be mistaken */
};

struct requests *requests_new(void); /* NULL: no memory */
void requests_free(struct requests *rs);

/* A new one, WAITING since `now_ms`.  NULL with *e: -EBUSY when the client has as many as it may,
 * -EEXIST when it uses this id already. */
struct request *requests_add(struct requests *rs, uint32_t client, const struct protocol_request *p,
			     uint64_t now_ms, struct err *e);
void requests_remove(struct requests *rs, struct request *r);

/* By the number the launcher says; NULL when that one is over. */
struct request *requests_find(struct requests *rs, uint32_t id);
/* By the client's own id; NULL when it has none such. */
struct request *requests_find_of(struct requests *rs, uint32_t client, const char *id);
unsigned requests_count(const struct requests *rs, uint32_t client);

/* All of them, in no order: NULL begins, NULL ends.  The one given may have been removed. */
struct request *requests_next(struct requests *rs, const struct request *after);

void request_wait(struct request *r, uint64_t now_ms);
bool request_waited_too_long(const struct request *r, uint64_t now_ms);

#endif
