/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counting of all other trace events. */
#include "shared.h"
#include "templates.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Where the preempt count cannot be read (x86), interrupts are told by their own trace events. */
static __always_inline u32 context_of(struct processor *here)
{
#if defined(__TARGET_ARCH_arm64)
	/* include/linux/preempt.h: NMI 0xf00000, HARDIRQ 0xf0000, softirq being served 0x100 */
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	u32 count = task->thread_info.preempt_count;

	return count & 0xf00000 ? CONTEXT_NMI :
	       count & 0xf0000	? CONTEXT_HARDIRQ :
	       count & 0x100	? CONTEXT_SOFTIRQ :
				  CONTEXT_TASK;
#else
	return context_told(&here->depth);
#endif
}

static __always_inline u32 follow_of(struct task_struct *task)
{
	struct task *known = bpf_task_storage_get(&tasks, task, 0, 0);

	return known ? known->follow : FOLLOW_UNKNOWN;
}

static __always_inline void count_event(u32 number, struct processor *here)
{
	u32 follow = here->follow;

	if (!here->sure) {
		struct task_struct *task = (void *)bpf_get_current_task_btf();

		follow = follow_of(task);
		if ((u64)task != here->leaving) {
			here->follow = follow;
			asm volatile("" ::: "memory"); /* an event may interrupt this one */
			here->sure = 1;
		}
	}
	if (follow != FOLLOW && (follow != FOLLOW_UNKNOWN || scope.adopt != ADOPT_ALL))
		return;
	if (scope.adopt == ADOPT_OVER)
		return;
	count_in(number, context_of(here));
}

SEC("raw_tp/any")
int on_event(u64 *ctx)
{
	struct processor *here = processor();

	if (here)
		count_event(mark(), here);
	return 0;
}

SEC("raw_tp/sched_switch")
int on_switch(u64 *ctx)
{
	struct processor *here = processor();

	if (!here)
		return 0;
	/* No interrupt goes on across it. Should another tracer's coming or going on a tracepoint have
	 * hidden an exit from us, what follows is not taken for an interrupt for ever. */
	here->depth = (struct depth){};
	count_event(mark(), here);
	here->leaving = bpf_get_current_task();
	asm volatile("" ::: "memory");
	here->sure = 0;
	return 0;
}

SEC("raw_tp/any")
int on_interrupt(u64 *ctx)
{
	struct processor *here = processor();
	u32 what = mark();

	if (!here)
		return 0;
	interrupt_begins(&here->depth, what);
	count_event(what & INTERRUPT_NUMBER, here);
	interrupt_ends(&here->depth, what);
	return 0;
}
