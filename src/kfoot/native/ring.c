/*
 * Sub-buffers of the kernel's ring buffer, counted. What a record is and what its time is, is told
 * in ring_buffer.py; here the same is done window by window, so that processors can share it: a
 * window holds the records of all CPUs in a span of time, and what crosses its bounds (a call
 * entered before, left behind) is put together afterwards.
 */
#include "ring_page.h"

static bool counts_grow(struct counts *t)
{
	size_t size = t->size ? t->size * 2 : 4096;
	struct ring_event *slots = zeroed(size, sizeof *slots);

	if (!slots)
		return false;
	for (size_t i = 0; i < t->size; i++) {
		if (!t->slots[i].hash)
			continue;
		size_t at = mix(t->slots[i].hash) & (size - 1);

		while (slots[at].hash)
			at = (at + 1) & (size - 1);
		slots[at] = t->slots[i];
	}
	free(t->slots);
	t->slots = slots;
	t->size = size;
	return true;
}

static bool count_settled(struct counts *t, const struct ring_event *event)
{
	if (!t->size && !counts_grow(t))
		return false;
	size_t at = mix(event->hash) & (t->size - 1);

	for (;; at = (at + 1) & (t->size - 1)) {
		if (t->slots[at].hash == event->hash) {
			t->slots[at].count += event->count;
			return true;
		}
		if (!t->slots[at].hash)
			break;
	}
	t->slots[at] = *event;
	return ++t->used * 4 < t->size * 3 || counts_grow(t);
}

/*
 * Of a record's first word: the number, those flags the context is made of, the task; not how
 * often preemption was switched off. A bit that is left over tells it from an empty place.
 */
#define KIND 0xFFFFFFFF0058FFFFull
#define KIND_SET 0x0000000001000000ull

static bool settle(struct counts *t, const struct ring_hot *hot)
{
	uint64_t tid = hot->kind >> 32, id = hot->kind & 0xFFFF;
	uint8_t context = context_of((uint8_t)(hot->kind >> 16));
	struct ring_event event = {
		.hash = (tid << 19 | id << 3 | context) + 1, .count = hot->count,
	};

	return !hot->kind || count_settled(t, &event);
}

/* Gives a place to a kind of record that has none; false when memory is out. */
static bool count_other(const struct ring_plan *plan, struct counts *t, struct ring_hot *hot,
			uint64_t kind)
{
	uint16_t id = (uint16_t)kind;
	bool fine = settle(t, hot);

	*hot = (struct ring_hot){
		.kind = kind,
		.what = !(plan->specials[id >> 3] >> (id & 7) & 1) ? PLAIN :
			id == plan->enter			   ? ENTERS :
			id == plan->leave			   ? LEAVES :
			plan->abi.wanted			   ? BESIDE :
								     LIVES,
	};
	return fine;
}

/* Counts a record by its first word; NULL when memory is out. */
static inline const struct ring_hot *count(const struct ring_plan *plan, struct counts *t,
					   uint64_t word)
{
	uint64_t kind = (word & KIND) | KIND_SET;
	struct ring_hot *hot = &t->hot[kind * 0x9E3779B97F4A7C15ull >> (64 - HOT_BITS)];

	if (hot->kind != kind && !count_other(plan, t, hot, kind))
		return NULL;
	hot->count++;
	return hot;
}

bool ring_settle(struct counts *counts)
{
	bool fine = true;

	for (size_t i = 0; i < HOT && fine; i++)
		fine = settle(counts, &counts->hot[i]);
	memset(counts->hot, 0, sizeof counts->hot);
	return fine;
}

static inline bool number(const struct record *s, const struct field *f, int64_t *value)
{
	uint64_t v = 0;

	if (f->offset > s->length || f->size > s->length - f->offset)
		return false;
	const uint8_t *p = s->data + f->offset;

	if (f->size == 8)
		v = word_at(p);
	else if (f->size == 4)
		v = u32(p);
	else if (f->size == 1 || f->size == 2)
		memcpy(&v, p, f->size);
	else
		return false;
	if (f->is_signed && f->size < 8 && v >> (f->size * 8 - 1))
		v |= ~0ull << (f->size * 8);
	*value = (int64_t)v;
	return true;
}

