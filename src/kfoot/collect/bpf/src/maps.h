/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KFOOT_MAPS_H
#define KFOOT_MAPS_H

#include "state.h"

#define PATH_MAX 4096
#define DATA_MAX 16384 /* a power of two */
#define LEVELS 128

/* Whether the kernel has bpf_rdonly_cast (6.2). One that has not is not to find it named: before
 * 5.17 it refuses what it does not know even where that is never reached. */
#ifdef WITHOUT_CASTS
#define CASTS 0
#else
#define CASTS 1
#endif
extern void *bpf_rdonly_cast(const void *pointer, u32 type) __ksym;

/* A typed view of an untrusted pointer: loads that cannot fault instead of helper calls. */
#define VIEW(type, pointer) \
	((struct type *)bpf_rdonly_cast((const void *)(pointer), \
					bpf_core_type_id_kernel(struct type)))
/* The same of a trusted one: of every pointer loaded through it the verifier would search all of
 * the kernel's BTF, name by name, for whether it is to be trusted, too. */
#define PLAIN(type, pointer) (CASTS ? VIEW(type, pointer) : (pointer))
/* Eight bytes at an untrusted address; with CASTS only. */
#define WORD(address) ((u64)VIEW(list_head, address)->next)
#define READ(to, from) \
	bpf_probe_read_kernel(&(to), sizeof(to), __builtin_preserve_access_index(&(from)))

/* A bound the verifier sees and the compiler cannot optimise away. */
#define BOUND(value, mask) \
	({ \
		u64 bound = (value); \
		asm volatile("%0 &= %1" : "+r"(bound) : "i"(mask)); \
		bound; \
	})
#define STRINGS_MASK (2 * PATH_MAX - 1)

/* A shape (see below) in one process image: what is counted. Number, error and ABI are repeated, so
 * that a count is never without its call even if the shape's record was lost. */
struct combination {
	u32 slot; /* NONE: not counted */
	u32 image;
	u32 shape;
	u32 nr;
	u16 error;
	u16 abi;
};

/*
 * What was called, on what, with which result: described to user space once, by one record, however
 * many processes do it. The key is a 64-bit hash with a random seed. The combination with the first
 * image that did it is kept here: most shapes have no other, and what a program meets once (each
 * file of a search) is then put into one table only.
 */
struct shape {
	u32 id;
	u32 owed; /* its record did not fit the ring */
	struct combination first;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct shape);
} shapes SEC(".maps");

/* The combinations with further images. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct combination);
} combinations SEC(".maps");

/* All slots for each processor, one after the other. (A per-CPU array is allocated slot by slot:
 * a tenth of a second.) */
struct count {
	u64 calls, latency;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} ring SEC(".maps");

struct scratch {
	struct call call;
	char data[DATA_MAX + PATH_MAX + 8];
	u64 file, file2;
	u64 address; /* of what is to be read: put here, a pointer becomes a plain number */
	struct sight seen;
	struct step step; /* the stack is small */
	u32 used;
	u32 at; /* end of the path that is walked: here the verifier forgets what it may be, and takes
		 * one level for another */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Only its length matters: bpf_for_each_map_elem over it is a bounded loop (5.13; bpf_loop came
 * with 5.17). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEVELS);
	__type(key, u32);
	__type(value, u32);
} levels SEC(".maps");

/* Processes to follow that ran before we came (ADOPT_PIDS), and the images of adopted ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u32);
} adopted SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u32);
} images SEC(".maps");

u32 next_slot;
u32 next_shape;

/* Copy a name of the kernel's, 16 bytes with what stands behind its end. */
static __always_inline void take_16(char *to, u64 from)
{
	if (CASTS) {
		*(volatile u64 *)to = WORD(from);
		*(volatile u64 *)(to + 8) = WORD(from + 8);
	} else {
		bpf_probe_read_kernel(to, 16, (void *)from);
	}
}

static __always_inline u64 mix(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
	return hash ^ (hash >> 29);
}

static __always_inline struct scratch *scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

#endif
