/* Records about tasks' lives on their way to Python, each a head and its bytes. */
#ifndef KFOOT_LIVES_H
#define KFOOT_LIVES_H

#include "module.h"

struct lives {
	struct bytes found; /* in order, not yet given to Python */
	struct bytes given; /* just being given */
};

/* Sets those found since the last time apart: the threads go on finding some. */
static inline void lives_take(struct lives *lives)
{
	struct bytes room = lives->given;

	room.used = 0;
	lives->given = lives->found;
	lives->found = room;
}

static inline void lives_free(struct lives *lives)
{
	free(lives->found.at);
	free(lives->given.at);
}

/* What `row` makes of each that was taken, as a list. It is given the head and where the bytes are,
 * and says how many these are. */
static inline PyObject *lives_rows(const struct lives *lives, size_t head,
				   PyObject *(*row)(const uint8_t *head, const char *bytes,
						    size_t *length))
{
	PyObject *rows = PyList_New(0);

	for (size_t at = 0; rows && at < lives->given.used;) {
		const uint8_t *here = lives->given.at + at;
		size_t length = 0;
		PyObject *found = row(here, (const char *)here + head, &length);

		at += head + length;
		if (!found || PyList_Append(rows, found))
			Py_CLEAR(rows);
		Py_XDECREF(found);
	}
	return rows;
}

#endif
