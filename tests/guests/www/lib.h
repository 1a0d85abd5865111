/* The small C library of the test guest: memory, byte order, text. */
#ifndef GUEST_LIB_H
#define GUEST_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What the compiler itself calls. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *left, const void *right, size_t length);

/* Network byte order, at any alignment. */
static inline uint16_t get16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t get32(const uint8_t *from)
{
    return (uint32_t)get16(from) << 16 | get16(from + 2);
}

static inline void put16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline void put32(uint8_t *to, uint32_t value)
{
    put16(to, value >> 16);
    put16(to + 2, value);
}

/**
 * sum16() - Add up 16-bit words the way Internet checksums do
 * @sum: what was summed before (an even number of bytes), or 0
 *
 * Returns a value to pass on to sum16() or, at the end, to checksum().
 */
uint32_t sum16(uint32_t sum, const uint8_t *from, size_t length);

/** checksum() - Close a sum: the value to store with put16() */
uint16_t checksum(uint32_t sum);

/** mix() - Spread the bits of a value over all 32 (not for secrets) */
uint32_t mix(uint32_t value);

/**
 * struct text - A string being built in a caller's buffer
 *
 * What does not fit is left out; the text is always terminated.
 */
struct text {
    char *start;
    size_t length;
    size_t room;        /* size of the buffer, terminator included */
};

void text_add(struct text *text, const char *string);
/** text_add_number() - Append in base 10 or 16, with at least @digits digits */
void text_add_number(struct text *text, uint32_t value, unsigned base,
                     unsigned digits);
size_t text_length(const char *string);
/** text_starts() - What follows @prefix in @string, or NULL */
const char *text_starts(const char *string, const char *prefix);
/**
 * text_number() - Read an unsigned number
 * @cursor: moved past the digits
 *
 * Returns false, and leaves @value alone, when there is no digit or when the
 * number needs more than 32 bits.
 */
bool text_number(const char **cursor, unsigned base, uint32_t *value);

#endif
