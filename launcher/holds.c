/* Theory of operation
 *
 * A service whose `hold` is park is held at a place: a bridge, the VM's MAC, its addresses.
 * hold_place.c finds it or says why there is none; it is looked for again whenever what it depends
 * on may have changed (holds_judge()).
 *
 * The stage, which is what synproxy knows of the service, follows from facts, and is never set:
 *
 *	no place					NONE
 *	somebody else has an address			CONFLICT
 *	never claimed, and no VM of it there		CHECK
 *	never claimed, and there may be one		NONE: the address is in use, and rightly
 *	claimed						the state's row in stages[]; but BOOT while a VM
 *							that runs has no port
 *
 * "Claimed" means that the host knows since its boot that nobody else has the addresses: synproxy
 * looked (HOLD_FREE), or a VM of ours was there with them.  run_state keeps it, with a hash of the
 * place, so that whatever is restarted, what was claimed is claimed at once.
 *
 * Reconciling comes first.  Until its hypervisor has told what runs (`known`), nothing is claimed, and no
 * forwarding entry is touched.  But after a restart of the launcher alone, where our tap was kept,
 * things are as the last launcher left them, and its record tells what that was; so synproxy, which
 * may have been restarted too, goes on holding what it holds.
 *
 * The forwarding entry of the VM's MAC is at our tap (sticky, for the VM's first frame must not
 * take it away) or at the VM's port (static).  It is put by stage, before synproxy hears of the
 * stage: at the tap while the VM is away, about to go, or not handed over yet; at the VM's port when
 * synproxy asks for that (HOLD_MOVE).  A port that goes takes its entry with it: back to the tap, and
 * everything comes to synproxy until the port is there again.
 *
 * The bridge is told, then synproxy, then dns: whoever is given the address finds it held.  But before an
 * entry goes from a VM to our tap, the tap's filter lets its frames in and synproxy has the VM's port, so
 * that none of them is lost.
 */
#include <net/if.h>

#include "launcher/launcher.h"

static bool vm_may_exist(const struct service *s)
{
	return state_counts(s->state) || s->stop_under_way || s->domain_id >= 0;
}

/* It runs, or is about to: it has a port, or should have one. */
static bool has_port(enum service_state state) { return state_counts(state) && state != STATE_SUSPENDED; }

static bool is_claimed(const struct service *s) { return s->hold.place.bridge && s->run.claim == s->hold.claim; }

bool holds_now(const struct service *s) { return s->hold.stage >= HOLD_STAGE_SLEEP && s->hold.stage < HOLD_STAGE_N; }

bool holds_need_port(const struct service *s)
{
	switch (s->hold.stage) {
	case HOLD_STAGE_BOOT:
	case HOLD_STAGE_DRAIN:
	case HOLD_STAGE_STOP: return true;
	case HOLD_STAGE_UP: return !s->hold.done;
	default: return false;
	}
}

/* ---- the stage ---- */

/* As the launcher before us left it. */
static enum hold_stage stage_of_record(const struct service *s)
{
	if (!s->hold.place.bridge->kept || !is_claimed(s))
		return HOLD_STAGE_NONE;
	if (s->run.domain_id == RUN_STATE_OFF)
		return HOLD_STAGE_SLEEP;
	return s->run.up ? HOLD_STAGE_UP : HOLD_STAGE_BOOT;
}

static enum hold_stage stage_of(const struct service *s)
{
	static const uint8_t stages[STATE_N] = {
		[STATE_OFF] = HOLD_STAGE_SLEEP,	      [STATE_STARTING] = HOLD_STAGE_BOOT,
		[STATE_BOOTING] = HOLD_STAGE_BOOT,    [STATE_UP] = HOLD_STAGE_UP,
		[STATE_ADOPTED] = HOLD_STAGE_UP,      [STATE_DRAINING] = HOLD_STAGE_DRAIN,
		[STATE_STOPPING] = HOLD_STAGE_STOP,   [STATE_FAILED] = HOLD_STAGE_FAILED,
		[STATE_SUSPENDED] = HOLD_STAGE_FROZEN, [STATE_SAVED] = HOLD_STAGE_FROZEN,
		[STATE_WARM] = HOLD_STAGE_SLEEP,      [STATE_CONFLICT] = HOLD_STAGE_CONFLICT,
	};
	const struct hold *h = &s->hold;

