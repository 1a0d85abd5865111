/* NSD and Knot as secondaries of the whole process, over loopback in a namespace of the test's own: they follow
 * each change that they are told of, by IXFR, and have what we have; all of it signed.
 *
 * Needs root (for the namespace) and both packages; else skipped.
 */
#include <sys/prctl.h>

#include "tests/dns/keys.h"
#include "tests/dns/process.h"
#include "tests/netns.h"

#define ZONE "test.example"
#define KEY "transfer.example"
#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
enum { PORT = 5300, NAMES = 2000, SECONDARIES = 2, FOLLOW_MS = 20000, TEXT_MAX = 4 * 1024 * 1024 };

struct secondary {
	const char *name, *addr, *program;
	void (*configure)(FILE *f, const struct secondary *s, uint16_t primary);
	pid_t pid;
	char dir[32];
	bool validates; /* Knot: takes only what is signed as it must be */
};

/* ---- configurations ---- */

static void configure_nsd(FILE *f, const struct secondary *s, uint16_t primary)
{
	fprintf(f, "server:\n ip-address: %s@%d\n server-count: 1\n database: \"\"\n username: \"\"\n zonesdir: \"%s\"\n"
		   " pidfile: \"%s/pid\"\n xfrdfile: \"%s/xfrd\"\n zonelistfile: \"%s/list\"\n xfrdir: \"%s\"\n"
		   " rrl-ratelimit: 0\n logfile: \"%s/log\"\n verbosity: 3\nremote-control:\n control-enable: no\n"
		   "key:\n name: " KEY "\n algorithm: hmac-sha256\n secret: \"" SECRET "\"\n"
		   "zone:\n name: " ZONE "\n zonefile: zone\n allow-notify: 127.0.0.1 " KEY "\n"
		   " request-xfr: 127.0.0.1@%u " KEY "\n outgoing-interface: %s\n provide-xfr: 127.0.0.0/8 NOKEY\n",
		s->addr, PORT, s->dir, s->dir, s->dir, s->dir, s->dir, s->dir, primary, s->addr);
}

static void configure_knot(FILE *f, const struct secondary *s, uint16_t primary)
{
	fprintf(f, "server:\n listen: %s@%d\n rundir: %s\n udp-workers: 1\n tcp-workers: 1\n background-workers: 1\n"
		   "database:\n storage: %s\n journal-db-max-size: 64M\n timer-db-max-size: 1M\n kasp-db-max-size: 5M\n"
		   "log:\n - target: %s/log\n   any: info\n"
		   "key:\n - id: " KEY "\n   algorithm: hmac-sha256\n   secret: " SECRET "\n"
		   "remote:\n - id: primary\n   address: 127.0.0.1@%u\n   via: %s\n   key: " KEY "\n"
		   "acl:\n - id: told\n   address: 127.0.0.1\n   key: " KEY "\n   action: notify\n"
		   " - id: ask\n   address: 127.0.0.0/8\n   action: transfer\n"
		   "zone:\n - domain: " ZONE "\n   storage: %s\n   master: primary\n   acl: [told, ask]\n"
		   "   zonefile-sync: -1\n   dnssec-validation: %s\n",
		s->addr, PORT, s->dir, s->dir, s->dir, primary, s->addr, s->dir, s->validates ? "on" : "off");
}

static struct secondary secondaries[SECONDARIES] = {
	{ .name = "NSD", .addr = "127.0.0.2", .program = "/usr/sbin/nsd", .configure = configure_nsd },
	{ .name = "Knot", .addr = "127.0.0.3", .program = "/usr/sbin/knotd", .configure = configure_knot },
};

