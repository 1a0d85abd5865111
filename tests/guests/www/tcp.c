/* TCP for a server in a small machine.
 *
 * The problem: real clients, real losses and many connections at once, in few
 * lines.  What makes it small is that a connection holds no data.  Received
 * bytes go straight to the service, in order, or are dropped and sent again by
 * the peer; sent bytes are made again by the service (see tcp.h).
 *
 *     SYN --> SYN_RECEIVED --ack--> ESTABLISHED --our FIN--> FIN_WAIT_1
 *                                        |                   |        |
 *                                   peer's FIN              ack   peer's FIN
 *                                        v                   v        v
 *                                   CLOSE_WAIT          FIN_WAIT_2  CLOSING
 *                                        |                   |        |
 *                                     our FIN           peer's FIN   ack
 *                                        v                   v        v
 *                                    LAST_ACK --ack--> CLOSED <-- TIME_WAIT
 *
 * An RST, too many retransmissions or an eviction lead from every state to
 * CLOSED, which is a free slot.
 *
 * Slots are few, so a SYN takes, in this order: a free slot, the oldest one in
 * TIME_WAIT, the oldest half-open one that has had its second, the one idle
 * for longest if that is long.  Otherwise the SYN is dropped and the client
 * tries again.  A half-open connection is let go of in silence: our initial
 * sequence number can be worked out again from the peer's acknowledgement, which
 * opens the connection all the same if it comes late (as with SYN cookies; of
 * the SYN's options nothing is remembered).  A flood of forged SYNs thus resets
 * nobody.
 *
 * tcp_input() only moves state.  tcp_run() sends, once per round of frames,
 * so that a burst received costs one acknowledgement.
 *
 * Losses: retransmission timer after RFC 6298, three duplicates and partial
 * acknowledgements after RFC 6582, slow start and congestion avoidance in their
 * plainest form.  A closed window is probed by the same timer.  No options but
 * the segment size: no scaling, no SACK, no timestamps.
 *
 * Initial sequence numbers depend on the boot and the time: a segment of a connection to an
 * earlier boot fits nothing here and gets an RST. */
#include "tcp.h"

#include "lib.h"
#include "options.h"
#include "platform.h"

enum {
    FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16,

    HEADER = 20, SEGMENT_DEFAULT = 536, SEGMENT_MAX = 1460,
    OPTION_END = 0, OPTION_NOTHING = 1, OPTION_SEGMENT = 2,

    LISTENERS = OPTIONS_PORTS + 1,

    MILLISECOND = 1000, SECOND = 1000 * MILLISECOND,
    RETRANSMIT_FIRST = 500 * MILLISECOND,
    RETRANSMIT_MIN = 200 * MILLISECOND,
    RETRANSMIT_MAX = 10 * SECOND,
    RETRIES = 8,
    TIME_WAIT_FOR = 2 * SECOND,
    FIN_WAIT_FOR = 30 * SECOND,
    HALF_OPEN_KEPT = SECOND,    /* against eviction */
    COOKIE_TIME = 8 * SECOND,   /* for so long an initial number stays the same */
    IDLE_KEPT = 60 * SECOND,
};

enum state {
    CLOSED, SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSING,
    TIME_WAIT, CLOSE_WAIT, LAST_ACK, STATES,
};

enum event { OPENED, FIN_SENT, FIN_ACKED, FIN_RECEIVED, EVENTS };

/* Rows and columns that cannot meet stay where they are. */
static const uint8_t next_state[STATES][EVENTS] = {
    /*                  OPENED        FIN_SENT      FIN_ACKED     FIN_RECEIVED */
    [CLOSED]       = { CLOSED,       CLOSED,       CLOSED,       CLOSED },
    [SYN_RECEIVED] = { ESTABLISHED,  SYN_RECEIVED, SYN_RECEIVED, SYN_RECEIVED },
    [ESTABLISHED]  = { ESTABLISHED,  FIN_WAIT_1,   ESTABLISHED,  CLOSE_WAIT },
    [FIN_WAIT_1]   = { FIN_WAIT_1,   FIN_WAIT_1,   FIN_WAIT_2,   CLOSING },
    [FIN_WAIT_2]   = { FIN_WAIT_2,   FIN_WAIT_2,   FIN_WAIT_2,   TIME_WAIT },
    [CLOSING]      = { CLOSING,      CLOSING,      TIME_WAIT,    CLOSING },
    [TIME_WAIT]    = { TIME_WAIT,    TIME_WAIT,    TIME_WAIT,    TIME_WAIT },
    [CLOSE_WAIT]   = { CLOSE_WAIT,   LAST_ACK,     CLOSE_WAIT,   CLOSE_WAIT },
    [LAST_ACK]     = { LAST_ACK,     LAST_ACK,     CLOSED,       LAST_ACK },
};

