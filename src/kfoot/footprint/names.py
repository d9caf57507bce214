"""Names for what a recorder wrote as a number, and places for both, cached.

The ABI decides the number: a number is only named by the table of the ABI the trace itself, the
capture's manifest or the user gave. Where none is known, a *name* still has a place (the sources
define ``read`` once for all architectures), and a bare number stays unmapped.
"""

from __future__ import annotations

from typing import NamedTuple

from kfoot.atlas.model import NOWHERE, Atlas, Place
from kfoot.readers.reading import CallKey, Reading, Step

ABI_OF_MACHINE = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "i386": "i386",
    "i686": "i386",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "armhf": "arm",
    "arm": "arm",
    "riscv64": "riscv64",
    "ppc64le": "powerpc64",
    "ppc64": "powerpc64",
    "s390x": "s390x",
    "mips": "mips_o32",
    "mips64": "mips_n64",
    "loongarch64": "loongarch64",
}
"""``uname -m`` and Debian architecture names to the atlas' ABI names."""

_ELSEWHERE = ("x86_64", "i386", "arm64", "arm", "riscv64", "powerpc64", "s390x", "mips_o32")
"""Tables a name is looked for in when the ABI is unknown, or does not list it."""


class Call(NamedTuple):
    """A system call with its name and place."""

    abi: str | None
    nr: int | None
    name: str
    place: Place


class Names:
    """Looks calls up in one atlas, for one capture's ABI (None: not known)."""

    def __init__(self, atlas: Atlas, abi: str | None):
        self.atlas = atlas
        self.abi = abi
        self._known: dict[tuple[str | None, int | None, str | None], Call] = {}

    def abi_of(self, key: CallKey | Step, reading: Reading) -> str | None:
        """The ABI of a call: the trace's own word, else the raw file's machine, else the
        capture's."""
        return key.abi or self.abi_of_machine(reading)

    def abi_of_machine(self, reading: Reading) -> str | None:
        """The native ABI of the machine a raw file was made on."""
        arch = reading.facts.arch
        return ABI_OF_MACHINE.get(arch, arch) if arch else self.abi

    def syscall(self, key: CallKey | Step, reading: Reading) -> Call:
        """Name, number and place of a call."""
        abi = self.abi_of(key, reading)
        known = (abi, key.nr, key.name)
        if known not in self._known:
            self._known[known] = self._find(*known)
        return self._known[known]

    def _find(self, abi: str | None, nr: int | None, name: str | None) -> Call:
        if abi is not None:
            for handle in (nr, *_spellings(name)):
                row = self.atlas.syscall(abi, handle) if handle is not None else None
                if row is not None:
                    return Call(abi, row.nr, name or row.name, row.place)
        for spelling in _spellings(name):
            for other in _ELSEWHERE:
                row = self.atlas.syscall(other, spelling)
                if row is not None and row.place.file is not None:
                    return Call(abi, nr, name or row.name, row.place)
        return Call(abi, nr, name or f"syscall_{nr}", NOWHERE)


def _spellings(name: str | None) -> tuple[str, ...]:
    """A name as strace writes it, then as the kernel's tables may have it: strace says
    ``old_mmap`` and ``oldselect`` where the tables say ``mmap`` and ``select``."""
    if name is None:
        return ()
    if name.startswith("old_"):
        return (name, name[4:])
    return (name, name[3:]) if name.startswith("old") else (name,)
