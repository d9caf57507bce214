/*
 * strace text: the lines that repeat what Python has interpreted before are counted here, all
 * others are handed to it. See kfoot.readers.strace_native, which says what may be repeated.
 */
#ifndef KFOOT_STRACE_H
#define KFOOT_STRACE_H

#include "table.h"

/* Which part of a call's text decides what it means (besides its name and outcome). */
enum mode { NAME, FIRST, ARGS, OPENED, IOCTL, MMAP, HANDED };

struct name {
	uint64_t hash;
	const uint8_t *text;
	uint32_t length;
	int32_t mode;
};

static inline bool names_same(const struct name *a, const struct name *b)
{
	return a->length == b->length && !memcmp(a->text, b->text, a->length);
}

TABLE(names, name)

#define UNKNOWN (-2) /* a text Python has not seen */
#define CHANGING (-1) /* one that means something else each time */

struct meaning {
	uint64_t hash;
	const uint8_t *text;
	uint32_t length;
	int32_t kind;   /* Python's number of the combination, or CHANGING */
	int32_t effect; /* Python's number of what it does to descriptors, -1: nothing */
};

static inline bool meanings_same(const struct meaning *a, const struct meaning *b)
{
	return a->length == b->length && !memcmp(a->text, b->text, a->length);
}

TABLE(meanings, meaning)

struct repeat {
	uint64_t hash, calls, ns;
	int32_t image, kind;
	bool timed;
};

static inline bool repeats_same(const struct repeat *a, const struct repeat *b)
{
	return a->image == b->image && a->kind == b->kind;
}

TABLE(repeats, repeat)

#define NO_PID (-1) /* the line has no pid column */
#define UNTOLD (-2) /* it is one that is not taken apart */

struct tracee {
	uint64_t hash;
	int32_t pid;
	int32_t image; /* Python's number of process and ABI */
	int32_t files; /* Python's number of the descriptor table */
	int32_t last;  /* kind of the last step, -1: the next one is no repetition */
	uint64_t epoch; /* what is said here holds while it is the scanner's */
	uint64_t folds; /* repetitions of the last step not yet told to Python */
	bool cut;       /* its last step was not kept: Python must know before the next */
	bool dirty;     /* folds or cut to be told */
	/* A call that has begun, as text: name and arguments, without the rest. */
	uint8_t *begun;
	uint32_t begun_length, begun_size, begun_name;
	uint64_t begun_line;
	bool holds;
};

static inline bool tracees_same(const struct tracee *a, const struct tracee *b)
{
	return a->pid == b->pid;
}

TABLE(tracees, tracee)

#define BODY 2048 /* bytes of a text that may be kept as a meaning */

/* One line taken apart; nothing is copied. */
struct line {
	int32_t pid;
	enum { CALL, BEGUN, RESUMED } form;
	const uint8_t *at, *name, *args, *args_end, *result, *result_end, *error, *error_end;
	uint32_t at_length, name_length;
	uint64_t ns;
	bool timed;
};

/* Takes a line apart; false where it is not one of the plain forms. */
bool strace_line(const uint8_t *p, const uint8_t *end, bool with_time, struct line *line);

/* The task and the name of a line that begins a call or holds a whole one. */
bool strace_head(const uint8_t *p, const uint8_t *end, int32_t *pid, const uint8_t **name,
		 uint32_t *length);

#endif
