/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Full detail: every system call of the followed tasks, counted by combination (process image,
 * call, result, object, path, request); the first occurrences of each give a record.
 *
 * The descriptor's object is looked up when the call is entered (after a close(2) there is none),
 * user strings are read when it is left (the kernel has faulted their pages in by then).
 */
#include "count.h"
#include "strings.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A call that has ended, until it is counted and described. */
struct finished {
	s64 result;
	u64 latency;
	u64 returned; /* the file of the descriptor it gave */
	u32 error;
};

static __always_inline void send_detail(struct scratch *s, struct task_state *state,
					const volatile struct role *role, struct finished *done,
					struct found *found)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	u16 path = s->call.path, path2 = s->call.path2, address = s->call.sockaddr;
	u32 flags = s->call.head.flags;

	start_record(s, state, RECORD_CALL, state->ns);
	s->call.path = path;
	s->call.path2 = path2;
	s->call.sockaddr = address;
	s->call.head.shape = found->shape;
	if (!state->ns)
		flags |= FLAG_NO_LATENCY;
	s->call.result = done->result;
	s->call.latency = done->latency;
	__builtin_memcpy(s->call.args, state->args, sizeof(s->call.args));
	s->call.image = image_of(state);
	s->call.nr = state->nr;
	s->call.abi = state->abi;
	if (done->error != NEVER)
		s->call.error = done->error;
	if (role->fd) {
		s->call.object.id = state->sight.id;
		if (role->kind & KIND_AT)
			flags |= FLAG_AT;
		if (state->file) {
			file_of(task, argument(state, role->fd), &s->file);
			if (s->file != state->file) {
				s->file = 0;
				flags |= FLAG_CHANGED;
			}
		}
	}
	if (role->fd2) {
		s->call.second.id = state->sight2.id;
		if (role->kind & KIND_AT2)
			flags |= FLAG_AT2;
		if (state->file2) {
			file_of(task, argument(state, role->fd2), &s->file2);
			if (s->file2 != state->file2)
				s->file2 = 0;
		}
	}
	if (done->returned && role->result == RESULT_OBJECT) {
		s->file = done->returned;
		flags = (flags | FLAG_RESULT) & ~(FLAG_AT | FLAG_CHANGED);
	} else if (done->returned) {
		s->file2 = done->returned;
	}
	s->call.head.flags = flags;
	if (send_call(s, s->used))
		settle(found->shape_key, 1);
	else if (found->owed == OWED_MISSING)
		settle(found->shape_key, 0);
}

static __always_inline int finish(struct task_struct *task, struct task_state *state, s64 result,
				  u32 never)
{
	const volatile struct role *role = role_of(state);
	struct sight sight = state->sight, sight2 = state->sight2;
	struct finished done = { .result = result };
	struct found found = { .slot = NONE, .shape = NONE };
	struct scratch *s = scratch();
	u64 hash = config.seed, n = 0;
	u32 named;

	if (!s)
		return 0;
	if (state->ns)
		done.latency = bpf_ktime_get_ns() - state->ns;
	s->call.head.flags = never ? FLAG_NEVER : 0;
	s->call.path = s->call.path2 = s->call.sockaddr = 0;
	s->used = 0;
	if (never)
		done.error = NEVER;
	else if (result < 0 && result >= -4095)
		done.error = -result;

	if (role->mask) {
#pragma unroll
		for (u32 i = 0; i < ARGS; i++)
			if (role->mask & (1 << i))
				hash = mix(hash, state->args[i] + i);
	}
	if (state->program) {
		/* Its path lay in memory that is gone. */
		hash = mix(hash, state->program);
		s->call.head.flags |= FLAG_EXECUTED;
	} else if (role->path) {
		hash = take_paths(s, state, hash);
	} else if (role->sockaddr) {
		hash = take_sockaddr(s, state, hash);
	}
	/* A skipped call's strings the kernel has not read either, so they may not be in memory. */
	if (s->call.head.flags & FLAG_UNREADABLE && done.error != EFAULT && state->ns)
		note(STAT_UNREADABLE);
	/* The directory of a path is part of the path's hash if it counts. */
	if (role->kind & KIND_AT && s->call.path > 1)
		sight.kind = sight.id = 0;
	if (role->kind & KIND_AT2)
		sight2.kind = sight2.id = 0;
	if (role->result && !done.error) {
		s->seen.kind = 0;
		done.returned = file_of(task, result, &s->file);
		if (done.returned)
			look(done.returned, &s->seen);
		if (role->result == RESULT_OBJECT)
			sight.kind = sight.id = s->seen.kind;
		else
			sight2.kind = sight2.id = s->seen.kind;
	}

	named = sight.id != sight.kind || sight2.id != sight2.kind;
	find(state, with_files(hash, sight.id, sight2.id), done.error, &found, named);
	if (found.slot == NONE && named && must_fold(state)) {
		find(state, with_files(~hash, sight.kind, sight2.kind), done.error, &found, 0);
		s->call.head.flags |= FLAG_FOLDED;
		named = 0;
	}
	if (found.slot == NONE) {
		/* Paths are without bound: a quarter of all room is kept for calls without. */
		u32 limit = role->path ? config.slots - config.slots / 4 : config.slots;

		if (found.shape == NONE)
			insert_shape(state, &found, done.error, limit);
		if (found.shape != NONE && found.slot == NONE)
			insert(state, &found, done.error, limit);
		if (named) {
			u64 bit, *bits = told_apart(state, found.key, &bit);

			*bits |= bit;
			state->named++;
		}
	}
	if (found.slot == NONE) {
		note(STAT_FULL);
		s->call.head.flags |= FLAG_LOOSE;
	} else {
		n = add(found.slot, done.latency);
	}
	if (found.owed)
		send_detail(s, state, role, &done, &found);
	else if (n <= config.first)
		send_step(s, state, &found, result, done.latency, s->call.head.flags);
	return 0;
}

