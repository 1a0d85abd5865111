/* Theory of operation
 *
 * What a zone's keys do follows from its phase (dnssec_fsm.h) and each key's role.  A step is made on a copy,
 * which is saved, and only then takes the place of what was in force; so the disk is never behind what dns has been
 * told, and a disk that is full stops steps, not answers.
 *
 * A phase that waits for caches begins to count when dns says that it answers by it, and not before: a snapshot
 * that dns could not take, or a dns that was away, costs time and never safety.  It counts by the monotonic clock,
 * so that setting the wall clock neither shortens nor prolongs it.  When the host was booted meanwhile the wall clock
 * says how much had passed; if it says that none had, or less, the wait begins anew.
 *
 * A host without a battery for its clock boots years ago.  When its clock is set, what is on disk is put right, lest
 * a later boot count those years; and dns is told anew, for the signatures that it made ran out long ago.
 *
 * A wait is at least as long as anything the phase has seen: a TTL that is lowered meanwhile does not shorten it,
 * nor one that was lowered just before the phase, as people do to make a roll shorter.  (One that rose and fell
 * within the phase, or fell before it, is forgotten by a launcher that is restarted.)
 *
 * Files are read at each new configuration.  If they are damaged, or gone, keys that are in force stay: a zone
 * whose parent has a DS would be lost for everybody who validates.  A launcher that has never had them can only go
 * on without; steps are refused until the files are mended and the configuration is read again.
 */
#include "launcher/dnssec.h"

#include <assert.h>
#include <dirent.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum { MARGIN_S = 1, RETRY_MS = 60000, TAG_TRIES = 20, TTL_MAX = INT32_MAX /* RFC 2181, 8 */ };

struct dnssec {
	char dir[MSG_PATH_MAX];
	size_t n;
	struct dnssec_zone *zones;
	struct dnssec_time told; /* when dns was last told */
	int64_t renew_ms; /* when it must be again */
};

/* ---- time ---- */

void dnssec_now(struct dnssec_time *out)
{
	cleanup_buf struct buf boot = { 0 };

	*out = (struct dnssec_time){ .wall_s = clock_wall_ms() / MS_PER_S, .mono_ms = (int64_t)clock_now_ms() };
	str_copy(out->boot, "-");
	if (buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", 64) == 0) {
		boot.text[strcspn(boot.text, "\n")] = '\0';
		str_copy(out->boot, boot.text);
	}
}

static uint64_t elapsed_ms(const struct dnssec_time *since, const struct dnssec_time *now)
{
	if (strcmp(since->boot, now->boot) == 0)
		return now->mono_ms > since->mono_ms ? (uint64_t)(now->mono_ms - since->mono_ms) : 0;
	return now->wall_s > since->wall_s ? (now->wall_s - since->wall_s) * MS_PER_S : 0;
}

/* `since` as this boot counts. */
static void rebase(struct dnssec_time *since, const struct dnssec_time *now)
{
	uint64_t ms = MIN(elapsed_ms(since, now), (uint64_t)INT64_MAX / 2);

	*since = *now;
	since->mono_ms = now->mono_ms - (int64_t)ms;
	since->wall_s = now->wall_s - MIN(now->wall_s, ms / MS_PER_S);
}

enum { ANY, DNSKEY }; /* of served_ttl_s and past_ms */

static uint32_t longest_ttl(const struct dnssec_zone *z)
{
	return MAX(z->ttl_s, z->told_ttl_s ? z->told_ttl_s : z->configured_ttl_s);
}

/* As things are now; 0: the phase waits for nothing. */
static uint32_t wait_for(const struct dnssec_zone *z, const struct dnssec_keys *k)
{
	uint32_t ttl_s = 0;

	switch (dnssec_wait_of(k->phase)) {
	case DNSSEC_WAIT_NONE: return 0;
	case DNSSEC_WAIT_TTL: ttl_s = longest_ttl(z); break;
	case DNSSEC_WAIT_DNSKEY_TTL: ttl_s = z->ttl_s; break;
	case DNSSEC_WAIT_TTL_AND_DS: ttl_s = MAX(longest_ttl(z), k->ds_ttl_s); break;
	case DNSSEC_WAIT_DS_TTL: ttl_s = k->ds_ttl_s; break;
	}
	return ttl_s + z->delay_s + MARGIN_S;
}

