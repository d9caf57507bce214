/* The Python type `Ring`: windows of time shared out to threads, put together in order. */
#include "ring_type.h"

#include <errno.h>

static void work(void *owner, int worker, size_t at)
{
	Ring *self = owner;
	struct window *w = &self->windows[at % crew_room(self->threads)];

	w->from = self->cuts[at];
	w->last = at + 1 == self->cut_count;
	w->to = w->last ? UINT64_MAX : self->cuts[at + 1];
	ring_scan(&self->workers[worker], w);
}

/* Puts a window behind what is known so far; false when the work cannot go on. */
static bool join(void *owner, size_t at)
{
	Ring *self = owner;
	struct window *w = &self->windows[at % crew_room(self->threads)];
	bool fine = bytes_add(&self->lives.found, w->lives.at, w->lives.used);

	for (size_t k = 0; k < w->tasks.size && fine; k++) {
		if (!w->tasks.slots[k].hash)
			continue;
		struct task *task = task_of(&self->tasks, w->tasks.slots[k].tid);

		fine = task && task_joins(&self->calls, task, &w->tasks.slots[k]);
	}
	for (size_t k = 0; k < w->edges.used && fine; k += sizeof(struct edge)) {
		struct edge edge;

		memcpy(&edge, w->edges.at + k, sizeof edge);
		fine = ring_apart(&self->plan, &self->abis, &edge);
	}
	tasks_clear(&w->tasks);
	w->lives.used = w->edges.used = 0;
	self->end = w->end != FINE ? w->end : fine ? FINE : NO_MEMORY;
	self->error = w->error;
	return self->end == FINE;
}

/* True when all is well, or only the order of the pages is not; else an exception is set. */
static bool is_fine(enum ring_end end, int error)
{
	if (end == NO_MEMORY)
		PyErr_NoMemory();
	if (end == NO_PAGES) {
		errno = error;
		PyErr_SetFromErrno(PyExc_OSError);
	}
	return end == FINE || end == NO_ORDER;
}

static int by_time(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Windows begin at every so manieth page of any CPU: none has more of one, however much the CPUs
 * differ. False when memory is out. */
static bool make_cuts(Ring *self)
{
	size_t step = self->window_bytes / self->plan.page, most = 1, used = 1;

	for (int i = 0; i < self->stream_count; i++) {
		if (!ring_mark(&self->streams[i], &self->workers[0].pages, &self->plan,
			       step ? step : 1))
			return false;
		most += self->streams[i].marks_used;
	}
	self->cuts = malloc(most * sizeof *self->cuts);
	if (!self->cuts)
		return false;
	self->cuts[0] = 0;
	for (int i = 0; i < self->stream_count; i++)
		for (size_t k = 0; k < self->streams[i].marks_used; k++)
			self->cuts[used++] = self->streams[i].marks[k];
	qsort(self->cuts, used, sizeof *self->cuts, by_time);
	for (size_t k = 0; k < used; k++)
		if (!k || self->cuts[k] > self->cuts[self->cut_count - 1])
			self->cuts[self->cut_count++] = self->cuts[k];
	return true;
}

static int as_field(PyObject *object, void *address)
{
	struct field *f = address;
	unsigned long offset, size;
	int is_signed;

	if (object == Py_None) {
		f->size = 0;
		return 1;
	}
	if (!PyArg_ParseTuple(object, "kkp", &offset, &size, &is_signed))
		return 0;
	f->offset = offset > UINT32_MAX ? UINT32_MAX : (uint32_t)offset;
	f->size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
	f->is_signed = is_signed;
	return 1;
}

static void is_special(struct ring_plan *plan, unsigned long id)
{
	if (id <= 0xFFFF)
		plan->specials[id >> 3] |= 1 << (id & 7);
}

static bool lives_are_special(Ring *self, PyObject *lives)
{
	Py_ssize_t ids = PyList_Size(lives);

	for (Py_ssize_t i = 0; i < ids; i++) {
		unsigned long id = PyLong_AsUnsignedLong(PyList_GetItem(lives, i));

		if (id > 0xFFFF) {
			if (!PyErr_Occurred())
				PyErr_SetString(PyExc_ValueError, "event number");
			return false;
		}
		is_special(&self->plan, id);
	}
	if (self->plan.enter >= 0)
		is_special(&self->plan, self->plan.enter);
	if (self->plan.leave >= 0)
		is_special(&self->plan, self->plan.leave);
	return true;
}

/* An integer of a list, -1 behind its end and where it is none. */
static int64_t number_in(PyObject *list, Py_ssize_t at)
{
	return at < PyList_Size(list) ? PyLong_AsLongLong(PyList_GetItem(list, at)) : -1;
}

/* `apart`: None, or the 32-bit ioctl, the 32-bit and native calls of exec, and the tasks whose next
 * call is known to be native. */
static bool tell_apart(Ring *self, PyObject *apart)
{
	struct ring_abi *abi = &self->plan.abi;
	PyObject *execs[2], *announced;
	long long ioctl;

	abi->ioctl = INT64_MIN;
	if (apart == Py_None)
		return true;
	if (!PyTuple_Check(apart) ||
	    !PyArg_ParseTuple(apart, "LOOO", &ioctl, &execs[0], &execs[1], &announced) ||
	    !PyList_Check(execs[0]) || !PyList_Check(execs[1]) || !PyList_Check(announced)) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "apart is no tuple of lists");
		return false;
	}
	abi->wanted = true;
	abi->ioctl = ioctl;
	for (int native = 0; native < 2; native++)
		for (int i = 0; i < 4; i++)
			abi->execs[native][i] = number_in(execs[native], i);
	for (Py_ssize_t i = 0; i < PyList_Size(announced); i++) {
		struct task *task = task_of(&self->abis.tasks, (int32_t)number_in(announced, i));

		if (!task) {
			PyErr_NoMemory();
			return false;
		}
		task->announced = true;
	}
	return !PyErr_Occurred();
}

