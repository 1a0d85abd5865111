/* The addresses of something that mostly has one or two: memory for those that there are.
 *
 *     struct addr_list l = { 0 };
 *     addr_list_add(&l, &addr);
 *     addr_list_clear(&l);
 */
#ifndef BASE_ADDR_LIST_H
#define BASE_ADDR_LIST_H

#include "base/addr.h"

struct addr_list {
	uint16_t n;
	struct ip_addr *v; /* owned */
};

/* False, and nothing added, when memory ran out. */
bool addr_list_add(struct addr_list *l, const struct ip_addr *a);
void addr_list_clear(struct addr_list *l);
bool addr_list_equal(const struct addr_list *a, const struct addr_list *b); /* in this order */

#endif
