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
