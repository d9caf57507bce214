/*
 * kfoot._native: the scanners for gigabytes. They count what the pure-Python readers count, to the
 * same result (the oracle is there, the speed is here); meaning is given in Python.
 */
#include "module.h"

static int fill(PyObject *module)
{
	static PyType_Spec *const specs[] = {&text_spec, &ring_spec, &strace_spec, &events_spec,
					    &calls_spec};
	struct module_state *state = PyModule_GetState(module);

	for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
		PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);

		if (!type || PyModule_AddType(module, (PyTypeObject *)type)) {
			Py_XDECREF(type);
			return -1;
		}
		if (specs[i] == &events_spec)
			state->events = (PyTypeObject *)Py_NewRef(type);
		if (specs[i] == &calls_spec)
			state->calls = (PyTypeObject *)Py_NewRef(type);
		Py_DECREF(type);
	}
	return 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
	struct module_state *state = PyModule_GetState(module);

	Py_VISIT(state->events);
	Py_VISIT(state->calls);
	return 0;
}

static int clear(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);

	Py_CLEAR(state->events);
	Py_CLEAR(state->calls);
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
	.m_size = sizeof(struct module_state),
	.m_traverse = traverse,
	.m_clear = clear,
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
