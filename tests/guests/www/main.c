/* The guest's life: boot, be silent as long as told, serve, power off.
 *
 *     SILENT --arp_delay--> ANNOUNCED --listen_delay--> LISTENING
 *
 * LISTENING opens the ports, each when its own delay is over.
 *
 * One loop does everything.  Each round takes the frames that wait, lets TCP
 * do what is due, looks at the power button now and then, and sleeps until the
 * next frame or timer. */
#include "lib.h"
#include "netdev.h"
#include "options.h"
#include "platform.h"
#include "services.h"

enum {
    MILLISECOND = 1000,
    BUTTON_EVERY = 100 * MILLISECOND,
    OFF_AFTER = 100 * MILLISECOND,
};

static enum { SILENT, ANNOUNCED, LISTENING } stage;
static uint64_t ready_due = NEVER;  /* when jitsu is told */
static uint64_t stage_due;      /* when the next stage begins, or the next port opens */
static uint64_t listening_since;
static uint64_t off_due = NEVER;

static void say(const char *what, const char *detail)
{
    char buffer[128];
    struct text line = { .start = buffer, .room = sizeof buffer };

    text_add(&line, what);
    text_add(&line, detail);
    text_add(&line, "\n");
    platform_console(buffer);
}

static void choose_boot_id(void)
{
    struct text text = { .start = options.boot, .room = sizeof options.boot };

    if (!options.boot[0])
        text_add_number(&text, platform_random(), 16, 8);
}

void guest_off_soon(void)
{
    off_due = platform_now() + OFF_AFTER;
}

static uint64_t earliest(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static void announce(void)
{
    net_announce();
    netdev_flush();
    say("network up ", net_address());
}

static void listen(uint16_t port, const struct tcp_service *service)
{
    char buffer[8];
    struct text text = { .start = buffer, .room = sizeof buffer };

    tcp_listen(port, service);
    text_add_number(&text, port, 10, 1);
    say("listening on ", buffer);
}

/* Opens the ports whose time has come; when the next one's does. */
static uint64_t open_ports(uint64_t since)
{
    static bool opened[OPTIONS_PORTS];
    uint64_t next = NEVER;

    for (uint32_t i = 0; i < options.port_count; i++) {
        uint64_t due = since + options.ports[i].delay * (uint64_t)MILLISECOND;

        if (opened[i])
            continue;
        opened[i] = due <= platform_now();
        if (opened[i])
            listen(options.ports[i].number, &http_service);
        else
            next = earliest(next, due);
    }
    return next;
}

static void advance_stage(void)
{
    if (stage == SILENT && platform_now() >= stage_due) {
        announce();
        stage = ANNOUNCED;
        stage_due += options.listen_delay * (uint64_t)MILLISECOND;
    }
    if (stage == ANNOUNCED && platform_now() >= stage_due) {
        listening_since = stage_due;
        if (options.banner)
            listen((uint16_t)options.banner_port, &banner_service);
        stage = LISTENING;
        ready_due = stage_due + options.ready_delay * (uint64_t)MILLISECOND;
    }
    if (stage == LISTENING && platform_now() >= stage_due)
        stage_due = open_ports(listening_since);
}

static void ignore(const uint8_t *frame, size_t length)
{
    (void)frame;
    (void)length;
}

static void check_power(void)
{
    static uint64_t button_due;
    uint64_t now = platform_now();

    if (now >= off_due)
        platform_off();
    if (now < button_due)
        return;
    button_due = now + BUTTON_EVERY;
    if (off_due == NEVER && platform_power_button()) {
        say("power button: bye", "");
        off_due = now + options.shutdown_delay * (uint64_t)MILLISECOND;
    }
}

/* --- what jitsu is told --- */

static char words[120];         /* not said yet */
static uint32_t shouts;         /* lines of nonsense that are still to be said */

void guest_say(const char *line)
{
    struct text text = { .start = words, .length = text_length(words), .room = sizeof words };

    if (text.length + text_length(line) + 2 > sizeof words)
        return;                 /* nobody hears us */
    text_add(&text, line);
    text_add(&text, "\n");
}

void guest_shout(uint32_t times)
{
    shouts = times;
}

static void talk(void)
{
    if (platform_now() >= ready_due) {
        ready_due = NEVER;
        guest_say("ready");
    }
    if (platform_say(words))
        words[0] = '\0';
    while (shouts && !words[0] && platform_say("I am no message, and much too long to be one: "
                                               "0123456789 0123456789 0123456789\n"))
        shouts--;
}

static uint64_t talk_wake(void)
{
    if (shouts)
        return platform_now() + MILLISECOND;
    return platform_say_wake();
}

static void __attribute__((noreturn)) serve(void)
{
    for (;;) {
        uint64_t wake;

        advance_stage();
        netdev_poll(stage == SILENT ? ignore : net_input);
        wake = tcp_run();
        netdev_flush();
        talk();
        check_power();
        wake = earliest(earliest(wake, stage_due), off_due);
        wake = earliest(earliest(wake, ready_due), talk_wake());
        platform_idle(earliest(wake, platform_now() + BUTTON_EVERY));
    }
}

void guest_main(const char *cmdline)
{
    options_parse(cmdline);
    choose_boot_id();
    say("jitsu guest: booting ", options.name);
    if (options.hang)
        platform_halt();
    if (!platform_nic()) {
        say("no network card", "");
        platform_halt();
    }
    if (options.mld) {
        net_report_group();
        netdev_flush();
    }
    stage_due = options.mute ? NEVER : options.arp_delay * (uint64_t)MILLISECOND;
    serve();
}
