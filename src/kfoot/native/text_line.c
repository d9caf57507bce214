/*
 * What a line of ftrace text is, is told in ftrace_text.py: this file and the regular expressions
 * there accept the same bytes (tests/test_native.py tries).
 *
 * No class of characters below holds a newline, so every loop over characters ends at the end of
 * its line without asking for the piece's end.
 */
#include "text_line.h"

uint8_t text_class[256];

static void __attribute__((constructor)) make_classes(void)
{
	for (int c = 0; c < 256; c++) {
		bool digit = c >= '0' && c <= '9', low = c >= 'a' && c <= 'z';
		bool hex = digit || (c >= 'a' && c <= 'f');

		text_class[c] = (digit || low || (c >= 'A' && c <= 'Z') || c == '_' || c == '.'
					 ? NAME_CHAR : 0) |
				(c >= '!' && c <= '~' ? GRAPH : 0) | (hex ? HEX : 0) |
				(hex || c == ':' || c == ' ' || c == '\r' ? DUMP : 0);
	}
}

/* "123.456789: " or "123456: " */
static inline bool time_at(const uint8_t **p, struct record *r)
{
	static const uint64_t scale[10] = {0, 100000000, 10000000, 1000000, 100000,
					   10000, 1000, 100, 10, 1};
	const uint8_t *q = *p;
	uint64_t whole, part;
	int n = digits(&q, 19, &whole);

	if (!n)
		return false;
	r->point = NULL;
	if (*q == '.') {
		r->point = q++;
		int m = digits(&q, 9, &part);

		if (n > 10 || !m || *q != ':')
			return false;
		r->ns = whole * 1000000000u + part * scale[m];
	} else if (*q == ':') {
		r->ns = whole;
	} else {
		return false;
	}
	q++;
	if (!spaces(&q))
		return false;
	*p = q;
	return true;
}

const uint8_t *text_head(const uint8_t *p, struct record *r)
{
	uint64_t value;

	p++;
	if (!digits(&p, 9, &value) || !spaces(&p))
		return NULL;
	r->tid = (int32_t)value;
	r->leader = -1;
	if (*p == '(') {
		p++;
		spaces(&p);
		if (digits(&p, 9, &value)) {
			r->leader = (int32_t)value;
		} else {
			if (*p != '-')
				return NULL;
			while (*p == '-')
				p++;
		}
		if (*p++ != ')' || !spaces(&p))
			return NULL;
	}
	return *p == '[' ? p + 1 : NULL;
}

const uint8_t *text_body(const uint8_t *p, struct record *r)
{
	uint64_t cpu;

	if (!digits(&p, 6, &cpu) || *p++ != ']' || !spaces(&p))
		return NULL;
	r->context = UNKNOWN;
	if (!time_at(&p, r)) {
		const uint8_t *flags = p;

		while (p - flags < 9 && text_class[*p] & GRAPH)
			p++;
		if (p - flags < 4 || p - flags > 8 || !spaces(&p) || !time_at(&p, r))
			return NULL;
		r->context = context_of(flags[2]);
	}
	return p;
}

bool text_event(const uint8_t *line, const uint8_t *p, struct record *r)
{
	r->name = p;
	while (text_class[*p] & NAME_CHAR)
		p++;
	r->name_length = p - r->name;
	if (!r->name_length) {
		if (starts(p, "<stack trace")) {
			r->mark = 's';
			p += 12;
		} else if (starts(p, "<user stack trace")) {
			r->mark = 'u';
			p += 17;
		} else {
			return false;
		}
	} else if (r->name_length > 100) {
		return false;
	} else if (*p == ':' || *p == '(') {
		r->mark = *p++;
	} else if (starts(p, " -> ")) {
		r->mark = '>';
		p += 4;
	} else if (starts(p, " <-")) {
		r->mark = '<';
		p += 3;
	} else {
		return false;
	}
	r->behind = p;
	return p - line <= LONGEST;
}

static inline bool record_at(const uint8_t *line, const uint8_t *dash, struct record *r)
{
	const uint8_t *p = text_head(dash, r);

	p = p ? text_body(p, r) : NULL;
	return p && text_event(line, p, r);
}

const uint8_t *text_record(const uint8_t *line, const uint8_t *newline, struct record *r)
{
	size_t length = newline - line;

	if (length > COLUMN && line[COLUMN] == '-' && record_at(line, line + COLUMN, r))
		return line + COLUMN;
	if (length > FURTHEST)
		length = FURTHEST;
	for (size_t at = 0; at < length; at++)
		if (line[at] == '-' && record_at(line, line + at, r))
			return line + at;
	return NULL;
}

static inline bool signed_digits(const uint8_t **p, int most, bool *minus, uint64_t *value)
{
	*minus = **p == '-';
	if (*minus)
		(*p)++;
	return digits(p, most, value) && !is_digit(**p);
}

/* " NR 16 (3, 5401, ..." */
bool text_enter(const uint8_t *p, const uint8_t *stop, int64_t ioctl, struct entered *e)
{
	bool minus;
	uint64_t value;

	spaces(&p);
	if (!starts(p, "NR "))
		return false;
	p += 3;
	if (!signed_digits(&p, 10, &minus, &value) || !starts(p, " ("))
		return false;
	e->nr = minus ? -(int64_t)value : (int64_t)value;
	e->request = -1;
	p += 2;
	int n = 0;

	while (n < 16 && p < stop && text_class[*p] & HEX) {
		p++;
		n++;
	}
	if (!n)
		return false;
	if (e->nr != ioctl || !starts(p, ", "))
		return true;
	p += 2;
	value = 0;
	for (n = 0; n < 16 && p < stop && text_class[*p] & HEX; n++, p++)
		value = value << 4 | (is_digit(*p) ? *p - '0' : *p - 'a' + 10);
	if (n)
		e->request = (int64_t)(value & 0xFFFFFFFF);
	return true;
}

/* " NR 16 = -25" to the end of the line */
bool text_exit(const uint8_t *p, const uint8_t *stop, struct left *l)
{
	bool minus;
	uint64_t value;

	spaces(&p);
	if (!starts(p, "NR "))
		return false;
	p += 3;
	if (!signed_digits(&p, 10, &minus, &value) || !starts(p, " = "))
		return false;
	l->nr = minus ? -(int64_t)value : (int64_t)value;
	p += 3;
	if (p >= stop)
		return false;
	minus = *p == '-';
	if (minus)
		p++;
	int n = 0;

	for (value = 0; n < 19 && p < stop && is_digit(*p); n++)
		value = value * 10 + (*p++ - '0');
	if (!n)
		return false;
	l->ret = minus && value <= MAX_ERRNO ? -(int64_t)value : 0;
	while (p < stop && (*p == ' ' || *p == '\r'))
		p++;
	return p == stop;
}

static bool blank(const uint8_t *p, const uint8_t *stop)
{
	while (p < stop && (*p == ' ' || *p == '\r'))
		p++;
	return p == stop;
}

bool text_trace_cmd_head(const uint8_t *p, const uint8_t *stop)
{
	const uint8_t *from;
	bool empty = false;

	if (starts(p, "cpus="))
		p += 5;
	else if (starts(p, "version = "))
		p += 10;
	else if (starts(p, "CPU ")) {
		p += 4;
		empty = true;
	} else
		return false;
	from = p;
	while (p < stop && is_digit(*p))
		p++;
	if (p == from)
		return false;
	if (empty) {
		if (!starts(p, " is empty"))
			return false;
		p += 9;
	}
	return p <= stop && blank(p, stop);
}