/* A descriptor about to be closed: if this is its first close, describe it now. */
static __always_inline void describe_before_close(struct task_state *state)
{
	struct found found = { .slot = NONE };
	struct scratch *s = scratch();

	find(state, with_files(config.seed, state->sight.id, 0), 0, &found,
	     state->sight.id != state->sight.kind);
	if (found.slot == NONE && must_fold(state))
		find(state, with_files(~config.seed, state->sight.kind, 0), 0, &found, 0);
	if (found.shape != NONE || !s)
		return;
	start_record(s, state, RECORD_OBJECT, 0);
	s->file = state->file;
	send_call(s, 0);
}

/* The workload begins with its first call: what its task did before was kfoot's. */
static __always_inline void open_gate(struct task_state *state)
{
	struct task_struct *current = (void *)bpf_get_current_task_btf();
	struct task *task = bpf_task_storage_get(&tasks, current, 0, 0);

	if (task)
		task->follow = FOLLOW;
	state->gated = 0;
	forget();
}

SEC("tp_btf/sys_enter")
int on_enter(u64 *ctx)
{
	struct task_state *state = caller(ctx[0]);
	struct pt_regs *regs = (void *)ctx[0];
	const volatile struct role *role;
	struct task_struct *task;
	u32 nr = ctx[1];
	u64 file;

	if (!state)
		return 0;
	task = TASK_OF(state);
	state->abi = abi_of(task, regs, &nr);
	state->nr = nr;
	state->inside = 1;
	if (state->gated)
		open_gate(state);
	state->fresh = 0;
	state->program = 0;
	take_args(state, regs);
	role = role_of(state);
	state->file = state->file2 = 0;
	state->sight.kind = state->sight.id = 0;
	state->sight2.kind = state->sight2.id = 0;
	if (role->fd) {
		file = file_of(task, argument(state, role->fd), &state->file);
		if (file) {
			look(file, &state->sight);
			if (role->kind & KIND_CLOSE)
				describe_before_close(state);
		}
	}
	if (role->fd2) {
		file = file_of(task, argument(state, role->fd2), &state->file2);
		if (file)
			look(file, &state->sight2);
	}
	state->ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int on_exit(u64 *ctx)
{
	struct task_state *state = caller(ctx[0]);
	struct pt_regs *regs = (void *)ctx[0];
	struct task_struct *task;

	if (!state)
		return 0;
	task = TASK_OF(state);
	if (!state->inside) {
		u32 nr = number_of(regs);

		if (state->fresh) {
			/* A new task's way out of the clone that made it, or out of the call an
			 * adopted task was in. */
			state->fresh = 0;
			return 0;
		}
		/* Denied by seccomp or skipped by a tracer before sys_enter. */
		state->abi = abi_of(task, regs, &nr);
		state->nr = nr;
		take_args(state, regs);
		state->file = state->file2 = state->ns = state->program = 0;
		state->sight.kind = state->sight.id = 0;
		state->sight2.kind = state->sight2.id = 0;
	}
	/* Every fatal signal ends as a SIGKILL in each thread's own set (complete_signal): the
	 * call leaves the kernel's work but never returns. on_task_exit counts it. */
	if (task->pending.signal.sig[0] & (1ul << (SIGKILL - 1))) {
		state->inside = 1;
		return 0;
	}
	state->inside = 0;
	finish(task, state, ctx[1], 0);
	state->program = 0;
	return 0;
}

/* Fires in copy_process, so for io_uring's and other threads the kernel makes too. */
SEC("tp_btf/task_newtask")
int on_newtask(u64 *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task_btf();
	struct task_struct *child = (void *)ctx[0];
	struct task *task = known(current), *fresh;
	struct scratch *s = scratch();
	struct task_state *state;

	if (task && !task->follow && child->tgid == current->tgid)
		bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!task || !task->follow || !s)
		return 0;
	state = take_state(task);
	fresh = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!state || !fresh) {
		note(STAT_LOST_TASK);
		return 0;
	}
	__sync_fetch_and_add(&scope.alive, 1);
	__sync_fetch_and_add(&scope.births, 1);
	fresh->follow = FOLLOW;
	fresh->image = state->image;
	if (child->tgid != current->tgid)
		fresh->image = IMAGE();
	start_record(s, state, RECORD_FORK, 0);
	s->call.other = child->pid;
	s->call.other2 = child->tgid;
	s->call.spare = fresh->image;
	send(s, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct linux_binprm *trusted = (void *)ctx[2], *program = PLAIN(linux_binprm, trusted);
	struct task_struct *current = (void *)bpf_get_current_task_btf();
	struct mm_struct *mm = PLAIN(task_struct, current)->mm;
	struct scratch *s = scratch();
	u32 used = 0, number;
	struct task_state *state = own_state(&number);
	u64 start, length;
	long n;

	if (!state || !s)
		return 0;
	state->before = state->image;
	state->image = IMAGE();
	state->named = 0;
	start_record(s, state, RECORD_EXEC, 0);
	s->call.other = state->before;
	n = bpf_probe_read_kernel_str(s->data, PATH_MAX, program->filename);
	if (n > 0 && n <= PATH_MAX)
		s->call.path = used = n;
	*(u64 *)(s->data + BOUND(used, STRINGS_MASK)) = 0;
	state->program = hash_string(s, 0, used) | 1;
	start = mm->arg_start;
	length = mm->arg_end - start;
	if (length >= PATH_MAX) {
		length = PATH_MAX - 1;
		s->call.head.flags |= FLAG_CUT;
		note(STAT_CUT);
	}
	if (length) {
		if (bpf_probe_read_user(s->data + BOUND(used, STRINGS_MASK),
					BOUND(length, PATH_MAX - 1), (void *)start)) {
			s->call.head.flags |= FLAG_UNREADABLE;
			note(STAT_UNREADABLE);
		} else {
			s->call.path2 = length;
			used += length;
		}
	}
	s->call.head.flags |= FLAG_CWD;
	s->file = (u64)program->file;
	send_call(s, used);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_task_exit(u64 *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task_btf();
	struct task *task = bpf_task_storage_get(&tasks, current, 0, 0);
	struct scratch *s = scratch();
	struct task_state *state;
	u32 pid = current->tgid;

	if (!task || !s || !task->follow)
		return 0;
	__sync_fetch_and_add(&scope.alive, -1);
	if (current->pid == current->tgid && scope.adopt != ADOPT_NONE)
		bpf_map_delete_elem(&images, &pid);
	state = take_state(task);
	if (!state)
		return 0;
	if (state->inside)
		finish(current, state, 0, 1);
	start_record(s, state, RECORD_EXIT, 0);
	s->call.other = current->exit_code;
	send(s, 0);
	give_back_state(task);
	return 0;
}
