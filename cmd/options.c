#include <getopt.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "cmd/client.h"
#include "cmd/options.h"

enum { N_MAX = 1000 };

enum { LONG_JSON = 256, LONG_NO_COLOR, LONG_RAW, LONG_ALGORITHM, LONG_DS_TTL, LONG_FORCE, LONG_DS_GONE, LONG_VERSION };

static const struct option long_options[] = {
	{ "socket", 1, NULL, 'S' },     { "follow", 0, NULL, 'f' },
	{ "json", 0, NULL, LONG_JSON }, { "no-color", 0, NULL, LONG_NO_COLOR },
	{ "raw", 0, NULL, LONG_RAW },   { "version", 0, NULL, LONG_VERSION },
	{ "algorithm", 1, NULL, LONG_ALGORITHM }, { "ds-ttl", 1, NULL, LONG_DS_TTL },
	{ "force", 0, NULL, LONG_FORCE }, { "yes-ds-is-gone", 0, NULL, LONG_DS_GONE },
	{ "help", 0, NULL, 'h' },       { 0 },
};

static int parse_n(const char *text, int64_t *out, struct err *e)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 1 || n > N_MAX)
		return err_set(e, -EINVAL, "-n: expected 1..%d, got \"%.40s\"", N_MAX, text);
	*out = n;
	return 0;
}

/* An option that getopt does not know, in a sentence; a long one with the nearest that it knows. */
static int unknown_option(char **argv, struct err *e)
{
	const char *arg = argv[optind - 1];
	struct nearest near = { 0 };

	if (optopt != 0 && optopt < LONG_JSON && strncmp(arg, "--", 2) != 0)
		return err_set(e, -EINVAL, "there is no option -%c", optopt);
	near.word = arg + strspn(arg, "-");
	for (const struct option *o = long_options; o->name; o++)
		nearest_try(&near, o->name);
	record_nearest(&near);
	if (near.name && strcmp(near.name, near.word) != 0)
		return err_set(e, -EINVAL, "there is no option %.60s; did you mean --%s?", arg, near.name);
	return err_set(e, -EINVAL, "there is no option %.60s", arg);
}

const char *options_socket_default(void)
{
	const char *env = getenv("JITSU_SOCKET");

	return env && *env ? env : CLIENT_SOCKET_DEFAULT;
}

int options_parse(int argc, char **argv, struct options *o, struct err *e)
{
	int c;

	o->socket = options_socket_default();
	o->n = o->dnssec.ds_ttl_s = -1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":S:n:fh", long_options, NULL)) != -1) {
		switch (c) {
		case 'S': o->socket = optarg; break;
		case 'f': o->follow = true; break;
		case 'h': o->help = true; break;
		case LONG_JSON: o->json = true; break;
		case LONG_NO_COLOR: o->no_color = true; break;
		case LONG_RAW: o->raw = true; break;
		case LONG_VERSION: o->version = true; break;
		case LONG_ALGORITHM: o->dnssec.algorithm = optarg; break;
		case LONG_FORCE: o->dnssec.force = true; break;
		case LONG_DS_GONE: o->dnssec.ds_gone = true; break;
		case LONG_DS_TTL:
			if (dnssec_parse_ds_ttl(optarg, &o->dnssec.ds_ttl_s, e) < 0)
				return e->code;
			break;
		case 'n':
			if (parse_n(optarg, &o->n, e) < 0)
				return e->code;
			break;
		case ':': return err_set(e, -EINVAL, "%.60s needs a value", argv[optind - 1]);
		default: return unknown_option(argv, e);
		}
	}
	return 0;
}

bool options_of_dnssec(const struct options *o)
{
	return o->dnssec.algorithm || o->dnssec.ds_ttl_s >= 0 || o->dnssec.force || o->dnssec.ds_gone;
}