static bool open_streams(Ring *self, PyObject *streams)
{
	Py_ssize_t count = PyList_Size(streams);

	if (count > 1 << 20) {
		PyErr_SetString(PyExc_ValueError, "too many streams");
		return false;
	}
	self->streams = calloc(count + 1, sizeof *self->streams);
	if (!self->streams) {
		PyErr_NoMemory();
		return false;
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		struct stream *stream = &self->streams[i];
		unsigned long long offset, size;

		if (!PyArg_ParseTuple(PyList_GetItem(streams, i), "iiKK", &stream->fd,
				      &stream->stamps, &offset, &size))
			return false;
		stream->offset = offset;
		stream->size = size;
		ring_begin(stream, &self->plan);
	}
	self->stream_count = (int)count;
	return true;
}

static bool make_workers(Ring *self)
{
	size_t count = self->stream_count + 1;

	self->workers = calloc(self->threads, sizeof *self->workers);
	self->windows = calloc(crew_room(self->threads), sizeof *self->windows);
	bool fine = self->workers && self->windows;

	for (int i = 0; i < self->threads && fine; i++) {
		struct ring_worker *w = &self->workers[i];

		w->plan = &self->plan;
		w->first = UINT64_MAX;
		w->streams = self->streams;
		w->stream_count = self->stream_count;
		w->specials = calloc(count, sizeof *w->specials);
		w->turns = calloc(count, sizeof *w->turns);
		w->damage = calloc(count, sizeof *w->damage);
		fine = w->specials && w->turns && w->damage &&
		       pages_make(&w->pages, &self->plan);
	}
	if (!fine)
		PyErr_NoMemory();
	return fine;
}

static bool set_up(Ring *self, PyObject *streams, PyObject *lives)
{
	if (!lives_are_special(self, lives) || !open_streams(self, streams) || !make_workers(self))
		return false;
	bool cut;

	Py_BEGIN_ALLOW_THREADS
	for (int i = 0; i < self->stream_count && self->indexed && self->end == FINE; i++)
		self->end = ring_index(&self->streams[i], &self->workers[0].pages, &self->plan);
	cut = self->end != FINE || make_cuts(self);
	if (self->end == FINE)
		self->end = cut ? self->workers[0].pages.end : NO_MEMORY;
	Py_END_ALLOW_THREADS
	return is_fine(self->end, self->workers[0].pages.error);
}

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *names[] = {"threads", "streams", "page", "data", "commit", "enter",
				"enter_nr", "request", "leave", "leave_nr", "ret", "exec",
				"lives", "ioctl", "until", "gate", "window", "indexed",
				"apart", NULL};
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Ring *self = (Ring *)alloc(type, 0);
	unsigned long long until;
	long long ioctl;
	PyObject *streams, *lives, *gate, *apart;
	Py_ssize_t page, data, commit;

	if (!self)
		return NULL;
	struct ring_plan *plan = &self->plan;

	if (!PyArg_ParseTupleAndKeywords(
		    args, words, "iOnnniO&O&iO&O&iOLKOnpO", names, &self->threads, &streams, &page,
		    &data, &commit, &plan->enter, as_field, &plan->enter_nr, as_field,
		    &plan->request, &plan->leave, as_field, &plan->leave_nr, as_field, &plan->ret,
		    &plan->exec, &lives, &ioctl, &until, &gate,
		    &self->window_bytes, &self->indexed, &apart) ||
	    !tell_apart(self, apart))
		goto fail;
	if (self->threads < 1 || self->threads > MOST_THREADS || (commit != 4 && commit != 8) ||
	    data != 8 + commit || page < 64 || page > 1 << 24 || self->window_bytes < 1) {
		PyErr_SetString(PyExc_ValueError, "threads or page format");
		goto fail;
	}
	plan->page = page;
	plan->data = data;
	plan->commit = commit;
	plan->ioctl = ioctl;
	plan->until = until;
	if (gate != Py_None) {
		long tid = PyLong_AsLong(gate);

		if (tid == -1 && PyErr_Occurred())
			goto fail;
		plan->has_gate = true;
		plan->gate = (int32_t)tid;
	}
	if (!PyList_Check(streams) || !PyList_Check(lives)) {
		PyErr_SetString(PyExc_TypeError, "streams and lives are lists");
		goto fail;
	}
	self->crew.owner = self;
	self->crew.work = work;
	self->crew.join = join;
	if (!set_up(self, streams, lives))
		goto fail;
	return (PyObject *)self;