static void start_secondary(struct secondary *s, uint16_t primary)
{
	char conf[64];
	FILE *f;

	strcpy(s->dir, "/tmp/jitsu-sec-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(conf, sizeof(conf), "%s/conf", s->dir);
	f = fopen(conf, "we");
	assert_non_null(f);
	s->configure(f, s, primary);
	fclose(f);
	s->pid = fork();
	if (s->pid == 0) {
		int out = open("/dev/null", O_WRONLY);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(out, 1);
		dup2(out, 2);
		if (s->configure == configure_nsd)
			execl(s->program, "nsd", "-d", "-c", conf, (char *)NULL);
		else
			execl(s->program, "knotd", "-c", conf, (char *)NULL);
		_exit(127);
	}
}

static void stop_secondary(struct secondary *s)
{
	char command[100];

	if (s->pid <= 0)
		return;
	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
	snprintf(command, sizeof(command), "rm -rf %s", s->dir);
	assert_int_equal(system(command), 0);
}

/* How often this is in its log. */
static unsigned count_logged(const struct secondary *s, const char *part)
{
	char path[64], line[1024];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", s->dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, part) != NULL;
	if (f)
		fclose(f);
	return n;
}

static void show_log(const struct secondary *s)
{
	char command[100];

	snprintf(command, sizeof(command), "tail -n 40 %s/log", s->dir);
	if (system(command) != 0)
		printf("(no log)\n");
}

/* ---- ours ---- */

static unsigned n_names = NAMES;

/* A zone whose records depend on its version: some stay, some change, come and go. */
static char *zone_text(unsigned version)
{
	char *text = malloc(TEXT_MAX), *p = text;

	p += sprintf(p, "@ NS ns1\n@ NS ns.elsewhere.example.\nns1 A 192.0.2.53\n*.wild TXT \"a card\"\n"
			"sub NS ns.sub\nns.sub A 192.0.2.54\nsub DS 1 13 2 %064d\nd DNAME elsewhere.example.\n"
			"x TYPE65280 \\# 4 0a000001\nh HTTPS 1 . alpn=h2\n", 0);
	for (unsigned i = 0; i < n_names; i++)
		p += sprintf(p, "n%u A 192.0.2.%u\nn%u TXT \"text of name %u\"\n", i, i % 250 + 1, i, i);
	for (unsigned i = 0; i < 5; i++)
		p += sprintf(p, "v%u.of.version MX 10 m%u\n", (version + i) % 10, version);
	sprintf(p, "version %u TXT \"%u\"\nn0 A 198.51.100.%u\n", 60 + version, version, version);
	return text;
}

static void send_key(struct world *w)
{
	struct msg_dns_tsig_key m = { .name = KEY, .algorithm = TSIG_HMAC_SHA256, .secret_n = 32 };

	for (unsigned i = 0; i < 32; i++)
		m.secret[i] = (uint8_t)i;
	ipc_send(w->launcher, MSG_DNS_TSIG_KEY, &m);
}

static void send_secondaries(struct world *w)
{
	for (unsigned i = 0; i < SECONDARIES; i++) {
		struct msg_dns_secondary m = { .zone = ZONE, .key = KEY, .port = PORT, .addr = ip(secondaries[i].addr) };

		ipc_send(w->launcher, MSG_DNS_SECONDARY, &m);
	}
}

/* The zone is signed if there is one. */
static struct test_key *zone_key;

static void send_zone_key(struct world *w)
{
	int fd;

	if (!zone_key)
		return;
	fd = key_file(zone_key->text);
	assert_int_equal(ipc_send_fd(w->launcher, MSG_DNS_KEY, &zone_key->msg, fd), 0);
	close(fd);
}

/* Services come with odd versions. */
static void serve_version(struct world *w, unsigned version)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 64, .seq = version };
	struct msg_dns_zone z = zone_msg(ZONE), reverse = zone_msg("2.0.192.in-addr.arpa");
	struct msg_dns_transfer anybody = { .zone = ZONE, .key = KEY };
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www." ZONE, "192.0.2.80 fd00::80", STATE_OFF, ANSWER_READY);
	unsigned before = w->n_loaded;
	char *text = zone_text(version);

	z.serial = reverse.serial = version;
	assert_int_equal(prefix_parse("127.0.0.1", &anybody.prefix), 0);
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	send_key(w);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	send_zone_key(w);
	send_secondaries(w);
	ipc_send(w->launcher, MSG_DNS_TRANSFER, &anybody);
	ipc_send(w->launcher, MSG_DNS_ZONE, &reverse);
	give_zone_file(w, ZONE, text);
	if (version % 2)
		ipc_send(w->launcher, MSG_DNS_SERVICE, &s);
	ipc_send(w->launcher, MSG_END, NULL);
	free(text);
	WAIT_FOR(w, w->n_loaded > before);
	if (w->loaded.error)
		fail_msg("%s", w->loaded.text);
}

/* ---- what they have ---- */

