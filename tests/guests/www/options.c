#include "options.h"

#include "lib.h"

struct options options = {
    .name = "www",
    .address = { 10, 0, 0, 2 },
    .ports = { { .number = 80 } },
    .port_count = 1,
    .banner_port = 22,
};

/* Parsers get the text after "key=", which ends at a space or at the end. */

static bool at_end(char c)
{
    return c == '\0' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void copy_word(const char *value, char *to, size_t room)
{
    size_t length = 0;

    while (!at_end(value[length]) && length + 1 < room) {
        to[length] = value[length];
        length++;
    }
    to[length] = '\0';
}

static void parse_name(const char *value)
{
    copy_word(value, options.name, sizeof options.name);
}

static void parse_boot(const char *value)
{
    copy_word(value, options.boot, sizeof options.boot);
}

/* Reads @count numbers with @separator between them: an address of any kind. */
static bool parse_bytes(const char *value, uint8_t *to, unsigned count,
                        unsigned base, char separator)
{
    uint8_t bytes[16];
    uint32_t number;

    for (unsigned i = 0; i < count; i++) {
        if (i && *value++ != separator)
            return false;
        if (!text_number(&value, base, &number) || number > 255)
            return false;
        bytes[i] = (uint8_t)number;
    }
    memcpy(to, bytes, count);
    return true;
}

static void parse_ip(const char *value)
{
    parse_bytes(value, options.address, sizeof options.address, 10, '.');
}

static void parse_mac(const char *value)
{
    options.mac_given = parse_bytes(value, options.mac, sizeof options.mac, 16, ':');
}

static void parse_filter(const char *value)
{
    uint8_t address[4];
    uint32_t length = 32;

    if (!parse_bytes(value, address, sizeof address, 10, '.'))
        return;
    while (!at_end(*value) && *value != '/')
        value++;
    if (*value++ == '/' && (!text_number(&value, 10, &length) || !length || length > 32))
        return;
    memcpy(options.filter, address, sizeof address);
    options.filter_mask = UINT32_MAX << (32 - length);
}

static void parse_ports(const char *value)
{
    uint32_t port, delay, count = 0;

    while (count < OPTIONS_PORTS && text_number(&value, 10, &port)) {
        delay = 0;
        if (*value == ':') {
            value++;
            text_number(&value, 10, &delay);
        }
        options.ports[count++] = (struct option_port){ (uint16_t)port, delay };
        if (*value++ != ',')
            break;
    }
    if (count)
        options.port_count = count;
}

/* One row per option: a number to store, or a function that knows better.
 * gw= is accepted and needs no row: answers go to the station that asked. */
static const struct {
    const char *key;
    uint32_t *number;
    void (*parse)(const char *value);
} rows[] = {
    { "arp_delay=", &options.arp_delay, NULL },
    { "banner=", &options.banner, NULL },
    { "banner_port=", &options.banner_port, NULL },
    { "boot=", NULL, parse_boot },
    { "filter=", NULL, parse_filter },
    { "hang=", &options.hang, NULL },
    { "ip=", NULL, parse_ip },
    { "listen_delay=", &options.listen_delay, NULL },
    { "loss=", &options.loss, NULL },
    { "mac=", NULL, parse_mac },
    { "mld=", &options.mld, NULL },
    { "mute=", &options.mute, NULL },
    { "name=", NULL, parse_name },
    { "port=", NULL, parse_ports },
    { "ready_delay=", &options.ready_delay, NULL },
    { "shutdown_delay=", &options.shutdown_delay, NULL },
    { "udp=", &options.udp, NULL },
};

static void parse_word(const char *word)
{
    for (size_t row = 0; row < COUNT(rows); row++) {
        const char *value = text_starts(word, rows[row].key);

        if (value && rows[row].number)
            text_number(&value, 10, rows[row].number);
        else if (value)
            rows[row].parse(value);
    }
}

void options_parse(const char *cmdline)
{
    while (*cmdline) {
        if (!at_end(*cmdline))
            parse_word(cmdline);
        while (!at_end(*cmdline))
            cmdline++;
        while (*cmdline && at_end(*cmdline))
            cmdline++;
    }
}
