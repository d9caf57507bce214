/*
 * Calls by task and name in strace text, and nothing else: chunks of lines shared out to threads.
 * The lines counted are those of COUNTED in strace_counts.py.
 */
#include "module.h"
#include "strace.h"

#include <pthread.h>

struct tally {
	uint64_t hash, count;
	const uint8_t *name;
	int32_t pid;
	uint32_t length;
};

static inline bool tallies_same(const struct tally *a, const struct tally *b)
{
	return a->pid == b->pid && a->length == b->length &&
	       bytes_same(a->name, b->name, a->length);
}

TABLE(tallies, tally)

struct chunk {
	const uint8_t *at, *end;
	struct tallies tallies;
	bool out_of_memory;
};

static void *count_chunk(void *argument)
{
	struct chunk *chunk = argument;
	struct tally *last = NULL;

	while (chunk->at < chunk->end) {
		const uint8_t *newline = memchr(chunk->at, '\n', chunk->end - chunk->at);
		const uint8_t *end = newline ? newline : chunk->end;
		struct tally key = {.pid = NO_PID};

		if (strace_head(chunk->at, end, &key.pid, &key.name, &key.length)) {
			bool fresh;

			if (last && tallies_same(last, &key)) {
				last->count++;
			} else {
				key.hash = mix(hash_bytes(key.name, key.length) ^
					       (uint64_t)(uint32_t)key.pid << 32) | 1;
				last = tallies_find(&chunk->tallies, &key, &fresh);
				if (!last) {
					chunk->out_of_memory = true;
					break;
				}
				last->count++;
			}
		}
		chunk->at = end + 1;
	}
	return NULL;
}

/* strace_counts(buffer, threads) -> {(pid or -1, name): calls} */
PyObject *strace_counts(PyObject *Py_UNUSED(module), PyObject *args)
{
	pthread_t ids[MOST_THREADS];
	struct chunk chunks[MOST_THREADS] = {{0}};
	Py_buffer view;
	PyObject *arg;
	int threads, started = 1;

	if (!PyArg_ParseTuple(args, "Oi", &arg, &threads))
		return NULL;
	if (threads < 1 || threads > MOST_THREADS) {
		PyErr_SetString(PyExc_ValueError, "threads");
		return NULL;
	}
	if (PyObject_GetBuffer(arg, &view, PyBUF_SIMPLE))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	const uint8_t *begin = view.buf, *end = begin + view.len, *from = begin;

	for (int i = 0; i < threads; i++) {
		const uint8_t *to = i + 1 == threads ? end : begin + view.len / threads * (i + 1);

		if (to < from)
			to = from;
		if (to < end) {
			const uint8_t *newline = memchr(to, '\n', end - to);

			to = newline ? newline + 1 : end;
		}
		chunks[i].at = from;
		chunks[i].end = from = to;
	}
	for (; started < threads; started++)
		if (pthread_create(&ids[started], NULL, count_chunk, &chunks[started]))
			break;
	count_chunk(&chunks[0]);
	for (int i = started; i < threads; i++)
		count_chunk(&chunks[i]);
	for (int i = 1; i < started; i++)
		pthread_join(ids[i], NULL);
	Py_END_ALLOW_THREADS

	PyObject *found = PyDict_New();
	bool fine = found != NULL;

	for (int i = 0; i < threads; i++) {
		struct tallies *t = &chunks[i].tallies;

		if (fine && chunks[i].out_of_memory) {
			PyErr_NoMemory();
			fine = false;
		}
		for (size_t k = 0; k < t->size && fine; k++)
			if (t->slots[k].hash)
				fine = count_into(found,
						  Py_BuildValue("(iy#)", (int)t->slots[k].pid,
								(const char *)t->slots[k].name,
								(Py_ssize_t)t->slots[k].length),
						  t->slots[k].count);
		tallies_free(t);
	}
	PyBuffer_Release(&view);
	if (!fine)
		Py_CLEAR(found);
	return found;
}
