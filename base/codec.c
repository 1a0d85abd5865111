#include "base/codec.h"

#include <sys/types.h>

struct writer {
	uint8_t *at, *end;
};

struct reader {
	const uint8_t *at, *end;
};

static const uint8_t int_bytes[] = {
	[CODEC_U8] = 1, [CODEC_U16] = 2, [CODEC_U32] = 4, [CODEC_U64] = 8, [CODEC_I32] = 4, [CODEC_BOOL] = 1,
};

static bool put_int(struct writer *w, uint64_t v, unsigned bytes)
{
	if ((size_t)(w->end - w->at) < bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		*w->at++ = (uint8_t)(v >> 8 * i);
	return true;
}

static bool put_bytes(struct writer *w, const void *p, size_t n)
{
	if ((size_t)(w->end - w->at) < n)
		return false;
	memcpy(w->at, p, n);
	w->at += n;
	return true;
}

static bool get_int(struct reader *r, uint64_t *v, unsigned bytes)
{
	if ((size_t)(r->end - r->at) < bytes)
		return false;
	*v = 0;
	for (unsigned i = 0; i < bytes; i++)
		*v |= (uint64_t)*r->at++ << 8 * i;
	return true;
}

static uint64_t load_int(const void *p, unsigned bytes)
{
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;

	switch (bytes) {
	case 1: return *(const uint8_t *)p;
	case 2: return memcpy(&v2, p, 2), v2;
	case 4: return memcpy(&v4, p, 4), v4;
	default: return memcpy(&v8, p, 8), v8;
	}
}

static void store_int(void *p, uint64_t v, unsigned bytes)
{
	uint32_t v4 = (uint32_t)v;
	uint16_t v2 = (uint16_t)v;

	switch (bytes) {
	case 1: *(uint8_t *)p = (uint8_t)v; break;
	case 2: memcpy(p, &v2, 2); break;
	case 4: memcpy(p, &v4, 4); break;
	default: memcpy(p, &v, 8);
	}
}

static bool encode(struct writer *w, const struct codec_table *t, const uint8_t *in);

static bool encode_list(struct writer *w, const struct codec_field *f, const uint8_t *in)
{
	uint16_t n = (uint16_t)load_int(in + f->count_offset, 2);

	if (n > f->size || !put_int(w, n, 2))
		return false;
	for (uint16_t i = 0; i < n; i++) {
		if (!encode(w, f->of, in + f->offset + (size_t)i * f->of->size))
			return false;
	}
	return true;
}

static bool encode_field(struct writer *w, const struct codec_field *f, const uint8_t *in)
{
	const uint8_t *p = in + f->offset;
	size_t n;

	switch (f->kind) {
	case CODEC_BYTES: return put_bytes(w, p, f->size);
	case CODEC_STR:
		n = strnlen((const char *)p, f->size);
		return n < f->size && put_int(w, n, 2) && put_bytes(w, p, n);
	case CODEC_LIST: return encode_list(w, f, in);
	default: return put_int(w, load_int(p, int_bytes[f->kind]), int_bytes[f->kind]);
	}
}

static bool encode(struct writer *w, const struct codec_table *t, const uint8_t *in)
{
	for (uint16_t i = 0; i < t->n; i++) {
		if (!encode_field(w, &t->fields[i], in))
			return false;
	}
	return true;
}

ssize_t codec_encode(const struct codec_table *t, const void *in, void *buf, size_t size)
{
	struct writer w = { buf, (uint8_t *)buf + size };

	if (!encode(&w, t, in))
		return -EMSGSIZE;
	return w.at - (uint8_t *)buf;
}

static bool decode(struct reader *r, const struct codec_table *t, uint8_t *out);

static bool decode_str(struct reader *r, const struct codec_field *f, uint8_t *p)
{
	uint64_t n;

	if (!get_int(r, &n, 2) || n >= f->size || n > (size_t)(r->end - r->at) || memchr(r->at, 0, n))
		return false;
	memcpy(p, r->at, n);
	r->at += n;
	return true;
}

static bool decode_list(struct reader *r, const struct codec_field *f, uint8_t *out)
{
	uint64_t n;

	if (!get_int(r, &n, 2) || n > f->size)
		return false;
	store_int(out + f->count_offset, n, 2);
	for (uint64_t i = 0; i < n; i++) {
		if (!decode(r, f->of, out + f->offset + i * f->of->size))
			return false;
	}
	return true;
}

static bool decode_field(struct reader *r, const struct codec_field *f, uint8_t *out)
{
	uint8_t *p = out + f->offset;
	uint64_t v;

	switch (f->kind) {
	case CODEC_BYTES:
		if ((size_t)(r->end - r->at) < f->size)
			return false;
		memcpy(p, r->at, f->size);
		r->at += f->size;
		return true;
	case CODEC_STR: return decode_str(r, f, p);
	case CODEC_LIST: return decode_list(r, f, out);
	default:
		if (!get_int(r, &v, int_bytes[f->kind]) || (f->kind == CODEC_BOOL && v > 1))
			return false;
		store_int(p, v, int_bytes[f->kind]);
		return true;
	}
}

static bool decode(struct reader *r, const struct codec_table *t, uint8_t *out)
{
	for (uint16_t i = 0; i < t->n; i++) {
		if (!decode_field(r, &t->fields[i], out))
			return false;
	}
	return true;
}

int codec_decode(const struct codec_table *t, const void *buf, size_t n, void *out)
{
	struct reader r = { buf, (const uint8_t *)buf + n };

	memset(out, 0, t->size);
	if (decode(&r, t, out) && r.at == r.end)
		return 0;
	memset(out, 0, t->size);
	return -EBADMSG;
}
