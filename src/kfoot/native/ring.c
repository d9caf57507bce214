/*
 * Sub-buffers of the kernel's ring buffer, counted. What a record is and what its time is, is told
 * in ring_buffer.py; here the same is done window by window, so that processors can share it: a
 * window holds the records of all CPUs in a span of time, and what crosses its bounds (a call
 * entered before, left behind) is put together afterwards.
 */
#include "ring_page.h"

static bool counts_grow(struct counts *t)
{
	size_t size = t->size ? t->size * 4 : 4096;
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
	return ++t->used * 2 < t->size || counts_grow(t);
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
		.kind = kind, .special = plan->specials[id >> 3] >> (id & 7) & 1,
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

/* What a special record says; false when it is too short for that. */
static inline bool read_special(const struct ring_plan *plan, const struct record *r,
				struct special *s, struct specials *list, bool *fine)
{
	if (s->id == plan->enter) {
		if (!number(r, &plan->enter_nr, &s->nr))
			return false;
		s->value = -1;
		if (s->nr == plan->ioctl && number(r, &plan->request, &s->value))
			s->value &= 0xFFFFFFFF;
	} else if (s->id == plan->leave) {
		return number(r, &plan->leave_nr, &s->nr) && number(r, &plan->ret, &s->value);
	} else {
		s->nr = (int64_t)list->lives.used;
		s->value = r->length;
		*fine = bytes_add(&list->lives, r->data, r->length);
	}
	return true;
}

static bool specials_grow(struct specials *list)
{
	size_t size = list->size ? list->size * 2 : 4096;
	struct special *at = realloc(list->at, size * sizeof *at);

	if (!at)
		return false;
	list->at = at;
	list->size = size;
	return true;
}

/* False when memory is out. */
static inline bool keep_special(const struct ring_plan *plan, struct specials *list,
				const struct record *r, int32_t tid, uint16_t id,
				struct damage *damage)
{
	bool fine = true;

	if (list->used == list->size && !specials_grow(list))
		return false;
	struct special *s = &list->at[list->used];

	s->ns = r->ns;
	s->tid = tid;
	s->id = id;
	if (read_special(plan, r, s, list, &fine))
		list->used++;
	else
		damage->corrupt++;
	return fine;
}

static inline bool in_window(const struct window *w, uint64_t ns)
{
	return ns >= w->from && (ns < w->to || w->last);
}

/* The first page that begins at or behind a time. */
static size_t page_from(const struct stream *stream, struct pages *pages,
			const struct ring_plan *plan, uint64_t ns)
{
	size_t low = 0, high = stream->pages;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring_start(stream, pages, plan, middle) < ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What one CPU's records of a window add up to. */
struct stretch {
	struct ring_worker *worker;
	const struct window *window;
	struct specials *specials;
	struct damage *damage;
	uint64_t first, last; /* first above last: no record yet */
};

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
		s->damage->disordered += r.disordered;
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

		if (!hot || (hot->special && !keep_special(plan, s->specials, &r, tid,
							   (uint16_t)word, s->damage)))
			return false;
	}
	s->first = first;
	s->last = last;
	return true;
}

/* Counts one CPU's records of a window, keeps the special ones. */
static enum ring_end scan_stream(struct ring_worker *worker, const struct window *w, int index)
{
	const struct ring_plan *plan = worker->plan;
	const struct stream *stream = &worker->streams[index];
	struct pages *pages = &worker->pages;
	struct stretch s = {
		.worker = worker, .window = w, .specials = &worker->specials[index],
		.damage = &worker->damage[index], .first = UINT64_MAX,
	};

	s.specials->used = s.specials->lives.used = 0;
	pages_begin(pages);
	size_t begin = page_from(stream, pages, plan, w->from);
	size_t to = w->last ? stream->pages : page_from(stream, pages, plan, w->to);

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

/* False when memory is out. */
static bool take_special(struct ring_worker *worker, struct window *w, const struct special *s,
			 int stream)
{
	const struct ring_plan *plan = worker->plan;

	if (s->id == plan->enter) {
		struct entered e = {.ns = s->ns, .nr = s->nr, .request = s->value};
		struct task *task = task_of(&w->tasks, s->tid);

		return task && task_enters(&worker->calls, task, &e);
	}
	if (s->id == plan->leave) {
		struct left l = {.ns = s->ns, .nr = s->nr, .ret = s->value};
		struct task *task = task_of(&w->tasks, s->tid);

		return task && task_leaves(&worker->calls, task, &l);
	}
	struct ring_life life = {
		.length = (uint32_t)s->value, .tid = s->tid, .stream = stream, .id = s->id,
	};

	return bytes_add(&w->lives, &life, sizeof life) &&
	       bytes_add(&w->lives, worker->specials[stream].lives.at + s->nr, life.length);
}

/* Whether a's next special record comes before b's: by time, then by CPU. */
static inline bool sooner(const struct queue *a, const struct queue *b)
{
	return a->ns < b->ns || (a->ns == b->ns && a->stream < b->stream);
}

static void sink(struct queue *queues, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, child = 2 * at + 1;

		if (child < n && sooner(&queues[child], &queues[least]))
			least = child;
		if (child + 1 < n && sooner(&queues[child + 1], &queues[least]))
			least = child + 1;
		if (least == at)
			return;
		struct queue other = queues[at];

		queues[at] = queues[least];
		queues[least] = other;
		at = least;
	}
}

/* Puts the special records of all CPUs into the order of time; false when memory is out. */
static bool merge(struct ring_worker *worker, struct window *w, size_t n)
{
	struct queue *queues = worker->queues;

	for (size_t at = n; at-- > 0;)
		sink(queues, n, at);
	while (n) {
		if (!take_special(worker, w, queues->at, queues->stream))
			return false;
		if (++queues->at < queues->stop)
			queues->ns = queues->at->ns;
		else
			*queues = queues[--n];
		if (n > 1 && (sooner(&queues[1], queues) || (n > 2 && sooner(&queues[2], queues))))
			sink(queues, n, 0);
	}
	return true;
}

void ring_scan(struct ring_worker *worker, struct window *w)
{
	size_t n = 0;

	w->end = FINE;
	for (int i = 0; i < worker->stream_count && w->end == FINE; i++) {
		struct specials *list = &worker->specials[i];

		w->end = scan_stream(worker, w, i);
		if (list->used)
			worker->queues[n++] = (struct queue){
				.at = list->at, .stop = list->at + list->used,
				.ns = list->at->ns, .stream = i,
			};
	}
	w->error = worker->pages.error;
	if (w->end == FINE && !merge(worker, w, n))
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
