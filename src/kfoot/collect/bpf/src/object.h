/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a descriptor to what it stands for. */
#ifndef KFOOT_OBJECT_H
#define KFOOT_OBJECT_H

#include "maps.h"

/*
 * The address of the file behind a descriptor, also put to `at`, which must lie in a map: only that
 * makes a pointer read from the kernel a plain number in the verifier's eyes.
 */
static __always_inline u64 file_of(struct task_struct *task, u64 descriptor, u64 *at)
{
	struct fdtable *table = PLAIN(task_struct, task)->files->fdt;
	struct file *file = 0;
	struct file **all;
	u32 n = descriptor;

	*at = 0;
	if (n >= table->max_fds)
		return 0;
	all = table->fd;
	if (CASTS)
		file = (struct file *)VIEW(list_head, all + n)->next;
	else
		bpf_probe_read_kernel(&file, sizeof(file), all + n);
	*(volatile u64 *)at = (u64)file;
	return *(volatile u64 *)at;
}

static __always_inline struct sock *sock_of(struct inode *inode)
{
	struct socket_alloc *both =
		(void *)inode - bpf_core_field_offset(struct socket_alloc, vfs_inode);
	struct sock *sock = 0;

	READ(sock, both->socket.sk);
	return sock;
}

/*
 * The hot path: once or twice a call. A function of its own, so that the verifier goes through it
 * once. `sight` must lie in a map, see file_of.
 */
__noinline int look(u64 address, struct sight *sight)
{
	struct file *file = (void *)address;
	struct inode *inode = 0;
	struct super_block *sb = 0;
	u64 operations = 0, number = 0, magic = 0, kind;
	u32 device = 0, fs_device = 0, generation = 0;
	u16 mode = 0;

	if (!sight)
		return 0;
	if (CASTS) {
		struct file *view = VIEW(file, file);

		inode = view->f_inode;
		*(volatile u64 *)&sight->kind = (u64)view->f_op;
		operations = *(volatile u64 *)&sight->kind;
		mode = inode->i_mode;
		device = inode->i_rdev;
		sb = inode->i_sb;
		fs_device = sb->s_dev;
	} else {
		READ(inode, file->f_inode);
		READ(operations, file->f_op);
		READ(mode, inode->i_mode);
		READ(device, inode->i_rdev);
		READ(sb, inode->i_sb);
		READ(fs_device, sb->s_dev);
	}
	mode &= S_IFMT;
	kind = mix(config.seed ^ operations, ((u64)device << 32) | fs_device);
	if (mode == S_IFSOCK) {
		struct sock *sock = sock_of(inode);
		u16 family = 0, type = 0, protocol = 0;

		READ(family, sock->__sk_common.skc_family);
		READ(type, sock->sk_type);
		READ(protocol, sock->sk_protocol);
		kind = mix(kind, ((u64)family << 32) | ((u64)type << 16) | protocol);
	}
	sight->kind = sight->id = kind;
	if (mode != S_IFREG && mode != S_IFDIR && mode != S_IFLNK && mode != S_IFSOCK) {
		if (mode != S_IFIFO)
			return 0;
		READ(magic, sb->s_magic);
		if (magic == PIPEFS_MAGIC)
			return 0;
	}
	if (CASTS) {
		number = inode->i_ino;
		generation = inode->i_generation;
	} else {
		READ(number, inode->i_ino);
		READ(generation, inode->i_generation);
	}
	sight->id = mix(kind ^ ((u64)generation << 32), number);
	return 0;
}

/* A unix socket's address: its own, or its peer's. Gives its length. */
static __always_inline u32 unix_address(struct sock *sock, char *to)
{
	struct unix_sock *us = (void *)sock, *peer = 0;
	struct unix_address *address = 0;
	int length = 0;

	if (!bpf_core_type_exists(struct unix_sock))
		return 0;
	READ(address, us->addr);
	if (!address) {
		READ(peer, us->peer);
		if (peer)
			READ(address, peer->addr);
	}
	if (!address)
		return 0;
	READ(length, address->len);
	if (length <= 0 || length > 110)
		return 0;
	if (bpf_probe_read_kernel(to, BOUND(length, 127),
				  __builtin_preserve_access_index(&address->name[0])))
		return 0;
	return length;
}

/* The cold path: everything there is to say of a file. Returns the length of a unix address. */
static __always_inline u32 describe(struct file *file, struct object *object, struct sight *sight,
				    char *address)
{
	struct file_system_type *fs = 0;
	struct super_block *sb = 0;
	struct inode *inode = 0;
	const char *name = 0;
	u64 operations = 0;

	look((u64)file, sight);
	object->id = sight->id;
	object->present = 1;
	if (CASTS) {
		inode = VIEW(file, file)->f_inode;
		object->mode = inode->i_mode;
		object->device = inode->i_rdev;
		sb = inode->i_sb;
		object->fs_device = sb->s_dev;
		name = sb->s_type->name;
	} else {
		READ(inode, file->f_inode);
		READ(object->mode, inode->i_mode);
		READ(object->device, inode->i_rdev);
		READ(sb, inode->i_sb);
		READ(object->fs_device, sb->s_dev);
		READ(fs, sb->s_type);
		READ(name, fs->name);
	}
	take_16(object->fs, (u64)name);
	if ((object->mode & S_IFMT) == S_IFCHR || (object->mode & S_IFMT) == S_IFBLK) {
		/* The driver by its symbol: a search through all of them, so not for every file. */
		READ(operations, file->f_op);
		bpf_snprintf(object->operations, sizeof(object->operations), (const char *)config.symbol,
		     &operations, sizeof(operations));
		return 0;
	}
	if ((object->mode & S_IFMT) != S_IFSOCK)
		return 0;

	struct sock *sock = sock_of(inode);

	READ(object->family, sock->__sk_common.skc_family);
	READ(object->type, sock->sk_type);
	READ(object->protocol, sock->sk_protocol);
	if (object->family == AF_UNIX)
		return unix_address(sock, address);
	if (object->family == AF_INET) {
		READ(*(u32 *)object->remote, sock->__sk_common.skc_daddr);
		READ(*(u32 *)object->local, sock->__sk_common.skc_rcv_saddr);
	} else if (object->family == AF_INET6) {
		READ(object->remote, sock->__sk_common.skc_v6_daddr);
		READ(object->local, sock->__sk_common.skc_v6_rcv_saddr);
	} else {
		return 0;
	}
	READ(object->remote_port, sock->__sk_common.skc_dport);
	READ(object->local_port, sock->__sk_common.skc_num);
	return 0;
}

#endif
