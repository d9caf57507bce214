/*
 * Sub-buffers of the kernel's ring buffer, counted. What a record is and what its time is, is told
 * in ring_buffer.py; here the same is done window by window, so that processors can share it: a
 * window holds the records of all CPUs in a span of time, and what crosses its bounds (a call
 * entered before, left behind) is put together afterwards.
 */
#include "pages.h"
#include "ring_page.h"

bool ring_begin(struct stream *stream, const struct ring_plan *plan)
{
	size_t rest = stream->size % plan->page;

	stream->pages = stream->size / plan->page + (rest >= plan->data);
	stream->start = malloc((stream->pages + 1) * sizeof *stream->start);
	return stream->start;
}

void ring_stamps(struct stream *stream, const struct ring_plan *plan, size_t from, size_t to)
{
	for (size_t k = from; k < to; k++)
		stream->start[k] = word_at(stream->base + k * plan->page);
}

void ring_index(struct stream *stream)
{
	for (size_t k = 1; k < stream->pages; k++)
		if (stream->start[k] < stream->start[k - 1])
			stream->start[k] = stream->start[k - 1];
	stream->start[stream->pages] = END_OF_TIME;
}

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

static inline bool count(struct counts *t, int32_t tid, uint16_t id, uint8_t context)
{
	uint64_t key = ((uint64_t)(uint32_t)tid << 19 | (uint64_t)id << 3 | context) + 1;
	struct ring_event *hot = &t->hot[(id ^ context << 7 ^ (uint32_t)tid * 13) % HOT];

	if (hot->hash == key) {
		hot->count++;
		return true;
	}
	bool fine = !hot->hash || count_settled(t, hot);

	*hot = (struct ring_event){.hash = key, .count = 1};
	return fine;
}

bool ring_settle(struct counts *counts)
{
	bool fine = true;

	for (size_t i = 0; i < HOT && fine; i++)
		fine = !counts->hot[i].hash || count_settled(counts, &counts->hot[i]);
	memset(counts->hot, 0, sizeof counts->hot);
	return fine;
}

static inline bool number(const struct special *s, const struct field *f, int64_t *value)
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

static bool keep_special(struct specials *list, const struct record *r, int32_t tid, uint16_t id)
{
	if (list->used == list->size) {
		size_t size = list->size ? list->size * 2 : 4096;
		struct special *at = realloc(list->at, size * sizeof *at);

		if (!at)
			return false;
		list->at = at;
		list->size = size;
	}
	list->at[list->used++] = (struct special){
		.ns = r->ns, .data = r->data, .length = r->length, .tid = tid, .id = id,
	};
	return true;
}

static bool keep_life(struct window *w, const struct special *s, int stream)
{
	if (w->lives_used == w->lives_size) {
		size_t size = w->lives_size ? w->lives_size * 2 : 64;
		struct ring_life *lives = realloc(w->lives, size * sizeof *lives);

		if (!lives)
			return false;
		w->lives = lives;
		w->lives_size = size;
	}
	w->lives[w->lives_used++] = (struct ring_life){
		.data = s->data, .length = s->length, .tid = s->tid, .stream = stream, .id = s->id,
	};
	return true;
}

static inline bool in_window(const struct window *w, uint64_t ns)
{
	return ns >= w->from && (ns < w->to || w->last);
}

