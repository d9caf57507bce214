/*
 * Lines are taken apart ahead of the one that counts them. That needs nothing of what was read
 * before: only what they mean does.
 */
#define _GNU_SOURCE
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

/* The next lines of a slice, as many as there is room for. */
static void fill(const struct ahead *a, struct slice *s)
{
	for (s->used = 0; s->used < BATCH && s->at < s->end; s->used++) {
		struct ready *r = &s->lines[s->used];

		r->from = s->at;
		r->to = memchr(s->at, '\n', s->end - s->at);
		s->at = r->to + 1;
		prepare(a, r);
	}
}

/* With the lock held: takes the next slice apart, if there is one and room for it. */
static bool work(struct ahead *a)
{
	if (a->at == a->end || a->taken - a->emptied == SLICES)
		return false;
	struct slice *s = &a->slices[a->taken++ % SLICES];
	const uint8_t *end = a->end;

	if (end - a->at > SLICE)
		end = (const uint8_t *)memchr(a->at + SLICE, '\n', end - a->at - SLICE) + 1;
	s->ready = false;
	s->at = a->at;
	a->at = s->end = end;
	pthread_mutex_unlock(&a->lock);
	fill(a, s);
	pthread_mutex_lock(&a->lock);
	s->ready = true;
	return true;
}

static void *run(void *argument)
{
	struct ahead *a = argument;

	pthread_mutex_lock(&a->lock);
	while (!a->stopped && a->at < a->end) {
		if (work(a)) {
			pthread_cond_signal(&a->moved);
			continue;
		}
		/* Until there is half the ring to fill: fewer turns, less waking. */
		while (!a->stopped && a->taken - a->emptied > SLICES / 2)
			pthread_cond_wait(&a->moved, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

bool ahead_init(struct ahead *a, const struct names *names, bool with_time)
{
	a->names = names;
	a->with_time = with_time;
	a->slices = malloc(SLICES * sizeof *a->slices);
	return a->slices && !pthread_mutex_init(&a->lock, NULL) &&
	       !pthread_cond_init(&a->moved, NULL);
}

void ahead_free(struct ahead *a)
{
	if (a->slices)
		ahead_stop(a);
	free(a->slices);
}

void ahead_start(struct ahead *a, const uint8_t *from, const uint8_t *to, bool thread)
{
	a->at = from;
	a->end = to;
	a->slice = NULL;
	a->taken = a->emptied = 0;
	a->stopped = false;
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
	a->slice = NULL;
	a->at = a->end;
	a->taken = a->emptied = 0;
}

/* The next slice, giving the last one back; NULL at the end of the piece. */
static struct slice *turn(struct ahead *a)
{
	struct slice *next = NULL;

	pthread_mutex_lock(&a->lock);
	if (a->slice && a->taken - ++a->emptied == SLICES / 2)
		pthread_cond_signal(&a->moved);
	for (;;) {
		if (a->taken == a->emptied) {
			if (!work(a))
				break;
		} else if (a->slices[a->emptied % SLICES].ready) {
			next = &a->slices[a->emptied % SLICES];
			break;
		} else if (!work(a)) {
			pthread_cond_wait(&a->moved, &a->lock);
		}
	}
	pthread_mutex_unlock(&a->lock);
	return next;
}

const struct ready *ahead_next(struct ahead *a)
{
	if (!a->slice || a->next == a->slice->used) {
		if (a->slice && a->slice->at < a->slice->end)
			fill(a, a->slice);
		else
			a->slice = turn(a);
		a->next = 0;
	}
	return a->slice ? &a->slice->lines[a->next++] : NULL;
}
