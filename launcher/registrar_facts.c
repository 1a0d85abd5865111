/* What the registry remembers of services beside their records: when they were last woken, how often, and the
 * addresses that were learned.
 */
#include "launcher/registrar_internal.h"

#include "launcher/pools.h"

enum { LEARN_MS = 5000, LEARN_SOON_MS = 100 };

static bool know_fact(void *arg, const struct registry_fact *f)
{
	struct service *s = service_by_name(arg, f->name);

	if (s && s->wakes == 0 && strcmp(f->key, "last_wake_ms") == 0)
		s->last_wake_ms = strtoull(f->value, NULL, 10);
	if (s && strcmp(f->key, "address") == 0)
		learning_know(s, f->value);
	if (s && s->wakes == 0 && strcmp(f->key, "wakes") == 0) /* the last of its keys */
		s->wakes = strtoull(f->value, NULL, 10);
	return true;
}

int registrar_recall(struct launcher *l, struct err *e)
{
	return registry_learned(l->registrar->registry, know_fact, l, e);
}

/* ---- learning ---- */

/* All at once: each commit waits for the disk. */
struct lesson {
	struct registry_fact *facts;
	char (*texts)[LEARNED_TEXT_MAX];
	size_t n;
};

enum { FACTS = 3 /* of a service */ };

/* Where its text goes. */
static char *new_fact(struct lesson *lesson, const struct service *s, const char *key)
{
	char *text = lesson->texts[lesson->n];

	lesson->facts[lesson->n++] = (struct registry_fact){ s->conf->name, key, text, clock_wall_ms() };
	return text;
}

static void add_fact(struct lesson *lesson, const struct service *s, const char *key, uint64_t value)
{
	snprintf(new_fact(lesson, s, key), sizeof(lesson->texts[0]), "%llu", (unsigned long long)value);
}

static void add_address(struct lesson *lesson, const struct service *s)
{
	char text[LEARNED_TEXT_MAX];

	if (learning_print(s, text))
		memcpy(new_fact(lesson, s, "address"), text, sizeof(text));
	else if (s->learning)
		lesson->facts[lesson->n++] = (struct registry_fact){ s->conf->name, "address", NULL, 0 };
}

void registrar_on_learn(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;
	struct lesson lesson = { 0 };
	struct service *s;
	struct err e;
	size_t n = 0;

	(void)fd;
	(void)what;
	if (pools_keep(l, &e) < 0)
		log_limited(LOG_WARN, "which addresses services were given is not kept: %s", e.text);
	TAILQ_FOREACH(s, &l->unlearned, unlearned)
		n++;
	lesson.facts = calloc(FACTS * n + 1, sizeof(*lesson.facts));
	lesson.texts = calloc(FACTS * n + 1, sizeof(*lesson.texts));
	if (!lesson.facts || !lesson.texts)
		abort();
	while ((s = TAILQ_FIRST(&l->unlearned))) {
		if (!s->removed) {
			add_fact(&lesson, s, "last_wake_ms", s->last_wake_ms);
			add_fact(&lesson, s, "wakes", s->wakes);
			add_address(&lesson, s);
		}
		registrar_learned(s);
	}
	if (lesson.n > 0 && l->registrar->registry && registry_learn(l->registrar->registry, lesson.facts, lesson.n, &e) < 0)
		log_limited(LOG_WARN, "what was learned of services is not kept: %s", e.text);
	free(lesson.facts);
	free(lesson.texts);
}

void registrar_learned(struct service *s)
{
	if (s->is_unlearned)
		TAILQ_REMOVE(&s->l->unlearned, s, unlearned);
	s->is_unlearned = false;
}

void registrar_learn(struct service *s)
{
	struct timeval tv = clock_timeval_ms(LEARN_MS);
	struct registrar *r = s->l->registrar;

	if (!s->is_unlearned)
		TAILQ_INSERT_TAIL(&s->l->unlearned, s, unlearned);
	s->is_unlearned = true;
	if (r && !evtimer_pending(r->learn, NULL))
		event_add(r->learn, &tv);
}

void registrar_learn_soon(struct service *s)
{
	struct timeval tv = clock_timeval_ms(LEARN_SOON_MS);

	registrar_learn(s);
	if (s->l->registrar)
		event_add(s->l->registrar->learn, &tv);
}

/* ---- forgetting ---- */

