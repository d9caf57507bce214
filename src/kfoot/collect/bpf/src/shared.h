/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps that both objects use, the one of the system calls and the one of all other events. */
#ifndef KFOOT_SHARED_H
#define KFOOT_SHARED_H

#include "kernel.h"
#include "records.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* What a descriptor stands for: its kind, and itself among its kind. */
struct sight {
	u64 kind, id;
};

/* The last combinations of a task, to save it the hash table. */
struct remembered {
	u64 key;
	u32 slot;
	u32 shape;
};
#define REMEMBERED 16
#define TOLD_APART 2048

/* GATE: stopped before its execve; what it does until it enters that is not the workload's.
 * UNKNOWN: it has no mark. */
enum follow { FOLLOW_NOT, FOLLOW, FOLLOW_GATE, FOLLOW_UNKNOWN };

struct task_state {
	u32 follow; /* enum follow */
	u32 image;  /* serial number of the process image */
	u32 inside; /* entered a call and not left it */
	u32 fresh;  /* not yet entered any */
	u32 nr, abi;
	u32 named;
	u32 before; /* the image that called execve */
	u64 ns;
	u64 program; /* hash of what it executed, until it is counted */
	u64 args[ARGS];
	u64 file, file2;
	struct sight sight, sight2;
	struct remembered cache[REMEMBERED];
	u64 told_apart[TOLD_APART / 64]; /* a bit for each combination with a single file */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

/*
 * What is known of a processor: how deep in interrupts it is (x86 only, see events.bpf.c), and what
 * the task it runs is. That holds until the next task switch, for sched_switch is an event that is
 * counted, still in the name of the task that leaves: it puts that one here.
 */
struct processor {
	s32 soft, hard;
	u64 task; /* address, 0: to be looked up */
	u32 follow; /* enum follow */
	u32 unused;
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
		here->task = 0;
}

struct scope scope = { .next_image = 1 }; /* alone in .data: user space writes and reads it */

#endif
