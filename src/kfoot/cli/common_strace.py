"""System calls as the bpf collector records them, printed live in strace's notation.

Descriptors are decorated as ``strace -yy`` does; flags stay numbers (``strace -X raw``), buffers
and structures addresses: their contents are not recorded.
"""

from __future__ import annotations

import os
from typing import TextIO

from kfoot.atlas.model import Atlas
from kfoot.cli.common_arity import ARITY
from kfoot.collect.bpf.roles import rows
from kfoot.readers import bpf_records as raw
from kfoot.readers.bpf_build import Build
from kfoot.readers.bpf_records import Call, Flag, Kind
from kfoot.readers.errnos import errno_name
from kfoot.readers.reading import Object, Reading

_AT_FDCWD = 0xFFFFFF9C
_LETTERS = {
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\v": "\\v",
    "\f": "\\f",
    '"': '\\"',
    "\\": "\\\\",
}


class Printer:
    """Writes one line a call to ``out``; feed ``heard`` with pieces of the ring."""

    def __init__(self, out: TextIO, atlas: Atlas, abis: tuple[str | None, ...], machine: str):
        self._out = out
        self._atlas = atlas
        self._abis = abis
        self._build = Build(Reading("bpf", "live"), list(abis), machine, 0)
        self._machine = machine
        self._shapes: dict[int, Call] = {}
        self._programs: dict[int, str] = {}
        self._roles = {
            abi: {number: roles.split() for number, _, roles in rows(abi)} for abi in abis if abi
        }

    def heard(self, piece: memoryview) -> None:
        """A piece of the ring buffer, as ring.Heard."""
        for record in raw.pieces(bytes(piece)):
            self._build.take(record)
            line = self._line(record)
            if line is not None:
                self._out.write(line + "\n")
        self._out.flush()

    def _line(self, record: Call | raw.Step) -> str | None:
        if isinstance(record, raw.Step):
            shape = self._shapes.get(record.shape)
            if shape is None:
                return None
            return self._call(shape, record, record.args or shape.args)
        if record.kind == Kind.CALL:
            if record.shape != raw.NONE:
                self._shapes[record.shape] = record
            return self._call(record, record, record.args)
        if record.kind == Kind.EXEC:
            words = record.path2.decode("utf-8", "surrogateescape").split("\0")[:-1]
            argv = ", ".join(quote(word) for word in words)
            self._programs[record.other] = f"{quote(record.path or '')}, [{argv}]"
        elif record.kind == Kind.EXIT and record.tid == record.pid:
            code = record.other
            how = f"killed by signal {code & 0x7F}" if code & 0x7F else f"exited with {code >> 8}"
            return f"[pid {record.pid}] +++ {how} +++"
        return None

    def _call(self, shape: Call, record: Call | raw.Step, args: tuple[int, ...]) -> str:
        abi = self._abis[shape.abi] if shape.abi < len(self._abis) else None
        known = self._atlas.syscall(abi, shape.nr) if abi else None
        name = known.name if known else f"syscall_{shape.nr:#x}"
        if shape.flags & Flag.EXECUTED:
            image = record.image
            words = [self._programs.get(image, "?"), f"{args[2]:#x}"]
        else:
            words = self._arguments(shape, args, abi, ARITY.get(name, 6))
        took = "" if record.flags & Flag.NO_LATENCY else f" <{record.latency / 1e9:.6f}>"
        return (
            f"[pid {record.tid}] {name}({', '.join(words)}) = {self._result(shape, record)}{took}"
        )

    def _arguments(
        self, shape: Call, args: tuple[int, ...], abi: str | None, count: int
    ) -> list[str]:
        words = [f"{value:#x}" if value > 9 else str(value) for value in args[:count]]
        paths = [shape.path, shape.path2.rstrip(b"\0").decode("utf-8", "surrogateescape")]
        fds = [
            (shape.object if not shape.flags & Flag.RESULT else None, shape.name),
            (shape.second, shape.name2),
        ]
        for role in self._roles.get(abi or "", {}).get(shape.nr, ()):
            if not role[-1].isdigit():
                continue
            at = int(role[-1]) - 1
            if at >= count:
                continue
            if role.startswith("path") and paths:
                path = paths.pop(0)
                if path is not None and args[at]:
                    words[at] = quote(path)
            elif role.startswith(("fd", "at")) and fds:
                seen, walked = fds.pop(0)
                words[at] = self._descriptor(args[at], seen, walked, shape)
        return words

    def _descriptor(
        self, value: int, seen: raw.Seen | None, walked: str | None, shape: Call
    ) -> str:
        number = value & 0xFFFFFFFF
        if number == _AT_FDCWD:
            return f"AT_FDCWD<{escape(shape.cwd)}>" if shape.cwd else "AT_FDCWD"
        text = str(number if number < 1 << 31 else number - (1 << 32))
        if seen is None or not (seen.present or seen.id):
            return text
        return text + decoration(self._build.seen(seen, walked, shape.sockaddr, shape.flags))

    def _result(self, shape: Call, record: Call | raw.Step) -> str:
        if record.flags & Flag.NEVER:
            return "?"
        if shape.error:
            text = os.strerror(shape.error) if shape.error < 512 else "restarted"
            return f"-1 {errno_name(shape.error, self._machine)} ({text})"
        result = record.result
        text = f"{result:#x}" if result > 1 << 31 else str(result)
        if shape.flags & Flag.RESULT:
            text += decoration(self._build.seen(shape.object, shape.name, b"", 0))
        return text


def decoration(found: Object) -> str:
    """What strace -yy puts behind a descriptor."""
    name = escape(found.name)
    if found.kind == "socket":
        return f"<{found.protocol or found.family or 'socket'}:[{name}]>"
    if found.device is not None:
        major, minor = found.device
        return f"<{name}<{found.kind} {major}:{minor}>>"
    return f"<{name or found.fstype or found.kind}>"


def quote(text: str) -> str:
    """A string as strace prints it."""
    return f'"{escape(text)}"'


def escape(text: str) -> str:
    """Nothing that a terminal could take for a command."""
    return "".join(_escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in _LETTERS:
        return _LETTERS[char]
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
