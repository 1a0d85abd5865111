/* Addresses that are learned of VMs: what the launcher tells dns and synproxy when one turns out, and how often.  The
 * peers follow a script (peers.h); the VM's port is one of a bridge in a network namespace of the test's own.
 */
#include "tests/launcher/peers.h"

#include "launcher/learned.h"

enum { DOM_ID = 3 };

#define LEARNS "{\"name\":\"a\",\"dns\":[\"a.jitsu.example\",\"b.jitsu.example\"],\"ip\":[\"learned\"]," \
	       "\"hold\":\"off\",\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"dom-a\"}," \
	       "\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" LAZY "}"

/* ---- the peers' part ---- */

static void begin_learning(void)
{
	begin(LEARNS);
	meet(&w.synproxy, ROLE_SYNPROXY);
	while (hear(w.synproxy, WAIT_MS) != MSG_END)
		;
}

static void expect_listening(void)
{
	enum msg_type type;

	while ((type = hear(w.synproxy, WAIT_MS)) != MSG_LEARN_START)
		assert_int_not_equal(type, 0);
	assert_true(w.fd >= 0);
}

/* The VM runs, and synproxy listens at its port. */
static void booted(void)
{
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", DOM_ID);
	expect_listening();
	expect_state("a", STATE_BOOTING);
}

static void found(const char *addr)
{
	struct msg_learn_found m = { .svc = of("a")->svc, .gen = of("a")->gen, .how = LEARN_ARP };

	assert_int_equal(ip_parse(addr, &m.addr), 0);
	say(w.synproxy, MSG_LEARN_FOUND, &m);
}

static bool has_address(const struct msg_dns_changing *m, const char *addr)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(addr, &a), 0);
	for (uint16_t i = 0; i < m->n_addrs; i++) {
		if (ip_equal(&m->addrs[i], &a))
			return true;
	}
	return false;
}

/* ---- tests ---- */

/* dns would answer with what it knew as soon as it hears that the VM is up. */
static void test_dns_waits_before_it_is_up(void **state)
{
	(void)state;
	begin_learning();
	booted();
	quiet(w.dns); /* ready but for its address */
	found("10.77.0.5");
	expect(w.dns, MSG_DNS_CHANGING);
	assert_int_equal(got.changing.n_names, 2);
	assert_string_equal(got.changing.names[0].text, "a.jitsu.example");
	assert_string_equal(got.changing.names[1].text, "b.jitsu.example");
	expect_state("a", STATE_UP);
	hear_snapshot();
	assert_int_equal(of("a")->n_addrs, 1);
	assert_int_equal(of("a")->addrs[0].b[15], 5);
	found("10.77.0.6"); /* and so must the reverse name of what it had */
	expect(w.dns, MSG_DNS_CHANGING);
	assert_true(has_address(&got.changing, "10.77.0.5"));
	hear_snapshot();
	assert_int_equal(of("a")->addrs[0].b[15], 6);
}

/* It has 10.77.0.LAST now, and dns has the tables that say so. */
static void changed_to(unsigned last)
{
	char addr[16];

	snprintf(addr, sizeof(addr), "10.77.0.%u", last);
	found(addr);
	expect(w.dns, MSG_DNS_CHANGING);
	hear_snapshot();
	assert_int_equal(of("a")->addrs[0].b[15], last);
}

/* Each change costs dns its tables and the registry a write, so a guest has some of them, and then one a minute. */
static void test_a_guest_that_changes_all_the_time(void **state)
{
	enum msg_type type;

	(void)state;
	begin_learning();
	booted();
	found("10.77.0.5");
	expect(w.dns, MSG_DNS_CHANGING);
	expect_state("a", STATE_UP);
	hear_snapshot();
	for (unsigned i = 0; i < LEARNED_CHANGES; i++)
		changed_to(i % 2 ? 5 : 6);
	found("10.77.0.6");
	quiet_for(w.dns, 500);
	found("10.77.0.7");
	quiet_for(w.dns, 500);
	assert_string_equal(field(CTL_SHOW, "a", "ip"), "10.77.0.5");
	assert_non_null(strstr(field(CTL_SHOW, "a", "ip_refused"), "too often: 10.77.0.5 counts for another"));
	if (!getenv("LONG"))
		return;
	while ((type = hear(w.synproxy, LEARNED_CHANGE_MS + WAIT_MS)) != MSG_LEARN_TELL || got.tell.known)
		assert_int_not_equal(type, 0);
	assert_int_equal(got.tell.addr.b[15], 7); /* has the VM still what it had last? */
	changed_to(7);
}

static int setup_learning(void **state)
{
	int r = setup_on_bridge(state, "10.77.0.1/24", NULL);

	return r < 0 ? r : ip_run("ip tuntap add vm-a mode tap && ip link set vm-a master br0 up");
}

static int teardown_learning(void **state)
{
	int r = teardown_on_bridge(state);

	ip_run("ip link del vm-a");
	return r;
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup_learning, teardown_learning)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_dns_waits_before_it_is_up),
		T(test_a_guest_that_changes_all_the_time),
	};

	if (!netns_enter())
		return 77;
	loads_at_once = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
