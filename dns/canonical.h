/* The canonical order of names and form of records (RFC 4034, 6), which signing and denying rest on.
 * All names are in lower case, unless something else is said.
 */
#ifndef DNS_CANONICAL_H
#define DNS_CANONICAL_H

#include "base/util.h"

/* Less than, equal to or greater than 0, as `a` comes before, is, or comes behind `b`.  Their last
 * `skip` labels are known to be the same. */
int canonical_compare(const uint8_t *a, unsigned a_labels, const uint8_t *b, unsigned b_labels, unsigned skip);

/* Lower-cases the names in the data of such a record, where RFC 4034, 6.2 wants that. */
void canonical_data(unsigned type, uint8_t *data, size_t n);

#endif
