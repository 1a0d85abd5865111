/* An existing domain as a service, without changing anything in it.
 *
 * The hypervisor is asked for the domain.  What the operator did not say follows from it: a name, a DNS name in
 * the first zone, an address that is learned; it is woken and never stopped (`idle_timeout` never) until
 * somebody says otherwise.  A domain that could not be held, or whose address could not be learned, is refused
 * here, with what would do; not later, by a service that does not work.
 */
#include "launcher/adopt.h"

#include <ctype.h>

#include "base/json.h"
#include "config/value.h"
#include "launcher/registrar.h"
#include "launcher/rows.h"

/* The text of an option, or "". */
static const char *text_in(const struct json_node *object, const char *key)
{
	const struct json_node *v = object ? json_get(object, key) : NULL;

	return v && json_type(v) == JSON_STRING ? json_string(v) : "";
}

static const struct json_node *machine_in(const struct json *doc)
{
	const struct json_node *v = json_get(json_root(doc), "machine");

	return v && json_type(v) == JSON_OBJECT ? v : NULL;
}

/* ---- which one ---- */

static int no_hypervisor(const struct launcher *l, const char *name, struct err *e)
{
	cleanup_buf struct buf names = { 0 };

	for (size_t i = 0; i < l->conf->hypervisors.n; i++)
		buf_addf(&names, "%s%s", i ? ", " : "", l->conf->hypervisors.v[i].name);
	if (name[0])
		return err_set(e, -ENOENT, "there is no hypervisor \"%.60s\" in the configuration: there is %.200s", name,
			       names.text ? names.text : "none");
	return err_set(e, -EINVAL, "there are several hypervisors: say which with --hypervisor: %.200s", names.text);
}

static int not_ready(const struct hypervisor *hv, struct err *e)
{
	if (hv->hello.text[0] && !hv->hello.connected)
		return err_set(e, -ENOTCONN, "hypervisor \"%s\" is not connected: %.300s", hv->name, hv->hello.text);
	return err_set(e, -EAGAIN, "hypervisor \"%s\" is still being asked what runs there: try again in a moment",
		       hv->name);
}

static struct hypervisor *choose(struct launcher *l, const char *name, struct err *e)
{
	struct hypervisor *hv;

	if (!name[0] && l->conf->hypervisors.n == 1)
		name = l->conf->hypervisors.v[0].name;
	hv = name[0] ? hypervisor_find(l, name) : NULL;
	if (!hv)
		no_hypervisor(l, name, e);
	else if (!hypervisor_ready(hv))
		not_ready(hv, e);
	else
		return hv;
	return NULL;
}

int adopt_target(struct launcher *l, const struct msg_ctl_request *ask, struct hypervisor **hv,
		 char domain[MSG_NAME_MAX * 2], struct err *e)
{
	cleanup_json struct json *doc = edits_parse(ask->record, e);
	const char *name;

	if (!doc)
		return e->code;
	name = text_in(machine_in(doc), "domain");
	if (!text_ok(&text_domain, name))
		return err_set(e, -EINVAL, "machine.domain: expected %s", text_domain.expected);
	*hv = choose(l, text_in(machine_in(doc), "hypervisor"), e);
	if (!*hv)
		return e->code;
	str_copy_n(domain, MSG_NAME_MAX * 2, name);
	return 0;
}

/* ---- can it be done ---- */

static bool says(const struct json *doc, const char *key) { return json_get(json_root(doc), key) != NULL; }

/* Each without which there would be no hold, or no address. */
static int check_nic(struct launcher *l, const struct json *doc, const struct msg_be_domain *d, struct err *e)
{
	bool off = strcmp(text_in(json_root(doc), "hold"), "off") == 0, learns = !says(doc, "ip");
	const char *way = off ? "say its address with --ip ADDRESS/LENGTH" :
			  learns ? "or adopt it with --hold off and --ip ADDRESS/LENGTH: its name alone will wake it" :
				   "or adopt it with --hold off: its name alone will wake it";
	struct bridge_info info;
	struct prober prober;
	struct err why;
	int r;

	if (off && !learns)
		return 0;
	r = hold_place_check_nic(d->n_nics > 0 ? &d->nics[0] : NULL, &why);
	if (r == 0)
		r = hold_bridges_look(l, d->nics[0].bridge, &info, &prober, &why);
	if (r == 0 && !off)
		r = netlink_check_vlan(l->netlink, &info, 0, &why);
	if (r < 0)
		return err_set(e, r, "domain \"%.60s\" cannot be %s: %.250s; %s", d->name, off ? "asked for its address" : "held",
			       why.text, way);
	if (learns && ip_is_zero(&info.ip4.addr))
		return err_set(e, -EADDRNOTAVAIL,
			       "bridge %s has no IPv4 address, so that nobody can say which addresses belong there: give it "
			       "one, or say the domain's with --ip ADDRESS/LENGTH", info.name);
	if (!off && ip_is_zero(&prober.ip4))
		return err_set(e, -EADDRNOTAVAIL,
			       "bridge %s has no IPv4 address to ask its VMs from: give it one, or one that is free by "
			       "{\"name\": \"%s\", \"probe_ip\": \"ADDRESS\"} in \"bridges\" of %.100s, and reload", info.name,
			       info.name, l->args->conf_path);
	return 0;
}