/* Another task than before makes calls on a CPU; false when memory is out. */
static bool begin_run(struct specials *list, struct tasks *tasks, int32_t tid, int stream)
{
	struct task *task = task_of(tasks, tid);

	if (!task ||
	    !make_room(&list->runs, list->runs_used, &list->runs_size, sizeof *list->runs))
		return false;
	task->cpus |= 1ull << (stream & 63);
	list->runs[list->runs_used++] = (struct run){list->edges_used, tid};
	return true;
}

/* What one CPU's records of a window add up to. */
struct stretch {
	struct ring_worker *worker;
	struct window *window;
	int stream;
	struct specials *specials;
	struct damage *damage;
	uint64_t first, last; /* first above last: no record yet */
};

/* False when memory is out. */
static inline bool keep_edge(const struct ring_plan *plan, const struct stretch *s,
			     const struct record *r, int32_t tid, enum what what)
{
	struct specials *list = s->specials;

	if (!make_room(&list->edges, list->edges_used, &list->edges_size, sizeof *list->edges))
		return false;
	struct edge *edge = &list->edges[list->edges_used];
	bool whole = true;

	edge->ns = r->ns;
	edge->tid = tid;
	edge->what = what;
	if (what == LEAVES) {
		whole = number(r, &plan->leave_nr, &edge->nr) && number(r, &plan->ret, &edge->value);
	} else if (what == ENTERS) {
		whole = number(r, &plan->enter_nr, &edge->nr);
		edge->value = -1;
		if (whole && (edge->nr == plan->ioctl || edge->nr == plan->abi.ioctl) && number(r, &plan->request, &edge->value))
			edge->value &= 0xFFFFFFFF;
	}
	if (!whole) {
		s->damage->corrupt++;
		return true;
	}
	if ((!list->runs_used || list->runs[list->runs_used - 1].tid != tid) &&
	    !begin_run(list, &s->window->tasks, tid, s->stream))
		return false;
	list->edges_used++;
	return true;
}

static bool keep_life(struct specials *list, const struct record *r, int32_t tid, uint16_t id,
		      int stream)
{
	struct ring_life life = {
		.ns = r->ns, .length = r->length, .tid = tid, .stream = stream, .id = id,
	};

	return bytes_add(&list->lives, &life, sizeof life) &&
	       bytes_add(&list->lives, r->data, r->length);
}

static inline bool in_window(const struct window *w, uint64_t ns)
{
	return ns >= w->from && (ns < w->to || w->last);
}

/* Counts one page's records, keeps the special ones; false when memory is out. Of most pages every
 * record counts (`whole`): they are in the window and nothing is left out. */
static inline bool scan_page(struct stretch *s, struct page *page, const struct sheet *sheet,
			     bool whole)
{
	const struct ring_plan *plan = s->worker->plan;
	const struct window *w = s->window;
	uint64_t first = s->first, last = s->last;
	struct record r;

	while (page_next(page, &r)) {
		if (!whole && !in_window(w, r.ns)) {
			if (r.ns < w->from || sheet->start >= w->from)
				continue;
			break;
		}
		if (__builtin_expect(r.disordered, false))
			s->damage->disordered++;
		if (!whole && r.ns > plan->until)
			continue;
		if (r.length < COMMON) {
			s->damage->corrupt++;
			continue;
		}
		uint64_t word = word_at(r.data);
		int32_t tid = (int32_t)(word >> 32);

		if (!whole && plan->has_gate && tid == plan->gate && r.ns < plan->gate_from)
			continue;
		first = r.ns < first ? r.ns : first;
		last = r.ns; /* times of one CPU run forward */
		const struct ring_hot *hot = count(plan, &s->worker->counts, word);

		if (!hot)
			return false;
		if (hot->what == PLAIN)
			continue;
		if (!(hot->what == LIVES ? keep_life(s->specials, &r, tid, (uint16_t)word, s->stream)
					 : keep_edge(plan, s, &r, tid, hot->what)))
			return false;
	}
	s->first = first;
	s->last = last;
	return true;
}