static unsigned serial_at(const char *addr, uint16_t port)
{
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", addr, port);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = ZONE, .type = TYPE_SOA });
	ldns_pkt *reply = NULL;
	unsigned serial = 0;
	ssize_t size = -1;

	if (send(fd, b, n, 0) == (ssize_t)n && poll(&p, 1, 200) == 1)
		size = recv(fd, b, sizeof(b), 0);
	close(fd);
	if (size > 0 && ldns_wire2pkt(&reply, b, (size_t)size) == LDNS_STATUS_OK &&
	    ldns_rr_list_rr_count(ldns_pkt_answer(reply)) == 1)
		serial = ldns_rdf2native_int32(ldns_rr_rdf(ldns_rr_list_rr(ldns_pkt_answer(reply), 0), 2));
	ldns_pkt_free(reply);
	return serial;
}

/* Milliseconds until each of them has it. */
static void wait_for_serial(struct world *w, unsigned serial, uint64_t ms[SECONDARIES])
{
	uint64_t begin = clock_now_ms();
	unsigned n = 0;

	memset(ms, 0, SECONDARIES * sizeof(ms[0]));
	while (n < SECONDARIES && clock_now_ms() < begin + FOLLOW_MS) {
		for (unsigned i = 0; i < SECONDARIES; i++) {
			if (ms[i] || serial_at(secondaries[i].addr, PORT) != serial)
				continue;
			ms[i] = MAX(clock_now_ms() - begin, (uint64_t)1);
			n++;
		}
		turn(w);
	}
	for (unsigned i = 0; i < SECONDARIES; i++) {
		if (ms[i])
			continue;
		show_log(&secondaries[i]);
		fail_msg("%s does not have serial %u", secondaries[i].name, serial);
	}
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* All of the zone as dig gets it, line by line in order; to be freed. */
static char *whole_zone(const char *addr, uint16_t port, const char *key)
{
	static char *lines[10 * NAMES];
	char command[300], *all = calloc(1, TEXT_MAX), *sorted = calloc(1, TEXT_MAX), *p = sorted, *save = NULL;
	unsigned n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "dig +tcp +noall +answer +tries=1 +time=10 -b 127.0.0.1 @%s -p %u %s "
					   ZONE " AXFR | "
					   "tr '\\t' ' ' | tr -s ' ' | tr A-Z a-z", addr, port, key);
	f = popen(command, "re");
	assert_non_null(f);
	assert_true(fread(all, 1, TEXT_MAX - 1, f) > 0);
	assert_int_equal(pclose(f), 0);
	for (char *line = strtok_r(all, "\n", &save); line && n < ARRAY_SIZE(lines); line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	if (n < 2 * n_names || !strstr(lines[0], "in soa") || strcmp(lines[0], lines[n - 1]) != 0)
		fail_msg("no whole zone at %s: %u lines, the first is %s", addr, n, n ? lines[0] : "");
	qsort(lines, n, sizeof(lines[0]), by_text);
	for (unsigned i = 0; i < n; i++)
		p += sprintf(p, "%s\n", lines[i]);
	free(all);
	return sorted;
}

static void assert_same_zone(struct world *w)
{
	char *ours = whole_zone("127.0.0.1", w->port4, "-y hmac-sha256:" KEY ":" SECRET);

	for (unsigned i = 0; i < SECONDARIES; i++) {
		char *theirs = whole_zone(secondaries[i].addr, PORT, "");
		size_t at = 0;

		while (ours[at] && ours[at] == theirs[at])
			at++;
		if (strcmp(ours, theirs) != 0)
			fail_msg("%s has another zone: ...%.200s, we have ...%.200s", secondaries[i].name,
				 theirs + (at > 60 ? at - 60 : 0), ours + (at > 60 ? at - 60 : 0));
		free(theirs);
	}
	free(ours);
}

/* ---- tests ---- */

/* The same sockets' addresses, another process. */
static void restart_process(struct world *w)
{
	uint16_t port4 = w->port4;

	stop_process(w);
	*w = (struct world){ .port4 = port4 };
	start_process(w);
	assert_int_equal(w->port4, port4);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	start_process(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < SECONDARIES; i++)
		stop_secondary(&secondaries[i]);
	stop_process(w);
	free(w);
	return 0;
}

/* The bytes of the transfer with which NSD came to this serial; 0: it does not say. */
static unsigned nsd_bytes(const struct secondary *nsd, unsigned serial)
{
	char path[64], line[1024], part[64];
	unsigned bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", nsd->dir);
	snprintf(part, sizeof(part), "received update to serial %u at", serial);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *of = strstr(line, part) ? strstr(line, " of ") : NULL;

		if (of && strstr(of, " bytes in "))
			bytes = (unsigned)strtoul(of + 4, NULL, 10);
	}
	if (f)
		fclose(f);
	return bytes;
}

