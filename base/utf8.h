/* UTF-8 (RFC 3629), one character at a time. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/util.h"

/* Bytes of the character at `s`, of which `n` may be looked at: 1..4, or 0 when there is none: a
 * broken or overlong form, a surrogate, above U+10FFFF, cut off, or U+0000. */
size_t utf8_length(const char *s, size_t n);

/* Its code point; utf8_length() must have said that it is whole. */
uint32_t utf8_point(const char *s);

/* Writes the character whose code point is `c`, at most 0x1fffff; how many bytes it took.  That it is
 * one is the caller's to know. */
size_t utf8_encode(uint32_t c, char out[4]);

#endif
