/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How deep in interrupts a processor is, told by their own trace events. */
#ifndef KFOOT_INTERRUPTS_H
#define KFOOT_INTERRUPTS_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>

enum context { CONTEXT_TASK, CONTEXT_SOFTIRQ, CONTEXT_HARDIRQ, CONTEXT_NMI, CONTEXTS };

/* What user space adds to the number of such an event. */
#define INTERRUPT_HARD (1 << 29)
#define INTERRUPT_EXIT (1 << 30)
#define INTERRUPT_NUMBER 0xffff

struct depth {
	s32 soft, hard;
};

static __always_inline s32 *depth_told(struct depth *depth, u32 what)
{
	return what & INTERRUPT_HARD ? &depth->hard : &depth->soft;
}

/* Before its event is counted: an entry is in the interrupt. */
static __always_inline void interrupt_begins(struct depth *depth, u32 what)
{
	if (!(what & INTERRUPT_EXIT))
		++*depth_told(depth, what);
}

/* After its event is counted: an exit is in the interrupt, too. */
static __always_inline void interrupt_ends(struct depth *depth, u32 what)
{
	s32 *which = depth_told(depth, what);

	if (what & INTERRUPT_EXIT && *which > 0)
		--*which;
}

static __always_inline u32 context_told(struct depth *depth)
{
	return depth->hard ? CONTEXT_HARDIRQ : depth->soft ? CONTEXT_SOFTIRQ : CONTEXT_TASK;
}

#endif
