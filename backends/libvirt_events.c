#include "backends/libvirt_events.h"

#include <assert.h>
#include <libvirt/libvirt.h>

#include "backends/watches.h"

static_assert((int)WATCH_READ == VIR_EVENT_HANDLE_READABLE && (int)WATCH_WRITE == VIR_EVENT_HANDLE_WRITABLE,
	      "events are passed on as they are");

int libvirt_events_register(struct event_base *base)
{
	int r = watches_init(base);

	if (r < 0)
		return r;
	virEventRegisterImpl(watch_add_fd, watch_update_fd, watch_remove_fd, watch_add_timer, watch_update_timer,
			     watch_remove_timer);
	return 0;
}
