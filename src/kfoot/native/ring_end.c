/* What the Python type `Ring` found, as a dict. */
#include "calls_type.h"
#include "events_type.h"
#include "ring_type.h"

/* Adds a thread's counts; `rows` has the rows of number and context, plus 1. */
static bool counts_into(const struct counts *counts, uint32_t *rows, PyObject *events)
{
	for (size_t k = 0; k < counts->size; k++) {
		uint64_t key = counts->slots[k].hash - 1;
		size_t at = key & 0x7FFFF; /* number and context */

		if (!counts->slots[k].hash)
			continue;
		if (!rows[at]) {
			long row = events_row(events, PyLong_FromLong((long)(at / CONTEXTS)),
					      at % CONTEXTS);

			if (row < 0)
				return false;
			rows[at] = (uint32_t)row + 1;
		}
		if (!events_add(events, rows[at] - 1, (int32_t)(uint32_t)(key >> 19),
				counts->slots[k].count))
			return false;
	}
	return true;
}

static PyObject *events_of(Ring *self)
{
	uint32_t *rows = calloc(CONTEXTS << 16, sizeof *rows);
	PyObject *events = rows ? events_new((PyObject *)self) : PyErr_NoMemory();

	for (int i = 0; i < self->threads && events; i++)
		if (!counts_into(&self->workers[i].counts, rows, events))
			Py_CLEAR(events);
	free(rows);
	if (events && !events_done(events))
		Py_CLEAR(events);
	return events;
}

static PyObject *damage_of(Ring *self)
{
	PyObject *all = PyList_New(0);

	for (int i = 0; all && i < self->stream_count; i++) {
		struct damage sum = {0};

		for (int t = 0; t < self->threads; t++) {
			struct damage *d = &self->workers[t].damage[i];

			sum.missed = add_to(sum.missed, d->missed);
			sum.silent += d->silent;
			sum.corrupt += d->corrupt;
			sum.disordered += d->disordered;
		}
		PyObject *row = Py_BuildValue(
			"(KKKKK)", sum.missed, sum.silent, sum.corrupt, sum.disordered,
			(unsigned long long)(self->streams[i].size % self->plan.page));

		if (!row || PyList_Append(all, row))
			Py_CLEAR(all);
		Py_XDECREF(row);
	}
	return all;
}

/* What is open never returned; all calls are put into one table. False when memory is out. */
static bool all_calls(Ring *self)
{
	struct calls *all = &self->workers[0].calls; /* it has many of them already */
	bool fine = true;

	for (size_t k = 0; k < self->tasks.size && fine; k++) {
		struct task *t = &self->tasks.slots[k];

		fine = !t->hash || !t->open || count_call(all, t->tid, &t->now, NEVER, 0);
		t->open = false;
	}
	for (int i = 1; i < self->threads && fine; i++)
		fine = calls_move(all, &self->workers[i].calls);
	return fine && calls_move(all, &self->calls) &&
	       ring_apart_end(&self->plan, &self->abis) && calls_move(all, &self->abis.calls[1]);
}

/* Ends the trace: gives everything counted, once, as a dict; None when some page has an earlier
 * time than the one before it, and all are to be looked at beforehand. */
PyObject *ring_end(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	uint64_t first = UINT64_MAX, last = 0;

	if (self->end == NO_ORDER && !self->busy)
		return none();
	if (self->busy || !self->over || self->ended) {
		PyErr_SetString(PyExc_ValueError, "not at the end");
		return NULL;
	}
	self->ended = true;
	bool fine = all_calls(self);

	for (int i = 0; i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		fine = fine && ring_settle(&w->counts);
		if (w->first < first)
			first = w->first;
		if (w->last > last)
			last = w->last;
	}
	if (!fine)
		return PyErr_NoMemory();
	/* "N" gives away what was made, and fails where something could not be. */
	return Py_BuildValue("{sNsNsNsNsNsN}", "events", events_of(self), "calls",
			     calls_new(object, &self->workers[0].calls), "compat_calls",
			     calls_new(object, &self->abis.calls[0]), "damage", damage_of(self), "first",
			     first <= last ? PyLong_FromUnsignedLongLong(first) : none(), "last",
			     first <= last ? PyLong_FromUnsignedLongLong(last) : none());
}
