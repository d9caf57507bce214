/* Which part of a line decides what it means, and finding that among the meanings known. */
#define _GNU_SOURCE
#include "strace.h"

int mode_of(const struct names *names, const uint8_t *name, uint32_t length)
{
	struct name key = {.hash = hash_bytes(name, length) | 1, .text = name, .length = length};
	size_t at = key.hash & (names->size - 1);

	if (!names->size)
		return NAME;
	for (; names->slots[at].hash; at = (at + 1) & (names->size - 1))
		if (names->slots[at].hash == key.hash && names_same(&names->slots[at], &key))
			return names->slots[at].mode;
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
	} else if (mode == EXEC && p < end && *p == '"') {
		/* The path; what else there is differs from run to run. */
		for (p++; p < end && *p != '"'; p++)
			p += *p == '\\';
		if (end - p > 1 && p[1] == ',')
			*to = p + 1;
	}
}

/* The word of a line's outcome: an errno, ? or nothing. */
static const uint8_t *outcome(const struct line *l, size_t *length)
{
	*length = l->error_end - l->error;
	if (*length)
		return l->error;
	*length = *l->result == '?';
	return l->result;
}

bool ask(struct question *q, const struct line *l, const uint8_t *from, const uint8_t *to, int mode)
{
	size_t outcome_length, result_length = mode == OPENED ? l->result_end - l->result : 0;
	const uint8_t *word = outcome(l, &outcome_length);

	q->length = 0;
	q->tag = (uint8_t)mode;
	if (mode == MMAP && memmem(from, to - from, "MAP_ANON", 8))
		q->tag = NAME;
	q->result = mode == OPENED;
	decisive(mode, &from, &to);
	q->from = from;
	q->to = to;
	size_t length = 3 + l->name_length + outcome_length + (to - from) + q->result + result_length;

	if (length > BODY)
		return false;
	q->length = (uint32_t)length;
	q->hash = mix(hash_bytes(l->name, l->name_length) + q->tag);
	q->hash = mix(q->hash ^ hash_bytes(word, outcome_length));
	q->hash = mix(q->hash ^ hash_bytes(from, to - from));
	if (q->result)
		q->hash = mix(q->hash ^ hash_bytes(l->result, result_length));
	q->hash |= 1;
	return true;
}

/*
 * The text of a question: tag, name, outcome, arguments and, if it decides, the result, with a 0
 * between them. `each` is given part after part until it says false.
 */
static bool parts(const struct question *q, const struct line *l,
		  bool (*each)(uint8_t **at, const uint8_t *p, size_t n), uint8_t *at)
{
	static const uint8_t zero;
	size_t n;
	const uint8_t *word = outcome(l, &n);

	return each(&at, &q->tag, 1) && each(&at, l->name, l->name_length) && each(&at, &zero, 1) &&
	       each(&at, word, n) && each(&at, &zero, 1) && each(&at, q->from, q->to - q->from) &&
	       (!q->result ||
		(each(&at, &zero, 1) && each(&at, l->result, l->result_end - l->result)));
}

static bool part_same(uint8_t **at, const uint8_t *p, size_t n)
{
	bool same = !memcmp(*at, p, n);

	*at += n;
	return same;
}

static bool part_copy(uint8_t **at, const uint8_t *p, size_t n)
{
	memcpy(*at, p, n);
	*at += n;
	return true;
}

struct meaning *meaning_of(struct meanings *t, const struct question *q, const struct line *l)
{
	size_t at = q->hash & (t->size - 1);

	if (!t->size)
		return NULL;
	for (; t->slots[at].hash; at = (at + 1) & (t->size - 1)) {
		struct meaning *m = &t->slots[at];

		if (m->hash == q->hash && m->length == q->length &&
		    parts(q, l, part_same, (uint8_t *)m->text))
			return m;
	}
	return NULL;
}

void scanner_learn(struct scanner *s, int32_t kind, int32_t effect)
{
	const struct question *q = &s->question;
	uint8_t text[BODY];
	bool fresh;

	if (!q->length || s->text_bytes > MOST_TEXT || meaning_of(&s->meanings, q, s->line))
		return;
	parts(q, s->line, part_copy, text);
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
