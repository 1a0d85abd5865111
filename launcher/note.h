/* A sentence that few of many have: no memory until there is one, and then MSG_TEXT_MAX bytes that stay
 * where they are.
 *
 *     const char *note = NOTE_NONE;
 *     note_set(&note, "the disk %s is not there", path);
 */
#ifndef LAUNCHER_NOTE_H
#define LAUNCHER_NOTE_H

#include <stdarg.h>

#include "base/msg.h"
#include "base/util.h"

extern const char note_none[]; /* "" */
#define NOTE_NONE note_none

/* What is too long is cut.  Aborts when memory ran out. */
void note_set(const char **note, const char *fmt, ...) PRINTF_LIKE(2, 3);
void note_set_v(const char **note, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
void note_clear(const char **note); /* "" */
void note_free(const char **note); /* NOTE_NONE */

#endif