/* The first page that begins at or behind a time. */
static size_t page_from(const struct stream *stream, uint64_t ns)
{
	size_t low = 0, high = stream->pages;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stream->start[middle] < ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Counts one CPU's records of a window, keeps the special ones. */
static void scan_stream(struct ring_worker *worker, const struct window *w, int index)
{
	const struct ring_plan *plan = worker->plan;
	const struct stream *stream = &worker->streams[index];
	struct specials *specials = &worker->specials[index];
	struct damage *damage = &worker->damage[index];
	size_t begin = page_from(stream, w->from);
	uint64_t first = 0, last = 0;
	bool any = false, fine = true;

	specials->used = 0;
	/* The page before may reach into the window. */
	for (size_t k = begin ? begin - 1 : 0; k < stream->pages; k++) {
		struct page page;
		struct record r;
		uint64_t start = stream->start[k];

		if (!(start < w->to || w->last))
			break;
		page_begin(&page, stream, k, plan);
		/* Of most pages every record counts: they are in the window as a whole. */
		bool whole = start >= w->from && (page.end < w->to || w->last) &&
			     page.end <= plan->until && !plan->has_gate;

		while (page_next(&page, &r)) {
			if (!whole && !in_window(w, r.ns)) {
				if (r.ns < w->from || start >= w->from)
					continue;
				break;
			}
			damage->disordered += r.disordered;
			if (!whole && r.ns > plan->until)
				continue;
			if (r.length < COMMON) {
				damage->corrupt++;
				continue;
			}
			uint16_t id;
			int32_t tid;

			memcpy(&id, r.data, 2);
			memcpy(&tid, r.data + 4, 4);
			if (!whole && plan->has_gate && tid == plan->gate &&
			    r.ns < plan->gate_from)
				continue;
			if (!any)
				first = r.ns; /* times of one CPU run forward */
			any = true;
			last = r.ns;
			fine = count(&worker->counts, tid, id, context_of(r.data[2]));
			if (plan->specials[id >> 3] >> (id & 7) & 1)
				fine = fine && keep_special(specials, &r, tid, id);
			if (!fine)
				goto out;
		}
		if (in_window(w, start)) { /* at home here: what concerns the page as a whole */
			damage->missed = add_to(damage->missed, page.missed);
			damage->silent += page.silent;
			damage->corrupt += page.corrupt;
		}
	}
out:
	worker->out_of_memory |= !fine;
	if (any && (!worker->any || first < worker->first))
		worker->first = first;
	if (any && (!worker->any || last > worker->last))
		worker->last = last;
	worker->any |= any;
}

static void take_special(struct ring_worker *worker, struct window *w, const struct special *s,
			 int stream)
{
	struct damage *damage = &worker->damage[stream];
	const struct ring_plan *plan = worker->plan;
	bool fine = true;

	if (s->id == plan->enter) {
		struct entered e = {.ns = s->ns, .request = -1};
		int64_t request;
		struct task *task = task_of(&w->tasks, s->tid);

		if (!number(s, &plan->enter_nr, &e.nr)) {
			damage->corrupt++;
			return;
		}
		if (e.nr == plan->ioctl && number(s, &plan->request, &request))
			e.request = request & 0xFFFFFFFF;
		fine = task && task_enters(&worker->calls, task, &e);
	} else if (s->id == plan->leave) {
		struct left l = {.ns = s->ns};
		struct task *task = task_of(&w->tasks, s->tid);

		if (!number(s, &plan->leave_nr, &l.nr) || !number(s, &plan->ret, &l.ret)) {
			damage->corrupt++;
			return;
		}
		fine = task && task_leaves(&worker->calls, task, &l);
	} else {
		fine = keep_life(w, s, stream);
	}
	worker->out_of_memory |= !fine;
}

/* Whether stream a's next special comes before stream b's: by time, then by CPU. */
static inline bool sooner(const struct ring_worker *worker, size_t a, size_t b)
{
	uint64_t x = worker->specials[a].at[worker->heads[a]].ns;
	uint64_t y = worker->specials[b].at[worker->heads[b]].ns;

	return x < y || (x == y && a < b);
}

static void sink(struct ring_worker *worker, size_t n, size_t at)
{
	size_t *heap = worker->heap;

	for (;;) {
		size_t least = at, child = 2 * at + 1;

		if (child < n && sooner(worker, heap[child], heap[least]))
			least = child;
		if (child + 1 < n && sooner(worker, heap[child + 1], heap[least]))
			least = child + 1;
		if (least == at)
			return;
		size_t other = heap[at];

		heap[at] = heap[least];
		heap[least] = other;
		at = least;
	}
}

void ring_scan(struct ring_worker *worker, struct window *w)
{
	size_t n = 0;

	for (int i = 0; i < worker->stream_count && !worker->out_of_memory; i++) {
		scan_stream(worker, w, i);
		worker->heads[i] = 0;
		if (worker->specials[i].used)
			worker->heap[n++] = i;
	}
	for (size_t at = n; at-- > 0;)
		sink(worker, n, at);
	while (n && !worker->out_of_memory) {
		size_t i = worker->heap[0];
		struct specials *list = &worker->specials[i];

		take_special(worker, w, &list->at[worker->heads[i]], (int)i);
		if (++worker->heads[i] == list->used)
			worker->heap[0] = worker->heap[--n];
		sink(worker, n, 0);
	}
}

void ring_give_back(const struct ring_worker *worker, const struct window *w)
{
	for (int i = 0; i < worker->stream_count; i++) {
		const struct stream *stream = &worker->streams[i];
		size_t from = page_from(stream, w->from);
		size_t to = w->last ? stream->pages : page_from(stream, w->to);

		if (from < to)
			give_back(stream->base + from * worker->plan->page,
				  stream->base + to * worker->plan->page);
	}
}

bool ring_gate(const struct stream *streams, int count, const struct ring_plan *plan,
	       uint64_t *from)
{
	uint64_t done = END_OF_TIME, entered = 0;
	bool any = false, some = false;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < count; i++)
			for (size_t k = 0; k < streams[i].pages && streams[i].start[k] <= done; k++) {
				struct page page;
				struct record r;
				int32_t tid;
				uint16_t id;

				page_begin(&page, &streams[i], k, plan);
				while (page_next(&page, &r) && r.ns <= done) {
					if (r.length < COMMON)
						continue;
					memcpy(&id, r.data, 2);
					memcpy(&tid, r.data + 4, 4);
					if (tid != plan->gate)
						continue;
					if (!pass && id == plan->exec) {
						done = r.ns;
						any = true;
					} else if (pass && id == plan->enter) {
						if (r.ns > entered)
							entered = r.ns;
						some = true;
					}
				}
			}
	*from = some ? entered : done;
	return any;
}