/* The same from now on, with what may be left of longer TTLs from before. */
static uint32_t wait_from(const struct dnssec_zone *z, const struct dnssec_keys *k, const struct dnssec_time *now)
{
	enum dnssec_wait wait = dnssec_wait_of(k->phase);
	int64_t left_ms = z->past_ms[wait == DNSSEC_WAIT_DNSKEY_TTL ? DNSKEY : ANY] - now->mono_ms;
	uint32_t s = wait_for(z, k);

	if (left_ms <= 0 || wait == DNSSEC_WAIT_NONE || wait == DNSSEC_WAIT_DS_TTL)
		return s;
	return MAX(s, (uint32_t)(left_ms / MS_PER_S) + z->delay_s + MARGIN_S);
}

uint64_t dnssec_left_ms(const struct dnssec_zone *z, const struct dnssec_time *now)
{
	uint64_t wait_ms, ms;

	if (dnssec_wait_of(z->keys.phase) == DNSSEC_WAIT_NONE)
		return 0;
	if (!z->keys.served)
		return UINT64_MAX;
	wait_ms = (uint64_t)MAX(z->keys.wait_s, wait_for(z, &z->keys)) * MS_PER_S;
	ms = elapsed_ms(&z->keys.since, now);
	return ms < wait_ms ? wait_ms - ms : 0;
}

/* ---- zones ---- */

struct dnssec *dnssec_new(void) { return calloc(1, sizeof(struct dnssec)); }

static void free_zones(struct dnssec_zone *zones, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(zones[i].name);
		explicit_bzero(&zones[i].keys, sizeof(zones[i].keys));
	}
	free(zones);
}

void dnssec_free(struct dnssec *d)
{
	if (!d)
		return;
	free_zones(d->zones, d->n);
	free(d);
}

const char *dnssec_dir(const struct dnssec *d) { return d->dir; }

struct dnssec_zone *dnssec_nth(struct dnssec *d, size_t i) { return i < d->n ? &d->zones[i] : NULL; }

struct dnssec_zone *dnssec_zone(struct dnssec *d, const char *name)
{
	size_t n = strlen(name);

	if (n > 1 && name[n - 1] == '.') /* as people write it who know DNS */
		n--;
	for (size_t i = 0; i < d->n; i++)
		if (strncasecmp(d->zones[i].name, name, n) == 0 && !d->zones[i].name[n])
			return &d->zones[i];
	return NULL;
}

static void read_ttls(struct dnssec_zone *z, const struct zone_conf *c, const struct conf *conf)
{
	uint64_t ms = MAX(c->ttl_ms, c->negative_ttl_ms);

	for (size_t i = 0; i < conf->services.n; i++)
		ms = MAX(ms, conf->services.v[i].ttl_ms);
	z->ttl_s = (uint32_t)(c->ttl_ms / MS_PER_S);
	z->configured_ttl_s = (uint32_t)(ms / MS_PER_S);
	z->delay_s = c->secondaries.n > 0 || c->transfer_allow.n > 0 ? DNSSEC_SECONDARIES_S : 0;
}

static int save(struct dnssec *d, const struct dnssec_zone *z, const struct dnssec_keys *k, struct err *e)
{
	return dnssec_store_save(d->dir, z->name, k, e);
}

static void warn_of_save(const struct dnssec_zone *z, const struct err *e)
{
	log_error("zone %s: its keys' state cannot be saved, and stays as it was: %s", z->name, e->text);
}

/* What is on disk, unless it is bad: then what was in force, `old`, stays. */
static void read_keys(struct dnssec *d, struct dnssec_zone *z, const struct dnssec_keys *old,
		      const struct dnssec_time *now)
{
	struct err e;
	int r = dnssec_store_load(d->dir, z->name, &z->keys, &e);

	if (r == 0 && old && old->n > 0 && z->keys.n == 0)
		r = err_set(&e, -ENOENT,
			    "the keys of zone %.160s are gone from %.160s: restore them, or restart jitsud to go on "
			    "without", z->name, d->dir);
	if (r == 0) {
		if (z->keys.n == 0 || strcmp(z->keys.since.boot, now->boot) == 0)
			return;
		rebase(&z->keys.since, now);
		if (save(d, z, &z->keys, &e) < 0)
			warn_of_save(z, &e);
		return;
	}
	if (old)
		z->keys = *old;
	snprintf(z->mistake, sizeof(z->mistake), "%.*s", (int)sizeof(z->mistake) - 1, e.text);
	log_error("zone %s is %s: %s", z->name,
		  z->keys.n ? "signed with the keys it had" : "served without signatures", e.text);
}

static void tell_kept(const struct dnssec *d, const struct dnssec_zone *old)
{
	char path[MSG_PATH_MAX];

	dnssec_store_path(d->dir, old->name, path);
	if (old->keys.n > 0)
		log_info("zone %s is no longer configured; its keys stay in %s", old->name, path);
}

