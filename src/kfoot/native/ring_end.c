/* What the Python type `Ring` found, as a dict. */
#include "ring_type.h"

static bool counts_into(const struct counts *counts, struct event_rows *rows)
{
	for (size_t k = 0; k < counts->size; k++) {
		uint64_t key = counts->slots[k].hash - 1;
		size_t at = key & 0x7FFFF; /* number and context */

		if (!counts->slots[k].hash)
			continue;
		PyObject *row = rows->rows[at];

		if (!row)
			row = event_row(rows, at, PyLong_FromLong((long)(at / CONTEXTS)));
		if (!row || !count_into(row, PyLong_FromLong((int32_t)(uint32_t)(key >> 19)),
					counts->slots[k].count))
			return false;
	}
	return true;
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

/* Ends the trace: what is open never returned. Gives everything counted, as a dict; None when some
 * page has an earlier time than the one before it, and all are to be looked at beforehand. */
PyObject *ring_end(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	PyObject *events = PyDict_New(), *calls = PyDict_New(), *damage = damage_of(self);
	PyObject *found = NULL;
	uint64_t first = UINT64_MAX, last = 0;
	struct event_rows rows = {0};

	if (self->end == NO_ORDER && !self->busy) {
		found = none();
		goto out;
	}
	if (self->busy || !self->over) {
		PyErr_SetString(PyExc_ValueError, "not at the end");
		goto out;
	}
	if (!events || !calls || !damage || !event_rows_begin(&rows, events, 1 << 16))
		goto out;
	for (size_t k = 0; k < self->tasks.size; k++) {
		struct task *t = &self->tasks.slots[k];

		if (t->hash && t->open && !count_call(&self->calls, t->tid, &t->now, NEVER, 0)) {
			PyErr_NoMemory();
			goto out;
		}
		t->open = false;
	}
	for (int i = 0; i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		if (!ring_settle(&w->counts)) {
			PyErr_NoMemory();
			goto out;
		}
		if (!counts_into(&w->counts, &rows) || !calls_into(&w->calls, calls))
			goto out;
		if (w->first < first)
			first = w->first;
		if (w->last > last)
			last = w->last;
	}
	if (!calls_into(&self->calls, calls))
		goto out;
	found = Py_BuildValue("{sOsOsOsNsN}", "events", events, "calls", calls, "damage", damage,
			      "first", first <= last ? PyLong_FromUnsignedLongLong(first) : none(), "last",
			      first <= last ? PyLong_FromUnsignedLongLong(last) : none());
out:
	free(rows.rows);
	Py_XDECREF(events);
	Py_XDECREF(calls);
	Py_XDECREF(damage);
	return found;
}
