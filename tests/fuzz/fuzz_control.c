/* The control protocol.  The first byte chooses the direction:
 *
 *     even  the rest is a client's line: parsed; its id, whatever it was, makes a valid answer
 *     odd   the rest is a launcher's row (or, at 3 of 8, console data, at 7 of 8, an event) as it comes
 *           through ipc: the line it becomes is valid JSON and carries the id
 */
#include <assert.h>

#include "base/ipc.h"
#include "base/json.h"
#include "control/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* One line, one object, with an "id". */
static void check_line(const struct buf *out)
{
	struct json_place at;
	struct err e;
	struct json *doc;

	assert(out->error == 0 && out->n > 0 && out->text[out->n - 1] == '\n');
	assert(memchr(out->text, '\n', out->n) == out->text + out->n - 1);
	doc = json_parse(out->text, out->n, &at, &e);
	assert(doc && json_type(json_root(doc)) == JSON_OBJECT && json_get(json_root(doc), "id"));
	json_free(doc);
}

static void fuzz_request(const char *line, size_t n)
{
	cleanup_buf struct buf out = { 0 };
	struct protocol_request p;
	struct err e = { 0 };
	int r = protocol_parse(line, n, &p, &e);

	assert(r <= 0 && memchr(p.id, '\0', sizeof(p.id)));
	if (r < 0) {
		assert(e.code == r && e.text[0]);
		protocol_error(p.id, r, e.text, &out);
	} else {
		assert(p.msg.verb < CTL_VERB_N && p.msg.n <= PROTOCOL_N_MAX);
		assert(memchr(p.msg.service, '\0', sizeof(p.msg.service)));
		assert(p.cancel == (p.of[0] != '\0') && !(p.cancel && p.watch));
		protocol_end(p.id, &out);
	}
	check_line(&out);
}

static void add_event(const struct msg_ctl_event *m, struct buf *out)
{
	cleanup_buf struct buf text = { 0 };

	protocol_event(m, &text);
	assert(text.error == 0);
	protocol_event_line("7", text.text, out);
}

static void fuzz_answer(enum msg_type type, const uint8_t *data, size_t n)
{
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];
	cleanup_buf struct buf out = { 0 };

	if (codec_decode(msg_codec(type), data, n, body) < 0)
		return;
	if (type == MSG_CTL_EVENT)
		add_event((const struct msg_ctl_event *)body, &out);
	else if (type == MSG_CTL_ROW)
		protocol_row("7", (const struct msg_ctl_row *)body, &out);
	else
		protocol_data("\"seven\"", (const struct msg_ctl_data *)body, &out);
	check_line(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	if (data[0] % 2 == 0)
		fuzz_request((const char *)data + 1, n - 1);
	else
		fuzz_answer(data[0] % 8 == 7 ? MSG_CTL_EVENT : data[0] % 4 == 3 ? MSG_CTL_DATA : MSG_CTL_ROW, data + 1, n - 1);
	return 0;
}
