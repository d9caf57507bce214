"""Syscalls an ABI lacks relative to i386, as scripts/checksyscalls.sh warns about.

The list of calls it ignores (legacy, 32-bit only, ...) is taken from that script of the same
tree, with its conditions; whatever ``__IGNORE_`` the architecture's asm/unistd.h adds counts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.cpp import Preprocessor
from kfoot.atlas.build.syscalls import Syscalls
from kfoot.atlas.build.syscalltables import ABIS, Abi
from kfoot.atlas.schema import Row

_SCRIPT = "scripts/checksyscalls.sh"
_HEADER = re.compile(r"arch/\w+/include/(?:uapi/)?asm/unistd(?:_\w+)?\.h")
_X86 = {"x86_64": "CONFIG_X86_64", "x32": "CONFIG_X86_64", "i386": "CONFIG_X86_32"}
_MIPS = {"mips_o32": 1, "mips_n32": 2, "mips_n64": 3}
"""_MIPS_SIM of each (asm/sgidefs.h)."""


class MissingSyscallsBuilder(Builder):
    """Gives ``missing_syscalls``, with the ABI's name as its architecture."""

    name = "missing"
    needs = ("syscalls",)

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def wants(self, path: str) -> bool:
        return path == _SCRIPT or bool(_HEADER.fullmatch(path))

    def scan(self, path: str, data: bytes) -> Any:
        return data.decode("utf-8", "replace")

    def take(self, path: str, facts: Any) -> None:
        self._texts[path] = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        syscalls = cast(Syscalls, context.built.get("syscalls"))
        ignored = re.search(r"<<\s*EOF\n(.*?)^EOF$", self._texts.get(_SCRIPT, ""), re.M | re.S)
        if syscalls is None or ignored is None:
            context.notes.append("missing_syscalls: the source has no list to compare with")
            return {}
        tables = {abi: {entry.name for entry in syscalls.tables.table(abi)} for abi in ABIS}
        i386 = next(names for abi, names in tables.items() if abi.name == "i386")
        rows: list[Row] = []
        for abi, names in tables.items():
            if names and (not context.architectures or abi.arch in context.architectures):
                missing = i386 - names - self._known(abi, names, ignored[1])
                rows += [(abi.name, name) for name in missing]
        return {"missing_syscalls": rows}

    def _known(self, abi: Abi, names: set[str], script: str) -> set[str]:
        """Calls the script ignores, and those the headers give another name's number."""

        def include(name: str) -> str | None:
            if not name.endswith(("asm/unistd.h",)) or name.startswith("asm-generic"):
                return None
            folder = f"arch/{abi.arch}/include/"
            own = None if name.startswith("uapi/") else self._texts.get(f"{folder}{name}")
            return own or self._texts.get(f"{folder}uapi/{name.removeprefix('uapi/')}")

        cpp = Preprocessor(include=include)
        for name in ("__KERNEL__", "CONFIG_MMU"):
            cpp.define(name)
        cpp.define("BITS_PER_LONG", str(abi.bits))
        cpp.define("__BITS_PER_LONG", str(abi.bits))
        if abi.bits == 64:
            cpp.define("CONFIG_64BIT")
            cpp.define("__LP64__")
            cpp.define("__arch64__")
        if abi.name in _X86:
            cpp.define(_X86[abi.name])
        if abi.name in _MIPS:
            for word, number in (("ABI32", 1), ("NABI32", 2), ("ABI64", 3)):
                cpp.define(f"_MIPS_SIM_{word}", str(number))
            cpp.define("_MIPS_SIM", str(_MIPS[abi.name]))
        for name in names:
            cpp.define(f"__NR_{name}")
        for _ in cpp.run(script):
            pass
        found = (re.fullmatch(r"__(?:IGNORE|NR)_(\w+)", macro) for macro in cpp.macros)
        return {name[1] for name in found if name}