void dnssec_set(struct dnssec *d, const struct conf *conf, const struct dnssec_time *now)
{
	struct dnssec old = *d;

	snprintf(d->dir, sizeof(d->dir), "%.250s/keys", conf->state_dir);
	d->n = conf->zones.n;
	d->zones = calloc(d->n + 1, sizeof(*d->zones));
	if (!d->zones)
		abort();
	for (size_t i = 0; i < d->n; i++) {
		const struct zone_conf *c = &conf->zones.v[i];
		const struct dnssec_zone *before = dnssec_zone(&old, c->name);
		struct dnssec_zone *z = &d->zones[i];

		z->name = strdup(c->name);
		if (!z->name)
			abort();
		read_ttls(z, c, conf);
		z->told_ttl_s = before ? before->told_ttl_s : 0;
		for (unsigned k = 0; before && k < ARRAY_SIZE(z->past_ms); k++) {
			z->served_ttl_s[k] = before->served_ttl_s[k];
			z->past_ms[k] = before->past_ms[k];
		}
		read_keys(d, z, before ? &before->keys : NULL, now);
	}
	for (size_t i = 0; i < old.n; i++)
		if (!dnssec_zone(d, old.zones[i].name))
			tell_kept(d, &old.zones[i]);
	free_zones(old.zones, old.n);
	dnssec_told(d, now);
}

/* ---- steps ---- */

static bool has_tag(const struct dnssec_keys *k, uint16_t tag)
{
	for (unsigned i = 0; i < k->n; i++)
		if (k->of[i].key.tag == tag)
			return true;
	return k->gone == tag;
}

/* Tags tell a zone's keys apart, and need not differ by themselves. */
static int add_key(const char *zone, uint8_t algorithm, enum dnssec_role role, struct dnssec_keys *k,
		   struct err *e)
{
	struct dnssec_key fresh;
	int r = -EEXIST;

	assert(k->n < DNSSEC_KEYS_MAX);
	for (unsigned i = 0; i < TAG_TRIES && r == -EEXIST; i++) {
		r = dnssec_key_make(zone, algorithm, &fresh, e);
		if (r == 0 && has_tag(k, fresh.tag))
			r = err_set(e, -EEXIST, "cannot make a key with a tag of its own");
	}
	if (r == 0) {
		k->of[k->n].role = role;
		k->of[k->n++].key = fresh;
	}
	dnssec_key_wipe(&fresh);
	return r;
}

static void swap_keys(struct dnssec_keys *k)
{
	for (unsigned i = 0; i < k->n; i++)
		k->of[i].role = k->of[i].role == DNSSEC_NEXT ? DNSSEC_ACTIVE : DNSSEC_RETIRED;
}

static void drop_retired(struct dnssec_keys *k)
{
	unsigned n = 0;

	for (unsigned i = 0; i < k->n; i++) {
		if (k->of[i].role == DNSSEC_RETIRED)
			k->gone = k->of[i].key.tag;
		else
			k->of[n++] = k->of[i];
	}
	explicit_bzero(&k->of[n], (DNSSEC_KEYS_MAX - n) * sizeof(k->of[0]));
	k->n = n;
}

static int act(const struct dnssec_zone *z, enum dnssec_action action, const struct dnssec_wish *wish,
	       struct dnssec_keys *k, struct err *e)
{
	switch (action) {
	case DNSSEC_FIRST_KEY:
		return add_key(z->name, wish->algorithm ? wish->algorithm : DNSSEC_ECDSAP256SHA256, DNSSEC_ACTIVE, k,
			       e);
	case DNSSEC_NEXT_KEY: return add_key(z->name, k->of[0].key.algorithm, DNSSEC_NEXT, k, e);
	case DNSSEC_SWAP_KEYS: swap_keys(k); return 0;
	case DNSSEC_DROP_RETIRED: drop_retired(k); return 0;
	case DNSSEC_DROP_ALL: explicit_bzero(k, sizeof(*k)); return 0;
	default: return 0;
	}
}

