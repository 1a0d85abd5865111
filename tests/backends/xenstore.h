/* A XenStore in the test's own process, instead of the host's: libxenstore's functions are in xenstore.c. */
#ifndef TESTS_BACKENDS_XENSTORE_H
#define TESTS_BACKENDS_XENSTORE_H

#include <stdbool.h>

/* With nothing in it, and nobody who watches. */
void store_begin(void);
void store_end(void);

/* Written by a guest, or by Xen: whoever watches it hears of it. */
void store_key(const char *path, const void *value, unsigned n);
void store_text(const char *path, const char *value);

unsigned store_watches(void); /* that there are */
bool store_has_watch(const char *path);
unsigned store_reads(void); /* since store_begin() */

#endif
