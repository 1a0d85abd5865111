/* All that shall be in force together: the file's services, and beside them the registry's.
 *
 * Those that say their addresses come first, then those that were given one before, and last those that shall be
 * given one: so that nobody is given what another one has.
 */
#include "launcher/instances.h"
#include "launcher/pools.h"
#include "launcher/registrar.h"

static void add_ref(struct inventory *v, struct conf_ref *ref)
{
	if (v->n == v->room) {
		v->room = MAX(v->room * 2, (size_t)64);
		v->refs = realloc(v->refs, v->room * sizeof(*v->refs));
		if (!v->refs)
			abort();
	}
	v->refs[v->n++] = ref;
}

void inventory_clear(struct inventory *v)
{
	claims_free(v->claims);
	for (size_t i = 0; i < v->n; i++)
		conf_unref(v->refs[i]);
	free(v->refs);
	*v = (struct inventory){ 0 };
}

struct gathering {
	struct launcher *l;
	const struct conf *conf;
	struct inventory *out;
	struct buf *mistakes;
	bool lenient, failed;
	size_t n_later, room_later;
	struct service_conf **later; /* the registry's that have no address yet */
};

static void left_out(struct gathering *g, const char *where, const char *name, const struct buf *why)
{
	cleanup_buf struct buf lines = { 0 };
	char *rest = NULL;

	g->failed = true;
	registrar_add_lines(&lines, name, why);
	for (char *line = lines.text ? strtok_r(lines.text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		if (g->lenient)
			log_error("%s, and left out: %s", where, line);
		else
			buf_addf(g->mistakes, "%s: %s\n", where, line);
	}
}

/* Takes it. */
static void put_one(struct gathering *g, const char *name, struct service_conf *s, struct buf *why)
{
	if (s && g->out->n + g->conf->services.n >= SLOTS_MAX) {
		buf_addf(why, "there can be no more than %d services\n", SLOTS_MAX);
	} else if (s && claims_fit(g->out->claims, s, why)) {
		struct conf_ref *ref = conf_ref_new(s);

		if (!claims_add(g->out->claims, ref->service))
			abort();
		add_ref(g->out, ref);
		return;
	}
	left_out(g, "in the registry", name, why);
	conf_free_service(s);
}

static void put_later(struct gathering *g, struct service_conf *s)
{
	if (g->n_later == g->room_later) {
		g->room_later = MAX(g->room_later * 2, (size_t)16);
		g->later = reallocarray(g->later, g->room_later, sizeof(struct service_conf *));
		if (!g->later)
			abort();
	}
	g->later[g->n_later++] = s;
}

static bool gather_one(void *arg, const char *name, const char *body)
{
	struct gathering *g = arg;
	cleanup_buf struct buf why = { 0 };
	struct service_conf *s = conf_parse_service(g->conf, body, strlen(body), NULL, &why);

	if (s && !pools_recall(g->l, g->conf, g->out->claims, s, name))
		put_later(g, s);
	else
		put_one(g, name, s, &why);
	return true;
}

/* The file's: first those that say their addresses, then those that have had one. */
static void gather_file(struct gathering *g)
{
	for (unsigned recalled = 0; recalled < 2; recalled++) {
		for (size_t i = 0; i < g->conf->services.n; i++) {
			struct service_conf *s = &g->conf->services.v[i];

			if (pools_known(s) == recalled || (recalled && !pools_recall(g->l, g->conf, g->out->claims, s, s->name)))
				continue;
			if (!claims_add(g->out->claims, s))
				abort();
		}
	}
}

/* Those who have no address yet are given one, now that all others have theirs. */
static void gather_later(struct gathering *g)
{
	for (size_t i = 0; i < g->conf->services.n; i++) {
		struct service_conf *s = &g->conf->services.v[i];
		cleanup_buf struct buf why = { 0 };

		if (pools_known(s))
			continue;
		if (!pools_give(g->l, g->conf, g->out->claims, s, &why))
			left_out(g, "in the configuration file", s->name, &why);
		else if (!claims_add(g->out->claims, s))
			abort();
	}
	for (size_t i = 0; i < g->n_later; i++) {
		struct service_conf *s = g->later[i];
		cleanup_buf struct buf why = { 0 };

		if (pools_give(g->l, g->conf, g->out->claims, s, &why)) {
			put_one(g, s->name, s, &why);
		} else {
			left_out(g, "in the registry", s->name, &why);
			conf_free_service(s);
		}
	}
	free(g->later);
}

/* ---- instances ---- */

/* As its template has it now; with the address that it had, or it is left out, which is its end. */
static void gather_instance(struct gathering *g, const char *name, const char *template, const char *label)
{
	const struct service_conf *t = claims_find(g->out->claims, template);
	cleanup_buf struct buf why = { 0 };
	struct service_conf *s;
	struct conf_ref *ref;

	if (!t || !conf_is_template(t))
		return;
	s = instances_conf(g->conf, t, label, name, &why);
	if (!s || !pools_recall(g->l, g->conf, g->out->claims, s, name) || !claims_fit(g->out->claims, s, &why) ||
	    g->out->n + g->conf->services.n >= SLOTS_MAX) {
		log_info("service=%s is an instance of %s, and cannot stay%s%.*s", name, template, why.n > 0 ? ": " : "",
			 why.text ? (int)strcspn(why.text, "\n") : 0, why.text ? why.text : "");
		conf_free_service(s);
		return;
	}
	ref = conf_ref_new(s);
	ref->instance_of = strdup(template);
	if (!ref->instance_of || !claims_add(g->out->claims, ref->service))
		abort();
	add_ref(g->out, ref);
}

static bool gather_remembered(void *arg, const struct registry_fact *f)
{
	char text[2 * MSG_NAME_MAX];
	const char *label;

	if (strcmp(f->key, "instance") != 0)
		return true;
	str_copy(text, f->value);
	label = instances_split(text);
	if (label)
		gather_instance(arg, f->name, text, label);
	return true;
}

static void is_any_template(void *arg, const struct service_conf *s)
{
	bool *any = arg;

	*any = *any || conf_is_template(s);
}

static void gather_instances(struct gathering *g, struct registry *reg)
{
	const struct service *s;
	bool any = false;
	struct err e;

	claims_each(g->out->claims, is_any_template, &any);
	if (any && reg && registry_learned(reg, gather_remembered, g, &e) < 0)
		log_error("instances are left out: %s", e.text);
	if (!any || reg)
		return;
	FOR_EACH_SERVICE(g->l, s) {
		char label[MSG_NAME_MAX];

		if (s->removed || !s->ref->instance_of)
			continue;
		snprintf(label, sizeof(label), "%.*s", (int)strcspn(s->conf->dns.v[0], "."), s->conf->dns.v[0]);
		gather_instance(g, s->conf->name, s->ref->instance_of, label);
	}
}

/* At start they are served all the same, and it is tried again. */
static int keep_given(struct gathering *g)
{
	struct err e;
	int error = pools_keep(g->l, &e);

	if (error == 0)
		return 0;
	if (g->lenient) {
		pools_owe(g->l);
		log_error("which addresses services were given is not kept: %s", e.text);
		return 0;
	}
	pools_drop(g->l);
	buf_addf(g->mistakes, "%s\n", e.text);
	return error;
}

/* Those in force, where nothing else is known of them. */
static int gather_running(struct gathering *g)
{
	struct service *s;

	FOR_EACH_SERVICE(g->l, s) {
		cleanup_buf struct buf body = { 0 };

		if (s->removed || service_is_in_file(s) || s->ref->instance_of)
			continue;
		conf_print_service(s->conf, &body);
		gather_one(g, s->conf->name, body.text);
	}
	return 0;
}

static int gather_registry(struct gathering *g, struct registry *reg)
{
	struct err e;

	if (!reg)
		return gather_running(g);
	if (registry_each(reg, REGISTRY_SERVICE, "", gather_one, g, &e) < 0) {
		buf_addf(g->mistakes, "%s\n", e.text);
		return e.code;
	}
	return 0;
}

int registrar_gather(struct launcher *l, const struct conf *conf, bool lenient, struct inventory *out,
		     struct buf *mistakes)
{
	struct gathering g = { .l = l, .conf = conf, .out = out, .mistakes = mistakes, .lenient = lenient };
	struct err e;
	struct registry *reg = registrar_open(l, conf, &e);
	int error;

	if (!reg)
		log_error("%s", e.text);
	*out = (struct inventory){ .claims = claims_new() };
	if (!out->claims || !claims_add_bridges(out->claims, conf))
		abort();
	pools_begin(l, conf, reg);
	pools_look_again(l);
	gather_file(&g);
	error = gather_registry(&g, reg);
	gather_instances(&g, reg);
	gather_later(&g);
	pools_gathered(l);
	if (error == 0)
		error = keep_given(&g);
	if (error == 0 && g.failed && !lenient)
		error = -EINVAL;
	if (error < 0)
		inventory_clear(out);
	return error;
}
