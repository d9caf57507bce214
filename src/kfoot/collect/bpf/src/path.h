/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Path names, by walking dentries up across mounts to the root of the mount namespace
 * (bpf_d_path is allowed in few programs only), or to kfoot's own root, should that be a chroot. */
#ifndef KFOOT_PATH_H
#define KFOOT_PATH_H

#include "maps.h"

struct walk {
	struct scratch *scratch;
	struct dentry *dentry, *root;
	struct mount *mount;
	u64 vfs; /* of mount */
	u32 done;
};

#define NEAR 10 /* levels of most paths */
#define SHORT 40

/* Append a component. Most are short, and copying them by words takes less than calling the kernel;
 * what comes along from behind them is overwritten or not sent. */
static __always_inline void append(struct walk *walk, const unsigned char *name, u32 length)
{
	char *to = walk->scratch->data + BOUND(walk->scratch->at, DATA_MAX - 1);
	long copied;

	if (!CASTS || length >= SHORT) {
		copied = bpf_probe_read_kernel_str(to, 256, name);
		if (copied > 0)
			walk->scratch->at += copied;
		return;
	}
#pragma unroll
	for (u32 i = 0; i < SHORT / 8; i++)
		*(volatile u64 *)(to + i * 8) = WORD(name + i * 8);
	to[BOUND(length, 63)] = 0;
	walk->scratch->at += length + 1;
}

/* Append one component and go up; gives whether there is no more. */
static __always_inline long step_up(struct walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = 0;
	struct mount *mount = walk->mount, *above = 0;
	const unsigned char *name = 0;
	u32 length = 0;

	if (walk->scratch->at >= DATA_MAX)
		return 1;
	if ((u64)dentry == scope.root && walk->vfs == scope.root_mount) {
		*(u16 *)(walk->scratch->data + BOUND(walk->scratch->at, DATA_MAX - 1)) = '/';
		walk->scratch->at += 2;
		walk->done = 1;
		return 1;
	}
	if (dentry == walk->root) {
		READ(above, mount->mnt_parent);
		if (above && above != mount) {
			READ(walk->dentry, mount->mnt_mountpoint);
			READ(walk->root, above->mnt.mnt_root);
			walk->mount = above;
			walk->vfs = (u64)above + bpf_core_field_offset(struct mount, mnt);
			return 0;
		}
	}
	if (CASTS) {
		struct dentry *view = VIEW(dentry, dentry);

		parent = view->d_parent;
		name = view->d_name.name;
		length = view->d_name.len;
	} else {
		READ(parent, dentry->d_parent);
		READ(name, dentry->d_name.name);
	}
	append(walk, name, length);
	if (parent == dentry || !parent) {
		walk->done = 1;
		return 1;
	}
	walk->dentry = parent;
	return 0;
}

static long walk_up(void *map, u32 *key, u32 *value, struct walk *walk)
{
	return step_up(walk);
}

/* Append the components of the path at scratch->address from the leaf up, NUL after each; gives the
 * new end. */
__noinline u32 walk_path(struct scratch *scratch, u32 at)
{
	struct walk walk = { .scratch = scratch };
	struct vfsmount *vfs = 0;
	struct path *path;
	struct mount *mount;
	u32 level;

	if (!scratch)
		return 0;
	scratch->at = at;
	path = (struct path *)scratch->address;
	if (CASTS) {
		struct path *view = VIEW(path, path);

		vfs = view->mnt;
		walk.dentry = view->dentry;
		walk.root = vfs->mnt_root;
	} else {
		READ(vfs, path->mnt);
		READ(walk.dentry, path->dentry);
		READ(walk.root, vfs->mnt_root);
	}
	mount = (void *)vfs - bpf_core_field_offset(struct mount, mnt);
	walk.mount = mount;
	walk.vfs = (u64)vfs;
#pragma clang loop unroll(disable)
	for (level = 0; level < NEAR; level++)
		if (step_up(&walk))
			break;
	if (level == NEAR)
		bpf_for_each_map_elem(&levels, walk_up, &walk, 0);
	if (!walk.done) {
		scratch->call.head.flags |= FLAG_CUT;
		note(STAT_CUT);
	}
	return scratch->at > DATA_MAX ? DATA_MAX : scratch->at;
}

__noinline u64 hash_string(struct scratch *scratch, u32 from, u32 length)
{
	u64 hash = config.seed;

	if (!scratch || from > PATH_MAX)
		return 0;
	for (u32 i = 0; i < PATH_MAX / 8; i++) {
		if (i * 8 >= length)
			break;
		hash = mix(hash, *(u64 *)(scratch->data + from + i * 8));
	}
	return hash;
}

/* Read a user string to data[from]; gives its length with the NUL, 0 when it cannot be read. The
 * eight bytes behind it become zero, for hash_string. */
static __always_inline u32 read_string(struct scratch *scratch, u32 from, u64 user)
{
	long length;
	u32 n;

	from = BOUND(from, STRINGS_MASK);
	length = bpf_probe_read_user_str(scratch->data + from, PATH_MAX, (void *)user);
	if (length < 0) {
		scratch->call.head.flags |= FLAG_UNREADABLE;
		return 0;
	}
	n = length < 1 ? 1 : length; /* "" is 0 up to 6.1, 1 on newer kernels */
	if (n >= PATH_MAX) {
		n = PATH_MAX;
		scratch->call.head.flags |= FLAG_CUT;
		note(STAT_CUT);
	}
	*(u64 *)(scratch->data + from + BOUND(n, STRINGS_MASK)) = 0;
	return n;
}

#endif
