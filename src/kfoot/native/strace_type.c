/* The Python type `Strace`: counts repeated lines, gives Python the others, one at a time. */
#include "module.h"
#include "strace.h"

/* See strace_rows.c. */
PyObject *scanner_counts(const struct scanner *s, PyObject *args);

#define WORTH_A_THREAD 65536 /* bytes */

typedef struct {
	PyObject_HEAD
	struct scanner scan;
	Py_buffer view;
	bool viewing;
	int threads; /* lines are taken apart in one of their own where there are two */
} Strace;

static PyObject *strace_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *keys[] = {"modes", "with_time", "threads", NULL};
	PyObject *modes, *name, *mode;
	Py_ssize_t at = 0;
	int with_time, threads;

	if (!PyArg_ParseTupleAndKeywords(args, words, "O!pi", keys, &PyDict_Type, &modes, &with_time,
					 &threads))
		return NULL;
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Strace *self = (Strace *)alloc(type, 0);

	if (!self)
		return NULL;
	self->threads = threads;
	self->scan.epoch = 1;
	if (!ahead_init(&self->scan.ahead, &self->scan.names, with_time)) {
		PyErr_NoMemory();
		goto fail;
	}
	while (PyDict_Next(modes, &at, &name, &mode)) {
		char *text;
		Py_ssize_t length;
		long value = PyLong_AsLong(mode);
		bool fresh;

		if (PyErr_Occurred() || PyBytes_AsStringAndSize(name, &text, &length))
			goto fail;
		struct name key = {
			.hash = hash_bytes((uint8_t *)text, length) | 1,
			.text = arena_copy(&self->scan.texts, (uint8_t *)text, length),
			.length = (uint32_t)length,
			.mode = (int32_t)value,
		};
		if (!key.text || !names_find(&self->scan.names, &key, &fresh)) {
			PyErr_NoMemory();
			goto fail;
		}
	}
	return (PyObject *)self;
fail:
	Py_DECREF(self);
	return NULL;
}

