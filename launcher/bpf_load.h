/* BPF programs that are compiled with jitsu and lie in its executable. */
#ifndef LAUNCHER_BPF_LOAD_H
#define LAUNCHER_BPF_LOAD_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"

/* Puts the object file `path` into this source as `symbol` .. `symbol`_end. */
#define BPF_OBJECT(symbol, path)                    \
	extern const uint8_t symbol[], symbol##_end[]; \
	__asm__(".section .rodata\n"                   \
		".balign 8\n" #symbol ": .incbin \"" path "\"\n" #symbol "_end:\n" \
		".previous\n")

/* Has the kernel take the programs and maps of such an object.  The object (to be closed with
 * bpf_object__close()), or NULL with errno. */
struct bpf_object *bpf_load(const char *name, const uint8_t *begin, const uint8_t *end);

/* The descriptors of its parts, which must be there; they live as long as the object. */
int bpf_load_map(struct bpf_object *o, const char *name);
int bpf_load_program(struct bpf_object *o, const char *name);

#endif
