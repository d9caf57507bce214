/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The strings a call was given: into the scratch data, and into the hash. */
#ifndef KFOOT_STRINGS_H
#define KFOOT_STRINGS_H

#include "task.h"

#define AT_FDCWD -100
#define SOCKADDR_MAX 110 /* sockaddr_un, the longest of those a person reads */

/* What a relative path starts at: a descriptor's directory, or the working directory. */
static __always_inline u64 base(struct scratch *s, struct task_state *state, u32 at, u32 fd,
				u64 directory)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct fs_struct *fs = PLAIN(task_struct, task)->fs;
	struct dentry *dentry = 0;

	if (at && (s32)argument(state, fd) != AT_FDCWD)
		return directory;
	s->call.head.flags |= FLAG_CWD;
	READ(dentry, fs->pwd.dentry);
	return (u64)dentry;
}

/* One or two paths. A path of length 1 is the empty one: the call acts on the descriptor. */
__noinline u64 take_paths(struct scratch *s, struct task_state *state, u64 hash)
{
	const volatile struct role *role;
	u32 first = 0, n = 0;
	u64 user;

	if (!s || !state)
		return 0;
	role = role_of(state);
	user = argument(state, role->path);
	if (user)
		first = read_string(s, 0, user);
	s->call.path = first;
	if (first) {
		hash = mix(hash, hash_string(s, 0, first));
		if (first > 1 && s->data[0] != '/')
			hash = mix(hash, base(s, state, role->kind & KIND_AT, role->fd,
					      state->sight.id));
	}
	if (role->path2) {
		user = argument(state, role->path2);
		if (user)
			n = read_string(s, first, user);
		s->call.path2 = n;
		if (n) {
			hash = mix(hash, hash_string(s, first, n));
			if (n > 1 && s->data[BOUND(first, STRINGS_MASK)] != '/')
				hash = mix(hash, base(s, state, role->kind & KIND_AT2, role->fd2,
						      state->sight2.id));
		}
	}
	s->used = first + n;
	return hash;
}

__noinline u64 take_sockaddr(struct scratch *s, struct task_state *state, u64 hash)
{
	u32 number, length;
	u64 user;

	if (!s || !state)
		return 0;
	number = role_of(state)->sockaddr;
	user = argument(state, number);
	length = argument(state, number + 1);
	if (!user || !length)
		return hash;
	if (length > SOCKADDR_MAX)
		length = SOCKADDR_MAX;
	if (bpf_probe_read_user(s->data, BOUND(length, 127), (void *)user)) {
		s->call.head.flags |= FLAG_UNREADABLE;
		return hash;
	}
	*(u64 *)(s->data + BOUND(length, 127)) = 0;
	s->call.sockaddr = s->used = length;
	return mix(hash, hash_string(s, 0, length));
}

#endif
