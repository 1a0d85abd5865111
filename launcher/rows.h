/* Building the rows that control turns into JSON objects. */
#ifndef LAUNCHER_ROWS_H
#define LAUNCHER_ROWS_H

#include "base/msg.h"

void row_str(struct msg_ctl_row *row, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void row_num(struct msg_ctl_row *row, const char *key, uint64_t value);
void row_bool(struct msg_ctl_row *row, const char *key, bool value);
void row_null(struct msg_ctl_row *row, const char *key);
/* One element; rows of the same key become one array.  An array without elements is said so. */
void row_list_str(struct msg_ctl_row *row, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void row_list_num(struct msg_ctl_row *row, const char *key, uint64_t value);
void row_list_empty(struct msg_ctl_row *row, const char *key);

#endif
