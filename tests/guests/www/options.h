/* What the kernel command line asks of the guest. */
#ifndef GUEST_OPTIONS_H
#define GUEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { OPTIONS_PORTS = 8 };

struct options {
    char name[64];              /* name=www */
    char boot[24];              /* boot=3; empty: not given */
    uint8_t address[4];         /* ip=10.0.0.2/24 */
    uint8_t mac[6];             /* mac=02:00:00:00:00:01 */
    bool mac_given;
    struct option_port {
        uint16_t number;
        uint32_t delay;         /* milliseconds after the others */
    } ports[OPTIONS_PORTS];     /* port=80,8080:2000 */
    uint32_t port_count;
    uint32_t banner;            /* banner=1 */
    uint32_t banner_port;       /* banner_port=22 */
    uint32_t udp;               /* udp=7000: every datagram to it comes back */
    uint8_t filter[4];          /* filter=10.0.0.0/30: SYNs from elsewhere are dropped */
    uint32_t filter_mask;       /* 0: there is no filter */
    uint32_t mld;               /* mld=1: speak IPv6 as soon as there is a link */
    uint32_t arp_delay;         /* milliseconds from entry to the first ARP */
    uint32_t listen_delay;      /* milliseconds from there to the first SYN-ACK */
    uint32_t ready_delay;       /* milliseconds from there to `ready`, said to jitsu */
    uint32_t mute;              /* mute=1: never a word on the network */
    uint32_t hang;              /* hang=1: stop before the network */
    uint32_t shutdown_delay;    /* milliseconds from the power button to the end */
    uint32_t loss;              /* loss=20: lose one frame in 20, each way */
};

extern struct options options;

/**
 * options_parse() - Read `key=value` words
 *
 * Unknown words are skipped: QEMU and libvirt add their own.  A value that
 * cannot be read keeps its default.
 */
void options_parse(const char *cmdline);

#endif
