/* What the Python type `Text` is made of. */
#ifndef KFOOT_TEXT_TYPE_H
#define KFOOT_TEXT_TYPE_H

#include "lives.h"
#include "text.h"

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
	struct lives lives;
	struct sample samples[SAMPLES];
	int samples_used, error;
	uint64_t lines;
	bool talker;
	uint8_t tracer[40];
	size_t tracer_length;
} Text;

PyObject *text_end(PyObject *object, PyObject *none_);

#endif
