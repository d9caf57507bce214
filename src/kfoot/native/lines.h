/* The bytes of a file or of memory as whole lines, in a buffer that stays in the nearer caches. */
#ifndef KFOOT_LINES_H
#define KFOOT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_BYTES (256 << 10)
#define LINES_SLACK 128 /* bytes behind the last line that can be read, and say nothing */

/*
 * A file is read, not mapped: copying a page costs less than a fault for it, what is copied is in
 * the cache when it is looked at, memory stays bounded whatever the size, and a file that is cut
 * meanwhile only ends early.
 */
struct source {
	const uint8_t *memory; /* NULL: fd is read */
	int fd;
	uint64_t size;
};

struct lines {
	uint8_t *buffer;
	size_t have, given;
	uint64_t at;   /* where in the source the buffer ends */
	bool skipping; /* up to a line's end */
	int error;
};

/* False when memory is out. */
bool lines_make(struct lines *lines);
void lines_free(struct lines *lines);
/* From the first line on that begins at `from` or behind it. */
void lines_begin(struct lines *lines, uint64_t from);
/*
 * The next lines, as many as are there before `limit`. Of one longer than `longest` bytes the first
 * ones, of one without an end what there is, each with a newline. False: there is no other line
 * that ends before `limit`.
 */
bool lines_more(struct lines *lines, const struct source *source, uint64_t limit, size_t longest,
		const uint8_t **begin, const uint8_t **end);

/* A line has begun and did not end before the limit. */
static inline bool lines_open(const struct lines *lines)
{
	return lines->have > lines->given;
}

#endif
