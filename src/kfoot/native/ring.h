/* Ring buffer pages: the scanner behind kfoot.readers.ring_buffer (little-endian only). */
#ifndef KFOOT_RING_H
#define KFOOT_RING_H

#include "calls.h"

#define END_OF_TIME UINT64_MAX

/* An integer in a record; size 0: there is none. */
struct field {
	uint32_t offset, size;
	bool is_signed;
};

/* For telling 32-bit calls from native ones, as ring_abi.py does. */
struct ring_abi {
	bool wanted;
	int64_t ioctl;	     /* of the 32-bit ABI; INT64_MIN: none */
	int64_t execs[2][4]; /* of the 32-bit ABI, of the native one; -1: none */
};

/* What to look for: Plan and Calls of ring_buffer.py. */
struct ring_plan {
	size_t page, data, commit; /* bytes: sub-buffer, its head, its commit word */
	int32_t enter, leave, exec; /* event numbers, -1: none */
	struct field enter_nr, request, leave_nr, ret;
	int64_t ioctl;
	uint64_t until, gate_from;
	int32_t gate;
	bool has_gate;
	uint8_t specials[8192]; /* bit per event number: on whose order something depends */
	struct ring_abi abi;
};

struct damage {
	uint64_t missed, silent, corrupt, disordered;
};

/*
 * One CPU's pages, in a file. Their times run forward, which nearly all do by themselves: only
 * where some do not, all are looked at beforehand and `start` has what they are to be.
 */
struct stream {
	int fd, stamps; /* two open files: what is read here and there is not to disturb reading ahead */
	uint64_t offset, size;
	size_t pages;
	uint64_t *start; /* NULL: as the pages say */
	uint64_t *marks; /* the times of every so manieth page, `mark` of them */
	size_t mark, marks_used;
};

struct ring_event {
	uint64_t hash, count; /* hash: tid, number and context, plus 1 */
};

static inline bool ring_events_same(const struct ring_event *a, const struct ring_event *b)
{
	(void)a, (void)b;
	return true;
}

/* What a record is; BESIDE, with `abi` wanted: the event that native calls have beside the one that
 * all have. */
enum what { PLAIN, ENTERS, LEAVES, BESIDE, LIVES };

/* A call's begin or end, or what is beside it. */
struct edge {
	uint64_t ns;
	int64_t nr, value; /* request or return value */
	int32_t tid;
	enum what what;
};

/* A task's edges one behind the other on one CPU, from `begin` up to the next run's. */
struct run {
	size_t begin;
	int32_t tid;
};

/* One CPU's records of a window on whose order something depends. */
struct specials {
	struct edge *edges;
	struct run *runs;
	struct bytes lives; /* a ring_life and its bytes, one behind the other */
	size_t edges_used, edges_size, runs_used, runs_size;
	size_t edge, run, life; /* what is to be put in order next */
};

/* A life, before its bytes. */
struct ring_life {
	uint64_t ns;
	uint32_t length;
	int32_t tid, stream;
	uint16_t id;
};

/* A window of time over all CPUs: [from, to), `to` included in the last one. */
struct window {
	uint64_t from, to;
	bool last;
	struct tasks tasks;
	struct bytes lives; /* as in struct specials, of all CPUs */
	struct bytes edges; /* in order, with `abi` wanted */
	enum ring_end { FINE, NO_MEMORY, NO_ORDER, NO_PAGES } end;
	int error;
};

/*
 * Counts by (tid, number, context); its own table, because every record comes by here. A task on a
 * processor makes the same few kinds of records again and again: they are counted in `hot`, which
 * stays in the nearest cache, and moved to `slots` when another kind needs the place.
 */
struct ring_hot {
	uint64_t kind; /* the record's first word, as far as it tells such records apart; 0: empty */
	uint64_t count;
	enum what what;
};

#define HOT_BITS 9
#define HOT (1 << HOT_BITS)

struct counts {
	struct ring_hot hot[HOT];
	struct ring_event *slots;
	size_t size, used;
};

/* Some pages of a stream, read: they are copied into the nearer caches, as lines are (lines.h). */
struct pages {
	uint8_t *buffer;
	size_t room;	     /* in pages */
	size_t first, count; /* those that are there */
	enum ring_end end;
	int error;
};

/* Whose turn it is, of the CPUs with something left to be put in order. */
struct turn {
	uint64_t ns;
	int stream;
};

/* All calls, by ABI. */
struct ring_abis {
	struct tasks tasks;
	struct calls calls[2]; /* 32-bit ones, native ones */
};

struct ring_worker {
	const struct ring_plan *plan;
	const struct stream *streams;
	int stream_count;
	struct counts counts;
	struct calls calls;
	struct pages pages;
	struct specials *specials; /* one per stream */
	struct turn *turns;	   /* a heap, the soonest first */
	struct damage *damage; /* one per stream */
	uint64_t first, last; /* first above last: no record yet */
};

/* A page, and where its records' times lie. */
struct sheet {
	const uint8_t *base;
	size_t size;
	uint64_t start, end;
};

/* False when memory is out. */
bool pages_make(struct pages *pages, const struct ring_plan *plan);
void pages_free(struct pages *pages);
/* Another stream is read from. */
static inline void pages_begin(struct pages *pages)
{
	pages->count = 0;
	pages->end = FINE;
}
/* Page k, and along with it those behind it before page `to`; false, with `end` set, when it cannot
 * be had. */
bool pages_read(struct pages *pages, const struct stream *stream, const struct ring_plan *plan,
		size_t k, size_t to);

void ring_begin(struct stream *stream, const struct ring_plan *plan);
/* Fills `start`; gives FINE or what is wrong. */
enum ring_end ring_index(struct stream *stream, struct pages *pages, const struct ring_plan *plan);
/* Fills `marks`; false when memory is out. A page that cannot be read sets `end` of `pages`. */
bool ring_mark(struct stream *stream, struct pages *pages, const struct ring_plan *plan,
	       size_t mark);
/* The first page that begins at or behind a time. It depends on that time alone, so that no page
 * is between two windows, whatever the pages say. */
size_t ring_find(const struct stream *stream, struct pages *pages, const struct ring_plan *plan,
		 uint64_t ns);

void ring_scan(struct ring_worker *worker, struct window *window);
/* Puts the special records of all CPUs into the order of time, as far as something depends on it;
 * false when memory is out. */
bool ring_merge(struct ring_worker *worker, struct window *window);
/* Puts an edge behind the ones so far, counts the call that ends with it; false when memory is out. */
bool ring_apart(const struct ring_plan *plan, struct ring_abis *to, const struct edge *edge);
/* What is open never returned; false when memory is out. */
bool ring_apart_end(const struct ring_plan *plan, struct ring_abis *to);
/* Moves all that is in `hot` to the table; false when memory is out. */
bool ring_settle(struct counts *counts);
/* Finds where the gate's records begin; `any` is false when it did not exec. */
enum ring_end ring_gate(struct ring_worker *worker, uint64_t *from, bool *any);

#endif
