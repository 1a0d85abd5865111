#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "backends/vif.h"
#include "tests/netns.h"

#define DEVICE "backend/vif/7/0"

/* ---- a XenStore of a few nodes, as its daemon speaks on its socket ---- */

enum { NODES = 16 };

static struct {
	char dir[64], path[96];
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	struct node {
		char path[128], value[512];
	} nodes[NODES];
	unsigned writes;
	const char *refused; /* a path that nobody may write */
} store;

static struct node *find_node(const char *path)
{
	for (size_t i = 0; i < NODES; i++) {
		if (strcmp(store.nodes[i].path, path) == 0)
			return &store.nodes[i];
	}
	return NULL;
}

static void put(const char *path, const char *value)
{
	struct node *n;

	pthread_mutex_lock(&store.lock);
	n = find_node(path);
	if (!n)
		n = find_node("");
	assert_non_null(n);
	str_copy(n->path, path);
	str_copy(n->value, value);
	pthread_mutex_unlock(&store.lock);
}

static const char *get(const char *path)
{
	static char value[512];
	const struct node *n;

	pthread_mutex_lock(&store.lock);
	n = find_node(path);
	str_copy(value, n ? n->value : "");
	pthread_mutex_unlock(&store.lock);
	return value;
}

static bool whole(int fd, void *to, size_t n)
{
	return n == 0 || recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static void reply(int fd, struct xsd_sockmsg m, uint32_t type, const char *text, size_t n)
{
	m.type = type;
	m.len = (uint32_t)n;
	if (send(fd, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m) || send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		perror("fake XenStore");
}

static void serve_request(int fd, const struct xsd_sockmsg *m, char *body)
{
	const char *value = body + strlen(body) + 1;
	const struct node *n = find_node(body);

	if (m->type == XS_READ && n) {
		reply(fd, *m, XS_READ, n->value, strlen(n->value));
	} else if (m->type == XS_READ) {
		reply(fd, *m, XS_ERROR, "ENOENT", sizeof("ENOENT"));
	} else if (store.refused && strcmp(store.refused, body) == 0) {
		reply(fd, *m, XS_ERROR, "EACCES", sizeof("EACCES"));
	} else {
		struct node *to = n ? find_node(body) : find_node("");

		assert_true(m->type == XS_WRITE && to);
		str_copy(to->path, body);
		str_copy(to->value, value);
		store.writes++;
		reply(fd, *m, XS_WRITE, "OK", sizeof("OK"));
	}
}

static void *serve(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(store.listener, NULL, NULL)) >= 0) {
		char body[XENSTORE_PAYLOAD_MAX + 1];
		struct xsd_sockmsg m;

		while (whole(fd, &m, sizeof(m)) && m.len <= XENSTORE_PAYLOAD_MAX && whole(fd, body, m.len)) {
			body[m.len] = '\0';
			pthread_mutex_lock(&store.lock);
			serve_request(fd, &m, body);
			pthread_mutex_unlock(&store.lock);
		}
		close(fd);
	}
	return NULL;
}

static void store_begin(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memset(&store, 0, sizeof(store));
	pthread_mutex_init(&store.lock, NULL);
	str_copy(store.dir, "/tmp/jitsu-vif-XXXXXX");
	assert_non_null(mkdtemp(store.dir));
	snprintf(store.path, sizeof(store.path), "%s/socket", store.dir);
	str_copy(a.sun_path, store.path);
	store.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(store.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(store.listener, 4), 0);
	assert_int_equal(pthread_create(&store.thread, NULL, serve, NULL), 0);
	setenv("XENSTORED_PATH", store.path, 1);
}

static void store_end(void)
{
	shutdown(store.listener, SHUT_RDWR);
	pthread_join(store.thread, NULL);
	close(store.listener);
	unlink(store.path);
	rmdir(store.dir);
}

/* ---- a host with two bridges; br0 has its MAC from its one port, as bridges do ---- */

static bool have_netns;

static int setup(void **state)
{
	(void)state;
	if (!have_netns)
		return 0;
	store_begin();
	put(DEVICE "/bridge", "br0");
	setenv("vif", "vif7.0", 1);
	setenv("INTERFACE", "vif7.0-emu", 1);
	setenv("XENBUS_PATH", DEVICE, 1);
	return ip_run("ip link add br0 type bridge; ip link add br1 type bridge; "
		      "ip link add eth0 address 02:00:00:00:00:50 type veth peer far0; ip link set eth0 master br0 up; "
		      "ip link set br0 up; ip link set br1 up; "
		      "ip link add vif7.0 address 00:00:00:00:00:07 type veth peer far7");
}

