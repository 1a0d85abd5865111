#include "launcher/describe.h"

#include <inttypes.h>

#include "base/version.h"
#include "config/value.h"
#include "launcher/idle.h"
#include "launcher/instances.h"
#include "launcher/registrar.h"
#include "launcher/rows.h"

enum { MUTES_SHOWN = 8 };

static uint64_t ago(uint64_t then_ms) { return clock_now_ms() - then_ms; }

static void add_when(struct msg_ctl_row *row, const char *key, uint64_t then_ms)
{
	if (then_ms)
		row_num(row, key, ago(then_ms));
}

static void add_addresses(const struct service *s, struct msg_ctl_row *row)
{
	char text[VALUE_TEXT_MAX];

	for (size_t i = 0; i < s->conf->ip.n && conf_is_template(s->conf); i++)
		row_list_str(row, "ip", "%s", service_ip_format(&s->conf->ip.v[i], text));
	for (size_t i = 0; i < s->n_addrs; i++)
		row_list_str(row, "ip", "%s", ip_format(&s->addrs[i].addr, text));
	if (s->n_addrs == 0 && !conf_is_template(s->conf))
		row_list_empty(row, "ip");
	for (size_t i = 0; i < s->conf->dns.n; i++)
		row_list_str(row, "dns", "%s", s->conf->dns.v[i]);
}

/* What an operator should read first: why it does not run, or what it waits for. */
static void add_reason(const struct service *s, struct msg_ctl_row *row)
{
	char why[MSG_TEXT_MAX];
	const char *first = s->removed ? "no longer configured" :
			    !s->conf->enabled ? "disabled" :
			    order_keeps_down(s) ? "an operator keeps it down (pin)" : "";

	wake_explain(s, why, sizeof(why));
	if (why[0])
		row_str(row, "reason", "waits: %s", why);
	else
		row_str(row, "reason", "%s%s%s", first, first[0] && s->last_error[0] ? "; " : "", s->last_error);
}

static void add_idle(struct service *s, struct msg_ctl_row *row, const char *key)
{
	struct idle_verdict v;

	if (s->state != STATE_UP)
		return;
	v = service_idle(s);
	if (order_keeps_up(s) || (s->conf->idle_timeout_ms == DURATION_NEVER && !s->removed))
		row_null(row, key);
	else
		row_num(row, key, v.idle ? 0 : v.look_again_ms);
}

static bool runs(const struct service *s)
{
	return state_counts(s->state) && s->state != STATE_SUSPENDED && s->state != STATE_STARTING;
}

static void add_order(const struct service *s, struct msg_ctl_row *row)
{
	uint64_t now = clock_wall_ms();

	if (!s->conf->enabled)
		row_bool(row, "enabled", false);
	if (!order_keeps_up(s) && !order_keeps_down(s))
		return;
	row_str(row, "pin", "%s", s->order == ORDER_UP ? "up" : "down");
	if (s->order_until_ms)
		row_num(row, "pin_left_ms", s->order_until_ms > now ? s->order_until_ms - now : 0);
}

/* By whom it was last. */
static void add_woken(const struct service *s, struct msg_ctl_row *row)
{
	char client[ADDR_TEXT_MAX];

	if (!s->woken_ms)
		return;
	row_str(row, "woken_by", "%s", cause_name(s->cause));
	if (!ip_is_zero(&s->client))
		row_str(row, "woken_by_client", "%s", ip_format(&s->client, client));
	row_num(row, "woken_ago_ms", ago(s->woken_ms));
}

static void add_instances(const struct service *s, struct msg_ctl_row *row)
{
	uint64_t left;

	if (conf_is_template(s->conf)) {
		row_num(row, "instances", instances_count(s));
		row_num(row, "max_instances", s->conf->max_instances);
	}
	if (!s->ref->instance_of)
		return;
	row_str(row, "template", "%s", s->ref->instance_of);
	left = instances_left_ms(s);
	if (left < UINT64_MAX)
		row_num(row, "ends_in_ms", left);
}

