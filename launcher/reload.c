/* A new configuration: what is new, what changed, what is gone.
 *
 * Services are matched by name.  One that says the same as before is only pointed to its new
 * record; a changed one goes on as it is and follows its new record from now on, its machine at
 * the next start; one that is gone is taken out of DNS at once and forgotten when its VM is off:
 * the idle rule stops it, so that whoever uses it still is not cut off.
 *
 * The text last used is kept in RUN_DIR: when the launcher is restarted while the file has
 * mistakes in it, it goes on with what it had.
 */
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>

#include "launcher/hooks_side.h"
#include "launcher/instances.h"
#include "launcher/launcher.h"
#include "launcher/pools.h"
#include "launcher/registrar.h"
#include "launcher/secondaries.h"
#include "launcher/zone_files.h"
#include "launcher/managers.h"

struct conf_ref *conf_hold(struct conf_ref *ref)
{
	ref->refs++;
	return ref;
}

struct conf_ref *conf_ref_new(struct service_conf *s)
{
	struct conf_ref *ref = calloc(1, sizeof(*ref));

	if (!ref)
		abort();
	*ref = (struct conf_ref){ .service = conf_pack_service(s), .refs = 1 };
	return ref;
}

void conf_unref(struct conf_ref *ref)
{
	if (!ref || --ref->refs > 0)
		return;
	conf_free(ref->conf);
	conf_free_service(ref->service);
	free(ref->instance_of);
	free(ref);
}

/* ---- the last good text ---- */

static void last_good_path(const struct launcher *l, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/last-good.json", l->args->run_dir);
}

static void keep_good(const struct launcher *l)
{
	cleanup_buf struct buf text = { 0 };
	char path[PATH_MAX], fresh[PATH_MAX + 8];
	mode_t mask = umask(077);
	FILE *f;

	last_good_path(l, path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	conf_print(l->conf, &text);
	f = fopen(fresh, "we");
	umask(mask);
	if (!f) {
		log_warn("cannot write %s: %s", fresh, strerror(errno));
		return;
	}
	fputs(text.text, f);
	if (fclose(f) != 0 || rename(fresh, path) < 0)
		log_warn("cannot write %s: %s", path, strerror(errno));
}

static void log_mistakes(const struct buf *mistakes)
{
	const char *line = mistakes->text ? mistakes->text : "";

	while (*line) {
		int n = (int)strcspn(line, "\n");

		log_error("%.*s", n, line);
		line += n + (line[n] == '\n');
	}
}

/* ---- what the supervisor shall hold ---- */

/* As many sockets for each address as there shall be workers: one for each CPU that we may use, unless that
 * would be too many for all addresses together. */
static uint16_t count_sharers(const struct conf *c)
{
	unsigned n = c->dns.workers, most = (unsigned)(LISTEN_UDP_MAX / MAX(c->listen.n, (size_t)1));
	cpu_set_t cpus;

	if (n == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (unsigned)CPU_COUNT(&cpus);
	return (uint16_t)MIN(MAX(n, 1u), MIN(most, (unsigned)LISTEN_SHARERS_MAX));
}

static void want_sockets(const struct conf *conf, struct ipc *supervisor)
{
	uint16_t sharers = count_sharers(conf);

	for (size_t i = 0; i < conf->listen.n; i++) {
		const struct endpoint *e = &conf->listen.v[i];
		struct msg_listen m = { .addr = e->addr, .port = e->port };

		m.proto = LISTEN_UDP;
		m.sharers = sharers;
		ipc_send(supervisor, MSG_WANT_LISTEN, &m);
		m.proto = LISTEN_TCP;
		m.sharers = 0;
		ipc_send(supervisor, MSG_WANT_LISTEN, &m);
	}
	for (size_t i = 0; i < conf->metrics.listen.n; i++) {
		const struct endpoint *e = &conf->metrics.listen.v[i];
		struct msg_listen m = { .proto = LISTEN_METRICS, .addr = e->addr, .port = e->port };

		ipc_send(supervisor, MSG_WANT_LISTEN, &m);
	}
}

static void want_backend(struct ipc *supervisor, const char *name, const char *uri, enum isolation isolation)
{
	struct msg_want_backend m = { .isolation = (uint8_t)isolation };

	str_copy(m.name, name);
	str_copy(m.uri, uri);
	ipc_send(supervisor, MSG_WANT_BACKEND, &m);
}

/* The beginning of the list, which tell_wants() tells whole: queries wait in the sockets, and backends connect,
 * while many services are read. */
static void tell_first_wants(struct launcher *l, const struct conf *conf)
{
	struct ipc *supervisor = child_supervisor(l->child);

	if (!supervisor)
		return;
	want_sockets(conf, supervisor);
	for (size_t i = 0; i < conf->hypervisors.n; i++) {
		const struct hypervisor_conf *c = &conf->hypervisors.v[i];

		want_backend(supervisor, c->name, c->uri, c->isolation);
	}
}

static void tell_wants(struct launcher *l)
{
	struct ipc *supervisor = child_supervisor(l->child);
	struct hypervisor *hv;

	if (!supervisor)
		return;
	want_sockets(l->conf, supervisor);
	TAILQ_FOREACH(hv, &l->hypervisors, next) /* those that a removed service's VM still needs, too */
		want_backend(supervisor, hv->name, hv->uri, hv->isolation);
	if (l->conf->hooks.n > 0)
		ipc_send(supervisor, MSG_WANT_HOOKS, NULL);
	ipc_send(supervisor, MSG_WANT_END, NULL);
}

/* ---- applying ---- */

static bool is_used(const struct launcher *l, const struct hypervisor *hv)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->hv == hv)
			return true;
	}
	return false;
}

