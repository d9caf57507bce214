/* The tasks that lines of ftrace text tell of, and the begins of lines that tell it again. */
#include "text_hot.h"

bool text_name_task(struct arena *arena, struct task *task, const uint8_t *comm, uint8_t length)
{
	static const uint8_t room[FURTHEST];
	uint8_t *own = (uint8_t *)task->comm;

	if (own && task->comm_length == length && !memcmp(own, comm, length))
		return false;
	/* Written over when it changes: a task may take name after name. */
	if (!own)
		own = arena_copy(arena, room, sizeof room);
	if (own)
		memcpy(own, comm, length);
	task->comm = own;
	task->comm_length = length;
	return true;
}

/* What a line says of its task is said again by lines with the same begin. */
static void remember_head(struct text_part *part, const struct found *f, struct task *task)
{
	const struct record *r = &f->record;
	size_t point = r->point ? r->point - f->line : 0;

	if (point < LEAST_POINT || point >= HEAD_BYTES || six_digits(r->point + 1) == NO_DIGITS)
		return;
	struct text_head *head = head_place(part, f->line, point);

	*head = (struct text_head){
		.ns = r->ns - r->ns % 1000000000, .task = task, .tid = r->tid,
		.length = (uint8_t)(point + 1), .context = r->context,
	};
	memcpy(head->bytes, f->line, head->length);
	part->point = point;
}

static void forget_heads(struct text_part *part, int32_t tid)
{
	for (int i = 0; i < HEADS; i++)
		if (part->heads[i].tid == tid)
			part->heads[i].length = 0;
}

struct task *text_task_at(struct text_part *part, const struct found *f)
{
	const uint8_t *comm = f->line, *comm_end = f->dash;
	const struct record *r = &f->record;
	struct tasks *tasks = &part->piece->tasks;
	size_t size = tasks->size;
	struct task *task = task_of(tasks, r->tid);
	bool news = false;

	if (!task)
		return NULL;
	if (tasks->size != size) /* it grew: the tasks are elsewhere now */
		memset(part->heads, 0, sizeof part->heads);
	while (comm < comm_end && *comm == ' ')
		comm++;
	while (comm < comm_end && comm_end[-1] == ' ')
		comm_end--;
	if (comm_end - comm != 5 || memcmp(comm, "<...>", 5)) {
		news = text_name_task(&part->piece->comms, task, comm, (uint8_t)(comm_end - comm));
		if (!task->comm)
			return NULL;
	}
	if (r->leader >= 0) {
		news |= !task->firm_leader || task->leader != r->leader;
		task->leader = r->leader;
		task->firm_leader = true;
	}
	if (news)
		forget_heads(part, r->tid);
	remember_head(part, f, task);
	return task;
}
