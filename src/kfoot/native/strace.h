/*
 * strace text: the lines that repeat what Python has interpreted before are counted here, all
 * others are handed to it. See kfoot.readers.strace_native, which says what may be repeated.
 */
#ifndef KFOOT_STRACE_H
#define KFOOT_STRACE_H

#include "table.h"

#include <pthread.h>

/* Names are short: two words that overlap compare most of them. */
static inline bool bytes_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t first[2], last[2];
	uint32_t head[2], tail[2];

	if (n > 16)
		return !memcmp(a, b, n);
	if (n >= 8) {
		memcpy(&first[0], a, 8);
		memcpy(&first[1], b, 8);
		memcpy(&last[0], a + n - 8, 8);
		memcpy(&last[1], b + n - 8, 8);
		return first[0] == first[1] && last[0] == last[1];
	}
	if (n >= 4) {
		memcpy(&head[0], a, 4);
		memcpy(&head[1], b, 4);
		memcpy(&tail[0], a + n - 4, 4);
		memcpy(&tail[1], b + n - 4, 4);
		return head[0] == head[1] && tail[0] == tail[1];
	}
	return !n || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

/* Which part of a call's text decides what it means (besides its name and outcome). */
enum mode { NAME, FIRST, ARGS, OPENED, IOCTL, MMAP, EXEC, HANDED };

/*
 * Why a line is handed over: it is none of the plain forms, or changes more than descriptors
 * (ANY); its text is new, or means something else each time (OWN); it is longer than MOST_LINE
 * (TOO_LONG); all is known but its place in the order of steps, which Python keeps (STEP).
 */
enum why { ANY, OWN, TOO_LONG, STEP, COUNTED /* not handed over */ };

struct name {
	uint64_t hash;
	const uint8_t *text;
	uint32_t length;
	int32_t mode;
};

static inline bool names_same(const struct name *a, const struct name *b)
{
	return a->length == b->length && bytes_same(a->text, b->text, a->length);
}

TABLE(names, name)

