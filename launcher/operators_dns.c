/* What operators ask of dns, and what is done when dns has it: its counts, changes of the registry, a reload, the
 * zones and their keys.
 */
#include "launcher/operators_internal.h"

#include "launcher/describe.h"
#include "launcher/secondaries.h"
#include "launcher/zone_files.h"

enum { RELOAD_MS = 10000, COUNTS_MS = 3000 };

/* ---- what dns has counted ---- */

static void on_counts_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	operators_end(w->r->l, w->ask.id, -ETIMEDOUT, "dns does not answer: try again");
	operators_wait_over(w);
}

void operators_do_stats(struct operators *r, const struct msg_ctl_request *ask)
{
	struct waiting *w;

	if (!r->l->dns) {
		operators_end(r->l, ask->id, -ENOTCONN, "dns is being started: try again");
		return;
	}
	w = operators_wait(r, ask);
	if (!w)
		return;
	operators_wait_at_most(w, COUNTS_MS, on_counts_late);
	ipc_send(r->l->dns, MSG_DNS_COUNTS_ASK, NULL);
}

void operators_dns_counted(struct launcher *l, const struct msg_dns_counts *m)
{
	struct waiting *w, *w_next;

	if (!l->operators)
		return;
	for (w = TAILQ_FIRST(&l->operators->waiting); w; w = w_next) {
		struct msg_ctl_row row = { .id = w->ask.id };

		w_next = TAILQ_NEXT(w, next);
		if (w->ask.verb != CTL_STATS)
			continue;
		describe_dns_counts(m, &row);
		xdp_side_stats(l, &row);
		operators_row(l, &row);
		operators_end(l, w->ask.id, 0, "");
		operators_wait_over(w);
	}
}

/* ---- changes of the registry, and reloads ---- */

static void end_reload(struct operators *r, uint32_t id, const char *why)
{
	cleanup_buf struct buf mistakes = { 0 };

	zone_files_mistakes(r->l->zone_files, &mistakes);
	secondaries_mistakes(r->l->secondaries, &mistakes);
	if (*why)
		buf_addf(&mistakes, "%s\n", why);
	if (mistakes.n > 0)
		operators_end_with(r->l, id, -EINVAL, &mistakes);
	else
		operators_end(r->l, id, 0, "");
}

static void end_edit(struct waiting *w, const char *why)
{
	char text[MSG_TEXT_MAX] = "";

	if (*why)
		snprintf(text, sizeof(text), "it is in the registry, but DNS goes on as it was: %.380s", why);
	operators_end(w->r->l, w->ask.id, *why ? -EIO : 0, text);
}

static void on_edit_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_edit(arg, "it does not say that it has read its tables");
	operators_wait_over(arg);
}

void operators_edit_made(struct launcher *l, const struct msg_ctl_request *ask, bool waits, bool told)
{
	bool nobody = told && !(l->dns && l->dns_told);
	struct waiting *w = !nobody && operators_may_wait(l->operators) ? operators_wait(l->operators, ask) : NULL;

	if (!w) {
		operators_end(l, ask->id, 0, ""); /* it is made, and dns will hear of it */
		return;
	}
	w->edit = true;
	w->told = told;
	w->changing = waits ? 0 : l->dns_changing;
	operators_wait_at_most(w, RELOAD_MS, on_edit_late);
}

void operators_edits_told(struct launcher *l)
{
	struct waiting *w, *w_next;

	for (w = l->operators ? TAILQ_FIRST(&l->operators->waiting) : NULL; w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		w->told = true;
		if (!w->edit || (l->dns && l->dns_told))
			continue;
		end_edit(w, "");
		operators_wait_over(w);
	}
}

void operators_edits_seen(struct launcher *l, uint32_t changing)
{
	struct waiting *w, *w_next;

	for (w = l->operators ? TAILQ_FIRST(&l->operators->waiting) : NULL; w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (!w->edit || w->changing == 0 || (int32_t)(changing - w->changing) < 0)
			continue;
		end_edit(w, "");
		operators_wait_over(w);
	}
}

void operators_zones_loaded(struct launcher *l, const char *why)
{
	struct waiting *w, *w_next;

	if (!l->operators)
		return;
	for (w = TAILQ_FIRST(&l->operators->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (w->edit && w->told)
			end_edit(w, why);
		else if (w->ask.verb != CTL_RELOAD)
			continue;
		else
			end_reload(l->operators, w->ask.id, why);
		operators_wait_over(w);
	}
}

static void on_reload_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	end_reload(w->r, w->ask.id, "the configuration is in force, but dns has not said yet that it has read the "
				    "zones: \"jitsuctl log\" will tell");
	operators_wait_over(w);
}

/* dns has the last word on zone files. */
static void wait_for_zones(struct operators *r, const struct msg_ctl_request *ask)
{
	struct waiting *w = operators_wait(r, ask);

	if (!w)
		return;
	operators_wait_at_most(w, RELOAD_MS, on_reload_late);
}

void operators_do_reload(struct operators *r, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf mistakes = { 0 };

	if (reload(r->l, &mistakes) < 0)
		operators_end_with(r->l, ask->id, -EINVAL, &mistakes);
	else if (r->l->dns_loading && !zone_files_empty(r->l->zone_files))
		wait_for_zones(r, ask);
	else
		end_reload(r, ask->id, "");
}

/* ---- zones ---- */

static void pass_row(void *arg, struct msg_ctl_row *row) { operators_row(arg, row); }

void operators_do_dnssec(struct operators *r, const struct msg_ctl_request *ask)
{
	struct err e;
	int error = dnssec_ask(r->l, ask, pass_row, r->l, &e);

	operators_end(r->l, ask->id, error, error ? e.text : "");
}

void operators_do_zones(struct operators *r, const struct msg_ctl_request *ask)
{
	for (size_t i = 0; i < r->l->conf->zones.n; i++) {
		struct msg_ctl_row row = { .id = ask->id };

		zones_describe(r->l, &r->l->conf->zones.v[i], &row);
		operators_row(r->l, &row);
	}
	operators_end(r->l, ask->id, 0, "");
}
