/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which tasks are followed, and the records that go out. */
#ifndef KFOOT_TASK_H
#define KFOOT_TASK_H

#include "object.h"
#include "path.h"

static __always_inline u32 abi_of(struct task_struct *task, struct pt_regs *regs, u32 *nr)
{
#if defined(__TARGET_ARCH_x86)
	/* TS_COMPAT is set while a call came through a 32-bit entry, by a 64-bit task's int 0x80
	 * too (arch/x86/include/asm/thread_info.h); bit 30 of the number means x32. */
	if (task->thread_info.status & 2)
		return ABI_COMPAT;
	if (*nr & 0x40000000 && !(*nr & 0x80000000)) {
		*nr &= ~0x40000000;
		return ABI_X32;
	}
	return ABI_NATIVE;
#else
	return regs->pstate & 0x10 ? ABI_COMPAT : ABI_NATIVE; /* PSR_MODE32_BIT */
#endif
}

static __always_inline u32 number_of(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#else
	return regs->syscallno;
#endif
}

static __always_inline void take_args(struct task_state *state, struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	if (state->abi == ABI_COMPAT) {
		state->args[0] = (u32)regs->bx;
		state->args[1] = (u32)regs->cx;
		state->args[2] = (u32)regs->dx;
		state->args[3] = (u32)regs->si;
		state->args[4] = (u32)regs->di;
		state->args[5] = (u32)regs->bp;
		return;
	}
	state->args[0] = regs->di;
	state->args[1] = regs->si;
	state->args[2] = regs->dx;
	state->args[3] = regs->r10;
	state->args[4] = regs->r8;
	state->args[5] = regs->r9;
#else
	state->args[0] = regs->orig_x0;
	state->args[1] = regs->regs[1];
	state->args[2] = regs->regs[2];
	state->args[3] = regs->regs[3];
	state->args[4] = regs->regs[4];
	state->args[5] = regs->regs[5];
#endif
}

static __always_inline const volatile struct role *role_of(struct task_state *state)
{
	u32 nr = state->nr;

	if (nr >= NUMBERS)
		nr = NUMBERS - 1; /* no such call: no role */
	return &config.roles[BOUND(state->abi * NUMBERS + nr, ABIS * NUMBERS - 1)];
}

static __always_inline u64 argument(struct task_state *state, u32 number)
{
	number = (number - 1) & 7;
	return state->args[number < ARGS ? number : 0];
}

/* Whether the record about to be sent wakes the reader: once in config.wake bytes from a processor,
 * for a wake-up costs an interrupt. */
static __always_inline u64 wake(u32 length)
{
	struct processor *here = processor();

	if (!here)
		return BPF_RB_FORCE_WAKEUP;
	here->sent += length;
	if (here->sent < config.wake)
		return BPF_RB_NO_WAKEUP;
	here->sent = 0;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline long send(struct scratch *s, u32 used)
{
	long error;

	if (used > DATA_MAX)
		used = DATA_MAX;
	used += sizeof(struct call);
	error = bpf_ringbuf_output(&ring, s, used, wake(used));
	note(error ? STAT_DROPPED : STAT_RECORDS);
	return error;
}

/* ns: when it was; 0: now. */
static __always_inline void start_record(struct scratch *s, struct task_state *state, u32 kind,
					 u64 ns)
{
	struct task_struct *current = (void *)bpf_get_current_task_btf();

	__builtin_memset(&s->call, 0, sizeof(s->call));
	s->call.head.kind = kind;
	s->call.head.shape = NONE;
	s->call.head.tid = current->pid;
	s->call.head.pid = current->tgid;
	s->call.head.ns = ns ? ns : bpf_ktime_get_ns();
	s->call.image = state->image;
	s->address = (u64)current + bpf_core_field_offset(struct task_struct, comm);
	take_16(s->call.comm, *(volatile u64 *)&s->address);
	s->file = s->file2 = 0;
}

/* Describe the record's files and send it. Its user strings lie in data[0..used) already. */
__noinline long send_call(struct scratch *s, u32 used)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct file *file;
	u32 end;

	if (!s)
		return -1;
	if (used > 2 * PATH_MAX)
		used = 2 * PATH_MAX;
	file = (void *)s->file;
	if (file) {
		u32 length = describe(file, &s->call.object, &s->seen,
				      s->data + BOUND(used, DATA_MAX - 1));

		if (length && !s->call.sockaddr) {
			s->call.sockaddr = length;
			used += length;
		}
		s->address = (u64)__builtin_preserve_access_index(&file->f_path);
		end = walk_path(s, used);
		s->call.name = end - used;
		used = end;
	}
	file = (void *)s->file2;
	if (file) {
		describe(file, &s->call.second, &s->seen, s->data + BOUND(used, DATA_MAX - 1));
		s->address = (u64)__builtin_preserve_access_index(&file->f_path);
		end = walk_path(s, used);
		s->call.name2 = end - used;
		used = end;
	}
	if (s->call.head.flags & FLAG_CWD) {
		struct fs_struct *fs = PLAIN(task_struct, task)->fs;

		s->address = (u64)__builtin_preserve_access_index(&fs->pwd);
		end = walk_path(s, used);
		s->call.cwd = end - used;
		used = end;
	}
	return send(s, used);
}

