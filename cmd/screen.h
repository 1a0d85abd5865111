/* The whole terminal, for as long as it is taken: drawn over in place, single keys read, and given back as it was
 * however the program ends.
 */
#ifndef CMD_SCREEN_H
#define CMD_SCREEN_H

#include "base/buf.h"

enum { SCREEN_NOTHING = -1, SCREEN_RESIZED = -2, SCREEN_CLOSED = -3 };

bool screen_is_there(void); /* the standard input and output are a terminal */
int screen_take(void); /* 0 or -errno */
void screen_give_back(void);

unsigned screen_height(void);
/* Draws these lines from the top, and clears what is below.  False: it cannot be written to. */
bool screen_draw(const struct buf *lines);
/* The next key (a character, or one of enum top_key) within `ms`, or one of the above. */
int screen_key(unsigned ms);

#endif
