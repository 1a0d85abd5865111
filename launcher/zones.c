/* What is known of the zones, for operators. */
#include "launcher/dnssec.h"
#include "launcher/launcher.h"
#include "launcher/rows.h"
#include "launcher/zone_files.h"

static bool has(const char *text) { return text && *text; }

static void add_secondaries(const struct zone_conf *z, struct msg_ctl_row *row)
{
	if (z->secondaries.n == 0)
		row_list_empty(row, "secondaries");
	for (size_t i = 0; i < z->secondaries.n; i++) {
		const struct secondary_conf *s = &z->secondaries.v[i];

		row_list_str(row, "secondaries", "%s port %u%s%s", s->address, s->port, has(s->key) ? " key " : "",
			     has(s->key) ? s->key : "");
	}
}

static void add_keys(const struct launcher *l, const struct zone_conf *z, struct msg_ctl_row *row)
{
	const struct dnssec_zone *keys = l->dnssec ? dnssec_zone(l->dnssec, z->name) : NULL;

	row_bool(row, "signed", keys && keys->keys.phase != DNSSEC_OFF);
	if (keys)
		row_str(row, "phase", "%s", dnssec_phase_name(keys->keys.phase));
}

void zones_describe(const struct launcher *l, const struct zone_conf *z, struct msg_ctl_row *row)
{
	const char *mistake = zone_files_mistake(l->zone_files, z->name);
	uint32_t serial;

	row_str(row, "zone", "%s", z->name);
	if (zone_files_served_serial(l->zone_files, z->name, &serial))
		row_num(row, "serial", serial);
	else
		row_null(row, "serial");
	row_str(row, "file", "%s", z->file ? z->file : "");
	add_keys(l, z, row);
	add_secondaries(z, row);
	row_str(row, "mistake", "%s", mistake);
}
