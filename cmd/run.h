/* One run of jitsuctl: what its command line said, and how it asks jitsud and shows the answer. */
#ifndef CMD_RUN_H
#define CMD_RUN_H

#include "cmd/client.h"
#include "cmd/options.h"
#include "cmd/text.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

struct subcommand;

struct run {
	const struct subcommand *sub;
	struct options opt;
	const char *name; /* the service; NULL when none is given */
	const struct dnssec_action *dnssec; /* what follows `dnssec`, */
	const char *zone; /* and that; NULL else */
	const struct edit_command *edit; /* a command of the registry, NULL else; and its arguments */
	int n_args;
	char **args;
	int n_old; /* what follows `import-jitsu` */
	char **old;
	bool only_new; /* an import takes only services that are not there yet */
	struct client *client;
	struct term term;
	bool out_failed;
};

/* A sentence, or several lines (the mistakes of a configuration), which may quote anything.  EXIT_FAILED. */
int run_complain(const char *text);

/* To stdout at once, so that what is followed is seen as it comes; `text` is empty then. */
void run_print(struct run *r, struct buf *text);

/* A request for `verb` that says nothing else. */
struct client_request run_request(const char *verb);

/* Gives each row and piece of data of the answer to `each`, whose value other than 0 ends it.
 * The exit status. */
typedef int run_reply_fn(struct run *r, const struct client_reply *reply, void *arg);
int run_ask_this(struct run *r, const struct client_request *q, run_reply_fn *each, void *arg);
/* The same, for what the command line says. */
int run_ask(struct run *r, const char *verb, run_reply_fn *each, void *arg);

/* For `each`: nothing; */
int run_drop_row(struct run *r, const struct client_reply *reply, void *arg);

/* a row as JSON, */
int run_print_json(struct run *r, const struct client_reply *reply);

/* or as JSON or text, by `arg`, a struct run_shape. */
struct run_shape {
	void (*row)(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
	bool gap; /* an empty line between two */
	unsigned n; /* rows that came, but as JSON */
};
int run_print_shape(struct run *r, const struct client_reply *reply, void *arg);

#endif