/* The copy is saved before it counts. */
static int move(struct dnssec *d, struct dnssec_zone *z, enum dnssec_event event, const struct dnssec_move *m,
		const struct dnssec_wish *wish, const struct dnssec_time *now, struct err *e)
{
	struct dnssec_keys k = z->keys;
	int r;

	if (wish->ds_ttl_s >= 0)
		k.ds_ttl_s = (uint32_t)wish->ds_ttl_s;
	else if (k.phase == DNSSEC_OFF)
		k.ds_ttl_s = DNSSEC_DS_TTL_S;
	if (event == DNSSEC_DS_SEEN)
		k.gone = 0;
	r = act(z, m->action, wish, &k, e);
	if (r == 0) {
		k.phase = m->next;
		k.since = *now;
		k.served = false;
		k.wait_s = wait_from(z, &k, now);
		r = save(d, z, &k, e);
	}
	if (r == 0) {
		log_info("zone %s: DNSSEC is %s, was %s (%s)", z->name, dnssec_phase_name(k.phase),
			 dnssec_phase_name(z->keys.phase), dnssec_event_name(event));
		z->keys = k;
	}
	explicit_bzero(&k, sizeof(k));
	return r;
}

static int too_early(const struct dnssec_zone *z, const struct dnssec_time *now, struct err *e)
{
	uint64_t ms = dnssec_left_ms(z, now);
	time_t at = (time_t)(now->wall_s + ms / MS_PER_S + 1);
	char when[32];
	struct tm tm;

	if (ms == UINT64_MAX)
		return err_set(e, -EINPROGRESS,
			       "it is too early: dns does not answer by the last step yet (\"jitsuctl log\" may tell "
			       "why); --force does it now");
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&at, &tm));
	return err_set(e, -EINPROGRESS, "it is too early: %s; it is allowed from %s on; --force does it now",
		       dnssec_phase_means(z->keys.phase), when);
}

static int check_algorithm(const struct dnssec_zone *z, const struct dnssec_wish *wish, struct err *e)
{
	if (!wish->algorithm || z->keys.n == 0 || wish->algorithm == z->keys.of[0].key.algorithm)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		       "its key is of algorithm %s, which a roll does not change: \"jitsuctl dnssec disable\" it, and "
		       "then enable it with %s",
		       dnssec_algorithm_name(z->keys.of[0].key.algorithm), dnssec_algorithm_name(wish->algorithm));
}

static int check_ds_gone(const struct dnssec_zone *z, const struct dnssec_wish *wish, struct err *e)
{
	if (wish->ds_gone)
		return 0;
	return err_set(e, -EPERM,
		       "while the parent has a DS for %.200s, an unsigned zone is bogus for everybody who validates: "
		       "have its DS removed there first, look (dig +trace DS), and then say --yes-ds-is-gone",
		       z->name);
}

/* dns has room for so many, and would refuse everything with one more. */
static int check_room(const struct dnssec *d, struct err *e)
{
	unsigned n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->zones[i].keys.n > 0;
	if (n < MSG_SIGNED_ZONES_MAX)
		return 0;
	return err_set(e, -ENOSPC, "%u zones are signed already, and that is as many as can be", n);
}

int dnssec_step(struct dnssec *d, struct dnssec_zone *z, enum dnssec_event event, const struct dnssec_wish *wish,
		const struct dnssec_time *now, struct err *e)
{
	const struct dnssec_move *m = dnssec_fsm(z->keys.phase, event);
	int r = 0;

	if (z->mistake[0])
		return err_set(e, -EBADF, "%.380s; when that is mended: \"jitsuctl reload\"", z->mistake);
	if (!m)
		return err_set(e, -EALREADY, "%s", dnssec_refusal(z->keys.phase, event));
	if (event == DNSSEC_ROLL || event == DNSSEC_ENABLE)
		r = check_algorithm(z, wish, e);
	if (r == 0 && m->action == DNSSEC_FIRST_KEY)
		r = check_room(d, e);
	if (r == 0 && event == DNSSEC_DISABLE)
		r = check_ds_gone(z, wish, e);
	if (r == 0 && m->after_wait && !wish->force && dnssec_left_ms(z, now) > 0)
		r = too_early(z, now, e);
	return r < 0 ? r : move(d, z, event, m, wish, now, e);
}

bool dnssec_tick(struct dnssec *d, const struct dnssec_time *now)
{
	static const struct dnssec_wish none = { .ds_ttl_s = -1 };
	bool moved = false;
	struct err e;

	for (size_t i = 0; i < d->n; i++) {
		struct dnssec_zone *z = &d->zones[i];
		const struct dnssec_move *m = dnssec_fsm(z->keys.phase, DNSSEC_TIME);

		if (!m || z->mistake[0] || now->mono_ms < z->retry_ms || dnssec_left_ms(z, now) > 0)
			continue;
		if (move(d, z, DNSSEC_TIME, m, &none, now, &e) == 0) {
			moved = true;
			continue;
		}
		warn_of_save(z, &e);
		z->retry_ms = now->mono_ms + RETRY_MS;
	}
	return moved;
}

