#include "cmd/client.h"

#include <sys/socket.h>
#include <sys/un.h>

enum { VERSION = 1, CHUNK = 64 * 1024, LINE_LIMIT = 8 * 1024 * 1024 };

struct client {
	int fd;
	int64_t id;
	struct buf in;
	size_t taken; /* of `in`: lines that were given out */
	struct json *doc; /* the last reply */
	char *decoded;
};

/* ---- connecting ---- */

static int explain(const char *path, int error, struct err *e)
{
	switch (error) {
	case -ENOENT:
		return err_set(e, error,
			       "there is no socket %s: jitsud does not run, or uses another run_dir (then "
			       "name its socket with -S)",
			       path);
	case -ECONNREFUSED:
		return err_set(e, error,
			       "nobody listens at %s: jitsud does not run; start it (systemctl start jitsud)",
			       path);
	case -EACCES:
		return err_set(e, error,
			       "you may not use %s: you are not in group jitsu; have root add you "
			       "(usermod -aG jitsu NAME) and log in again, or ask as root",
			       path);
	default: return err_set_errno(e, error, "cannot connect to %s", path);
	}
}

int client_open(const char *path, struct client **out, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct client *c;

	if (!str_copy(sa.sun_path, path))
		return err_set(e, -ENAMETOOLONG, "%s: a socket's path is at most %zu bytes long", path,
			       sizeof(sa.sun_path) - 1);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->in.limit = LINE_LIMIT;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int error = -errno;

		client_close(c);
		return explain(path, error, e);
	}
	*out = c;
	return 0;
}

static void drop_reply(struct client *c)
{
	json_free(c->doc);
	free(c->decoded);
	c->doc = NULL;
	c->decoded = NULL;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	drop_reply(c);
	fd_close(&c->fd);
	buf_free(&c->in);
	free(c);
}

/* ---- asking ---- */

static void put_dnssec(struct json_writer *w, const struct client_request *q)
{
	if (q->zone)
		json_put_string(w, "zone", q->zone);
	if (q->algorithm)
		json_put_string(w, "algorithm", q->algorithm);
	if (q->ds_ttl_s >= 0)
		json_put_integer(w, "ds_ttl_s", q->ds_ttl_s);
	if (q->force)
		json_put_bool(w, "force", true);
	if (q->ds_gone)
		json_put_bool(w, "ds_gone", true);
}

static void put_edit(struct json_writer *w, const struct client_request *q)
{
	if (q->to)
		json_put_string(w, "to", q->to);
	if (q->revision >= 0)
		json_put_integer(w, "revision", q->revision);
	if (q->dry_run)
		json_put_bool(w, "dry_run", true);
	if (q->more)
		json_put_bool(w, "more", true);
	if (q->exact)
		json_put_bool(w, "exact", true);
	if (q->fresh)
		json_put_bool(w, "new", true);
	if (q->record)
		json_put_raw(w, "record", q->record);
}

