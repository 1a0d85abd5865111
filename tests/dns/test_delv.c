/* What a validator makes of the whole process: delv (of BIND) asks it over loopback, with our key as the
 * only one that it trusts.
 */
#include "tests/dns/process.h"

#include "tests/dns/keys.h"

#define D ".jitsu.example"

static const char zone_text[] =
	"$TTL 300\n"
	"@ NS ns1\n@ MX 10 Mail\nns1 A 127.0.0.1\nmail A 10.0.0.2\nmail AAAA fd00::2\n"
	"*.wild A 10.0.0.3\n*.wild TXT x\n*.cw CNAME Mail\na.b.ent A 10.0.0.4\n"
	"old DNAME New\nx.new A 10.0.0.5\nalias CNAME mail\nchain CNAME Alias\nlost CNAME nowhere\n"
	"across CNAME www.sub\nto-www CNAME www\nsrv SRV 1 2 3 Mail\nnaptr NAPTR 1 2 \"u\" \"\" \"\" Mail\n"
	"rp RP Mail Alias\n"
	"secure NS ns.elsewhere.example.\n"
	"secure DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
	"insecure NS ns.elsewhere.example.\n";

struct fixture {
	struct world w;
	struct test_key *old, *fresh, *inner;
	unsigned seq;
};

/* ---- the launcher ---- */

static void give_key(struct world *w, const struct test_key *k, const char *text)
{
	int fd = key_file(text);

	assert_int_equal(ipc_send_fd(w->launcher, MSG_DNS_KEY, &k->msg, fd), 0);
	close(fd);
}

static void give_zone(struct world *w, const char *name)
{
	struct msg_dns_zone z = zone_msg(name);

	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
}

static void begin_snapshot(struct fixture *f)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 16, .seq = ++f->seq };
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20", STATE_UP, ANSWER_READY);
	char *ds = ds_text(f->inner), text[sizeof(zone_text) + 512];

	snprintf(text, sizeof(text), "%s%s", zone_text, ds);
	free(ds);
	ipc_send(f->w.launcher, MSG_BEGIN, NULL);
	ipc_send(f->w.launcher, MSG_DNS_CONF, &conf);
	give_zone(&f->w, "jitsu.example");
	give_zone(&f->w, "sub.jitsu.example");
	give_zone(&f->w, "plain.jitsu.example");
	ipc_send(f->w.launcher, MSG_DNS_SERVICE, &s);
	s = service_msg(SVC_FOUR, "vm", "*.vm.jitsu.example", "", STATE_OFF, ANSWER_READY);
	s.template4 = true;
	ipc_send(f->w.launcher, MSG_DNS_SERVICE, &s);
	s = service_msg(SVC_MANY, "vm-a", "a.vm.jitsu.example", "192.168.1.30", STATE_UP, ANSWER_READY);
	ipc_send(f->w.launcher, MSG_DNS_SERVICE, &s);
	give_zone_file(&f->w, "jitsu.example", text);
	give_zone_file(&f->w, "sub.jitsu.example", "www A 10.2.0.1\nback CNAME mail.jitsu.example.\n");
	give_zone_file(&f->w, "plain.jitsu.example", "www A 10.3.0.1\n");
	give_key(&f->w, f->inner, f->inner->text);
}

static void end_snapshot(struct fixture *f)
{
	unsigned before = f->w.n_loaded;

	ipc_send(f->w.launcher, MSG_END, NULL);
	WAIT_FOR(&f->w, f->w.n_loaded > before && f->w.loaded.seq == f->seq);
}

static void snapshot(struct fixture *f, unsigned old, unsigned fresh)
{
	use_key(f->old, old);
	use_key(f->fresh, fresh);
	begin_snapshot(f);
	if (old)
		give_key(&f->w, f->old, f->old->text);
	if (fresh)
		give_key(&f->w, f->fresh, f->fresh->text);
	end_snapshot(f);
	if (f->w.loaded.error)
		fail_msg("%s", f->w.loaded.text);
	WAIT_FOR(&f->w, f->w.ready);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->old = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	f->fresh = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	f->inner = make_key("sub.jitsu.example", LDNS_SIGN_ED25519, KEY_ALL);
	start_process(&f->w);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop_process(&f->w);
	free_key(f->old);
	free_key(f->fresh);
	free_key(f->inner);
	free(f);
	return 0;
}

