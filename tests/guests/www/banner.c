/* A service that speaks first, as SSH and SMTP servers do: a greeting, then
 * every line comes back.
 *
 * The stream sent is kept in a ring from when it is received until the peer
 * has acknowledged it; the window offered is the room in the ring, so a peer
 * that does not read cannot overrun it. */
#include "lib.h"
#include "options.h"
#include "services.h"

enum { RING = 2048 };

struct session {
    uint8_t ring[RING];         /* byte at offset N of the stream: N % RING */
    uint32_t acknowledged;      /* offsets: the ring holds from here ... */
    uint32_t filled;            /* ... to here ... */
    uint32_t lines;             /* ... and whole lines end here */
    bool ended;
};

static struct session sessions[TCP_CONNECTIONS];

static size_t banner_room(unsigned id)
{
    const struct session *session = &sessions[id];

    return RING - (session->filled - session->acknowledged);
}

/* A line that fills the ring is as good as ended. */
static size_t banner_receive(unsigned id, const uint8_t *data, size_t length)
{
    struct session *session = &sessions[id];
    size_t room = banner_room(id), taken = length < room ? length : room;

    for (size_t i = 0; i < taken; i++) {
        session->ring[session->filled++ % RING] = data[i];
        if (data[i] == '\n')
            session->lines = session->filled;
    }
    if (taken == room)
        session->lines = session->filled;
    return taken;
}

static void banner_add(unsigned id, const char *string)
{
    banner_receive(id, (const uint8_t *)string, text_length(string));
}

static void banner_open(unsigned id)
{
    struct session *session = &sessions[id];

    session->acknowledged = session->filled = session->lines = 0;
    session->ended = false;
    banner_add(id, "name ");
    banner_add(id, options.name);
    banner_add(id, " ready\r\n");
}

static void banner_end(unsigned id)
{
    sessions[id].ended = true;
    sessions[id].lines = sessions[id].filled;
}

static uint32_t banner_ready(unsigned id, bool *final)
{
    *final = sessions[id].ended;
    return sessions[id].lines;
}

static void banner_read(unsigned id, uint32_t offset, uint8_t *to, size_t length)
{
    for (; length; length--)
        *to++ = sessions[id].ring[offset++ % RING];
}

/* The last acknowledgement also counts the FIN, which is not in the ring. */
static void banner_acknowledged(unsigned id, uint32_t offset)
{
    struct session *session = &sessions[id];

    session->acknowledged = offset < session->filled ? offset : session->filled;
}

const struct tcp_service banner_service = {
    .open = banner_open, .room = banner_room, .receive = banner_receive,
    .end = banner_end, .ready = banner_ready, .read = banner_read,
    .acknowledged = banner_acknowledged,
};