static void strace_dealloc(PyObject *object)
{
	Strace *self = (Strace *)object;
	PyTypeObject *type = Py_TYPE(object);

	scanner_free(&self->scan);
	if (self->viewing)
		PyBuffer_Release(&self->view);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static PyObject *strace_piece(PyObject *object, PyObject *arg)
{
	Strace *self = (Strace *)object;

	Py_BEGIN_ALLOW_THREADS
	ahead_stop(&self->scan.ahead);
	Py_END_ALLOW_THREADS
	if (self->viewing)
		PyBuffer_Release(&self->view);
	self->viewing = false;
	self->scan.line = NULL;
	self->scan.question.length = 0;
	if (arg == Py_None)
		return none();
	if (PyObject_GetBuffer(arg, &self->view, PyBUF_SIMPLE))
		return NULL;
	const uint8_t *from = self->view.buf, *to = from + self->view.len;

	if (from < to && to[-1] != '\n') {
		PyBuffer_Release(&self->view);
		PyErr_SetString(PyExc_ValueError, "a piece ends with a newline");
		return NULL;
	}
	self->viewing = true;
	ahead_start(&self->scan.ahead, from, to, self->threads > 1 && to - from > WORTH_A_THREAD);
	return none();
}

static PyObject *text(const uint8_t *from, const uint8_t *to)
{
	return PyUnicode_DecodeUTF8((const char *)from, to - from, "surrogateescape");
}

static PyObject *text_or_none(const uint8_t *from, const uint8_t *to)
{
	return from == to ? none() : text(from, to);
}

static PyObject *held_text(struct tracee *t)
{
	t->holds = false;
	return PyBytes_FromStringAndSize((const char *)t->begun, t->begun_length);
}

/* The arguments of the line, with those its call has begun with. */
static PyObject *arguments(struct tracee *t, const struct line *l)
{
	if (!t->holds)
		return text(l->args, l->args_end);
	size_t before = t->begun_length - t->begun_name - 1, behind = l->args_end - l->args;
	uint8_t *joined = malloc(before + behind + 1);

	t->holds = false;
	if (!joined)
		return PyErr_NoMemory();
	memcpy(joined, t->begun + t->begun_name + 1, before);
	memcpy(joined + before, l->args, behind);
	PyObject *all = text(joined, joined + before + behind);

	free(joined);
	return all;
}

/*
 * next(force) -> None at the end of the piece, or one of
 *   (OWN, pid, flush, name, arguments, result, its decoration or None, errno or None)
 *   (STEP, pid, flush, kind)
 *   (ANY or TOO_LONG, pid, flush, line, its number, what the task's call has begun with or None,
 *    combinations counted)
 * flush: whether there is something to flush first. With force the next line is handed over as ANY
 * whatever it is.
 */
static PyObject *strace_next(PyObject *object, PyObject *arg)
{
	struct scanner *s = &((Strace *)object)->scan;
	int force = PyObject_IsTrue(arg);
	bool found;

	if (force < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	found = scanner_next(s, force);
	Py_END_ALLOW_THREADS
	if (s->failed)
		return PyErr_NoMemory();
	if (!found)
		return none();
	const struct line *l = s->line;
	struct tracee *t = l->pid == UNTOLD ? NULL : scanner_tracee(s, l->pid);

	if (l->pid != UNTOLD && !t)
		return PyErr_NoMemory();
	if (s->why == STEP)
		return Py_BuildValue("(iiii)", s->why, l->pid, t->dirty, s->kind);
	if (s->why == OWN)
		return Py_BuildValue("(iiiNNNNN)", s->why, l->pid, t->dirty || s->effect_count,
				     text(l->name, l->name + l->name_length), arguments(t, l),
				     text(l->result, l->number_end),
				     text_or_none(l->number_end, l->result_end),
				     text_or_none(l->error, l->error_end));
	if (s->own_time) {
		/* Only a trace's first time and its last are kept. */
		if (s->timed)
			s->last_time.length = 0;
		s->timed = true;
	}
	return Py_BuildValue("(iiiy#KNK)", s->why, l->pid,
			     s->effect_count || s->dirty_count || s->last_time.length,
			     (const char *)s->ready->from,
			     (Py_ssize_t)(s->ready->to - s->ready->from),
			     (unsigned long long)s->lines, t && t->holds ? held_text(t) : none(),
			     (unsigned long long)s->repeats.used);
}

/* Gives what happened to descriptors and steps since the last time, and the times of lines counted:
 * ([(files, effect)], [(pid, folds, cut)], the first if it may be the trace's, the last). */
static PyObject *strace_flush(PyObject *object, PyObject *Py_UNUSED(none_))
{
	struct scanner *s = &((Strace *)object)->scan;
	PyObject *effects = PyList_New(0), *steps = PyList_New(0), *row;

	for (size_t i = 0; effects && steps && i < s->effect_count; i++) {
		row = Py_BuildValue("(ii)", s->effects[i].files, s->effects[i].effect);
		if (!row || PyList_Append(effects, row))
			Py_CLEAR(effects);
		Py_XDECREF(row);
	}
	for (size_t i = 0; effects && steps && i < s->dirty_count; i++) {
		struct tracee *t = scanner_tracee(s, s->dirty[i]);

		if (!t)
			continue;
		row = Py_BuildValue("(iKi)", (int)t->pid, (unsigned long long)t->folds, t->cut);
		t->folds = 0;
		t->cut = t->dirty = false;
		if (!row || PyList_Append(steps, row))
			Py_CLEAR(steps);
		Py_XDECREF(row);
	}
	struct moment first = s->first_time, last = s->last_time;

	scanner_flushed(s);
	if (!effects || !steps) {
		Py_XDECREF(effects);
		Py_XDECREF(steps);
		return NULL;
	}
	return Py_BuildValue("(NNy#y#)", effects, steps, (const char *)first.text,
			     (Py_ssize_t)first.length, (const char *)last.text,
			     (Py_ssize_t)last.length);
}

/* valid(pid, image, files, kind of the last step or -1, aliased): what holds for a task from now
 * on. */
static PyObject *strace_valid(PyObject *object, PyObject *args)
{
	struct scanner *s = &((Strace *)object)->scan;
	int pid, image, files, last, aliased;

	if (!PyArg_ParseTuple(args, "iiiip", &pid, &image, &files, &last, &aliased))
		return NULL;
	struct tracee *t = scanner_tracee(s, pid);

	if (!t)
		return PyErr_NoMemory();
	t->image = image;
	t->files = files;
	t->last = last;
	t->aliased = aliased;
	t->epoch = s->epoch;
	return none();
}

/* invalid(pid): the task's next line is handed over as ANY. */
static PyObject *strace_invalid(PyObject *object, PyObject *arg)
{
	struct scanner *s = &((Strace *)object)->scan;
	long pid = PyLong_AsLong(arg);

	if (PyErr_Occurred())
		return NULL;
	struct tracee *t = scanner_tracee(s, (int32_t)pid);

	if (!t)
		return PyErr_NoMemory();
	t->epoch = 0;
	return none();
}

/* effect(fd): there is a further one, on the descriptor with this number of Python's. */
static PyObject *strace_effect(PyObject *object, PyObject *arg)
{
	struct scanner *s = &((Strace *)object)->scan;
	long fd = PyLong_AsLong(arg);

	if (PyErr_Occurred())
		return NULL;
	return scanner_effect(s, (int32_t)fd) ? none() : PyErr_NoMemory();
}

static bool known_effect(const struct scanner *s, int effect)
{
	if (effect < 0 || (size_t)effect < s->fd_count)
		return true;
	PyErr_SetString(PyExc_ValueError, "an effect that was not told");
	return false;
}

/* meant(kind, effect, keep): what the OWN line handed over last means, and if keep, whenever its
 * text comes again. Counts it; tells whether its step is to be kept. */
static PyObject *strace_meant(PyObject *object, PyObject *args)
{
	struct scanner *s = &((Strace *)object)->scan;
	int kind, effect, keep;

	if (!PyArg_ParseTuple(args, "iip", &kind, &effect, &keep) || !known_effect(s, effect))
		return NULL;
	bool step = scanner_meant(s, kind, effect, keep);

	return s->failed ? PyErr_NoMemory() : PyBool_FromLong(step);
}

/* learn(kind, effect): what the line handed over last means, whenever its text comes again. */
static PyObject *strace_learn(PyObject *object, PyObject *args)
{
	struct scanner *s = &((Strace *)object)->scan;
	int kind, effect;

	if (!PyArg_ParseTuple(args, "ii", &kind, &effect) || !known_effect(s, effect))
		return NULL;
	scanner_learn(s, kind, effect);
	return s->failed ? PyErr_NoMemory() : none();
}

/* combination(image, kind) -> how many there are, this one with them. */
static PyObject *strace_combination(PyObject *object, PyObject *args)
{
	struct scanner *s = &((Strace *)object)->scan;
	int image, kind;

	if (!PyArg_ParseTuple(args, "ii", &image, &kind))
		return NULL;
	struct repeat *r = scanner_repeat(s, image, kind);

	if (!r)
		return PyErr_NoMemory();
	r->told = true;
	return PyLong_FromSize_t(s->repeats.used);
}

/* changed(): what is known of tasks holds no longer. */
static PyObject *strace_changed(PyObject *object, PyObject *Py_UNUSED(none_))
{
	((Strace *)object)->scan.epoch++;
	return none();
}

/* full(): no more steps are kept. */
static PyObject *strace_full(PyObject *object, PyObject *Py_UNUSED(none_))
{
	((Strace *)object)->scan.full = true;
	return none();
}

/* held() -> [(line, pid, text)] of all calls that have begun and not ended. */
static PyObject *strace_held(PyObject *object, PyObject *Py_UNUSED(none_))
{
	struct scanner *s = &((Strace *)object)->scan;
	PyObject *all = PyList_New(0);

	for (size_t i = 0; all && i < s->tracees.size; i++) {
		struct tracee *t = &s->tracees.slots[i];

		if (!t->hash || !t->holds)
			continue;
		PyObject *row = Py_BuildValue("(KiN)", (unsigned long long)t->begun_line,
					      (int)t->pid, held_text(t));

		if (!row || PyList_Append(all, row))
			Py_CLEAR(all);
		Py_XDECREF(row);
	}
	return all;
}

static PyObject *strace_rows(PyObject *object, PyObject *args)
{
	return scanner_counts(&((Strace *)object)->scan, args);
}

/* end() -> (steps cut, lines) */
static PyObject *strace_end(PyObject *object, PyObject *Py_UNUSED(none_))
{
	struct scanner *s = &((Strace *)object)->scan;

	return Py_BuildValue("(KK)", (unsigned long long)s->cut, (unsigned long long)s->lines);
}

static PyMethodDef methods[] = {
	{"piece", strace_piece, METH_O, "Set the piece of text to read; None: none."},
	{"next", strace_next, METH_O, "Count repeated lines, give the next other one."},
	{"flush", strace_flush, METH_NOARGS, "Give what was done to descriptors and steps."},
	{"valid", strace_valid, METH_VARARGS, "Say what holds for a task."},
	{"invalid", strace_invalid, METH_O, "Say that nothing holds for a task."},
	{"effect", strace_effect, METH_O, "Say that there is one more effect."},
	{"meant", strace_meant, METH_VARARGS, "Say what the last line means, and count it."},
	{"learn", strace_learn, METH_VARARGS, "Say what the last line means."},
	{"combination", strace_combination, METH_VARARGS, "Note one that is counted in Python."},
	{"changed", strace_changed, METH_NOARGS, "Say that nothing holds for any task."},
	{"full", strace_full, METH_NOARGS, "Say that no more steps are kept."},
	{"held", strace_held, METH_NOARGS, "Give the calls that have begun."},
	{"end", strace_end, METH_NOARGS, "Give the numbers of steps not kept and of lines."},
	{"counts", strace_rows, METH_VARARGS, "Add what was counted to rows by key."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_new, strace_new},
	{Py_tp_dealloc, strace_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

PyType_Spec strace_spec = {
	.name = "kfoot._native.Strace",
	.basicsize = sizeof(Strace),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = slots,
};
