/* Where the events of ftrace text are counted: first in the nearest cache. */
#ifndef KFOOT_TEXT_HOT_H
#define KFOOT_TEXT_HOT_H

#include "text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

extern uint64_t text_name_mask[NAME_BYTES][NAME_WORDS]; /* by length: the bytes of a name */

/* Where records of this name, task and context are counted; NULL when memory is out. */
struct text_hot *text_hot_of(struct text_part *part, const struct record *r, const uint8_t *text,
			     size_t length);

/* A line that holds a record. */
struct found {
	const uint8_t *line, *dash, *stop;
	struct record record;
	struct text_head *head; /* that says whose it is; NULL: the line itself does */
	struct text_hot *hot;	/* where the event is counted; NULL: not looked up yet */
};

/* Where heads like this one are; `point` is at least LEAST_POINT. */
static inline struct text_head *head_place(struct text_part *part, const uint8_t *line,
					   size_t point)
{
	uint64_t h = word_at(line + COLUMN) * 0x9E3779B97F4A7C15ull ^
		     word_at(line + COLUMN + 8) * 0xBF58476D1CE4E5B9ull ^
		     word_at(line + point - 8) * 0x94D049BB133111EBull;

	return &part->heads[(h >> 32) % HEADS];
}

/* The task of a line that was taken apart; NULL when memory is out. */
struct task *text_task_at(struct text_part *part, const struct found *f);

/* By the name of an event. */
uint8_t text_role_of(const uint8_t *name, size_t length);

static inline bool is_name(const uint8_t *name, size_t length, const char *word)
{
	return length == strlen(word) && !memcmp(name, word, length);
}

/* Where a name, a task and a context have their place. */
static inline struct text_hot *hot_place(struct text_part *part, const uint64_t *words,
					 uint64_t who)
{
	uint64_t h = words[0] * 0x9E3779B97F4A7C15ull ^ words[1] * 0xBF58476D1CE4E5B9ull ^
		     words[2] * 0x94D049BB133111EBull ^ words[3] * 0xFF51AFD7ED558CCDull;

	return &part->hot[(h + who * 0xC2B2AE3D27D4EB4Full) >> (64 - HOT_BITS)];
}

static inline bool same_hot(const struct text_hot *hot, const uint64_t *words, uint64_t who)
{
	return !((hot->who ^ who) | (hot->words[0] ^ words[0]) | (hot->words[1] ^ words[1]) |
		 (hot->words[2] ^ words[2]) | (hot->words[3] ^ words[3]));
}

static inline uint64_t who_of(const struct record *r)
{
	return ((uint64_t)r->tid << 3 | r->context) + 1;
}

/* Where the first colon is; NAME_BYTES when it is not among that many. */
static inline size_t colon_at(const uint8_t *p)
{
#ifdef __SSE2__
	const __m128i colon = _mm_set1_epi8(':');
	__m128i low = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), colon);
	__m128i high = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 16)), colon);
	uint32_t found = (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;

	return found ? (size_t)__builtin_ctz(found) : NAME_BYTES;
#else
	size_t at = 0;

	while (at < NAME_BYTES && p[at] != ':')
		at++;
	return at;
#endif
}

/* Whether a line begins as `head` says; HEAD_BYTES can be read. */
static inline bool same_head(const uint8_t *line, const struct text_head *head)
{
#ifdef __SSE2__
	uint64_t same = 0;

	for (int i = 0; i < HEAD_BYTES; i += 16) {
		__m128i one = _mm_loadu_si128((const __m128i *)(line + i));
		__m128i other = _mm_loadu_si128((const __m128i *)(head->bytes + i));

		same |= (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(one, other)) << i;
	}
	return !(~same << (HEAD_BYTES - head->length));
#else
	return same_bytes(line, head->bytes, head->length);
#endif
}

/*
 * Where the event at `p` is counted, if it is one of those at hand: a name that was one before
 * and has its ":" is one again, and its characters need not be looked at. NULL: look closer.
 * NAME_BYTES can be read.
 */
static inline struct text_hot *hot_again(struct text_part *part, const uint8_t *p,
					 struct record *r)
{
	size_t length = colon_at(p);
	uint64_t words[NAME_WORDS], who = who_of(r);

	if (length == NAME_BYTES)
		return NULL;
	memcpy(words, p, sizeof words);
	for (int i = 0; i < NAME_WORDS; i++)
		words[i] &= text_name_mask[length][i];
	struct text_hot *hot = hot_place(part, words, who);

	if (!same_hot(hot, words, who))
		return NULL;
	r->name = p;
	r->name_length = length;
	r->mark = ':';
	r->behind = p + length + 1;
	return hot;
}

#endif
