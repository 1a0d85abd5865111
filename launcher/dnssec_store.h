/* A zone's keys and where they are in their life, in a directory of their own that only root can look into. */
#ifndef LAUNCHER_DNSSEC_STORE_H
#define LAUNCHER_DNSSEC_STORE_H

#include "launcher/dnssec_fsm.h"
#include "launcher/dnssec_key.h"

enum { DNSSEC_KEYS_MAX = 2, DNSSEC_BOOT_MAX = 40 };

enum dnssec_role {
	DNSSEC_ACTIVE, /* signs what is in the zone */
	DNSSEC_NEXT, /* will */
	DNSSEC_RETIRED, /* did */
	DNSSEC_ROLE_N
};
const char *dnssec_role_name(unsigned role);

/* A moment, by two clocks: within one boot of the host the monotonic one counts, and where it was booted since,
 * the wall clock. */
struct dnssec_time {
	uint64_t wall_s;
	int64_t mono_ms; /* may lie before the boot */
	char boot[DNSSEC_BOOT_MAX]; /* which one mono_ms belongs to */
};

struct dnssec_keys {
	enum dnssec_phase phase;
	bool served; /* dns has answered by this phase: since `since` */
	struct dnssec_time since;
	uint32_t wait_s; /* how long the phase must last, from `since` on */
	uint32_t ds_ttl_s; /* of the parent's DS records */
	uint16_t gone; /* the tag of the last key that was rolled away, whose DS may still be at the parent; 0: none */
	unsigned n;
	struct {
		enum dnssec_role role;
		struct dnssec_key key;
	} of[DNSSEC_KEYS_MAX];
};

/* keys_dir is made if it is not there, by dnssec_store_save() only. */
void dnssec_store_path(const char *keys_dir, const char *zone, char path[MSG_PATH_MAX]);

/* 0 with *out: DNSSEC_OFF where nothing was ever saved; or -errno with *e, a sentence that names the file, and *out
 * untouched. */
int dnssec_store_load(const char *keys_dir, const char *zone, struct dnssec_keys *out, struct err *e);

/* All of it, or nothing: whenever this ends, and however, a later load finds what was saved before or this.
 * Files of keys that are no longer in it are removed afterwards.  0, or -errno with *e. */
int dnssec_store_save(const char *keys_dir, const char *zone, const struct dnssec_keys *k, struct err *e);

#endif