static int teardown(void **state)
{
	(void)state;
	if (!have_netns)
		return 0;
	store_end();
	ip_run("for i in vif7.0 vif7.0-emu jv7; do ip link del $i 2>/dev/null; done");
	return ip_run("ip link del eth0; ip link del br0; ip link del br1");
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

static int do_it(const char *command, const char *type, struct err *e)
{
	char first[] = "jitsu-vif", second[16], third[16], *argv[] = { first, second, third, NULL };
	struct vif_task t;
	struct xs_handle *xs;
	int r;

	str_copy(second, command);
	str_copy(third, type);
	r = vif_task_parse(3, argv, &t, e);
	if (r < 0)
		return r;
	xs = xs_open(0);
	assert_non_null(xs);
	r = vif_do(xs, &t, e);
	xs_close(xs);
	return r;
}

static void plug_in(void)
{
	struct err e = { 0 };

	if (do_it("online", "type_if=vif", &e) < 0)
		fail_msg("%s", e.text);
}

static bool holds(const char *condition) { return ip_run("%s", condition) == 0; }

/* ---- tests ---- */

static void test_a_vif_joins_its_bridge(void **state)
{
	(void)state;
	needs_netns();
	plug_in();
	assert_true(holds("ip -o link show vif7.0 master br0 up | grep -q fe:ff:ff:ff:ff:ff"));
	assert_true(holds("ip -d link show vif7.0 | grep -q 'addrgenmode none'"));
	assert_true(holds("ip -o link show br0 | grep -q 02:00:00:00:00:50"));
	assert_string_equal(get(DEVICE "/hotplug-status"), "connected");
	assert_string_equal(get(DEVICE "/hotplug-error"), "");
	assert_int_equal(store.writes, 1);
}

static void test_again_and_on_another_bridge(void **state)
{
	(void)state;
	needs_netns();
	plug_in();
	plug_in();
	assert_true(holds("ip -o link show vif7.0 master br0 up | grep -q vif7"));
	put(DEVICE "/bridge", "br1");
	plug_in();
	assert_true(holds("ip -o link show vif7.0 master br1 up | grep -q vif7"));
}

static void test_it_gets_the_name_it_shall_have(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	put(DEVICE "/vifname", "jv7");
	ip_run("ip link set vif7.0 up; ip link set far7 up");
	plug_in();
	assert_true(holds("ip -o link show jv7 master br0 up | grep -q fe:ff:ff:ff:ff:ff"));
	plug_in(); /* the environment still has the old one */
	assert_int_equal(if_nametoindex("vif7.0"), 0);
	assert_int_equal(do_it("offline", "type_if=vif", &e), 0);
	assert_true(holds("ip -o link show jv7 | grep -qv master"));
}

static void test_names_that_cannot_be(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	put(DEVICE "/vifname", "a-name-that-is-too-long");
	assert_int_equal(do_it("online", "type_if=vif", &e), -EINVAL);
	put(DEVICE "/vifname", "eth0");
	assert_int_equal(do_it("online", "type_if=vif", &e), -EEXIST);
	assert_non_null(strstr(get(DEVICE "/hotplug-error"), "eth0"));
	assert_string_equal(get(DEVICE "/hotplug-status"), "error");
}

static void test_mtu(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	assert_int_equal(ip_run("ip link set eth0 mtu 9000; ip link set br0 mtu 9000"), 0);
	plug_in();
	assert_true(holds("ip -o link show vif7.0 | grep -q 'mtu 9000'"));
	assert_string_equal(get("/local/domain/7/device/vif/0/mtu"), "9000");
	put(DEVICE "/mtu", "1400");
	plug_in();
	assert_true(holds("ip -o link show vif7.0 | grep -q 'mtu 1400'"));
	assert_string_equal(get("/local/domain/7/device/vif/0/mtu"), "1400");
	put(DEVICE "/mtu", "many");
	assert_int_equal(do_it("online", "type_if=vif", &e), -EINVAL);
	assert_non_null(strstr(get(DEVICE "/hotplug-error"), "many"));
}

/* libxl logs what hotplug-error says. */
static void test_what_goes_wrong_is_told(void **state)
{
	static const struct {
		const char *bridge, *says;
		int error;
	} cases[] = {
		{ "", "no bridge is named", -EINVAL },
		{ "br7", "there is no bridge br7", -ENODEV },
		{ "a-bridge-with-a-name-that-is-too-long-for-one", "there is no bridge a-bridge", -ENODEV },
		{ "eth0", "eth0 is no Linux bridge", -EOPNOTSUPP },
	};

	(void)state;
	needs_netns();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };

		put(DEVICE "/bridge", cases[i].bridge);
		put(DEVICE "/hotplug-status", "");
		assert_int_equal(do_it("online", "type_if=vif", &e), cases[i].error);
		assert_non_null(strstr(e.text, cases[i].says));
		assert_string_equal(get(DEVICE "/hotplug-error"), e.text);
		assert_string_equal(get(DEVICE "/hotplug-status"), "error");
	}
}

