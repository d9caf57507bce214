"""The rules, on a made-up tree; the numbers of real kernels are in test_atlas_accuracy.py."""

from __future__ import annotations

import pytest

from kfoot.atlas.build.syscalls import SyscallRow, Syscalls

TREE = {
    "arch/x86/entry/syscalls/syscall_64.tbl": """
# comment
0\tcommon\tread\tsys_read
4\tcommon\tstat\tsys_newstat
9\tcommon\tmmap\tsys_mmap
15\t64\trt_sigreturn\tsys_rt_sigreturn
16\t64\tioctl\tsys_ioctl
134\tcommon\tuselib
212\tcommon\tlookup_dcookie\tsys_lookup_dcookie
514\tx32\tioctl\tcompat_sys_ioctl
""",
    "arch/x86/entry/syscalls/syscall_32.tbl": """
3 i386 read sys_read
90 i386 mmap sys_old_mmap compat_sys_ia32_mmap
194 i386 ftruncate64 sys_ftruncate64 compat_sys_ia32_ftruncate64
""",
    "arch/mips/kernel/syscalls/syscall_o32.tbl": "3 o32 read sys_read\n"
    "21 o32 unused21 sys_ni_syscall\n",
    "arch/arm/tools/syscall.tbl": "336 common ppoll sys_ppoll_time32\n",
    "arch/arm/include/uapi/asm/unistd.h": "#define __ARM_NR_set_tls (__ARM_NR_BASE+5)\n",
    "arch/riscv/include/uapi/asm/unistd.h": """
#if defined(__LP64__)
#define __ARCH_WANT_NEW_STAT
#endif
#include <asm-generic/unistd.h>
#define __NR_riscv_flush_icache (__NR_arch_specific_syscall + 15)
__SYSCALL(__NR_riscv_flush_icache, sys_riscv_flush_icache)
""",
    "include/uapi/asm-generic/unistd.h": """
#ifndef __SYSCALL
#define __SYSCALL(x, y)
#endif
#if __BITS_PER_LONG == 32
#define __SC_3264(_nr, _32, _64) __SYSCALL(_nr, _32)
#else
#define __SC_3264(_nr, _32, _64) __SYSCALL(_nr, _64)
#endif
#define __NR_read 63
__SYSCALL(__NR_read, sys_read)
#if defined(__ARCH_WANT_NEW_STAT)
#define __NR3264_fstat 80
__SC_3264(__NR3264_fstat, sys_fstat64, sys_newfstat)
#endif
#define __NR3264_mmap 222
__SC_3264(__NR3264_mmap, sys_mmap2, sys_mmap)
#define __NR_arch_specific_syscall 244
#if __BITS_PER_LONG == 64
#define __NR_fstat __NR3264_fstat
#define __NR_mmap __NR3264_mmap
#else
#define __NR_mmap2 __NR3264_mmap
#endif
""",
    "arch/riscv/kernel/sys_riscv.c": """
static long riscv_sys_mmap(unsigned long addr)
{
	return ksys_mmap_pgoff(addr);
}
SYSCALL_DEFINE6(mmap, unsigned long, addr)
{
	return riscv_sys_mmap(addr);
}
SYSCALL_DEFINE3(riscv_flush_icache, uintptr_t, start)
{
	return 0;
}
""",
    "arch/x86/kernel/sys_x86_64.c": """
SYSCALL_DEFINE6(mmap, unsigned long, addr)
{
	return ksys_mmap_pgoff(addr, off >> PAGE_SHIFT);
}
""",
    "arch/x86/kernel/signal_64.c": "SYSCALL_DEFINE0(rt_sigreturn)\n{\n}\n",
    "arch/um/kernel/syscall.c": "SYSCALL_DEFINE3(read, unsigned int, fd)\n{\n}\n",
    "fs/read_write.c": "SYSCALL_DEFINE3(read, unsigned int, fd)\n{\n}\n",
    "fs/ioctl.c": "SYSCALL_DEFINE3(ioctl, a)\n{\n}\nCOMPAT_SYSCALL_DEFINE3(ioctl, a)\n{\n}\n",
    "fs/stat.c": "SYSCALL_DEFINE2(newstat, a)\n{\n}\nSYSCALL_DEFINE2(newfstat, a)\n{\n}\n",
    "fs/open.c": "SYSCALL_DEFINE2(ftruncate64, a)\n{\n}\n",
    "fs/select.c": "SYSCALL_DEFINE5(ppoll_time32, a)\n{\n}\n",
    "mm/mmap.c": "unsigned long ksys_mmap_pgoff(unsigned long addr)\n{\n}\n"
    "SYSCALL_DEFINE1(old_mmap, a)\n{\n}\n",
    "mm/nommu.c": "unsigned long ksys_mmap_pgoff(unsigned long addr)\n{\n}\n",
    "kernel/sys_ni.c": "COND_SYSCALL(lookup_dcookie);\n"
    "asmlinkage long sys_ni_syscall(void)\n{\n}\n",
}


def collect(tree: dict[str, str]) -> dict[tuple[str, int], SyscallRow]:
    rules = Syscalls()
    for path, text in tree.items():
        if rules.wants(path):
            facts = rules.scan(path, text.encode())
            if facts is not None:
                rules.take(path, facts)
    return {(row.abi, row.nr): row for row in rules.rows()}


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int], SyscallRow]:
    return collect(TREE)


