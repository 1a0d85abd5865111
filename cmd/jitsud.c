/* jitsud: the daemon's command line.  With --role it becomes one of the processes that the
 * supervisor starts; else it checks or prints the configuration, or becomes the supervisor. */
#include <getopt.h>
#include <limits.h>

#include "base/child.h"
#include "base/log.h"
#include "base/version.h"
#include "cmd/check_zones.h"
#include "cmd/supervisor.h"
#include "config/load.h"
#include "control/main.h"
#include "dns/main.h"
#include "launcher/main.h"
#include "synproxy/main.h"

#define DEFAULT_CONF "/etc/jitsu/jitsud.json"

static const char usage[] =
	"usage: jitsud [-c FILE]               run; default: " DEFAULT_CONF "\n"
	"       jitsud --check-config [FILE]   list its mistakes; exit status 1 if any\n"
	"       jitsud --print-config [FILE]   print it with all defaults\n"
	"       jitsud --version | --help\n";

static int (*const role_mains[ROLE_N])(const struct child_args *) = {
	[ROLE_LAUNCHER] = launcher_main,
	[ROLE_DNS] = dns_main,
	[ROLE_SYNPROXY] = synproxy_main,
	[ROLE_CONTROL] = control_main,
};

static int run_role(int argc, char **argv)
{
	struct child_args args;

	if (!child_args_parse(argc, argv, &args) || !role_mains[args.role])
		return 2;
	return role_mains[args.role](&args);
}

/* The records, or NULL with every mistake on stderr. */
static struct conf *load(const char *path)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct conf *conf = conf_load(path, &mistakes);

	if (!conf)
		fputs(mistakes.text ? mistakes.text : "out of memory\n", stderr);
	return conf;
}

static int check_config(const char *path)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct conf *conf = load(path);
	int error;

	if (!conf)
		return 1;
	error = conf_check_programs(path, conf, &mistakes);
	if (check_zones(conf, &mistakes) < 0)
		error = -EINVAL;
	conf_free(conf);
	if (error < 0) {
		fputs(mistakes.text ? mistakes.text : "out of memory\n", stderr);
		return 1;
	}
	printf("%s: no mistakes\n", path);
	return 0;
}

static int print_config(const char *path)
{
	cleanup_buf struct buf text = { 0 };
	struct conf *conf = load(path);

	if (!conf)
		return 1;
	conf_hide_secrets(conf);
	conf_print(conf, &text);
	conf_free(conf);
	fputs(text.text, stdout);
	return 0;
}

static int run(const char *path)
{
	char absolute[PATH_MAX];
	enum log_level level = LOG_INFO;
	struct conf *conf;
	int status;

	if (geteuid() != 0) {
		fprintf(stderr, "jitsud: run it as root: it makes network devices and starts VMs; what reads from "
				"the network gives all privileges up\n");
		return 1;
	}
	conf = load(path);
	if (!conf || !realpath(path, absolute))
		return 1;
	log_level_parse(conf->log_level, &level);
	log_init("jitsud", level);
	log_info("version %s, configuration %s, %zu services", JITSU_VERSION, absolute, conf->services.n);
	status = supervisor_run(conf, absolute);
	conf_free(conf);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", 1, NULL, 'c' },	  { "check-config", 2, NULL, 'k' }, { "print-config", 2, NULL, 'p' },
		{ "version", 0, NULL, 'V' },	  { "help", 0, NULL, 'h' },	    { 0 },
	};
	const char *conf_path = DEFAULT_CONF;
	int (*action)(const char *) = run;
	int c;

	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return run_role(argc, argv);
	while ((c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (c) {
		case 'c': conf_path = optarg; break;
		case 'k':
		case 'p':
			action = c == 'k' ? check_config : print_config;
			if (optarg)
				conf_path = optarg;
			break;
		case 'V': printf("jitsud %s\n", JITSU_VERSION); return 0;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (optind < argc && action != run)
		conf_path = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "jitsud: unexpected argument \"%s\"\n", argv[optind]);
		fputs(usage, stderr);
		return 2;
	}
	return action(conf_path);
}