uint64_t dnssec_next_ms(const struct dnssec *d, const struct dnssec_time *now)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < d->n; i++) {
		const struct dnssec_zone *z = &d->zones[i];
		uint64_t ms;

		if (z->mistake[0] || !dnssec_fsm(z->keys.phase, DNSSEC_TIME))
			continue;
		ms = dnssec_left_ms(z, now);
		if (z->retry_ms > now->mono_ms)
			ms = MAX(ms, (uint64_t)(z->retry_ms - now->mono_ms));
		next = MIN(next, ms);
	}
	return next;
}

/* The wall clock was, since dns was last told. */
static bool was_set(const struct dnssec *d, const struct dnssec_time *now)
{
	int64_t wall_ms = ((int64_t)now->wall_s - (int64_t)d->told.wall_s) * MS_PER_S;

	return llabs(wall_ms - (now->mono_ms - d->told.mono_ms)) >= DNSSEC_CLOCK_MS;
}

static void mend_waits(struct dnssec *d, const struct dnssec_time *now)
{
	struct err e;

	for (size_t i = 0; i < d->n; i++) {
		struct dnssec_zone *z = &d->zones[i];

		if (!z->keys.served || strcmp(z->keys.since.boot, now->boot) != 0)
			continue;
		rebase(&z->keys.since, now);
		if (!z->mistake[0] && save(d, z, &z->keys, &e) < 0)
			warn_of_save(z, &e);
	}
}

void dnssec_told(struct dnssec *d, const struct dnssec_time *now)
{
	if (d->told.boot[0] && was_set(d, now))
		mend_waits(d, now);
	d->told = *now;
	d->renew_ms = now->mono_ms + DNSSEC_RENEW_MS;
}

void dnssec_not_taken(struct dnssec *d, const struct dnssec_time *now)
{
	d->renew_ms = now->mono_ms + DNSSEC_REFUSED_MS;
}

uint64_t dnssec_renew_ms(const struct dnssec *d, const struct dnssec_time *now)
{
	int64_t ms = was_set(d, now) ? 0 : d->renew_ms - now->mono_ms;

	for (size_t i = 0; i < d->n; i++)
		if (d->zones[i].keys.n > 0)
			return ms > 0 ? (uint64_t)ms : 0;
	return UINT64_MAX;
}

/* What was answered until now may be in caches for as long as it said. */
static void keep_past(struct dnssec_zone *z, const struct dnssec_time *now)
{
	const uint32_t ttl_s[] = { [ANY] = longest_ttl(z), [DNSKEY] = z->ttl_s };

	for (unsigned k = 0; k < ARRAY_SIZE(ttl_s); k++) {
		z->past_ms[k] = MAX(z->past_ms[k], now->mono_ms + (int64_t)z->served_ttl_s[k] * MS_PER_S);
		z->served_ttl_s[k] = ttl_s[k];
	}
}

void dnssec_served(struct dnssec *d, const struct dnssec_time *now)
{
	struct err e;

	for (size_t i = 0; i < d->n; i++) {
		struct dnssec_zone *z = &d->zones[i];

		keep_past(z, now);
		if (z->keys.n == 0 || z->keys.served)
			continue;
		z->keys.served = true;
		z->keys.since = *now;
		z->keys.wait_s = MAX(z->keys.wait_s, wait_from(z, &z->keys, now));
		if (!z->mistake[0] && save(d, z, &z->keys, &e) < 0)
			warn_of_save(z, &e);
	}
}

void dnssec_told_ttl(struct dnssec *d, const char *zone, uint32_t ttl_s)
{
	struct dnssec_zone *z = dnssec_zone(d, zone);

	if (!z)
		return;
	z->told_ttl_s = MIN(ttl_s, (uint32_t)TTL_MAX);
	if (z->keys.served) /* saved with the next step: dns cannot make us write without end */
		z->keys.wait_s = MAX(z->keys.wait_s, wait_for(z, &z->keys));
}

/* ---- what they do ---- */

void dnssec_describe_key(const struct dnssec_zone *z, unsigned i, struct msg_dns_key *out)
{
	const struct dnssec_keys *k = &z->keys;

	*out = (struct msg_dns_key){ .tag = k->of[i].key.tag,
				     .flags = DNSSEC_KEY_FLAGS,
				     .algorithm = k->of[i].key.algorithm,
				     .publish = true,
				     .sign = k->of[i].role == DNSSEC_ACTIVE,
				     .sign_keys = true,
				     .cds = dnssec_lists_cds(k->phase) };
	str_copy(out->zone, z->name);
}
