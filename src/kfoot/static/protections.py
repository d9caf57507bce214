"""Options that protect the kernel and what runs on it, and what this kernel has of them.

The list follows the protections ELISA's Linux Features group looks at (memory layout, overflow
checks, access control, integrity) and the kernel's own self-protection document. It judges
nothing: ``wanted`` is the value that turns the protection on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfoot.atlas.lookup import AtlasView
from kfoot.static.config import KernelConfig


class Protection(NamedTuple):
    group: str
    what: str
    options: tuple[str, ...]
    """Any of these turns it on (newer and older names)."""
    wanted: str = "y"
    only: tuple[str, ...] = ()
    """Machines that have it; empty is all."""


_X86 = ("x86_64", "i686")
_X86_64 = ("x86_64",)
_ARM64 = ("aarch64",)

PROTECTIONS = (
    Protection("layout", "kernel address space layout randomization", ("RANDOMIZE_BASE",)),
    Protection("layout", "randomized kernel memory regions", ("RANDOMIZE_MEMORY",), only=_X86_64),
    Protection(
        "layout",
        "kernel stack offset randomized at each system call",
        ("RANDOMIZE_KSTACK_OFFSET_DEFAULT",),
    ),
    Protection(
        "layout", "randomized structure layout", ("RANDSTRUCT_FULL", "GCC_PLUGIN_RANDSTRUCT")
    ),
    Protection("layout", "process layout randomization for brk", ("COMPAT_BRK",), "n"),
    Protection(
        "memory", "kernel text and data not writable and executable", ("STRICT_KERNEL_RWX",)
    ),
    Protection(
        "memory", "module text and data not writable and executable", ("STRICT_MODULE_RWX",)
    ),
    Protection("memory", "warning about writable and executable pages", ("DEBUG_WX",)),
    Protection("memory", "stacks in virtual memory with guard pages", ("VMAP_STACK",)),
    Protection("memory", "bounds checks on copies to and from user", ("HARDENED_USERCOPY",)),
    Protection("memory", "heap memory cleared when allocated", ("INIT_ON_ALLOC_DEFAULT_ON",)),
    Protection("memory", "heap memory cleared when freed", ("INIT_ON_FREE_DEFAULT_ON",)),
    Protection("memory", "stack variables initialized", ("INIT_STACK_ALL_ZERO", "INIT_STACK_ALL")),
    Protection("memory", "shuffled slab free lists", ("SLAB_FREELIST_RANDOM",)),
    Protection("memory", "hardened slab free lists", ("SLAB_FREELIST_HARDENED",)),
    Protection("memory", "shuffled page allocator", ("SHUFFLE_PAGE_ALLOCATOR",)),
    Protection("memory", "no access to all of memory through /dev/mem", ("STRICT_DEVMEM",)),
    Protection("memory", "no raw port access (/dev/port)", ("DEVPORT",), "n"),
    Protection(
        "isolation",
        "kernel page tables apart from the process's",
        ("MITIGATION_PAGE_TABLE_ISOLATION", "PAGE_TABLE_ISOLATION", "UNMAP_KERNEL_AT_EL0"),
        only=(*_X86, *_ARM64),
    ),
    Protection("isolation", "retpolines", ("MITIGATION_RETPOLINE", "RETPOLINE"), only=_X86),
    Protection(
        "isolation",
        "no access to user memory by accident",
        ("ARM64_SW_TTBR0_PAN", "ARM64_PAN", "CPU_SW_DOMAIN_PAN", "X86_SMAP"),
        only=("armv7l", *_ARM64),
    ),
    Protection("isolation", "IOMMU on by default", ("IOMMU_DEFAULT_DMA_STRICT",)),
    Protection("flow", "stack protector", ("STACKPROTECTOR", "CC_STACKPROTECTOR")),
    Protection(
        "flow",
        "stack protector in most functions",
        ("STACKPROTECTOR_STRONG", "CC_STACKPROTECTOR_STRONG"),
    ),
    Protection("flow", "buffer overflow checks at compile time and run time", ("FORTIFY_SOURCE",)),
    Protection("flow", "control flow integrity of indirect calls", ("CFI", "CFI_CLANG")),
    Protection("flow", "shadow call stack", ("SHADOW_CALL_STACK",), only=("aarch64", "riscv64")),
    Protection("flow", "indirect branch tracking", ("X86_KERNEL_IBT",), only=_X86_64),
    Protection("flow", "pointer authentication", ("ARM64_PTR_AUTH_KERNEL",), only=_ARM64),
    Protection("flow", "branch target identification", ("ARM64_BTI_KERNEL",), only=_ARM64),
    Protection("flow", "undefined behaviour: array bounds", ("UBSAN_BOUNDS",)),
    Protection("flow", "panic when the kernel oopses", ("PANIC_ON_OOPS",)),
    Protection("flow", "check that lists are not corrupted", ("LIST_HARDENED", "DEBUG_LIST")),
    Protection("flow", "check scheduler stack end", ("SCHED_STACK_END_CHECK",)),
    Protection("detection", "sampled memory error detector", ("KFENCE",)),
    Protection("detection", "memory error detector", ("KASAN",)),
    Protection("detection", "data race detector", ("KCSAN",)),
    Protection("detection", "lock validator", ("PROVE_LOCKING",)),
    Protection("detection", "soft lockup detector", ("SOFTLOCKUP_DETECTOR",)),
    Protection("detection", "hung task detector", ("DETECT_HUNG_TASK",)),
    Protection("access", "system call filters", ("SECCOMP_FILTER",)),
    Protection("access", "lockdown", ("SECURITY_LOCKDOWN_LSM",)),
    Protection("access", "ptrace restrictions", ("SECURITY_YAMA",)),
    Protection("access", "Landlock", ("SECURITY_LANDLOCK",)),
    Protection("access", "SELinux", ("SECURITY_SELINUX",)),
    Protection("access", "AppArmor", ("SECURITY_APPARMOR",)),
    Protection("access", "kernel log for administrators only", ("SECURITY_DMESG_RESTRICT",)),
    Protection("access", "no BPF for users", ("BPF_UNPRIV_DEFAULT_OFF",)),
    Protection("access", "user namespaces", ("USER_NS",), "n"),
    Protection("access", "kexec of another kernel", ("KEXEC",), "n"),
    Protection("access", "hibernation image", ("HIBERNATION",), "n"),
    Protection("access", "kernel memory through /proc/kcore", ("PROC_KCORE",), "n"),
    Protection("integrity", "signed modules", ("MODULE_SIG",)),
    Protection("integrity", "unsigned modules refused", ("MODULE_SIG_FORCE",)),
    Protection("integrity", "loadable modules", ("MODULES",), "n"),
    Protection("integrity", "integrity measurement", ("IMA",)),
    Protection("integrity", "verified read-only block devices", ("DM_VERITY",)),
    Protection("integrity", "verified files", ("FS_VERITY",)),
)

SYSCTLS = {
    # Settings of the running system that go with them (Documentation/admin-guide/sysctl).
    "kernel.randomize_va_space": "2",
    "kernel.kptr_restrict": "1",
    "kernel.dmesg_restrict": "1",
    "kernel.unprivileged_bpf_disabled": "1",
    "kernel.yama.ptrace_scope": "1",
    "kernel.modules_disabled": "1",
    "kernel.kexec_load_disabled": "1",
    "kernel.perf_event_paranoid": "2",
    "vm.mmap_min_addr": "4096",
    "fs.protected_symlinks": "1",
    "fs.protected_hardlinks": "1",
    "fs.suid_dumpable": "0",
}
"""Name and the least value that protects (fs.suid_dumpable: the value)."""


def protections(
    config: KernelConfig | None, machine: str | None, atlas: AtlasView
) -> list[dict[str, Any]]:
    """One row a protection: group, what, option, value, wanted, on.

    ``on`` is None when no configuration is known, or when neither the configuration nor the atlas
    knows any of the options (this kernel or this architecture does not have it).
    """
    rows = []
    for entry in PROTECTIONS:
        if entry.only and machine is not None and machine not in entry.only:
            continue
        names = [f"CONFIG_{name}" for name in entry.options]
        known = [name for name in names if _known(name, config, atlas)]
        option = next((n for n in known if config and config.is_set(n)), (known or names)[0])
        value = config.value(option) if config and known else None
        rows.append(
            {
                "group": entry.group,
                "what": entry.what,
                "option": option,
                "value": value,
                "wanted": entry.wanted,
                "on": None if value is None else (value in ("y", "m")) == (entry.wanted == "y"),
            }
        )
    return rows


def _known(name: str, config: KernelConfig | None, atlas: AtlasView) -> bool:
    return (config is not None and name in config.values) or atlas.config(name) is not None


def settings(sysctl: Mapping[str, str]) -> list[dict[str, Any]]:
    """The running system's settings: name, value (None: not there), wanted."""
    return [
        {"name": name, "value": sysctl.get(name), "wanted": wanted}
        for name, wanted in SYSCTLS.items()
    ]
