/* The zone files of a configuration, as a start reads them: every file that could not be served as it is. */
#ifndef CMD_CHECK_ZONES_H
#define CMD_CHECK_ZONES_H

#include "base/buf.h"
#include "config/service.h"

/* 0, or -EINVAL with the first mistake of each file as a line in `mistakes`.  Of services those of the configuration
 * count, which a zone file must leave their names to; what the registry has is not looked at. */
int check_zones(const struct conf *conf, struct buf *mistakes);

#endif