static void add_summary(struct service *s, struct msg_ctl_row *row)
{
	row_str(row, "name", "%s", s->conf->name);
	row_str(row, "state", "%s", state_name(s->state));
	row_str(row, "origin", "%s", s->ref->instance_of ? "instance" : service_is_in_file(s) ? "file" : "registry");
	add_instances(s, row);
	add_order(s, row);
	add_addresses(s, row);
	row_str(row, "hypervisor", "%s", s->conf->machine.hypervisor);
	if (runs(s))
		row_num(row, "running_ms", ago(s->running_since_ms));
	add_idle(s, row, "idle_in_ms");
	row_num(row, "wakes", s->wakes);
	if (s->last_wake_ms)
		row_num(row, "last_wake_ms", s->last_wake_ms);
	row_num(row, "memory_bytes", service_memory(s));
	add_woken(s, row);
	add_reason(s, row);
}

void describe_list(struct service *s, struct msg_ctl_row *row)
{
	add_summary(s, row);
	if (holds_now(s))
		row_num(row, "held", s->hold.counts.held);
	else if (s->hold.refused[0])
		row_str(row, "not_held_because", "%s", s->hold.refused);
}

static void add_ready_rules(const struct service *s, struct msg_ctl_row *row)
{
	for (size_t i = 0; i < s->conf->ready.n; i++) {
		const struct ready_rule *r = &s->conf->ready.v[i];

		switch (r->kind) {
		case READY_ARP: row_list_str(row, "ready", "arp"); break;
		case READY_TCP: row_list_str(row, "ready", "tcp"); break;
		case READY_TCP_PORT: row_list_str(row, "ready", "tcp:%u", r->port); break;
		case READY_DELAY: row_list_str(row, "ready", "delay:%" PRIu64, r->delay_ms); break;
		case READY_GUEST: row_list_str(row, "ready", "guest"); break;
		case READY_KEY: row_list_str(row, "ready", "xenstore:%s", r->key); break;
		}
	}
}

static void add_policy(const struct service *s, struct msg_ctl_row *row)
{
	const struct service_conf *c = s->conf;

	row_str(row, "hold", "%s", c->hold == HOLD_OFF ? "off" : c->hold == HOLD_PARK ? "park" : "splice");
	row_str(row, "answer", "%s", c->answer == ANSWER_AUTO ? "auto" : answer_name(c->answer));
	row_str(row, "wake_dns", "%s", wake_dns_name(c->wake_dns));
	add_ready_rules(s, row);
	for (size_t i = 0; i < c->ports.n; i++)
		row_list_num(row, "ports", c->ports.v[i]);
	row_str(row, "stop", "%s", stop_name(c->stop));
	if (c->idle_timeout_ms == DURATION_NEVER)
		row_null(row, "idle_timeout_ms");
	else
		row_num(row, "idle_timeout_ms", c->idle_timeout_ms);
	row_num(row, "guest_lease_ms", c->guest_lease_ms);
	row_num(row, "start_timeout_ms", c->start_timeout_ms);
	row_num(row, "max_hold_ms", c->max_hold_ms);
	row_num(row, "ttl_s", c->ttl_ms / 1000);
	if (c->ttl_down_ms != c->ttl_ms)
		row_num(row, "ttl_down_s", c->ttl_down_ms / 1000);
	for (size_t i = 0; i < c->fallback_ip.n; i++)
		row_list_str(row, "fallback_ip", "%s", c->fallback_ip.v[i]);
}

static void add_machine(const struct service *s, struct msg_ctl_row *row)
{
	const struct machine_conf *m = &s->conf->machine;
	char mac[MAC_TEXT_MAX];

	if (machine_is_defined(m)) {
		row_str(row, "domain", "%s", s->target);
		if (m->xl_config[0])
			row_str(row, "xl_config", "%s", m->xl_config);
	} else {
		row_str(row, "kernel", "%s", m->kernel);
		row_str(row, "arch", "%s", m->arch);
		row_str(row, "machine", "%s", m->machine[0] ? m->machine : "default");
		row_num(row, "vcpus", m->vcpus);
	}
	if (s->uuid[0])
		row_str(row, "uuid", "%s", s->uuid);
	if (s->domain_id >= 0)
		row_num(row, "domain_id", (uint64_t)s->domain_id);
	for (uint16_t i = 0; i < s->n_nics; i++)
		row_list_str(row, "nics", "%s %s %s", s->nics[i].ifname[0] ? s->nics[i].ifname : "-",
			     mac_format(&s->nics[i].mac, mac), s->nics[i].bridge[0] ? s->nics[i].bridge : "-");
}