__noinline int adoptable(void)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (scope.adopt == ADOPT_ALL)
		return 1;
	if (scope.adopt == ADOPT_CGROUP)
		return bpf_get_current_ancestor_cgroup_id(scope.cgroup_level) == scope.cgroup;
	return bpf_map_lookup_elem(&adopted, &pid) != 0;
}

/* Begin to follow a task that ran before we came. */
static __always_inline struct task *adopt(struct task_struct *current)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32, *image, fresh;
	struct mm_struct *mm = PLAIN(task_struct, current)->mm;
	struct task_state *state;
	struct task *task;
	struct scratch *s;

	if (pid == scope.own || !adoptable())
		return 0;
	task = bpf_task_storage_get(&tasks, current, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s = scratch();
	if (!task || !s) {
		note(STAT_LOST_TASK);
		return 0;
	}
	image = bpf_map_lookup_elem(&images, &pid);
	if (!image) {
		fresh = IMAGE();
		bpf_map_update_elem(&images, &pid, &fresh, BPF_NOEXIST);
		image = bpf_map_lookup_elem(&images, &pid);
	}
	__sync_fetch_and_add(&scope.alive, 1);
	task->follow = FOLLOW;
	task->image = image ? *image : 0;
	forget();
	state = take_state(task);
	if (!state)
		return 0;
	start_record(s, state, RECORD_ADOPT, 0);
	if (mm)
		s->file = (u64)mm->exe_file;
	send_call(s, 0);
	return task;
}

/* kfoot itself is marked as not to be followed, and calls a moment after we were attached. */
static __always_inline void take_own(struct task_struct *current)
{
	struct fs_struct *fs = PLAIN(task_struct, current)->fs;

	scope.own = current->tgid;
	READ(scope.root_mount, fs->root.mnt);
	READ(scope.root, fs->root.dentry);
}

/* What the current task is, NULL when nobody said so and it is not to be adopted either. */
static __always_inline struct task *known(struct task_struct *current)
{
	struct task *task = bpf_task_storage_get(&tasks, current, 0, 0);

	if (task && !task->follow && !scope.root)
		take_own(current);
	if (!task && scope.adopt != ADOPT_NONE)
		task = adopt(current);
	return task;
}

/* The state of the current task if that is followed, and its number. */
static __always_inline struct task_state *own_state(u32 *number)
{
	struct task_struct *current = (void *)bpf_get_current_task_btf();
	struct task *task = known(current);
	struct task_state *state = task && task->follow ? take_state(task) : 0;

	if (!state)
		return 0;
	state->task = (u64)current;
	*number = task->state;
	return state;
}

/* Who calls? The number of its state, 0 for a task that is not followed. */
__noinline u32 recognise(void)
{
	u32 number = 0;

	own_state(&number);
	return number;
}

/*
 * The state of the task that makes a call, NULL when it is not followed. Mostly it is the one that
 * called last on this processor: it is told by its registers.
 */
static __always_inline struct task_state *caller(u64 regs)
{
	u32 births = *(volatile u32 *)&scope.births, number;
	struct processor *here = processor();
	struct task_state *state;

	if (!here)
		return 0;
	state = state_of(here->state);
	if (state && state->regs == regs)
		return state;
	if (here->stranger == regs && here->births == births)
		return 0;
	number = recognise();
	state = state_of(number);
	if (state) {
		state->regs = regs;
		here->state = number;
	} else if (scope.adopt == ADOPT_NONE) { /* else it may be adopted later */
		here->stranger = regs;
		here->births = births;
	}
	return state;
}

/* The task a state is of, which is the current one. */
#define TASK_OF(state) \
	(CASTS ? VIEW(task_struct, (state)->task) : \
			      (struct task_struct *)bpf_get_current_task_btf())

#endif
