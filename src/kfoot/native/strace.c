/*
 * A line of strace text in one of its plain forms. What is accepted here is accepted by `whole` or
 * `begun` of strace_line.py with the same parts; not the other way round: a line that is refused
 * is Python's to read.
 */
#include "strace.h"

static inline bool digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

static inline bool word(uint8_t c)
{
	return digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ends_with(const uint8_t *from, const uint8_t *end, const char *text, size_t n)
{
	return (size_t)(end - from) >= n && !memcmp(end - n, text, n);
}

static inline bool starts_with(const uint8_t *p, const uint8_t *end, const char *text, size_t n)
{
	return (size_t)(end - p) >= n && !memcmp(p, text, n);
}

/* "1234 " or "[pid 1234] "; absent: NO_PID. False: a pid column in another form. */
static bool pid_column(const uint8_t **at, const uint8_t *end, struct line *line)
{
	const uint8_t *p = *at;
	bool bracket = starts_with(p, end, "[pid ", 5);
	uint32_t pid = 0;
	int n = 0;

	if (bracket)
		for (p += 5; p < end && *p == ' ';)
			p++;
	const uint8_t *first = p;

	while (p < end && n < 8 && digit(*p)) {
		pid = pid * 10 + (*p++ - '0');
		n++;
	}
	if (!bracket && (!n || n > 7 || p == end || *p != ' '))
		goto none;
	if (!n || n > 7 || *first == '0')
		return false;
	if (bracket && (p == end || *p++ != ']'))
		return false;
	if (p == end || *p != ' ')
		return false;
	while (p < end && *p == ' ')
		p++;
	line->pid = (int32_t)pid;
	*at = p;
	return true;
none:
	if (n && n != 8 && !(n == 2 && p < end && *p == ':'))
		return false;
	line->pid = NO_PID;
	return true;
}

/* Whether eight bytes are digits: none is below '0', and adding 6 to none leaves its half. */
static inline bool eight_digits(const uint8_t *p)
{
	const uint64_t halves = 0xF0F0F0F0F0F0F0F0u, zeros = 0x3030303030303030u;
	uint64_t word;

	memcpy(&word, p, 8);
	return (word & halves) == zeros && ((word + 0x0606060606060606u) & halves) == zeros;
}

/* "1717171717.123456 " or "12:34:56.789 " */
static bool time_column(const uint8_t **at, const uint8_t *end, struct line *line)
{
	const uint8_t *p = *at;
	size_t n = 0;

	line->at = p;
	line->at_length = 0;
	if (p == end || !digit(*p))
		return true;
	/* As -ttt writes it today. */
	if (end - p > 17 && p[10] == '.' && p[17] == ' ' && eight_digits(p) && digit(p[8]) &&
	    digit(p[9]) && digit(p[11]) && digit(p[12]) && digit(p[13]) && digit(p[14]) &&
	    digit(p[15]) && digit(p[16])) {
		line->at_length = 17;
		*at = p + 18;
		return true;
	}
	if (end - p > 8 && p[2] == ':' && p[5] == ':') {
		static const uint8_t places[] = {0, 1, 3, 4, 6, 7};

		for (size_t i = 0; i < sizeof places; i++)
			if (!digit(p[places[i]]))
				return false;
		p += 8;
	} else {
		for (; p < end && digit(*p); p++)
			n++;
		if (n < 8 || n > 11)
			return false;
	}
	if (p < end && *p == '.') {
		const uint8_t *fraction = ++p;

		while (p < end && digit(*p))
			p++;
		if (p == fraction || p - fraction > 9)
			return false;
	}
	if (p == end || *p != ' ')
		return false;
	line->at_length = (uint32_t)(p - line->at);
	*at = p + 1;
	return true;
}

/* " <0.000123>" at the end, if there is one; the end before it. */
static const uint8_t *spent(const uint8_t *from, const uint8_t *end, struct line *line)
{
	const uint8_t *p = end - 1, *dot;
	uint64_t whole = 0, part = 0;

	line->timed = false;
	line->ns = 0;
	if (p <= from || *p != '>')
		return end;
	while (p > from && digit(p[-1]))
		p--;
	if (p == from || p == end - 1 || p[-1] != '.')
		return end;
	dot = p - 1;
	p = dot;
	while (p > from && digit(p[-1]))
		p--;
	if (p == dot || p - from < 2 || p[-1] != '<' || p[-2] != ' ')
		return end;
	if (dot - p > 9 || end - 1 - (dot + 1) > 9)
		return NULL;
	static const uint32_t scales[] = {
		1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1,
	};

	for (const uint8_t *q = p; q < dot; q++)
		whole = whole * 10 + (*q - '0');
	for (const uint8_t *q = dot + 1; q < end - 1; q++)
		part = part * 10 + (*q - '0');
	part *= scales[end - 1 - (dot + 1)];
	line->ns = whole * 1000000000u + part;
	line->timed = true;
	return p - 2;
}

/* ") = -1 EBUSY (Device or resource busy)", ") = 3</path>", ") = 0x8000 (flags O_RDONLY)" */
static bool result(const uint8_t *from, const uint8_t *end, struct line *line)
{
	line->error = line->error_end = end;
	if (end > from && end[-1] == ')') {
		const uint8_t *p = end - 1, *text, *text_end = end - 1;

		while (p > from && p[-1] != '(' && p[-1] != ')' && p[-1] != '<' && p[-1] != '>')
			p--;
		if (p - from < 3 || p[-1] != '(' || p[-2] != ' ')
			return false;
		text = p;
		end = p - 2;
		for (p = end; p > from && (word(p[-1]) && !(p[-1] >= 'a' && p[-1] <= 'z'));)
			p--;
		if (end - p >= 2 && *p == 'E' && p - from >= 1 && p[-1] == ' ') {
			line->error = p;
			line->error_end = end;
			end = p - 1;
		} else if (starts_with(text, text_end, "errno", 5)) {
			return false;
		}
	}
	line->result_end = end;
	const uint8_t *p = end;

	if (p > from && p[-1] == '>') {
		for (p--; p > from && p[-1] != '<' && p[-1] != '>';)
			p--;
		if (p == from || p[-1] != '<')
			return false;
		p--;
	}
	const uint8_t *number_end = p;

	if (p > from && p[-1] == '?') {
		p--;
	} else {
		while (p > from && (digit(p[-1]) || (p[-1] >= 'a' && p[-1] <= 'f') || p[-1] == 'x'))
			p--;
		if (p == number_end)
			return false;
		bool hex = number_end - p > 2 && p[0] == '0' && p[1] == 'x';

		if (number_end - p > (hex ? 18 : 20))
			return false;
		for (const uint8_t *q = hex ? p + 2 : p; q < number_end; q++)
			if (!digit(*q) && (!hex || *q == 'x'))
				return false;
		if (!hex && p > from && p[-1] == '-')
			p--;
	}
	line->result = p;
	line->number_end = number_end;
	if (p - from < 4 || p[-1] != ' ' || p[-2] != '=' || p[-3] != ' ')
		return false;
	for (p -= 3; p > from && p[-1] == ' ';)
		p--;
	if (p == from || p[-1] != ')')
		return false;
	line->args_end = p - 1;
	return true;
}

bool strace_line(const uint8_t *p, const uint8_t *end, bool with_time, struct line *line)
{
	static const char unfinished[] = " <unfinished ...>";

	line->pid = UNTOLD;
	if (p == end || end[-1] == '\r')
		return false;
	if (!pid_column(&p, end, line) || !time_column(&p, end, line))
		return false;
	if (line->at_length && !with_time)
		return false;
	if (end - p > 8 && starts_with(p, end, "--- ", 4) && ends_with(p, end, " ---", 4)) {
		line->form = SIGNAL;
		return true;
	}
	bool resumed = starts_with(p, end, "<... ", 5);

	if (resumed)
		p += 5;
	line->name = p;
	if (p == end || digit(*p))
		return false;
	while (p < end && word(*p))
		p++;
	line->name_length = (uint32_t)(p - line->name);
	if (!line->name_length)
		return false;
	if (resumed) {
		if (end - p < 9 || memcmp(p, " resumed>", 9))
			return false;
		p += 9;
	} else if (p == end || *p++ != '(') {
		return false;
	}
	line->args = p;
	if (ends_with(p, end, unfinished, sizeof unfinished - 1)) {
		line->form = BEGUN;
		line->args_end = end - (sizeof unfinished - 1);
		return !resumed;
	}
	line->form = resumed ? RESUMED : CALL;
	const uint8_t *before = spent(p, end, line);

	return before && result(p, before, line);
}

bool strace_head(const uint8_t *p, const uint8_t *end, int32_t *pid, const uint8_t **name,
		 uint32_t *length)
{
	struct line line;

	if (!pid_column(&p, end, &line) || !time_column(&p, end, &line))
		return false;
	*pid = line.pid;
	*name = p;
	if (p == end || digit(*p))
		return false;
	while (p < end && word(*p))
		p++;
	*length = (uint32_t)(p - *name);
	return *length && p < end && *p == '(';
}
