/* The work of `kfoot._native.Strace` between two lines for Python: counts those that repeat. */
#define _GNU_SOURCE
#include "strace.h"

struct tracee *scanner_tracee(struct scanner *s, int32_t pid)
{
	struct tracee key = {.pid = pid, .last = -1};
	bool fresh;

	if (s->recent && s->recent->pid == pid)
		return s->recent;
	key.hash = mix((uint32_t)pid + 1u) | 1;
	s->recent = tracees_find(&s->tracees, &key, &fresh);
	return s->recent;
}

/* Room for one more in an array that grows; NULL: no memory. */
static void *room(void *array, size_t count, size_t *size, size_t each)
{
	if (count < *size)
		return array;
	size_t larger = *size ? *size * 2 : 256;
	void *moved = realloc(array, larger * each);

	if (moved)
		*size = larger;
	return moved;
}

static void make_dirty(struct scanner *s, struct tracee *t)
{
	if (t->dirty)
		return;
	int32_t *dirty = room(s->dirty, s->dirty_count, &s->dirty_size, sizeof *dirty);

	if (!dirty) {
		s->failed = true;
		return;
	}
	s->dirty = dirty;
	s->dirty[s->dirty_count++] = t->pid;
	t->dirty = true;
}

bool scanner_effect(struct scanner *s, int32_t fd)
{
	int32_t *fds = room(s->fds, s->fd_count, &s->fd_size, sizeof *fds);

	if (!fds)
		return false;
	s->fds = fds;
	s->fds[s->fd_count++] = fd;
	return true;
}

static void note_effect(struct scanner *s, int32_t files, int32_t effect)
{
	struct waiting key = {.files = files, .fd = s->fds[effect]};
	bool fresh;

	key.hash = mix((uint64_t)(uint32_t)files << 32 | (uint32_t)key.fd) | 1;
	struct waiting *w = waitings_find(&s->waitings, &key, &fresh);
	struct effect *effects = room(s->effects, s->effect_count, &s->effect_size, sizeof *effects);

	if (effects)
		s->effects = effects;
	if (!w || !effects) {
		s->failed = true;
		return;
	}
	if (fresh || w->flush != s->flush) {
		w->flush = s->flush;
		w->at = s->effect_count++;
	}
	s->effects[w->at] = (struct effect){files, effect};
}

void scanner_flushed(struct scanner *s)
{
	s->effect_count = s->dirty_count = 0;
	s->timed |= s->last_time.length > 0;
	s->first_time.length = s->last_time.length = 0;
	s->flush++;
	if (s->waitings.used > MOST_EFFECTS)
		waitings_free(&s->waitings);
}

static void hold(struct scanner *s, struct tracee *t, const struct line *l)
{
	size_t length = l->name_length + 1 + (l->args_end - l->args);

	if (length > t->begun_size) {
		uint8_t *begun = realloc(t->begun, length);

		if (!begun) {
			s->failed = true;
			return;
		}
		t->begun = begun;
		t->begun_size = (uint32_t)length;
	}
	memcpy(t->begun, l->name, length); /* name, "(" and arguments stand together */
	t->begun_length = (uint32_t)length;
	t->begun_name = l->name_length;
	t->begun_line = s->lines;
	t->holds = true;
}

struct repeat *scanner_repeat(struct scanner *s, int32_t image, int32_t kind)
{
	struct repeat key = {.image = image, .kind = kind};
	bool fresh;

	key.hash = mix((uint64_t)(uint32_t)image << 32 | (uint32_t)kind) | 1;
	struct repeat *r = repeats_find(&s->repeats, &key, &fresh);

	if (!r)
		s->failed = true;
	return r;
}

/* Counts a call of a task; true: its step has to be kept by Python. */
static bool count(struct scanner *s, struct tracee *t, const struct line *l, int32_t kind)
{
	struct repeat *r = scanner_repeat(s, t->image, kind);

	if (!r)
		return false;
	r->calls++;
	r->ns = add_to(r->ns, l->ns);
	r->timed |= l->timed;
	if (t->last == kind) {
		t->folds++;
		make_dirty(s, t);
	} else if (s->full) {
		t->last = -1;
		t->cut = true;
		make_dirty(s, t);
		s->cut++;
	} else {
		t->last = kind;
		return true;
	}
	return false;
}

