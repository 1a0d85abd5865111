/* jitsuctl's commands about the registry: their words as a request, their answers as text. */
#ifndef CMD_EDIT_H
#define CMD_EDIT_H

#include "cmd/client.h"
#include "cmd/record.h"
#include "cmd/text.h"

/* Options of these commands alone. */
struct edit_options {
	bool dry_run, exact;
	const char *file; /* -f; NULL: none */
	size_t n;
	struct record_word words[RECORD_WORDS_MAX]; /* --KEY VALUE */
};

/* What a command takes: --dry-run; --KEY VALUE; -f; --exact; -n. */
enum { EDIT_CHANGES = 1 << 0, EDIT_WORDS = 1 << 1, EDIT_FILE = 1 << 2, EDIT_EXACT = 1 << 3, EDIT_N = 1 << 4 };

struct edit_command {
	const char *name, *args, *usage;
	const char *verb;
	unsigned least, most; /* arguments */
	unsigned takes; /* EDIT_... */
};

const struct edit_command *edit_command_nth(size_t i); /* NULL behind the last one */
/* By its name; NULL: it is another one's. */
const struct edit_command *edit_command_find(const char *name);

/* If the command on this command line is one of these, takes its options out of it.  Values stay
 * borrowed from argv.  0, or -EINVAL with *e. */
int edit_take_options(int *argc, char **argv, struct edit_options *out, struct err *e);
bool edit_options_given(const struct edit_options *o);

/* The arguments must be some that it takes. */
int edit_check(const struct edit_command *c, const struct edit_options *o, int n_args, struct err *e);
/* The request, but for `import`'s; what it points to is in args, o and `record`. */
int edit_request(const struct edit_command *c, const struct edit_options *o, int n_args, char **args,
		 struct buf *record, struct client_request *q, struct err *e);

/* What came of a change, by its row. */
void edit_render_result(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
/* `history`: one revision.  `diff`: one option. */
void edit_render_revision(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
void edit_render_difference(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);

/* The services of a file, as `export` writes them, in parts that a request can carry: calls `each` with
 * the record of each part and whether it is the last.  0, or what `each` returned, or -errno with *e. */
typedef int edit_part_fn(void *arg, const char *record, bool last);
int edit_split(const char *path, edit_part_fn *each, void *arg, struct err *e);
/* The same of an array. */
int edit_split_list(const struct json_node *list, edit_part_fn *each, void *arg, struct err *e);

#endif
