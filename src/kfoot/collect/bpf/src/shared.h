/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps that both objects use, the one of the system calls and the one of all other events. */
#ifndef KFOOT_SHARED_H
#define KFOOT_SHARED_H

#include "interrupts.h"
#include "records.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* GATE: stopped before its execve; what it does until it enters that is not the workload's.
 * UNKNOWN: it has no mark. */
enum follow { FOLLOW_NOT, FOLLOW, FOLLOW_GATE, FOLLOW_UNKNOWN };

/* What a task is; user space marks some. */
struct task {
	u32 follow; /* enum follow */
	u32 image;  /* serial number of the process image it began with */
	u32 state;  /* number of its state, from 1; 0: none yet, NONE: there was no room */
	u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task);
} tasks SEC(".maps");

/*
 * What is known of a processor, so that most programs need not ask the kernel who runs there:
 * calling it is much of what they cost.
 *
 * How deep in interrupts it is (x86 only, see events.bpf.c), and what the task it runs is. That holds
 * until the next task switch, whose event comes while the task that leaves still runs: what is asked
 * until then is not remembered.
 *
 * Of system calls: who made the last one. The number of a followed task's state; or where the
 * registers lie of a task that is not followed, which holds as long as no further task is followed
 * (scope.births).
 */
struct processor {
	struct depth depth;
	u64 leaving; /* address of the task whose leaving was told last */
	u32 follow;  /* enum follow */
	u32 sure;    /* of `follow` */
	u32 state;
	u32 births;
	u32 sent; /* bytes, since the reader was woken */
	u64 stranger;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct processor);
} processors SEC(".maps");

static __always_inline struct processor *processor(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&processors, &zero);
}

/* The current task is something else than it was. */
static __always_inline void forget(void)
{
	struct processor *here = processor();

	if (here)
		here->sure = 0;
}

struct scope scope = { .next_image = 1 }; /* alone in .data: user space writes and reads it */

#endif
