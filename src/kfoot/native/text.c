/*
 * Lines of ftrace text, counted. What a line is, is told in ftrace_text.py: this file and the
 * regular expressions there accept the same bytes (tests/test_native.py tries).
 *
 * A piece ends with a newline. No class of characters below holds a newline, so every loop over
 * characters ends at the end of its line without asking for the piece's end.
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
	} else if (starts(p, "# tracer: ") && !part->tracer_length) {
		size_t n = 0;

		for (p += 10; n < 40 && ((text_class[p[n]] & NAME_CHAR && p[n] != '.') || p[n] == '-');)
			n++;
		memcpy(part->tracer, p, n);
		part->tracer_length = n;
	}
}

static void other_line(struct text_part *part, const uint8_t *p, const uint8_t *stop)
{
	if (lost_line(part, p))
		return;
	if (text_trace_cmd_head(p, stop)) {
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

/* What the begin of a line says of its task. */
static void describe(struct task *task, const uint8_t *comm, uint8_t comm_length, int32_t leader)
{
	if (comm) {
		task->comm = comm;
		task->comm_length = comm_length;
	}
	if (leader >= 0) {
		task->leader = leader;
		task->firm_leader = true;
	}
}

/* A line that holds a record. */
struct found {
	const uint8_t *line, *dash, *stop;
	struct record record;
	struct text_head *head; /* where the line's begin is remembered; NULL: nowhere */
	bool known;		/* it is there already */
	struct text_hot *hot;	/* where the event is counted; NULL: not looked up yet */
};

/* The task of a line's begin, which is remembered; NULL when memory is out. */
static struct task *task_at(struct text_part *part, const struct found *f)
{
	const uint8_t *comm = f->line, *comm_end = f->dash;
	const struct record *r = &f->record;
	size_t size = part->tasks.size;
	struct task *task = task_of(&part->tasks, r->tid);
	struct record again;

	if (!task)
		return NULL;
	while (comm < comm_end && *comm == ' ')
		comm++;
	while (comm < comm_end && comm_end[-1] == ' ')
		comm_end--;
	if (comm_end - comm == 5 && !memcmp(comm, "<...>", 5))
		comm = NULL;
	describe(task, comm, (uint8_t)(comm ? comm_end - comm : 0), r->leader);
	if (part->tasks.size != size) /* it grew: the tasks are elsewhere now */
		memset(part->heads, 0, sizeof part->heads);
	if (!f->head)
		return task;
	size_t length = text_head(f->dash, &again) - f->line;

	f->head->length = 0;
	if (length >= 8 && length <= HEAD_BYTES) {
		*f->head = (struct text_head){
			.length = (uint8_t)length, .tid = r->tid, .leader = r->leader,
			.comm = comm, .comm_length = task->comm_length, .task = task,
		};
		memcpy(f->head->bytes, f->line, length);
	}
	return task;
}

/* One record; false when its line is none after all. */
static inline bool count(struct text_part *part, struct found *f)
{
	const struct record *r = &f->record;
	struct text_hot *hot = f->hot;
	struct entered entered;
	struct left left;

	if (!hot) {
		const uint8_t *name;
		size_t length;
		uint8_t longer[112];

		if (!event_name(r, &name, &length, longer))
			return false;
		hot = text_hot_of(part, r, name, length);
		if (!hot) {
			part->out_of_memory = true;
			return true;
		}
	}
	if (hot->role == SYS_ENTER && !text_enter(r->behind, f->stop, part->ioctl, &entered))
		return false;
	if (hot->role == SYS_EXIT && !text_exit(r->behind, f->stop, &left))
		return false;
	part->talker = hot->role == TALKER;
	part->records++;
	part->ticks |= r->ticks;
	if (r->ns > part->until)
		return true;
	if (!part->any || r->ns < part->first)
		part->first = r->ns;
	if (!part->any || r->ns > part->last)
		part->last = r->ns;
	part->any = true;
	hot->count++;
	struct task *task = f->known ? f->head->task : task_at(part, f);

	if (!task) {
		part->out_of_memory = true;
		return true;
	}
	if (f->known)
		describe(task, f->head->comm, f->head->comm_length, f->head->leader);
	if (hot->role == SYS_ENTER) {
		entered.ns = r->ns;
		part->out_of_memory |= !task_enters(&part->calls, task, &entered);
	} else if (hot->role == SYS_EXIT) {
		left.ns = r->ns;
		part->out_of_memory |= !task_leaves(&part->calls, task, &left);
	} else if (hot->role >= LIFE && r->mark == ':') {
		part->out_of_memory |=
			!keep_life(part, r->tid, hot->role - LIFE, r->behind, f->stop);
	}
	return true;
}

const uint8_t *text_first_record(const uint8_t *from, const uint8_t *end)
{
	struct record r;

	while (from < end) {
		const uint8_t *newline = memchr(from, '\n', end - from);

		/* raw_syscalls and returns may turn out to be no records after all. */
		if (*from != '#' && text_record(from, newline, &r) && r.mark == ':' &&
		    r.name_length && !(r.name_length >= 5 && !memcmp(r.name, "sys_e", 5)))
			return from;
		from = newline + 1;
	}
	return end;
}

/* A line that begins as one did before. Its end needs not be known: nothing is read that is
 * farther than WIDE bytes from a character that stands before it. */
static inline bool find_again(struct text_part *part, struct found *f)
{
	uint64_t pid = word_at(f->line + COLUMN); /* with its dash */
	struct text_head *head = &part->heads[(pid * 0x9E3779B97F4A7C15ull >> 32) % HEADS];

	f->head = head;
	f->dash = f->line + COLUMN;
	if (!head->length || !same_bytes(f->line, head->bytes, head->length))
		return false;
	const uint8_t *event = text_usual_body(f->line + head->length, part->end, &part->seconds,
					       &f->record);

	if (!event)
		return false;
	f->record.tid = head->tid;
	f->record.leader = head->leader;
	f->known = true;
	f->hot = hot_again(part, f->line, event, &f->record);
	return f->hot || text_event(f->line, event, &f->record);
}

/* The newline behind `p`. */
static inline const uint8_t *end_of_line(const struct text_part *part, const uint8_t *p)
{
	return memchr(p, '\n', part->end - p);
}

static inline bool find(struct text_part *part, struct found *f, const uint8_t **newline)
{
	bool wide = part->end - f->line > COLUMN + WIDE && f->line[COLUMN] == '-';

	if (wide && find_again(part, f)) {
		*newline = end_of_line(part, f->record.behind);
		return true;
	}
	*newline = end_of_line(part, f->line);
	f->known = false;
	f->hot = NULL;
	f->dash = text_record(f->line, *newline, &f->record);
	if (!wide || f->dash != f->line + COLUMN)
		f->head = NULL;
	return f->dash;
}

void text_scan(struct text_part *part)
{
	const uint8_t *p = part->begin;

	memset(part->heads, 0, sizeof part->heads);
	part->seconds = (struct seconds){.word = 1};
	while (p < part->end && !part->out_of_memory) {
		const uint8_t *newline;
		struct found found;

		found.line = p;
		part->lines++;
		if (*p == '#') {
			newline = end_of_line(part, p);
			comment_line(part, p);
		} else {
			bool is_record = find(part, &found, &newline);

			found.stop = newline - p > LONGEST ? p + LONGEST : newline;
			if (!is_record || !count(part, &found))
				other_line(part, p, found.stop);
		}
		p = newline + 1;
	}
}
