/* The Python type `Strace`: counts repeated lines, gives Python the others, one at a time. */
#include "module.h"
#include "strace.h"

#define MOST_TEXT (256u << 20) /* bytes of meanings kept; what comes later is Python's */
#define MOST_LINE (1u << 20)   /* longer lines are cut by the Python reader, which has its rules */
#define MOST_EFFECTS 65536

/* Why a line is handed over. */
enum { ANY = 0, OWN = 1, TOO_LONG = 2 };

struct effect {
	int32_t files, effect;
};

typedef struct {
	PyObject_HEAD
	bool with_time, full, failed;
	struct names names;
	struct meanings meanings;
	struct repeats repeats;
	struct tracees tracees;
	struct arena texts;
	size_t text_bytes;
	struct effect *effects;
	size_t effect_count, effect_size;
	int32_t *dirty; /* pids */
	size_t dirty_count, dirty_size;
	uint64_t epoch, lines, cut;
	Py_buffer view;
	bool viewing;
	const uint8_t *at, *end;
	/* the text whose meaning Python is about to tell; length 0: none */
	uint8_t asked[BODY + 256];
	uint32_t asked_length;
	uint8_t last_time[32];
	uint32_t last_time_length; /* 0: Python knows it, or the line handed over says a later one */
	bool own_time;
	uint8_t hour[2];
} Strace;

