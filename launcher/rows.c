#include "launcher/rows.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/log.h"

static struct msg_ctl_field *add(struct msg_ctl_row *row, const char *key, enum ctl_kind kind)
{
	static struct msg_ctl_field overflow;
	struct msg_ctl_field *f = &overflow;

	if (row->n_fields < ARRAY_SIZE(row->fields))
		f = &row->fields[row->n_fields++];
	else
		log_limited(LOG_WARN, "a row has more than %d fields: %s is left out", MSG_FIELDS_MAX, key);
	str_copy(f->key, key);
	f->kind = (uint8_t)kind;
	f->value[0] = '\0';
	return f;
}

static void add_text(struct msg_ctl_row *row, const char *key, enum ctl_kind kind, const char *fmt, va_list ap)
{
	struct msg_ctl_field *f = add(row, key, kind);

	vsnprintf(f->value, sizeof(f->value), fmt, ap);
}

void row_str(struct msg_ctl_row *row, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_text(row, key, CTL_STR, fmt, ap);
	va_end(ap);
}

void row_list_str(struct msg_ctl_row *row, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_text(row, key, CTL_LIST_STR, fmt, ap);
	va_end(ap);
}

static void add_number(struct msg_ctl_row *row, const char *key, enum ctl_kind kind, uint64_t value)
{
	struct msg_ctl_field *f = add(row, key, kind);

	snprintf(f->value, sizeof(f->value), "%" PRIu64, value);
}

void row_num(struct msg_ctl_row *row, const char *key, uint64_t value) { add_number(row, key, CTL_NUM, value); }

void row_list_num(struct msg_ctl_row *row, const char *key, uint64_t value)
{
	add_number(row, key, CTL_LIST_NUM, value);
}

void row_bool(struct msg_ctl_row *row, const char *key, bool value)
{
	str_copy(add(row, key, CTL_BOOL)->value, value ? "true" : "false");
}

void row_null(struct msg_ctl_row *row, const char *key) { add(row, key, CTL_NULL); }

void row_list_empty(struct msg_ctl_row *row, const char *key) { add(row, key, CTL_LIST_EMPTY); }
