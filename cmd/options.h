/* jitsuctl's options, wherever they stand on the command line. */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "cmd/dnssec.h"
#include "cmd/edit.h"

struct options {
	const char *socket;
	bool json, no_color, follow, raw, help, version;
	int64_t n; /* -1: not given */
	struct dnssec_options dnssec;
	struct edit_options edit;
};

/* All but `edit`; the words that are none begin at optind.  0, or -EINVAL with *e. */
int options_parse(int argc, char **argv, struct options *o, struct err *e);

/* Where jitsud is asked unless an option says so. */
const char *options_socket_default(void);

bool options_of_dnssec(const struct options *o);

#endif
