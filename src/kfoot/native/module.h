/* What the files that speak to Python share. */
#ifndef KFOOT_MODULE_H
#define KFOOT_MODULE_H

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "calls.h"
#include "crew.h"

extern PyType_Spec text_spec, ring_spec, strace_spec;

/* dict[key] = value, giving both away; false with an exception set. */
static inline bool put(PyObject *dict, PyObject *key, PyObject *value)
{
	bool fine = key && value && !PyDict_SetItem(dict, key, value);

	Py_XDECREF(key);
	Py_XDECREF(value);
	return fine;
}

static inline PyObject *none(void)
{
	Py_INCREF(Py_None);
	return Py_None;
}

/* dict[key] += count, giving the key away. */
static inline bool count_into(PyObject *dict, PyObject *key, uint64_t count)
{
	if (!key)
		return false;
	PyObject *before = PyDict_GetItemWithError(dict, key);

	if (!before && PyErr_Occurred()) {
		Py_DECREF(key);
		return false;
	}
	if (before)
		count += PyLong_AsUnsignedLongLong(before);
	return put(dict, key, PyLong_FromUnsignedLongLong(count));
}

/* Counts by event, context and task on their way into {(event, context): {tid: count}}. */
struct event_rows {
	PyObject *events;
	PyObject **rows; /* by event's number and context; borrowed from `events` */
	size_t size;
};

#define CONTEXTS 8

static inline bool event_rows_begin(struct event_rows *r, PyObject *events, size_t numbers)
{
	r->events = events;
	r->size = numbers * CONTEXTS;
	r->rows = calloc(r->size ? r->size : 1, sizeof *r->rows);
	if (!r->rows)
		PyErr_NoMemory();
	return r->rows;
}

/* The row of an event, whose name or number is `event` (given away; asked for once a row). */
PyObject *event_row(struct event_rows *rows, size_t at, PyObject *event);

PyObject *strace_counts(PyObject *module, PyObject *args);

/* Adds a table of calls to {(tid, nr, outcome, request): [calls, ns]}. */
bool calls_into(const struct calls *table, PyObject *dict);

#endif
