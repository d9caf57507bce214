/* What scanners count records into, kept as numbers until somebody wants them by task or process. */
#include "events_type.h"

/* A task and its number: counts have that. */
struct numbered {
	uint64_t hash;
	int32_t tid;
	uint32_t number;
};

static inline bool numbers_same(const struct numbered *a, const struct numbered *b)
{
	return a->tid == b->tid;
}

TABLE(numbers, numbered)

struct added {
	uint32_t row, task;
	uint64_t count;
};

struct row {
	PyObject *key; /* (event, context) */
	size_t begin, count;
};

struct list {
	void *at;
	size_t used, size;
};

typedef struct {
	PyObject_HEAD
	struct numbers numbers;
	struct list tasks; /* int32_t, by number */
	struct list rows;  /* struct row */
	struct list added; /* struct added; at the end, row by row */
} Events;

#define AT(list, type) ((type *)(list).at)

/* Room for one more; NULL when memory is out. */
static void *list_add(struct list *list, size_t each)
{
	return make_room(&list->at, list->used, &list->size, each) ?
		(uint8_t *)list->at + each * list->used++ : NULL;
}

PyObject *events_new(PyObject *owner)
{
	const struct module_state *state = PyType_GetModuleState(Py_TYPE(owner));
	allocfunc alloc = (allocfunc)PyType_GetSlot(state->events, Py_tp_alloc);

	return alloc(state->events, 0);
}

