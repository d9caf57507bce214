/* Whole lines of a file or of memory: see lines.h. */
#define _GNU_SOURCE
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool lines_make(struct lines *lines)
{
	lines->buffer = malloc(LINES_BYTES + 1 + LINES_SLACK);
	return lines->buffer;
}

void lines_free(struct lines *lines)
{
	free(lines->buffer);
	lines->buffer = NULL;
}

void lines_begin(struct lines *lines, uint64_t from)
{
	lines->have = lines->given = 0;
	lines->error = 0;
	/* The byte before tells whether a line begins here. */
	lines->skipping = from > 0;
	lines->at = from ? from - 1 : 0;
}

/* Bytes read, 0 at the end of the source. */
static size_t fill(struct lines *lines, const struct source *source, size_t want)
{
	uint8_t *to = lines->buffer + lines->have;
	ssize_t n;

	if (source->memory) {
		memcpy(to, source->memory + lines->at, want);
		n = (ssize_t)want;
	} else {
		do
			n = pread(source->fd, to, want, (off_t)lines->at);
		while (n < 0 && errno == EINTR);
	}
	if (n < 0) {
		lines->error = errno;
		n = 0;
	}
	lines->at += n;
	return n;
}

static bool give(struct lines *lines, size_t length, const uint8_t **begin, const uint8_t **end)
{
	lines->given = length;
	*begin = lines->buffer;
	*end = lines->buffer + length;
	memset(lines->buffer + lines->have, 0, LINES_SLACK);
	return true;
}

bool lines_more(struct lines *lines, const struct source *source, uint64_t limit, size_t longest,
		const uint8_t **begin, const uint8_t **end)
{
	lines->have -= lines->given;
	memmove(lines->buffer, lines->buffer + lines->given, lines->have);
	lines->given = 0;
	if (limit > source->size)
		limit = source->size;
	for (;;) {
		uint8_t *fresh = lines->buffer + lines->have;
		uint64_t left = limit > lines->at ? limit - lines->at : 0;
		size_t room = LINES_BYTES - lines->have;
		size_t n = left ? fill(lines, source, left < room ? left : room) : 0;

		if (!n) {
			if ((!left && limit < source->size) || !lines->have)
				return false;
			*fresh = '\n'; /* the source ends */
			return give(lines, ++lines->have, begin, end);
		}
		if (lines->skipping) {
			uint8_t *newline = memchr(fresh, '\n', n);

			if (!newline)
				continue;
			lines->skipping = false;
			/* Of a line too long its begin is there, and wants an end. */
			newline += !lines->have;
			n -= newline - fresh;
			memmove(fresh, newline, n);
		}
		lines->have += n;
		uint8_t *last = memrchr(fresh, '\n', n);

		if (last)
			return give(lines, last + 1 - lines->buffer, begin, end);
		if (lines->have > longest) {
			lines->have = longest;
			lines->skipping = true;
		}
	}
}