bool scanner_meant(struct scanner *s, int32_t kind, int32_t effect, bool keep)
{
	struct tracee *t = s->line ? scanner_tracee(s, s->line->pid) : NULL;

	if (!t) {
		s->failed = true;
		return false;
	}
	if (keep)
		scanner_learn(s, kind, effect);
	return count(s, t, s->line, kind);
}

/* The question of a call that was split. */
static bool ask_joined(struct scanner *s, const struct tracee *t, const struct line *l, int mode)
{
	size_t before = t->begun_length - t->begun_name - 1, behind = l->args_end - l->args;

	s->question.length = 0;
	if (mode == NAME)
		return ask(&s->question, l, l->args, l->args_end, mode);
	if (before + behind > sizeof s->joined)
		return false;
	memcpy(s->joined, t->begun + t->begun_name + 1, before);
	memcpy(s->joined + before, l->args, behind);
	return ask(&s->question, l, s->joined, s->joined + before + behind, mode);
}

/* A line of a call of a task in order; false: Python's, ANY. */
static bool take_call(struct scanner *s, struct tracee *t, const struct ready *ready)
{
	const struct line *l = &ready->line;

	if (l->form == BEGUN) {
		if (t->holds || l->args_end - l->args > 65536)
			return false;
		hold(s, t, l);
		s->why = COUNTED;
		return true;
	}
	if (t->holds != (l->form == RESUMED))
		return false;
	if (t->holds && (t->begun_name != l->name_length ||
			 memcmp(t->begun, l->name, l->name_length)))
		return false;
	/* An exec that worked makes another image. */
	if (ready->mode == EXEC && l->error == l->error_end)
		return false;
	const struct question *q = &ready->question;

	if (t->holds) {
		ask_joined(s, t, l, ready->mode);
		q = &s->question;
	}
	struct meaning *m = q->length ? meaning_of(&s->meanings, q, l) : NULL;

	if (!m) {
		s->question = *q;
		s->why = OWN;
		return !t->aliased;
	}
	s->kind = m->kind;
	t->holds = false;
	s->why = count(s, t, l, m->kind) ? STEP : COUNTED;
	if (m->effect >= 0)
		note_effect(s, t->files, m->effect);
	return true;
}

/* Deals with a line; s->why says whether and why it is handed over. */
static void take(struct scanner *s, const struct ready *ready, bool force)
{
	const struct line *l = &ready->line;

	s->why = ready->to - ready->from > MOST_LINE ? TOO_LONG : ANY;
	s->ready = ready;
	s->line = l;
	s->question.length = 0;
	s->own_time = false;
	if (!ready->plain)
		return;
	struct tracee *t = scanner_tracee(s, l->pid);

	if (!t) {
		s->failed = true;
		return;
	}
	bool clock = l->at_length > 2 && l->at[2] == ':';
	bool hour = !clock || !memcmp(s->hour, l->at, 2);

	s->own_time = l->at_length && !clock;
	if (clock)
		memcpy(s->hour, l->at, 2);
	if (force || !hour || s->effect_count >= MOST_EFFECTS)
		return;
	bool known = t->epoch == s->epoch;

	if (l->form == SIGNAL) {
		if (!known)
			return;
		s->why = COUNTED; /* it says nothing but that the task is there */
	} else if (!known || ready->mode == HANDED) {
		/* Its meaning may be learned, where Python then finds the task in order. */
		if (l->form == CALL && !t->holds)
			s->question = ready->question;
		return;
	} else if (!take_call(s, t, ready)) {
		s->why = ANY;
		return;
	}
	if (l->at_length) {
		memcpy(s->last_time.text, l->at, l->at_length);
		s->last_time.length = l->at_length;
		if (!s->timed && !s->first_time.length)
			s->first_time = s->last_time;
	}
}

bool scanner_next(struct scanner *s, bool force)
{
	const struct ready *ready;

	s->line = NULL;
	while (!s->failed && (ready = ahead_next(&s->ahead))) {
		s->lines++;
		take(s, ready, force);
		if (s->why != COUNTED)
			return !s->failed;
	}
	return false;
}

void scanner_free(struct scanner *s)
{
	ahead_free(&s->ahead);
	for (size_t i = 0; i < s->tracees.size; i++)
		if (s->tracees.slots[i].hash)
			free(s->tracees.slots[i].begun);
	names_free(&s->names);
	meanings_free(&s->meanings);
	repeats_free(&s->repeats);
	tracees_free(&s->tracees);
	arena_free(&s->texts);
	waitings_free(&s->waitings);
	free(s->effects);
	free(s->fds);
	free(s->dirty);
}