def test_a_call_has_the_file_that_defines_its_entry(rows):
    assert rows["x86_64", 0].file == "fs/read_write.c"
    assert rows["x86_64", 4][2:4] == ("stat", "sys_newstat")
    assert rows["x86_64", 4].file == "fs/stat.c"
    assert rows["arm", 336][2] == "ppoll"


def test_a_forwarder_stays_where_it_is_and_takes_the_area_of_what_it_calls(rows):
    mmap = rows["x86_64", 9]
    assert (mmap.file, mmap.area_file) == ("arch/x86/kernel/sys_x86_64.c", "mm/mmap.c")
    assert mmap.how == "syscall-define+forwards"
    assert rows["riscv64", 222].area_file == "mm/mmap.c", "through a helper of the architecture"
    assert rows["x86_64", 15].area_file == "kernel/signal.c"
    assert rows["riscv64", 259].area_file is None, "flushing a cache is the architecture's own work"


def test_numbers_have_the_offset_they_are_recorded_with(rows):
    assert rows["x32", 0x40000000 + 514].entry == "compat_sys_ioctl"
    assert ("x32", 0x40000000 + 16) not in rows
    assert rows["mips_o32", 4003].name == "read"
    assert rows["arm", 0x0F0005].name == "set_tls"


def test_what_only_sys_ni_answers_is_not_implemented(rows):
    assert not rows["x86_64", 134].implemented
    assert not rows["x86_64", 212].implemented
    assert not rows["mips_o32", 4021].implemented
    assert rows["x86_64", 212].file is None
    assert rows["riscv32", 222].implemented, "an entry nobody defines is unmapped, not missing"
    assert rows["riscv32", 222].how == "unmapped"


def test_the_generic_header_gives_each_word_size_its_calls(rows):
    assert rows["riscv64", 80][2:4] == ("fstat", "sys_newfstat")
    assert ("riscv32", 80) not in rows
    assert rows["riscv32", 222].name == "mmap2"
    assert rows["riscv64", 259].name == "riscv_flush_icache"


def test_the_shared_table_of_newer_trees_gives_each_architecture_its_words():
    rows = collect(
        {
            "scripts/syscall.tbl": "4 time32 io_getevents sys_io_getevents_time32\n"
            "4 64 io_getevents sys_io_getevents\n"
            "84 common sync_file_range sys_sync_file_range\n"
            "447 memfd_secret memfd_secret sys_memfd_secret\n",
            "arch/arm64/kernel/Makefile.syscalls": "syscall_abis_64 += rlimit memfd_secret # x\n",
            "arch/csky/kernel/Makefile.syscalls": "syscall_abis_32 += csky time32\n",
            "arch/csky/include/uapi/asm/unistd.h": "#include <asm/unistd_32.h>\n"
            "#define __NR_sync_file_range2 84\n#undef __NR_sync_file_range\n",
            "arch/loongarch/kernel/Makefile.syscalls": "syscall_abis_64 +=\n",
        }
    )
    assert rows["arm64", 4].entry == "sys_io_getevents"
    assert rows["csky", 4].entry == "sys_io_getevents_time32"
    assert rows["csky", 84].name == "sync_file_range2"
    assert ("arm64", 447) in rows
    assert ("loongarch64", 447) not in rows
    assert not [key for key in rows if key[0] == "loongarch32"]


def test_an_old_tree_with_nothing_but_numbers_still_has_them():
    rows = collect(
        {
            "arch/sh/include/uapi/asm/unistd.h": "#include <asm/unistd_32.h>\n",
            "arch/sh/include/uapi/asm/unistd_32.h": "#define __NR_read 3\n#define __NR_stat 4\n"
            "#define __NR_afs_syscall 5\n#define __NR_syscalls 6\n",
            "arch/mips/include/uapi/asm/unistd.h": "#if _MIPS_SIM == _MIPS_SIM_ABI32\n"
            "#define __NR_Linux 4000\n#define __NR_read (__NR_Linux + 3)\n#endif\n"
            "#if _MIPS_SIM == _MIPS_SIM_ABI64\n"
            "#define __NR_Linux 5000\n#define __NR_read (__NR_Linux + 0)\n#endif\n",
            "arch/riscv/include/asm/unistd.h": "#include <uapi/asm/unistd.h>\n"
            "#include <uapi/asm/syscalls.h>\n",
            "arch/riscv/include/uapi/asm/syscalls.h": "#define __NR_flush 259\n"
            "__SYSCALL(__NR_flush, sys_read)\n",
            "include/uapi/asm-generic/unistd.h": TREE["include/uapi/asm-generic/unistd.h"],
            "fs/read_write.c": TREE["fs/read_write.c"],
            "fs/stat.c": TREE["fs/stat.c"],
        }
    )
    assert rows["sh", 3].file == "fs/read_write.c"
    assert rows["sh", 3].how == "syscall-define+by-name"
    assert rows["sh", 4].entry == "sys_newstat"
    assert (rows["sh", 5].implemented, rows["sh", 5].how) == (False, "number-only")
    assert {key for key in rows if key[0].startswith("mips")} == {
        ("mips_o32", 4003),
        ("mips_n64", 5000),
    }
    assert rows["riscv64", 259].file == "fs/read_write.c"
    assert rows["riscv64", 63].name == "read", "its own header is generated from the generic one"