int client_ask(struct client *c, const struct client_request *q, struct err *e)
{
	cleanup_buf struct buf line = { 0 };
	struct json_writer w = { .out = &line, .first = true };

	c->id++;
	json_open(&w, NULL, '{');
	json_put_integer(&w, "version", VERSION);
	json_put_integer(&w, "id", c->id);
	json_put_string(&w, "do", q->verb);
	if (q->service)
		json_put_string(&w, "service", q->service);
	if (q->n >= 0)
		json_put_integer(&w, "n", q->n);
	if (q->follow)
		json_put_bool(&w, "follow", true);
	put_dnssec(&w, q);
	put_edit(&w, q);
	json_close(&w, '}');
	buf_adds(&line, "\n");
	if (line.error)
		return err_set_errno(e, line.error, "cannot write the request");
	for (size_t at = 0; at < line.n;) {
		ssize_t n = send(c->fd, line.text + at, line.n - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			break; /* refused: the reason is there to be read */
		if (n < 0 && errno != EINTR)
			return err_set_errno(e, -errno, "cannot send the request");
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ---- replies ---- */

static int read_more(struct client *c, struct err *e)
{
	char chunk[CHUNK];
	ssize_t n;

	if (c->taken > 0) { /* only what is still to come is kept */
		memmove(c->in.text, c->in.text + c->taken, c->in.n - c->taken + 1);
		c->in.n -= c->taken;
		c->taken = 0;
	}
	do {
		n = recv(c->fd, chunk, sizeof(chunk), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(e, -errno, "cannot read the answer");
	if (n == 0)
		return err_set(e, -ECONNRESET,
			       "jitsud closed the connection before the answer was complete; try again");
	buf_add(&c->in, chunk, (size_t)n);
	if (c->in.error)
		return err_set_errno(e, c->in.error, "the answer is too long");
	return 0;
}

/* The next whole line: borrowed, without its newline. */
static int next_line(struct client *c, const char **line, size_t *length, struct err *e)
{
	size_t seen = c->taken;

	for (;;) {
		const char *end = c->in.n > seen ? memchr(c->in.text + seen, '\n', c->in.n - seen) : NULL;
		int r;

		if (end) {
			*line = c->in.text + c->taken;
			*length = (size_t)(end - *line);
			c->taken += *length + 1;
			return 0;
		}
		seen = c->in.n - c->taken;
		r = read_more(c, e);
		if (r < 0)
			return r;
	}
}

static const struct json_node *member(const struct json_node *object, const char *key, enum json_type type)
{
	const struct json_node *v = object && json_type(object) == JSON_OBJECT ? json_get(object, key) : NULL;

	return v && json_type(v) == type ? v : NULL;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 4648, section 4.  The bytes decoded, up to the first that is no digit. */
static size_t base64_decode(const char *in, char *out)
{
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t n = 0;
	int d;

	for (; (d = base64_digit(*in)) >= 0; in++) {
		bits = bits << 6 | (uint32_t)d;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		out[n++] = (char)(bits >> n_bits);
	}
	return n;
}

static int take_data(struct client *c, const struct json_node *root, struct client_reply *out, struct err *e)
{
	const struct json_node *text = member(root, "data", JSON_STRING),
			       *coded = member(root, "base64", JSON_STRING);

	out->kind = REPLY_DATA;
	if (text) {
		out->data = json_string(text);
		out->n = strlen(out->data);
		return 0;
	}
	out->base64 = json_string(coded);
	c->decoded = malloc(strlen(out->base64) + 1);
	if (!c->decoded)
		return err_set(e, -ENOMEM, "out of memory");
	out->data = c->decoded;
	out->n = base64_decode(out->base64, c->decoded);
	return 0;
}

static int take_error(const struct json_node *error, struct err *e)
{
	const struct json_node *text = member(error, "text", JSON_STRING),
			       *code = member(error, "code", JSON_STRING);

	if (code && strcmp(json_string(code), "EPROTONOSUPPORT") == 0)
		return err_set(e, -EPROTONOSUPPORT, "%.300s; install jitsuctl and jitsud of the same release",
			       text ? json_string(text) : "another version of the protocol");
	if (code && strcmp(json_string(code), "EACCES") == 0)
		return err_set(e, -EACCES,
			       "%.300s; have root add you to it (usermod -aG jitsu NAME, jitsu-admin to "
			       "change things) "
			       "and log in again, or ask as root",
			       text ? json_string(text) : "this is not for you");
	return err_set(e, -EREMOTEIO, "%s", text ? json_string(text) : "jitsud refused, without a reason");
}

/* Whether this reply belongs to the last request: by its id, or because the server could not tell
 * whose it is. */
static bool is_ours(const struct client *c, const struct json_node *root)
{
	const struct json_node *id = member(root, "id", JSON_NUMBER);
	int64_t number;

	if (!id)
		return member(root, "id", JSON_NULL) != NULL;
	return json_integer(id, &number) == 0 && number == c->id;
}

static int take_reply(struct client *c, const struct json_node *root, struct client_reply *out, struct err *e)
{
	const struct json_node *row = member(root, "row", JSON_OBJECT),
			       *error = member(root, "error", JSON_OBJECT);

	*out = (struct client_reply){ .kind = REPLY_END };
	if (error)
		return take_error(error, e);
	if (member(root, "data", JSON_STRING) || member(root, "base64", JSON_STRING))
		return take_data(c, root, out, e);
	if (row)
		*out = (struct client_reply){ .kind = REPLY_ROW, .row = row };
	else if (!member(root, "end", JSON_BOOL))
		return err_set(
			e, -EBADMSG,
			"jitsud's answer is none that this jitsuctl knows; install both of the same release");
	return 0;
}

int client_next(struct client *c, struct client_reply *out, struct err *e)
{
	for (;;) {
		struct json_place at;
		struct err why;
		const char *line = NULL;
		size_t length = 0;
		int r;

		drop_reply(c);
		r = next_line(c, &line, &length, e);
		if (r < 0)
			return r;
		c->doc = json_parse(line, length, &at, &why);
		if (!c->doc)
			return err_set(
				e, -EBADMSG,
				"the answer is no valid JSON (%.200s): is another program at this socket?",
				why.text);
		if (is_ours(c, json_root(c->doc)))
			return take_reply(c, json_root(c->doc), out, e);
	}
}
