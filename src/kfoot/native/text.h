/* ftrace text: the scanner behind kfoot.readers.ftrace_text. */
#ifndef KFOOT_TEXT_H
#define KFOOT_TEXT_H

#include "lines.h"
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

/*
 * The begin of a line up to the point in its time, as it was before: task, processor, flags and
 * seconds are the same again, and not taken apart again. What it says of the task is known.
 */
#define HEAD_BYTES 64
#define LEAST_POINT (COLUMN + 8)

struct text_head {
	uint8_t bytes[HEAD_BYTES];
	uint64_t ns; /* of the seconds */
	struct task *task;
	int32_t tid;
	uint8_t length; /* with the point; 0: nothing here */
	uint8_t context;
};

#define HEADS 128

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

/* A record about a task's life, as text for Python. */
struct text_life {
	uint32_t length;
	int32_t tid;
	uint8_t kind; /* index into the names given by text_life_names */
};

extern const char *const text_life_names[4];

/* What one piece of the trace gave that has its place in the order of the pieces. */
struct text_piece {
	struct tasks tasks;
	struct arena comms;
	struct bytes lives; /* a text_life and its text, one behind the other */
	struct sample samples[SAMPLES];
	int samples_used;
	uint64_t lines;
	uint8_t tracer[40];
	size_t tracer_length;
	bool talker; /* at its end */
	bool empty, out_of_memory;
	int error;
};

/* What one thread found, in all its pieces. */
struct text_part {
	struct text_events events;
	struct text_key *keys; /* in the order they were first seen */
	size_t keys_used, keys_size;
	struct text_names names;
	struct text_hot hot[HOT];
	struct text_head heads[HEADS]; /* of this piece, until its table of tasks grows */
	size_t point;		       /* where it stands in most lines */
	struct calls calls;
	struct arena texts;
	struct losts losts;
	uint64_t records, unparsed, continued, overrun;
	uint64_t first, last; /* first above last: no record yet */
	bool ticks, talker, trace_cmd, out_of_memory;
	/* the work */
	struct lines lines;
	struct text_piece *piece;
	uint64_t until;
	int64_t ioctl;
};

/* The name a line gives a task, kept in `arena`; whether it was another one. The task's `comm` is
 * NULL when memory is out. */
bool text_name_task(struct arena *arena, struct task *task, const uint8_t *comm, uint8_t length);

/* Where the first record at or behind `from` (the begin of a line) stands; `end` without one. */
const uint8_t *text_first_record(struct text_part *part, const uint8_t *from, const uint8_t *end);

/* Counts whole lines; LINES_SLACK bytes behind them can be read. */
void text_scan(struct text_part *part, const uint8_t *p, const uint8_t *end);

/*
 * Counts what is of the piece [from, to): from the first record that begins in it up to the first
 * one that begins behind it, so that what belongs to a record stays with it. The first piece of a
 * source begins where that begins.
 */
void text_piece(struct text_part *part, const struct source *source, uint64_t from, uint64_t to);

/* Moves all that is in `hot` to the table; false when memory is out. */
bool text_settle(struct text_part *part);

#endif
