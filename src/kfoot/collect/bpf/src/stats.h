/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What happened to the recording itself (enum stat): user space makes losses of it. */
#ifndef KFOOT_STATS_H
#define KFOOT_STATS_H

#include "records.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STATS);
	__type(key, u32);
	__type(value, u64);
} stats SEC(".maps");

static __always_inline void note(u32 index)
{
	u64 *value = bpf_map_lookup_elem(&stats, &index);

	if (value)
		++*value;
}

#endif
