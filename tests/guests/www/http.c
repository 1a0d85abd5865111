/* The web server: a page about this boot, and downloads of any length.
 *
 *     GET /                        name, boot and uptime, one line each
 *     GET /big?bytes=N             N bytes, as fast as TCP goes
 *     GET /slow?bytes=N&rate=R     N bytes, R of them per second
 *     GET /poweroff                an answer, then the power goes off
 *     GET /crash                   the guest dies, without an answer
 *
 * A download consists of lines of 16 bytes, each the decimal offset of its own
 * first byte, so that any piece can be made from its offset alone, and checked
 * with `seq -f %015.0f 0 16 N`.
 *
 * A session lives as long as its connection: it gathers one request, then holds
 * the head of the answer (with the whole page, if that is short).  Requests
 * longer than the buffer are refused, and whatever follows a request is thrown
 * away: every answer closes the connection. */
#include "lib.h"
#include "options.h"
#include "platform.h"
#include "services.h"

enum {
    REQUEST_MAX = 1024, HEAD_MAX = 512,
    LINE = 16,                          /* of a download */
    BYTES_DEFAULT = 1 << 20, RATE_DEFAULT = 10000,
    BYTES_MAX = 0x7fff0000,             /* offsets stay comparable by sign */
    SLOW_STEP = 20000,                  /* microseconds between two pieces */
};

struct session {
    char request[REQUEST_MAX + 1];
    size_t length;
    bool answered;
    bool quiet;                 /* HEAD: announce the body, do not send it */
    char head[HEAD_MAX];
    uint32_t head_length;
    uint32_t body;              /* bytes of download after the head */
    uint32_t rate;              /* bytes per second; 0: no limit */
    uint64_t started;
};

static struct session sessions[TCP_CONNECTIONS];

/* --- answers --- */

