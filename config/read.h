/* From JSON to records by the schema, and the list of everything that is wrong with a file.
 * Inside config/ only. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "base/buf.h"
#include "base/json.h"
#include "config/schema.h"

enum { SPOT_PATH_MAX = 160 };

/* A value in the file, and how it is called there.  Where the file has no such value (a default)
 * `v` is NULL and `at` that of the nearest thing around it that the file has. */
struct spot {
	const struct json_node *v;
	struct json_place at;
	char path[SPOT_PATH_MAX];
};

struct spot spot_root(const struct json_node *root);
struct spot spot_member(const struct spot *object, const char *key);
/* Item `i`; `v` is its node, or NULL when the caller has none. */
struct spot spot_item(const struct spot *list, size_t i, const struct json_node *v);
/* The same, looked up: takes time with i. */
struct spot spot_nth(const struct spot *list, size_t i);

struct mistakes;

/* `file` is what their lines begin with; "": without any place.  Or NULL. */
struct mistakes *mistakes_new(const char *file);
void mistakes_free(struct mistakes *m);
size_t mistakes_count(const struct mistakes *m);
void mistake(struct mistakes *m, const struct spot *where, const char *fmt, ...) PRINTF_LIKE(3, 4);
void mistake_out_of_memory(struct mistakes *m);
bool mistakes_are_memory(const struct mistakes *m); /* then the records are not whole */
/* A line for each, in the file's order. */
void mistakes_write(struct mistakes *m, struct buf *out);

/* Fills *record (zeroed before) from the object at `where`.  Options that are not there get their
 * text defaults; wrong ones are zero, or "".  Every char * is set, unless memory ran out. */
void read_object(struct mistakes *m, const struct schema *s, const struct spot *where, void *record);

/* One option by itself, from its JSON text: for defaults. */
void read_option_text(struct mistakes *m, const struct opt *o, const struct spot *where, const char *json,
                      void *record);

/* strdup() that tells when memory ran out. */
char *read_copy(struct mistakes *m, const char *text);

#endif
