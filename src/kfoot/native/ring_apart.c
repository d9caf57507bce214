/*
 * 32-bit calls told from native ones, all of them one behind the other: what is known of a task's
 * calls depends on all that came before. The rules are those of ring_abi.py.
 */
#include "ring.h"

#define ENOSYS 38

/* Whether one of the two ABIs calls exec by that number. */
static bool is_exec(const struct ring_abi *abi, bool native, int64_t nr)
{
	for (int i = 0; i < 4; i++)
		if (nr != -1 && abi->execs[native][i] == nr)
			return true;
	return false;
}

static bool end_call(const struct ring_plan *plan, struct ring_abis *to, struct task *task,
		     int32_t outcome, uint64_t ns)
{
	bool native = task->native || outcome == -ENOSYS;

	task->open = false;
	if (task->now.nr != (native ? plan->ioctl : plan->abi.ioctl))
		task->now.request = -1;
	return count_call(&to->calls[native], task->tid, &task->now, outcome, ns);
}

static bool enter(const struct ring_plan *plan, struct ring_abis *to, struct task *task,
		  const struct edge *edge)
{
	bool fine = !task->open || end_call(plan, to, task, NEVER, 0);

	task->open = true;
	task->now = (struct entered){.nr = edge->nr, .request = edge->value, .ns = edge->ns};
	task->native = task->announced;
	task->announced = false;
	return fine;
}

static bool leave(const struct ring_plan *plan, struct ring_abis *to, struct task *task,
		  const struct edge *edge)
{
	const struct ring_abi *abi = &plan->abi;
	int64_t entered = task->now.nr;
	bool execs = is_exec(abi, task->native, entered) &&
		     (is_exec(abi, false, edge->nr) || is_exec(abi, true, edge->nr));

	if (edge->nr != -1 && edge->nr != entered && !execs)
		return end_call(plan, to, task, NEVER, 0);
	return end_call(plan, to, task, outcome_of(edge->value),
			edge->ns > task->now.ns ? edge->ns - task->now.ns : 0);
}

bool ring_apart(const struct ring_plan *plan, struct ring_abis *to, const struct edge *edge)
{
	struct task *task = task_of(&to->tasks, edge->tid);

	if (!task)
		return false;
	if (edge->what == ENTERS)
		return enter(plan, to, task, edge);
	if (edge->what == LEAVES)
		return !task->open || leave(plan, to, task, edge);
	/* The order of the two records is that in which the events were enabled. */
	if (task->open && !task->native)
		task->native = true;
	else
		task->announced = true;
	return true;
}

bool ring_apart_end(const struct ring_plan *plan, struct ring_abis *to)
{
	bool fine = true;

	for (size_t i = 0; i < to->tasks.size && fine; i++)
		fine = !to->tasks.slots[i].hash || !to->tasks.slots[i].open ||
		       end_call(plan, to, &to->tasks.slots[i], NEVER, 0);
	return fine;
}
