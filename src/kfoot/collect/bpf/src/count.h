/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Shapes, combinations and their counts. */
#ifndef KFOOT_COUNT_H
#define KFOOT_COUNT_H

#include "task.h"

#define NEVER 0xffff

/* A call on its way to being counted. */
struct found {
	u64 shape_key, key;
	u32 shape, slot; /* NONE: not known yet */
	u32 owed;	 /* its shape's record: enum owed */
};

/* FRESH: it is about to be sent, the table says it was. MISSING: it could not be, the table says so. */
enum owed { OWED_NOT, OWED_FRESH, OWED_MISSING };

/* A call that executes another program belongs to the image that made it. */
static __always_inline u32 image_of(struct task_state *state)
{
	return state->program ? state->before : state->image;
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

/* The bit of a combination among those in which this task told single files apart. One that is
 * clear saves a task that no longer does so the search for what is not there. */
static __always_inline u64 *told_apart(struct task_state *state, u64 key, u64 *bit)
{
	*bit = 1ull << (key >> 58);
	return &state->told_apart[BOUND(key >> 32, TOLD_APART / 64 - 1)];
}

/* Sets what is known of a call: its shape, and its slot. named: it is one with a single file. */
static __always_inline void find(struct task_state *state, u64 hash, u32 error,
				 struct found *found, u32 named)
{
	struct combination *known;
	struct remembered *last;
	struct shape *shape;
	u64 bit;

	found->shape_key = mix(hash, ((u64)state->nr << 32) | (error << 8) | state->abi);
	found->key = mix(found->shape_key, image_of(state)) | 1;
	found->slot = found->shape = NONE;
	found->owed = 0;
	last = &state->cache[(found->key >> 32) & (REMEMBERED - 1)];
	if (last->key == found->key) {
		found->slot = last->slot;
		found->shape = last->shape;
		return;
	}
	if (named && must_fold(state) && !(*told_apart(state, found->key, &bit) & bit))
		return;
	shape = bpf_map_lookup_elem(&shapes, &found->shape_key);
	if (!shape)
		return;
	found->shape = shape->id;
	found->owed = shape->owed ? OWED_MISSING : OWED_NOT;
	if (shape->first.image == image_of(state)) {
		found->slot = shape->first.slot;
	} else {
		known = bpf_map_lookup_elem(&combinations, &found->key);
		if (known)
			found->slot = known->slot;
	}
	if (found->slot == NONE || found->owed)
		return;
	last->key = found->key;
	last->slot = found->slot;
	last->shape = found->shape;
}

static __always_inline struct combination combination_of(struct task_state *state,
							 struct found *found, u32 error, u32 limit)
{
	struct combination fresh = {
		.slot = NONE,
		.image = image_of(state),
		.shape = found->shape,
		.nr = state->nr,
		.error = error,
		.abi = state->abi,
	};

	if (*(volatile u32 *)&next_slot < limit)
		fresh.slot = NUMBER(next_slot, slot);
	if (fresh.slot >= config.slots)
		fresh.slot = NONE;
	return fresh;
}

/* A shape seen for the first time. */
static __always_inline void insert_shape(struct task_state *state, struct found *found, u32 error,
					 u32 limit)
{
	struct shape fresh = {};

	found->owed = OWED_FRESH;
	if (*(volatile u32 *)&next_shape >= limit)
		return; /* no room: described again and again */
	fresh.id = found->shape = NUMBER(next_shape, shape);
	fresh.first = combination_of(state, found, error, limit);
	if (!bpf_map_update_elem(&shapes, &found->shape_key, &fresh, BPF_NOEXIST)) {
		found->slot = fresh.first.slot;
		return;
	}
	found->shape = NONE;

	/* Another processor was faster: the slot just taken stays empty. */
	struct shape *known = bpf_map_lookup_elem(&shapes, &found->shape_key);

	if (!known)
		return;
	found->shape = known->id;
	found->owed = known->owed ? OWED_MISSING : OWED_NOT;
	if (known->first.image == image_of(state))
		found->slot = known->first.slot;
}

/* A shape that other images have, seen in this one for the first time. */
static __always_inline void insert(struct task_state *state, struct found *found, u32 error,
				   u32 limit)
{
	struct combination fresh = combination_of(state, found, error, limit), *known;
	long failed;

	if (fresh.slot == NONE)
		return;
	failed = bpf_map_update_elem(&combinations, &found->key, &fresh, BPF_NOEXIST);
	if (!failed) {
		found->slot = fresh.slot;
		return;
	}
	known = failed == -EEXIST ? bpf_map_lookup_elem(&combinations, &found->key) : 0;
	if (known)
		found->slot = known->slot;
}

/* The record of a shape was sent, or could not be. */
static __always_inline void settle(u64 shape_key, u32 owed)
{
	struct shape *shape = bpf_map_lookup_elem(&shapes, &shape_key);

	if (shape)
		shape->owed = owed;
}

static __always_inline void send_step(struct scratch *s, struct task_state *state,
				      struct found *found, s64 result, u64 latency, u32 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	struct step *step = &s->step;
	u32 length = config.sequence ? sizeof(*step) : sizeof(*step) - sizeof(step->args);

	step->head.kind = RECORD_STEP;
	step->head.flags = flags;
	step->head.shape = found->shape;
	step->head.tid = id;
	step->head.pid = id >> 32;
	step->head.ns = state->ns;
	step->result = result;
	step->latency = latency;
	step->image = image_of(state);
	step->unused = 0;
	__builtin_memcpy(step->args, state->args, sizeof(step->args));
	if (bpf_ringbuf_output(&ring, step, length, wake(length)))
		note(flags & FLAG_LOOSE ? STAT_DROPPED : STAT_STEPS_DROPPED);
}

/* Add one call to its slot; gives how many this processor has counted there. */
static __always_inline u64 add(u32 slot, u64 latency)
{
	u32 index = bpf_get_smp_processor_id() * config.slots + slot;
	struct count *count = bpf_map_lookup_elem(&counts, &index);

	if (!count)
		return 0;
	count->latency += latency;
	return ++count->calls;
}

#endif
