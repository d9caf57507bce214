/*
 * Lines of ftrace text, counted. What a line is, is told in ftrace_text.py: this file and the
 * regular expressions there accept the same bytes (tests/test_native.py tries).
 *
 * Lines end with a newline. No class of characters below holds a newline, so every loop over
 * characters ends at the end of its line without asking for the buffer's end.
 */
#include "text_hot.h"

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
	} else if (starts(p, "# tracer: ") && !part->piece->tracer_length) {
		size_t n = 0;

		for (p += 10; n < 40 && ((text_class[p[n]] & NAME_CHAR && p[n] != '.') || p[n] == '-');)
			n++;
		memcpy(part->piece->tracer, p, n);
		part->piece->tracer_length = n;
	}
}

static void other_line(struct text_part *part, const uint8_t *p, const uint8_t *stop)
{
	struct text_piece *piece = part->piece;

	if (lost_line(part, p))
		return;
	if (text_trace_cmd_head(p, stop)) {
		part->trace_cmd = true;
	} else if (part->talker || starts(p, " => ") || all_of(p, stop, DUMP)) {
		part->continued++;
	} else {
		part->unparsed++;
		if (piece->samples_used < SAMPLES) {
			struct sample *s = &piece->samples[piece->samples_used++];

			s->line = piece->lines;
			s->length = stop - p < SAMPLE_BYTES ? stop - p : SAMPLE_BYTES;
			memcpy(s->text, p, s->length);
		}
	}
}

static bool keep_life(struct text_part *part, int32_t tid, int kind, const uint8_t *text,
		      const uint8_t *stop)
{
	struct bytes *lives = &part->piece->lives;
	struct text_life life = {.length = (uint32_t)(stop - text), .tid = tid, .kind = kind};

	return bytes_add(lives, &life, sizeof life) &&
	       bytes_add(lives, text, life.length);
}

/* The name an event is counted by; `longer` is room for one that is not in the line. */
static bool event_name(const struct record *r, const uint8_t **text, size_t *length,
		       uint8_t longer[112])
{
	const uint8_t *name = r->name;
	size_t n = r->name_length;

	if (r->mark == 's') {
		name = (const uint8_t *)"kernel_stack", n = 12;
	} else if (r->mark == 'u') {
		name = (const uint8_t *)"user_stack", n = 10;
	} else if (r->mark == '<') {
		name = (const uint8_t *)"function", n = 8;
	} else if (r->mark != ':' && n >= 4 && !memcmp(name, "sys_", 4)) {
		size_t head = r->mark == '>' ? 9 : 10;

		memcpy(longer, r->mark == '>' ? "sys_exit_" : "sys_enter_", head);
		memcpy(longer + head, name + 4, n - 4);
		name = longer;
		n += head - 4;
	} else if (r->mark == '>') {
		return false;
	} else if (is_name(name, n, "tracing_mark_write")) {
		name = (const uint8_t *)"print", n = 5;
	}
	*text = name;
	*length = n;
	return true;
}

/* What stands behind the names of raw_syscalls' events. */
union call_text {
	struct entered entered;
	struct left left;
};

/* False when that is not what the kernel writes: the line is no record. */
static inline bool call_at(struct text_part *part, uint8_t role, const struct record *r,
			   const uint8_t *stop, union call_text *call)
{
	if (role == SYS_ENTER)
		return text_enter(r->behind, stop, part->ioctl, &call->entered);
	return role != SYS_EXIT || text_exit(r->behind, stop, &call->left);
}

static bool by_role(struct text_part *part, const struct found *f, struct task *task,
		    union call_text *call)
{
	const struct record *r = &f->record;

	if (f->hot->role == SYS_ENTER) {
		call->entered.ns = r->ns;
		return task_enters(&part->calls, task, &call->entered);
	}
	if (f->hot->role == SYS_EXIT) {
		call->left.ns = r->ns;
		return task_leaves(&part->calls, task, &call->left);
	}
	return f->hot->role < LIFE || r->mark != ':' ||
	       keep_life(part, r->tid, f->hot->role - LIFE, r->behind, f->stop);
}

/* One record; false when its line is none after all. */
static inline bool count(struct text_part *part, struct found *f)
{
	const struct record *r = &f->record;
	union call_text call;

	if (!f->hot) {
		const uint8_t *name;
		size_t length;
		uint8_t longer[112];

		if (!event_name(r, &name, &length, longer))
			return false;
		f->hot = text_hot_of(part, r, name, length);
		if (!f->hot) {
			part->out_of_memory = true;
			return true;
		}
	}
	struct text_hot *hot = f->hot;

	if (hot->role != PLAIN && !call_at(part, hot->role, r, f->stop, &call))
		return false;
	part->talker = hot->role == TALKER;
	part->records++;
	part->ticks |= !r->point;
	if (r->ns > part->until)
		return true;
	if (r->ns < part->first)
		part->first = r->ns;
	if (r->ns > part->last)
		part->last = r->ns;
	hot->count++;
	struct task *task = f->head ? f->head->task : text_task_at(part, f);

	if (!task || (hot->role != PLAIN && !by_role(part, f, task, &call)))
		part->out_of_memory = true;
	return true;
}

const uint8_t *text_first_record(struct text_part *part, const uint8_t *from,
				 const uint8_t *end)
{
	while (from < end) {
		const uint8_t *newline = memchr(from, '\n', end - from), *name;
		struct record r;
		size_t length;
		uint8_t longer[112];
		union call_text call;

		if (*from != '#' && text_record(from, newline, &r) &&
		    event_name(&r, &name, &length, longer) &&
		    call_at(part, text_role_of(name, length), &r, newline, &call))
			return from;
		from = newline + 1;
	}
	return end;
}

/* A line that begins as one did before. Its end needs not be known: nothing is read that is more
 * than LINES_SLACK bytes behind its begin. */
static inline bool find_again(struct text_part *part, struct found *f)
{
	const uint8_t *point = f->line + part->point;
	struct text_head *head = head_place(part, f->line, part->point);
	uint64_t fraction = six_digits(point + 1);

	if (head->length != part->point + 1 || !same_head(f->line, head) || fraction == NO_DIGITS)
		return false;
	f->head = head;
	f->record.tid = head->tid;
	f->record.context = head->context;
	f->record.ns = head->ns + fraction * 1000;
	f->record.point = point;
	f->hot = hot_again(part, point + 1 + SIX_DIGITS, &f->record);
	return f->hot || text_event(f->line, point + 1 + SIX_DIGITS, &f->record);
}

static inline bool find(struct text_part *part, struct found *f, const uint8_t *end,
			const uint8_t **newline)
{
	if (find_again(part, f)) {
		*newline = memchr(f->record.behind, '\n', end - f->record.behind);
		return true;
	}
	*newline = memchr(f->line, '\n', end - f->line);
	f->head = NULL;
	f->hot = NULL;
	f->dash = text_record(f->line, *newline, &f->record);
	return f->dash;
}

void text_scan(struct text_part *part, const uint8_t *p, const uint8_t *end)
{
	while (p < end && !part->out_of_memory) {
		const uint8_t *newline;
		struct found found;

		found.line = p;
		part->piece->lines++;
		if (*p == '#') {
			newline = memchr(p, '\n', end - p);
			comment_line(part, p);
		} else {
			bool is_record = find(part, &found, end, &newline);

			found.stop = newline;
			if (!is_record || !count(part, &found))
				other_line(part, p, newline);
		}
		p = newline + 1;
	}
}
