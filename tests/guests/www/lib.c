#include "lib.h"

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *to, const void *from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    if (!(((uintptr_t)out | (uintptr_t)in) & 3))
        for (; length >= 4; length -= 4, out += 4, in += 4)
            *(word *)out = *(const word *)in;
    while (length--)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    uint8_t *out = to;

    while (length--)
        *out++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left, *b = right;

    for (; length; length--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

#ifdef __i386__
/* 64-bit division is a libgcc call on i386, and a 32-bit libgcc is a package
 * of its own that few machines have. */
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor)
{
    uint64_t quotient = 0, rest = 0;

    for (int bit = 63; bit >= 0; bit--) {
        rest = rest << 1 | (dividend >> bit & 1);
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1ull << bit;
        }
    }
    return quotient;
}
#endif

static uint32_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

/* Words are added as they lie in memory; the sum is swapped once at the end,
 * which gives the same result as swapping each of them (RFC 1071). */
uint32_t sum16(uint32_t sum, const uint8_t *from, size_t length)
{
    uint64_t total = 0;

    if (!((uintptr_t)from & 3))
        for (; length >= 4; length -= 4, from += 4)
            total += *(const word *)from;
    for (; length >= 2; length -= 2, from += 2)
        total += (uint32_t)(from[0] | from[1] << 8);
    if (length)
        total += from[0];
    total = fold(total);
    return sum + (uint32_t)((total & 0xff) << 8 | total >> 8);
}

uint16_t checksum(uint32_t sum)
{
    return (uint16_t)~fold(sum);
}

uint32_t mix(uint32_t value)
{
    value ^= value >> 16;
    value *= 0x7feb352d;
    value ^= value >> 15;
    value *= 0x846ca68b;
    return value ^ value >> 16;
}

void text_add(struct text *text, const char *string)
{
    while (*string && text->length + 1 < text->room)
        text->start[text->length++] = *string++;
    text->start[text->length] = '\0';
}

void text_add_number(struct text *text, uint32_t value, unsigned base,
                     unsigned digits)
{
    char buffer[33];
    unsigned at = sizeof buffer - 1;

    buffer[at] = '\0';
    while (at && (value || digits)) {
        buffer[--at] = "0123456789abcdef"[value % base];
        value /= base;
        digits -= digits > 0;
    }
    text_add(text, buffer + at);
}

size_t text_length(const char *string)
{
    size_t length = 0;

    while (string[length])
        length++;
    return length;
}

const char *text_starts(const char *string, const char *prefix)
{
    while (*prefix)
        if (*string++ != *prefix++)
            return NULL;
    return string;
}

static unsigned digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0');
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? (unsigned)(digit - 'a') + 10 : 16;
}

bool text_number(const char **cursor, unsigned base, uint32_t *value)
{
    const char *at = *cursor;
    uint64_t number = 0;

    while (digit_value(*at) < base) {
        number = number * base + digit_value(*at++);
        if (number >> 32)
            return false;
    }
    if (at == *cursor)
        return false;
    *cursor = at;
    *value = (uint32_t)number;
    return true;
}