struct meaning {
	uint64_t hash;
	const uint8_t *text;
	uint32_t length;
	int32_t kind;   /* Python's number of the combination */
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
	bool timed, told; /* told: Python counts it, too */
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
	bool aliased;   /* its lines may stand under another pid column, too */
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

#define BODY 2048            /* bytes of a text that may be kept as a meaning */
#define MOST_TEXT (256u << 20) /* bytes of meanings kept; what comes later is Python's */
#define MOST_LINE (1u << 20) /* longer lines are cut by the Python reader, which has its rules */
#define MOST_EFFECTS 65536

/* One line taken apart; nothing is copied. */
struct line {
	int32_t pid;
	enum { CALL, BEGUN, RESUMED, SIGNAL } form;
	const uint8_t *at, *name, *args, *args_end;
	const uint8_t *result, *number_end, *result_end; /* 3, then </path> */
	const uint8_t *error, *error_end;
	uint32_t at_length, name_length;
	uint64_t ns;
	bool timed;
};

/* Takes a line apart; false where it is not one of the plain forms. */
bool strace_line(const uint8_t *p, const uint8_t *end, bool with_time, struct line *line);

/* The task and the name of a line that begins a call or holds a whole one. */
bool strace_head(const uint8_t *p, const uint8_t *end, int32_t *pid, const uint8_t **name,
		 uint32_t *length);

/* What an effect (Python's number) was done to: a descriptor table (Python's number). */
struct effect {
	int32_t files, effect;
};

/* The effect on a descriptor that waits to be told: a later one on the same takes its place. */
struct waiting {
	uint64_t hash;
	int32_t files, fd;
	uint64_t flush; /* the flush it waits for; an earlier one: it was told */
	size_t at;      /* among the effects */
};

static inline bool waitings_same(const struct waiting *a, const struct waiting *b)
{
	return a->files == b->files && a->fd == b->fd;
}

TABLE(waitings, waiting)

/* The text whose meaning is looked for: the parts of a line that decide it. */
struct question {
	uint64_t hash;
	const uint8_t *from, *to; /* of its arguments, or of `joined` in the scanner */
	uint32_t length;          /* of the whole text; 0: it is not to be learned */
	uint8_t tag;
	bool result; /* the result decides, too */
};

/* A line as it is handed from the one who takes lines apart to the one who counts them. */
struct ready {
	struct line line;
	const uint8_t *from, *to;
	struct question question; /* of a whole call; what was split is put together later */
	int8_t mode;
	bool plain; /* one of the plain forms */
};

#define BATCH 1024  /* lines of a slice taken apart at a time */
#define SLICE 65536 /* bytes of a slice, about; it ends with a newline */
#define SLICES 8    /* that may wait to be counted */

/*
 * Takes the lines of a piece apart, slice by slice: the one who counts them, and where there is a
 * second processor, a thread that goes ahead.
 */
struct ahead {
	const struct names *names;
	bool with_time;
	struct slice {
		const uint8_t *at, *end; /* what is left of it */
		bool ready;              /* its lines may be counted */
		size_t used;
		struct ready lines[BATCH];
	} *slices;           /* a ring of SLICES */
	struct slice *slice; /* the one being counted; NULL: none yet */
	size_t next;         /* its next line */
	bool running;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below, and slice.ready */
	pthread_cond_t moved;
	const uint8_t *at, *end; /* what no slice was made of yet */
	size_t taken, emptied;   /* slices, since the start */
	bool stopped;
};

/* False: no memory. */
bool ahead_init(struct ahead *a, const struct names *names, bool with_time);
void ahead_free(struct ahead *a);

/* Begins with a piece, whose last byte is a newline; ahead_stop before it goes away. */
void ahead_start(struct ahead *a, const uint8_t *from, const uint8_t *to, bool thread);
void ahead_stop(struct ahead *a);

/* The next line, good until the next call; NULL at the end of the piece. */
const struct ready *ahead_next(struct ahead *a);

/* Which of the modes a call has. */
int mode_of(const struct names *names, const uint8_t *name, uint32_t length);

/* The question a line puts whose call has these arguments; false: it is too long. */
bool ask(struct question *q, const struct line *l, const uint8_t *from, const uint8_t *to, int mode);

/* What is known of it; NULL: nothing. */
struct meaning *meaning_of(struct meanings *t, const struct question *q, const struct line *l);

/* All that is known while a file is read. */
struct scanner {
	bool full, failed;
	struct names names;
	struct meanings meanings;
	struct repeats repeats;
	struct tracees tracees;
	struct tracee *recent; /* the task of the last line; NULL after the table has grown */
	struct arena texts;
	size_t text_bytes;
	struct effect *effects; /* to be told to Python */
	size_t effect_count, effect_size;
	struct waitings waitings;
	uint64_t flush;
	int32_t *fds; /* of each effect there is: the descriptor it changes (Python's number) */
	size_t fd_count, fd_size;
	int32_t *dirty; /* pids */
	size_t dirty_count, dirty_size;
	uint64_t epoch, lines, cut;
	/* length 0: Python knows it, or the line handed over says a later one */
	struct moment {
		uint8_t text[32];
		uint32_t length;
	} first_time, last_time;
	uint8_t hour[2];
	bool timed; /* Python knows some time */
	struct ahead ahead;
	/* the line handed over */
	enum why why;
	const struct ready *ready;
	const struct line *line;
	struct question question;
	int32_t kind; /* STEP: what the line means */
	bool own_time;
	uint8_t joined[BODY]; /* arguments of a call that was split */
};

/* To the next line that is Python's; false at the end of the piece, or where memory is out. */
bool scanner_next(struct scanner *s, bool force);

struct tracee *scanner_tracee(struct scanner *s, int32_t pid);

/* The entry of an image's combination, made if need be; NULL: no memory. */
struct repeat *scanner_repeat(struct scanner *s, int32_t image, int32_t kind);

/*
 * The line handed over as OWN means this: counts it. `keep`: its text always will, and has this
 * effect on descriptors. Returns whether Python is to keep the step.
 */
bool scanner_meant(struct scanner *s, int32_t kind, int32_t effect, bool keep);

/* The line handed over means this whenever its text comes again. */
void scanner_learn(struct scanner *s, int32_t kind, int32_t effect);

/* A further effect, on a descriptor; effects are numbered from 0. False: no memory. */
bool scanner_effect(struct scanner *s, int32_t fd);

/* The effects and the tasks' steps were told. */
void scanner_flushed(struct scanner *s);

void scanner_free(struct scanner *s);

#endif
