/* What json.c (reading), json_value.c (looking) and json_write.c (writing) share, and nobody else uses. */
#ifndef BASE_JSON_INTERNAL_H
#define BASE_JSON_INTERNAL_H

#include "base/json.h"

enum { NONE = -1 };

struct json_node {
	enum json_type type;
	int next, first, last; /* index of a node in the document, or NONE */
	struct json_place at, key_at;
	const char *key;  /* in the arena; NULL outside objects */
	const char *text; /* STRING, NUMBER: in the arena */
	bool truth;       /* BOOL */
	const struct json *doc;
};

struct json {
	struct json_node *nodes;
	char *arena;
	int n;
};

/* Each escape but \u, and what it stands for. */
static const char escape_letters[] = "\"\\/bfnrt";
static const char escape_values[] = "\"\\/\b\f\n\r\t";

#endif