/* Counts one CPU's records of a window, keeps the special ones. */
static enum ring_end scan_stream(struct ring_worker *worker, struct window *w, int index)
{
	const struct ring_plan *plan = worker->plan;
	const struct stream *stream = &worker->streams[index];
	struct pages *pages = &worker->pages;
	struct stretch s = {
		.worker = worker, .window = w, .stream = index, .first = UINT64_MAX,
		.specials = &worker->specials[index], .damage = &worker->damage[index],
	};

	s.specials->edges_used = s.specials->runs_used = s.specials->lives.used = 0;
	pages_begin(pages);
	size_t begin = ring_find(stream, pages, plan, w->from);
	size_t to = w->last ? stream->pages : ring_find(stream, pages, plan, w->to);

	if (pages->end != FINE)
		return pages->end;
	/* The page before may reach into the window. */
	for (size_t k = begin ? begin - 1 : 0; k < to; k++) {
		struct sheet sheet;
		struct page page;

		if (!pages_get(pages, stream, plan, k, to, &sheet))
			return pages->end;
		page_begin(&page, &sheet, plan);
		bool whole = sheet.start >= w->from && (sheet.end < w->to || w->last) &&
			     sheet.end <= plan->until && !plan->has_gate;

		if (!(whole ? scan_page(&s, &page, &sheet, true)
			    : scan_page(&s, &page, &sheet, false)))
			return NO_MEMORY;
		if (in_window(w, sheet.start)) { /* at home here: what concerns the page as a whole */
			s.damage->missed = add_to(s.damage->missed, page.missed);
			s.damage->silent += page.silent;
			s.damage->corrupt += page.corrupt;
		}
	}
	if (s.first < worker->first)
		worker->first = s.first;
	if (s.last > worker->last)
		worker->last = s.last;
	return FINE;
}

void ring_scan(struct ring_worker *worker, struct window *w)
{
	w->end = FINE;
	for (int i = 0; i < worker->stream_count && w->end == FINE; i++)
		w->end = scan_stream(worker, w, i);
	w->error = worker->pages.error;
	if (w->end == FINE && !ring_merge(worker, w))
		w->end = NO_MEMORY;
}

enum ring_end ring_gate(struct ring_worker *worker, uint64_t *from, bool *any)
{
	const struct ring_plan *plan = worker->plan;
	struct pages *pages = &worker->pages;
	uint64_t done = END_OF_TIME, entered = 0;
	bool some = false;

	*any = false;
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < worker->stream_count; i++) {
			const struct stream *stream = &worker->streams[i];

			pages_begin(pages);
			for (size_t k = 0; k < stream->pages; k++) {
				struct sheet sheet;
				struct page page;
				struct record r;
				int32_t tid;
				uint16_t id;

				if (!pages_get(pages, stream, plan, k, stream->pages, &sheet))
					return pages->end;
				if (sheet.start > done)
					break;
				page_begin(&page, &sheet, plan);
				while (page_next(&page, &r) && r.ns <= done) {
					if (r.length < COMMON)
						continue;
					memcpy(&id, r.data, 2);
					memcpy(&tid, r.data + 4, 4);
					if (tid != plan->gate)
						continue;
					if (!pass && id == plan->exec) {
						done = r.ns;
						*any = true;
					} else if (pass && id == plan->enter) {
						if (r.ns > entered)
							entered = r.ns;
						some = true;
					}
				}
			}
		}
	*from = some ? entered : done;
	return FINE;
}
