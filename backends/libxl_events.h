/* libxl's event loop hooks over watches.h, and its events. */
#ifndef BACKENDS_LIBXL_EVENTS_H
#define BACKENDS_LIBXL_EVENTS_H

#include "backends/libxl_ctx.h"

/* Before anything else is done with the context; after watches_init().  From then on what libxl waits for is served
 * by the loop.  `happened` is called for each of its events, on any thread, from inside libxl: it must not call it. */
void libxl_events_register(libxl_ctx *xl, void (*happened)(void *arg), void *arg);

#endif
