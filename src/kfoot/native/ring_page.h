/* One sub-buffer of the ring buffer, record by record. Told in ring_buffer.py. */
#ifndef KFOOT_RING_PAGE_H
#define KFOOT_RING_PAGE_H

#include "ring.h"

#define MISSED (1u << 31)
#define STORED (1u << 30)
#define LENGTH ((1u << 27) - 1)
#define PADDING 29
#define TIME_EXTEND 30
#define TIME_STAMP 31
#define STAMP_TOP (0xF8ull << 56)
#define COMMON 8

enum { TASK, SOFTIRQ, HARDIRQ, NMI };

static inline uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static inline uint8_t context_of(uint8_t flags)
{
	return flags & 0x40 ? NMI : flags & 0x08 ? HARDIRQ : flags & 0x10 ? SOFTIRQ : TASK;
}

/* Goes through the records of one page. */
struct page {
	const uint8_t *at, *stop;
	uint64_t now, raw, end;
	uint64_t missed;
	bool silent;
	uint8_t corrupt;
};

struct record {
	const uint8_t *data;
	uint64_t ns;
	uint32_t length;
	bool disordered;
};

/* Page k as a sheet; false, with `end` set, when it cannot be had, or the page behind it has an
 * earlier time. */
static inline bool pages_get(struct pages *pages, const struct stream *stream,
			     const struct ring_plan *plan, size_t k, size_t to,
			     struct sheet *sheet)
{
	if (k - pages->first >= pages->count && !pages_read(pages, stream, plan, k, to))
		return false;
	uint64_t left = stream->size - (uint64_t)k * plan->page;

	sheet->base = pages->buffer + (k - pages->first) * plan->page;
	sheet->size = left < plan->page ? left : plan->page;
	if (stream->start) {
		sheet->start = stream->start[k];
		sheet->end = stream->start[k + 1];
	} else {
		sheet->start = word_at(sheet->base);
		sheet->end = k + 1 < stream->pages ? word_at(sheet->base + plan->page) : END_OF_TIME;
		if (sheet->end < sheet->start)
			pages->end = NO_ORDER;
	}
	return pages->end == FINE;
}

static inline void page_begin(struct page *page, const struct sheet *sheet,
			      const struct ring_plan *plan)
{
	const uint8_t *base = sheet->base;
	size_t here = sheet->size;

	uint32_t commit = u32(base + 8);
	size_t room = here - plan->data, length = commit & LENGTH;

	page->corrupt = 0;
	if (length > plan->page - plan->data) {
		page->corrupt = 1;
		length = plan->page - plan->data;
	}
	page->missed = 0;
	page->silent = false;
	if (commit & MISSED) {
		if (commit & STORED && length + plan->commit <= room) {
			const uint8_t *stored = base + plan->data + length;

			page->missed = plan->commit == 8 ? word_at(stored) : u32(stored);
		} else {
			page->silent = true;
		}
	}
	page->at = base + plan->data;
	page->stop = page->at + (length < room ? length : room);
	page->now = page->raw = sheet->start;
	page->end = sheet->end;
}

/* Takes a word that is no record or no short one; false when the page ends with it. */
static inline bool page_word(struct page *page, uint32_t first, struct record *r, bool *found)
{
	uint32_t kind = first & 31, delta = first >> 5;
	size_t left = page->stop - page->at;

	*found = false;
	if (kind == PADDING && !delta)
		return false;
	if (left < 8) {
		page->corrupt++;
		return false;
	}
	uint32_t second = u32(page->at + 4);
	uint64_t time = ((uint64_t)second << 27) + delta;

	if (kind == TIME_EXTEND) {
		page->raw += time;
		page->at += 8;
	} else if (kind == TIME_STAMP) {
		uint64_t stamp = time | (page->raw & STAMP_TOP);

		page->raw = stamp < page->raw ? stamp + (1ull << 59) : stamp;
		page->at += 8;
	} else if (kind == PADDING) {
		/* A record its writer took back; a delta of 1 is not time. */
		if (delta != 1)
			page->raw += delta;
		if (left < 4 + (size_t)second)
			return false;
		page->at += 4 + (size_t)second;
	} else {
		page->raw += delta;
		if (second < 4 || (size_t)second - 4 > left - 8) {
			page->corrupt++;
			return false;
		}
		r->data = page->at + 8;
		r->length = second - 4;
		*found = true;
	}
	return true;
}

static inline bool page_next(struct page *page, struct record *r)
{
	for (;;) {
		size_t left = page->stop - page->at;
		bool found;

		if (left < 4) {
			page->corrupt += left > 0;
			break;
		}
		uint32_t first = u32(page->at), kind = first & 31;

		if (__builtin_expect(kind - 1 < PADDING - 1, true)) {
			page->raw += first >> 5;
			r->data = page->at + 4;
			r->length = kind * 4;
			if (r->length > left - 4) {
				page->corrupt++;
				break;
			}
		} else if (!page_word(page, first, r, &found)) {
			break;
		} else if (!found) {
			continue;
		}
		page->at = r->data + r->length;
		r->disordered = false;
		if (__builtin_expect(page->raw < page->now || page->raw > page->end, false)) {
			r->disordered = true;
			page->raw = page->raw < page->now ? page->now : page->end;
		}
		r->ns = page->now = page->raw;
		return true;
	}
	page->at = page->stop;
	return false;
}

#endif
