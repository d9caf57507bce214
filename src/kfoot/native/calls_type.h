/* The Python type `Calls`: calls counted by task, number, outcome and request (see
 * call_counts.py). */
#ifndef KFOOT_CALLS_TYPE_H
#define KFOOT_CALLS_TYPE_H

#include "module.h"

/* A new one, for an object of this module, that takes all of `calls` (which is empty then). */
PyObject *calls_new(PyObject *owner, struct calls *calls);

#endif
