/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counting of trace events. The programs of events.bpf.c and count.bpf.c that use this are
 * templates: user space loads one copy an event, with the event's number in place of MARK, because
 * on the kernels of today a program attached to a raw tracepoint cannot ask which one it was called
 * for, and one program for all would miss an event that interrupts it.
 */
#ifndef KFOOT_TEMPLATES_H
#define KFOOT_TEMPLATES_H

#include "interrupts.h"

#define MARK "0x5ca1ab1e"

struct event_count {
	u64 context[CONTEXTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct event_count);
} events SEC(".maps");

/* The event's number, and what user space added to it. */
static __always_inline u32 mark(void)
{
	u32 mark;

	asm volatile("%0 = " MARK : "=r"(mark));
	return mark;
}

static __always_inline void count_in(u32 number, u32 context)
{
	struct event_count *count = bpf_map_lookup_elem(&events, &number);

	if (count)
		count->context[context & (CONTEXTS - 1)]++;
}

#endif
