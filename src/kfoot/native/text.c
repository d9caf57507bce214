/*
 * Lines of ftrace text, counted. What a line is, is told in ftrace_text.py: this file and the
 * regular expressions there accept the same bytes (tests/test_native.py tries).
 *
 * A piece ends with a newline. No class of characters below holds a newline, so every loop over
 * characters ends at the end of its line without asking for the piece's end.
 */
#include "text.h"

enum { TASK, SOFTIRQ, HARDIRQ, NMI, UNKNOWN };
enum { NAME_CHAR = 1, GRAPH = 2, HEX = 4, DUMP = 8 };

const char *const text_life_names[4] = {
	"task_newtask", "task_rename", "sched_process_fork", "sched_process_exec",
};

static uint8_t class_of[256];

static void __attribute__((constructor)) make_classes(void)
{
	for (int c = 0; c < 256; c++) {
		bool digit = c >= '0' && c <= '9', low = c >= 'a' && c <= 'z';
		bool hex = digit || (c >= 'a' && c <= 'f');

		class_of[c] = (digit || low || (c >= 'A' && c <= 'Z') || c == '_' || c == '.'
				       ? NAME_CHAR : 0) |
			      (c >= '!' && c <= '~' ? GRAPH : 0) | (hex ? HEX : 0) |
			      (hex || c == ':' || c == ' ' || c == '\r' ? DUMP : 0);
	}
}

struct record {
	const uint8_t *name, *behind; /* behind the name and its mark */
	size_t name_length;
	uint64_t ns;
	int32_t tid, leader; /* leader -1: not said */
	uint8_t mark;        /* ':' '(' '>' for " -> ", '<' for " <-", 's' and 'u' for stacks */
	uint8_t context;
	bool ticks;
};

static inline bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

/* Up to `most` digits; how many is returned. */
static inline int digits(const uint8_t **p, int most, uint64_t *value)
{
	const uint8_t *q = *p;
	uint64_t v = 0;
	int n = 0;

	while (n < most && is_digit(*q)) {
		v = v * 10 + (*q++ - '0');
		n++;
	}
	*p = q;
	*value = v;
	return n;
}

static inline bool spaces(const uint8_t **p)
{
	const uint8_t *q = *p;

	while (*q == ' ')
		q++;
	bool some = q != *p;

	*p = q;
	return some;
}

static inline bool starts(const uint8_t *p, const char *word)
{
	for (; *word; p++, word++)
		if (*p != (uint8_t)*word)
			return false;
	return true;
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
	if (*q == '.') {
		q++;
		int m = digits(&q, 9, &part);

		if (n > 10 || !m || *q != ':')
			return false;
		r->ns = whole * 1000000000u + part * scale[m];
		r->ticks = false;
	} else if (*q == ':') {
		r->ns = whole;
		r->ticks = true;
	} else {
		return false;
	}
	q++;
	if (!spaces(&q))
		return false;
	*p = q;
	return true;
}

static inline uint8_t context_of(uint8_t flag)
{
	switch (flag) {
	case '.':
		return TASK;
	case 's':
		return SOFTIRQ;
	case 'h':
	case 'H':
		return HARDIRQ;
	case 'z':
	case 'Z':
		return NMI;
	}
	return UNKNOWN;
}

