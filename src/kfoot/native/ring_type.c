/* The Python type `Ring`: windows of time shared out to threads, put together in order. */
#include "module.h"
#include "ring.h"

#include <pthread.h>
#include <stdatomic.h>

#define BATCH 16            /* windows between two looks at progress and signals */

typedef struct {
	PyObject_HEAD
	int threads, stream_count;
	int mapped; /* the streams are mapped files */
	bool busy;
	struct ring_plan plan;
	Py_buffer *views;
	int view_count;
	struct stream *streams;
	struct ring_worker *workers;
	Py_ssize_t window_bytes;
	uint64_t *cuts; /* begins of windows, the first 0 */
	size_t cut_count, next_cut;
	struct tasks tasks;
	struct calls calls;
	struct window windows[BATCH];
	int window_count;
	atomic_int taken;
} Ring;

struct job {
	Ring *ring;
	struct ring_worker *worker;
};

static void *scan_windows(void *argument)
{
	struct job *job = argument;
	Ring *ring = job->ring;
	int at;

	while ((at = atomic_fetch_add(&ring->taken, 1)) < ring->window_count) {
		ring_scan(job->worker, &ring->windows[at]);
		if (ring->mapped)
			ring_give_back(job->worker, &ring->windows[at]);
	}
	return NULL;
}

/* The share of one thread in the first look at every page. */
static void *index_pages(void *argument)
{
	struct job *job = argument;
	Ring *ring = job->ring;
	size_t share = job->worker - ring->workers;

	for (int i = 0; i < ring->stream_count; i++) {
		size_t pages = ring->streams[i].pages;

		ring_stamps(&ring->streams[i], &ring->plan, pages * share / ring->threads,
			    pages * (share + 1) / ring->threads);
	}
	return NULL;
}

/* Runs `work` in so many threads, the caller's among them; what no thread is had for, here. */
static void in_threads(Ring *self, int count, void *(*work)(void *))
{
	pthread_t threads[MOST_THREADS];
	struct job jobs[MOST_THREADS];
	int started = 1;

	for (int i = 0; i < count; i++)
		jobs[i] = (struct job){self, &self->workers[i]};
	for (; started < count; started++)
		if (pthread_create(&threads[started], NULL, work, &jobs[started]))
			break;
	work(&jobs[0]);
	for (int i = started; i < count; i++)
		work(&jobs[i]);
	for (int i = 1; i < started; i++)
		pthread_join(threads[i], NULL);
}

/* Windows begin at every so manieth page of the CPU with the most pages. */
static bool make_cuts(Ring *self)
{
	struct stream *most = NULL;
	size_t all = 0;

	for (int i = 0; i < self->stream_count; i++) {
		all += self->streams[i].pages;
		if (!most || self->streams[i].pages > most->pages)
			most = &self->streams[i];
	}
	size_t pages = most ? most->pages : 0;
	size_t windows = all * self->plan.page / self->window_bytes + 1;
	size_t step = pages / windows + 1;

	self->cuts = malloc((pages / step + 2) * sizeof *self->cuts);
	if (!self->cuts)
		return false;
	self->cuts[self->cut_count++] = 0;
	for (size_t k = step; k < pages; k += step)
		if (most->start[k] > self->cuts[self->cut_count - 1])
			self->cuts[self->cut_count++] = most->start[k];
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

static bool set_up(Ring *self, PyObject *buffers, PyObject *lives)
{
	Py_ssize_t count = PyList_Size(buffers), ids = PyList_Size(lives);

	if (count < 0 || ids < 0)
		return false;
	if (count > 1 << 20) {
		PyErr_SetString(PyExc_ValueError, "too many streams");
		return false;
	}
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
	self->views = calloc(count + 1, sizeof *self->views);
	self->streams = calloc(count + 1, sizeof *self->streams);
	self->workers = calloc(self->threads, sizeof *self->workers);
	if (!self->views || !self->streams || !self->workers) {
		PyErr_NoMemory();
		return false;
	}
	for (Py_ssize_t i = 0; i < count; i++) {
		if (PyObject_GetBuffer(PyList_GetItem(buffers, i), &self->views[i], PyBUF_SIMPLE))
			return false;
		self->view_count++;
		self->streams[i].base = self->views[i].buf;
		self->streams[i].size = self->views[i].len;
		if (!ring_begin(&self->streams[i], &self->plan)) {
			PyErr_NoMemory();
			return false;
		}
		self->stream_count++;
	}
	Py_BEGIN_ALLOW_THREADS
	in_threads(self, self->threads, index_pages);
	for (int i = 0; i < self->stream_count; i++)
		ring_index(&self->streams[i]);
	Py_END_ALLOW_THREADS
	for (int i = 0; i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		w->plan = &self->plan;
		w->streams = self->streams;
		w->stream_count = self->stream_count;
		w->specials = calloc(count + 1, sizeof *w->specials);
		w->heads = calloc(count + 1, sizeof *w->heads);
		w->heap = calloc(count + 1, sizeof *w->heap);
		w->damage = calloc(count + 1, sizeof *w->damage);
		if (!w->specials || !w->heads || !w->heap || !w->damage) {
			PyErr_NoMemory();
			return false;
		}
	}
	if (!make_cuts(self)) {
		PyErr_NoMemory();
		return false;
	}
	return true;
}

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
	static char *names[] = {"threads", "streams", "page", "data", "commit", "enter",
				"enter_nr", "request", "leave", "leave_nr", "ret", "exec",
				"lives", "ioctl", "until", "gate", "window", "mapped", NULL};
	allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	Ring *self = (Ring *)alloc(type, 0);
	unsigned long long until;
	long long ioctl;
	PyObject *buffers, *lives, *gate;
	Py_ssize_t page, data, commit;

	if (!self)
		return NULL;
	struct ring_plan *plan = &self->plan;

	if (!PyArg_ParseTupleAndKeywords(
		    args, words, "iOnnniO&O&iO&O&iOLKOnp", names, &self->threads, &buffers, &page,
		    &data, &commit, &plan->enter, as_field, &plan->enter_nr, as_field,
		    &plan->request, &plan->leave, as_field, &plan->leave_nr, as_field, &plan->ret,
		    &plan->exec, &lives, &ioctl, &until, &gate,
		    &self->window_bytes, &self->mapped))
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
	if (!PyList_Check(buffers) || !PyList_Check(lives)) {
		PyErr_SetString(PyExc_TypeError, "streams and lives are lists");
		goto fail;
	}
	if (!set_up(self, buffers, lives))
		goto fail;
	return (PyObject *)self;
fail:
	Py_DECREF(self);
	return NULL;
}