static PyObject *strace_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *keys[] = {"modes", "with_time", NULL};
	PyObject *modes, *name, *mode;
	Py_ssize_t at = 0;
	int with_time;

	if (!PyArg_ParseTupleAndKeywords(args, words, "O!p", keys, &PyDict_Type, &modes, &with_time))
		return NULL;
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Strace *self = (Strace *)alloc(type, 0);

	if (!self)
		return NULL;
	self->with_time = with_time;
	self->epoch = 1;
	while (PyDict_Next(modes, &at, &name, &mode)) {
		char *text;
		Py_ssize_t length;
		long value = PyLong_AsLong(mode);
		bool fresh;

		if (PyErr_Occurred() || PyBytes_AsStringAndSize(name, &text, &length))
			goto fail;
		struct name key = {
			.hash = hash_bytes((uint8_t *)text, length) | 1,
			.text = arena_copy(&self->texts, (uint8_t *)text, length),
			.length = (uint32_t)length,
			.mode = (int32_t)value,
		};
		if (!key.text || !names_find(&self->names, &key, &fresh)) {
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

	for (size_t i = 0; i < self->tracees.size; i++)
		if (self->tracees.slots[i].hash)
			free(self->tracees.slots[i].begun);
	if (self->viewing)
		PyBuffer_Release(&self->view);
	names_free(&self->names);
	meanings_free(&self->meanings);
	repeats_free(&self->repeats);
	tracees_free(&self->tracees);
	arena_free(&self->texts);
	free(self->effects);
	free(self->dirty);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static struct tracee *tracee_of(Strace *self, int32_t pid)
{
	struct tracee key = {.hash = mix((uint32_t)pid + 1u) | 1, .pid = pid, .last = -1};
	bool fresh;

	return tracees_find(&self->tracees, &key, &fresh);
}

static int mode_of(Strace *self, const uint8_t *name, uint32_t length)
{
	struct name key = {.hash = hash_bytes(name, length) | 1, .text = name, .length = length};
	size_t at = key.hash & (self->names.size - 1);

	if (!self->names.size)
		return NAME;
	for (; self->names.slots[at].hash; at = (at + 1) & (self->names.size - 1))
		if (self->names.slots[at].hash == key.hash &&
		    names_same(&self->names.slots[at], &key))
			return self->names.slots[at].mode;
	return NAME;
}

struct text {
	uint8_t *p;
	uint32_t length;
	bool over;
};

static void add(struct text *t, const uint8_t *p, size_t n)
{
	if (t->over || n > BODY - t->length) {
		t->over = true;
		return;
	}
	memcpy(t->p + t->length, p, n);
	t->length += (uint32_t)n;
}

/* What of the arguments decides; their end when all do. */
static void decisive(int mode, const uint8_t **from, const uint8_t **to)
{
	const uint8_t *p = *from, *end = *to, *comma;

	if (mode == NAME) {
		*to = p;
	} else if (mode == FIRST) {
		comma = memchr(p, ',', end - p);
		if (comma)
			*to = comma;
	} else if (mode == IOCTL) {
		comma = memchr(p, ',', end - p);
		if (!comma || end - comma < 2 || comma[1] != ' ')
			return;
		/* A name with a comma in it: leave the text whole. */
		if (memchr(p, '<', comma - p) && comma[-1] != '>')
			return;
		p = comma + 2;
		if (end - p > 5 && !memcmp(p, "_IOC(", 5)) {
			p = memchr(p, ')', end - p);
			if (!p)
				return;
		}
		comma = memchr(p, ',', end - p);
		if (comma && end - comma >= 2 && comma[1] == ' ')
			*to = comma;
	} else if (mode == MMAP) {
		if (memmem(p, end - p, "MAP_ANON", 8)) {
			*to = p;
			return;
		}
		for (int i = 0; i < 4; i++) {
			comma = memchr(p, ',', end - p);
			if (!comma || end - comma < 2 || comma[1] != ' ')
				return;
			p = comma + 2;
		}
		*from = p;
	}
}

/* Puts what decides the meaning of a call into self->asked; false: too long. */
static bool ask(Strace *self, const struct line *l, const struct tracee *t, int mode)
{
	struct text text = {.p = self->asked};
	uint8_t joined[BODY], tag = (uint8_t)mode, zero = 0;
	const uint8_t *from = l->args, *to = l->args_end;

	if (l->form == RESUMED && mode != NAME) {
		size_t before = t->begun_length - t->begun_name - 1, behind = l->args_end - l->args;

		if (before + behind > sizeof joined)
			return false;
		memcpy(joined, t->begun + t->begun_name + 1, before);
		memcpy(joined + before, l->args, behind);
		from = joined;
		to = joined + before + behind;
	}
	if (mode == MMAP && memmem(from, to - from, "MAP_ANON", 8))
		tag = NAME;
	decisive(mode, &from, &to);
	add(&text, &tag, 1);
	add(&text, l->name, l->name_length);
	add(&text, &zero, 1);
	if (l->error != l->error_end)
		add(&text, l->error, l->error_end - l->error);
	else if (*l->result == '?')
		add(&text, l->result, 1);
	add(&text, &zero, 1);
	add(&text, from, to - from);
	if (mode == OPENED) {
		add(&text, &zero, 1);
		add(&text, l->result, l->result_end - l->result);
	}
	self->asked_length = text.over ? 0 : text.length;
	return !text.over;
}

static struct meaning *meaning_of(Strace *self)
{
	struct meaning key = {
		.hash = hash_bytes(self->asked, self->asked_length) | 1,
		.text = self->asked,
		.length = self->asked_length,
	};
	if (!self->meanings.size)
		return NULL;
	size_t at = key.hash & (self->meanings.size - 1);

	for (; self->meanings.slots[at].hash; at = (at + 1) & (self->meanings.size - 1))
		if (self->meanings.slots[at].hash == key.hash &&
		    meanings_same(&self->meanings.slots[at], &key))
			return &self->meanings.slots[at];
	return NULL;
}

static void make_dirty(Strace *self, struct tracee *t)
{
	if (t->dirty)
		return;
	if (self->dirty_count == self->dirty_size) {
		size_t size = self->dirty_size ? self->dirty_size * 2 : 64;
		int32_t *dirty = realloc(self->dirty, size * sizeof *dirty);

		if (!dirty) {
			self->failed = true;
			return;
		}
		self->dirty = dirty;
		self->dirty_size = size;
	}
	self->dirty[self->dirty_count++] = t->pid;
	t->dirty = true;
}

static void note_effect(Strace *self, int32_t files, int32_t effect)
{
	if (self->effect_count == self->effect_size) {
		size_t size = self->effect_size ? self->effect_size * 2 : 256;
		struct effect *effects = realloc(self->effects, size * sizeof *effects);

		if (!effects) {
			self->failed = true;
			return;
		}
		self->effects = effects;
		self->effect_size = size;
	}
	self->effects[self->effect_count++] = (struct effect){files, effect};
}

static void hold(Strace *self, struct tracee *t, const struct line *l)
{
	size_t length = l->name_length + 1 + (l->args_end - l->args);

	if (length > t->begun_size) {
		uint8_t *begun = realloc(t->begun, length);

		if (!begun) {
			self->failed = true;
			return;
		}
		t->begun = begun;
		t->begun_size = (uint32_t)length;
	}
	memcpy(t->begun, l->name, length); /* name, "(" and arguments stand together */
	t->begun_length = (uint32_t)length;
	t->begun_name = l->name_length;
	t->begun_line = self->lines;
	t->holds = true;
}

/* Counts a line whose meaning is known; false: its step has to be kept by Python. */
static bool repeat(Strace *self, struct tracee *t, const struct line *l, const struct meaning *m)
{
	struct repeat key = {.image = t->image, .kind = m->kind};
	bool fresh;

	if (t->last == m->kind) {
		t->folds++;
		make_dirty(self, t);
	} else if (self->full) {
		t->last = -1;
		t->cut = true;
		make_dirty(self, t);
		self->cut++;
	} else {
		return false;
	}
	key.hash = mix((uint64_t)(uint32_t)t->image << 32 | (uint32_t)m->kind) | 1;
	struct repeat *r = repeats_find(&self->repeats, &key, &fresh);

	if (!r) {
		self->failed = true;
		return true;
	}
	r->calls++;
	r->ns = add_to(r->ns, l->ns);
	r->timed |= l->timed;
	if (m->effect >= 0)
		note_effect(self, t->files, m->effect);
	return true;
}

/* Whether a line is done with here; else why it is handed over. */
static bool take(Strace *self, const uint8_t *p, const uint8_t *end, bool force, int *why,
		 int32_t *pid)
{
	struct line l;

	*why = ANY;
	*pid = UNTOLD;
	self->asked_length = 0;
	self->own_time = false;
	if (!strace_line(p, end, self->with_time, &l)) {
		*pid = l.pid;
		return false;
	}
	*pid = l.pid;
	struct tracee *t = tracee_of(self, l.pid);

	if (!t) {
		self->failed = true;
		return false;
	}
	bool clock = l.at_length > 2 && l.at[2] == ':';
	self->own_time = l.at_length && !clock;
	bool hour = !clock || !memcmp(self->hour, l.at, 2);

	if (clock)
		memcpy(self->hour, l.at, 2);
	if (force || !hour || self->effect_count >= MOST_EFFECTS)
		return false;
	int mode = mode_of(self, l.name, l.name_length);

	if (mode == HANDED || t->epoch != self->epoch) {
		/* Its meaning may be learned, where Python then finds the task in order. */
		if (mode != HANDED && l.form == CALL && !t->holds)
			ask(self, &l, t, mode);
		return false;
	}
	if (l.form == BEGUN) {
		if (t->holds || l.args_end - l.args > 65536)
			return false;
		hold(self, t, &l);
	} else {
		if (t->holds != (l.form == RESUMED))
			return false;
		if (t->holds && (t->begun_name != l.name_length ||
				 memcmp(t->begun, l.name, l.name_length)))
			return false;
		*why = OWN;
		if (!ask(self, &l, t, mode))
			return false;
		struct meaning *m = meaning_of(self);

		if (!m || m->kind == CHANGING || !repeat(self, t, &l, m))
			return false;
		t->holds = false;
	}
	if (l.at_length) {
		memcpy(self->last_time, l.at, l.at_length);
		self->last_time_length = l.at_length;
	}
	return true;
}

static PyObject *held_text(struct tracee *t)
{
	t->holds = false;
	return PyBytes_FromStringAndSize((const char *)t->begun, t->begun_length);
}

static PyObject *strace_piece(PyObject *object, PyObject *arg)
{
	Strace *self = (Strace *)object;

	if (self->viewing)
		PyBuffer_Release(&self->view);
	self->viewing = false;
	if (arg == Py_None)
		return none();
	if (PyObject_GetBuffer(arg, &self->view, PyBUF_SIMPLE))
		return NULL;
	self->viewing = true;
	self->at = self->view.buf;
	self->end = self->at + self->view.len;
	if (self->view.len && self->end[-1] != '\n') {
		self->viewing = false;
		PyBuffer_Release(&self->view);
		PyErr_SetString(PyExc_ValueError, "a piece ends with a newline");
		return NULL;
	}
	return none();
}

/*
 * next(force) -> None at the end of the piece, or (why, line, number of the line, pid, what the
 * task's call has begun with or None, whether there is something to flush). With force the next
 * line is handed over whatever it is.
 */
static PyObject *strace_next(PyObject *object, PyObject *arg)
{
	Strace *self = (Strace *)object;
	int force = PyObject_IsTrue(arg), why = ANY;
	const uint8_t *line = NULL, *newline = NULL;
	int32_t pid = UNTOLD;
	bool found = false;

	if (force < 0)
		return NULL;
	if (!self->viewing)
		return none();
	Py_BEGIN_ALLOW_THREADS
	while (self->at < self->end && !found && !self->failed) {
		line = self->at;
		newline = memchr(line, '\n', self->end - line);
		self->at = newline + 1;
		self->lines++;
		if (newline - line > MOST_LINE) {
			why = TOO_LONG;
			found = true;
		} else {
			found = !take(self, line, newline, force, &why, &pid);
		}
	}
	Py_END_ALLOW_THREADS
	if (self->failed)
		return PyErr_NoMemory();
	if (!found)
		return none();
	struct tracee *t = pid == UNTOLD ? NULL : tracee_of(self, pid);

	if (pid != UNTOLD && !t)
		return PyErr_NoMemory();
	if (self->own_time)
		self->last_time_length = 0;
	PyObject *held = t && t->holds ? held_text(t) : none();

	return Py_BuildValue("(iy#KiNi)", why, (const char *)line, (Py_ssize_t)(newline - line),
			     (unsigned long long)self->lines, (int)pid, held,
			     self->effect_count || self->dirty_count || self->last_time_length);
}

/* Gives what happened to descriptors and steps since the last time, and the time of the last line
 * counted: ([(files, effect)], [(pid, folds, cut)], time). */
static PyObject *strace_flush(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Strace *self = (Strace *)object;
	PyObject *effects = PyList_New(0), *steps = PyList_New(0), *row;

	for (size_t i = 0; effects && steps && i < self->effect_count; i++) {
		row = Py_BuildValue("(ii)", self->effects[i].files, self->effects[i].effect);
		if (!row || PyList_Append(effects, row))
			Py_CLEAR(effects);
		Py_XDECREF(row);
	}
	for (size_t i = 0; effects && steps && i < self->dirty_count; i++) {
		struct tracee *t = tracee_of(self, self->dirty[i]);

		if (!t)
			continue;
		row = Py_BuildValue("(iKi)", (int)t->pid, (unsigned long long)t->folds, t->cut);
		t->folds = 0;
		t->cut = t->dirty = false;
		if (!row || PyList_Append(steps, row))
			Py_CLEAR(steps);
		Py_XDECREF(row);
	}
	self->effect_count = self->dirty_count = 0;
	uint32_t time_length = self->last_time_length;

	self->last_time_length = 0;
	if (!effects || !steps) {
		Py_XDECREF(effects);
		Py_XDECREF(steps);
		return NULL;
	}
	return Py_BuildValue("(NNy#)", effects, steps, (const char *)self->last_time,
			     (Py_ssize_t)time_length);
}

/* valid(pid, image, files, kind of the last step or -1): what holds for a task from now on. */
static PyObject *strace_valid(PyObject *object, PyObject *args)
{
	Strace *self = (Strace *)object;
	int pid, image, files, last;

	if (!PyArg_ParseTuple(args, "iiii", &pid, &image, &files, &last))
		return NULL;
	struct tracee *t = tracee_of(self, pid);

	if (!t)
		return PyErr_NoMemory();
	t->image = image;
	t->files = files;
	t->last = last;
	t->epoch = self->epoch;
	return none();
}

/* invalid(pid): the task's next line is handed over. */
static PyObject *strace_invalid(PyObject *object, PyObject *arg)
{
	Strace *self = (Strace *)object;
	long pid = PyLong_AsLong(arg);

	if (PyErr_Occurred())
		return NULL;
	struct tracee *t = tracee_of(self, (int32_t)pid);

	if (!t)
		return PyErr_NoMemory();
	t->epoch = 0;
	return none();
}

/* learn(kind, effect): what the line handed over last means, whenever its text comes again. */
static PyObject *strace_learn(PyObject *object, PyObject *args)
{
	Strace *self = (Strace *)object;
	int kind, effect;
	bool fresh;

	if (!PyArg_ParseTuple(args, "ii", &kind, &effect))
		return NULL;
	struct meaning *m = self->asked_length ? meaning_of(self) : NULL;

	if (m || !self->asked_length || self->text_bytes > MOST_TEXT)
		return none();
	struct meaning key = {
		.hash = hash_bytes(self->asked, self->asked_length) | 1,
		.text = arena_copy(&self->texts, self->asked, self->asked_length),
		.length = self->asked_length,
		.kind = kind,
		.effect = effect,
	};
	self->text_bytes += self->asked_length;
	if (!key.text || !meanings_find(&self->meanings, &key, &fresh))
		return PyErr_NoMemory();
	return none();
}

/* changed(): what is known of tasks holds no longer. */
static PyObject *strace_changed(PyObject *object, PyObject *Py_UNUSED(none_))
{
	((Strace *)object)->epoch++;
	return none();
}

/* full(): no more steps are kept. */
static PyObject *strace_full(PyObject *object, PyObject *Py_UNUSED(none_))
{
	((Strace *)object)->full = true;
	return none();
}

/* held() -> [(line, pid, text)] of all calls that have begun and not ended. */
static PyObject *strace_held(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Strace *self = (Strace *)object;
	PyObject *all = PyList_New(0);

	for (size_t i = 0; all && i < self->tracees.size; i++) {
		struct tracee *t = &self->tracees.slots[i];

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

/* end() -> {repeats: [(image, kind, calls, ns or None)], cut, lines} */
static PyObject *strace_end(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Strace *self = (Strace *)object;
	PyObject *rows = PyList_New(0);

	for (size_t i = 0; rows && i < self->repeats.size; i++) {
		struct repeat *r = &self->repeats.slots[i];

		if (!r->hash)
			continue;
		PyObject *row = Py_BuildValue("(iiKN)", r->image, r->kind,
					      (unsigned long long)r->calls,
					      r->timed ? PyLong_FromUnsignedLongLong(r->ns) : none());

		if (!row || PyList_Append(rows, row))
			Py_CLEAR(rows);
		Py_XDECREF(row);
	}
	if (!rows)
		return NULL;
	return Py_BuildValue("{sNsKsK}", "repeats", rows, "cut", (unsigned long long)self->cut,
			     "lines",
			     (unsigned long long)self->lines);
}

static PyMethodDef methods[] = {
	{"piece", strace_piece, METH_O, "Set the piece of text to read; None: none."},
	{"next", strace_next, METH_O, "Count repeated lines, give the next other one."},
	{"flush", strace_flush, METH_NOARGS, "Give what was done to descriptors and steps."},
	{"valid", strace_valid, METH_VARARGS, "Say what holds for a task."},
	{"invalid", strace_invalid, METH_O, "Say that nothing holds for a task."},
	{"learn", strace_learn, METH_VARARGS, "Say what the last line means."},
	{"changed", strace_changed, METH_NOARGS, "Say that nothing holds for any task."},
	{"full", strace_full, METH_NOARGS, "Say that no more steps are kept."},
	{"held", strace_held, METH_NOARGS, "Give the calls that have begun."},
	{"end", strace_end, METH_NOARGS, "Give the counts."},
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
