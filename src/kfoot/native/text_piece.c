/* Pieces of a trace, cut where no record is: see text_piece(). */
#include "text.h"

/* Counts lines of the piece; those before its first record are not its own. */
static bool take(struct text_part *part, bool mine, const uint8_t *begin, const uint8_t *end)
{
	if (!mine)
		begin = text_first_record(part, begin, end);
	if (begin < end)
		text_scan(part, begin, end);
	return mine || begin < end;
}

/* Takes the lines behind a piece that belong to its last record; whether it has one. */
static bool take_rest(struct text_part *part, const struct source *source, bool mine, uint64_t to)
{
	struct lines *lines = &part->lines;
	bool open = lines_open(lines); /* it begins in the piece */
	const uint8_t *p, *end;

	for (uint64_t more = 8192; to < source->size && (mine || open); more *= 2) {
		to += more;
		while (lines_more(lines, source, to, LONGEST, &p, &end)) {
			if (open) {
				const uint8_t *next = (const uint8_t *)memchr(p, '\n', end - p) + 1;

				open = false;
				mine = take(part, mine, p, next);
				if (!mine)
					return false;
				p = next;
			}
			const uint8_t *record = text_first_record(part, p, end);

			text_scan(part, p, record);
			if (record < end)
				return mine;
		}
	}
	return mine;
}

void text_piece(struct text_part *part, const struct source *source, uint64_t from, uint64_t to)
{
	struct lines *lines = &part->lines;
	const uint8_t *p, *end;
	bool mine = !from;

	memset(part->heads, 0, sizeof part->heads);
	part->point = LEAST_POINT;
	lines_begin(lines, from);
	while (lines_more(lines, source, to, LONGEST, &p, &end))
		mine = take(part, mine, p, end);
	part->piece->empty = !take_rest(part, source, mine, to);
	part->piece->talker = part->talker;
	part->piece->error = lines->error;
}
