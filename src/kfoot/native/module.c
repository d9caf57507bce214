/*
 * kfoot._native: the scanners for gigabytes. They count what the pure-Python readers count, to the
 * same result (the oracle is there, the speed is here); meaning is given in Python.
 */
#include "module.h"

bool calls_into(const struct calls *table, PyObject *dict)
{
	for (size_t i = 0; i < table->size; i++) {
		const struct call *c = &table->slots[i];

		if (!c->hash)
			continue;
		uint64_t calls = c->calls, ns = c->ns;
		PyObject *key = Py_BuildValue("(iLiL)", c->tid, (long long)c->nr, c->outcome,
					      (long long)c->request);
		PyObject *before = key ? PyDict_GetItemWithError(dict, key) : NULL;

		if (before) {
			calls += PyLong_AsUnsignedLongLong(PyList_GetItem(before, 0));
			ns = add_to(ns, PyLong_AsUnsignedLongLong(PyList_GetItem(before, 1)));
		}
		if (PyErr_Occurred()) {
			Py_XDECREF(key);
			return false;
		}
		if (!put(dict, key, Py_BuildValue("[KK]", calls, ns)))
			return false;
	}
	return true;
}

PyObject *event_row(struct event_rows *rows, size_t at, PyObject *event)
{
	PyObject *key = event ? Py_BuildValue("(Ni)", event, (int)(at % CONTEXTS)) : NULL;
	PyObject *row = key ? PyDict_GetItemWithError(rows->events, key) : NULL;

	if (key && !row && !PyErr_Occurred()) {
		row = PyDict_New();
		if (row && PyDict_SetItem(rows->events, key, row))
			Py_CLEAR(row);
		Py_XDECREF(row); /* the dict has it */
	}
	Py_XDECREF(key);
	return rows->rows[at] = row;
}

/* One EventKey; the garbage collector is spared it, as it is a plain tuple of texts and numbers. */
static PyObject *event_key(PyTypeObject *type, allocfunc alloc, PyObject *head, PyObject *process)
{
	PyObject *key = alloc(type, 4);
	bool plain = PyLong_CheckExact(process);

	for (Py_ssize_t i = 0; key && i < 4; i++) {
		PyObject *part = i < 3 ? PyTuple_GetItem(head, i) : process;

		plain = plain && (i == 3 || part == Py_None || PyUnicode_CheckExact(part));
		Py_INCREF(part);
		PyTuple_SetItem(key, i, part);
	}
	if (key && plain)
		PyObject_GC_UnTrack(key);
	return key;
}

/* event_keys(EventKey, (system, name, context), {tid: count}, {tid: process}, found): adds to
 * `found`, a dict of EventKey to count, what `ftrace_tally._events` adds for one event. */
static PyObject *event_keys(PyObject *Py_UNUSED(module), PyObject *args)
{
	PyObject *type, *head, *by_task, *processes, *found, *tid, *count;
	Py_ssize_t at = 0;

	if (!PyArg_ParseTuple(args, "OO!O!O!O!", &type, &PyTuple_Type, &head, &PyDict_Type,
			      &by_task, &PyDict_Type, &processes, &PyDict_Type, &found))
		return NULL;
	if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &PyTuple_Type) ||
	    PyTuple_Size(head) != 3) {
		PyErr_SetString(PyExc_TypeError, "a tuple's type and a head of three");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc);

	while (PyDict_Next(by_task, &at, &tid, &count)) {
		PyObject *process = PyDict_GetItemWithError(processes, tid);

		if (!process) {
			if (!PyErr_Occurred())
				PyErr_SetObject(PyExc_KeyError, tid);
			return NULL;
		}
		PyObject *key = event_key((PyTypeObject *)type, alloc, head, process);
		PyObject *before = key ? PyDict_GetItemWithError(found, key) : NULL;
		PyObject *sum = NULL;

		if (before)
			sum = PyNumber_Add(before, count);
		else if (key && !PyErr_Occurred())
			sum = Py_NewRef(count);
		if (!put(found, key, sum))
			return NULL;
	}
	return none();
}

static int fill(PyObject *module)
{
	static PyType_Spec *const specs[] = {&text_spec, &ring_spec, &strace_spec};

	for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
		PyObject *type = PyType_FromSpec(specs[i]);

		if (!type || PyModule_AddType(module, (PyTypeObject *)type)) {
			Py_XDECREF(type);
			return -1;
		}
		Py_DECREF(type);
	}
	return 0;
}

static PyMethodDef methods[] = {
	{"event_keys", event_keys, METH_VARARGS, "Counts of one event, by process."},
	{"strace_counts", strace_counts, METH_VARARGS, "Calls by task and name in strace text."},
	{0},
};

static PyModuleDef_Slot slots[] = {
	{Py_mod_exec, fill},
	{0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "kfoot._native",
	.m_doc = "Scanners for large traces, outside the interpreter lock.",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
