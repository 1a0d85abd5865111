/* Small things every file needs: cleanup attributes, array sizes, min and max.
 *
 * The cleanup attributes end a local's life on every path out of its scope:
 *
 *     cleanup_free char *text = NULL;
 *     cleanup_close int fd = -1;
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

static inline void util_free(void *p) { free(*(void **)p); }

static inline void util_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Closes once and forgets: safe to call twice.  Keeps errno. */
static inline void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

#define cleanup_free __attribute__((cleanup(util_free)))
#define cleanup_close __attribute__((cleanup(fd_close)))
#define cleanup_fclose __attribute__((cleanup(util_fclose)))

/* Copies `from` into a fixed array, always ending it with a NUL.  False when it
 * had to be cut; callers that take foreign text must look. */
#define str_copy(to, from) str_copy_n((to), sizeof(to), (from))
static inline bool str_copy_n(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);
	bool whole = n < size;

	if (!whole)
		n = size - 1;
	memmove(to, from, n);
	to[n] = '\0';
	return whole;
}

#endif
