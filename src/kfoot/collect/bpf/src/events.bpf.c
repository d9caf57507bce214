/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counting of all other trace events. The programs below are templates: user space loads one
 * copy an event, with the event's number in place of MARK, because on the kernels of today a
 * program attached to a raw tracepoint cannot ask which one it was called for, and one program for
 * all would miss an event that interrupts it.
 */
#include "shared.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MARK "0x5ca1ab1e"
enum context { CONTEXT_TASK, CONTEXT_SOFTIRQ, CONTEXT_HARDIRQ, CONTEXT_NMI, CONTEXTS };

struct event_count {
	u64 context[CONTEXTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct event_count);
} events SEC(".maps");

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
	return here->hard ? CONTEXT_HARDIRQ : here->soft ? CONTEXT_SOFTIRQ : CONTEXT_TASK;
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
	struct event_count *count;

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
	count = bpf_map_lookup_elem(&events, &number);
	if (count)
		count->context[context_of(here) & (CONTEXTS - 1)]++;
}

/* The event's number, and what user space added to it. */
static __always_inline u32 mark(void)
{
	u32 mark;

	asm volatile("%0 = " MARK : "=r"(mark));
	return mark;
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
	here->hard = here->soft = 0;
	count_event(mark(), here);
	here->leaving = bpf_get_current_task();
	asm volatile("" ::: "memory");
	here->sure = 0;
	return 0;
}

/* Entry (bit 30 clear) or exit of an interrupt, hard (bit 29) or soft. */
SEC("raw_tp/any")
int on_interrupt(u64 *ctx)
{
	struct processor *here = processor();
	u32 what = mark();
	s32 *which;

	if (!here)
		return 0;
	which = what & (1 << 29) ? &here->hard : &here->soft;
	if (!(what & (1 << 30)))
		++*which;
	count_event(what & 0xffff, here);
	if (what & (1 << 30) && *which > 0)
		--*which;
	return 0;
}
