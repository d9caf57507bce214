/* The Python type `Text`: feeds pieces of a trace to threads and puts their counts together. */
#include "module.h"
#include "pages.h"
#include "text.h"

#include <pthread.h>

typedef struct {
	PyObject_HEAD
	int threads;
	bool busy;
	struct text_part *parts;
	struct tasks tasks; /* so far, in the order of the trace */
	struct calls calls; /* closed between two pieces */
	struct arena comms;
	struct sample samples[SAMPLES];
	int samples_used;
	uint64_t lines;
	bool talker;
	uint8_t tracer[40];
	size_t tracer_length;
} Text;

static void *run(void *argument)
{
	struct text_part *part = argument;

	text_scan(part);
	if (part->mapped)
		give_back(part->begin, part->end);
	return NULL;
}

static PyObject *text_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *names[] = {"threads", "until", "ioctl", NULL};
	unsigned long long until;
	long long ioctl;
	int threads;

	if (!PyArg_ParseTupleAndKeywords(args, words, "iKL", names, &threads, &until, &ioctl))
		return NULL;
	if (threads < 1 || threads > MOST_THREADS) {
		PyErr_SetString(PyExc_ValueError, "threads");
		return NULL;
	}
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Text *self = (Text *)alloc(type, 0);

	if (!self)
		return NULL;
	self->threads = threads;
	self->parts = aligned_alloc(_Alignof(struct text_part), threads * sizeof *self->parts);
	if (!self->parts) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	memset(self->parts, 0, threads * sizeof *self->parts);
	for (int i = 0; i < threads; i++) {
		self->parts[i].until = until;
		self->parts[i].ioctl = ioctl;
	}
	return (PyObject *)self;
}

static void text_dealloc(PyObject *object)
{
	Text *self = (Text *)object;
	PyTypeObject *type = Py_TYPE(object);

	for (int i = 0; self->parts && i < self->threads; i++) {
		struct text_part *part = &self->parts[i];

		text_events_free(&part->events);
		text_names_free(&part->names);
		free(part->keys);
		calls_free(&part->calls);
		tasks_free(&part->tasks);
		losts_free(&part->losts);
		arena_free(&part->texts);
		free(part->lives);
	}
	free(self->parts);
	tasks_free(&self->tasks);
	calls_free(&self->calls);
	arena_free(&self->comms);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

/* Puts one part of this piece behind what is known so far; false when memory is out. */
static bool join(Text *self, struct text_part *part)
{
	bool fine = !part->out_of_memory;

	for (size_t i = 0; i < part->tasks.size && fine; i++) {
		struct task *piece = &part->tasks.slots[i];

		if (!piece->hash)
			continue;
		struct task *task = task_of(&self->tasks, piece->tid);

		if (!task)
			return false;
		fine = task_joins(&self->calls, task, piece);
		if (piece->comm && (!task->comm || task->comm_length != piece->comm_length ||
				    memcmp(task->comm, piece->comm, piece->comm_length))) {
			task->comm = arena_copy(&self->comms, piece->comm, piece->comm_length);
			task->comm_length = piece->comm_length;
			fine = fine && task->comm;
		}
		if (piece->firm_leader) {
			task->firm_leader = true;
			task->leader = piece->leader;
		}
	}
	tasks_clear(&part->tasks);
	for (int i = 0; i < part->samples_used && self->samples_used < SAMPLES; i++) {
		struct sample *sample = &self->samples[self->samples_used++];

		*sample = part->samples[i];
		sample->line += self->lines;
	}
	part->samples_used = 0;
	self->lines += part->lines;
	part->lines = 0;
	self->talker = part->talker;
	if (part->tracer_length && !self->tracer_length) {
		memcpy(self->tracer, part->tracer, part->tracer_length);
		self->tracer_length = part->tracer_length;
	}
	return fine;
}

/* Cuts a piece at records, so that what belongs to a record stays with it; how many parts. */
static int cut(Text *self, const uint8_t *begin, const uint8_t *end)
{
	size_t share = (end - begin) / self->threads;
	int n = 0;

	for (int i = 0; i < self->threads; i++) {
		const uint8_t *from = begin;

		if (i) {
			from = begin + share * i;
			if (from < self->parts[n - 1].begin)
				continue;
			const uint8_t *newline = memchr(from, '\n', end - from);

			from = text_first_record(newline + 1, end);
			if (from == end)
				break;
			self->parts[n - 1].end = from;
		}
		self->parts[n].begin = from;
		self->parts[n].end = end;
		n++;
	}
	return n;
}

static PyObject *lives_of(Text *self, int parts)
{
	PyObject *lives = PyList_New(0);

	for (int i = 0; lives && i < parts; i++) {
		struct text_part *part = &self->parts[i];

		for (size_t k = 0; k < part->lives_used; k++) {
			struct text_life *life = &part->lives[k];
			PyObject *row = Py_BuildValue("(yiy#)", text_life_names[life->kind],
						      life->tid, (const char *)life->text,
						      (Py_ssize_t)life->length);

			if (!row || PyList_Append(lives, row)) {
				Py_XDECREF(row);
				Py_CLEAR(lives);
				break;
			}
			Py_DECREF(row);
		}
		part->lives_used = 0;
	}
	return lives;
}

static PyObject *text_feed(PyObject *object, PyObject *args)
{
	Text *self = (Text *)object;
	pthread_t threads[MOST_THREADS];
	Py_buffer view;
	int parts = 0, mapped = 0;

	if (!PyArg_ParseTuple(args, "y*|p", &view, &mapped))
		return NULL;
	const uint8_t *begin = view.buf, *end = begin + view.len;

	if (self->busy || (view.len && end[-1] != '\n')) {
		PyBuffer_Release(&view);
		PyErr_SetString(PyExc_ValueError, "a piece ends with a newline; one at a time");
		return NULL;
	}
	self->busy = true;
	bool fine = true;

	Py_BEGIN_ALLOW_THREADS
	parts = view.len ? cut(self, begin, end) : 0;
	if (parts)
		self->parts[0].talker = self->talker;
	for (int i = 0; i < parts; i++)
		self->parts[i].mapped = mapped;
	int started = 1;

	for (; started < parts; started++)
		if (pthread_create(&threads[started], NULL, run, &self->parts[started]))
			break;
	if (parts)
		run(&self->parts[0]);
	for (int i = started; i < parts; i++)
		run(&self->parts[i]);
	for (int i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < parts; i++)
		fine = join(self, &self->parts[i]) && fine;
	Py_END_ALLOW_THREADS

	PyObject *lives = fine ? lives_of(self, parts) : PyErr_NoMemory();

	self->busy = false;
	PyBuffer_Release(&view);
	return lives;
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
	uint64_t records = 0, unparsed = 0, continued = 0, overrun = 0, first = 0, last = 0;
	bool any = false, ticks = false, trace_cmd = false;

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
		if (part->any && (!any || part->first < first))
			first = part->first;
		if (part->any && (!any || part->last > last))
			last = part->last;
		any |= part->any;
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
	{"feed", text_feed, METH_VARARGS,
	 "feed(piece, mapped=False): count whole lines; gives the lives in them. mapped: the piece "
	 "is of a mapped file and not needed again."},
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
