/* What the files that speak to Python share. */
#ifndef KFOOT_MODULE_H
#define KFOOT_MODULE_H

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "calls.h"
#include "crew.h"

extern PyType_Spec text_spec, ring_spec, strace_spec, events_spec, calls_spec;

struct module_state {
	PyTypeObject *events, *calls;
};

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

PyObject *strace_counts(PyObject *module, PyObject *args);

#endif
