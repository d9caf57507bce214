/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Numbers that nobody else has: of slots, shapes, states and process images. */
#ifndef KFOOT_NUMBERS_H
#define KFOOT_NUMBERS_H

#ifdef WITHOUT_FETCH
/*
 * arm64 cannot compile an addition that gives what was there before (until 5.18): each processor
 * counts by itself, and leaves out what the others take. No program interrupts another one that
 * takes a number: all are called by tasks, with preemption switched off.
 */
struct numbers {
	u32 slot, shape, state, image;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct numbers);
} numbers SEC(".maps");

#define OWN(what) \
	({ \
		u32 zero = 0, number = NONE; \
		struct numbers *mine = bpf_map_lookup_elem(&numbers, &zero); \
		if (mine) \
			number = mine->what++ * config.processors + bpf_get_smp_processor_id(); \
		number; \
	})
#define NUMBER(counter, what) ({ __sync_fetch_and_add(&(counter), 1); OWN(what); })
#define IMAGE() (scope.next_image + OWN(image))
#else
#define NUMBER(counter, what) __sync_fetch_and_add(&(counter), 1)
#define IMAGE() __sync_fetch_and_add(&scope.next_image, 1)
#endif

#endif
