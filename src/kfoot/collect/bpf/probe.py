"""What the running kernel allows of what the programs need."""

from __future__ import annotations

import os
from pathlib import Path

from kfoot.collect.base import Ability
from kfoot.collect.bpf import libbpf
from kfoot.collect.bpf.layout import MACHINES

BTF = Path("/sys/kernel/btf/vmlinux")


def ability() -> Ability:
    """Whether bpf can be used at all, by the cheapest things that forbid it; which programs the
    kernel takes is found out when they are loaded."""
    machine = os.uname().machine
    if machine not in MACHINES:
        return Ability(False, f"no programs for {machine} are shipped")
    try:
        library = libbpf.Library()
    except OSError:
        return Ability(False, f"{libbpf.LIBRARY} is not installed", libbpf.MEND)
    version = f"libbpf {library.version}"
    if os.geteuid() != 0:
        return Ability(False, "bpf(2) needs root", "run kfoot as root", version)
    return Ability(True, version=version)


def object_file(program: str, arch: str) -> Path:
    """The shipped object of a program ("detail") for an architecture."""
    return Path(__file__).with_name(f"{program}.{arch}.bpf.o")
