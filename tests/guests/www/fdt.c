#include "fdt.h"

#include "lib.h"

enum {
    FDT_MAGIC = 0xd00dfeed,
    FDT_BEGIN = 1, FDT_END_NODE = 2, FDT_PROPERTY = 3, FDT_NOP = 4,
};

static void note_property(const char *name, const uint8_t *value, uint32_t length,
                          struct fdt_chosen *chosen)
{
    if (!memcmp(name, "bootargs", 9))
        chosen->cmdline = (const char *)value;
    else if (!memcmp(name, "rng-seed", 9) && length >= 4)
        chosen->seed = get32(value);
}

/* Goes through the tree for the two properties wanted, both of which exist in
 * /chosen only. */
void fdt_read_chosen(const uint8_t *tree, struct fdt_chosen *chosen)
{
    const uint8_t *at = tree + get32(tree + 8), *names = tree + get32(tree + 12);
    uint32_t length;

    *chosen = (struct fdt_chosen){ .cmdline = "" };
    if (get32(tree) != FDT_MAGIC)
        return;
    for (;;) {
        uint32_t token = get32(at);

        at += 4;
        if (token == FDT_BEGIN) {
            at += (text_length((const char *)at) + 4) & ~3u;
        } else if (token == FDT_PROPERTY) {
            length = get32(at);
            note_property((const char *)names + get32(at + 4), at + 8, length, chosen);
            at += 8 + ((length + 3) & ~3u);
        } else if (token != FDT_END_NODE && token != FDT_NOP) {
            return;
        }
    }
}