/* The record whose name ends before the dash at `p`; `line` is its line's begin. */
static bool record_at(const uint8_t *line, const uint8_t *p, struct record *r)
{
	uint64_t value;

	p++;
	if (!digits(&p, 9, &value) || !spaces(&p))
		return false;
	r->tid = (int32_t)value;
	r->leader = -1;
	if (*p == '(') {
		p++;
		spaces(&p);
		if (digits(&p, 9, &value)) {
			r->leader = (int32_t)value;
		} else {
			if (*p != '-')
				return false;
			while (*p == '-')
				p++;
		}
		if (*p++ != ')' || !spaces(&p))
			return false;
	}
	if (*p++ != '[' || !digits(&p, 6, &value) || *p++ != ']' || !spaces(&p))
		return false;
	r->context = UNKNOWN;
	if (!time_at(&p, r)) {
		const uint8_t *flags = p;

		while (p - flags < 9 && class_of[*p] & GRAPH)
			p++;
		if (p - flags < 4 || p - flags > 8 || !spaces(&p) || !time_at(&p, r))
			return false;
		r->context = context_of(flags[2]);
	}
	r->name = p;
	while (class_of[*p] & NAME_CHAR)
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

/* The record of a line; its name ends before column 16 or at a dash within the first 64. */
static inline const uint8_t *record_of(const uint8_t *line, const uint8_t *newline,
				       struct record *r)
{
	size_t length = newline - line;

	if (length > 16 && line[16] == '-' && record_at(line, line + 16, r))
		return line + 16;
	if (length > 64)
		length = 64;
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
static bool enter_of(const uint8_t *p, const uint8_t *stop, int64_t ioctl, struct entered *e)
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

	while (n < 16 && p < stop && class_of[*p] & HEX) {
		p++;
		n++;
	}
	if (!n)
		return false;
	if (e->nr != ioctl || !starts(p, ", "))
		return true;
	p += 2;
	value = 0;
	for (n = 0; n < 16 && p < stop && class_of[*p] & HEX; n++, p++)
		value = value << 4 | (is_digit(*p) ? *p - '0' : *p - 'a' + 10);
	if (n)
		e->request = (int64_t)(value & 0xFFFFFFFF);
	return true;
}

/* " NR 16 = -25" to the end of the line */
static bool exit_of(const uint8_t *p, const uint8_t *stop, struct left *l)
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

static bool all_of(const uint8_t *p, const uint8_t *stop, uint8_t class)
{
	while (p < stop && class_of[*p] & class)
		p++;
	return p == stop;
}

static bool blank(const uint8_t *p, const uint8_t *stop)
{
	while (p < stop && (*p == ' ' || *p == '\r'))
		p++;
	return p == stop;
}

/* "cpus=2", "version = 7", "CPU 3 is empty": heads of trace-cmd report */
static bool trace_cmd_head(const uint8_t *p, const uint8_t *stop)
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

/* "CPU:2 [LOST 12 EVENTS]", "CPU:2 [12 EVENTS DROPPED]" */
static bool lost_line(struct text_part *part, const uint8_t *p)
{
	uint64_t cpu, events = 0;
	bool said = false, fresh;

	if (!starts(p, "CPU:"))
		return false;
	p += 4;
	if (!digits(&p, 6, &cpu) || !starts(p, " ["))
		return false;
	p += 2;
	if (starts(p, "LOST "))
		p += 5;
	if (digits(&p, 18, &events)) {
		if (*p++ != ' ')
			return false;
		said = true;
	}
	if (!starts(p, "EVENTS"))
		return false;
	p += 6;
	if (starts(p, " DROPPED"))
		p += 8;
	if (*p != ']')
		return false;
	struct lost key = {.hash = mix(cpu) | 1, .cpu = (int32_t)cpu};
	struct lost *slot = losts_find(&part->losts, &key, &fresh);

	if (!slot) {
		part->out_of_memory = true;
		return true;
	}
	slot->events = add_to(slot->events, events);
	slot->silent += !said;
	return true;
}

static void comment_line(struct text_part *part, const uint8_t *p)
{
	static const char written[] = "# entries-in-buffer/entries-written: ";

	if (starts(p, written)) {
		uint64_t kept, all;

		p += sizeof written - 1;
		if (digits(&p, 18, &kept) && *p++ == '/' && digits(&p, 18, &all) && all > kept)
			part->overrun = add_to(part->overrun, all - kept);
	} else if (starts(p, "# tracer: ") && !part->tracer_length) {
		size_t n = 0;

		for (p += 10; n < 40 && ((class_of[p[n]] & NAME_CHAR && p[n] != '.') || p[n] == '-');)
			n++;
		memcpy(part->tracer, p, n);
		part->tracer_length = n;
	}
}

static void other_line(struct text_part *part, const uint8_t *p, const uint8_t *stop)
{
	if (lost_line(part, p))
		return;
	if (trace_cmd_head(p, stop)) {
		part->trace_cmd = true;
	} else if (part->talker || starts(p, " => ") || all_of(p, stop, DUMP)) {
		part->continued++;
	} else {
		part->unparsed++;
		if (part->samples_used < SAMPLES) {
			struct sample *s = &part->samples[part->samples_used++];

			s->line = part->lines;
			s->length = stop - p < SAMPLE_BYTES ? stop - p : SAMPLE_BYTES;
			memcpy(s->text, p, s->length);
		}
	}
}

static bool is_name(const uint8_t *name, size_t length, const char *word)
{
	return length == strlen(word) && !memcmp(name, word, length);
}

static bool keep_life(struct text_part *part, int32_t tid, int kind, const uint8_t *text,
		      const uint8_t *stop)
{
	if (part->lives_used == part->lives_size) {
		size_t size = part->lives_size ? part->lives_size * 2 : 256;
		struct text_life *lives = realloc(part->lives, size * sizeof *lives);

		if (!lives)
			return false;
		part->lives = lives;
		part->lives_size = size;
	}
	part->lives[part->lives_used++] = (struct text_life){
		.text = text, .length = (uint32_t)(stop - text), .tid = tid, .kind = kind,
	};
	return true;
}

static struct text_name *name_of(struct text_part *part, const uint8_t *text, size_t length)
{
	struct text_name key = {
		.hash = hash_bytes(text, length) | 1, .text = text, .length = (uint32_t)length,
		.number = (uint32_t)part->names.used,
	};
	bool fresh;
	struct text_name *name = text_names_find(&part->names, &key, &fresh);

	if (name && fresh) {
		name->text = arena_copy(&part->texts, text, length);
		if (!name->text || name->number >> 30) {
			name->text = (const uint8_t *)"";
			name->length = 0;
			return NULL;
		}
	}
	return name;
}

static bool keep_key(struct text_part *part, const struct text_name *name, uint64_t key)
{
	if (part->keys_used == part->keys_size) {
		size_t size = part->keys_size ? part->keys_size * 2 : 256;
		struct text_key *keys = realloc(part->keys, size * sizeof *keys);

		if (!keys)
			return false;
		part->keys = keys;
		part->keys_size = size;
	}
	part->keys[part->keys_used++] = (struct text_key){name->text, key, name->length};
	return true;
}

static bool count_event(struct text_part *part, const struct record *r, const uint8_t *text,
			size_t length)
{
	struct text_name *name = name_of(part, text, length);
	bool fresh;

	if (!name)
		return false;
	uint64_t key = ((uint64_t)r->tid << 33 | (uint64_t)r->context << 30 | name->number) + 1;
	struct text_event event = {.hash = mix(key)};
	struct text_event *slot = text_events_find(&part->events, &event, &fresh);

	if (!slot || (fresh && !keep_key(part, name, key)))
		return false;
	slot->count++;
	return true;
}

/* One record; false when its line is none after all. */
static bool record(struct text_part *part, const uint8_t *line, const uint8_t *dash,
		   const struct record *r, const uint8_t *stop)
{
	enum { OTHER, ENTER, EXIT } call = OTHER;
	const uint8_t *name = r->name;
	size_t length = r->name_length;
	uint8_t longer[112];
	struct entered entered;
	struct left left;

	if (r->mark == ':') {
		if (length == 9 && !memcmp(name, "sys_enter", 9))
			call = ENTER;
		else if (length == 8 && !memcmp(name, "sys_exit", 8))
			call = EXIT;
		else if (is_name(name, length, "tracing_mark_write"))
			name = (const uint8_t *)"print", length = 5;
	} else if (r->mark == 's') {
		name = (const uint8_t *)"kernel_stack", length = 12;
	} else if (r->mark == 'u') {
		name = (const uint8_t *)"user_stack", length = 10;
	} else if (r->mark == '<') {
		name = (const uint8_t *)"function", length = 8;
	} else if (length >= 4 && !memcmp(name, "sys_", 4)) {
		size_t head = r->mark == '>' ? 9 : 10;

		memcpy(longer, r->mark == '>' ? "sys_exit_" : "sys_enter_", head);
		memcpy(longer + head, name + 4, length - 4);
		name = longer;
		length += head - 4;
	} else if (r->mark == '>') {
		return false;
	} else if (is_name(name, length, "tracing_mark_write")) {
		name = (const uint8_t *)"print", length = 5;
	}
	if (call == ENTER && !enter_of(r->behind, stop, part->ioctl, &entered))
		return false;
	if (call == EXIT && !exit_of(r->behind, stop, &left))
		return false;
	part->talker = (length == 5 && !memcmp(name, "print", 5)) ||
		       (length == 7 && !memcmp(name, "console", 7)) ||
		       (length == 16 && !memcmp(name, "9p_protocol_dump", 16));
	part->records++;
	part->ticks |= r->ticks;
	if (r->ns > part->until)
		return true;
	if (!part->any || r->ns < part->first)
		part->first = r->ns;
	if (!part->any || r->ns > part->last)
		part->last = r->ns;
	part->any = true;
	struct task *task = task_of(&part->tasks, r->tid);

	if (!task || !count_event(part, r, name, length)) {
		part->out_of_memory = true;
		return true;
	}
	const uint8_t *comm = line, *comm_end = dash;

	while (comm < comm_end && *comm == ' ')
		comm++;
	while (comm < comm_end && comm_end[-1] == ' ')
		comm_end--;
	if (comm_end - comm != 5 || memcmp(comm, "<...>", 5)) {
		task->comm = comm;
		task->comm_length = (uint8_t)(comm_end - comm);
	}
	if (r->leader >= 0) {
		task->leader = r->leader;
		task->firm_leader = true;
	}
	if (call == ENTER) {
		entered.ns = r->ns;
		part->out_of_memory |= !task_enters(&part->calls, task, &entered);
	} else if (call == EXIT) {
		left.ns = r->ns;
		part->out_of_memory |= !task_leaves(&part->calls, task, &left);
	} else if (r->mark == ':' && (*name == 't' || *name == 's')) {
		for (int kind = 0; kind < 4; kind++)
			if (is_name(name, length, text_life_names[kind]))
				part->out_of_memory |=
					!keep_life(part, r->tid, kind, r->behind, stop);
	}
	return true;
}

const uint8_t *text_first_record(const uint8_t *from, const uint8_t *end)
{
	struct record r;

	while (from < end) {
		const uint8_t *newline = memchr(from, '\n', end - from);

		/* raw_syscalls and returns may turn out to be no records after all. */
		if (*from != '#' && record_of(from, newline, &r) && r.mark == ':' &&
		    r.name_length && !(r.name_length >= 5 && !memcmp(r.name, "sys_e", 5)))
			return from;
		from = newline + 1;
	}
	return end;
}

void text_scan(struct text_part *part)
{
	const uint8_t *p = part->begin;
	struct record r;

	while (p < part->end && !part->out_of_memory) {
		const uint8_t *newline = memchr(p, '\n', part->end - p);
		const uint8_t *stop = newline - p > LONGEST ? p + LONGEST : newline;

		part->lines++;
		if (*p == '#') {
			comment_line(part, p);
		} else {
			const uint8_t *dash = record_of(p, newline, &r);

			if (!dash || !record(part, p, dash, &r, stop))
				other_line(part, p, stop);
		}
		p = newline + 1;
	}
}
