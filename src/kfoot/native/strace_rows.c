/* What the scanner of strace text counted becomes rows of Python. */
#include "module.h"
#include "strace.h"

/* A key of the named tuple `type`, its fields from two tuples. */
static PyObject *key_of(PyTypeObject *type, allocfunc alloc, PyObject *head, PyObject *tail)
{
	Py_ssize_t before = PyTuple_Size(head), behind = PyTuple_Size(tail);
	PyObject *key = alloc(type, before + behind);

	for (Py_ssize_t i = 0; key && i < before + behind; i++) {
		PyObject *part = i < before ? PyTuple_GetItem(head, i) : PyTuple_GetItem(tail, i - before);

		Py_XINCREF(part);
		if (!part || PyTuple_SetItem(key, i, part))
			Py_CLEAR(key);
	}
	return key;
}

/* row.calls += calls, row.time_ns += ns; gives both away. */
static bool add_to_row(PyObject *row, PyObject *calls, PyObject *ns)
{
	PyObject *had = PyObject_GetAttrString(row, "calls");
	PyObject *sum = had && calls ? PyNumber_Add(had, calls) : NULL;
	bool fine = sum && !PyObject_SetAttrString(row, "calls", sum);

	Py_XDECREF(had);
	Py_XDECREF(sum);
	if (fine && ns != Py_None) {
		had = PyObject_GetAttrString(row, "time_ns");
		sum = had == Py_None ? PyNumber_Positive(ns) : had ? PyNumber_Add(had, ns) : NULL;
		fine = sum && !PyObject_SetAttrString(row, "time_ns", sum);
		Py_XDECREF(had);
		Py_XDECREF(sum);
	}
	Py_XDECREF(calls);
	Py_XDECREF(ns);
	return fine;
}

/*
 * counts(calls, images, kinds, key type, row type, merge): adds what was counted here to {key: row}.
 * A key is made of a tuple of `images` and one of `kinds`; a row, of calls and ns (or None). merge:
 * images may be equal; else only combinations that Python told of can be there already.
 */
PyObject *scanner_counts(const struct scanner *s, PyObject *args)
{
	PyObject *into, *images, *kinds, *row_type;
	PyTypeObject *key_type;
	int merge;

	if (!PyArg_ParseTuple(args, "O!O!O!O!Op", &PyDict_Type, &into, &PyList_Type, &images,
			      &PyList_Type, &kinds, &PyType_Type, &key_type, &row_type, &merge))
		return NULL;
	if (!PyType_IsSubtype(key_type, &PyTuple_Type)) {
		PyErr_SetString(PyExc_TypeError, "keys are tuples");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot(key_type, Py_tp_alloc);

	for (size_t i = 0; i < s->repeats.size; i++) {
		const struct repeat *r = &s->repeats.slots[i];

		if (!r->hash || !r->calls)
			continue;
		PyObject *head = PyList_GetItem(images, r->image);
		PyObject *tail = PyList_GetItem(kinds, r->kind);
		PyObject *key = head && tail ? key_of(key_type, alloc, head, tail) : NULL;

		if (!key)
			return NULL;
		PyObject *there = merge || r->told ? PyDict_GetItemWithError(into, key) : NULL;
		PyObject *calls = PyLong_FromUnsignedLongLong(r->calls);
		PyObject *ns = r->timed ? PyLong_FromUnsignedLongLong(r->ns) : none();
		bool fine;

		if (PyErr_Occurred() || !calls || !ns) {
			Py_XDECREF(calls);
			Py_XDECREF(ns);
			fine = false;
		} else if (there) {
			fine = add_to_row(there, calls, ns);
		} else {
			PyObject *row = PyObject_CallFunctionObjArgs(row_type, calls, ns, NULL);

			fine = row && !PyDict_SetItem(into, key, row);
			Py_XDECREF(row);
			Py_DECREF(calls);
			Py_DECREF(ns);
		}
		Py_DECREF(key);
		if (!fine)
			return NULL;
	}
	return none();
}