static void test_a_vif_that_is_not_there(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	setenv("vif", "vif8.0", 1);
	assert_int_equal(do_it("online", "type_if=vif", &e), -ENODEV);
	assert_string_equal(get(DEVICE "/hotplug-error"), "there is no interface vif8.0");
	assert_int_equal(do_it("offline", "type_if=vif", &e), 0); /* netback has taken it along */
}

static void test_leaving(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	plug_in();
	store.writes = 0;
	assert_int_equal(do_it("offline", "type_if=vif", &e), 0);
	assert_true(holds("ip -o link show vif7.0 | grep -v master | grep -qv '[<,]UP[,>]'"));
	assert_int_equal(do_it("offline", "type_if=vif", &e), 0);
	assert_int_equal(store.writes, 0);
	assert_true(holds("ip -o link show br0 | grep -q 02:00:00:00:00:50"));
}

/* An emulated NIC's: netback does not know of it, and its device is told connected by the vif. */
static void test_the_tap_of_an_emulated_nic(void **state)
{
	struct err e = { 0 };

	(void)state;
	needs_netns();
	put(DEVICE "/vifname", "jv7");
	assert_int_equal(ip_run("ip link add vif7.0-emu type veth peer faremu"), 0);
	assert_int_equal(do_it("add", "type_if=tap", &e), 0);
	assert_true(holds("ip -o link show vif7.0-emu master br0 up | grep -q fe:ff:ff:ff:ff:ff"));
	assert_int_equal(store.writes, 0);
	assert_int_equal(do_it("remove", "type_if=tap", &e), 0);
	assert_true(holds("ip -o link show vif7.0-emu | grep -qv master"));
}

static void test_xenstore_that_does_not_take_it(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	store.refused = DEVICE "/hotplug-status";
	assert_int_equal(do_it("online", "type_if=vif", &e), -EACCES);
	assert_non_null(strstr(get(DEVICE "/hotplug-error"), "hotplug-status"));
}

static void test_what_it_is_called_with(void **state)
{
	static const struct {
		const char *command, *type, *variable, *value, *says;
	} cases[] = {
		{ "up", "", "vif", "vif7.0", "usage" },
		{ "online", "type_if=vlan", "vif", "vif7.0", "neither" },
		{ "online", "type_if=vif", "vif", NULL, "vif" },
		{ "online", "type_if=vif", "vif", "", "vif" },
		{ "online", "type_if=vif", "vif", "vif1234567890.12345", "vif" },
		{ "add", "type_if=tap", "INTERFACE", NULL, "INTERFACE" },
		{ "online", "type_if=vif", "XENBUS_PATH", NULL, "XENBUS_PATH" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };

		setenv("vif", "vif7.0", 1);
		setenv("INTERFACE", "vif7.0-emu", 1);
		setenv("XENBUS_PATH", DEVICE, 1);
		if (cases[i].value)
			setenv(cases[i].variable, cases[i].value, 1);
		else
			unsetenv(cases[i].variable);
		assert_int_equal(do_it(cases[i].command, cases[i].type, &e), -EINVAL);
		assert_non_null(strstr(e.text, cases[i].says));
	}
}

int main(void)
{
#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET_TEST(test_a_vif_joins_its_bridge),
		NET_TEST(test_again_and_on_another_bridge),
		NET_TEST(test_it_gets_the_name_it_shall_have),
		NET_TEST(test_names_that_cannot_be),
		NET_TEST(test_mtu),
		NET_TEST(test_what_goes_wrong_is_told),
		NET_TEST(test_a_vif_that_is_not_there),
		NET_TEST(test_leaving),
		NET_TEST(test_the_tap_of_an_emulated_nic),
		NET_TEST(test_xenstore_that_does_not_take_it),
		cmocka_unit_test(test_what_it_is_called_with),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
