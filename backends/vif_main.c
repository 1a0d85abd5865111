/* jitsu-vif: what libxl runs to put a VM's NIC on a bridge (backends/vif.h).  Static, and nothing is read before it
 * begins: starting it costs a tenth of what starting a shell and a dozen programs does. */
#include <xenstore.h>

#include "backends/vif.h"

int main(int argc, char **argv)
{
	struct vif_task task;
	struct xs_handle *xs;
	struct err e;
	int r = vif_task_parse(argc, argv, &task, &e);

	if (r == 0) {
		xs = xs_open(0);
		r = xs ? vif_do(xs, &task, &e) : err_set_errno(&e, -errno, "XenStore cannot be reached");
		if (xs)
			xs_close(xs);
	}
	if (r < 0)
		fprintf(stderr, "jitsu-vif: %s\n", e.text);
	return r < 0;
}