/* ---- the validator ---- */

/* What delv says, with this key as its trust anchor. */
static void delv(const struct fixture *f, const struct test_key *trusted, const char *name, const char *type,
		 char *out, size_t size)
{
	char anchors[] = "/tmp/jitsu-anchor-XXXXXX", command[512];
	char *key = ldns_rdf2str(ldns_rr_rdf(trusted->dnskey, 3));
	FILE *file = fdopen(mkstemp(anchors), "w"), *p;
	size_t n;

	fprintf(file, "trust-anchors { \"jitsu.example\" static-key 257 3 13 \"%s\"; };\n", key);
	fclose(file);
	free(key);
	snprintf(command, sizeof(command), "timeout 20 delv -4 -a %s +root=jitsu.example -p %u @127.0.0.1 %s %s 2>&1",
		 anchors, f->w.port4, name, type);
	p = popen(command, "r");
	n = fread(out, 1, size - 1, p);
	out[n] = '\0';
	pclose(p);
	unlink(anchors);
}

static bool has_delv(void) { return system("delv -v >/dev/null 2>&1") == 0; }

static void check(const struct fixture *f, const struct test_key *trusted, const char *name, const char *type,
		  const char *verdict, const char *data)
{
	char out[16384];

	delv(f, trusted, name, type, out, sizeof(out));
	if (!strstr(out, verdict) || !strstr(out, data))
		fail_msg("%s %s:\n%s\nwanted: %s ... %s", name, type, out, verdict, data);
}

#define GOOD "; fully validated"
#define NO "; negative response, fully validated"

