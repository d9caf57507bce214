/* Hash tables that grow: open addressing, at most half full, counts as values.
 *
 * Every function that inserts returns NULL when memory is out; the caller stops and says so.
 */
#ifndef KFOOT_TABLE_H
#define KFOOT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Sums of time stop here, as MOST_NS of ftrace_tally.py. */
#define MOST ((uint64_t)INT64_MAX)

static inline uint64_t add_to(uint64_t sum, uint64_t more)
{
	return more > MOST - sum ? MOST : sum + more;
}

static inline uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9E3779B97F4A7C15ull;
	h ^= h >> 29;
	h *= 0xBF58476D1CE4E5B9ull;
	return h ^ (h >> 32);
}

/* A bit that no slot is looked for by, for hashes that might be 0. */
#define NOT_EMPTY (1ull << 63)

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, 8);
	return word;
}

/* Fewer than 8 bytes as one number. */
static inline uint64_t short_word(const uint8_t *p, size_t n)
{
	uint32_t low, high;

	if (n >= 4) {
		memcpy(&low, p, 4);
		memcpy(&high, p + n - 4, 4);
		return (uint64_t)high << 32 | low;
	}
	return n ? p[0] | p[n / 2] << 8 | p[n - 1] << 16 : 0;
}

static inline uint64_t hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = 0x51ED270B9F3C2D17ull ^ n, last = n >= 8 ? word_at(p + n - 8) : short_word(p, n);

	for (; n > 8; p += 8, n -= 8) {
		h = (h ^ word_at(p)) * 0xFF51AFD7ED558CCDull;
		h ^= h >> 32;
	}
	h = (h ^ last) * 0xFF51AFD7ED558CCDull;
	return h ^ h >> 32;
}

/* memcmp(a, b, n) == 0 for the few bytes of a name. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	if (n < 8)
		return short_word(a, n) == short_word(b, n);
	uint64_t differ = word_at(a + n - 8) ^ word_at(b + n - 8);

	for (; n > 8; a += 8, b += 8, n -= 8)
		differ |= word_at(a) ^ word_at(b);
	return !differ;
}

/*
 * Zeroed memory for a table. Written, not calloc'd: a page of calloc that is read before it is
 * written faults twice, and the second fault interrupts the other threads' processors.
 */
static inline void *zeroed(size_t count, size_t size)
{
	void *p = count > SIZE_MAX / size ? NULL : malloc(count * size);

	__asm__("" : "+r"(p)); /* else the compiler makes calloc of the two */
	return p ? memset(p, 0, count * size) : NULL;
}

/* Memory that is only ever given back as a whole. */
struct arena {
	struct arena_block {
		struct arena_block *next;
		size_t used, size;
		uint8_t data[];
	} *head;
};

static inline uint8_t *arena_copy(struct arena *a, const uint8_t *p, size_t n)
{
	if (!a->head || a->head->size - a->head->used < n) {
		size_t size = n > 65536 ? n : 65536;
		struct arena_block *block = malloc(sizeof *block + size);

		if (!block)
			return NULL;
		block->next = a->head;
		block->used = 0;
		block->size = size;
		a->head = block;
	}
	uint8_t *copy = a->head->data + a->head->used;

	if (n)
		memcpy(copy, p, n);
	a->head->used += n;
	return copy;
}

static inline void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_block *next = a->head->next;

		free(a->head);
		a->head = next;
	}
}

/* Forgets what was copied; one block stays for what is copied next. */
static inline void arena_clear(struct arena *a)
{
	while (a->head && a->head->next) {
		struct arena_block *next = a->head->next;

		free(a->head);
		a->head = next;
	}
	if (a->head)
		a->head->used = 0;
}

/* Room for one more in a list, whose pointer is at `list`: that may move it. */
static inline bool make_room(void *list, size_t used, size_t *size, size_t each)
{
	if (used < *size)
		return true;
	size_t more = *size ? *size * 2 : 1024;
	void *at;

	memcpy(&at, list, sizeof at); /* it points to whatever is in the list */
	at = realloc(at, more * each);
	if (!at)
		return false;
	memcpy(list, &at, sizeof at);
	*size = more;
	return true;
}

/* Bytes one behind the other; what is added may move them. */
struct bytes {
	uint8_t *at;
	size_t used, size;
};

static inline bool bytes_add(struct bytes *b, const void *more, size_t length)
{
	if (!length)
		return true;
	if (b->size - b->used < length) {
		size_t size = b->size * 2 + length + 4096;
		uint8_t *at = realloc(b->at, size);

		if (!at)
			return false;
		b->at = at;
		b->size = size;
	}
	memcpy(b->at + b->used, more, length);
	b->used += length;
	return true;
}

/*
 * TABLE(name, entry): a table of `struct entry`, which has `uint64_t hash` (0: empty slot).
 * name_find(table, key, hash) gives the slot of the key (found or made, then zeroed but for hash,
 * with *fresh set). The comparison is name_same(const struct entry *, const struct entry *key).
 */
#define TABLE(name, entry)                                                                    \
	struct name {                                                                         \
		struct entry *slots;                                                          \
		size_t size, used;                                                            \
	};                                                                                    \
	static inline bool name##_grow(struct name *t)                                        \
	{                                                                                     \
		size_t size = t->size ? t->size * 2 : 256;                                    \
		struct entry *slots = zeroed(size, sizeof *slots);                            \
                                                                                              \
		if (!slots)                                                                   \
			return false;                                                         \
		for (size_t i = 0; i < t->size; i++) {                                        \
			if (!t->slots[i].hash)                                                \
				continue;                                                     \
			size_t at = t->slots[i].hash & (size - 1);                            \
			while (slots[at].hash)                                                \
				at = (at + 1) & (size - 1);                                   \
			slots[at] = t->slots[i];                                              \
		}                                                                             \
		free(t->slots);                                                               \
		t->slots = slots;                                                             \
		t->size = size;                                                               \
		return true;                                                                  \
	}                                                                                     \
	static inline struct entry *name##_find(struct name *t, const struct entry *key,      \
						bool *fresh)                                  \
	{                                                                                     \
		if (t->used * 2 >= t->size && !name##_grow(t))                                \
			return NULL;                                                          \
		size_t at = key->hash & (t->size - 1);                                        \
		for (;; at = (at + 1) & (t->size - 1)) {                                      \
			struct entry *slot = &t->slots[at];                                   \
			if (slot->hash == key->hash && name##_same(slot, key)) {              \
				*fresh = false;                                               \
				return slot;                                                  \
			}                                                                     \
			if (!slot->hash) {                                                    \
				*slot = *key;                                                 \
				t->used++;                                                    \
				*fresh = true;                                                \
				return slot;                                                  \
			}                                                                     \
		}                                                                             \
	}                                                                                     \
	static inline void name##_free(struct name *t)                                        \
	{                                                                                     \
		free(t->slots);                                                               \
		t->slots = NULL;                                                              \
		t->size = t->used = 0;                                                        \
	}                                                                                     \
	static inline void name##_clear(struct name *t)                                       \
	{                                                                                     \
		if (t->used)                                                                  \
			memset(t->slots, 0, t->size * sizeof *t->slots);                      \
		t->used = 0;                                                                  \
	}

#endif
