/*
 * kfoot._native: the scanners for gigabytes. They count what the pure-Python readers count, to the
 * same result (the oracle is there, the speed is here); meaning is given in Python.
 */
#include "module.h"

/* By hand: Py_BuildValue takes longer to read its format than all the rest takes. */
static PyObject *call_key(const struct call *c)
{
	PyObject *parts[] = {
		PyLong_FromLong(c->tid), PyLong_FromLongLong(c->nr), PyLong_FromLong(c->outcome),
		PyLong_FromLongLong(c->request),
	};
	PyObject *key = PyTuple_New(4);
	bool fine = key;

	for (Py_ssize_t i = 0; i < 4; i++) {
		fine = fine && parts[i];
		if (fine)
			PyTuple_SetItem(key, i, parts[i]);
		else
			Py_XDECREF(parts[i]);
	}
	if (!fine)
		Py_CLEAR(key);
	return key;
}

static PyObject *call_count(uint64_t calls, uint64_t ns)
{
	PyObject *count = PyList_New(2);
	PyObject *first = PyLong_FromUnsignedLongLong(calls);
	PyObject *second = PyLong_FromUnsignedLongLong(ns);

	if (count && first && second) {
		PyList_SetItem(count, 0, first);
		PyList_SetItem(count, 1, second);
		return count;
	}
	Py_XDECREF(count);
	Py_XDECREF(first);
	Py_XDECREF(second);
	return NULL;
}

bool calls_into(const struct calls *table, PyObject *dict)
{
	for (size_t i = 0; i < table->size; i++) {
		const struct call *c = &table->slots[i];

		if (!c->hash)
			continue;
		uint64_t calls = c->calls, ns = c->ns;
		PyObject *key = call_key(c);
		PyObject *before = key ? PyDict_GetItemWithError(dict, key) : NULL;

		if (before) {
			calls += PyLong_AsUnsignedLongLong(PyList_GetItem(before, 0));
			ns = add_to(ns, PyLong_AsUnsignedLongLong(PyList_GetItem(before, 1)));
		}
		if (PyErr_Occurred()) {
			Py_XDECREF(key);
			return false;
		}
		if (!put(dict, key, call_count(calls, ns)))
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

/* add_by_process({process: count}, {tid: count}, {tid: process}): as `ftrace_tally` has it. */
static PyObject *add_by_process(PyObject *Py_UNUSED(module), PyObject *args)
{
	PyObject *found, *by_task, *processes, *tid, *count;
	Py_ssize_t at = 0;

	if (!PyArg_ParseTuple(args, "O!O!O!", &PyDict_Type, &found, &PyDict_Type, &by_task,
			      &PyDict_Type, &processes))
		return NULL;
	while (PyDict_Next(by_task, &at, &tid, &count)) {
		PyObject *process = PyDict_GetItemWithError(processes, tid);

		if (!process) {
			if (!PyErr_Occurred())
				PyErr_SetObject(PyExc_KeyError, tid);
			return NULL;
		}
		PyObject *before = PyDict_GetItemWithError(found, process);
		PyObject *sum = before ? PyNumber_Add(before, count) :
				PyErr_Occurred() ? NULL : Py_NewRef(count);

		if (!sum || !put(found, Py_NewRef(process), sum))
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
	{"add_by_process", add_by_process, METH_VARARGS, "Counts of one event, by process."},
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