static void add_history(struct service *s, struct msg_ctl_row *row)
{
	struct idle_verdict v = service_idle(s);
	uint64_t now = clock_now_ms();

	row_num(row, "boots", s->run.boots);
	row_num(row, "starts_failed", s->starts_failed);
	if (s->l->xdp)
		row_num(row, "xdp_answers", xdp_side_count(s));
	row_str(row, "last_error", "%s", s->last_error);
	if (s->state == STATE_FAILED && s->retry_ms > now)
		row_num(row, "retry_in_ms", s->retry_ms - now);
	if (state_counts(s->state))
		row_str(row, "started_by", "%s", s->by_us ? "jitsu" : "someone else");
	if (state_serves(s->state) && s->conf->idle_timeout_ms != DURATION_NEVER)
		row_num(row, "traffic_ago_ms", s->conf->idle_timeout_ms - MIN(v.traffic_left_ms, s->conf->idle_timeout_ms));
	row_bool(row, "conflict", s->hold.conflict);
}

static void add_counts(const struct service *s, struct msg_ctl_row *row)
{
	const struct msg_hold_counts *c = &s->hold.counts;
	const struct {
		const char *key;
		uint64_t n;
	} counts[] = {
		{ "held", c->held },	     { "syns", c->syns },	    { "parked", c->parked },
		{ "released", c->released }, { "refused", c->refused },	    { "expired", c->expired },
		{ "dropped", c->dropped },   { "strays", c->strays },	    { "datagrams", c->datagrams },
		{ "arps", c->arps },	     { "conflicts", c->conflicts }, { "wakes_refused", s->hold.wakes_refused },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		row_num(row, counts[i].key, counts[i].n);
}

static const char *not_held_because(const struct service *s)
{
	if (conf_is_template(s->conf))
		return "it is a template: its instances are";
	if (s->conf->hold == HOLD_OFF)
		return "hold is off";
	if (s->hold.refused[0])
		return s->hold.refused;
	if (s->hold.conflict)
		return s->last_error;
	if (s->hold.stage == HOLD_STAGE_CHECK)
		return "it is being asked whether anybody else has its address";
	return "nobody has been asked yet whether its address is free";
}

static void add_hold(const struct service *s, struct msg_ctl_row *row)
{
	char who[MSG_VALUE_MAX], mac[MAC_TEXT_MAX];

	if (!holds_now(s))
		row_str(row, "not_held_because", "%s", not_held_because(s));
	if (!mac_is_zero(&s->hold.conflict_mac))
		row_str(row, "conflict_with", "%s", hold_conflict_text(s, who, sizeof(who)));
	if (!s->hold.place.bridge)
		return;
	row_str(row, "mac", "%s", mac_format(&s->hold.place.mac, mac));
	row_str(row, "stage", "%s", hold_stage_name(s->hold.stage));
	add_counts(s, row);
}

/* Whose queries do not wake it, since nobody came after them. */
static void add_muted(const struct service *s, struct msg_ctl_row *row)
{
	struct mute mutes[MUTES_SHOWN];
	size_t n = mutes_of(s->l->wakers.mutes, s->index, s->gen, clock_now_ms(), mutes, MUTES_SHOWN);
	char net[ADDR_TEXT_MAX];

	for (size_t i = 0; i < MIN(n, (size_t)MUTES_SHOWN); i++)
		row_list_str(row, "muted", "%s/%u%s: nobody came after %" PRIu32 " wakes in a row; its queries wake "
					   "nothing for another %" PRIu64 " s",
			     ip_format(&mutes[i].key.client, net), mutes[i].bits,
			     mutes[i].key.verified ? "" : " (not verified)", mutes[i].unused,
			     (mutes[i].left_ms + 999) / 1000);
	if (n > MUTES_SHOWN)
		row_list_str(row, "muted", "and %zu more networks", n - MUTES_SHOWN);
}

static void add_queries(const struct service *s, struct msg_ctl_row *row)
{
	row_num(row, "dns_wakes_refused", s->wakers.refused);
	row_num(row, "dns_wakes_muted", s->wakers.muted);
	add_muted(s, row);
}

/* What its guest says of itself. */
static void add_guest(const struct service *s, struct msg_ctl_row *row)
{
	struct guest_use use = guest_use(s);

	if (!runs(s))
		return;
	row_bool(row, "guest_heard", s->guest.stream_fd >= 0);
	row_bool(row, "guest_ready", s->run.guest_ready);
	if (use.busy_ms)
		row_num(row, "guest_busy_left_ms", use.busy_ms);
	if (use.lease_ms)
		row_num(row, "guest_lease_left_ms", use.lease_ms);
}

void describe_show(struct service *s, struct msg_ctl_row *row)
{
	add_summary(s, row);
	learning_describe(s, row);
	add_policy(s, row);
	add_machine(s, row);
	add_history(s, row);
	add_guest(s, row);
	add_queries(s, row);
	add_hold(s, row);
}

/* ---- why ---- */

static void add_keepers(struct service *s, struct msg_ctl_row *row)
{
	struct idle_verdict v = service_idle(s);
	struct guest_use guest = guest_use(s);

	if (s->state == STATE_ADOPTED) {
		row_list_str(row, "kept_up_by", "someone else started it: jitsu never stops it");
		return;
	}
	if (s->state != STATE_UP)
		return;
	if (order_keeps_up(s) && s->order_until_ms)
		row_list_str(row, "kept_up_by", "an operator: for another %" PRIu64 " s (lease)",
			     (s->order_until_ms - MIN(s->order_until_ms, clock_wall_ms()) + 999) / 1000);
	else if (order_keeps_up(s))
		row_list_str(row, "kept_up_by", "an operator (pin)");
	else if (s->conf->idle_timeout_ms == DURATION_NEVER && !s->removed)
		row_list_str(row, "kept_up_by", "idle_timeout is \"never\"");
	else if (v.traffic_left_ms == DURATION_NEVER)
		row_list_str(row, "kept_up_by", "its traffic cannot be counted (jitsuctl log says why), so that it is never idle");
	else if (v.by_traffic && v.nobody_came)
		row_list_str(row, "kept_up_by",
			     "a query woke it: it stops in %" PRIu64 " s unless a client comes (dns_grace)",
			     (v.traffic_left_ms + 999) / 1000);
	else if (v.by_traffic)
		row_list_str(row, "kept_up_by", "traffic: idle_timeout is over in %" PRIu64 " s if nothing more comes",
			     (v.traffic_left_ms + 999) / 1000);
	if (v.by_dns)
		row_list_str(row, "kept_up_by", "DNS: its address may be in caches for another %" PRIu64 " s",
			     (v.dns_left_ms + 999) / 1000);
	if (guest.busy_ms)
		row_list_str(row, "kept_up_by", "the guest: it says that it is busy, which counts for another %" PRIu64
						" s at most (guest_lease)", (guest.busy_ms + 999) / 1000);
	if (guest.lease_ms)
		row_list_str(row, "kept_up_by", "the guest: lease for another %" PRIu64 " s",
			     (guest.lease_ms + 999) / 1000);
	if (s->stop_failed_ms)
		row_list_str(row, "kept_up_by", "%s", s->last_error);
}

void describe_why(struct service *s, struct msg_ctl_row *row)
{
	row_str(row, "name", "%s", s->conf->name);
	row_str(row, "state", "%s", state_name(s->state));
	row_num(row, "since_ms_ago", ago(s->since_ms));
	add_instances(s, row);
	add_woken(s, row);
	add_keepers(s, row);
	add_muted(s, row);
	add_idle(s, row, "stops_in_ms");
	if (s->last_stop_ms)
		row_str(row, "last_stop_reason", "%s", s->stop_reason);
	add_when(row, "last_stop_ago_ms", s->last_stop_ms);
	row_str(row, "last_error", "%s", s->last_error);
	add_reason(s, row);
}

/* ---- wakes, lines, status ---- */

/* As they happened, which differs from wake to wake. */
static void sort_marks(const struct wake_trace *w, uint8_t order[MARK_N])
{
	for (int i = 0; i < MARK_N; i++) {
		int at = i;

		for (; at > 0 && w->at_ns[order[at - 1]] > w->at_ns[i]; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}

void describe_wake(const struct wake_trace *w, struct msg_ctl_row *row)
{
	static const char *const keys[MARK_N] = {
		[MARK_WAKE] = "t_wake_us", [MARK_START] = "t_start_us", [MARK_RUNNING] = "t_running_us",
		[MARK_LINK] = "t_link_us", [MARK_PORT] = "t_port_us",	[MARK_UP] = "t_up_us",
		[MARK_ANSWERED] = "t_answered_us", [MARK_FAILED] = "t_failed_us",
		[MARK_SYN] = "t_syn_us", [MARK_MOVED] = "t_moved_us", [MARK_RELEASED] = "t_released_us",
		[MARK_FIRST_BYTE] = "t_first_byte_us",
	};
	uint8_t order[MARK_N] = { 0 };
	char client[ADDR_TEXT_MAX];

	row_num(row, "wake", w->number);
	row_str(row, "service", "%s", w->service);
	row_str(row, "cause", "%s", cause_name(w->cause));
	row_str(row, "client", "%s", ip_is_zero(&w->client) ? "" : ip_format(&w->client, client));
	row_num(row, "wall_ms", w->wall_ms);
	row_str(row, "result", "%s", trace_result_name(w->result));
	row_str(row, "reason", "%s", w->reason);
	sort_marks(w, order);
	for (int i = 0; i < MARK_N; i++) {
		uint64_t t = w->at_ns[order[i]], t0 = w->at_ns[MARK_QUERY];

		if (keys[order[i]] && t)
			row_num(row, keys[order[i]], t > t0 ? (t - t0) / 1000 : 0);
	}
}

void describe_line(const struct journal_line *line, struct msg_ctl_row *row)
{
	row_num(row, "wall_ms", line->wall_ms);
	row_str(row, "level", "%s", log_level_name(line->level));
	row_str(row, "process", "%s", line->process);
	row_str(row, "line", "%s", line->text);
}

static void add_hypervisors(struct launcher *l, struct msg_ctl_row *row)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next) {
		const struct hypervisor_conf *c = conf_hypervisor(l->conf, hv->name);

		if (!hv->hello.connected)
			row_list_str(row, "hypervisors", "%s: not connected%s%s", hv->name, hv->hello.text[0] ? ": " : "",
				     hv->hello.text);
		else if (heartbeat_silent_ms(hv) > 0)
			row_list_str(row, "hypervisors", "%s: its process has not answered for %" PRIu64 " ms, and is replaced "
				     "after %" PRIu64, hv->name, heartbeat_silent_ms(hv), hv->heartbeat.patience_ms);
		else
			row_list_str(row, "hypervisors", "%s: connected, %s, %s", hv->name, hv->hello.version,
				     c && uri_is_xen(c->uri) ? hv->hello.text :
				     hv->hello.kvm	     ? "KVM works" :
							       "no KVM (software emulation)");
	}
}

static uint64_t count_held(const struct launcher *l)
{
	const struct service *s;
	uint64_t n = 0;

	FOR_EACH_SERVICE(l, s)
		n += s->hold.counts.held;
	return n;
}

void describe_status(struct launcher *l, struct msg_ctl_row *row)
{
	char registry[MSG_VALUE_MAX];
	struct budget b;
	struct service *s;
	uint64_t n = 0;

	service_count(l, &b);
	FOR_EACH_SERVICE(l, s)
		n++;
	row_str(row, "version", "%s", JITSU_VERSION);
	row_num(row, "launcher_uptime_ms", ago(l->started_ms));
	row_str(row, "configuration", "%s", l->args->conf_path);
	row_num(row, "services", n);
	registrar_explain(l, registry, sizeof(registry));
	row_str(row, "registry", "%s", registry);
	row_num(row, "running", b.running);
	row_num(row, "starting", b.starting);
	row_num(row, "memory_bytes", b.memory);
	row_num(row, "max_running", b.max_running);
	row_num(row, "max_starting", b.max_starting);
	row_num(row, "max_memory_bytes", b.max_memory);
	row_num(row, "held", count_held(l));
	row_num(row, "max_held", l->conf->limits.max_held);
	row_num(row, "sweeps", sweeps_count(l->sweeps));
	row_str(row, "traffic_counter", "%s", port_monitor_way(l->monitor) == PORT_WAY_BPF ? "bpf" : "packet socket");
	xdp_side_status(l, row);
	row_list_str(row, "processes", "launcher: serving");
	row_list_str(row, "processes", "dns: %s", l->dns ? "connected" : "away");
	row_list_str(row, "processes", "synproxy: %s", l->synproxy ? "connected" : "away");
	row_list_str(row, "processes", "control: %s", l->control ? "connected" : "away");
	add_hypervisors(l, row);
}

void describe_dns_counts(const struct msg_dns_counts *m, struct msg_ctl_row *row)
{
	row_num(row, "workers", m->workers);
	for (unsigned i = 0; i < m->n && i < DNS_COUNT_N; i++)
		row_num(row, dns_count_name(i), m->counts[i].n);
}