static void apply_hypervisors(struct launcher *l)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next)
		hv->wanted = false;
	for (size_t i = 0; i < l->conf->hypervisors.n; i++) {
		const struct hypervisor_conf *c = &l->conf->hypervisors.v[i];

		hv = hypervisor_find(l, c->name);
		if (!hv)
			hv = hypervisor_new(l, c->name);
		str_copy(hv->uri, c->uri);
		hv->isolation = c->isolation;
		hv->wanted = true;
	}
}

static void drop_hypervisors(struct launcher *l)
{
	struct hypervisor *hv, *hv_next;

	for (hv = TAILQ_FIRST(&l->hypervisors); hv; hv = hv_next) {
		hv_next = TAILQ_NEXT(hv, next);
		if (!hv->wanted && !is_used(l, hv))
			hypervisor_free(hv);
	}
}

static bool says_the_same(const struct service_conf *a, const struct service_conf *b)
{
	cleanup_buf struct buf text_a = { 0 }, text_b = { 0 };

	conf_print_service(a, &text_a);
	conf_print_service(b, &text_b);
	return text_a.n == text_b.n && memcmp(text_a.text, text_b.text, text_a.n) == 0 && pools_same(a, b);
}

static bool is_busy(const struct service *s) { return state_counts(s->state) || s->stop_under_way; }

void reload_put(struct launcher *l, struct conf_ref *ref, const struct service_conf *c, bool judge)
{
	struct service *s = service_by_name_any(l, c->name);

	if (!s) {
		log_debug("service=%s is new", c->name);
		s = service_new(l, ref, c);
		if (!conf_is_template(c))
			hypervisor_discover(s); /* it may run already */
		if (judge)
			holds_judge(s, true);
		return;
	}
	if (s->removed || !says_the_same(s->conf, c)) {
		log_info("service=%s changed", c->name);
		service_set_conf(s, ref, c, true);
	} else {
		service_set_conf(s, ref, c, false);
	}
	if (c->machine.xl_config[0] && !is_busy(s))
		hypervisor_discover(s); /* that file may have changed, too */
}

void reload_remove(struct service *s)
{
	s->removed = true;
	s->order = ORDER_NONE;
	wake_forget(s, "it is no longer configured");
	holds_judge(s, false);
	if (s->state == STATE_SUSPENDED && !machine_is_defined(&s->conf->machine)) {
		note_set(&s->stop_reason, "it is no longer configured");
		service_event(s, SVC_OPERATOR_STOP);
	}
	if (s->state == STATE_SAVED)
		saves_drop(s);
	if (is_busy(s)) {
		log_info("service=%s is no longer configured; its VM is stopped once nobody uses it", s->conf->name);
		if (s->state == STATE_UP)
			service_arm(s, TIMER_IDLE, 1);
		return;
	}
	log_info("service=%s is no longer configured", s->conf->name);
	service_free(s);
}

static bool is_configured(const struct inventory *v, const struct service *s)
{
	return claims_find(v->claims, s->conf->name) != NULL;
}

/* The removals first of all, so that their indices are free for new ones. */
static void apply_services(struct launcher *l, const struct inventory *v)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (!s->removed && !is_configured(v, s))
			reload_remove(s);
	}
	for (size_t i = 0; i < l->conf->services.n; i++) {
		if (pools_known(&l->conf->services.v[i])) /* else there is no address for it, which was told */
			reload_put(l, l->ref, &l->conf->services.v[i], false);
	}
	for (size_t i = 0; i < v->n; i++)
		reload_put(l, v->refs[i], v->refs[i]->service, false);
}

/* Those no longer configured keep their index until they are off. */
static bool is_room_for(const struct launcher *l, const struct inventory *v)
{
	size_t n = claims_count(v->claims);
	struct service *s;

	FOR_EACH_SERVICE(l, s)
		n += is_busy(s) && !is_configured(v, s);
	return n <= SLOTS_MAX;
}

static void warn_about_bridge(void *arg, const char *sentence)
{
	(void)arg;
	log_warn("%s", sentence);
}

static void look_at_bridges(struct launcher *l)
{
	struct bridge_info info;
	struct err e;

	managers_warnings("", warn_about_bridge, NULL);
	for (size_t i = 0; i < l->conf->bridges.n; i++) {
		if (netlink_bridge(l->netlink, l->conf->bridges.v[i].name, &info, &e) < 0)
			log_warn("%s", e.text);
		else
			netlink_bridge_warnings(&info, warn_about_bridge, NULL);
	}
}