/* What is remembered of services that are gone: from the file while nobody looked, with the launcher that was about
 * to forget them, or with their template.  When they come back, others may have got their addresses.
 *
 * As long as the history knows a name, a rollback may bring it back: the addresses that it had of pools are kept, as
 * such that are nobody's.  What the history forgets, which is long, ends these, too. */
struct stale {
	const struct launcher *l;
	bool history_forgets; /* it has done so already */
	size_t n, room;
	struct registry_fact *facts; /* with a name and a value of its own each */
};

static void add_stale(struct stale *s, const char *name, const char *key, const char *value)
{
	if (s->n == s->room) {
		s->room = MAX(s->room * 2, (size_t)16);
		s->facts = reallocarray(s->facts, s->room, sizeof(*s->facts));
		if (!s->facts)
			abort();
	}
	s->facts[s->n++] = (struct registry_fact){ registrar_copy(name), key, registrar_copy(value), clock_wall_ms() };
}

static void free_stale(struct stale *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((char *)s->facts[i].name);
		free((char *)s->facts[i].value);
	}
	free(s->facts);
}

static bool know_revision(void *arg, const struct registry_revision *rev)
{
	(void)rev;
	*(bool *)arg = true;
	return false;
}

static bool is_in_history(struct registry *reg, const char *name)
{
	bool found = false;
	struct err e;

	return registry_history(reg, name, 0, 1, know_revision, &found, &e) < 0 || found;
}

/* Forgets all of it, but for what it had. */
static void add_gone(struct stale *s, const char *name)
{
	struct registry *reg = s->l->registrar->registry;

	add_stale(s, name, NULL, NULL);
	for (size_t i = 0; is_in_history(reg, name) && i < ARRAY_SIZE(pools_keys); i++) {
		const struct pools_key *key = &pools_keys[i];
		cleanup_buf struct buf text = { 0 };
		struct err e;

		if (registry_fact(reg, name, key->has, &text, &e) == 0 || registry_fact(reg, name, key->had, &text, &e) == 0)
			add_stale(s, name, key->had, text.text);
	}
}

/* In force; or it would be, but for what was wrong with it. */
static bool is_configured(const struct launcher *l, const char *name)
{
	cleanup_buf struct buf body = { 0 };
	struct err e;

	if (claims_find(l->registrar->claims, name))
		return true;
	for (size_t i = 0; i < l->conf->services.n; i++)
		if (strcmp(l->conf->services.v[i].name, name) == 0)
			return true;
	return registry_get(l->registrar->registry, REGISTRY_SERVICE, name, &body, &e) != -ENOENT;
}

static bool is_former(const struct registry_fact *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(pools_keys); i++)
		if (strcmp(f->key, pools_keys[i].had) == 0)
			return true;
	return false;
}

static bool find_stale(void *arg, const struct registry_fact *f)
{
	struct stale *s = arg;

	if (is_former(f) && (!s->history_forgets || is_in_history(s->l->registrar->registry, f->name)))
		return true;
	if ((s->n == 0 || strcmp(s->facts[s->n - 1].name, f->name) != 0) && !is_configured(s->l, f->name))
		add_gone(s, f->name);
	return true;
}

void registrar_sweep(struct launcher *l)
{
	struct registrar *r = l->registrar;
	struct stale stale = { .l = l };
	uint64_t newest = 0;
	struct err e;

	if (r->registry && registry_newest(r->registry, &newest, &e) == 0)
		stale.history_forgets = newest > REGISTRY_REVISIONS_MAX;
	if (r->registry && registry_learned(r->registry, find_stale, &stale, &e) == 0 && stale.n > 0 &&
	    registry_learn(r->registry, stale.facts, stale.n, &e) < 0)
		log_warn("addresses of services that are gone are not forgotten: %s", e.text);
	free_stale(&stale);
}

void registrar_on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	registrar_sweep(arg);
}

void registrar_forget(struct launcher *l, const char *name)
{
	struct registrar *r = l->registrar;
	struct stale gone = { .l = l };
	struct err e;

	if (r->registry)
		add_gone(&gone, name);
	else
		err_set(&e, -ENODEV, "%s", r->why);
	if (!r->registry || registry_learn(r->registry, gone.facts, gone.n, &e) < 0)
		log_warn("service=%s what was learned of it is not forgotten: %s", name, e.text);
	free_stale(&gone);
}