fail:
	Py_DECREF(self);
	return NULL;
}

/* Ends the threads that read the files, before those are closed. */
static void stop(Ring *self)
{
	if (self->begun && !self->stopped)
		crew_end(&self->crew);
	self->stopped = true;
}

static void ring_dealloc(PyObject *object)
{
	Ring *self = (Ring *)object;
	PyTypeObject *type = Py_TYPE(object);

	stop(self);
	for (int i = 0; self->workers && i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		for (int k = 0; w->specials && k < self->stream_count; k++) {
			free(w->specials[k].edges);
			free(w->specials[k].runs);
			free(w->specials[k].lives.at);
		}
		pages_free(&w->pages);
		free(w->specials);
		free(w->turns);
		free(w->damage);
		free(w->counts.slots);
		calls_free(&w->calls);
	}
	free(self->workers);
	for (int i = 0; self->streams && i < self->stream_count; i++) {
		free(self->streams[i].start);
		free(self->streams[i].marks);
	}
	for (size_t i = 0; self->windows && i < crew_room(self->threads); i++) {
		tasks_free(&self->windows[i].tasks);
		free(self->windows[i].lives.at);
		free(self->windows[i].edges.at);
	}
	free(self->streams);
	free(self->windows);
	free(self->cuts);
	tasks_free(&self->tasks);
	calls_free(&self->calls);
	tasks_free(&self->abis.tasks);
	calls_free(&self->abis.calls[0]);
	calls_free(&self->abis.calls[1]);
	lives_free(&self->lives);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

/* Finds where the gate's own records begin; None when it did not exec. */
static PyObject *ring_find_gate(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	uint64_t from = 0;
	bool any = false;

	if (self->busy || self->begun) {
		PyErr_SetString(PyExc_ValueError, "before the first step");
		return NULL;
	}
	self->busy = true;
	Py_BEGIN_ALLOW_THREADS
	self->end = ring_gate(&self->workers[0], &from, &any);
	Py_END_ALLOW_THREADS
	self->busy = false;
	self->plan.gate_from = any ? from : UINT64_MAX;
	if (!is_fine(self->end, self->workers[0].pages.error))
		return NULL;
	return any ? PyLong_FromUnsignedLongLong(from) : none();
}

static PyObject *life_row(const uint8_t *head, const char *bytes, size_t *length)
{
	struct ring_life life;

	memcpy(&life, head, sizeof life);
	*length = life.length;
	return Py_BuildValue("(iiiy#)", life.stream, (int)life.id, life.tid, bytes,
			     (Py_ssize_t)life.length);
}

/* Scans a window; gives (share of the trace done, lives in order), or None at the end. */
static PyObject *ring_step(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	enum ring_end end;
	size_t done;
	int error;

	if (self->busy) {
		PyErr_SetString(PyExc_ValueError, "one step at a time");
		return NULL;
	}
	if (self->over || self->stopped || self->end == NO_ORDER)
		return none();
	self->busy = true;
	Py_BEGIN_ALLOW_THREADS
	if (!self->begun)
		crew_begin(&self->crew, self->threads, self->cut_count);
	self->begun = true;
	self->over = !crew_step(&self->crew);
	pthread_mutex_lock(&self->crew.lock);
	done = self->crew.joined;
	end = self->end;
	error = self->error;
	lives_take(&self->lives);
	pthread_mutex_unlock(&self->crew.lock);
	Py_END_ALLOW_THREADS
	self->busy = false;
	if (!is_fine(end, error))
		return NULL;
	if (end == NO_ORDER)
		return none();
	PyObject *lives = lives_rows(&self->lives, sizeof(struct ring_life), life_row);

	if (!lives)
		return NULL;
	return Py_BuildValue("(dN)", (double)done / (double)self->cut_count, lives);
}

static PyObject *ring_stop(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;

	if (self->busy) {
		PyErr_SetString(PyExc_ValueError, "a step is under way");
		return NULL;
	}
	stop(self);
	return none();
}

static PyMethodDef methods[] = {
	{"find_gate", ring_find_gate, METH_NOARGS, "Leave out the gate's records before its exec."},
	{"step", ring_step, METH_NOARGS, "Scan some more of the trace."},
	{"stop", ring_stop, METH_NOARGS, "Leave the files, done or not: they may be closed then."},
	{"end", ring_end, METH_NOARGS, "End the trace; gives all counts."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_new, ring_new},
	{Py_tp_dealloc, ring_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

PyType_Spec ring_spec = {
	.name = "kfoot._native.Ring",
	.basicsize = sizeof(Ring),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = slots,
};
