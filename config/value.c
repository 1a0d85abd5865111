#include "config/value.h"

#include <ctype.h>

#include "base/clock.h"
#include "base/nearest.h"

/* ---- numbers with units ---- */

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: formatting takes the first that divides the value. */
static const struct unit duration_units[] = {
	{ "d", 86400 * MS_PER_S },
	{ "h", 3600 * MS_PER_S },
	{ "m", 60 * MS_PER_S },
	{ "s", MS_PER_S },
	{ "ms", 1 },
};

static const struct unit size_units[] = {
	{ "TiB", 1ull << 40 },
	{ "GiB", 1ull << 30 },
	{ "MiB", 1ull << 20 },
	{ "KiB", 1ull << 10 },
	{ "B", 1 },
};

static const struct unit rate_units[] = {
	{ "h", 3600 * MS_PER_S },
	{ "min", 60 * MS_PER_S },
	{ "s", MS_PER_S },
};

/* The digits that `text` begins with; *end behind them.  -EINVAL when there are none. */
static int parse_digits(const char *text, uint64_t *out, const char **end)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(*text - '0'), &v))
			return -ERANGE;
	}
	*out = v;
	*end = text;
	return 0;
}

static int parse_with_unit(const char *text, const struct unit *units, size_t n, uint64_t *out)
{
	const char *unit;
	uint64_t v;
	int r = parse_digits(text, &v, &unit);

	if (r < 0)
		return r;
	if (v == 0 && *unit == '\0') {
		*out = 0;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(v, units[i].factor, &v))
			return -ERANGE;
		*out = v;
		return 0;
	}
	return -EINVAL;
}

bool value_lacks_unit(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

int duration_parse(const char *text, uint64_t *ms)
{
	uint64_t v;
	int r = parse_with_unit(text, duration_units, ARRAY_SIZE(duration_units), &v);

	if (r < 0)
		return r;
	if (v >= DURATION_AUTO)
		return -ERANGE;
	*ms = v;
	return 0;
}

const char *duration_format(uint64_t ms, char *out)
{
	if (ms == DURATION_NEVER)
		str_copy_n(out, VALUE_TEXT_MAX, "never");
	else if (ms == DURATION_AUTO)
		str_copy_n(out, VALUE_TEXT_MAX, "auto");
	else if (ms % MS_PER_S == 0)
		snprintf(out, VALUE_TEXT_MAX, "%llus", (unsigned long long)(ms / MS_PER_S));
	else
		snprintf(out, VALUE_TEXT_MAX, "%llums", (unsigned long long)ms);
	return out;
}

int size_parse(const char *text, uint64_t *bytes)
{
	return parse_with_unit(text, size_units, ARRAY_SIZE(size_units), bytes);
}

const char *size_format(uint64_t bytes, char *out)
{
	const struct unit *u = size_units;

	while (bytes % u->factor != 0 || (bytes == 0 && u->factor != 1))
		u++;
	snprintf(out, VALUE_TEXT_MAX, "%llu%s", (unsigned long long)(bytes / u->factor), u->name);
	return out;
}

int percent_parse(const char *text, uint32_t *percent)
{
	const char *end;
	uint64_t v;
	int r = parse_digits(text, &v, &end);

	if (r < 0)
		return r;
	if (strcmp(end, "%") != 0)
		return -EINVAL;
	if (v > 100)
		return -ERANGE;
	*percent = (uint32_t)v;
	return 0;
}

int rate_parse(const char *text, uint32_t *n, uint64_t *period_ms)
{
	const char *end;
	uint64_t v;
	int r = parse_digits(text, &v, &end);

	if (r < 0)
		return r;
	if (*end != '/')
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(rate_units); i++) {
		if (strcmp(end + 1, rate_units[i].name) != 0)
			continue;
		if (v > UINT32_MAX)
			return -ERANGE;
		*n = (uint32_t)v;
		*period_ms = rate_units[i].factor;
		return 0;
	}
	return -EINVAL;
}

const char *rate_format(uint32_t n, uint64_t period_ms, char *out)
{
	const char *unit = "s";

	for (size_t i = 0; i < ARRAY_SIZE(rate_units); i++) {
		if (rate_units[i].factor == period_ms)
			unit = rate_units[i].name;
	}
	snprintf(out, VALUE_TEXT_MAX, "%u/%s", n, unit);
	return out;
}

/* ---- readiness ---- */

static int parse_delay(const char *text, struct ready_rule *out)
{
	enum { DELAY_MAX_MS = 3600 * MS_PER_S };
	const char *end;
	uint64_t ms;
	int r = value_lacks_unit(text) ? parse_digits(text, &ms, &end) : duration_parse(text, &ms);

	if (r < 0)
		return r;
	if (ms > DELAY_MAX_MS)
		return -ERANGE;
	*out = (struct ready_rule){ .kind = READY_DELAY, .delay_ms = ms };
	return 0;
}

