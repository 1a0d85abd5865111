/* Turns message structs into bytes and back, from a table of their fields.
 *
 * A message is a plain struct with fixed arrays.  Its table says, field by field, where it lies
 * and what it is; one encoder and one decoder serve them all, so that a length is checked in
 * one place only.  On the wire integers are little-endian, a string is u16 length and bytes, a
 * list is u16 count and elements.  The decoder refuses anything that does not fit the struct,
 * strings with a NUL inside, values that are no bool, and bytes left over: it is the wall
 * between processes that do not trust each other.
 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/util.h"

enum codec_kind { CODEC_U8, CODEC_U16, CODEC_U32, CODEC_U64, CODEC_I32, CODEC_BOOL, CODEC_BYTES, CODEC_STR, CODEC_LIST };

struct codec_table;

struct codec_field {
	enum codec_kind kind;
	uint32_t offset;
	uint32_t size; /* BYTES, STR: of the array.  LIST: most elements */
	uint32_t count_offset; /* LIST: of its uint16_t count */
	const struct codec_table *of; /* LIST: of one element */
};

struct codec_table {
	const char *name;
	uint32_t size; /* sizeof the struct */
	uint16_t n;
	const struct codec_field *fields;
};

#define CODEC_INT(kind, type, member) { kind, offsetof(type, member), sizeof(((type *)0)->member), 0, NULL }
#define F_U8(type, member) CODEC_INT(CODEC_U8, type, member)
#define F_U16(type, member) CODEC_INT(CODEC_U16, type, member)
#define F_U32(type, member) CODEC_INT(CODEC_U32, type, member)
#define F_U64(type, member) CODEC_INT(CODEC_U64, type, member)
#define F_I32(type, member) CODEC_INT(CODEC_I32, type, member)
#define F_BOOL(type, member) CODEC_INT(CODEC_BOOL, type, member)
#define F_BYTES(type, member) CODEC_INT(CODEC_BYTES, type, member)
#define F_STR(type, member) CODEC_INT(CODEC_STR, type, member)
/* `count` is a uint16_t member; `element` the table of one element */
#define F_LIST(type, member, count, element)                                                       \
	{ CODEC_LIST, offsetof(type, member), ARRAY_SIZE(((type *)0)->member), offsetof(type, count), &(element) }

/* A table for struct `type`, static in its file. */
#define CODEC_TABLE(var, type, ...)                                                                \
	static const struct codec_field var##_fields[] = { __VA_ARGS__ };                          \
	static const struct codec_table var = { #type, sizeof(struct type), ARRAY_SIZE(var##_fields), var##_fields }

/* Bytes written, or -EMSGSIZE when `size` is too small or a list count is over its array. */
ssize_t codec_encode(const struct codec_table *t, const void *in, void *buf, size_t size);

/* 0 with all of *out set (t->size bytes; unused room zeroed), or -EBADMSG with *out zeroed. */
int codec_decode(const struct codec_table *t, const void *buf, size_t n, void *out);

#endif