	if (!h->place.bridge)
		return HOLD_STAGE_NONE;
	if (!h->known)
		return stage_of_record(s);
	if (h->conflict)
		return HOLD_STAGE_CONFLICT;
	if (!is_claimed(s))
		return vm_may_exist(s) ? HOLD_STAGE_NONE : HOLD_STAGE_CHECK;
	if (h->gave_up)
		return HOLD_STAGE_FAILED;
	if (h->port_lost && s->state != STATE_STOPPING)
		return HOLD_STAGE_BOOT;
	return (enum hold_stage)stages[s->state];
}

/* ---- the forwarding entry ---- */

static int put_at_vm(struct service *s, struct err *e)
{
	const struct hold_place *p = &s->hold.place;
	const char *ifname = s->n_nics > 0 ? s->nics[0].ifname : "";
	int port = ifname[0] ? (int)if_nametoindex(ifname) : 0, r;

	if (port == 0)
		return err_set(e, -ENODEV, "its VM has no port yet");
	r = netlink_is_port_of(s->l->netlink, port, p->bridge->info.ifindex, e);
	if (r == 0)
		return err_set(e, -ENODEV, "its VM's port %s is not on bridge %s", ifname, p->bridge->info.name);
	if (r > 0)
		r = netlink_check_vlan(s->l->netlink, &p->bridge->info, port, e);
	if (r == 0)
		r = netlink_fdb_set(s->l->netlink, port, &p->mac, FDB_STATIC, e);
	if (r == 0)
		s->hold.port = port;
	return r;
}

int holds_put(struct service *s, enum hold_at at, struct err *e)
{
	const struct hold_place *p = &s->hold.place;
	struct hold *h = &s->hold;
	int r = 0;

	if (at == h->at)
		return 0;
	if (at == HOLD_AT_TAP)
		r = netlink_fdb_set(s->l->netlink, p->bridge->tap.ifindex, &p->mac, FDB_STICKY, e);
	else if (at == HOLD_AT_VM)
		r = put_at_vm(s, e);
	else if (h->at == HOLD_AT_TAP)
		r = netlink_fdb_delete(s->l->netlink, p->bridge->tap.ifindex, &p->mac, e);
	if (r < 0)
		return r;
	h->at = at;
	if (at == HOLD_AT_TAP)
		h->done = false;
	return 0;
}

static void save(struct service *s) { run_state_save(s->l->conf->run_dir, s->conf->name, &s->run); }

void holds_claim(struct service *s)
{
	s->hold.conflict = false;
	if (is_claimed(s))
		return;
	s->run.claim = s->hold.claim;
	save(s);
}

void holds_yield(struct service *s)
{
	s->hold.conflict = true;
	s->run.claim = 0;
	save(s);
}

/* Where the entry belongs in this stage.  While the VM is up, it is where it is; where that is not known, as the
 * record has it. */
static enum hold_at place_of_entry(const struct service *s, enum hold_stage stage)
{
	const struct hold *h = &s->hold;

	switch (stage) {
	case HOLD_STAGE_SLEEP:
	case HOLD_STAGE_FROZEN:
	case HOLD_STAGE_DRAIN:
	case HOLD_STAGE_STOP:
	case HOLD_STAGE_FAILED: return HOLD_AT_TAP;
	case HOLD_STAGE_BOOT: return h->at == HOLD_AT_VM && !h->port_lost ? HOLD_AT_VM : HOLD_AT_TAP;
	case HOLD_STAGE_UP:
		if (h->at != HOLD_AT_UNKNOWN)
			return h->at;
		return s->run.moved ? HOLD_AT_VM : HOLD_AT_TAP;
	default: return HOLD_AT_UNKNOWN;
	}
}

static void let_go(struct service *s);

/* Those with a reason are listed: news of links are looked at for them alone. */
static void set_refused(struct service *s, const char *why)
{
	struct service_queue *refused = &s->l->refused;

	if (why[0] && !s->hold.refused[0])
		TAILQ_INSERT_TAIL(refused, s, refused);
	else if (!why[0] && s->hold.refused[0])
		TAILQ_REMOVE(refused, s, refused);
	if (why[0])
		note_set(&s->hold.refused, "%s", why);
	else
		note_clear(&s->hold.refused);
}

/* False when it cannot be held like this. */
static bool follow_entry(struct service *s, enum hold_stage stage)
{
	enum hold_at at = place_of_entry(s, stage);
	struct err e = { 0 };

	if (!s->hold.known || holds_put(s, at, &e) == 0)
		return true;
	if (at == HOLD_AT_VM) /* the bridge finds it without us */
		return true;
	if (at == HOLD_AT_TAP) {
		let_go(s);
		set_refused(s, e.text);
	}
	log_limited(LOG_WARN, "service=%s its forwarding entry cannot be set: %s", s->conf->name, e.text);
	return at != HOLD_AT_TAP;
}