/* ---- the record ---- */

/* "Debian 12.1" is debian-12-1. */
static void name_from(const char *domain, char *out, size_t size)
{
	size_t n = 0;

	for (; *domain && n + 1 < MIN(size, (size_t)41); domain++) {
		char c = (char)tolower((unsigned char)*domain);
		bool plain = isalnum((unsigned char)c) && !(c & 0x80);

		if (plain || (n > 0 && out[n - 1] != '-'))
			out[n++] = plain ? c : '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
}

static int choose_name(const struct json *doc, const struct msg_be_domain *d, char *out, size_t size, struct err *e)
{
	const char *said = text_in(json_root(doc), "name");

	if (said[0])
		snprintf(out, size, "%s", said);
	else
		name_from(d->name, out, size);
	if (!out[0])
		return err_set(e, -EINVAL, "no service can be named after domain \"%.60s\": say how with --name", d->name);
	return 0;
}

static void put_defaults(const struct launcher *l, const struct hypervisor *hv, const char *name, struct buf *out)
{
	struct json_writer w = { .out = out };
	char host[MSG_DOMAIN_NAME_MAX];

	snprintf(host, sizeof(host), "%.60s.%.190s", name, l->conf->zones.n > 0 ? l->conf->zones.v[0].name : "");
	json_open(&w, NULL, '{');
	json_put_string(&w, "name", name);
	json_open(&w, "dns", '[');
	json_put_string(&w, NULL, host);
	json_close(&w, ']');
	json_open(&w, "ip", '[');
	json_put_string(&w, NULL, "learned");
	json_close(&w, ']');
	json_open(&w, "machine", '{');
	json_put_string(&w, "hypervisor", hv->name);
	json_close(&w, '}');
	json_put_string(&w, "idle_timeout", "never");
	json_close(&w, '}');
}

static bool is_configured(const struct launcher *l, const char *bridge)
{
	for (size_t i = 0; i < l->conf->bridges.n; i++) {
		if (strcmp(l->conf->bridges.v[i].name, bridge) == 0)
			return true;
	}
	return false;
}

static void describe(const struct launcher *l, const struct hypervisor *hv, const struct msg_be_domain *d,
		     const char *name, struct msg_ctl_row *row)
{
	char mac[MAC_TEXT_MAX], addr[ADDR_TEXT_MAX];

	row_str(row, "service", "%s", name);
	row_str(row, "domain", "%s", d->name);
	row_str(row, "hypervisor", "%s", hv->name);
	row_str(row, "domain_state", "%s", d->state == DOMAIN_RUNNING ? "running" :
					   d->state == DOMAIN_PAUSED  ? "paused" : "off");
	if (d->n_nics > 0) {
		row_str(row, "bridge", "%s", d->nics[0].bridge);
		row_str(row, "mac", "%s", mac_format(&d->nics[0].mac, mac));
	}
	for (uint16_t i = 0; i < d->n_addrs; i++)
		row_list_str(row, "addresses", "%s (%s)", ip_format(&d->addrs[i].addr, addr), learn_name(d->addrs[i].how));
	if (d->n_nics > 1)
		row_list_str(row, "remarks", "it has %u network cards: the first one counts", d->n_nics);
	if (d->n_nics > 0 && d->nics[0].bridge[0] && !is_configured(l, d->nics[0].bridge))
		row_list_str(row, "remarks", "bridge %s has its defaults: {\"name\": \"%s\"} in \"bridges\" of %s would be "
					     "the place to change them", d->nics[0].bridge, d->nics[0].bridge, l->args->conf_path);
}

int adopt_record(struct launcher *l, const struct msg_ctl_request *ask, const struct hypervisor *hv,
		 const struct msg_be_domain *d, struct buf *record, struct msg_ctl_row *row, struct err *e)
{
	cleanup_json struct json *doc = edits_parse(ask->record, e), *base = NULL;
	cleanup_buf struct buf defaults = { 0 };
	char name[MSG_NAME_MAX];

	if (!doc || choose_name(doc, d, name, sizeof(name), e) < 0 || check_nic(l, doc, d, e) < 0)
		return e->code;
	put_defaults(l, hv, name, &defaults);
	base = edits_parse(defaults.text, e);
	if (!base)
		return e->code;
	edits_patch(base, json_root(doc), record);
	if (record->n >= MSG_RECORD_MAX)
		return err_set(e, -EMSGSIZE, "the record is longer than %d bytes", MSG_RECORD_MAX);
	describe(l, hv, d, name, row);
	return 0;
}
