#include "launcher/secondaries.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "config/value.h"

enum { SECRET_FILE_MAX = 1024 };

struct entry {
	struct msg_dns_tsig_key key;
	char mistake[MSG_TEXT_MAX]; /* "": none */
};

struct secondaries {
	size_t n;
	struct entry *entries;
};

struct secondaries *secondaries_new(void) { return calloc(1, sizeof(struct secondaries)); }

static void clear(struct secondaries *s)
{
	if (s->entries)
		explicit_bzero(s->entries, s->n * sizeof(*s->entries));
	free(s->entries);
	s->entries = NULL;
	s->n = 0;
}

void secondaries_free(struct secondaries *s)
{
	if (!s)
		return;
	clear(s);
	free(s);
}

/* ---- secrets ---- */

static int check_file(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(e, -errno, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size >= SECRET_FILE_MAX)
		return err_set(e, -EINVAL, "%s is no regular file, or too long for a secret", path);
	if (st.st_uid != geteuid() || st.st_mode & 077)
		return err_set(e, -EACCES, "%s can be read by others: give it to root, with mode 600", path);
	return 0;
}

static int parse_secret(char *text, const char *path, uint8_t *secret, size_t room, struct err *e)
{
	size_t n = strlen(text);
	int r;

	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	r = base64_parse(text, secret, room);
	if (r < TSIG_SECRET_MIN)
		return err_set(e, -EINVAL, "%s does not have %s, and nothing else", path, text_tsig_secret.expected);
	return r;
}

int secondaries_read_secret(const char *path, uint8_t *secret, size_t room, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[SECRET_FILE_MAX + 1];
	ssize_t n;
	int r;

	if (fd < 0)
		return errno == ELOOP ? err_set(e, -ELOOP, "%s is a symbolic link; give the real path", path)
				      : err_set_errno(e, -errno, "cannot read %s", path);
	r = check_file(fd, path, e);
	if (r < 0)
		return r;
	n = read(fd, text, SECRET_FILE_MAX);
	if (n < 0)
		return err_set_errno(e, -errno, "cannot read %s", path);
	text[n] = '\0';
	r = parse_secret(text, path, secret, room, e);
	explicit_bzero(text, sizeof(text));
	return r;
}

static void read_key(struct entry *en, const struct tsig_key_conf *c)
{
	struct err e = { 0 };
	int n;

	str_copy(en->key.name, c->name);
	en->key.algorithm = (uint8_t)c->algorithm;
	if (c->secret_file[0])
		n = secondaries_read_secret(c->secret_file, en->key.secret, sizeof(en->key.secret), &e);
	else
		n = base64_parse(c->secret, en->key.secret, sizeof(en->key.secret));
	en->key.secret_n = (uint8_t)MAX(n, 0);
	if (n > 0)
		return;
	snprintf(en->mistake, sizeof(en->mistake), "%.300s (TSIG key %.80s is not used: who signs with it is refused)",
		 e.text, c->name);
	log_error("%s", en->mistake);
}

void secondaries_set(struct secondaries *s, const struct conf *conf)
{
	clear(s);
	s->entries = calloc(conf->tsig_keys.n + 1, sizeof(*s->entries));
	if (!s->entries)
		abort();
	s->n = conf->tsig_keys.n;
	for (size_t i = 0; i < s->n; i++)
		read_key(&s->entries[i], &conf->tsig_keys.v[i]);
}

void secondaries_mistakes(const struct secondaries *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].mistake[0])
			buf_addf(out, "%s\n", s->entries[i].mistake);
}

/* ---- what dns is told ---- */

void secondaries_send_keys(const struct secondaries *s, struct ipc *dns)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->entries[i].mistake[0])
			ipc_send(dns, MSG_DNS_TSIG_KEY, &s->entries[i].key);
}

void secondaries_send_zone(const struct zone_conf *zone, struct ipc *dns)
{
	for (size_t i = 0; i < zone->secondaries.n; i++) {
		const struct secondary_conf *c = &zone->secondaries.v[i];
		struct msg_dns_secondary m = { .port = c->port };

		str_copy(m.zone, zone->name);
		str_copy(m.key, c->key);
		if (ip_parse(c->address, &m.addr) == 0)
			ipc_send(dns, MSG_DNS_SECONDARY, &m);
	}
	for (size_t i = 0; i < zone->transfer_allow.n; i++) {
		struct msg_dns_transfer m = { .prefix = zone->transfer_allow.v[i] };

		str_copy(m.zone, zone->name);
		str_copy(m.key, zone->transfer_key);
		ipc_send(dns, MSG_DNS_TRANSFER, &m);
	}
}
