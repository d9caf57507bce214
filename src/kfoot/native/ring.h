/* Ring buffer pages: the scanner behind kfoot.readers.ring_buffer (little-endian only). */
#ifndef KFOOT_RING_H
#define KFOOT_RING_H

#include "calls.h"

/* An integer in a record; size 0: there is none. */
struct field {
	uint32_t offset, size;
	bool is_signed;
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
};

struct damage {
	uint64_t missed, silent, corrupt, disordered;
};

/* One CPU's pages. start[k] is the time of page k, made to run forward; start[pages] the end. */
struct stream {
	const uint8_t *base;
	size_t size, pages;
	uint64_t *start;
};

struct ring_event {
	uint64_t hash, count; /* hash: tid, number and context, plus 1 */
};

static inline bool ring_events_same(const struct ring_event *a, const struct ring_event *b)
{
	(void)a, (void)b;
	return true;
}

/* A record on whose order something depends. */
struct special {
	uint64_t ns;
	const uint8_t *data;
	uint32_t length;
	int32_t tid;
	uint16_t id;
};

struct specials {
	struct special *at;
	size_t used, size;
};

/* A life for Python. */
struct ring_life {
	const uint8_t *data;
	uint32_t length;
	int32_t tid, stream;
	uint16_t id;
};

/* A window of time over all CPUs: [from, to), `to` included in the last one. */
struct window {
	uint64_t from, to;
	bool last;
	struct tasks tasks;
	struct ring_life *lives;
	size_t lives_used, lives_size;
};

/*
 * Counts by (tid, number, context); its own table, because every record comes by here. A task on a
 * processor makes the same few kinds of records again and again: they are counted in `hot`, which
 * stays in the nearest cache, and moved to `slots` when another kind needs the place.
 */
#define HOT 512

struct counts {
	struct ring_event hot[HOT];
	struct ring_event *slots;
	size_t size, used;
};

struct ring_worker {
	const struct ring_plan *plan;
	const struct stream *streams;
	int stream_count;
	struct counts counts;
	struct calls calls;
	struct specials *specials; /* one per stream */
	size_t *heads, *heap;
	struct damage *damage; /* one per stream */
	uint64_t first, last;
	bool any, out_of_memory;
};

/* A stream is made ready in three steps: room for the times of its pages (false when memory is
 * out), the times of pages [from, to) (threads may share this, it is the first touch of every
 * page), and all of them made to run forward. */
bool ring_begin(struct stream *stream, const struct ring_plan *plan);
void ring_stamps(struct stream *stream, const struct ring_plan *plan, size_t from, size_t to);
void ring_index(struct stream *stream);
void ring_scan(struct ring_worker *worker, struct window *window);
/* Moves all that is in `hot` to the table; false when memory is out. */
bool ring_settle(struct counts *counts);
/* Gives back the memory of a window's pages, which are of a mapped file. */
void ring_give_back(const struct ring_worker *worker, const struct window *window);
/* Gives false when the gate did not exec. */
bool ring_gate(const struct stream *streams, int count, const struct ring_plan *plan,
	       uint64_t *from);

#endif
