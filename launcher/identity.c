#include "launcher/identity.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { DIGEST_BYTES = 32, ID_TEXT_BYTES = 32 };

#define HOST_ID "/etc/machine-id"

/* ---- the host ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* 32 lower-case hex digits, not all zero (machine-id(5)).  -EINVAL: what is there is no id, "uninitialized"
 * for one. */
static int parse_id(const char *text, size_t n, struct identity *out)
{
	static const struct identity zero;
	struct identity id;

	if (n < ID_TEXT_BYTES || (n > ID_TEXT_BYTES && text[ID_TEXT_BYTES] != '\n'))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(id.machine_id); i++) {
		int high = hex(text[2 * i]), low = hex(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		id.machine_id[i] = (uint8_t)(high << 4 | low);
	}
	if (memcmp(&id, &zero, sizeof(id)) == 0)
		return -EINVAL;
	*out = id;
	return 0;
}

static int read_id(const char *path, struct identity *out)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[ID_TEXT_BYTES + 1];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	return n < 0 ? -errno : parse_id(text, (size_t)n, out);
}

/* Whole or not at all: written beside its place, then renamed. */
static int write_id(const char *path, const struct identity *id)
{
	char beside[MSG_PATH_MAX + 8], text[ID_TEXT_BYTES + 2];
	cleanup_close int fd = -1;

	snprintf(beside, sizeof(beside), "%s.new", path);
	for (size_t i = 0; i < sizeof(id->machine_id); i++)
		snprintf(text + 2 * i, 3, "%02x", id->machine_id[i]);
	text[ID_TEXT_BYTES] = '\n';
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, ID_TEXT_BYTES + 1) != ID_TEXT_BYTES + 1 || fsync(fd) < 0 || rename(beside, path) < 0) {
		int r = errno ? -errno : -EIO;

		unlink(beside);
		return r;
	}
	return 0;
}

static int make_id(const char *path, struct identity *out, struct err *e)
{
	struct identity id;
	int r;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return err_set_errno(e, -errno, "cannot get random bytes for %s", path);
	r = write_id(path, &id);
	if (r < 0)
		return err_set_errno(e, r, "this host has no " HOST_ID ", and %s cannot be written", path);
	*out = id;
	return 0;
}

int identity_load_from(const char *host_path, const char *state_dir, struct identity *out, struct err *e)
{
	char path[MSG_PATH_MAX];
	int r = read_id(host_path, out);

	if (r == 0)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/machine-id", state_dir) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "the path of the state directory is too long: %s", state_dir);
	r = read_id(path, out);
	if (r == -ENOENT)
		return make_id(path, out, e);
	if (r == -EINVAL)
		return err_set(e, r, "%s is damaged: it should be 32 hex digits; restore it, or delete it (then the VMs "
				     "get new MACs)",
			       path);
	if (r < 0)
		return err_set_errno(e, r, "cannot read %s", path);
	return 0;
}

int identity_load(const char *state_dir, struct identity *out, struct err *e)
{
	return identity_load_from(HOST_ID, state_dir, out, e);
}

/* ---- what is cut from it ---- */

static void add(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	if (EVP_DigestUpdate(ctx, p, n) != 1)
		abort();
}

/* SHA-256 of "jitsu", NUL, label, NUL, the machine-id, name, NUL, number: no two different inputs
 * make the same bytes. */
static void derive(const struct identity *id, const char *label, const char *name, unsigned number,
		   uint8_t out[DIGEST_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t n[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		abort(); /* no memory */
	add(ctx, "jitsu", sizeof("jitsu"));
	add(ctx, label, strlen(label) + 1);
	add(ctx, id->machine_id, sizeof(id->machine_id));
	add(ctx, name, strlen(name) + 1);
	add(ctx, n, sizeof(n));
	if (EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

static void derive_mac(const struct identity *id, const char *label, const char *name, unsigned number,
		       uint8_t first, struct mac_addr *out)
{
	uint8_t digest[DIGEST_BYTES];

	derive(id, label, name, number, digest);
	memcpy(out->b, digest, sizeof(out->b));
	out->b[0] = first;
}

void identity_mac(const struct identity *id, const char *service, unsigned nic, struct mac_addr *out)
{
	derive_mac(id, "nic", service, nic, 0x02, out);
}

void identity_tap_mac(const struct identity *id, const char *service, unsigned nic, struct mac_addr *out)
{
	derive_mac(id, "tap-mac", service, nic, 0xfe, out);
	out->b[1] |= 0x40; /* above every hold tap's */
}

void identity_probe_mac(const struct identity *id, const char *bridge, struct mac_addr *out)
{
	derive_mac(id, "probe", bridge, 0, 0x02, out);
}

void identity_hold_mac(const struct identity *id, const char *bridge, struct mac_addr *out)
{
	derive_mac(id, "hold-mac", bridge, 0, 0xfe, out);
	out->b[1] = 0;
}

static void derive_ifname(const struct identity *id, const char *label, const char *name, unsigned number,
			  const char *prefix, char out[MSG_IFNAME_MAX])
{
	uint8_t d[DIGEST_BYTES];

	derive(id, label, name, number, d);
	snprintf(out, MSG_IFNAME_MAX, "%.4s%02x%02x%02x%02x%02x", prefix, d[0], d[1], d[2], d[3], d[4]);
}

void identity_tap_name(const struct identity *id, const char *service, unsigned nic, char out[MSG_IFNAME_MAX])
{
	derive_ifname(id, "tap", service, nic, "jt", out);
}

void identity_hold_name(const struct identity *id, const char *bridge, char out[MSG_IFNAME_MAX])
{
	derive_ifname(id, "hold", bridge, 0, "jh", out);
}

void identity_uuid(const struct identity *id, const char *service, char out[MSG_UUID_MAX])
{
	uint8_t d[DIGEST_BYTES];

	derive(id, "domain", service, 0, d);
	d[6] = (uint8_t)((d[6] & 0x0f) | 0x80); /* version 8 */
	d[8] = (uint8_t)((d[8] & 0x3f) | 0x80); /* the variant of RFC 9562, 4.1 */
	snprintf(out, MSG_UUID_MAX, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1],
		 d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
}
