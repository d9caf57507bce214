/* The Python type `Text`: a trace's pieces are shared out to threads, their counts put together. */
#include "text_type.h"

#include <errno.h>

static void work(void *owner, int worker, size_t at)
{
	Text *self = owner;
	struct text_part *part = &self->parts[worker];
	uint64_t from = at * self->share, to = from + self->share;

	part->piece = &self->pieces[at % crew_room(self->threads)];
	part->talker = !at && self->talker;
	text_piece(part, &self->source, from, to < self->source.size ? to : self->source.size);
	part->piece->out_of_memory = part->out_of_memory;
}

/* Puts a piece behind what is known so far; false when memory is out. */
static bool join(void *owner, size_t at)
{
	Text *self = owner;
	struct text_piece *piece = &self->pieces[at % crew_room(self->threads)];
	bool fine = !piece->out_of_memory &&
		    bytes_add(&self->lives.found, piece->lives.at, piece->lives.used);

	for (size_t i = 0; i < piece->tasks.size && fine; i++) {
		struct task *new = &piece->tasks.slots[i];

		if (!new->hash)
			continue;
		struct task *task = task_of(&self->tasks, new->tid);

		if (!task)
			return false;
		fine = task_joins(&self->calls, task, new);
		if (new->comm) {
			text_name_task(&self->comms, task, new->comm, new->comm_length);
			fine = fine && task->comm;
		}
		if (new->firm_leader) {
			task->firm_leader = true;
			task->leader = new->leader;
		}
	}
	for (int i = 0; i < piece->samples_used && self->samples_used < SAMPLES; i++) {
		struct sample *sample = &self->samples[self->samples_used++];

		*sample = piece->samples[i];
		sample->line += self->lines;
	}
	self->lines += piece->lines;
	if (!piece->empty)
		self->talker = piece->talker;
	if (piece->tracer_length && !self->tracer_length) {
		memcpy(self->tracer, piece->tracer, piece->tracer_length);
		self->tracer_length = piece->tracer_length;
	}
	if (piece->error && !self->error)
		self->error = piece->error;
	tasks_clear(&piece->tasks);
	arena_clear(&piece->comms);
	piece->lives.used = 0;
	piece->samples_used = 0;
	piece->lines = piece->tracer_length = 0;
	return fine;
}

static PyObject *text_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *names[] = {"threads", "until", "ioctl", "piece", NULL};
	unsigned long long until, piece = 0;
	long long ioctl;
	int threads;

	if (!PyArg_ParseTupleAndKeywords(args, words, "iKLK", names, &threads, &until, &ioctl,
					 &piece))
		return NULL;
	if (threads < 1 || threads > MOST_THREADS || !piece) {
		PyErr_SetString(PyExc_ValueError, "threads or bytes of a piece");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Text *self = (Text *)alloc(type, 0);

	if (!self)
		return NULL;
	self->threads = threads;
	self->piece_bytes = piece;
	self->crew.owner = self;
	self->crew.work = work;
	self->crew.join = join;
	self->pieces = calloc(crew_room(threads), sizeof *self->pieces);
	self->parts = aligned_alloc(_Alignof(struct text_part), threads * sizeof *self->parts);
	if (self->parts)
		memset(self->parts, 0, threads * sizeof *self->parts);
	bool fine = self->parts && self->pieces;

	for (int i = 0; i < threads && fine; i++) {
		self->parts[i].first = UINT64_MAX;
		self->parts[i].until = until;
		self->parts[i].ioctl = ioctl;
		fine = lines_make(&self->parts[i].lines);
	}
	if (!fine) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	return (PyObject *)self;
}

/* Ends the threads that read a file, before it is closed. */
static void stop(Text *self)
{
	if (self->reading)
		crew_end(&self->crew);
	self->reading = false;
}

