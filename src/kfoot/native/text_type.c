/* The Python type `Text`: a trace's pieces are shared out to threads, their counts put together. */
#include "module.h"
#include "crew.h"
#include "text.h"

#include <errno.h>

typedef struct {
	PyObject_HEAD
	int threads;
	bool busy;    /* a call is under way */
	bool reading; /* a file is */
	uint64_t piece_bytes;
	struct crew crew;
	struct source source;
	uint64_t share; /* bytes of a piece of this source */
	struct text_part *parts;   /* one a thread */
	struct text_piece *pieces; /* crew_room() */
	struct tasks tasks; /* so far, in the order of the trace */
	struct calls calls; /* closed between two pieces */
	struct arena comms;
	struct bytes lives, given; /* not yet given to Python; just being given */
	struct sample samples[SAMPLES];
	int samples_used, error;
	uint64_t lines;
	bool talker;
	uint8_t tracer[40];
	size_t tracer_length;
} Text;

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
		    bytes_add(&self->lives, piece->lives.at, piece->lives.used);

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

static void text_dealloc(PyObject *object)
{
	Text *self = (Text *)object;
	PyTypeObject *type = Py_TYPE(object);

	if (self->reading)
		crew_end(&self->crew);
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
	free(self->lives.at);
	free(self->given.at);
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

/* Sets the lives found since the last time apart: the threads go on finding some. */
static void take_lives(Text *self)
{
	struct bytes room = self->given;

	room.used = 0;
	self->given = self->lives;
	self->lives = room;
}

static PyObject *lives_of(Text *self)
{
	PyObject *rows = PyList_New(0);

	for (size_t at = 0; rows && at < self->given.used;) {
		struct text_life life;

		memcpy(&life, self->given.at + at, sizeof life);
		at += sizeof life;
		PyObject *row = Py_BuildValue("(yiy#)", text_life_names[life.kind], life.tid,
					      (const char *)self->given.at + at,
					      (Py_ssize_t)life.length);

		at += life.length;
		if (!row || PyList_Append(rows, row))
			Py_CLEAR(rows);
		Py_XDECREF(row);
	}
	return rows;
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
	take_lives(self);
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
	take_lives(self);
	pthread_mutex_unlock(&self->crew.lock);
	if (!more)
		crew_end(&self->crew);
	Py_END_ALLOW_THREADS
	self->busy = false;
	self->reading = more;
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

static bool part_into(struct text_part *part, PyObject *events)
{
	struct event_rows rows;

	if (!text_settle(part)) {
		PyErr_NoMemory();
		return false;
	}
	bool fine = event_rows_begin(&rows, events, part->names.used);

	for (size_t k = 0; k < part->keys_used && fine; k++) {
		struct text_key *key = &part->keys[k];
		struct text_event event = {.hash = mix(key->key)};
		uint64_t packed = key->key - 1;
		size_t at = (packed & 0x3FFFFFFF) * CONTEXTS + (packed >> 30 & 7);
		bool fresh;
		struct text_event *found = text_events_find(&part->events, &event, &fresh);

		if (!found) {
			PyErr_NoMemory();
			fine = false;
			break;
		}
		PyObject *row = rows.rows[at];

		if (!row)
			row = event_row(&rows, at, PyBytes_FromStringAndSize(
							   (const char *)key->name, key->length));
		fine = row && count_into(row, PyLong_FromLong((long)(packed >> 33)), found->count);
	}
	free(rows.rows);
	return fine;
}

static bool events_into(Text *self, PyObject *events)
{
	for (int i = 0; i < self->threads; i++)
		if (!part_into(&self->parts[i], events))
			return false;
	return true;
}

static PyObject *losts_of(Text *self)
{
	struct losts all = {0};
	PyObject *found = PyDict_New();
	bool fresh, fine = found != NULL;

	for (int i = 0; i < self->threads && fine; i++) {
		struct losts *t = &self->parts[i].losts;

		for (size_t k = 0; k < t->size && fine; k++) {
			if (!t->slots[k].hash)
				continue;
			struct lost key = {.hash = t->slots[k].hash, .cpu = t->slots[k].cpu};
			struct lost *sum = losts_find(&all, &key, &fresh);

			if (!sum) {
				PyErr_NoMemory();
				fine = false;
				break;
			}
			sum->events = add_to(sum->events, t->slots[k].events);
			sum->silent += t->slots[k].silent;
		}
	}
	for (size_t k = 0; k < all.size && fine; k++)
		if (all.slots[k].hash)
			fine = put(found, PyLong_FromLong(all.slots[k].cpu),
				   Py_BuildValue("[KK]", all.slots[k].events, all.slots[k].silent));
	losts_free(&all);
	if (!fine)
		Py_CLEAR(found);
	return found;
}

/* Ends the trace: what is open never returned. Gives everything counted, as a dict. */
static PyObject *text_end(PyObject *object, PyObject *Py_UNUSED(none))
{
	Text *self = (Text *)object;
	PyObject *events = PyDict_New(), *calls = PyDict_New(), *comms = PyDict_New(),
		 *leaders = PyDict_New(), *samples = PyList_New(0), *losts = losts_of(self);
	PyObject *found = NULL;
	uint64_t records = 0, unparsed = 0, continued = 0, overrun = 0;
	uint64_t first = UINT64_MAX, last = 0;
	bool any, ticks = false, trace_cmd = false;

	if (self->reading || self->busy) {
		PyErr_SetString(PyExc_ValueError, "a source is being read");
		goto out;
	}
	if (!events || !calls || !comms || !leaders || !samples || !losts)
		goto out;
	for (size_t k = 0; k < self->tasks.size; k++) {
		struct task *t = &self->tasks.slots[k];

		if (!t->hash)
			continue;
		if (t->open && !count_call(&self->calls, t->tid, &t->now, NEVER, 0)) {
			PyErr_NoMemory();
			goto out;
		}
		t->open = false;
		if (t->comm && !put(comms, PyLong_FromLong(t->tid),
				    PyBytes_FromStringAndSize((const char *)t->comm,
							      t->comm_length)))
			goto out;
		if (t->firm_leader &&
		    !put(leaders, PyLong_FromLong(t->tid), PyLong_FromLong(t->leader)))
			goto out;
	}
	for (int i = 0; i < self->threads; i++) {
		struct text_part *part = &self->parts[i];

		if (!calls_into(&part->calls, calls))
			goto out;
		records += part->records;
		unparsed += part->unparsed;
		continued += part->continued;
		overrun = add_to(overrun, part->overrun);
		if (part->first < first)
			first = part->first;
		if (part->last > last)
			last = part->last;
		ticks |= part->ticks;
		trace_cmd |= part->trace_cmd;
	}
	if (!calls_into(&self->calls, calls) || !events_into(self, events))
		goto out;
	for (int i = 0; i < self->samples_used; i++) {
		struct sample *s = &self->samples[i];
		PyObject *row = Py_BuildValue("(Ky#)", s->line, (const char *)s->text,
					      (Py_ssize_t)s->length);

		if (!row || PyList_Append(samples, row)) {
			Py_XDECREF(row);
			goto out;
		}
		Py_DECREF(row);
	}
	any = first <= last;
	found = Py_BuildValue(
		"{sOsOsOsOsOsOsKsKsKsKsKsNsNsOsOsy#}", "events", events, "calls", calls, "comms",
		comms, "leaders", leaders, "samples", samples, "lost", losts, "lines", self->lines,
		"records", records, "unparsed", unparsed, "continued", continued, "overrun",
		overrun, "first", any ? PyLong_FromUnsignedLongLong(first) : none(), "last",
		any ? PyLong_FromUnsignedLongLong(last) : none(), "timed", ticks ? Py_False : Py_True,
		"trace_cmd", trace_cmd ? Py_True : Py_False, "tracer", (const char *)self->tracer,
		(Py_ssize_t)self->tracer_length);
out:
	Py_XDECREF(events);
	Py_XDECREF(calls);
	Py_XDECREF(comms);
	Py_XDECREF(leaders);
	Py_XDECREF(samples);
	Py_XDECREF(losts);
	return found;
}

static PyMethodDef methods[] = {
	{"feed", text_feed, METH_VARARGS, "feed(lines): count them; gives the lives in them."},
	{"read", text_read, METH_VARARGS,
	 "read(fd, size): begin a file, which stays open until step() says it is done."},
	{"step", text_step, METH_NOARGS,
	 "Count some more of the file: gives (bytes done, lives), or None when it is done."},
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
