/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Combinations and their counts. */
#ifndef KFOOT_COUNT_H
#define KFOOT_COUNT_H

#include "task.h"

#define NEVER 0xffff

/* A call that executes another program belongs to the image that made it. */
static __always_inline u32 image_of(struct task_state *state)
{
	return state->program ? state->before : state->image;
}

static __always_inline u64 key_of(struct task_state *state, u64 hash, u32 error)
{
	hash = mix(hash, ((u64)state->nr << 32) | (error << 8) | state->abi);
	return mix(hash, image_of(state)) | 1;
}

static __always_inline u64 with_files(u64 hash, u64 first, u64 second)
{
	return mix(mix(hash, first), second);
}

/* Whether this task may no longer tell single files apart: it has seen many, as a recursive grep
 * does, or half of all slots are taken. Files of one kind are then counted together. */
static __always_inline int must_fold(struct task_state *state)
{
	return state->named >= config.named || *(volatile u32 *)&next_slot >= config.slots / 2;
}

/* The slot of a known combination, or NO_SLOT. `owed` is set when its record was not sent. */
static __always_inline u32 find(struct task_state *state, u64 key, u32 *owed)
{
	struct remembered *last = &state->cache[(key >> 32) & (REMEMBERED - 1)];
	struct combination *known;

	if (last->key == key)
		return last->slot;
	known = bpf_map_lookup_elem(&combinations, &key);
	if (!known)
		return NO_SLOT;
	if (known->owed) {
		*owed = 1;
	} else {
		last->key = key;
		last->slot = known->slot;
	}
	return known->slot;
}

static __always_inline void owe(u64 key, u32 owed)
{
	struct combination *known = bpf_map_lookup_elem(&combinations, &key);

	if (known)
		known->owed = owed;
}

static __always_inline u32 insert(struct task_state *state, u64 key, u32 error, u32 limit)
{
	struct combination fresh = {
		.image = image_of(state),
		.nr = state->nr,
		.error = error,
		.abi = state->abi,
	};
	struct combination *known;
	long failed;

	if (*(volatile u32 *)&next_slot >= limit)
		return NO_SLOT;
	fresh.slot = __sync_fetch_and_add(&next_slot, 1);
	if (fresh.slot >= config.slots)
		return NO_SLOT;
	failed = bpf_map_update_elem(&combinations, &key, &fresh, BPF_NOEXIST);
	if (!failed)
		return fresh.slot;
	/* Another processor was faster: the slot just taken stays empty. */
	known = failed == -EEXIST ? bpf_map_lookup_elem(&combinations, &key) : 0;
	return known ? known->slot : NO_SLOT;
}

static __always_inline void send_step(u32 slot, struct task_state *state, s64 result, u64 latency,
				      u32 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	struct step step;

	step.head.kind = RECORD_STEP;
	step.head.flags = flags;
	step.head.slot = slot;
	step.head.tid = id;
	step.head.pid = id >> 32;
	step.head.ns = state->ns;
	step.result = result;
	step.latency = latency;
	__builtin_memcpy(step.args, state->args, sizeof(step.args));
	if (bpf_ringbuf_output(&ring, &step,
			       config.sequence ? sizeof(step) : sizeof(step) - sizeof(step.args),
			       wake()))
		note(STAT_STEPS_DROPPED);
}

/* Add one call to its slot; gives how many this processor has counted there. */
static __always_inline u64 add(u32 slot, u64 latency)
{
	struct count *count = bpf_map_lookup_elem(&counts, &slot);

	if (!count)
		return 0;
	count->latency += latency;
	return ++count->calls;
}

#endif
