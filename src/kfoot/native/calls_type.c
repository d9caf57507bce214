/* What scanners count calls into, kept as numbers until somebody wants them by task or process. */
#include "calls_type.h"

typedef struct {
	PyObject_HEAD
	struct calls calls;
} Calls;

PyObject *calls_new(PyObject *owner, struct calls *calls)
{
	const struct module_state *state = PyType_GetModuleState(Py_TYPE(owner));
	allocfunc alloc = (allocfunc)PyType_GetSlot(state->calls, Py_tp_alloc);
	Calls *self = (Calls *)alloc(state->calls, 0);

	if (self) {
		self->calls = *calls;
		*calls = (struct calls){0};
	}
	return (PyObject *)self;
}

static void calls_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);

	calls_free(&((Calls *)object)->calls);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static Py_ssize_t length(PyObject *object)
{
	return (Py_ssize_t)((Calls *)object)->calls.used;
}

/* The next one from slot `at` on, which is left behind it; NULL behind the last one. */
static const struct call *next(const Calls *self, size_t *at)
{
	while (*at < self->calls.size) {
		const struct call *call = &self->calls.slots[(*at)++];

		if (call->hash)
			return call;
	}
	return NULL;
}

static PyObject *tasks(PyObject *object, PyObject *Py_UNUSED(none_))
{
	PyObject *found = PySet_New(NULL);
	const struct call *call;

	for (size_t at = 0; found && (call = next((Calls *)object, &at));) {
		PyObject *tid = PyLong_FromLong(call->tid);

		if (!tid || PySet_Add(found, tid))
			Py_CLEAR(found);
		Py_XDECREF(tid);
	}
	return found;
}

/* {(task, number, outcome, request): [calls, ns]} */
static PyObject *by_task(PyObject *object, PyObject *Py_UNUSED(none_))
{
	PyObject *found = PyDict_New();
	const struct call *c;

	for (size_t at = 0; found && (c = next((Calls *)object, &at));)
		if (!put(found, Py_BuildValue("(iLiL)", c->tid, (long long)c->nr, c->outcome,
					      (long long)c->request),
			 Py_BuildValue("[KK]", (unsigned long long)c->calls,
				       (unsigned long long)c->ns)))
			Py_CLEAR(found);
	return found;
}

/* Numbers for what is asked of Python once, instead of once a row: in place of a count. */
static struct call *numbered(struct calls *numbers, int32_t tid, const struct call *kind)
{
	struct call *found = call_of(numbers, tid, kind->nr, kind->request, kind->outcome);

	if (!found)
		PyErr_NoMemory();
	return found;
}

/* The number of a task's process; below 0 with an exception set. */
static int32_t process_of(struct calls *numbers, PyObject *processes, int32_t tid)
{
	struct call *known = numbered(numbers, tid, &(struct call){0});

	if (!known)
		return -1;
	if (!known->calls) {
		PyObject *key = PyLong_FromLong(tid);
		PyObject *process = key ? PyObject_GetItem(processes, key) : NULL;
		long number = process ? PyLong_AsLong(process) : -1;

		Py_XDECREF(key);
		Py_XDECREF(process);
		if (PyErr_Occurred())
			return -1;
		known->calls = (uint64_t)number + 1;
	}
	return (int32_t)(known->calls - 1);
}

/* What `describe` says of a kind of call, kept in the list `tails`. Borrowed. */
static PyObject *tail_of(struct calls *numbers, PyObject *tails, PyObject *describe,
			 const struct call *kind)
{
	struct call *known = numbered(numbers, 0, kind);

	if (!known)
		return NULL;
	if (!known->calls) {
		PyObject *tail = PyObject_CallFunction(describe, "LiL", (long long)kind->nr,
						       kind->outcome, (long long)kind->request);

		if (tail && !PyTuple_Check(tail))
			PyErr_SetString(PyExc_TypeError, "describe gives a tuple");
		if (!tail || PyErr_Occurred() || PyList_Append(tails, tail)) {
			Py_XDECREF(tail);
			return NULL;
		}
		Py_DECREF(tail);
		known->calls = (uint64_t)PyList_Size(tails);
	}
	return PyList_GetItem(tails, (Py_ssize_t)known->calls - 1);
}

