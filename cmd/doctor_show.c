#include "cmd/doctor_show.h"

#include "base/json.h"
#include "cmd/doctor.h"

enum { INDENT = 20 };

struct show {
	const struct term *term;
	struct buf *out;
};

static void say_json(void *arg, const char *check, enum doctor_grade grade, const char *finding, const char *cure)
{
	struct show *s = arg;
	struct json_writer w = { .out = s->out, .first = true };

	json_open(&w, NULL, '{');
	json_put_string(&w, "check", check);
	json_put_string(&w, "grade", doctor_grade_name(grade));
	json_put_string(&w, "finding", finding);
	if (*cure)
		json_put_string(&w, "cure", cure);
	json_close(&w, '}');
	buf_adds(s->out, "\n");
}

static void say(void *arg, const char *check, enum doctor_grade grade, const char *finding, const char *cure)
{
	static const enum color colors[] = {
		[DOCTOR_GOOD] = COLOR_GREEN, [DOCTOR_NOTE] = COLOR_YELLOW, [DOCTOR_BAD] = COLOR_RED,
	};
	struct show *s = arg;

	color_on(s->term, colors[grade], s->out);
	buf_addf(s->out, "%-5s", doctor_grade_name(grade));
	color_off(s->term, colors[grade], s->out);
	buf_addf(s->out, " %-13s ", check);
	text_wrap(s->term, finding, INDENT, INDENT, s->out);
	if (!*cure)
		return;
	buf_addf(s->out, "%*s", INDENT, "");
	text_wrap(s->term, cure, INDENT, INDENT, s->out);
}

unsigned doctor_show(const char *conf_path, const char *socket, const struct term *t, bool json, struct buf *out)
{
	struct show show = { t, out };
	struct doctor d = { .root = "", .conf_path = conf_path, .say = json ? say_json : say, .arg = &show };

	doctor_run(&d);
	doctor_check_services(&d, socket);
	return d.n_bad;
}
