/* The Python type `Events`: records counted by event, context and task (see event_counts.py). */
#ifndef KFOOT_EVENTS_TYPE_H
#define KFOOT_EVENTS_TYPE_H

#include "module.h"

#define CONTEXTS 8

/* A new, empty one, for an object of this module. */
PyObject *events_new(PyObject *owner);
/* The row of an event, whose name or number is given away, in a context; below 0 with an exception
 * set. The same event may have several rows. */
long events_row(PyObject *events, PyObject *event, unsigned context);
/* False, with an exception set, when memory is out. */
bool events_add(PyObject *events, long row, int32_t tid, uint64_t count);
/* After the last one was added. */
bool events_done(PyObject *events);

#endif