static PyObject *key_of(PyTypeObject *type, allocfunc alloc, int32_t process, PyObject *tail)
{
	Py_ssize_t behind = PyTuple_Size(tail);
	PyObject *key = alloc(type, behind + 1);

	if (key && PyTuple_SetItem(key, 0, PyLong_FromLong(process)))
		Py_CLEAR(key);
	for (Py_ssize_t i = 0; key && i < behind; i++)
		PyTuple_SetItem(key, i + 1, Py_NewRef(PyTuple_GetItem(tail, i)));
	return key;
}

/* The same calls with the number of its process in place of each task; false with an exception
 * set. */
static bool by_number(const Calls *self, PyObject *processes, struct calls *found)
{
	struct calls numbers = {0};
	const struct call *c;
	bool fine = true;

	for (size_t at = 0; fine && (c = next(self, &at));) {
		int32_t process = process_of(&numbers, processes, c->tid);

		fine = process >= 0;
		if (fine && !call_add(found, process, c)) {
			PyErr_NoMemory();
			fine = false;
		}
	}
	calls_free(&numbers);
	return fine;
}

/*
 * by_process(processes, describe, key type, count type, timed): {key: count}. A key is a named
 * tuple of the process and of what `describe(number, outcome, request)` gives, each time another
 * tuple; a count is made of calls and ns (None: not measured).
 */
static PyObject *by_process(PyObject *object, PyObject *args)
{
	PyObject *processes, *describe, *count_type;
	PyTypeObject *key_type;
	struct calls all = {0}, numbers = {0};
	int timed;

	if (!PyArg_ParseTuple(args, "OOO!Op", &processes, &describe, &PyType_Type, &key_type,
			      &count_type, &timed))
		return NULL;
	if (!PyType_IsSubtype(key_type, &PyTuple_Type)) {
		PyErr_SetString(PyExc_TypeError, "keys are tuples");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot(key_type, Py_tp_alloc);
	PyObject *tails = PyList_New(0), *found = tails ? PyDict_New() : NULL;

	if (found && !by_number((Calls *)object, processes, &all))
		Py_CLEAR(found);
	for (size_t at = 0; found && at < all.size; at++) {
		const struct call *c = &all.slots[at];

		if (!c->hash)
			continue;
		PyObject *tail = tail_of(&numbers, tails, describe, c);
		PyObject *key = tail ? key_of(key_type, alloc, c->tid, tail) : NULL;
		PyObject *calls = key ? PyLong_FromUnsignedLongLong(c->calls) : NULL;
		PyObject *ns = !timed || c->outcome == NEVER ? none() :
							       PyLong_FromUnsignedLongLong(c->ns);
		PyObject *count = calls && ns ?
			PyObject_CallFunctionObjArgs(count_type, calls, ns, NULL) : NULL;

		Py_XDECREF(calls);
		Py_XDECREF(ns);
		if (!put(found, key, count))
			Py_CLEAR(found);
	}
	calls_free(&all);
	calls_free(&numbers);
	Py_XDECREF(tails);
	return found;
}

static PyMethodDef methods[] = {
	{"tasks", tasks, METH_NOARGS, "All tasks that made some."},
	{"by_task", by_task, METH_NOARGS, "By task, number, outcome and request."},
	{"by_process", by_process, METH_VARARGS, "By process and what describes a call."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_dealloc, calls_dealloc},
	{Py_tp_methods, methods},
	{Py_mp_length, length},
	{0, NULL},
};

PyType_Spec calls_spec = {
	.name = "kfoot._native.Calls",
	.basicsize = sizeof(Calls),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};