/* What xenstored takes for a path, and no more: so there is no "..". */
static int parse_key(const char *text, struct ready_rule *out)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@";
	size_t n = strlen(text);

	if (n == 0 || text[0] == '/' || text[n - 1] == '/' || strstr(text, "//") || strspn(text, allowed) != n)
		return -EINVAL;
	if (n >= sizeof(out->key))
		return -ERANGE;
	*out = (struct ready_rule){ .kind = READY_KEY };
	str_copy(out->key, text);
	return 0;
}

int ready_parse(const char *text, struct ready_rule *out)
{
	const char *end;
	uint64_t port;
	int r;

	if (strcmp(text, "arp") == 0) {
		*out = (struct ready_rule){ .kind = READY_ARP };
		return 0;
	}
	if (strcmp(text, "tcp") == 0) {
		*out = (struct ready_rule){ .kind = READY_TCP };
		return 0;
	}
	if (strcmp(text, "guest") == 0) {
		*out = (struct ready_rule){ .kind = READY_GUEST };
		return 0;
	}
	if (strncmp(text, "xenstore:", 9) == 0)
		return parse_key(text + 9, out);
	if (strncmp(text, "delay:", 6) == 0)
		return parse_delay(text + 6, out);
	if (strncmp(text, "tcp:", 4) != 0)
		return -EINVAL;
	r = parse_digits(text + 4, &port, &end);
	if (r < 0 || *end)
		return r < 0 ? r : -EINVAL;
	if (port < 1 || port > UINT16_MAX)
		return -ERANGE;
	*out = (struct ready_rule){ .kind = READY_TCP_PORT, .port = (uint16_t)port };
	return 0;
}

const char *ready_format(const struct ready_rule *rule, char *out)
{
	char delay[VALUE_TEXT_MAX];

	switch (rule->kind) {
	case READY_ARP:
		str_copy_n(out, VALUE_TEXT_MAX, "arp");
		break;
	case READY_TCP:
		str_copy_n(out, VALUE_TEXT_MAX, "tcp");
		break;
	case READY_TCP_PORT:
		snprintf(out, VALUE_TEXT_MAX, "tcp:%u", rule->port);
		break;
	case READY_DELAY:
		snprintf(out, VALUE_TEXT_MAX, "delay:%.32s", duration_format(rule->delay_ms, delay));
		break;
	case READY_GUEST:
		str_copy_n(out, VALUE_TEXT_MAX, "guest");
		break;
	case READY_KEY:
		snprintf(out, VALUE_TEXT_MAX, "xenstore:%s", rule->key);
		break;
	default:
		str_copy_n(out, VALUE_TEXT_MAX, "?");
	}
	return out;
}

/* ---- addresses ---- */

static const char *const how_words[] = { [IP_AUTO] = "auto", [IP_AUTO6] = "auto6", [IP_LEARNED] = "learned" };

int service_ip_parse(const char *text, struct service_ip *out)
{
	struct service_ip ip = { .how = IP_GIVEN };

	for (unsigned how = 0; how < ARRAY_SIZE(how_words); how++)
		if (how_words[how] && strcmp(text, how_words[how]) == 0)
			ip.how = (uint8_t)how;
	if (ip.how == IP_GIVEN && (!strchr(text, '/') || prefix_parse(text, &ip.prefix) < 0))
		return -EINVAL;
	*out = ip;
	return 0;
}

const char *service_ip_format(const struct service_ip *ip, char *out)
{
	if (ip->how == IP_GIVEN)
		return prefix_format(&ip->prefix, out);
	str_copy_n(out, VALUE_TEXT_MAX, how_words[ip->how]);
	return out;
}

/* The network that `p` lies in, from its first to its last address. */
static struct ip_range whole_network(const struct ip_prefix *p)
{
	struct ip_range r = { p->addr, p->addr, p->len };

