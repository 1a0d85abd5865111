#include "netdev.h"

#include "lib.h"
#include "options.h"

uint8_t netdev_mac[6];

void netdev_choose_mac(const uint8_t *card)
{
    memcpy(netdev_mac, options.mac_given ? options.mac : card, sizeof netdev_mac);
}

/* Which frames are lost differs from N to N, but not from boot to boot, and has
 * no period that a retransmission could fall in step with. */
bool netdev_lose(void)
{
    static uint32_t count;

    return options.loss && mix(++count) % options.loss == 0;
}