/* Takes both. */
static void apply(struct launcher *l, struct conf *conf, struct inventory *v)
{
	struct conf_ref *old = l->ref;
	struct err e;

	xdp_side_withdraw(l);
	l->ref = calloc(1, sizeof(*l->ref));
	if (!l->ref)
		abort();
	*l->ref = (struct conf_ref){ .conf = conf, .refs = 1 };
	l->conf = conf;
	zone_files_set(l->zone_files, conf, (uint32_t)(clock_wall_ms() / MS_PER_S));
	secondaries_set(l->secondaries, conf);
	dnssec_configured(l);
	if (l->wakers.mutes)
		wakers_set(l);
	if (image_reader_find(conf->users.qemu, &l->qemu, &e) < 0)
		log_warn("%s", e.text);
	apply_hypervisors(l);
	apply_services(l, v);
	registrar_take(l, v);
	registrar_begin(l);
	instances_begin(l);
	drop_hypervisors(l);
	look_at_bridges(l);
	xdp_side_configured(l);
	holds_refresh(l);
	conf_unref(old);
	keep_good(l);
	tell_wants(l);
	hooks_configured(l);
	l->dns_loading = true; /* also when it is told later */
	if (l->dns_told)
		dns_snapshot(l);
	if (l->operators)
		wake_pump(l);
}

void reload_services(struct launcher *l)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct inventory v;

	if (registrar_gather(l, l->conf, true, &v, &mistakes) < 0) {
		log_mistakes(&mistakes);
		return;
	}
	apply_services(l, &v);
	registrar_take(l, &v);
	instances_begin(l);
	holds_refresh(l);
	l->dns_loading = true;
	zone_files_changed(l->zone_files, (uint32_t)(clock_wall_ms() / MS_PER_S));
	if (l->dns_told)
		dns_snapshot(l);
	wake_pump(l);
}

/* The file's services are served whatever the registry has: what does not go with them is left out. */
static int apply_first(struct launcher *l, struct conf *conf, struct buf *mistakes)
{
	struct inventory v;

	tell_first_wants(l, conf);
	if (registrar_gather(l, conf, true, &v, mistakes) < 0) {
		log_mistakes(mistakes);
		conf_free(conf);
		return -EINVAL;
	}
	apply(l, conf, &v);
	return 0;
}

int reload_first(struct launcher *l)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct conf *conf = conf_load(l->args->conf_path, &mistakes);
	char path[PATH_MAX];
	struct err e;

	if (!conf) {
		log_mistakes(&mistakes);
		buf_clear(&mistakes);
		last_good_path(l, path);
		conf = conf_load(path, &mistakes);
		if (!conf)
			return -EINVAL;
		log_error("%s cannot be used: going on with what was in force (%s)", l->args->conf_path, path);
	}
	if (identity_load(conf->state_dir, &l->identity, &e) < 0) {
		log_error("%s", e.text);
		conf_free(conf);
		return e.code;
	}
	if (conf_check_programs(l->args->conf_path, conf, &mistakes) < 0) {
		log_mistakes(&mistakes); /* jitsu-hooks does not run them; the rest goes on */
		buf_clear(&mistakes);
	}
	if (apply_first(l, conf, &mistakes) < 0)
		return -EINVAL;
	if (registrar_opened(l)) /* else nobody knows which services there are */
		saves_sweep(l);
	return 0;
}

static int read_again(struct launcher *l, struct buf *mistakes)
{
	struct conf *conf = conf_load(l->args->conf_path, mistakes);
	struct inventory v;

	if (!conf) {
		log_mistakes(mistakes);
		log_error("%s is not used: nothing has changed", l->args->conf_path);
		return -EINVAL;
	}
	if (strcmp(conf->run_dir, l->conf->run_dir) != 0) {
		buf_addf(mistakes, "%s: run_dir cannot change while jitsud runs: restart it\n", l->args->conf_path);
		log_mistakes(mistakes);
		conf_free(conf);
		return -EINVAL;
	}
	if (conf_check_programs(l->args->conf_path, conf, mistakes) < 0 ||
	    registrar_gather(l, conf, false, &v, mistakes) < 0) {
		log_mistakes(mistakes);
		conf_free(conf);
		return -EINVAL;
	}
	if (!is_room_for(l, &v)) {
		buf_addf(mistakes, "%s: with those that are removed and still run there are more than %d services: try "
				   "again when they are off\n", l->args->conf_path, SLOTS_MAX);
		log_mistakes(mistakes);
		inventory_clear(&v);
		conf_free(conf);
		return -EINVAL;
	}
	apply(l, conf, &v);
	registrar_sweep(l);
	log_info("configuration read again: %zu services", registrar_count(l));
	return 0;
}

int reload(struct launcher *l, struct buf *mistakes)
{
	int error = read_again(l, mistakes);

	events_reloaded(l, error == 0, mistakes);
	return error;
}
