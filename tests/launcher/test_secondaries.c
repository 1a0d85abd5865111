/* The secrets of other servers, from their files to dns. */
#include <event2/event.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/launcher/peers.h"

#include "launcher/secondaries.h"

static char path[128];

static int setup_alone(void **state)
{
	if (setup(state) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/secret", w.dir);
	return 0;
}

static int teardown_alone(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf %s", w.dir);
	return system(line);
}

static void write_secret(const char *text, mode_t mode)
{
	FILE *f;

	unlink(path);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void assert_read(const char *text, mode_t mode, int n, const char *why)
{
	uint8_t secret[MSG_TSIG_SECRET_MAX];
	struct err e = { 0 };
	int r;

	write_secret(text, mode);
	r = secondaries_read_secret(path, secret, sizeof(secret), &e);
	if (n > 0 ? r != n : (r >= 0 || !strstr(e.text, why)))
		fail_msg("%d: %s", r, e.text);
	if (n > 0)
		assert_int_equal(secret[n - 1], n - 1);
	else
		assert_null(strstr(e.text, "AAEC"));
}

static void test_files(void **state)
{
	static const char good[] = "AAECAwQFBgcICQoLDA0ODw==";
	char link[160];

	(void)state;
	assert_read(good, 0600, 16, "");
	assert_read("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 0400, 32, "");
	assert_read("AAECAwQFBgcICQoLDA0ODw== \r\n\n", 0600, 16, "");
	assert_read(good, 0640, 0, "can be read by others: give it to root, with mode 600");
	assert_read(good, 0604, 0, "can be read by others");
	assert_read("AAECAwQFBgcICQoLDA0O", 0600, 0, "does not have Base64 of 16 to 128 bytes");
	assert_read("AAECAwQFBgcICQoLDA0ODw==\nAAECAwQFBgcICQoLDA0ODw==", 0600, 0, "and nothing else");
	assert_read("", 0600, 0, "does not have Base64");
	snprintf(link, sizeof(link), "%s-link", path);
	assert_int_equal(symlink(path, link), 0);
	strcpy(path, link);
	assert_int_equal(secondaries_read_secret(link, (uint8_t[1]){ 0 }, 1, &(struct err){ 0 }), -ELOOP);
	assert_int_equal(secondaries_read_secret("/dev/zero", (uint8_t[1]){ 0 }, 1, &(struct err){ 0 }), -EINVAL);
	assert_int_equal(secondaries_read_secret("/nowhere", (uint8_t[1]){ 0 }, 1, &(struct err){ 0 }), -ENOENT);
}

/* A key that cannot be read is told, and the others are there; mended, it is there after the next reload. */
static void test_a_key_that_cannot_be_read(void **state)
{
	static struct tsig_key_conf keys[] = {
		{ .name = (char *)"a.example", .secret = (char *)"", .secret_file = path },
		{ .name = (char *)"b.example", .secret = (char *)"AAECAwQFBgcICQoLDA0ODw==", .secret_file = (char *)"" },
	};
	struct conf conf = { .tsig_keys = { 2, keys } };
	struct secondaries *s = secondaries_new();
	cleanup_buf struct buf text = { 0 };

	(void)state;
	secondaries_set(s, &conf);
	secondaries_mistakes(s, &text);
	assert_non_null(strstr(text.text, "cannot read"));
	assert_non_null(strstr(text.text, "TSIG key a.example is not used"));
	assert_null(strstr(text.text, "b.example"));
	write_secret("AAECAwQFBgcICQoLDA0ODw==", 0600);
	secondaries_set(s, &conf);
	buf_clear(&text);
	secondaries_mistakes(s, &text);
	assert_int_equal(text.n, 0);
	secondaries_free(s);
}

/* ---- what dns is told ---- */

static struct {
	unsigned n_keys, n_secondaries, n_transfers;
	struct msg_dns_tsig_key key;
	struct msg_dns_secondary secondary;
	struct msg_dns_transfer transfer;
} told;

static void on_told(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	(void)arg;
	(void)ch;
	(void)fd;
	if (type == MSG_DNS_TSIG_KEY && told.n_keys++ == 0)
		told.key = *(const struct msg_dns_tsig_key *)body;
	if (type == MSG_DNS_SECONDARY && told.n_secondaries++ == 0)
		told.secondary = *(const struct msg_dns_secondary *)body;
	if (type == MSG_DNS_TRANSFER && told.n_transfers++ == 0)
		told.transfer = *(const struct msg_dns_transfer *)body;
}

static void on_told_end(void *arg, struct ipc *ch, int error)
{
	(void)arg;
	(void)ch;
	(void)error;
}

static void test_what_dns_is_told(void **state)
{
	static struct tsig_key_conf keys[] = {
		{ .name = (char *)"a.example", .secret = (char *)"", .secret_file = (char *)"/nowhere" },
		{ .name = (char *)"b.example", .algorithm = TSIG_HMAC_SHA512,
		  .secret = (char *)"AAECAwQFBgcICQoLDA0ODw==", .secret_file = (char *)"" },
	};
	static struct secondary_conf secondary = { .address = (char *)"fd00::1", .port = 5353, .key = (char *)"b.example" };
	static struct ip_prefix prefix;
	struct zone_conf zone = { .name = (char *)"z.example", .secondaries = { 1, &secondary },
				  .transfer_allow = { 1, &prefix }, .transfer_key = (char *)"a.example" };
	struct conf conf = { .tsig_keys = { 2, keys } };
	struct secondaries *s = secondaries_new();
	struct event_base *base = event_base_new();
	struct ipc *ours, *theirs;
	struct ip_addr a;
	int fds[2];

	(void)state;
	assert_int_equal(prefix_parse("10.0.0.0/8", &prefix), 0);
	assert_int_equal(ipc_pair(fds), 0);
	ours = ipc_new(base, fds[0], on_told, on_told_end, NULL);
	theirs = ipc_new(base, fds[1], on_told, on_told_end, NULL);
	secondaries_set(s, &conf);
	secondaries_send_keys(s, ours);
	secondaries_send_zone(&zone, ours);
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(told.n_keys, 1);
	assert_string_equal(told.key.name, "b.example");
	assert_int_equal(told.key.algorithm, TSIG_HMAC_SHA512);
	assert_int_equal(told.key.secret_n, 16);
	assert_int_equal(told.key.secret[15], 15);
	assert_int_equal(told.n_secondaries, 1);
	assert_string_equal(told.secondary.zone, "z.example");
	assert_string_equal(told.secondary.key, "b.example");
	assert_int_equal(told.secondary.port, 5353);
	assert_int_equal(ip_parse("fd00::1", &a), 0);
	assert_true(ip_equal(&a, &told.secondary.addr));
	assert_int_equal(told.n_transfers, 1);
	assert_string_equal(told.transfer.key, "a.example");
	assert_memory_equal(&told.transfer.prefix, &prefix, sizeof(prefix));
	ipc_free(ours);
	ipc_free(theirs);
	event_base_free(base);
	secondaries_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, setup_alone, teardown_alone),
		cmocka_unit_test_setup_teardown(test_a_key_that_cannot_be_read, setup_alone, teardown_alone),
		cmocka_unit_test(test_what_dns_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
