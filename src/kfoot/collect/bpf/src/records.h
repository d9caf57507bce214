/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs and user space agree on: the configuration going in, the records coming out.
 * kfoot/readers/bpf_records.py and kfoot/collect/bpf/layout.py mirror it; raise FORMAT when it
 * changes.
 */
#ifndef KFOOT_RECORDS_H
#define KFOOT_RECORDS_H

#include "kernel.h"

#define FORMAT 1

enum { ABI_NATIVE, ABI_COMPAT, ABI_X32, ABI_NO, ABIS }; /* a power of two */
#define NUMBERS 1024
#define ARGS 6

/* One byte each; an argument is named by its number from 1, 0 is "has none". */
struct role {
	u8 fd, fd2;	/* descriptors acted on */
	u8 path, path2; /* user strings */
	u8 sockaddr;	/* its length is the next argument */
	u8 mask;	/* scalar arguments that tell combinations apart, bit 0 is the first */
	u8 result;	/* the return value is a descriptor: enum result */
	u8 kind;	/* enum kind */
};
enum result { RESULT_OBJECT = 1, RESULT_SECOND = 2 };
enum kind { KIND_AT = 1, KIND_AT2 = 2, KIND_CLOSE = 4, KIND_EXEC = 8 };

/* OVER: the recording has ended, events are counted no more. */
enum adopt { ADOPT_NONE, ADOPT_PIDS, ADOPT_CGROUP, ADOPT_ALL, ADOPT_OVER };

struct config {
	u64 seed;	  /* of every hash, so that no input can aim at a collision */
	u32 first;	  /* occurrences of a combination that give a record each */
	u32 sequence;	  /* put the arguments into those records */
	u32 named;	  /* combinations a task may have that tell single files apart */
	u32 slots;	  /* combinations in all */
	u32 wake;	  /* bytes from one processor that wake the reader */
	u32 processors;	  /* that there can be */
	char symbol[8];	  /* "%ps" */
	struct role roles[ABIS * NUMBERS];
};

/* Known only when recording begins, with the programs loaded already. */
struct scope {
	u64 cgroup;	 /* id, with ADOPT_CGROUP */
	u32 cgroup_level;
	u32 adopt;	 /* enum adopt: which tasks met without a mark are followed */
	u32 next_image;	 /* serial number of the next process image */
	u32 alive;	 /* followed tasks */
	u64 root, root_mount; /* kfoot's own root directory: paths begin there */
	u32 own;	      /* kfoot's own process */
	u32 births;	      /* tasks that were followed from their beginning */
};

enum record { RECORD_CALL = 1, RECORD_STEP, RECORD_OBJECT, RECORD_FORK, RECORD_EXEC, RECORD_EXIT,
	      RECORD_ADOPT };

#define NONE 0xffffffffu

struct head {
	u16 kind;
	u16 flags;
	u32 shape; /* what was called with which result: a combination is that and an image */
	u32 tid, pid;
	u64 ns;	   /* CLOCK_MONOTONIC, when the call was entered */
};

enum flag {
	FLAG_NEVER = 1,	      /* entered and did not return */
	FLAG_UNREADABLE = 2,  /* a user string could not be read */
	FLAG_CUT = 4,	      /* a string was longer than we take */
	FLAG_CWD = 8,	      /* the third walked path is the working directory */
	FLAG_RESULT = 16,     /* the object is what the call returned */
	FLAG_AT = 32,	      /* the object is the directory the path starts at */
	FLAG_AT2 = 64,
	FLAG_FOLDED = 128,    /* files of one kind are counted together; the object is one of them */
	FLAG_NO_LATENCY = 256, /* skipped by seccomp or a tracer: exit without enter */
	FLAG_CHANGED = 512,   /* the descriptor stood for something else at exit */
	FLAG_EXECUTED = 1024, /* the path is in the record of the exec */
	FLAG_LOOSE = 2048,    /* there was no room to count it: this record is the count */
};

struct step {
	struct head head;
	s64 result;
	u64 latency;
	u32 image;
	u32 unused;
	u64 args[ARGS]; /* only with config.sequence */
};

struct object {
	u64 id;		/* equal for two descriptors of one file */
	u32 device;	/* kernel dev_t of a device node */
	u32 fs_device;
	u16 mode, family, type, protocol;
	char fs[16];
	char operations[40]; /* symbol of its struct file_operations, "[module]" behind it */
	u8 local[16], remote[16]; /* addresses of an internet socket */
	u16 local_port, remote_port; /* local in host order, remote in network order */
	u32 present;
};

struct call {
	struct head head;
	s64 result;
	u64 latency;
	u64 args[ARGS];
	u32 image;
	u32 nr;
	u16 abi;
	u16 error; /* 0: fine */
	u32 other; /* exit code, child's thread id, image before exec: see the kind of record */
	u32 other2;
	u32 spare;
	char comm[16];
	struct object object, second;
	/* Lengths of what follows: two user strings, a sockaddr (or a unix socket's), three walked
	 * paths (components from the leaf up, NUL after each). */
	u16 path, path2, sockaddr, name, name2, cwd;
	u16 unused[2];
};

/* Indexes into the per-CPU counters. */
enum stat { STAT_RECORDS, STAT_DROPPED, STAT_STEPS_DROPPED, STAT_FULL, STAT_UNREADABLE,
	    STAT_BEFORE, STAT_LOST_TASK, STAT_CUT, STAT_FOLDED, STATS = 16 };

#endif