	for (unsigned bit = p->len; bit < 128; bit++) {
		r.first.b[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
		r.last.b[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	}
	return r;
}

int range_parse(const char *text, struct ip_range *out)
{
	const char *dash = strchr(text, '-');
	struct ip_prefix last;
	struct ip_range r, net;
	char first[ADDR_TEXT_MAX];

	if (!strchr(text, '/') || prefix_parse(dash ? dash + 1 : text, &last) < 0 || prefix_bits(&last) == 0)
		return -EINVAL;
	net = whole_network(&last);
	if (!dash) {
		if (!ip_equal(&net.first, &last.addr))
			return -EINVAL;
		*out = net;
		return 0;
	}
	if ((size_t)(dash - text) >= sizeof(first))
		return -EINVAL;
	str_copy_n(first, (size_t)(dash - text) + 1, text);
	r = (struct ip_range){ .last = last.addr, .len = last.len };
	if (ip_parse(first, &r.first) < 0 || ip_is_v4(&r.first) != ip_is_v4(&r.last) ||
	    memcmp(&r.first, &net.first, sizeof(r.first)) < 0 || memcmp(&r.first, &r.last, sizeof(r.first)) > 0)
		return -EINVAL;
	*out = r;
	return 0;
}

const char *range_format(const struct ip_range *r, char *out)
{
	const struct ip_prefix last = { r->last, r->len };
	struct ip_range net = whole_network(&last);
	size_t n;

	if (ip_equal(&r->first, &net.first) && ip_equal(&r->last, &net.last))
		return prefix_format(&(struct ip_prefix){ r->first, r->len }, out);
	n = strlen(ip_format(&r->first, out));
	out[n++] = '-';
	prefix_format(&last, out + n);
	return out;
}

/* ---- kinds of text ---- */

static bool is_printable(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static bool is_graphic(const char *s) { return is_printable(s) && !strchr(s, ' '); }

static bool is_one_of(char c, const char *extra)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(extra, c));
}

static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if (!is_one_of(s[i], "-"))
			return false;
	}
	return n > 0 && s[0] != '-' && s[n - 1] != '-';
}

/* RFC 1123, 2.1, and the underscore, which is common in names that are no hosts'.  A last label of
 * digits alone would look like an address. */
static bool host_ok(const char *s)
{
	bool digits = true;

	for (;;) {
		size_t n = strcspn(s, ".");

		if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
			return false;
		digits = true;
		for (size_t i = 0; i < n; i++) {
			if (!is_one_of((char)tolower((unsigned char)s[i]), "-_"))
				return false;
			digits = digits && isdigit((unsigned char)s[i]);
		}
		if (s[n] == '\0')
			return !digits;
		s += n + 1;
	}
}

/* ... and a template's. */
static bool service_host_ok(const char *s) { return host_ok(strncmp(s, "*.", 2) == 0 ? s + 2 : s); }

/* As the kernel's dev_valid_name(). */
static bool ifname_ok(const char *s)
{
	return is_graphic(s) && !strpbrk(s, "/:") && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static bool user_ok(const char *s)
{
	if (!is_one_of(*s, "_") || isdigit((unsigned char)*s))
		return false;
	while (is_one_of(*s, "_-"))
		s++;
	return *s == '\0';
}

static bool path_ok(const char *s)
{
	if (*s != '/' || !is_printable(s))
		return false;
	while (*s == '/') {
		size_t n = strcspn(++s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && memcmp(s, "..", 2) == 0))
			return false;
		s += n;
	}
	return true;
}

static bool uri_ok(const char *s)
{
	size_t n = 0;

	while (is_one_of(s[n], "+.-"))
		n++;
	return n > 0 && s[0] >= 'a' && strncmp(s + n, "://", 3) == 0 && is_graphic(s);
}

static const char xen_scheme[] = "libxl:";

bool uri_is_xen(const char *uri) { return strncmp(uri, xen_scheme, sizeof(xen_scheme) - 1) == 0; }

static bool hypervisor_ok(const char *s) { return uri_is_xen(s) ? strcmp(s, "libxl:///") == 0 : uri_ok(s); }

static bool domain_ok(const char *s) { return *s && is_printable(s) && !strchr(s, '/'); }

static bool ip_ok(const char *s)
{
	struct ip_addr a;

	return ip_parse(s, &a) == 0;
}

const struct text_kind text_name = { "a name of a-z, 0-9 and inner '-', at most 40", 40, name_ok };
const struct text_kind text_host = { "a host name without a final dot", 253, host_ok };
const struct text_kind text_service_host = { "a host name without a final dot, or \"*.\" and one", 253,
	                                     service_host_ok };
const struct text_kind text_ifname = { "an interface's name, at most 15 characters", MSG_IFNAME_MAX - 1,
	                               ifname_ok };
const struct text_kind text_user = { "a user's or group's name", 32, user_ok };
const struct text_kind text_path = { "an absolute path without \".\", \"..\" or empty parts",
	                             MSG_PATH_MAX - 1, path_ok };
const struct text_kind text_run_dir = {
	"an absolute path without \".\", \"..\" or empty parts, at most 64 bytes", 64, path_ok
};
const struct text_kind text_uri = { "a libvirt URI such as \"qemu:///system\", or \"libxl:///\"", MSG_PATH_MAX - 1,
	                            hypervisor_ok };
const struct text_kind text_domain = { "a domain's name or UUID, at most 127 bytes", MSG_NAME_MAX * 2 - 1,
	                               domain_ok };
