/* What is known of a service, a wake, the daemon, as rows. */
#ifndef LAUNCHER_DESCRIBE_H
#define LAUNCHER_DESCRIBE_H

#include "launcher/launcher.h"

void describe_list(struct service *s, struct msg_ctl_row *row);
void describe_show(struct service *s, struct msg_ctl_row *row);
void describe_why(struct service *s, struct msg_ctl_row *row);
void describe_wake(const struct wake_trace *w, struct msg_ctl_row *row);
void describe_line(const struct journal_line *line, struct msg_ctl_row *row);
void describe_status(struct launcher *l, struct msg_ctl_row *row);
void describe_dns_counts(const struct msg_dns_counts *m, struct msg_ctl_row *row);

#endif
