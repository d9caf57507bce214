/* sys_enter and sys_exit become calls: the same rules as Pairs of ftrace_tally.py. */
#ifndef KFOOT_CALLS_H
#define KFOOT_CALLS_H

#include "table.h"

#define NEVER 1 /* outcome: entered and never returned; 0 ok, below 0 the errno */
#define MAX_ERRNO 4095

struct call {
	uint64_t hash;
	int64_t nr, request;
	uint64_t calls, ns;
	int32_t tid, outcome;
};

static inline bool calls_same(const struct call *a, const struct call *b)
{
	return a->tid == b->tid && a->outcome == b->outcome && a->nr == b->nr &&
	       a->request == b->request;
}

TABLE(calls, call)

struct entered {
	int64_t nr, request;
	uint64_t ns;
};

struct left {
	int64_t nr, ret;
	uint64_t ns;
};

/* Where such calls of a task are counted; NULL when memory is out. */
static inline struct call *call_of(struct calls *calls, int32_t tid, int64_t nr, int64_t request,
				   int32_t outcome)
{
	struct call key = {.nr = nr, .request = request, .tid = tid, .outcome = outcome};
	bool fresh;

	key.hash = mix((uint64_t)(uint32_t)tid << 32 ^ (uint32_t)outcome ^
		       (uint64_t)nr * 0xFF51AFD7ED558CCDull ^
		       (uint64_t)request * 0x94D049BB133111EBull) | NOT_EMPTY;
	return calls_find(calls, &key, &fresh);
}

static inline bool count_call(struct calls *calls, int32_t tid, const struct entered *e,
			      int32_t outcome, uint64_t ns)
{
	struct call *slot = call_of(calls, tid, e->nr, e->request, outcome);

	if (!slot)
		return false;
	slot->calls++;
	slot->ns = add_to(slot->ns, ns);
	return true;
}

/* Adds calls that were counted elsewhere, as those of `tid`; false when memory is out. */
static inline bool call_add(struct calls *calls, int32_t tid, const struct call *more)
{
	struct call *slot = call_of(calls, tid, more->nr, more->request, more->outcome);

	if (!slot)
		return false;
	slot->calls += more->calls;
	slot->ns = add_to(slot->ns, more->ns);
	return true;
}

/* Adds a whole table, which is empty then; false when memory is out. */
static inline bool calls_move(struct calls *to, struct calls *from)
{
	bool fine = true;

	for (size_t i = 0; i < from->size && fine; i++)
		fine = !from->slots[i].hash || call_add(to, from->slots[i].tid, &from->slots[i]);
	calls_free(from);
	return fine;
}

static inline int32_t outcome_of(int64_t ret)
{
	return ret < 0 && ret >= -MAX_ERRNO ? (int32_t)ret : 0;
}

static inline bool match_call(struct calls *calls, int32_t tid, const struct entered *e,
			      const struct left *l)
{
	if (l->nr != -1 && l->nr != e->nr)
		return count_call(calls, tid, e, NEVER, 0);
	return count_call(calls, tid, e, outcome_of(l->ret), l->ns > e->ns ? l->ns - e->ns : 0);
}

/*
 * What one piece of a trace (a chunk of text, a window of time) knows of one task: the piece
 * before it may have left a call open, the piece behind it may close one.
 */
struct task {
	uint64_t hash;
	int32_t tid;
	uint8_t first; /* of this piece's records: NOTHING, ENTERED, LEFT */
	bool open;
	bool firm_leader;
	bool native, announced; /* see ring_apart.c */
	uint8_t comm_length;
	int32_t leader;
	const uint8_t *comm; /* NULL: the piece does not say */
	uint64_t cpus;	     /* a bit for each it made calls on, where that is known */
	struct left lead;
	struct entered now;
};

enum { NOTHING, ENTERED, LEFT };

static inline bool tasks_same(const struct task *a, const struct task *b)
{
	return a->tid == b->tid;
}

TABLE(tasks, task)

static inline struct task *task_of(struct tasks *tasks, int32_t tid)
{
	struct task key = {.hash = mix((uint32_t)tid) | NOT_EMPTY, .tid = tid};
	bool fresh;

	return tasks_find(tasks, &key, &fresh);
}

static inline bool task_enters(struct calls *calls, struct task *t, const struct entered *e)
{
	bool fine = !t->open || count_call(calls, t->tid, &t->now, NEVER, 0);

	if (t->first == NOTHING)
		t->first = ENTERED;
	t->open = true;
	t->now = *e;
	return fine;
}

static inline bool task_leaves(struct calls *calls, struct task *t, const struct left *l)
{
	if (t->first == NOTHING) {
		t->first = LEFT;
		t->lead = *l;
		return true;
	}
	if (!t->open)
		return true;
	t->open = false;
	return match_call(calls, t->tid, &t->now, l);
}

/* Puts a piece's task behind what is known of it so far. */
static inline bool task_joins(struct calls *calls, struct task *so_far, const struct task *piece)
{
	bool fine = true;

	if (so_far->open && piece->first == LEFT)
		fine = match_call(calls, piece->tid, &so_far->now, &piece->lead);
	else if (so_far->open && piece->first == ENTERED)
		fine = count_call(calls, piece->tid, &so_far->now, NEVER, 0);
	if (piece->first != NOTHING) {
		so_far->open = piece->open;
		so_far->now = piece->now;
	}
	return fine;
}

#endif
