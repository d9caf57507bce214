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

static int mode_of(struct scanner *s, const uint8_t *name, uint32_t length)
{
	struct name key = {.hash = hash_bytes(name, length) | 1, .text = name, .length = length};
	size_t at = key.hash & (s->names.size - 1);

	if (!s->names.size)
		return NAME;
	for (; s->names.slots[at].hash; at = (at + 1) & (s->names.size - 1))
		if (s->names.slots[at].hash == key.hash && names_same(&s->names.slots[at], &key))
			return s->names.slots[at].mode;
	return NAME;
}

/* What of the arguments decides; their end when all do. */
static void decisive(int mode, const uint8_t **from, const uint8_t **to)
{
	const uint8_t *p = *from, *end = *to, *comma;

	if (mode == NAME) {
		*to = p;
	} else if (mode == FIRST) {
		comma = memchr(p, ',', end - p);
		if (comma)
			*to = comma;
	} else if (mode == IOCTL) {
		comma = memchr(p, ',', end - p);
		if (!comma || end - comma < 2 || comma[1] != ' ')
			return;
		/* A name with a comma in it: leave the text whole. */
		if (memchr(p, '<', comma - p) && comma[-1] != '>')
			return;
		p = comma + 2;
		if (end - p > 5 && !memcmp(p, "_IOC(", 5)) {
			p = memchr(p, ')', end - p);
			if (!p)
				return;
		}
		comma = memchr(p, ',', end - p);
		if (comma && end - comma >= 2 && comma[1] == ' ')
			*to = comma;
	} else if (mode == MMAP) {
		if (memmem(p, end - p, "MAP_ANON", 8)) {
			*to = p;
			return;
		}
		for (int i = 0; i < 4; i++) {
			comma = memchr(p, ',', end - p);
			if (!comma || end - comma < 2 || comma[1] != ' ')
				return;
			p = comma + 2;
		}
		*from = p;
	}
}

static void add(struct question *q, const uint8_t *p, size_t n)
{
	q->piece[q->pieces].p = p;
	q->piece[q->pieces++].n = n;
	q->length += (uint32_t)n;
}

/* Puts what decides the meaning of a call into s->question; false: too long. */
static bool ask(struct scanner *s, const struct line *l, const struct tracee *t, int mode)
{
	static const uint8_t tags[] = {NAME, FIRST, ARGS, OPENED, IOCTL, MMAP}, zero;
	struct question *q = &s->question;
	const uint8_t *from = l->args, *to = l->args_end;
	int tag = mode;

	if (l->form == RESUMED && mode != NAME) {
		size_t before = t->begun_length - t->begun_name - 1, behind = l->args_end - l->args;

		if (before + behind > sizeof s->joined)
			return false;
		memcpy(s->joined, t->begun + t->begun_name + 1, before);
		memcpy(s->joined + before, l->args, behind);
		from = s->joined;
		to = s->joined + before + behind;
	}
	if (mode == MMAP && memmem(from, to - from, "MAP_ANON", 8))
		tag = NAME;
	decisive(mode, &from, &to);
	if (to - from > BODY)
		return false;
	q->length = 0;
	add(q, &tags[tag], 1);
	add(q, l->name, l->name_length);
	add(q, &zero, 1);
	if (l->error != l->error_end)
		add(q, l->error, l->error_end - l->error);
	else if (*l->result == '?')
		add(q, l->result, 1);
	add(q, &zero, 1);
	add(q, from, to - from);
	if (mode == OPENED) {
		add(q, &zero, 1);
		add(q, l->result, l->result_end - l->result);
	}
	if (q->length > BODY) {
		q->pieces = 0;
		return false;
	}
	q->hash = (uint64_t)tag;
	for (int i = 1; i < q->pieces; i++)
		q->hash = mix(q->hash ^ hash_bytes(q->piece[i].p, q->piece[i].n));
	q->hash |= 1;
	return true;
}

static bool answers(const struct meaning *m, const struct question *q)
{
	const uint8_t *text = m->text;

	if (m->hash != q->hash || m->length != q->length)
		return false;
	for (int i = 0; i < q->pieces; text += q->piece[i++].n)
		if (memcmp(text, q->piece[i].p, q->piece[i].n))
			return false;
	return true;
}

static struct meaning *meaning_of(struct scanner *s)
{
	size_t at = s->question.hash & (s->meanings.size - 1);

	if (!s->meanings.size)
		return NULL;
	for (; s->meanings.slots[at].hash; at = (at + 1) & (s->meanings.size - 1))
		if (answers(&s->meanings.slots[at], &s->question))
			return &s->meanings.slots[at];
	return NULL;
}

void scanner_learn(struct scanner *s, int32_t kind, int32_t effect)
{
	const struct question *q = &s->question;
	uint8_t text[BODY], *p = text;
	bool fresh;

	if (!q->pieces || s->text_bytes > MOST_TEXT || meaning_of(s))
		return;
	for (int i = 0; i < q->pieces; p += q->piece[i++].n)
		memcpy(p, q->piece[i].p, q->piece[i].n);
	struct meaning key = {
		.hash = q->hash,
		.text = arena_copy(&s->texts, text, q->length),
		.length = q->length,
		.kind = kind,
		.effect = effect,
	};
	s->text_bytes += q->length;
	if (!key.text || !meanings_find(&s->meanings, &key, &fresh))
		s->failed = true;
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
	s->timed |= s->last_time_length > 0;
	s->last_time_length = 0;
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
	struct tracee *t = scanner_tracee(s, s->pid);

	if (!t) {
		s->failed = true;
		return false;
	}
	scanner_learn(s, keep ? kind : CHANGING, effect);
	return count(s, t, &s->line, kind);
}

/* A line of a call of a task in order; false: Python's, ANY. */
static bool take_call(struct scanner *s, struct tracee *t, const struct line *l, int mode)
{
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
	struct meaning *m = ask(s, l, t, mode) ? meaning_of(s) : NULL;

	if (!m || m->kind == CHANGING) {
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

/* Deals with the line between s->from and s->to; s->why says whether and why it is handed over. */
static void take(struct scanner *s, bool force)
{
	struct line *l = &s->line;

	s->why = ANY;
	s->question.pieces = 0;
	s->own_time = false;
	bool plain = strace_line(s->from, s->to, s->with_time, l);

	s->pid = l->pid;
	if (!plain)
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
	} else {
		int mode = mode_of(s, l->name, l->name_length);

		if (mode == HANDED || !known) {
			/* Its meaning may be learned, where Python then finds the task in order. */
			if (mode != HANDED && l->form == CALL && !t->holds)
				ask(s, l, t, mode);
			return;
		}
		if (!take_call(s, t, l, mode)) {
			s->why = ANY;
			return;
		}
	}
	if (l->at_length) {
		memcpy(s->last_time, l->at, l->at_length);
		s->last_time_length = l->at_length;
	}
}

bool scanner_next(struct scanner *s, bool force)
{
	while (s->at < s->end && !s->failed) {
		s->from = s->at;
		s->to = memchr(s->at, '\n', s->end - s->at);
		s->at = s->to + 1;
		s->lines++;
		if (s->to - s->from > MOST_LINE) {
			s->why = TOO_LONG;
			s->pid = UNTOLD;
			s->own_time = false;
			s->question.pieces = 0;
			return true;
		}
		take(s, force);
		if (s->why != COUNTED)
			return !s->failed;
	}
	return false;
}

void scanner_free(struct scanner *s)
{
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
