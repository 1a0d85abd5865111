/* `jitsuctl doctor`: what cmd/doctor.h finds, for people and for programs. */
#ifndef CMD_DOCTOR_SHOW_H
#define CMD_DOCTOR_SHOW_H

#include "base/buf.h"
#include "cmd/text.h"

#define DOCTOR_CONF_DEFAULT "/etc/jitsu/jitsud.json"

/* Looks at the host, by that configuration, and asks jitsud, if it answers at `socket`.  Adds what it finds: lines, or a JSON object each.  How many
 * findings are bad. */
unsigned doctor_show(const char *conf_path, const char *socket, const struct term *t, bool json, struct buf *out);

#endif
