/* The zones' keys: which there are, what they do now, and what happens next and when.  No sockets, no timers, time as
 * an argument; launcher/dnssec_side.c has the rest.
 */
#ifndef LAUNCHER_DNSSEC_H
#define LAUNCHER_DNSSEC_H

#include "config/service.h"
#include "launcher/dnssec_store.h"

enum {
	DNSSEC_DS_TTL_S = 86400, /* of the parent's DS, unless the operator says another */
	DNSSEC_RENEW_MS = 12 * 3600 * 1000, /* dns is told everything anew, so that it makes new signatures in time */
	DNSSEC_REFUSED_MS = 10 * 60 * 1000, /* dns could not take it: the next try */
	DNSSEC_CLOCK_MS = 30 * 60 * 1000, /* the wall clock was set by as much: all is signed anew */
	DNSSEC_LOOK_MS = 60 * 1000, /* so soon that is noticed */
	DNSSEC_SECONDARIES_S = 3600, /* what secondaries have is no older, even where no NOTIFY reaches them */
};

struct dnssec;

struct dnssec_zone {
	char *name;
	struct dnssec_keys keys; /* what is in force, also when `mistake` says that the files are not in order */
	char mistake[MSG_TEXT_MAX]; /* what is wrong with its files; "": nothing */
	uint32_t ttl_s; /* of its DNSKEY records */
	uint32_t configured_ttl_s; /* no record that follows from the configuration has a longer one */
	uint32_t told_ttl_s; /* the longest of any record, as dns told; 0: not yet */
	uint32_t delay_s; /* until all its servers have what is new */
	/* The longest TTLs of its records and of DNSKEY in what dns answers by, and until when (by the monotonic
	 * clock) somebody may have those of what it answered by before; 0: nobody */
	uint32_t served_ttl_s[2];
	int64_t past_ms[2];
	int64_t retry_ms; /* a step could not be saved: not before */
};

/* What an operator says with a step. */
struct dnssec_wish {
	uint8_t algorithm; /* 0: whichever */
	bool force; /* does not wait */
	bool ds_gone; /* DNSSEC_DISABLE: the parent has no DS */
	int64_t ds_ttl_s; /* -1: as before */
};

void dnssec_now(struct dnssec_time *out);

struct dnssec *dnssec_new(void); /* NULL: no memory */
void dnssec_free(struct dnssec *d);

/* A configuration is in force: reads the keys of all its zones anew.  What cannot be used is logged and stands in
 * `mistake`; keys that were in force stay so.  Zones that are not configured any more are forgotten here, and
 * their files stay. */
void dnssec_set(struct dnssec *d, const struct conf *conf, const struct dnssec_time *now);

struct dnssec_zone *dnssec_zone(struct dnssec *d, const char *name); /* NULL: not configured */
struct dnssec_zone *dnssec_nth(struct dnssec *d, size_t i); /* NULL: behind the last */
const char *dnssec_dir(const struct dnssec *d);

/* An operator's step.  0, and it is on disk and in force: dns must be told; or -errno with *e, and nothing
 * has changed. */
int dnssec_step(struct dnssec *d, struct dnssec_zone *z, enum dnssec_event event, const struct dnssec_wish *wish,
		const struct dnssec_time *now, struct err *e);
/* Does the steps whose time has come.  True when there was one: dns must be told. */
bool dnssec_tick(struct dnssec *d, const struct dnssec_time *now);
/* Milliseconds until there may be one; UINT64_MAX: never. */
uint64_t dnssec_next_ms(const struct dnssec *d, const struct dnssec_time *now);
/* dns is being told, and the serials of signed zones rise.  If the wall clock was set since the last time, waits
 * that have begun are put down by the new one. */
void dnssec_told(struct dnssec *d, const struct dnssec_time *now);
/* Milliseconds until that must be again, unless the wall clock is set; UINT64_MAX: no zone is signed. */
uint64_t dnssec_renew_ms(const struct dnssec *d, const struct dnssec_time *now);
/* dns goes on with what it had, and must be told again soon. */
void dnssec_not_taken(struct dnssec *d, const struct dnssec_time *now);
/* dns answers by all that it was told: the waits begin. */
void dnssec_served(struct dnssec *d, const struct dnssec_time *now);
/* The longest TTL of the zone's records. */
void dnssec_told_ttl(struct dnssec *d, const char *zone, uint32_t ttl_s);

/* Milliseconds that the phase must last yet; 0: over; UINT64_MAX: until dns answers by it. */
uint64_t dnssec_left_ms(const struct dnssec_zone *z, const struct dnssec_time *now);
/* What dns shall do with its i-th key; fd is not in it. */
void dnssec_describe_key(const struct dnssec_zone *z, unsigned i, struct msg_dns_key *out);

#endif