/* They came to these serials by what had changed alone. */
static void assert_incremental(unsigned first, unsigned last)
{
	const struct secondary *nsd = &secondaries[0], *knot = &secondaries[1];
	char updated[64];

	for (unsigned serial = first; serial <= last; serial++) {
		unsigned bytes = nsd_bytes(nsd, serial);

		snprintf(updated, sizeof(updated), "serial %u -> %u", serial - 1, serial);
		if (bytes == 0 || bytes > 8 * 1024) {
			show_log(nsd);
			fail_msg("NSD's serial %u came with %u bytes", serial, bytes);
		}
		assert_int_equal(count_logged(knot, updated), 1);
	}
	if (count_logged(knot, "IXFR, incoming") != 2 * (last - first + 1)) { /* started, finished */
		show_log(knot);
		fail_msg("Knot had %u lines about IXFR", count_logged(knot, "IXFR, incoming"));
	}
	assert_true(nsd_bytes(nsd, 1) > 50 * 1024);
	assert_int_equal(count_logged(knot, "AXFR, incoming"), 2);
}

static void test_secondaries_follow(void **state)
{
	struct world *w = *state;
	uint64_t ms[SECONDARIES];

	serve_version(w, 1);
	for (unsigned i = 0; i < SECONDARIES; i++)
		start_secondary(&secondaries[i], w->port4);
	wait_for_serial(w, 1, ms);
	assert_same_zone(w);
	for (unsigned version = 2; version <= 5; version++) {
		serve_version(w, version);
		wait_for_serial(w, version, ms);
		print_message("serial %u: %s after %u ms, %s after %u ms\n", version, secondaries[0].name, (unsigned)ms[0],
			      secondaries[1].name, (unsigned)ms[1]);
		assert_same_zone(w);
	}
	assert_incremental(2, 5);
}

/* Without its memory of changes it gives the whole zone, and everybody goes on from there. */
static void test_the_process_is_another_one(void **state)
{
	struct world *w = *state;
	uint64_t ms[SECONDARIES];

	serve_version(w, 1);
	for (unsigned i = 0; i < SECONDARIES; i++)
		start_secondary(&secondaries[i], w->port4);
	wait_for_serial(w, 1, ms);
	restart_process(w);
	serve_version(w, 2);
	wait_for_serial(w, 2, ms);
	assert_same_zone(w);
	assert_true(nsd_bytes(&secondaries[0], 2) > 50 * 1024);
	serve_version(w, 3);
	wait_for_serial(w, 3, ms);
	assert_same_zone(w);
	assert_true(nsd_bytes(&secondaries[0], 3) < 8 * 1024);
}

/* A signed zone: Knot checks all signatures and denials, of the whole and after each change. */
static void test_a_signed_zone(void **state)
{
	struct world *w = *state;
	uint64_t ms[SECONDARIES];

	zone_key = make_key(ZONE, LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	secondaries[1].validates = true;
	n_names = 300;
	serve_version(w, 1);
	for (unsigned i = 0; i < SECONDARIES; i++)
		start_secondary(&secondaries[i], w->port4);
	wait_for_serial(w, 1, ms);
	assert_same_zone(w);
	for (unsigned version = 2; version <= 4; version++) {
		serve_version(w, version);
		wait_for_serial(w, version, ms);
		assert_same_zone(w);
	}
	assert_int_equal(count_logged(&secondaries[1], "AXFR, incoming"), 2);
	assert_int_equal(count_logged(&secondaries[1], "IXFR, incoming"), 6);
	assert_int_equal(count_logged(&secondaries[1], "DNSSEC, validation successful"), 1);
	assert_int_equal(count_logged(&secondaries[1], "DNSSEC, incremental validation successful"), 3);
	n_names = NAMES;
	secondaries[1].validates = false;
	free_key(zone_key);
	zone_key = NULL;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_secondaries_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_process_is_another_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_signed_zone, setup, teardown),
	};

	for (unsigned i = 0; i < SECONDARIES; i++) {
		if (access(secondaries[i].program, X_OK) != 0) {
			printf("skipped: there is no %s (packages nsd and knot)\n", secondaries[i].program);
			return 77;
		}
	}
	if (!netns_enter())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
