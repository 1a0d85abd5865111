/* What is found of domains: what each is to its service, and reconciling with all that run. */
#include "launcher/hypervisor_internal.h"

#include <strings.h>

/* ---- what a domain is to us ---- */

/* Of an existing domain. */
static void learn_nics(struct service *s, uint16_t n, const struct msg_nic *nics)
{
	service_room(s);
	s->n_nics = MIN(n, (uint16_t)MSG_NICS_MAX);
	memcpy(s->nics, nics, s->n_nics * sizeof(*nics));
	s->hold.look_again = true; /* at its next move, which mostly follows at once */
}

void hypervisor_learn(struct service *s, const char *uuid, int32_t id, uint16_t n_nics, const struct msg_nic *nics)
{
	if (uuid[0])
		str_copy(s->uuid, uuid);
	s->domain_id = id;
	if (s->on_taps) {
		if (s->n_nics == 0)
			start_name_nics(s);
	} else if (n_nics > 0) {
		learn_nics(s, n_nics, nics);
	}
}

bool hypervisor_is_of(const struct msg_be_domain *d, const struct service *s)
{
	return strcasecmp(d->uuid, s->target) == 0 || strcmp(d->name, s->target) == 0;
}

static bool started_by_us(const struct service *s, const struct msg_be_domain *d)
{
	if (!machine_is_defined(&s->conf->machine) || s->conf->manage == MANAGE_ALWAYS ||
	    s->run.domain_id == RUN_STATE_ASKED)
		return true;
	return strcasecmp(s->run.uuid, d->uuid) == 0 && s->run.domain_id == d->domain_id && d->domain_id >= 0;
}

static enum service_event found_event(const struct service *s, const struct msg_be_domain *d)
{
	if (!started_by_us(s, d))
		return SVC_FOUND_FOREIGN;
	if (d->state == DOMAIN_PAUSED)
		return SVC_FOUND_PAUSED;
	return s->run.up && s->run.domain_id == d->domain_id ? SVC_FOUND_UP : SVC_FOUND_BOOTING;
}

void hypervisor_found(struct service *s, const struct msg_be_domain *d)
{
	enum service_event event = found_event(s, d);
	bool boots = s->state == STATE_BOOTING;

	s->hold.known = true;
	saves_runs(s);
	hypervisor_learn(s, d->uuid, d->domain_id, d->n_nics, d->nics);
	s->memory_bytes = d->memory_bytes;
	if (event != SVC_FOUND_FOREIGN)
		s->by_us = true;
	service_event(s, event);
	if (boots && s->state == STATE_BOOTING)
		guest_runs(s); /* which the backend of before was told */
}

void hypervisor_found_stopped(struct service *s)
{
	s->domain_id = -1;
	service_event(s, SVC_STOPPED);
}

/* Not running.  What that means depends on what we believed. */
static void tell_absent(struct service *s)
{
	switch (s->state) {
	case STATE_STARTING: service_start_lost(s); break;
	case STATE_OFF:
	case STATE_FAILED:
	case STATE_CONFLICT: service_gone(s); break;
	case STATE_SAVED:
		note_set(&s->stop_reason, "what was saved of it is gone");
		service_event(s, SVC_SAVE_GONE);
		break;
	case STATE_STOPPING:
		if (s->saves)
			service_lost(s, "the hypervisor's process ended");
		hypervisor_found_stopped(s);
		break;
	default: hypervisor_found_stopped(s);
	}
}

/* Does it not run because it is saved? */
static bool is_saved(const struct service *s, const struct msg_be_domain *d)
{
	return saves_are_ours(s) ? saves_exist(s, NULL) : d && d->state == DOMAIN_SAVED;
}

void hypervisor_found_saved(struct service *s, const struct msg_be_domain *d)
{
	if (!state_counts(s->state) && !s->stop_under_way && is_saved(s, d))
		service_event(s, SVC_SAVED);
}

/* Not running, as far as that is new. */
static void tell_off(struct service *s, const struct msg_be_domain *d)
{
	if (s->state == STATE_STOPPING && is_saved(s, d)) {
		service_event(s, SVC_SAVED);
		return;
	}
	if (s->state != STATE_SAVED || !is_saved(s, d))
		tell_absent(s);
	hypervisor_found_saved(s, d);
}

void hypervisor_learn_absent(struct service *s, const struct msg_be_domain *d)
{
	s->memory_bytes = d->memory_bytes;
	if (s->on_taps || d->n_nics == 0)
		return;
	learn_nics(s, d->n_nics, d->nics);
	if (d->state == DOMAIN_OFF)
		s->hold.mac_varies = s->conf->machine.xl_config[0] && mac_is_zero(&d->nics[0].mac);
	for (uint16_t i = 0; i < s->n_nics; i++)
		s->nics[i].ifname[0] = '\0';
}

static void settle(struct hypervisor *hv, struct service *s)
{
	const struct msg_be_domain *off = NULL;

	for (size_t i = 0; i < hv->n_found; i++) {
		const struct msg_be_domain *d = &hv->found[i];

		if (!hypervisor_is_of(d, s))
			continue;
		if (d->state != DOMAIN_RUNNING && d->state != DOMAIN_PAUSED) {
			hypervisor_learn_absent(s, d);
			off = d;
			break;
		}
		request_console(hv, s);
		hypervisor_found(s, d);
		if (s->state == STATE_STOPPING)
			service_event(s, SVC_STOP_LOST);
		holds_judge(s, false);
		return;
	}
	if (!s->conf->machine.xl_config[0]) /* else service_gone() asks its file */
		s->hold.known = true;
	tell_off(s, off);
	holds_judge(s, false);
}

/* Domains with our prefix that belong to no service: named, and left to the operator. */
static void name_strays(struct hypervisor *hv)
{
	struct service *s;

	for (size_t i = 0; i < hv->n_found; i++) {
		const struct msg_be_domain *d = &hv->found[i];
		bool known = strncmp(d->name, "jitsu-", 6) != 0 || d->state == DOMAIN_OFF;

		FOR_EACH_SERVICE(hv->l, s)
			known = known || hypervisor_is_of(d, s);
		if (!known)
			log_warn("the VM %s runs on \"%s\" and belongs to no service: configure its service again and "
				 "stop it with jitsuctl, or end its QEMU", d->name, hv->name);
	}
}

static void look_again(struct service *s)
{
	if (!s->changed_meanwhile)
		return;
	s->changed_meanwhile = false;
	if (state_counts(s->state))
		hypervisor_verify(s);
	else
		hypervisor_discover(s);
}

void hypervisor_reconcile(struct hypervisor *hv)
{
	struct launcher *l = hv->l;
	struct service *s;

	hv->list_req = 0;
	requests_clear(hv); /* what was under way on an old channel is settled now */
	hv->reconciled = true;
	FOR_EACH_SERVICE(l, s) {
		if (s->hv == hv) {
			s->stop_under_way = s->stop_waits = false;
			hypervisor_forget(s);
			settle(hv, s);
			look_again(s);
		}
	}
	name_strays(hv);
	log_info("hypervisor \"%s\" is ready: %s, %s", hv->name, hv->hello.version,
		 hv->hello.kvm ? "KVM works" : hv->hello.text);
	hold_bridges_sweep(l);
	if (!synproxy_is_told(l))
		synproxy_snapshot(l);
	if (!l->dns_told && hypervisors_reconciled(l))
		dns_snapshot(l);
	wake_pump(l);
}