static void test_a_validator_is_convinced(void **state)
{
	static const struct {
		const char *name, *type, *verdict, *data;
	} rows[] = {
		{ "jitsu.example", "SOA", GOOD, "admin.jitsu.example." },
		{ "jitsu.example", "NS", GOOD, "ns1.jitsu.example." },
		{ "jitsu.example", "MX", GOOD, "10 Mail.jitsu.example." },
		{ "jitsu.example", "DNSKEY", GOOD, "257 3 13" },
		{ "jitsu.example", "CDS", GOOD, " 13 2 " },
		{ "jitsu.example", "CDNSKEY", GOOD, "257 3 13" },
		{ "mail" D, "A", GOOD, "10.0.0.2" },
		{ "srv" D, "SRV", GOOD, "1 2 3 Mail" },
		{ "naptr" D, "NAPTR", GOOD, "Mail" },
		{ "rp" D, "RP", GOOD, "Alias" },
		{ "www" D, "A", GOOD, "192.168.1.20" }, /* a service */
		{ "www" D, "AAAA", NO, "ncache nxrrset" },
		{ "to-www" D, "A", GOOD, "192.168.1.20" },
		{ "a.vm" D, "A", GOOD, "192.168.1.30" }, /* an instance of a template */
		{ "a.vm" D, "AAAA", NO, "ncache nxrrset" },
		{ "x.a.vm" D, "A", NO, "ncache nxdomain" },
		{ "b.vm" D, "AAAA", NO, "ncache nxrrset" }, /* no instance, and none would have such */
		{ "b.vm" D, "TXT", NO, "ncache nxrrset" },
		{ "x.wild" D, "A", GOOD, "10.0.0.3" },
		{ "x.y.wild" D, "TXT", GOOD, "\"x\"" },
		{ "x.wild" D, "MX", NO, "ncache nxrrset" },
		{ "x.cw" D, "A", GOOD, "10.0.0.2" },
		{ "mail" D, "TXT", NO, "ncache nxrrset" },
		{ "jitsu.example", "AAAA", NO, "ncache nxrrset" },
		{ "nope" D, "A", NO, "ncache nxdomain" },
		{ "a.nope" D, "A", NO, "ncache nxdomain" },
		{ "zzz" D, "A", NO, "ncache nxdomain" },
		{ "x.mail" D, "A", NO, "ncache nxdomain" },
		{ "ent" D, "A", NO, "ncache nxrrset" },
		{ "b.ent" D, "TXT", NO, "ncache nxrrset" },
		{ "wild" D, "A", NO, "ncache nxrrset" },
		{ "alias" D, "A", GOOD, "10.0.0.2" },
		{ "chain" D, "AAAA", GOOD, "fd00::2" },
		{ "x.old" D, "A", GOOD, "10.0.0.5" },
		{ "y.old" D, "A", GOOD, "ncache nxdomain" },
		{ "secure" D, "DS", GOOD, "12345 13 2" },
		{ "insecure" D, "DS", NO, "ncache nxrrset" },
		{ "sub" D, "DS", GOOD, " 15 2 " },
		{ "www.sub" D, "A", GOOD, "10.2.0.1" }, /* by its DS, signed with Ed25519 */
		{ "nope.sub" D, "A", NO, "ncache nxdomain" },
		{ "sub" D, "MX", NO, "ncache nxrrset" },
		{ "across" D, "A", GOOD, "10.2.0.1" },
		{ "back.sub" D, "A", GOOD, "10.0.0.2" },
		{ "www.plain" D, "A", "; unsigned answer", "10.3.0.1" }, /* proven to be unsigned */
		{ "plain" D, "DS", NO, "ncache nxrrset" },
	};
	struct fixture *f = *state;

	if (!has_delv())
		skip();
	snapshot(f, KEY_ALL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(f, f->old, rows[i].name, rows[i].type, rows[i].verdict, rows[i].data);
	/* and not by another key */
	check(f, f->fresh, "mail" D, "A", "resolution failed", "");
	check(f, f->fresh, "nope" D, "A", "resolution failed", "");
}

static void check_all(const struct fixture *f, const struct test_key *trusted)
{
	check(f, trusted, "www" D, "A", GOOD, "192.168.1.20");
	check(f, trusted, "nope" D, "A", NO, "ncache nxdomain");
}

/* At no moment of a roll a validator fails that trusts what the zone above tells then: the old key until
 * both are shown, then either, and the new one at last. */
static void test_through_a_roll(void **state)
{
	struct fixture *f = *state;

	if (!has_delv())
		skip();
	snapshot(f, KEY_ALL, 0);
	check_all(f, f->old);
	snapshot(f, KEY_ALL, KEY_PUBLISH | KEY_SIGN_KEYS | KEY_CDS);
	check_all(f, f->old);
	check_all(f, f->fresh);
	snapshot(f, KEY_PUBLISH | KEY_SIGN_KEYS, KEY_ALL);
	check_all(f, f->old);
	check_all(f, f->fresh);
	snapshot(f, 0, KEY_ALL);
	check_all(f, f->fresh);
	snapshot(f, 0, 0); /* not signed any more */
	check(f, f->fresh, "www" D, "A", "resolution failed", "");
}

/* The zone goes on as it was, and the launcher is told why. */
static void test_a_bad_key(void **state)
{
	struct fixture *f = *state;

	if (!has_delv())
		skip();
	snapshot(f, KEY_ALL, 0);
	begin_snapshot(f);
	give_key(&f->w, f->old, f->fresh->text);
	end_snapshot(f);
	assert_int_equal(f->w.loaded.error, -EINVAL);
	assert_string_equal(f->w.loaded.zone, ""); /* its file is not to blame */
	assert_non_null(strstr(f->w.loaded.text, "of zone jitsu.example is another key"));
	check_all(f, f->old);
	begin_snapshot(f);
	ipc_send(f->w.launcher, MSG_DNS_KEY, &f->old->msg); /* without its file: not a zone without signatures */
	end_snapshot(f);
	assert_int_equal(f->w.loaded.error, -EBADF);
	assert_string_equal(f->w.loaded.zone, "");
	check_all(f, f->old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_validator_is_convinced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_through_a_roll, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_key, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
