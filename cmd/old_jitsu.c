/* Two tables, of options and of keys.  Options come first, wherever they stand, since they count for all services;
 * then each word "key=value,key=value" is one.
 *
 * Where the old one had a meaning of its own it is kept: -t is the TTL, and a VM was stopped after twice of it; -d
 * is how long after the start the answer was given; memory is in KiB (its README says bytes, its examples and its
 * code KiB).  An address had no length of its network there: it is 24 bits unless --prefix says another.
 */
#include "cmd/old_jitsu.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/err.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/nearest.h"

enum { LIST_MAX = MSG_LIST_MAX, NAME_MAX_LENGTH = 40 };

struct list {
	size_t n;
	const char *v[LIST_MAX];
};

/* What is said of one service. */
struct service {
	struct list dns, nic, disk;
	const char *name, *uuid, *ip, *kernel, *memory, *cmdline, *delay, *key, *synjitsu;
};

struct parse {
	struct buf *mistakes;
	const char *cwd;
	/* options */
	const char *mode, *ttl, *delay, *backend, *hypervisor, *prefix;
	bool dry_run, json, help;
	struct service s; /* the one that is read */
};

static void PRINTF_LIKE(2, 3) mistake(struct parse *p, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(p->mistakes, "%s\n", text);
}

/* ---- options ---- */

#define OPTION(member) offsetof(struct parse, member)
#define NOWHERE SIZE_MAX

static const struct option {
	const char *name;
	size_t to; /* a const char * of struct parse, or a bool where it has no value; NOWHERE: refused */
	const char *what; /* what it becomes, or why it is refused */
	char letter; /* 0: none */
	bool value;
} options[] = {
	{ "mode", OPTION(mode), "\"stop\": suspend, destroy or shutdown", 'm', true },
	{ "ttl", OPTION(ttl), "\"ttl\", and twice of it \"idle_timeout\"", 't', true },
	{ "delay", OPTION(delay), "\"ready\": that long after the start", 'd', true },
	{ "backend", OPTION(backend), "libvirt; libxl, for services with a kernel", 'x', true },
	{ "bind", NOWHERE, "jitsud's addresses are for all services: \"listen\" of its configuration", 'b', true },
	{ "listen", NOWHERE, "jitsud's port is for all services: \"listen\" of its configuration", 'l', true },
	{ "connect", NOWHERE,
	  "jitsud connects to hypervisors: put this into \"hypervisors\" of its configuration, and say --hypervisor with "
	  "its name there", 'c', true },
	{ "forwarder", NOWHERE, "forwarding is for all services: \"forward\" of jitsud's configuration", 'f', true },
	{ "port", NOWHERE, "forwarding is for all services: \"forward\" of jitsud's configuration", 'p', true },
	{ "persistdb", NOWHERE, "services are always kept: in the registry, in jitsud's \"state_dir\"", 0, true },
	{ "synjitsu", NOWHERE,
	  "no other VM is needed to hold connections: jitsud does, where \"hold\" is \"park\"", 0, true },
	{ "version", NOWHERE, "\"jitsuctl --version\" tells it", 0, false },
	{ "hypervisor", OPTION(hypervisor), "its name in jitsud's configuration", 0, true },
	{ "prefix", OPTION(prefix), "the length of the addresses' network; 24", 0, true },
	{ "dry-run", OPTION(dry_run), "check it, and change nothing", 0, false },
	{ "json", OPTION(json), "rows as JSON", 0, false },
	{ "help", OPTION(help), "this text", 'h', false },
};

static const struct option *find_option(const char *word, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];

		if (word[1] != '-' ? o->letter == word[1] : n == strlen(o->name) + 2 && strncmp(word + 2, o->name, n - 2) == 0)
			return o;
	}
	return NULL;
}

static void unknown_option(struct parse *p, const char *word, size_t n)
{
	char name[64];
	struct nearest near = { .word = name };

	snprintf(name, sizeof(name), "%.*s", (int)MIN(n, sizeof(name)), word + strspn(word, "-"));
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		nearest_try(&near, options[i].name);
	if (near.name)
		mistake(p, "%.*s: there is no such option; did you mean --%s?", (int)MIN(n, (size_t)60), word, near.name);
	else
		mistake(p, "%.*s: there is no such option", (int)MIN(n, (size_t)60), word);
}

