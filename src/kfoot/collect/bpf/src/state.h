/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is known of each followed task. */
#ifndef KFOOT_STATE_H
#define KFOOT_STATE_H

#include "shared.h"
#include "stats.h"

const volatile struct config config = {};

#include "numbers.h"

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

/*
 * What is known of a followed task. In an array, which programs read without calling the kernel:
 * every such call takes as long as all else that is done at the entry of a system call.
 */
struct task_state {
	u32 image;  /* serial number of the process image */
	u32 inside; /* entered a call and not left it */
	u32 fresh;  /* not yet entered any */
	u32 named;
	u32 nr, abi;
	u32 before; /* the image that called execve */
	u32 gated;  /* its next call opens the gate */
	u64 regs;   /* where its registers lie when it calls: on a stack of its own; 0: it is gone */
	u64 task;   /* address */
	u64 ns;
	u64 program; /* hash of what it executed, until it is counted */
	u64 args[ARGS];
	u64 file, file2;
	struct sight sight, sight2;
	struct remembered cache[REMEMBERED];
	u64 told_apart[TOLD_APART / 64]; /* a bit for each combination with a single file */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct task_state);
} states SEC(".maps");

/* Numbers of states whose tasks are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 16384);
	__type(value, u32);
} given_back SEC(".maps");
u32 next_state;

/* A state by its number, counted from 1. */
static __always_inline struct task_state *state_of(u32 number)
{
	u32 index = number - 1;

	return bpf_map_lookup_elem(&states, &index);
}

/* Gives a followed task's state, made if it has none; NULL where there is no room for it. */
static __always_inline struct task_state *take_state(struct task *task)
{
	struct task_state *state = state_of(task->state);
	u32 number;

	if (state || task->state == NONE)
		return state;
	if (bpf_map_pop_elem(&given_back, &number))
		number = 1 + NUMBER(next_state, state);
	state = state_of(number);
	task->state = state ? number : NONE;
	if (!state) {
		note(STAT_LOST_TASK);
		return 0;
	}
	__builtin_memset(state, 0, sizeof(*state));
	state->image = task->image;
	state->fresh = 1;
	state->gated = task->follow == FOLLOW_GATE;
	return state;
}

static __always_inline void give_back_state(struct task *task)
{
	u32 number = task->state;
	struct task_state *state = state_of(number);

	if (!state)
		return;
	state->regs = 0;
	task->state = NONE;
	bpf_map_push_elem(&given_back, &number, 0);
}

#endif