/* ---- telling ---- */

/* In this stage synproxy passes frames on to a VM that is there. */
static bool is_there(const struct service *s, enum hold_stage stage)
{
	return !s->hold.port_lost &&
	       (stage == HOLD_STAGE_UP || stage == HOLD_STAGE_DRAIN || stage == HOLD_STAGE_STOP);
}

/* The first frame that comes to the tap must get in, and find the way on to the VM. */
static void prepare_tap(struct service *s, enum hold_stage stage)
{
	struct hold *h = &s->hold;

	if (!h->known || h->at != HOLD_AT_VM || place_of_entry(s, stage) != HOLD_AT_TAP)
		return;
	hold_bridges_pass(h, stage, false);
	if (is_there(s, stage))
		ready_give_port(s);
}

/* synproxy has none, and needs one. */
static void follow_port(struct service *s)
{
	if (is_there(s, (enum hold_stage)s->hold.stage) && s->hold.at == HOLD_AT_TAP && s->probe_fd < 0)
		ready_give_port(s);
}

/* `news`: synproxy is told all that it knows of the record, and not the stage alone. */
static void follow(struct service *s, bool news)
{
	struct hold *h = &s->hold;
	enum hold_stage stage = stage_of(s), was = (enum hold_stage)h->stage;

	if (!h->place.bridge)
		return;
	prepare_tap(s, stage);
	if (!follow_entry(s, stage))
		return;
	h->stage = (uint8_t)stage;
	if (h->known && h->at != HOLD_AT_UNKNOWN && s->run.moved != (h->at == HOLD_AT_VM)) {
		s->run.moved = h->at == HOLD_AT_VM;
		save(s);
	}
	hold_bridges_pass(h, stage, h->done);
	if (news)
		synproxy_say_service(s);
	follow_port(s);
	if (stage == was)
		return;
	h->drain_seq = 0;
	if (!news || stage == HOLD_STAGE_DRAIN || stage == HOLD_STAGE_FAILED) { /* which MSG_HOLD_SERVICE does not tell */
		uint32_t seq = synproxy_say_stage(s);

		h->drain_seq = stage == HOLD_STAGE_DRAIN ? seq : 0;
	}
}

/* The answer that dns gives may depend on it. */
static void follow_and_tell(struct service *s, bool news)
{
	bool before = holds_now(s);

	follow(s, news);
	if (holds_now(s) != before)
		dns_tell_state(s);
}

void holds_update(struct service *s) { follow_and_tell(s, false); }

/* A VM of it is there that was never held: the address is its own, at its own port. */
static void meet_vm(struct service *s)
{
	bool there = state_serves(s->state) || s->state == STATE_SUSPENDED;

	if (!there || !s->hold.known || !s->hold.place.bridge || is_claimed(s))
		return;
	s->hold.done = s->run.moved = true;
	holds_claim(s);
}

void holds_gave_up(struct service *s)
{
	if (!holds_now(s) || s->hold.stage == HOLD_STAGE_FROZEN) /* a paused VM still has its connections */
		return;
	s->hold.gave_up = true;
	s->hold.stage = HOLD_STAGE_SLEEP; /* also when the one before it was not started either */
	follow(s, false);
}

/* ---- is it held, and where ---- */

static void let_go(struct service *s)
{
	struct hold *h = &s->hold;
	struct err e;

	if (!h->place.bridge)
		return;
	if (holds_put(s, HOLD_AT_UNKNOWN, &e) < 0)
		log_debug("service=%s %s", s->conf->name, e.text);
	hold_bridges_pass(h, HOLD_STAGE_NONE, false);
	h->stage = HOLD_STAGE_NONE;
	synproxy_say_stage(s);
	s->l->synproxy_stale = true;
	hold_place_leave(s);
	hold_place_clear(&h->place);
	memset(&h->counts, 0, sizeof(h->counts));
	h->at = HOLD_AT_UNKNOWN;
	h->port_lost = h->done = h->gave_up = false;
	h->drain_seq = 0;
}

/* What `p` owns is the service's from now on. */
static void take(struct service *s, const struct hold_place *p)
{
	s->hold.place = *p;
	hold_place_enter(s);
	s->hold.claim = hold_place_claim(p);
	set_refused(s, "");
	log_debug("service=%s is held on bridge %s", s->conf->name, p->bridge->info.name);
}

