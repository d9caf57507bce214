/* The pages of the ring buffer in their files: see struct stream and struct pages. */
#define _GNU_SOURCE
#include "ring_page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define AT_ONCE (256 << 10) /* bytes */

bool pages_make(struct pages *pages, const struct ring_plan *plan)
{
	pages->room = AT_ONCE > plan->page ? AT_ONCE / plan->page : 1;
	pages->buffer = malloc(pages->room * plan->page + sizeof(uint64_t));
	pages_begin(pages);
	return pages->buffer;
}

void pages_free(struct pages *pages)
{
	free(pages->buffer);
	pages->buffer = NULL;
}

/* False, with errno set, when not all of it is there. */
static bool read_all(int fd, uint8_t *to, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pread(fd, to, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n)
			errno = EIO; /* the file was cut */
		if (n <= 0)
			return false;
		to += n;
		size -= n;
		offset += n;
	}
	return true;
}

static void unreadable(struct pages *pages)
{
	pages->error = errno;
	pages->end = NO_PAGES;
	pages->count = 0;
}

void ring_begin(struct stream *stream, const struct ring_plan *plan)
{
	stream->pages = stream->size / plan->page + (stream->size % plan->page >= plan->data);
}

bool pages_read(struct pages *pages, const struct stream *stream, const struct ring_plan *plan,
		size_t k, size_t to)
{
	uint64_t from = (uint64_t)k * plan->page;

	pages->first = k;
	pages->count = to - k < pages->room ? to - k : pages->room;
	/* The time of the page behind is the end of the last one's. */
	size_t size = pages->count * plan->page + (k + pages->count < stream->pages ? 8 : 0);

	if (size > stream->size - from)
		size = stream->size - from;
	if (read_all(stream->fd, pages->buffer, size, stream->offset + from))
		return true;
	unreadable(pages);
	return false;
}

/*
 * Eight bytes somewhere in a file, as if nobody had looked: a page that was not in memory does not
 * stay there, else the kernel, reading ahead, would find it in its way and go on in small pieces.
 */
static bool read_stamp(int fd, uint8_t *stamp, uint64_t offset)
{
	bool absent = false;

#ifdef RWF_NOWAIT
	struct iovec to = {.iov_base = stamp, .iov_len = sizeof(uint64_t)};
	ssize_t n = preadv2(fd, &to, 1, (off_t)offset, RWF_NOWAIT);

	if (n == sizeof(uint64_t))
		return true;
	absent = n < 0 && errno == EAGAIN;
#endif
	bool fine = read_all(fd, stamp, sizeof(uint64_t), offset);
	long page = sysconf(_SC_PAGESIZE);

	if (fine && absent && page > 0)
		posix_fadvise(fd, (off_t)(offset - offset % page), page, POSIX_FADV_DONTNEED);
	return fine;
}

/* The time of a page. */
static uint64_t stamp_of(const struct stream *stream, struct pages *pages,
			 const struct ring_plan *plan, size_t k)
{
	uint8_t stamp[8] = {0};

	if (stream->start)
		return stream->start[k];
	if (!read_stamp(stream->stamps, stamp, stream->offset + (uint64_t)k * plan->page))
		unreadable(pages);
	return word_at(stamp);
}

bool ring_mark(struct stream *stream, struct pages *pages, const struct ring_plan *plan,
	       size_t mark)
{
	stream->mark = mark;
	stream->marks = malloc((stream->pages / mark + 1) * sizeof *stream->marks);
	if (!stream->marks)
		return false;
	for (size_t k = 0; k < stream->pages; k += mark)
		stream->marks[stream->marks_used++] = stamp_of(stream, pages, plan, k);
	return true;
}

size_t ring_find(const struct stream *stream, struct pages *pages, const struct ring_plan *plan,
		 uint64_t ns)
{
	size_t low = 0, high = stream->marks_used;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stream->marks[middle] < ns)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return 0;
	high = low < stream->marks_used ? low * stream->mark : stream->pages;
	low = (low - 1) * stream->mark + 1;
	/* Most windows begin at a mark: the page before it is earlier. */
	for (size_t at = high - 1; low < high; at = low + (high - low) / 2)
		if (stamp_of(stream, pages, plan, at) < ns)
			low = at + 1;
		else
			high = at;
	return low;
}

enum ring_end ring_index(struct stream *stream, struct pages *pages, const struct ring_plan *plan)
{
	uint64_t now = 0;

	stream->start = malloc((stream->pages + 1) * sizeof *stream->start);
	if (!stream->start)
		return NO_MEMORY;
	pages_begin(pages);
	for (size_t k = 0; k < stream->pages; k++) {
		if ((!pages->count || k >= pages->first + pages->count) &&
		    !pages_read(pages, stream, plan, k, stream->pages))
			return pages->end;
		uint64_t stamp = word_at(pages->buffer + (k - pages->first) * plan->page);

		now = stamp > now ? stamp : now;
		stream->start[k] = now;
	}
	stream->start[stream->pages] = END_OF_TIME;
	return FINE;
}
