/*
 * The order of time over all CPUs. A call is entered and left by one task, which is on one CPU at a
 * time: its edges are taken run by run, and only a task that made calls on several is looked for on
 * the others: where it has some in the meantime, the run is left for those. Lives are put in order
 * one by one.
 */
#include "ring.h"

/* Runs looked at on another CPU, to see whether the same task is there. */
#define AHEAD 16

static inline bool sooner(const struct turn *a, const struct turn *b)
{
	return a->ns < b->ns || (a->ns == b->ns && a->stream < b->stream);
}

static void sink(struct turn *turns, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, child = 2 * at + 1;

		if (child < n && sooner(&turns[child], &turns[least]))
			least = child;
		if (child + 1 < n && sooner(&turns[child + 1], &turns[least]))
			least = child + 1;
		if (least == at)
			return;
		struct turn other = turns[at];

		turns[at] = turns[least];
		turns[least] = other;
		at = least;
	}
}

/* What is put in order: whether a CPU has some left, and when; and how the next is taken. */
struct kind {
	bool (*next)(const struct specials *list, uint64_t *ns);
	bool (*take)(struct ring_worker *worker, struct window *w, int stream);
};

static bool in_turn(struct ring_worker *worker, struct window *w, const struct kind *kind)
{
	struct turn *turns = worker->turns;
	size_t n = 0;

	for (int i = 0; i < worker->stream_count; i++)
		if (kind->next(&worker->specials[i], &turns[n].ns))
			turns[n++].stream = i;
	for (size_t at = n; at-- > 0;)
		sink(turns, n, at);
	while (n) {
		if (!kind->take(worker, w, turns->stream))
			return false;
		if (!kind->next(&worker->specials[turns->stream], &turns->ns))
			*turns = turns[--n];
		sink(turns, n, 0);
	}
	return true;
}

static bool next_edge(const struct specials *list, uint64_t *ns)
{
	if (list->edge == list->edges_used)
		return false;
	*ns = list->edges[list->edge].ns;
	return true;
}

/* Lowers `limit` to where a list may go on with a task, up to a time. */
static void look_ahead(const struct specials *list, int stream, int32_t tid, uint64_t until,
		       struct turn *limit)
{
	struct turn begin = {.stream = stream};

	for (size_t ahead = 0, k = list->run; k < list->runs_used; ahead++, k++) {
		begin.ns = list->edges[ahead ? list->runs[k].begin : list->edge].ns;
		if (begin.ns > until)
			return;
		if (list->runs[k].tid == tid || ahead == AHEAD) {
			if (sooner(&begin, limit))
				*limit = begin;
			return;
		}
	}
}

/* Up to where a task's run can be taken: until the task is on another CPU. */
static struct turn limit_of(const struct ring_worker *worker, const struct task *task, int stream,
			    uint64_t until)
{
	struct turn limit = {.ns = END_OF_TIME, .stream = stream + 1};
	bool alone = !(task->cpus & (task->cpus - 1)) && worker->stream_count <= 64;

	for (int i = 0; i < worker->stream_count && !alone; i++)
		if (i != stream && task->cpus >> (i & 63) & 1)
			look_ahead(&worker->specials[i], i, task->tid, until, &limit);
	return limit;
}

static bool take_edges(struct ring_worker *worker, struct window *w, int stream)
{
	struct specials *list = &worker->specials[stream];
	const struct run *run = &list->runs[list->run];
	size_t stop = list->run + 1 < list->runs_used ? run[1].begin : list->edges_used;
	struct task *task = task_of(&w->tasks, run->tid);

	if (!task)
		return false;
	struct turn now = {.stream = stream};
	struct turn limit = limit_of(worker, task, stream, list->edges[stop - 1].ns);
	bool fine = true;

	do {
		const struct edge *edge = &list->edges[list->edge++];

		if (worker->plan->abi.wanted)
			fine = fine && bytes_add(&w->edges, edge, sizeof *edge);
		else if (edge->what == LEAVES)
			fine = fine && task_leaves(&worker->calls, task, &(struct left){
				.ns = edge->ns, .nr = edge->nr, .ret = edge->value,
			});
		else
			fine = fine && task_enters(&worker->calls, task, &(struct entered){
				.ns = edge->ns, .nr = edge->nr, .request = edge->value,
			});
		if (list->edge == stop) {
			list->run++;
			break;
		}
		now.ns = list->edges[list->edge].ns;
	} while (sooner(&now, &limit));
	return fine;
}

static bool next_life(const struct specials *list, uint64_t *ns)
{
	if (list->life == list->lives.used)
		return false;
	*ns = word_at(list->lives.at + list->life + offsetof(struct ring_life, ns));
	return true;
}

static bool take_life(struct ring_worker *worker, struct window *w, int stream)
{
	struct specials *list = &worker->specials[stream];
	const uint8_t *at = list->lives.at + list->life;
	struct ring_life life;

	memcpy(&life, at, sizeof life);
	list->life += sizeof life + life.length;
	return bytes_add(&w->lives, at, sizeof life + life.length);
}

bool ring_merge(struct ring_worker *worker, struct window *w)
{
	static const struct kind edges = {next_edge, take_edges}, lives = {next_life, take_life};

	for (int i = 0; i < worker->stream_count; i++) {
		struct specials *list = &worker->specials[i];

		list->edge = list->run = list->life = 0;
	}
	return in_turn(worker, w, &edges) && in_turn(worker, w, &lives);
}
