/* The device tree, as far as a guest needs it. */
#ifndef GUEST_FDT_H
#define GUEST_FDT_H

#include <stdint.h>

struct fdt_chosen {
    const char *cmdline;        /* in the tree; "" where there is none */
    uint32_t seed;              /* of random numbers; 0 where there is none */
};

/** fdt_read_chosen() - What a flattened device tree has in /chosen */
void fdt_read_chosen(const uint8_t *tree, struct fdt_chosen *chosen);

#endif