static void text_dealloc(PyObject *object)
{
	Text *self = (Text *)object;
	PyTypeObject *type = Py_TYPE(object);

	stop(self);
	for (int i = 0; self->parts && i < self->threads; i++) {
		struct text_part *part = &self->parts[i];

		text_events_free(&part->events);
		text_names_free(&part->names);
		free(part->keys);
		calls_free(&part->calls);
		losts_free(&part->losts);
		arena_free(&part->texts);
		lines_free(&part->lines);
	}
	for (size_t i = 0; self->pieces && i < crew_room(self->threads); i++) {
		tasks_free(&self->pieces[i].tasks);
		arena_free(&self->pieces[i].comms);
		free(self->pieces[i].lives.at);
	}
	free(self->parts);
	free(self->pieces);
	tasks_free(&self->tasks);
	calls_free(&self->calls);
	arena_free(&self->comms);
	lives_free(&self->lives);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

/* Begins a source; its pieces are no larger than is good for sharing them out. */
static void begin(Text *self, struct source source)
{
	uint64_t even = source.size / self->threads + 1;

	self->source = source;
	self->error = 0;
	self->share = self->piece_bytes < even ? self->piece_bytes : even;
	crew_begin(&self->crew, self->threads, (source.size + self->share - 1) / self->share);
}

static PyObject *life_row(const uint8_t *head, const char *bytes, size_t *length)
{
	struct text_life life;

	memcpy(&life, head, sizeof life);
	*length = life.length;
	return Py_BuildValue("(yiy#)", text_life_names[life.kind], life.tid, bytes,
			     (Py_ssize_t)life.length);
}

static PyObject *lives_of(Text *self)
{
	return lives_rows(&self->lives, sizeof(struct text_life), life_row);
}

static bool is_free(Text *self, bool reading)
{
	if (!self->busy && self->reading == reading)
		return true;
	PyErr_SetString(PyExc_ValueError, "one source at a time");
	return false;
}

static PyObject *text_feed(PyObject *object, PyObject *args)
{
	Text *self = (Text *)object;
	Py_buffer view;
	bool failed;

	if (!PyArg_ParseTuple(args, "y*", &view))
		return NULL;
	if (!is_free(self, false)) {
		PyBuffer_Release(&view);
		return NULL;
	}
	self->busy = true;
	Py_BEGIN_ALLOW_THREADS
	begin(self, (struct source){.memory = view.buf, .size = (uint64_t)view.len});
	while (crew_step(&self->crew))
		;
	failed = self->crew.failed;
	crew_end(&self->crew);
	lives_take(&self->lives);
	Py_END_ALLOW_THREADS
	self->busy = false;
	PyBuffer_Release(&view);
	return failed ? PyErr_NoMemory() : lives_of(self);
}

static PyObject *text_read(PyObject *object, PyObject *args)
{
	Text *self = (Text *)object;
	unsigned long long size;
	int fd;

	if (!PyArg_ParseTuple(args, "iK", &fd, &size) || !is_free(self, false))
		return NULL;
	begin(self, (struct source){.fd = fd, .size = size});
	self->reading = true;
	return none();
}

static PyObject *text_step(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Text *self = (Text *)object;
	uint64_t done;
	bool more, failed;

	if (!self->reading)
		return none();
	if (!is_free(self, true))
		return NULL;
	self->busy = true;
	Py_BEGIN_ALLOW_THREADS
	more = crew_step(&self->crew);
	pthread_mutex_lock(&self->crew.lock);
	done = self->crew.joined * self->share;
	failed = self->crew.failed;
	lives_take(&self->lives);
	pthread_mutex_unlock(&self->crew.lock);
	if (!more)
		stop(self);
	Py_END_ALLOW_THREADS
	self->busy = false;
	if (failed)
		return PyErr_NoMemory();
	if (!more && self->error) {
		errno = self->error;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	PyObject *lives = lives_of(self);

	if (!lives)
		return NULL;
	return Py_BuildValue("(KN)", done < self->source.size ? done : self->source.size, lives);
}

static PyObject *text_stop(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Text *self = (Text *)object;

	if (self->busy) {
		PyErr_SetString(PyExc_ValueError, "a step is under way");
		return NULL;
	}
	stop(self);
	return none();
}

static PyMethodDef methods[] = {
	{"feed", text_feed, METH_VARARGS, "feed(lines): count them; gives the lives in them."},
	{"read", text_read, METH_VARARGS,
	 "read(fd, size): begin a file, which stays open until it is done, or stop() is called."},
	{"step", text_step, METH_NOARGS,
	 "Count some more of the file: gives (bytes done, lives), or None when it is done."},
	{"stop", text_stop, METH_NOARGS, "Leave the file, done or not."},
	{"end", text_end, METH_NOARGS, "End the trace; gives all counts."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_new, text_new},
	{Py_tp_dealloc, text_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

PyType_Spec text_spec = {
	.name = "kfoot._native.Text",
	.basicsize = sizeof(Text),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = slots,
};
