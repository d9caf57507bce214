/* What the Python type `Text` found, as a dict. */
#include "calls_type.h"
#include "events_type.h"
#include "text_type.h"

/* Adds a thread's counts; `rows` has the rows of its names and contexts, plus 1. */
static bool counts_into(struct text_part *part, uint32_t *rows, PyObject *events)
{
	for (size_t k = 0; k < part->keys_used; k++) {
		struct text_key *key = &part->keys[k];
		struct text_event event = {.hash = mix(key->key)};
		uint64_t packed = key->key - 1;
		size_t at = (packed & 0x3FFFFFFF) * CONTEXTS + (packed >> 30 & 7);
		bool fresh;
		struct text_event *found = text_events_find(&part->events, &event, &fresh);

		if (!found) {
			PyErr_NoMemory();
			return false;
		}
		if (!rows[at]) {
			long row = events_row(events, PyBytes_FromStringAndSize(
				(const char *)key->name, key->length), at % CONTEXTS);

			if (row < 0)
				return false;
			rows[at] = (uint32_t)row + 1;
		}
		if (!events_add(events, rows[at] - 1, (int32_t)(packed >> 33), found->count))
			return false;
	}
	return true;
}

static PyObject *events_of(Text *self)
{
	PyObject *events = events_new((PyObject *)self);

	for (int i = 0; i < self->threads && events; i++) {
		struct text_part *part = &self->parts[i];
		uint32_t *rows = text_settle(part) ?
			calloc(part->names.used * CONTEXTS + 1, sizeof *rows) : NULL;

		if (!rows)
			PyErr_NoMemory();
		if (!rows || !counts_into(part, rows, events))
			Py_CLEAR(events);
		free(rows);
	}
	if (events && !events_done(events))
		Py_CLEAR(events);
	return events;
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

/* Ends the trace: what is open never returned. Gives everything counted, once, as a dict. */
PyObject *text_end(PyObject *object, PyObject *Py_UNUSED(none))
{
	Text *self = (Text *)object;
	PyObject *events = NULL, *calls = NULL, *comms = PyDict_New(),
		 *leaders = PyDict_New(), *samples = PyList_New(0), *losts = losts_of(self);
	PyObject *found = NULL;
	uint64_t records = 0, unparsed = 0, continued = 0, overrun = 0;
	uint64_t first = UINT64_MAX, last = 0;
	bool any, ticks = false, trace_cmd = false;

	if (self->reading || self->busy) {
		PyErr_SetString(PyExc_ValueError, "a source is being read");
		goto out;
	}
	if (!comms || !leaders || !samples || !losts)
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

		if (!calls_move(&self->calls, &part->calls)) {
			PyErr_NoMemory();
			goto out;
		}
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
	events = events_of(self);
	calls = calls_new(object, &self->calls);
	if (!events || !calls)
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