static void refuse(struct service *s, int r, const struct err *e)
{
	bool was_told = strcmp(s->hold.refused, e->text) == 0;

	set_refused(s, e->text);
	if (e->text[0] && r != -EAGAIN && !was_told)
		log_warn("service=%s is not held: %s", s->conf->name, e->text);
}

/* True when synproxy must hear of all of it. */
static bool judge(struct service *s)
{
	bool had_place = s->hold.place.bridge != NULL;
	struct hold_place p = { 0 };
	struct err e = { 0 };
	int r = hold_place_find(s, &p, &e);
	bool same = r == 0 && hold_place_equal(&p, &s->hold.place);

	s->hold.look_again = false;
	if (same) {
		hold_place_clear(&p);
		return false;
	}
	let_go(s);
	s->hold.conflict = false;
	if (r < 0)
		refuse(s, r, &e);
	else
		take(s, &p);
	if (!had_place) /* else it was at another place, and the VM need not be at this one */
		meet_vm(s);
	return true;
}

void holds_judge(struct service *s, bool news)
{
	bool before = holds_now(s);

	news |= judge(s);
	follow(s, news);
	if (s->state == STATE_CONFLICT && !s->hold.conflict)
		service_event(s, SVC_CONFLICT_OVER);
	else if (holds_now(s) != before)
		dns_tell_state(s);
}

void holds_moved(struct service *s, enum service_state before)
{
	bool was_there = state_serves(before) || before == STATE_DRAINING || before == STATE_STOPPING, news;
	struct hold *h = &s->hold;

	h->gave_up = false;
	if (!state_counts(s->state)) {
		h->port_lost = false;
		h->port = 0;
	} else {
		h->conflict = false;
	}
	news = h->look_again && judge(s);
	if (!was_there) /* else its address may have been changed since */
		meet_vm(s);
	follow(s, news);
}

void holds_free(struct service *s)
{
	let_go(s);
	set_refused(s, "");
}

void holds_refresh(struct launcher *l)
{
	struct service *s;

	hold_bridges_check(l);
	FOR_EACH_SERVICE(l, s) {
		if (s->hold.place.bridge && s->hold.place.bridge->tap.fd < 0) {
			let_go(s);
			dns_tell_state(s);
		}
	}
	hold_bridges_drop_broken(l);
	FOR_EACH_SERVICE(l, s)
		holds_judge(s, false);
	hold_bridges_sweep(l);
	if (!synproxy_is_current(l))
		synproxy_snapshot(l);
}

void holds_retry(struct launcher *l)
{
	struct service *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &l->refused, refused)
		n++;
	for (; n > 0 && (s = TAILQ_FIRST(&l->refused)); n--) { /* whatever else changes by it, each has its turn */
		TAILQ_REMOVE(&l->refused, s, refused);
		TAILQ_INSERT_TAIL(&l->refused, s, refused);
		holds_judge(s, false);
	}
	if (!synproxy_is_current(l))
		synproxy_snapshot(l);
}

/* ---- the VM's port ---- */

static void port_gone(struct service *s)
{
	struct hold *h = &s->hold;

	if (s->state != STATE_STOPPING) /* where the hypervisor makes ports, each goes with its VM */
		log_info("service=%s its VM's port %s is not on bridge %s any more", s->conf->name, s->nics[0].ifname,
			 h->place.bridge->info.name);
	h->port_lost = true;
	h->port = 0;
	if (h->at == HOLD_AT_VM)
		h->at = HOLD_AT_UNKNOWN;
	start_close_ports(s);
	ready_drop_port(s);
	holds_update(s);
}

static void port_back(struct service *s, int ifindex)
{
	log_info("service=%s its VM's port %s is on bridge %s again", s->conf->name, s->nics[0].ifname,
		 s->hold.place.bridge->info.name);
	s->hold.port_lost = false;
	s->hold.port = ifindex;
	start_open_ports(s);
	ready_port_back(s);
	holds_update(s);
}

void holds_look_at_port(struct service *s)
{
	struct hold *h = &s->hold;
	struct link_info link;
	struct err e;
	bool there;

	if (!h->known || !h->place.bridge || !has_port(s->state) || s->n_nics == 0 || !s->nics[0].ifname[0])
		return;
	there = netlink_link(s->l->netlink, s->nics[0].ifname, &link, &e) == 0 &&
		link.master == h->place.bridge->info.ifindex;
	if (!h->port_lost && (!there || (h->port && h->port != link.ifindex)))
		port_gone(s);
	if (h->port_lost && there)
		port_back(s, link.ifindex);
}
