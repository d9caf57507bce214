/* Work that threads share: taken piece by piece, put together in order. */
#ifndef KFOOT_CREW_H
#define KFOOT_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOST_THREADS 64
#define CREW_ROOM 4 /* pieces a thread may be ahead of what is put together, each */

/*
 * The caller is one of the threads, and only he waits for anything: between two of his pieces the
 * others go on, so nothing is lost while he is elsewhere (in Python).
 */
struct crew {
	/* `piece` is done by thread `worker`; its results are put at `piece % room`. */
	void (*work)(void *owner, int worker, size_t piece);
	/* Called for one piece after the other; false ends the work (memory is out). */
	bool (*join)(void *owner, size_t piece);
	void *owner;
	size_t count, taken, joined, room;
	bool failed, stop;
	int started, others; /* threads beside the caller's, and how many of them are at work */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t threads[MOST_THREADS];
	bool done[MOST_THREADS * CREW_ROOM];
};

/* How many pieces there are at a time, at most, for so many threads. */
static inline size_t crew_room(int threads)
{
	return (size_t)threads * CREW_ROOM;
}

/* `owner`, `work` and `join` are set. Begins `count` pieces with `threads` threads, the caller's
 * among them. */
void crew_begin(struct crew *crew, int threads, size_t count);
/* The caller does a piece, or waits for the last ones; false when all are put together. */
bool crew_step(struct crew *crew);
/* Ends the threads, whatever is left to do. */
void crew_end(struct crew *crew);

#endif
