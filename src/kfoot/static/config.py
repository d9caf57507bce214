"""A kernel's configuration, and whether it builds what a Makefile lists under some options."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kfoot.footprint.system import parse_config

_TITLE = re.compile(r"^# Linux/(\S+) (\d+\.\d+\S*) Kernel Configuration", re.M)
_MACHINES = {
    # The option that tells the machine, as uname -m says it.
    "CONFIG_X86_64": "x86_64",
    "CONFIG_X86_32": "i686",
    "CONFIG_ARM64": "aarch64",
    "CONFIG_ARM": "armv7l",
    "CONFIG_ARCH_RV64I": "riscv64",
    "CONFIG_ARCH_RV32I": "riscv32",
    "CONFIG_PPC64": "ppc64le",
    "CONFIG_PPC32": "ppc",
    "CONFIG_S390": "s390x",
    "CONFIG_LOONGARCH": "loongarch64",
    "CONFIG_SPARC64": "sparc64",
    "CONFIG_M68K": "m68k",
    "CONFIG_ALPHA": "alpha",
    "CONFIG_XTENSA": "xtensa",
}


class KernelConfig:
    """Options and values; an option the file does not mention is "n" (its depends are not met)."""

    def __init__(self, text: str, source: str):
        self.source = source
        self.values = parse_config(text)
        title = _TITLE.search(text)
        self.release = title[2] if title else None
        """Of the kernel the file was made for, by its first lines."""

    def machine(self) -> str | None:
        """The machine it is for, as uname -m says it."""
        for option, machine in _MACHINES.items():
            if self.values.get(option) == "y":
                return machine
        if self.values.get("CONFIG_MIPS") == "y":
            return "mips64" if self.values.get("CONFIG_64BIT") == "y" else "mips"
        if self.values.get("CONFIG_PARISC") == "y":
            return "parisc64" if self.values.get("CONFIG_64BIT") == "y" else "parisc"
        return None

    def value(self, option: str) -> str:
        """y, m, n or the literal."""
        return self.values.get(option, "n")

    def is_set(self, option: str) -> bool:
        return self.value(option) in ("y", "m")

    def builds(self, conditions: Iterable[str]) -> str:
        """How something under these options ("!" before one that must not be set) is built: y
        into the kernel, m as a module, n not at all."""
        result = "y"
        for option in conditions:
            if option.startswith("!"):
                if self.is_set(option[1:]):
                    return "n"
            elif self.value(option) == "m":
                result = "m"
            elif self.value(option) != "y":
                return "n"
        return result