static void ring_dealloc(PyObject *object)
{
	Ring *self = (Ring *)object;
	PyTypeObject *type = Py_TYPE(object);

	for (int i = 0; self->workers && i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		for (int k = 0; w->specials && k < self->stream_count; k++)
			free(w->specials[k].at);
		free(w->specials);
		free(w->heads);
		free(w->heap);
		free(w->damage);
		free(w->counts.slots);
		calls_free(&w->calls);
	}
	free(self->workers);
	for (int i = 0; i < self->view_count; i++) {
		free(self->streams[i].start);
		PyBuffer_Release(&self->views[i]);
	}
	free(self->views);
	free(self->streams);
	free(self->cuts);
	tasks_free(&self->tasks);
	calls_free(&self->calls);
	for (int i = 0; i < BATCH; i++) {
		tasks_free(&self->windows[i].tasks);
		free(self->windows[i].lives);
	}
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

/* Finds where the gate's own records begin; None when it did not exec. */
static PyObject *ring_find_gate(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	uint64_t from = 0;
	bool any;

	Py_BEGIN_ALLOW_THREADS
	any = ring_gate(self->streams, self->stream_count, &self->plan, &from);
	Py_END_ALLOW_THREADS
	self->plan.gate_from = any ? from : UINT64_MAX;
	return any ? PyLong_FromUnsignedLongLong(from) : none();
}

/* Puts the batch's windows behind what is known so far. */
static bool join(Ring *self)
{
	bool fine = true;

	for (int i = 0; i < self->threads; i++)
		fine = fine && !self->workers[i].out_of_memory;
	for (int i = 0; i < self->window_count && fine; i++) {
		struct tasks *tasks = &self->windows[i].tasks;

		for (size_t k = 0; k < tasks->size && fine; k++) {
			if (!tasks->slots[k].hash)
				continue;
			struct task *task = task_of(&self->tasks, tasks->slots[k].tid);

			fine = task && task_joins(&self->calls, task, &tasks->slots[k]);
		}
		tasks_clear(tasks);
	}
	return fine;
}

static PyObject *lives_of(Ring *self)
{
	PyObject *lives = PyList_New(0);

	for (int i = 0; i < self->window_count; i++) {
		struct window *w = &self->windows[i];

		for (size_t k = 0; lives && k < w->lives_used; k++) {
			struct ring_life *life = &w->lives[k];
			PyObject *row = Py_BuildValue("(iiiy#)", life->stream, (int)life->id,
						      life->tid, (const char *)life->data,
						      (Py_ssize_t)life->length);

			if (!row || PyList_Append(lives, row))
				Py_CLEAR(lives);
			Py_XDECREF(row);
		}
		w->lives_used = 0;
	}
	return lives;
}

/* Scans some windows; gives (share of the trace done, lives in order), or None at the end. */
static PyObject *ring_step(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	bool fine;

	if (self->busy) {
		PyErr_SetString(PyExc_ValueError, "one step at a time");
		return NULL;
	}
	if (self->next_cut == self->cut_count)
		return none();
	self->busy = true;
	self->window_count = 0;
	while (self->window_count < BATCH && self->next_cut < self->cut_count) {
		struct window *w = &self->windows[self->window_count++];

		w->from = self->cuts[self->next_cut++];
		w->last = self->next_cut == self->cut_count;
		w->to = w->last ? UINT64_MAX : self->cuts[self->next_cut];
	}
	Py_BEGIN_ALLOW_THREADS
	atomic_store(&self->taken, 0);
	in_threads(self, self->threads < self->window_count ? self->threads : self->window_count,
		   scan_windows);
	fine = join(self);
	Py_END_ALLOW_THREADS
	self->busy = false;
	if (!fine)
		return PyErr_NoMemory();
	PyObject *lives = lives_of(self);

	if (!lives)
		return NULL;
	return Py_BuildValue("(dN)", (double)self->next_cut / (double)self->cut_count, lives);
}

static bool counts_into(const struct counts *counts, struct event_rows *rows)
{
	for (size_t k = 0; k < counts->size; k++) {
		uint64_t key = counts->slots[k].hash - 1;
		size_t at = key & 0x7FFFF; /* number and context */

		if (!counts->slots[k].hash)
			continue;
		PyObject *row = rows->rows[at];

		if (!row)
			row = event_row(rows, at, PyLong_FromLong((long)(at / CONTEXTS)));
		if (!row || !count_into(row, PyLong_FromLong((int32_t)(uint32_t)(key >> 19)),
					counts->slots[k].count))
			return false;
	}
	return true;
}

static PyObject *damage_of(Ring *self)
{
	PyObject *all = PyList_New(0);

	for (int i = 0; all && i < self->stream_count; i++) {
		struct damage sum = {0};

		for (int t = 0; t < self->threads; t++) {
			struct damage *d = &self->workers[t].damage[i];

			sum.missed = add_to(sum.missed, d->missed);
			sum.silent += d->silent;
			sum.corrupt += d->corrupt;
			sum.disordered += d->disordered;
		}
		PyObject *row = Py_BuildValue(
			"(KKKKK)", sum.missed, sum.silent, sum.corrupt, sum.disordered,
			(unsigned long long)(self->streams[i].size % self->plan.page));

		if (!row || PyList_Append(all, row))
			Py_CLEAR(all);
		Py_XDECREF(row);
	}
	return all;
}

/* Ends the trace: what is open never returned. Gives everything counted, as a dict. */
static PyObject *ring_end(PyObject *object, PyObject *Py_UNUSED(none_))
{
	Ring *self = (Ring *)object;
	PyObject *events = PyDict_New(), *calls = PyDict_New(), *damage = damage_of(self);
	PyObject *found = NULL;
	uint64_t first = 0, last = 0;
	bool any = false;
	struct event_rows rows = {0};

	if (!events || !calls || !damage || !event_rows_begin(&rows, events, 1 << 16))
		goto out;
	for (size_t k = 0; k < self->tasks.size; k++) {
		struct task *t = &self->tasks.slots[k];

		if (t->hash && t->open && !count_call(&self->calls, t->tid, &t->now, NEVER, 0)) {
			PyErr_NoMemory();
			goto out;
		}
		t->open = false;
	}
	for (int i = 0; i < self->threads; i++) {
		struct ring_worker *w = &self->workers[i];

		if (!ring_settle(&w->counts)) {
			PyErr_NoMemory();
			goto out;
		}
		if (!counts_into(&w->counts, &rows) || !calls_into(&w->calls, calls))
			goto out;
		if (w->any && (!any || w->first < first))
			first = w->first;
		if (w->any && (!any || w->last > last))
			last = w->last;
		any |= w->any;
	}
	if (!calls_into(&self->calls, calls))
		goto out;
	found = Py_BuildValue("{sOsOsOsNsN}", "events", events, "calls", calls, "damage", damage,
			      "first", any ? PyLong_FromUnsignedLongLong(first) : none(), "last",
			      any ? PyLong_FromUnsignedLongLong(last) : none());
out:
	free(rows.rows);
	Py_XDECREF(events);
	Py_XDECREF(calls);
	Py_XDECREF(damage);
	return found;
}

static PyMethodDef methods[] = {
	{"find_gate", ring_find_gate, METH_NOARGS, "Leave out the gate's records before its exec."},
	{"step", ring_step, METH_NOARGS, "Scan some more of the trace."},
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
