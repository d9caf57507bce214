/* ftrace text: the scanner behind kfoot.readers.ftrace_text. */
#ifndef KFOOT_TEXT_H
#define KFOOT_TEXT_H

#include "text_line.h"

/* What a record means beside being counted, by its name. */
enum text_role { PLAIN, SYS_ENTER, SYS_EXIT, TALKER, LIFE };

/* Few names, many tasks: a name is looked up in a small table, its number counted in a large one. */
struct text_name {
	uint64_t hash;
	const uint8_t *text;
	uint32_t length, number;
};

static inline bool text_names_same(const struct text_name *a, const struct text_name *b)
{
	return a->length == b->length && same_bytes(a->text, b->text, a->length);
}

TABLE(text_names, text_name)

/* hash is mix() of task (30 bits), context (3) and name (30) plus 1: mix() loses nothing. */
struct text_event {
	uint64_t hash, count;
};

static inline bool text_events_same(const struct text_event *a, const struct text_event *b)
{
	(void)a, (void)b;
	return true;
}

TABLE(text_events, text_event)

/* What a text_event's hash was made of. */
struct text_key {
	const uint8_t *name;
	uint64_t key;
	uint32_t length;
};

#define NAME_WORDS 4
#define NAME_BYTES (8 * NAME_WORDS)

/*
 * A task makes the same few kinds of records again and again: they are counted here, in the
 * nearest cache, and moved to the large table when another kind needs the place.
 */
struct text_hot {
	uint64_t who;		   /* task and context, plus 1; 0: nothing here */
	uint64_t words[NAME_WORDS]; /* the name's first bytes, with zeros behind it */
	uint64_t count;
	const uint8_t *name;
	uint32_t number; /* of the name */
	uint16_t length;
	uint8_t role;
} __attribute__((aligned(64))); /* a line of the cache each */

#define HOT_BITS 9
#define HOT (1 << HOT_BITS)

/* The begin of a line up to its "[", as it was before for the same task: not taken apart again. */
#define HEAD_BYTES 40

struct text_head {
	uint8_t bytes[HEAD_BYTES];
	uint8_t length; /* 0: nothing here */
	uint8_t comm_length;
	int32_t tid, leader;
	const uint8_t *comm; /* NULL: "<...>" */
	struct task *task;
};

#define HEADS 64

struct lost {
	uint64_t hash, events, silent;
	int32_t cpu;
};

static inline bool losts_same(const struct lost *a, const struct lost *b)
{
	return a->cpu == b->cpu;
}

TABLE(losts, lost)

#define SAMPLES 5
#define SAMPLE_BYTES 200

struct sample {
	uint64_t line;
	size_t length;
	uint8_t text[SAMPLE_BYTES];
};

/* A record about a task's life, as text for Python: where it stands in the piece. */
struct text_life {
	const uint8_t *text;
	uint32_t length;
	int32_t tid;
	uint8_t kind; /* index into the names given by text_life_names */
};

extern const char *const text_life_names[4];

/* What one thread found, in this piece and (events, calls) all before. */
struct text_part {
	struct text_events events;
	struct text_key *keys; /* in the order they were first seen */
	size_t keys_used, keys_size;
	struct text_names names;
	struct text_hot hot[HOT];
	struct text_head heads[HEADS]; /* of this piece, until its table of tasks grows */
	struct calls calls;
	struct arena texts;
	struct tasks tasks; /* of this piece */
	struct losts losts;
	struct text_life *lives; /* of this piece */
	size_t lives_used, lives_size;
	struct sample samples[SAMPLES];
	int samples_used;
	uint64_t lines, records, unparsed, continued, overrun;
	uint64_t first, last;
	bool any, ticks, talker, trace_cmd, out_of_memory;
	uint8_t tracer[40];
	size_t tracer_length;
	/* the work */
	const uint8_t *begin, *end;
	struct seconds seconds;
	bool mapped; /* the work is pages of a file, not needed again */
	uint64_t until;
	int64_t ioctl;
};

/* Where the first record at or behind `from` (the begin of a line) stands; `end` without one. */
const uint8_t *text_first_record(const uint8_t *from, const uint8_t *end);

/* Count part->begin to part->end, which ends with a newline. */
void text_scan(struct text_part *part);

/* Moves all that is in `hot` to the table; false when memory is out. */
bool text_settle(struct text_part *part);

#endif
