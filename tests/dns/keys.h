/* Keys made by ldns, as the launcher would give them, and tables that are signed with them. */
#ifndef TESTS_DNS_KEYS_H
#define TESTS_DNS_KEYS_H

#include <sys/mman.h>

#include "tests/dns/util.h"

#include "dns/sign.h"
#include "dns/zone_file.h"

struct test_key {
	ldns_key *pair;
	ldns_rr *dnskey;
	struct msg_dns_key msg;
	char *text; /* of its file */
};

enum { KEY_PUBLISH = 1, KEY_SIGN = 2, KEY_SIGN_KEYS = 4, KEY_CDS = 8, KEY_ALL = 15 };

static UNUSED struct test_key *make_key(const char *zone, unsigned algorithm, unsigned flags)
{
	struct test_key *k = calloc(1, sizeof(*k));
	size_t n = 0;
	FILE *f;

	k->pair = ldns_key_new_frm_algorithm((ldns_signing_algorithm)algorithm, 256);
	assert_non_null(k->pair);
	ldns_key_set_pubkey_owner(k->pair, ldns_dname_new_frm_str(zone));
	ldns_key_set_flags(k->pair, 257);
	k->dnskey = ldns_key2rr(k->pair);
	f = open_memstream(&k->text, &n);
	ldns_key_print(f, k->pair);
	fclose(f);
	k->msg = (struct msg_dns_key){ .tag = ldns_calc_keytag(k->dnskey), .flags = 257,
				       .algorithm = (uint8_t)algorithm, .publish = flags & KEY_PUBLISH,
				       .sign = flags & KEY_SIGN, .sign_keys = flags & KEY_SIGN_KEYS,
				       .cds = flags & KEY_CDS };
	str_copy(k->msg.zone, zone);
	return k;
}

static UNUSED void use_key(struct test_key *k, unsigned flags)
{
	k->msg.publish = flags & KEY_PUBLISH;
	k->msg.sign = flags & KEY_SIGN;
	k->msg.sign_keys = flags & KEY_SIGN_KEYS;
	k->msg.cds = flags & KEY_CDS;
}

static UNUSED void free_key(struct test_key *k)
{
	ldns_key_deep_free(k->pair);
	ldns_rr_free(k->dnskey);
	free(k->text);
	free(k);
}

static UNUSED int key_file(const char *text)
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Its DS record, as a zone file has it. */
static UNUSED char *ds_text(const struct test_key *k)
{
	ldns_rr *ds = ldns_key_rr2ds(k->dnskey, LDNS_SHA256);
	char *text = ldns_rr2str(ds);

	ldns_rr_free(ds);
	return text;
}

static UNUSED void add_zone_text(struct tables *t, const char *zone, const char *text)
{
	struct err e = { 0 };
	struct zone_file *f = zone_file_new(text, strlen(text), "f", zone, 300, &e);
	struct zone_record record;
	int r;

	while ((r = zone_file_next(f, &record, &e)) == 1)
		if (tables_add_record(t, tables_zone(t, zone), &record, &e) < 0)
			fail_msg("%s", e.text);
	if (r < 0)
		fail_msg("%s", e.text);
	zone_file_free(f);
}

/* Finished tables are signed with these keys (NULL behind the last).  How many steps it took. */
static UNUSED unsigned sign_tables(struct tables *t, struct test_key *const *keys, struct signatures *cache,
				   uint32_t now_s)
{
	struct signing *s = signing_new(cache);
	struct err e = { 0 };
	unsigned steps = 0;
	int r;

	for (; *keys; keys++)
		if (signing_add_key(s, &(*keys)->msg, key_file((*keys)->text), &e) < 0)
			fail_msg("%s", e.text);
	do {
		r = signing_step(s, t, now_s, &e);
		steps++;
	} while (r > 0);
	if (r < 0)
		fail_msg("%s", e.text);
	signing_free(s);
	return steps;
}

#endif
