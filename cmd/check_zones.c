/* The tables are built as dns builds them, from the same messages, and thrown away.  A file with a mistake ends
 * them, so they are built again without it: one mistake of each file is told, as a reload does.
 */
#include "cmd/check_zones.h"

#include "base/clock.h"
#include "base/slots.h"
#include "dns/load.h"
#include "launcher/zone_files.h"

static void copy_names(struct msg_domain_name *to, uint16_t *n, const struct string_list *from)
{
	for (*n = 0; *n < from->n && *n < MSG_LIST_MAX; ++*n)
		str_copy(to[*n].text, from->v[*n]);
}

static int add_zone(struct tables *t, const struct zone_conf *z)
{
	struct msg_dns_zone m = { .serial = 1, .ttl_s = (uint32_t)(z->ttl_ms / MS_PER_S) };

	str_copy(m.name, z->name);
	str_copy(m.hostmaster, z->hostmaster);
	copy_names(m.ns, &m.n_ns, &z->ns);
	return tables_add_zone(t, &m);
}

static int add_service(struct tables *t, const struct service_conf *c, uint32_t svc)
{
	struct msg_dns_service m = { .svc = svc, .gen = 1, .ttl_s = (uint32_t)(c->ttl_ms / MS_PER_S) };

	str_copy(m.name, c->name);
	copy_names(m.names, &m.n_names, &c->dns);
	m.template4 = conf_is_template(c);
	for (size_t i = 0; i < c->ip.n && m.n_addrs < MSG_LIST_MAX && !m.template4; i++)
		m.addrs[m.n_addrs++] = c->ip.v[i].addr;
	return tables_add_service(t, &m);
}

static int fill(struct tables *t, const struct conf *conf)
{
	int r = 0;

	for (size_t i = 0; i < conf->zones.n && r == 0; i++)
		r = add_zone(t, &conf->zones.v[i]);
	for (size_t i = 0; i < conf->services.n && i < SLOTS_MAX && r == 0; i++)
		r = conf->services.v[i].enabled ? add_service(t, &conf->services.v[i], (uint32_t)i) : 0;
	return r == 0 ? tables_place(t) : r;
}

/* Of those that are not `done`: they cannot be opened, or were found to have a mistake. */
static int add_files(struct load *load, const struct conf *conf, bool *done, struct buf *mistakes)
{
	for (size_t i = 0; i < conf->zones.n; i++) {
		const struct zone_conf *z = &conf->zones.v[i];
		struct msg_dns_zone_file m = { 0 };
		struct err e;
		int fd;

		if (done[i])
			continue;
		fd = zone_files_find(&conf->zone_dirs, z->file, &e);
		if (fd < 0) {
			buf_addf(mistakes, "%s\n", e.text);
			done[i] = true;
			continue;
		}
		str_copy(m.zone, z->name);
		str_copy(m.path, z->file);
		if (load_add(load, &m, fd) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_files(struct tables *t, struct load *load, const struct conf *conf, bool *done, struct buf *mistakes)
{
	struct err e;
	int r = 1;

	while (r > 0)
		r = load_step(load, t, &e);
	if (r == 0)
		return 0;
	for (size_t i = 0; i < conf->zones.n; i++) {
		if (done[i] || strcasecmp(conf->zones.v[i].name, load_zone(load)) != 0)
			continue;
		buf_addf(mistakes, "%s\n", e.text);
		done[i] = true;
		return -EINVAL;
	}
	return r;
}

/* 0: all that are not `done` are good; -EINVAL: one more is done. */
static int try_all(const struct conf *conf, struct signatures *none, bool *done, struct buf *mistakes)
{
	struct tables *t = tables_new();
	struct load *load = load_new(none);
	int r = t && load ? fill(t, conf) : -ENOMEM;

	if (r == 0)
		r = add_files(load, conf, done, mistakes);
	if (r == 0)
		r = read_files(t, load, conf, done, mistakes);
	load_free(load);
	tables_free(t);
	return r;
}

int check_zones(const struct conf *conf, struct buf *mistakes)
{
	cleanup_free bool *done = calloc(conf->zones.n + 1, sizeof(*done));
	struct signatures *none = signatures_new();
	int r = done && none ? -EINVAL : -ENOMEM;
	size_t before = mistakes->n, left = 0;

	for (size_t i = 0; r == -EINVAL && i < conf->zones.n; i++) {
		done[i] = !conf->zones.v[i].file[0];
		left += !done[i];
	}
	for (; r == -EINVAL && left > 0; left--)
		r = try_all(conf, none, done, mistakes);
	signatures_free(none);
	if (r != 0 && r != -EINVAL)
		buf_addf(mistakes, "the zone files cannot be checked: %s\n", strerror(-r));
	return mistakes->n > before ? -EINVAL : 0;
}