static void take_option(struct parse *p, const struct option *o, const char *value)
{
	if (o->to == NOWHERE)
		mistake(p, "--%s: %s", o->name, o->what);
	else if (o->value)
		memcpy((char *)p + o->to, &value, sizeof(value));
	else
		*((bool *)p + o->to) = true;
}

/* The option at words[*i]: "-t 60", "-t60", "--ttl 60", "--ttl=60". */
static void read_option(struct parse *p, int n, char *const *words, int *i)
{
	const char *word = words[*i], *value = NULL;
	bool is_long = word[1] == '-';
	size_t length = is_long ? strcspn(word, "=") : 2;
	const struct option *o = find_option(word, length);

	if (!o) {
		unknown_option(p, word, strcspn(word, "="));
		return;
	}
	if (word[length])
		value = word + length + is_long;
	if (value && !o->value) {
		mistake(p, "--%s takes no value", o->name);
		return;
	}
	if (!value && o->value && *i + 1 < n)
		value = words[++*i];
	if (!value && o->value)
		mistake(p, "--%s needs a value", o->name);
	else
		take_option(p, o, value);
}

/* ---- keys ---- */

#define KEY(member) offsetof(struct service, member)

static const struct key {
	const char *name;
	bool many;
	size_t to; /* a const char * of struct service, or a list; NOWHERE: refused */
	const char *what; /* what it becomes, or why it is refused */
} keys[] = {
	{ "dns", true, KEY(dns), "\"dns\"" },
	{ "ip", false, KEY(ip), "\"ip\"" },
	{ "name", false, KEY(name), "the service's name; without kernel also \"machine.domain\"" },
	{ "uuid", false, KEY(uuid), "\"machine.domain\"" },
	{ "kernel", false, KEY(kernel), "\"machine.kernel\"" },
	{ "memory", false, KEY(memory), "\"machine.memory\", in KiB" },
	{ "cmdline", false, KEY(cmdline), "\"machine.cmdline\"" },
	{ "nic", true, KEY(nic), "\"machine.nics\": the bridge" },
	{ "disk", true, KEY(disk), "\"machine.disks\": FILE@DEVICE, by their order" },
	{ "response_delay", false, KEY(delay), "as -d, of this service" },
	{ "use_synjitsu", false, KEY(synjitsu), "\"hold\": 0 is off, else park" },
	{ "wait_for_key", false, KEY(key), "\"ready\": until XenStore has that key (Xen alone)" },
	{ "script", true, NOWHERE, "none is named here: jitsud, or jitsu-vif on Xen, puts the VM's port on its bridge" },
	{ "rumprun_config", false, NOWHERE,
	  "jitsud writes nothing into XenStore for a guest; bake for hw_virtio, and give that JSON as cmdline" },
};

static void take_value(struct parse *p, const struct key *k, const char *value)
{
	char *at = (char *)&p->s + k->to;
	const char *old;

	if (k->many) {
		struct list *list = (struct list *)at;

		if (list->n == LIST_MAX)
			mistake(p, "%s: more than %d of them", k->name, LIST_MAX);
		else
			list->v[list->n++] = value;
		return;
	}
	memcpy(&old, at, sizeof(old));
	if (old)
		mistake(p, "%s: is there twice", k->name);
	memcpy(at, &value, sizeof(value));
}

static void take_pair(struct parse *p, const char *name, const char *value)
{
	struct nearest near = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].name, name) != 0) {
			nearest_try(&near, keys[i].name);
			continue;
		}
		if (keys[i].to == NOWHERE)
			mistake(p, "%s: %s", name, keys[i].what);
		else if (!*value)
			mistake(p, "%s: needs a value", name);
		else
			take_value(p, &keys[i], value);
		return;
	}
	if (near.name)
		mistake(p, "%.60s: there is no such key; did you mean %s?", name, near.name);
	else
		mistake(p, "%.60s: there is no such key", name);
}