static void answer(struct session *session, const char *status, uint32_t length,
                   const char *page)
{
    struct text head = { .start = session->head, .room = sizeof session->head };

    text_add(&head, "HTTP/1.1 ");
    text_add(&head, status);
    text_add(&head, "\r\nContent-Type: text/plain\r\nContent-Length: ");
    text_add_number(&head, length, 10, 1);
    text_add(&head, "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
    if (!session->quiet)
        text_add(&head, page);
    session->head_length = (uint32_t)head.length;
    session->answered = true;
    session->started = platform_now();
}

static void answer_page(struct session *session, const char *status, const char *page)
{
    answer(session, status, (uint32_t)text_length(page), page);
}

/* The number after "key=" in the query string, or @otherwise. */
static uint32_t argument(const char *query, const char *key, uint32_t otherwise)
{
    uint32_t value = otherwise;

    while (*query) {
        const char *at = text_starts(query, key);

        if (at)
            text_number(&at, 10, &value);
        while (*query && *query++ != '&')
            ;
    }
    return value;
}

static void serve_about(struct session *session, const char *query)
{
    static char page[160];
    struct text text = { .start = page, .room = sizeof page };
    uint64_t milliseconds = platform_now() / 1000;

    (void)query;
    text_add(&text, "name ");
    text_add(&text, options.name);
    text_add(&text, "\nboot ");
    text_add(&text, options.boot);
    text_add(&text, "\nuptime ");
    text_add_number(&text, (uint32_t)(milliseconds / 1000), 10, 1);
    text_add(&text, ".");
    text_add_number(&text, (uint32_t)(milliseconds - milliseconds / 1000 * 1000), 10, 3);
    text_add(&text, " s\n");
    answer_page(session, "200 OK", page);
}

static void serve_download(struct session *session, const char *query)
{
    uint32_t bytes = argument(query, "bytes=", BYTES_DEFAULT);

    if (bytes > BYTES_MAX)
        bytes = BYTES_MAX;
    answer(session, "200 OK", bytes, "");
    session->body = session->quiet ? 0 : bytes;
}

static void serve_slow(struct session *session, const char *query)
{
    serve_download(session, query);
    session->rate = argument(query, "rate=", RATE_DEFAULT);
}

static void serve_poweroff(struct session *session, const char *query)
{
    (void)query;
    answer_page(session, "200 OK", "powering off\n");
    guest_off_soon();
}

static void serve_crash(struct session *session, const char *query)
{
    (void)session;
    (void)query;
    platform_crash();
}

/* /say?lease+5 */
static void serve_say(struct session *session, const char *query)
{
    char line[64];
    struct text text = { .start = line, .room = sizeof line };

    line[0] = '\0';
    for (char letter[2] = { 0 }; *query; query++) {
        letter[0] = *query == '+' ? ' ' : *query;
        text_add(&text, letter);
    }
    guest_say(line);
    answer_page(session, "200 OK", "said\n");
}

static void serve_shout(struct session *session, const char *query)
{
    guest_shout(argument(query, "times=", 1000));
    answer_page(session, "200 OK", "shouting\n");
}

static const struct {
    const char *path;
    void (*serve)(struct session *session, const char *query);
} routes[] = {
    { "/", serve_about },
    { "/big", serve_download },
    { "/slow", serve_slow },
    { "/say", serve_say },
    { "/shout", serve_shout },
    { "/poweroff", serve_poweroff },
    { "/crash", serve_crash },
};

/* --- requests --- */

static void dispatch(struct session *session, const char *target)
{
    for (size_t row = 0; row < COUNT(routes); row++) {
        const char *rest = text_starts(target, routes[row].path);

        if (!rest || (*rest != '\0' && *rest != '?'))
            continue;
        routes[row].serve(session, *rest ? rest + 1 : rest);
        return;
    }
    answer_page(session, "404 Not Found", "no such page\n");
}

/* Cuts the word at @at off, if a space ends it; returns what follows. */
static char *cut_word(char *at)
{
    while (*at > ' ')
        at++;
    if (*at != ' ')
        return NULL;
    *at = '\0';
    return at + 1;
}

static void handle(struct session *session)
{
    char *target = cut_word(session->request);
    char *version = target ? cut_word(target) : NULL;
    const char *method = session->request;

    if (!version || *target != '/' || !text_starts(version, "HTTP/1.")) {
        answer_page(session, "400 Bad Request", "bad request\n");
        return;
    }
    session->quiet = !memcmp(method, "HEAD", 5);
    if (session->quiet || !memcmp(method, "GET", 4))
        dispatch(session, target);
    else
        answer_page(session, "405 Method Not Allowed", "only GET and HEAD\n");
}

/* The empty line that ends a request, with or without carriage returns. */
static bool complete(const struct session *session)
{
    const char *at = session->request;

    for (; *at; at++)
        if (text_starts(at, "\n\r\n") || text_starts(at, "\n\n"))
            return true;
    return false;
}

/* --- what TCP calls --- */

static void http_open(unsigned id)
{
    struct session *session = &sessions[id];

    session->length = 0;
    session->answered = session->quiet = false;
    session->head_length = session->body = session->rate = 0;
}

static size_t http_room(unsigned id)
{
    const struct session *session = &sessions[id];

    return session->answered ? REQUEST_MAX : REQUEST_MAX - session->length;
}

static size_t http_receive(unsigned id, const uint8_t *data, size_t length)
{
    struct session *session = &sessions[id];

    if (session->answered)
        return length;          /* and forget it */
    if (length > REQUEST_MAX - session->length)
        length = REQUEST_MAX - session->length;
    memcpy(session->request + session->length, data, length);
    session->length += length;
    session->request[session->length] = '\0';
    if (complete(session))
        handle(session);
    else if (session->length == REQUEST_MAX)
        answer_page(session, "431 Request Header Fields Too Large", "too long\n");
    return length;
}

/* A peer that hangs up in the middle of a request gets no answer. */
static void http_end(unsigned id)
{
    sessions[id].answered = true;
}

static uint32_t http_ready(unsigned id, bool *final)
{
    const struct session *session = &sessions[id];
    uint32_t body = session->body;
    uint64_t due;

    if (!session->answered)
        return 0;
    if (session->rate) {
        due = (platform_now() - session->started) * session->rate / 1000000;
        body = due < body ? (uint32_t)due : body;
    }
    *final = body == session->body;
    return session->head_length + body;
}

static uint64_t http_wake(unsigned id)
{
    bool final = true;

    if (sessions[id].answered)
        http_ready(id, &final);
    return final ? NEVER : platform_now() + SLOW_STEP;
}

/* Writes the line that begins at @offset. */
static void line_format(char *line, uint32_t offset)
{
    line[LINE - 1] = '\n';
    for (int at = LINE - 2; at >= 0; at--) {
        line[at] = (char)('0' + offset % 10);
        offset /= 10;
    }
}

/* The line after it: sixteen more, digit by digit. */
static void line_advance(char *line)
{
    unsigned carry = LINE;

    for (int at = LINE - 2; carry; at--) {
        carry += (unsigned)(line[at] - '0');
        line[at] = (char)('0' + carry % 10);
        carry /= 10;
    }
}

static void download_read(uint32_t offset, uint8_t *to, size_t length)
{
    char line[LINE] __attribute__((aligned(4)));
    size_t skip = offset % LINE, piece;

    line_format(line, offset - (uint32_t)skip);
    while (length) {
        piece = LINE - skip < length ? LINE - skip : length;
        memcpy(to, line + skip, piece);
        to += piece;
        length -= piece;
        skip = 0;
        line_advance(line);
    }
}

static void http_read(unsigned id, uint32_t offset, uint8_t *to, size_t length)
{
    const struct session *session = &sessions[id];
    size_t piece = 0;

    if (offset < session->head_length) {
        piece = session->head_length - offset;
        piece = piece < length ? piece : length;
        memcpy(to, session->head + offset, piece);
    }
    if (piece < length)
        download_read(offset + (uint32_t)piece - session->head_length, to + piece,
                      length - piece);
}

const struct tcp_service http_service = {
    .open = http_open, .room = http_room, .receive = http_receive, .end = http_end,
    .ready = http_ready, .read = http_read, .wake = http_wake,
};
