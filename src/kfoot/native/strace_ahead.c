/*
 * Lines are taken apart ahead of the one that counts them, batch by batch. That needs nothing of
 * what was read before: only what they mean does.
 */
#include "strace.h"

static void prepare(const struct ahead *a, struct ready *r)
{
	struct line *l = &r->line;

	r->mode = HANDED;
	r->question.length = 0;
	r->plain = r->to - r->from <= MOST_LINE && strace_line(r->from, r->to, a->with_time, l);
	if (r->to - r->from > MOST_LINE)
		l->pid = UNTOLD;
	if (!r->plain || l->form == SIGNAL)
		return;
	r->mode = (int8_t)mode_of(a->names, l->name, l->name_length);
	if (l->form == CALL && r->mode != HANDED)
		ask(&r->question, l, l->args, l->args_end, r->mode);
}

static void fill(struct ahead *a, struct batch *b)
{
	for (b->used = 0; b->used < BATCH && a->at < a->end; b->used++) {
		struct ready *r = &b->lines[b->used];

		r->from = a->at;
		r->to = memchr(a->at, '\n', a->end - a->at);
		a->at = r->to + 1;
		prepare(a, r);
	}
}

static void *run(void *argument)
{
	struct ahead *a = argument;

	pthread_mutex_lock(&a->lock);
	while (!a->stopped && a->at < a->end) {
		if (a->filled - a->emptied == BATCHES) {
			/* Until there is half the ring to fill: fewer turns, less waking. */
			while (!a->stopped && a->filled - a->emptied > BATCHES / 2)
				pthread_cond_wait(&a->moved, &a->lock);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		fill(a, &a->batches[a->filled % BATCHES]);
		pthread_mutex_lock(&a->lock);
		if (a->filled++ == a->emptied)
			pthread_cond_signal(&a->moved);
	}
	a->done = true;
	pthread_cond_signal(&a->moved);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

bool ahead_init(struct ahead *a, const struct names *names, bool with_time)
{
	a->names = names;
	a->with_time = with_time;
	a->batches = malloc(BATCHES * sizeof *a->batches);
	return a->batches && !pthread_mutex_init(&a->lock, NULL) &&
	       !pthread_cond_init(&a->moved, NULL);
}

void ahead_free(struct ahead *a)
{
	if (a->batches)
		ahead_stop(a);
	free(a->batches);
}

void ahead_start(struct ahead *a, const uint8_t *from, const uint8_t *to, bool thread)
{
	a->at = from;
	a->end = to;
	a->batch = NULL;
	a->filled = a->emptied = 0;
	a->done = a->stopped = false;
	a->running = thread && !pthread_create(&a->thread, NULL, run, a);
}

void ahead_stop(struct ahead *a)
{
	if (a->running) {
		pthread_mutex_lock(&a->lock);
		a->stopped = true;
		pthread_cond_signal(&a->moved);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
		a->running = false;
	}
	a->batch = NULL;
	a->at = a->end;
}

/* Waits for the next batch, giving the last one back; NULL at the end of the piece. */
static struct batch *turn(struct ahead *a)
{
	bool any;

	if (!a->running) {
		fill(a, a->batches);
		return a->batches->used ? a->batches : NULL;
	}
	pthread_mutex_lock(&a->lock);
	if (a->batch && a->filled - ++a->emptied == BATCHES / 2)
		pthread_cond_signal(&a->moved);
	while (a->filled == a->emptied && !a->done)
		pthread_cond_wait(&a->moved, &a->lock);
	any = a->filled != a->emptied;
	pthread_mutex_unlock(&a->lock);
	return any ? &a->batches[a->emptied % BATCHES] : NULL;
}

const struct ready *ahead_next(struct ahead *a)
{
	if (!a->batch || a->next == a->batch->used) {
		a->batch = turn(a);
		a->next = 0;
	}
	return a->batch ? &a->batch->lines[a->next++] : NULL;
}
