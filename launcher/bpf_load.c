#include "launcher/bpf_load.h"

#include <assert.h>
#include <stdarg.h>

#include "base/log.h"

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line); /* what matters comes back as an error, and is told there */
	return 0;
}

struct bpf_object *bpf_load(const char *name, const uint8_t *begin, const uint8_t *end)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);
	struct bpf_object *o;
	int r;

	libbpf_set_print(print_libbpf);
	o = bpf_object__open_mem(begin, (size_t)(end - begin), &opts);
	if (!o)
		return NULL;
	r = bpf_object__load(o);
	if (r == 0)
		return o;
	bpf_object__close(o);
	errno = -r;
	return NULL;
}

int bpf_load_map(struct bpf_object *o, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(o, name);

	assert(fd >= 0);
	return fd;
}

int bpf_load_program(struct bpf_object *o, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(o, name);

	assert(p);
	return bpf_program__fd(p);
}