/* Without blanks around it, in place. */
static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s + strspn(s, " \t\n");
}

static void read_pairs(struct parse *p, char *text)
{
	char *rest = NULL;

	for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(part, '=');

		if (!value) {
			mistake(p, "\"%.60s\": expected KEY=VALUE", part);
			continue;
		}
		*value++ = '\0';
		take_pair(p, trim(part), trim(value));
	}
}

/* ---- values ---- */

static bool whole_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && errno == 0 && *out >= least && *out <= most;
}

/* A name of a-z, 0-9 and inner '-'. */
static void service_name(const char *from, char out[NAME_MAX_LENGTH + 1])
{
	size_t n = 0;

	for (; *from && n < NAME_MAX_LENGTH; from++) {
		char c = (char)tolower((unsigned char)*from);

		if (!isalnum((unsigned char)c) || (unsigned char)c >= 0x80)
			c = '-';
		if (c != '-' || (n > 0 && out[n - 1] != '-'))
			out[n++] = c;
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
}

static void put_name(struct parse *p, struct json_writer *w)
{
	char name[NAME_MAX_LENGTH + 1];
	const char *from = p->s.name ? p->s.name : p->s.dns.n ? p->s.dns.v[0] : "";

	service_name(from, name);
	if (!name[0])
		mistake(p, "name: none can be made of \"%.60s\": expected letters and digits", from);
	json_put_string(w, "name", name);
}

static void put_list(struct json_writer *w, const char *key, const struct list *list)
{
	json_open(w, key, '[');
	for (size_t i = 0; i < list->n; i++)
		json_put_string(w, NULL, list->v[i]);
	json_close(w, ']');
}

static void put_ip(struct parse *p, struct json_writer *w)
{
	uint64_t length = OLD_JITSU_PREFIX;
	struct in_addr addr;
	char text[64];

	if (p->prefix && !whole_number(p->prefix, 1, 32, &length))
		mistake(p, "--prefix: expected 1..32, got \"%.40s\"", p->prefix);
	if (!p->s.ip)
		return;
	if (inet_pton(AF_INET, p->s.ip, &addr) != 1)
		mistake(p, "ip: expected an IPv4 address, got \"%.60s\"", p->s.ip);
	snprintf(text, sizeof(text), "%.40s/%" PRIu64, p->s.ip, length);
	json_open(w, "ip", '[');
	json_put_string(w, NULL, text);
	json_close(w, ']');
}

static void put_path(struct parse *p, struct json_writer *w, const char *key, const char *path, size_t n)
{
	cleanup_buf struct buf out = { 0 };

	while (n > 2 && path[0] == '.' && path[1] == '/') {
		path += 2;
		n -= 2;
	}
	if (path[0] != '/')
		buf_addf(&out, "%s/", strcmp(p->cwd, "/") == 0 ? "" : p->cwd);
	buf_add(&out, path, n);
	json_put_string(w, key, out.text ? out.text : "");
}

/* A brace would begin a placeholder here. */
static void put_cmdline(struct json_writer *w, const char *text)
{
	cleanup_buf struct buf out = { 0 };

	for (; *text; text++) {
		if (*text == '{')
			buf_adds(&out, "{");
		buf_add(&out, text, 1);
	}
	json_put_string(w, "cmdline", out.text ? out.text : "");
}

static void put_memory(struct parse *p, struct json_writer *w)
{
	uint64_t kib;
	char text[32];

	if (!p->s.memory) {
		mistake(p, "memory: is missing, beside kernel");
		return;
	}
	if (!whole_number(p->s.memory, 1, UINT32_MAX, &kib))
		mistake(p, "memory: expected a number of KiB, got \"%.40s\"", p->s.memory);
	snprintf(text, sizeof(text), "%" PRIu64 "KiB", kib);
	json_put_string(w, "memory", text);
}

static void put_nics(const struct service *s, struct json_writer *w)
{
	if (s->nic.n == 0)
		return;
	json_open(w, "nics", '[');
	for (size_t i = 0; i < s->nic.n; i++) {
		json_open(w, NULL, '{');
		json_put_string(w, "bridge", s->nic.v[i]);
		json_close(w, '}');
	}
	json_close(w, ']');
}

static void put_disks(struct parse *p, struct json_writer *w)
{
	if (p->s.disk.n == 0)
		return;
	json_open(w, "disks", '[');
	for (size_t i = 0; i < p->s.disk.n; i++) {
		const char *disk = p->s.disk.v[i], *at = strrchr(disk, '@');

		if (!at || at == disk || !at[1])
			mistake(p, "disk: expected FILE@DEVICE, such as images/data.iso@xvda, got \"%.60s\"", disk);
		json_open(w, NULL, '{');
		put_path(p, w, "path", disk, at ? (size_t)(at - disk) : strlen(disk));
		json_close(w, '}');
	}
	json_close(w, ']');
}

static void put_own_machine(struct parse *p, struct json_writer *w)
{
	if (p->s.uuid)
		mistake(p, "uuid: a VM with a kernel has one that follows from its name; leave it out");
	put_path(p, w, "kernel", p->s.kernel, strlen(p->s.kernel));
	put_memory(p, w);
	if (p->s.cmdline)
		put_cmdline(w, p->s.cmdline);
	put_nics(&p->s, w);
	put_disks(p, w);
}

static void put_domain(struct parse *p, struct json_writer *w)
{
	const struct service *s = &p->s;
	const char *extra = s->memory ? "memory" : s->cmdline ? "cmdline" : s->nic.n ? "nic" : s->disk.n ? "disk" : NULL;

	if (p->backend && strcmp(p->backend, "libxl") == 0)
		mistake(p, "kernel: is missing, which libxl needs");
	if (extra)
		mistake(p, "%s: is only for a service with a kernel; an existing domain has its own", extra);
	if (s->uuid || s->name)
		json_put_string(w, "domain", s->uuid ? s->uuid : s->name);
}

static void put_machine(struct parse *p, struct json_writer *w)
{
	json_open(w, "machine", '{');
	if (p->hypervisor)
		json_put_string(w, "hypervisor", p->hypervisor);
	if (p->s.kernel)
		put_own_machine(p, w);
	else
		put_domain(p, w);
	json_close(w, '}');
}

/* "delay:MS", from the start; the old one began to count when its key was there. */
static void put_delay(struct parse *p, struct json_writer *w, const char *text)
{
	char *end, rule[48];
	double s;

	s = strtod(text, &end);
	if (!(isdigit((unsigned char)*text) || *text == '.') || *end || !(s >= 0) || s > 3600)
		mistake(p, "%s: expected seconds from 0 to 3600, such as 0.1, got \"%.40s\"",
			p->s.delay ? "response_delay" : "--delay", text);
	snprintf(rule, sizeof(rule), "delay:%" PRIu64, s >= 0 && s <= 3600 ? (uint64_t)(s * 1000 + 0.5) : 0);
	json_put_string(w, NULL, rule);
}

static void put_ready(struct parse *p, struct json_writer *w)
{
	const char *delay = p->s.delay ? p->s.delay : p->delay;
	cleanup_buf struct buf key = { 0 };

	if (!delay && !p->s.key)
		return;
	json_open(w, "ready", '[');
	if (p->s.key) {
		buf_addf(&key, "xenstore:%s", p->s.key);
		json_put_string(w, NULL, key.text ? key.text : "");
	}
	if (delay)
		put_delay(p, w, delay);
	json_close(w, ']');
}

static void put_times(struct parse *p, struct json_writer *w)
{
	uint64_t ttl;
	char text[32];

	if (!p->ttl)
		return;
	if (!whole_number(p->ttl, 1, 604800, &ttl)) {
		mistake(p, "--ttl: expected 1..604800 seconds, got \"%.40s\"", p->ttl);
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu64 "s", ttl);
	json_put_string(w, "ttl", text);
	snprintf(text, sizeof(text), "%" PRIu64 "s", ttl * 2);
	json_put_string(w, "idle_timeout", text);
}

static void check_options(struct parse *p)
{
	static const char *const modes[] = { "destroy", "shutdown", "suspend" };
	bool known = !p->mode;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		known |= p->mode && strcmp(p->mode, modes[i]) == 0;
	if (!known)
		mistake(p, "--mode: expected destroy, shutdown or suspend, got \"%.40s\"", p->mode);
	if (!p->backend || strcmp(p->backend, "libvirt") == 0 || strcmp(p->backend, "libxl") == 0)
		return;
	if (strcmp(p->backend, "xapi") == 0)
		mistake(p, "--backend: xapi is not spoken here; let libvirt have the VM, and name its domain");
	else
		mistake(p, "--backend: expected libvirt or libxl, got \"%.40s\"", p->backend);
}

/* ---- services ---- */

static void put_service(struct parse *p, struct json_writer *w)
{
	if (p->s.dns.n == 0)
		mistake(p, "dns: is missing");
	if (!p->s.ip)
		mistake(p, "ip: is missing");
	if (!p->s.name && (!p->s.uuid || p->s.kernel))
		mistake(p, "name: is missing");
	json_open(w, NULL, '{');
	put_name(p, w);
	put_list(w, "dns", &p->s.dns);
	put_ip(p, w);
	put_times(p, w);
	put_ready(p, w);
	if (p->mode)
		json_put_string(w, "stop", p->mode);
	if (p->s.synjitsu)
		json_put_string(w, "hold", strcmp(p->s.synjitsu, "0") == 0 ? "off" : "park");
	put_machine(p, w);
	json_close(w, '}');
}

static void read_service(struct parse *p, const char *word, struct old_jitsu *out)
{
	cleanup_free char *text = strdup(word);
	cleanup_buf struct buf record = { 0 };
	struct json_writer w = { .out = &record };
	size_t mistakes = p->mistakes->n;

	p->s = (struct service){ 0 };
	if (text)
		read_pairs(p, text);
	if (p->mistakes->n == mistakes)
		put_service(p, &w);
	out->records[out->n] = record.text && !record.error ? strdup(record.text) : NULL;
	out->n += out->records[out->n] != NULL;
}

static int too_many(struct parse *p)
{
	mistake(p, "more than %d services: give them in several commands", OLD_JITSU_SERVICES_MAX);
	return -EINVAL;
}

int old_jitsu_parse(int n, char *const *words, const char *cwd, struct old_jitsu *out, struct buf *mistakes)
{
	struct parse p = { .mistakes = mistakes, .cwd = cwd };
	const char *services[OLD_JITSU_SERVICES_MAX];
	size_t n_services = 0;

	*out = (struct old_jitsu){ 0 };
	for (int i = 0; i < n; i++) {
		if (words[i][0] == '-' && words[i][1])
			read_option(&p, n, words, &i);
		else if (n_services < OLD_JITSU_SERVICES_MAX)
			services[n_services++] = words[i];
		else
			return too_many(&p);
	}
	out->dry_run = p.dry_run;
	out->json = p.json;
	out->help = p.help;
	if (p.help)
		return 0;
	check_options(&p);
	for (size_t i = 0; i < n_services; i++)
		read_service(&p, services[i], out);
	if (n_services == 0 && mistakes->n == 0)
		mistake(&p, "no service: expected dns=NAME,ip=ADDRESS,name=NAME,...");
	return mistakes->n > 0 ? -EINVAL : 0;
}

void old_jitsu_free(struct old_jitsu *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->records[i]);
	o->n = 0;
}

void old_jitsu_help(struct buf *out)
{
	buf_adds(out, "Options, for all services:\n");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];

		if (o->to != NOWHERE)
			buf_addf(out, "  %c%c%c --%-12s %s\n", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
				 o->letter ? ',' : ' ', o->name, o->what);
	}
	buf_adds(out, "Keys:\n");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].to != NOWHERE)
			buf_addf(out, "  %-16s %s\n", keys[i].name, keys[i].what);
	}
}
