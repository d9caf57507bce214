/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counting only, for kernels without BTF (or whose verifier refuses the full programs): calls by
 * process, number and result, and trace events. No field of a kernel structure is read but of
 * pt_regs, which user space has known for ever (arch/.../include/uapi/asm/ptrace.h).
 */
#include "stats.h"
#include "templates.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define BPF_MAP_TYPE_PERCPU_HASH 5
#define NEVER 0xffff

const volatile struct {
	u32 child; /* offset of child_pid in sched_process_fork's format */
	u32 whole; /* every process is followed */
} settings = {};

/* A thread's end is its number's; the other threads of its process go on, and the kernel with it
 * for a while. A number that is given to a stranger is no longer followed. */
enum ended { RUNNING, ENDED, REUSED };

struct process {
	u32 ended; /* enum ended */
	char comm[16];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct process);
} processes SEC(".maps");

struct inside {
	u64 ns;
	u32 nr;
	u32 abi;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct inside);
} insides SEC(".maps");

struct key {
	u32 pid;
	u32 nr;
	u16 error;
	u16 abi;
};
struct count {
	u64 calls, latency;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct depth);
} depths SEC(".maps");

static __always_inline struct process *followed(u32 pid)
{
	struct process *known = bpf_map_lookup_elem(&processes, &pid), fresh = {};

	if (known || !settings.whole || !pid)
		return known && known->ended != REUSED ? known : 0;
	bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
	bpf_map_update_elem(&processes, &pid, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&processes, &pid);
}

static __always_inline void count_call(u32 pid, struct inside *inside, u32 error)
{
	struct key key = { .pid = pid, .nr = inside->nr, .error = error, .abi = inside->abi };
	struct count *count = bpf_map_lookup_elem(&counts, &key), none = {};

	if (!count) {
		if (bpf_map_update_elem(&counts, &key, &none, BPF_NOEXIST))
			note(STAT_FULL);
		count = bpf_map_lookup_elem(&counts, &key);
	}
	if (count) {
		count->calls++;
		count->latency += bpf_ktime_get_ns() - inside->ns;
	}
}

SEC("raw_tp/sys_enter")
int on_enter(u64 *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inside inside = { .nr = ctx[1] };
	u32 tid = id;

	if (!followed(id >> 32))
		return 0;
#if defined(__TARGET_ARCH_x86)
	/* Segment of 32-bit code; a 64-bit task's int 0x80 cannot be told from here. */
	u16 segment = 0;

	bpf_probe_read_kernel(&segment, sizeof(segment), (void *)ctx[0] + 17 * 8);
	if (segment == 0x23)
		inside.abi = ABI_COMPAT;
	else if (inside.nr & 0x40000000 && !(inside.nr & 0x80000000))
		inside.abi = ABI_X32;
	if (inside.abi == ABI_X32)
		inside.nr &= ~0x40000000;
#else
	u64 pstate = 0;

	bpf_probe_read_kernel(&pstate, sizeof(pstate), (void *)ctx[0] + 33 * 8);
	inside.abi = pstate & 0x10 ? ABI_COMPAT : ABI_NATIVE;
#endif
	inside.ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&insides, &tid, &inside, 0))
		note(STAT_LOST_TASK);
	return 0;
}

SEC("raw_tp/sys_exit")
int on_exit(u64 *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	struct inside *inside;
	s64 result = ctx[1];

	if (!followed(id >> 32))
		return 0;
	inside = bpf_map_lookup_elem(&insides, &tid);
	if (!inside)
		return 0;
	count_call(id >> 32, inside, result < 0 && result >= -4095 ? -result : 0);
	bpf_map_delete_elem(&insides, &tid);
	return 0;
}

SEC("tp/sched/sched_process_fork")
int on_fork(void *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32, child = 0;
	struct process fresh = {};

	/* A thread's number, too: no process has it while the thread lives. */
	bpf_probe_read_kernel(&child, sizeof(child), ctx + settings.child);
	if (!followed(pid)) {
		struct process *before = bpf_map_lookup_elem(&processes, &child);

		if (before)
			before->ended = REUSED;
		return 0;
	}
	bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
	if (bpf_map_update_elem(&processes, &child, &fresh, 0))
		note(STAT_LOST_TASK);
	return 0;
}

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct process *known = followed(bpf_get_current_pid_tgid() >> 32);

	if (known)
		bpf_get_current_comm(known->comm, sizeof(known->comm));
	return 0;
}

SEC("tp/sched/sched_process_exit")
int on_task_exit(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	struct inside *inside = bpf_map_lookup_elem(&insides, &tid);
	struct process *known = bpf_map_lookup_elem(&processes, &tid);

	if (inside) {
		count_call(id >> 32, inside, NEVER);
		bpf_map_delete_elem(&insides, &tid);
	}
	if (known)
		known->ended = ENDED;
	return 0;
}

static __always_inline struct depth *depth_here(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&depths, &zero);
}

static __always_inline void count_event(u32 number)
{
	struct depth *depth = depth_here();

	if (settings.whole || followed(bpf_get_current_pid_tgid() >> 32))
		count_in(number, depth ? context_told(depth) : CONTEXT_TASK);
}

SEC("raw_tp/any")
int on_event(u64 *ctx)
{
	count_event(mark());
	return 0;
}

SEC("raw_tp/sched_switch")
int on_switch(u64 *ctx)
{
	struct depth *depth = depth_here();

	if (depth)
		*depth = (struct depth){};
	count_event(mark());
	return 0;
}

SEC("raw_tp/any")
int on_interrupt(u64 *ctx)
{
	struct depth *depth = depth_here();
	u32 what = mark();

	if (!depth)
		return 0;
	interrupt_begins(depth, what);
	count_event(what & INTERRUPT_NUMBER);
	interrupt_ends(depth, what);
	return 0;
}
