/* What the Python type `Ring` is made of. */
#ifndef KFOOT_RING_TYPE_H
#define KFOOT_RING_TYPE_H

#include "lives.h"
#include "ring.h"

typedef struct {
	PyObject_HEAD
	int threads, stream_count;
	bool busy, begun, over, stopped, ended;
	int indexed; /* all pages were looked at beforehand */
	struct ring_plan plan;
	struct stream *streams;
	struct ring_worker *workers;
	Py_ssize_t window_bytes;
	uint64_t *cuts; /* begins of windows, the first 0 */
	size_t cut_count;
	struct tasks tasks;
	struct calls calls;
	struct ring_abis abis; /* with plan.abi wanted */
	struct lives lives;
	struct crew crew;
	struct window *windows; /* crew_room() */
	enum ring_end end;
	int error;
} Ring;

PyObject *ring_end(PyObject *object, PyObject *none_);

#endif