const struct text_kind text_cmdline = { "a text of at most 2047 bytes on one line", MSG_CMDLINE_MAX - 1,
	                                is_printable };
static bool url_ok(const char *s)
{
	size_t n = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;

	if (n == 0 || !s[n] || strchr("/:?#", s[n]))
		return false;
	for (const char *p = s; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return false;
	}
	return true;
}

const struct text_kind text_url = { "a URL that begins with \"http://\" or \"https://\"", MSG_PATH_MAX - 1, url_ok };

static bool secret_ok(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefABCDEF");

	return n == 32 && s[n] == '\0';
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int base64_parse(const char *text, uint8_t *out, size_t room)
{
	size_t length = strlen(text), n = 0, digits = length;

	while (digits > 0 && length - digits < 2 && text[digits - 1] == '=')
		digits--;
	if (length == 0 || length % 4 != 0 || digits % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		if (base64_digit(text[i]) < 0)
			return -EINVAL;
	if (digits * 3 / 4 > room)
		return -ERANGE;
	for (size_t i = 0; i < digits; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (i + k < digits ? (uint32_t)base64_digit(text[i + k]) : 0);
		for (size_t k = 0; k + 1 < MIN(digits - i, (size_t)4); k++)
			out[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (int)n;
}

static bool tsig_secret_ok(const char *s)
{
	uint8_t secret[MSG_TSIG_SECRET_MAX];
	int n = base64_parse(s, secret, sizeof(secret));

	explicit_bzero(secret, sizeof(secret));
	return n >= TSIG_SECRET_MIN;
}

const struct text_kind text_tsig_secret = { "Base64 of 16 to 128 bytes", (MSG_TSIG_SECRET_MAX + 2) / 3 * 4,
	                                    tsig_secret_ok };
const struct text_kind text_nsid = { "a text of at most 63 bytes on one line", MSG_NAME_MAX - 1, is_printable };
const struct text_kind text_secret = { "32 hex digits", 32, secret_ok };
const struct text_kind text_ip = { "an IP address", ADDR_TEXT_MAX - 1, ip_ok };

bool text_ok(const struct text_kind *kind, const char *s)
{
	size_t n = strlen(s);

	return n <= kind->max && (n > 0 || kind == &text_cmdline) && kind->ok(s);
}

/* ---- command lines ---- */

const char *const cmdline_names[] = { "ip", "prefix", "gw", "mac", "name", "boot", "ip6", "label", NULL };

enum { CMDLINE_NAMES = ARRAY_SIZE(cmdline_names) - 1 };

/* What stands between braces. */
static int check_placeholder(const char *name, size_t n, struct err *e)
{
	char word[NEAREST_WORD_MAX + 1] = "";
	struct nearest near = { .word = word };

	for (size_t i = 0; i < CMDLINE_NAMES; i++) {
		if (strlen(cmdline_names[i]) == n && memcmp(cmdline_names[i], name, n) == 0)
			return 0;
	}
	memcpy(word, name, MIN(n, (size_t)NEAREST_WORD_MAX));
	for (size_t i = 0; i < CMDLINE_NAMES; i++)
		nearest_try(&near, cmdline_names[i]);
	if (near.name)
		return err_set(e, -EINVAL, "unknown placeholder {%s}, did you mean {%s}?", word, near.name);
	return err_set(e, -EINVAL,
	               "unknown placeholder {%s}: there are {ip}, {prefix}, {gw}, {mac}, {name}, {boot}, "
	               "{ip6}, {label}, and {{ "
	               "for a brace",
	               word);
}

/* The next placeholder from *p on, or NULL; n is its length, and *p then stands behind it.  One that is
 * not closed reaches to the next brace or the end. */
static const char *next_placeholder(const char **p, size_t *n)
{
	const char *open = *p;

	while ((open = strchr(open, '{')) && open[1] == '{')
		open += 2;
	if (!open)
		return NULL;
	open++;
	*n = strcspn(open, "{}");
	*p = open + *n;
	return open;
}

int cmdline_check(const char *text, struct err *e)
{
	const char *name;
	size_t n;
	int r;

	while ((name = next_placeholder(&text, &n))) {
		if (*text != '}')
			return err_set(e, -EINVAL,
			               "'{' begins a placeholder, but no '}' ends it; write {{ for a brace");
		r = check_placeholder(name, n, e);
		if (r < 0)
			return r;
	}
	return 0;
}

bool cmdline_uses(const char *text, const char *wanted)
{
	const char *name;
	size_t n;

	while ((name = next_placeholder(&text, &n))) {
		if (strlen(wanted) == n && memcmp(name, wanted, n) == 0)
			return true;
	}
	return false;
}

bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}