/* A segment received, its header taken apart. */
struct segment {
    uint16_t from_port, to_port;
    uint32_t sequence, acknowledged;
    uint8_t flags;
    uint16_t window;
    uint16_t peer_segment;      /* its MSS option, or the default */
    const uint8_t *data;
    size_t length;
};

struct connection {
    enum state state;
    struct host peer;
    uint16_t peer_port, local_port;
    const struct tcp_service *service;
    uint64_t heard;             /* when the peer last sent something */

    /* receiving */
    uint32_t expected;          /* next sequence number of the peer */
    uint32_t edge;              /* end of the window last advertised */
    bool acknowledge;           /* an acknowledgement is owed */

    /* sending: initial < unacknowledged <= next <= highest */
    uint32_t initial, unacknowledged, next, highest;
    uint32_t peer_window;
    uint16_t segment;           /* the largest the peer takes */

    /* losses */
    uint64_t timer;             /* NEVER: nothing is awaited */
    uint32_t timeout;           /* current, with backoff */
    uint32_t smoothed, variance;    /* round trip; smoothed 0: no sample yet */
    uint64_t timed_at;          /* NEVER: no segment is being timed */
    uint32_t timed;             /* sequence number that ends the sample */
    uint32_t congestion, threshold;
    uint32_t recover;           /* losses before this have been reacted to */
    bool recovering;
    uint8_t duplicates, retries;
};

static struct connection connections[TCP_CONNECTIONS];
static struct {
    uint16_t port;
    const struct tcp_service *service;
} listeners[LISTENERS];
static unsigned listener_count;

/* Sequence numbers wrap: compare by the sign of the difference. */
static bool before(uint32_t left, uint32_t right)
{
    return (int32_t)(left - right) < 0;
}