static void events_dealloc(PyObject *object)
{
	Events *self = (Events *)object;
	PyTypeObject *type = Py_TYPE(object);

	for (size_t k = 0; k < self->rows.used; k++)
		Py_DECREF(AT(self->rows, struct row)[k].key);
	numbers_free(&self->numbers);
	free(self->tasks.at);
	free(self->rows.at);
	free(self->added.at);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

long events_row(PyObject *object, PyObject *event, unsigned context)
{
	Events *self = (Events *)object;
	PyObject *key = event ? Py_BuildValue("(NI)", event, context) : NULL;
	struct row *row = key ? list_add(&self->rows, sizeof *row) : NULL;

	if (!row) {
		Py_XDECREF(key);
		if (!PyErr_Occurred())
			PyErr_NoMemory();
		return -1;
	}
	*row = (struct row){.key = key};
	return (long)self->rows.used - 1;
}

/* The number of a task; NULL when memory is out. */
static const uint32_t *number_of(Events *self, int32_t tid)
{
	struct numbered key = {.hash = mix((uint32_t)tid) | NOT_EMPTY, .tid = tid};
	bool fresh;
	struct numbered *found = numbers_find(&self->numbers, &key, &fresh);

	if (found && fresh) {
		int32_t *task = list_add(&self->tasks, sizeof *task);

		if (!task)
			return NULL;
		*task = tid;
		found->number = (uint32_t)(self->tasks.used - 1);
	}
	return found ? &found->number : NULL;
}

bool events_add(PyObject *object, long row, int32_t tid, uint64_t count)
{
	Events *self = (Events *)object;
	const uint32_t *task = number_of(self, tid);
	struct added *added = task ? list_add(&self->added, sizeof *added) : NULL;

	if (!added) {
		PyErr_NoMemory();
		return false;
	}
	*added = (struct added){.row = (uint32_t)row, .task = *task, .count = count};
	AT(self->rows, struct row)[row].count++;
	return true;
}

bool events_done(PyObject *object)
{
	Events *self = (Events *)object;
	struct row *rows = self->rows.at;
	size_t begin = 0;

	for (size_t k = 0; k < self->rows.used; k++) {
		rows[k].begin = begin;
		begin += rows[k].count;
		rows[k].count = 0;
	}
	struct added *sorted = malloc((self->added.used + 1) * sizeof *sorted);

	if (!sorted) {
		PyErr_NoMemory();
		return false;
	}
	for (size_t k = 0; k < self->added.used; k++) {
		const struct added *added = &AT(self->added, struct added)[k];
		struct row *row = &rows[added->row];

		sorted[row->begin + row->count++] = *added;
	}
	free(self->added.at);
	self->added.at = sorted;
	self->added.size = self->added.used + 1;
	return true;
}

static bool row_into(const Events *self, const struct row *row, PyObject *const *keys,
		     PyObject *dict)
{
	const struct added *added = AT(self->added, struct added) + row->begin;

	for (size_t k = 0; k < row->count; k++)
		if (!count_into(dict, Py_NewRef(keys[added[k].task]), added[k].count))
			return false;
	return true;
}

static void forget(PyObject **keys, size_t count)
{
	for (size_t k = 0; keys && k < count; k++)
		Py_XDECREF(keys[k]);
	free(keys);
}

/* A key for each task, by number: what `processes` has for it, or without that the task itself.
 * NULL with an exception set. */
static PyObject **keys_of(const Events *self, PyObject *processes)
{
	size_t count = self->tasks.used;
	PyObject **keys = calloc(count + 1, sizeof *keys);

	if (!keys)
		PyErr_NoMemory();
	for (size_t k = 0; keys && k < count; k++) {
		PyObject *tid = PyLong_FromLong(AT(self->tasks, int32_t)[k]);

		keys[k] = tid && processes ? PyObject_GetItem(processes, tid) : Py_XNewRef(tid);
		Py_XDECREF(tid);
		if (!keys[k]) {
			forget(keys, count);
			return NULL;
		}
	}
	return keys;
}

/* {(event, context): {key: count}} */
static PyObject *all_by(const Events *self, PyObject *processes)
{
	PyObject **keys = keys_of(self, processes), *found = keys ? PyDict_New() : NULL;

	for (size_t k = 0; found && k < self->rows.used; k++) {
		const struct row *row = &AT(self->rows, struct row)[k];
		PyObject *dict = PyDict_GetItemWithError(found, row->key);

		if (!dict && !PyErr_Occurred()) {
			dict = PyDict_New();
			if (dict && PyDict_SetItem(found, row->key, dict))
				Py_CLEAR(dict);
			Py_XDECREF(dict); /* the dict has it */
		}
		if (!dict || !row_into(self, row, keys, dict))
			Py_CLEAR(found);
	}
	forget(keys, self->tasks.used);
	return found;
}

static PyObject *by_process(PyObject *object, PyObject *processes)
{
	return all_by((Events *)object, processes);
}

static PyObject *by_task(PyObject *object, PyObject *Py_UNUSED(none_))
{
	return all_by((Events *)object, NULL);
}

static PyObject *tasks(PyObject *object, PyObject *Py_UNUSED(none_))
{
	const Events *self = (Events *)object;
	PyObject *found = PySet_New(NULL);

	for (size_t k = 0; found && k < self->tasks.used; k++) {
		PyObject *tid = PyLong_FromLong(AT(self->tasks, int32_t)[k]);

		if (!tid || PySet_Add(found, tid))
			Py_CLEAR(found);
		Py_XDECREF(tid);
	}
	return found;
}

static PyObject *of(PyObject *object, PyObject *wanted)
{
	const Events *self = (Events *)object;
	PyObject **keys = keys_of(self, NULL), *found = keys ? PyDict_New() : NULL;

	for (size_t k = 0; found && k < self->rows.used; k++) {
		const struct row *row = &AT(self->rows, struct row)[k];
		int is = PySequence_Contains(wanted, PyTuple_GetItem(row->key, 0));

		if (is < 0 || (is && !row_into(self, row, keys, found)))
			Py_CLEAR(found);
	}
	forget(keys, self->tasks.used);
	return found;
}

static PyMethodDef methods[] = {
	{"tasks", tasks, METH_NOARGS, "All tasks that made some."},
	{"of", of, METH_O, "Of some events, by task, in all contexts together."},
	{"by_process", by_process, METH_O, "By event and context, by what each task stands for."},
	{"by_task", by_task, METH_NOARGS, "By event and context, by task."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_dealloc, events_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

PyType_Spec events_spec = {
	.name = "kfoot._native.Events",
	.basicsize = sizeof(Events),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = slots,
};