static uint32_t lesser(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

static uint32_t greater(uint32_t left, uint32_t right)
{
    return left > right ? left : right;
}

static unsigned id_of(const struct connection *connection)
{
    return (unsigned)(connection - connections);
}

static void step(struct connection *connection, enum event event)
{
    enum state next = next_state[connection->state][event];

    if (next == connection->state)
        return;
    connection->state = next;
    if (next == TIME_WAIT)
        connection->timer = platform_now() + TIME_WAIT_FOR;
    else if (next == FIN_WAIT_2)
        connection->timer = platform_now() + FIN_WAIT_FOR;
}

/* --- segments out --- */

static void header_put(uint8_t *tcp, uint16_t from, uint16_t to,
                       uint32_t sequence, uint32_t acknowledged, unsigned flags)
{
    memset(tcp, 0, HEADER);
    put16(tcp, from);
    put16(tcp + 2, to);
    put32(tcp + 4, sequence);
    put32(tcp + 8, acknowledged);
    tcp[12] = HEADER / 4 << 4;
    tcp[13] = (uint8_t)flags;
}

static void segment_end(const struct host *to, uint8_t *tcp, size_t length)
{
    uint32_t sum = net_pseudo_sum(to, NET_TCP, length);

    put16(tcp + 16, checksum(sum16(sum, tcp, length)));
    net_end(to, NET_TCP, length);
}

/* Refuses a segment that belongs to no connection (RFC 9293, 3.10.7.1). */
static void refuse(const struct host *to, const struct segment *in)
{
    uint32_t end = in->sequence + (uint32_t)in->length
        + !!(in->flags & SYN) + !!(in->flags & FIN);
    uint8_t *tcp;

    if (in->flags & RST)
        return;
    tcp = net_begin(to);
    if (in->flags & ACK)
        header_put(tcp, in->to_port, in->from_port, in->acknowledged, 0, RST);
    else
        header_put(tcp, in->to_port, in->from_port, 0, end, RST | ACK);
    segment_end(to, tcp, HEADER);
}

/* The window never shrinks: its right edge stays where it was promised. */
static uint32_t window(struct connection *connection)
{
    uint32_t room = (uint32_t)connection->service->room(id_of(connection));
    uint32_t edge = connection->expected + lesser(room, 0xffff);

    if (before(connection->edge, edge))
        connection->edge = edge;
    return connection->edge - connection->expected;
}

/* Sends @length bytes of the stream from sequence number @from on. */
static void send_segment(struct connection *connection, uint32_t from,
                         unsigned flags, size_t length)
{
    uint8_t *tcp = net_begin(&connection->peer);
    size_t header = HEADER;

    header_put(tcp, connection->local_port, connection->peer_port, from,
               connection->expected, flags);
    put16(tcp + 14, window(connection));
    if (flags & SYN) {
        tcp[header] = OPTION_SEGMENT;
        tcp[header + 1] = 4;
        put16(tcp + header + 2, SEGMENT_MAX);
        header += 4;
        tcp[12] = (uint8_t)(header / 4 << 4);
    }
    if (length)
        connection->service->read(id_of(connection),
                                  from - connection->initial - 1,
                                  tcp + header, length);
    segment_end(&connection->peer, tcp, header + length);
    connection->acknowledge = false;
}

static void send_synack(struct connection *connection)
{
    send_segment(connection, connection->initial, SYN | ACK, 0);
}

static void abort_connection(struct connection *connection)
{
    send_segment(connection, connection->highest, RST | ACK, 0);
    connection->state = CLOSED;
}

/* --- sending the stream --- */

static void arm(struct connection *connection)
{
    connection->timer = platform_now() + connection->timeout;
}

/* Sends one segment at @from, as long as @limit and the stream allow; it takes
 * the FIN with it if it ends the stream.  Returns the sequence numbers used. */
static uint32_t send_stream(struct connection *connection, uint32_t from, uint32_t limit)
{
    uint32_t offset = from - connection->initial - 1, ready, length;
    bool final = false;
    unsigned flags = ACK;

    ready = connection->service->ready(id_of(connection), &final);
    if (offset > ready)
        return 0;               /* beyond the FIN, which is out already */
    length = lesser(lesser(ready - offset, connection->segment), limit);
    final = final && offset + length == ready;
    if (!length && !final)
        return 0;
    if (offset + length == ready)
        flags |= PSH;
    if (final)
        flags |= FIN;
    send_segment(connection, from, flags, length);
    if (final)
        step(connection, FIN_SENT);
    return length + final;
}

/* How much may be sent now.  Less than a segment is held back while something
 * is in flight, unless it is all there is (RFC 9293, 3.8.6.2.1). */
static uint32_t allowance(const struct connection *connection)
{
    uint32_t flight = connection->next - connection->unacknowledged;
    uint32_t limit = lesser(connection->peer_window, connection->congestion);
    bool final = false;
    uint32_t ready = connection->service->ready(id_of(connection), &final);
    uint32_t unsent = ready - (connection->next - connection->initial - 1);

    limit = limit > flight ? limit - flight : 0;
    if (flight && limit < connection->segment && limit < unsent)
        return 0;
    return limit;
}

static void note_sent(struct connection *connection, uint32_t end)
{
    if (before(connection->next, end))
        connection->next = end;
    if (before(connection->highest, end))
        connection->highest = end;
}

static void output(struct connection *connection)
{
    uint32_t limit, sent;

    while ((limit = allowance(connection))) {
        bool fresh = connection->next == connection->highest;

        sent = send_stream(connection, connection->next, limit);
        if (!sent)
            break;
        note_sent(connection, connection->next + sent);
        if (fresh && connection->timed_at == NEVER) {
            connection->timed_at = platform_now();
            connection->timed = connection->next;
        }
        if (connection->timer == NEVER)
            arm(connection);
    }
}

static bool stream_waits(const struct connection *connection)
{
    bool final = false;
    uint32_t ready = connection->service->ready(id_of(connection), &final);

    return connection->next - connection->initial - 1 < ready + final;
}

/* --- losses --- */

static void round_trip(struct connection *connection, uint32_t sample)
{
    uint32_t error;

    connection->timed_at = NEVER;
    if (!connection->smoothed) {
        connection->smoothed = sample + 1;
        connection->variance = sample / 2;
    } else {
        error = greater(sample, connection->smoothed)
            - lesser(sample, connection->smoothed);
        connection->variance += error / 4 - connection->variance / 4;
        connection->smoothed += sample / 8 - connection->smoothed / 8;
    }
}

static void reset_timeout(struct connection *connection)
{
    uint32_t timeout = connection->smoothed + 4 * connection->variance;

    if (!connection->smoothed)
        timeout = RETRANSMIT_FIRST;
    connection->timeout =
        lesser(greater(timeout, RETRANSMIT_MIN), RETRANSMIT_MAX);
}

static void back_off(struct connection *connection)
{
    uint32_t flight = connection->highest - connection->unacknowledged;

    connection->threshold = greater(flight / 2, 2u * connection->segment);
    connection->timed_at = NEVER;
    connection->recover = connection->highest;
    connection->duplicates = 0;
}

/* The third duplicate, or an acknowledgement that shows one more hole. */
static void retransmit_hole(struct connection *connection)
{
    uint32_t from = connection->unacknowledged;

    note_sent(connection, from + send_stream(connection, from, connection->peer_window));
    connection->timed_at = NEVER;
    arm(connection);
}

/* Few segments in flight cannot cause three duplicates (RFC 5827). */
static unsigned duplicates_wanted(const struct connection *connection)
{
    uint32_t flight = connection->highest - connection->unacknowledged;
    uint32_t segments = flight / connection->segment;

    return segments >= 4 ? 3 : segments > 2 ? segments - 1 : 1;
}

static void duplicate(struct connection *connection)
{
    if (connection->recovering || before(connection->unacknowledged, connection->recover)
        || ++connection->duplicates < duplicates_wanted(connection))
        return;
    back_off(connection);
    connection->congestion = connection->threshold;
    connection->recovering = true;
    retransmit_hole(connection);
}

static void grow(struct connection *connection, uint32_t bytes)
{
    uint32_t segment = connection->segment;

    if (connection->congestion < connection->threshold)
        connection->congestion += lesser(bytes, segment);
    else
        connection->congestion += greater(segment * segment / connection->congestion, 1);
    connection->congestion = lesser(connection->congestion, 0x20000);
}

static void retransmission_timeout(struct connection *connection)
{
    uint32_t from = connection->unacknowledged;

    back_off(connection);
    connection->recovering = false;
    connection->congestion = connection->segment;
    connection->timeout = lesser(connection->timeout * 2, RETRANSMIT_MAX);
    arm(connection);
    connection->next = from;
    /* A closed window gets one byte, whose answer tells the window. */
    note_sent(connection, from + send_stream(connection, from,
                                             greater(connection->peer_window, 1)));
}

static void timer_expired(struct connection *connection)
{
    connection->timer = NEVER;
    if (connection->state == TIME_WAIT || connection->state == FIN_WAIT_2) {
        connection->state = CLOSED;
    } else if (connection->retries++ >= RETRIES) {
        abort_connection(connection);
    } else if (connection->state == SYN_RECEIVED) {
        connection->timeout *= 2;
        arm(connection);
        send_synack(connection);
    } else {
        retransmission_timeout(connection);
    }
}

/* --- opening --- */

static struct connection *find(const struct host *peer, const struct segment *in)
{
    for (unsigned id = 0; id < TCP_CONNECTIONS; id++) {
        struct connection *connection = &connections[id];

        if (connection->state != CLOSED && connection->peer_port == in->from_port
            && connection->local_port == in->to_port
            && !memcmp(connection->peer.address, peer->address, sizeof peer->address))
            return connection;
    }
    return NULL;
}

/* How cheap it is to lose a connection: 0, not to be lost. */
static unsigned expendable(const struct connection *connection)
{
    uint64_t idle = platform_now() - connection->heard;

    switch (connection->state) {
    case CLOSED:
        return 4;
    case TIME_WAIT:
        return 3;
    case SYN_RECEIVED:
        return idle > HALF_OPEN_KEPT ? 2 : 0;
    default:
        return idle > IDLE_KEPT ? 1 : 0;
    }
}

static struct connection *take_slot(void)
{
    struct connection *best = NULL;
    unsigned best_rank = 0;

    for (unsigned id = 0; id < TCP_CONNECTIONS; id++) {
        struct connection *connection = &connections[id];
        unsigned rank = expendable(connection);

        if (rank > best_rank
            || (rank && rank == best_rank && connection->heard < best->heard)) {
            best = connection;
            best_rank = rank;
        }
    }
    if (best && best_rank == 1)
        abort_connection(best);
    return best;
}

static uint32_t cookie_time(void)
{
    return (uint32_t)(platform_now() / COOKIE_TIME);
}

/* A secret of this boot hashed with the addresses and the time: RFC 6528 in
 * spirit, with a hash that resists nobody. */
static uint32_t initial_sequence(const struct host *peer, const struct segment *in, uint32_t when)
{
    static uint32_t secret;
    uint32_t hash;

    if (!secret)
        secret = platform_random() | 1;
    hash = mix(secret ^ get32(peer->address + 12));
    hash = mix(hash ^ ((uint32_t)in->from_port << 16 | in->to_port));
    return mix(hash ^ when);
}

/* NULL: there is no room.  `expected` and `initial` are the first numbers of the
 * peer's side and ours. */
static struct connection *new_connection(const struct host *peer, const struct segment *in,
                                         const struct tcp_service *service,
                                         uint32_t expected, uint32_t initial)
{
    struct connection *connection = take_slot();

    if (!connection)
        return NULL;
    memset(connection, 0, sizeof *connection);
    connection->state = SYN_RECEIVED;
    connection->peer = *peer;
    connection->peer_port = in->from_port;
    connection->local_port = in->to_port;
    connection->service = service;
    connection->heard = platform_now();
    connection->expected = connection->edge = expected;
    connection->initial = initial;
    connection->unacknowledged = connection->initial;
    connection->next = connection->highest = connection->recover = connection->initial + 1;
    connection->peer_window = in->window;
    connection->segment = (uint16_t)lesser(in->peer_segment, SEGMENT_MAX);
    connection->congestion = 10u * connection->segment;
    connection->threshold = UINT32_MAX;
    connection->timed_at = NEVER;
    connection->timeout = RETRANSMIT_FIRST;
    service->open(id_of(connection));
    return connection;
}

static void accept(const struct host *peer, const struct segment *in,
                   const struct tcp_service *service)
{
    struct connection *connection =
        new_connection(peer, in, service, in->sequence + 1, initial_sequence(peer, in, cookie_time()));

    if (!connection)
        return;
    arm(connection);
    send_synack(connection);
}

static const struct tcp_service *listening(uint16_t port)
{
    for (unsigned i = 0; i < listener_count; i++)
        if (listeners[i].port == port)
            return listeners[i].service;
    return NULL;
}

void tcp_listen(uint16_t port, const struct tcp_service *service)
{
    if (listener_count < LISTENERS) {
        listeners[listener_count].port = port;
        listeners[listener_count++].service = service;
    }
}

/* --- segments in --- */

/* Does it acknowledge a SYN-ACK that we have sent lately? */
static bool answers_us(const struct host *from, const struct segment *in)
{
    uint32_t initial = in->acknowledged - 1;

    return (in->flags & (SYN | ACK | RST)) == ACK
        && (initial == initial_sequence(from, in, cookie_time())
            || initial == initial_sequence(from, in, cookie_time() - 1));
}

static void input_known(struct connection *connection, const struct host *from,
                        const struct segment *in);

static void open_late(const struct host *from, const struct segment *in,
                      const struct tcp_service *service)
{
    struct connection *connection =
        new_connection(from, in, service, in->sequence, in->acknowledged - 1);

    if (connection)     /* else the peer sends again, what it has to say or its FIN */
        input_known(connection, from, in);
}

/* The first segment of a connection is for us to answer, and the one that opens
 * it; all others are not. */
static void input_unknown(const struct host *from, const struct segment *in)
{
    const struct tcp_service *service = listening(in->to_port);

    if (service && (in->flags & (SYN | ACK | RST | FIN)) == SYN)
        accept(from, in, service);
    else if (service && answers_us(from, in))
        open_late(from, in, service);
    else
        refuse(from, in);
}

/* Only an RST at exactly the right place is believed (RFC 5961). */
static void input_reset(struct connection *connection, const struct segment *in)
{
    if (in->sequence == connection->expected)
        connection->state = CLOSED;
    else if (!before(in->sequence, connection->expected)
             && before(in->sequence, connection->edge))
        connection->acknowledge = true;
}

static void input_syn(struct connection *connection, const struct host *from,
                      const struct segment *in)
{
    const struct tcp_service *service = connection->service;

    if (connection->state == SYN_RECEIVED && in->sequence + 1 == connection->expected) {
        send_synack(connection);
    } else if (connection->state == SYN_RECEIVED || connection->state == TIME_WAIT) {
        connection->state = CLOSED;     /* the peer has begun anew */
        accept(from, in, service);
    } else {
        connection->acknowledge = true;
    }
}

static void progress(struct connection *connection, uint32_t acknowledged)
{
    uint32_t bytes = acknowledged - connection->unacknowledged;
    uint32_t offset = acknowledged - connection->initial - 1;

    connection->unacknowledged = acknowledged;
    if (before(connection->next, acknowledged))
        connection->next = acknowledged;
    if (connection->timed_at != NEVER && !before(acknowledged, connection->timed))
        round_trip(connection, (uint32_t)(platform_now() - connection->timed_at));
    connection->retries = 0;
    connection->duplicates = 0;
    reset_timeout(connection);
    if (acknowledged == connection->highest)
        connection->timer = NEVER;
    else
        arm(connection);
    if (connection->service->acknowledged)
        connection->service->acknowledged(id_of(connection), offset);
    if (connection->recovering && before(acknowledged, connection->recover)) {
        retransmit_hole(connection);
    } else {
        connection->recovering = false;
        grow(connection, bytes);
    }
}

static bool fin_is_out(const struct connection *connection)
{
    return connection->state == FIN_WAIT_1 || connection->state == CLOSING
        || connection->state == LAST_ACK;
}

static void input_ack(struct connection *connection, const struct segment *in)
{
    bool duplicated = !in->length && !(in->flags & FIN)
        && in->window && in->window == connection->peer_window
        && in->acknowledged == connection->unacknowledged
        && connection->unacknowledged != connection->highest;

    if (before(connection->highest, in->acknowledged)) {
        connection->acknowledge = true;
        return;
    }
    if (before(in->acknowledged, connection->unacknowledged))
        return;
    if (!connection->peer_window && in->window)
        connection->next = connection->unacknowledged;  /* the probe was lost */
    connection->peer_window = in->window;
    if (!in->window)
        connection->retries = 0;        /* alive, only slow */
    if (before(connection->unacknowledged, in->acknowledged))
        progress(connection, in->acknowledged);
    else if (duplicated)
        duplicate(connection);
    if (fin_is_out(connection) && connection->unacknowledged == connection->highest
        && !stream_waits(connection))
        step(connection, FIN_ACKED);
}

/* Takes what continues the stream.  Anything else only gets told where the
 * stream is. */
static void input_data(struct connection *connection, const struct segment *in)
{
    uint32_t skip = connection->expected - in->sequence;
    size_t taken = 0, fresh = in->length - skip;

    if (!in->length && !(in->flags & FIN))
        return;
    connection->acknowledge = true;
    if (fresh)
        taken = connection->service->receive(id_of(connection), in->data + skip, fresh);
    connection->expected += (uint32_t)taken;
    if (in->flags & FIN && taken == fresh
        && next_state[connection->state][FIN_RECEIVED] != connection->state) {
        connection->expected++;
        connection->service->end(id_of(connection));
        step(connection, FIN_RECEIVED);
    }
}

/* Does the segment begin at or before the byte expected, and not end before? */
static bool in_order(const struct connection *connection, const struct segment *in)
{
    uint32_t skip = connection->expected - in->sequence;

    return skip <= in->length;
}

static bool opens(struct connection *connection, const struct segment *in)
{
    if (connection->state != SYN_RECEIVED)
        return true;
    if (in->acknowledged != connection->initial + 1) {
        refuse(&connection->peer, in);
        return false;
    }
    connection->unacknowledged = in->acknowledged;
    connection->timer = NEVER;
    connection->retries = 0;
    reset_timeout(connection);
    step(connection, OPENED);
    return true;
}

static void input_known(struct connection *connection, const struct host *from,
                        const struct segment *in)
{
    connection->heard = platform_now();
    connection->peer = *from;           /* the way to the peer may change */
    if (in->flags & RST)
        input_reset(connection, in);
    else if (in->flags & SYN)
        input_syn(connection, from, in);
    else if (!in_order(connection, in))
        connection->acknowledge = true;
    else if (in->flags & ACK && opens(connection, in)) {
        input_ack(connection, in);
        input_data(connection, in);
    }
}

static uint16_t segment_option(const uint8_t *option, const uint8_t *end)
{
    while (option < end && *option != OPTION_END) {
        if (*option == OPTION_NOTHING) {
            option++;
            continue;
        }
        if (end - option < 2 || option[1] < 2 || option[1] > end - option)
            break;
        if (option[0] == OPTION_SEGMENT && option[1] == 4)
            return (uint16_t)greater(get16(option + 2), 64);
        option += option[1];
    }
    return SEGMENT_DEFAULT;
}

static bool parse(const uint8_t *tcp, size_t length, struct segment *in)
{
    size_t header = length >= HEADER ? (tcp[12] >> 4) * 4u : 0;

    if (header < HEADER || header > length)
        return false;
    in->from_port = get16(tcp);
    in->to_port = get16(tcp + 2);
    in->sequence = get32(tcp + 4);
    in->acknowledged = get32(tcp + 8);
    in->flags = tcp[13];
    in->window = get16(tcp + 14);
    in->peer_segment = segment_option(tcp + HEADER, tcp + header);
    in->data = tcp + header;
    in->length = length - header;
    return true;
}

void tcp_input(const struct host *from, const uint8_t *segment, size_t length)
{
    struct segment in;
    struct connection *connection;

    if (!parse(segment, length, &in)
        || checksum(sum16(net_pseudo_sum(from, NET_TCP, length), segment, length)))
        return;
    connection = find(from, &in);
    if (connection)
        input_known(connection, from, &in);
    else
        input_unknown(from, &in);
}

/* --- all that is due --- */

static bool sends(const struct connection *connection)
{
    return connection->state == ESTABLISHED || connection->state == CLOSE_WAIT
        || fin_is_out(connection);
}

/* A window that was closed has opened by enough to say so. */
static bool window_reopened(const struct connection *connection)
{
    uint32_t room = (uint32_t)connection->service->room(id_of(connection));
    uint32_t known = connection->edge - connection->expected;

    return connection->state == ESTABLISHED && room >= known + 512 && known < 512;
}

static uint64_t run_connection(struct connection *connection, uint64_t now)
{
    uint64_t wake;

    if (connection->timer <= now)
        timer_expired(connection);
    if (sends(connection)) {
        output(connection);
        if (connection->timer == NEVER && stream_waits(connection))
            arm(connection);            /* to probe the closed window */
    }
    if (connection->state == CLOSED)
        return NEVER;
    if (connection->acknowledge || window_reopened(connection))
        send_segment(connection, connection->next, ACK, 0);
    if (!sends(connection) || !connection->service->wake)
        return connection->timer;
    wake = connection->service->wake(id_of(connection));
    return wake < connection->timer ? wake : connection->timer;
}

uint64_t tcp_run(void)
{
    uint64_t now = platform_now(), wake, earliest = NEVER;

    for (unsigned id = 0; id < TCP_CONNECTIONS; id++) {
        if (connections[id].state == CLOSED)
            continue;
        wake = run_connection(&connections[id], now);
        if (wake < earliest)
            earliest = wake;
    }
    return earliest;
}
