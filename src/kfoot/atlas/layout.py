"""The bytes of an atlas file: buffers in the Arrow memory layout behind a JSON header.

``KFATLAS1``, the header's length (8 bytes, little endian), the header, then buffers, each aligned
to 64 bytes. A buffer is named in the header as ``[offset, bytes, type]`` with a struct type code
(B, H, I, Q, b, h, i, q; s for text); offsets count from the first aligned byte after the header.
Buffers of a packed table lie in one zstd frame and count from its start. ``+B`` marks a rising
array kept as differences of one byte, with every 256th value in full in the buffer named behind.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from mmap import mmap
from typing import Any

MAGIC = b"KFATLAS1"
ALIGN = 64
LONG = 1 << 17
"""Arrays of differences with fewer values are added up when opened."""
BLOCK = 256
"""Differences between two values kept in full."""
TYPES = "BHIQ"
"""Unsigned types, narrowest first."""
_LIMITS = {"B": 1 << 8, "H": 1 << 16, "I": 1 << 32, "Q": 1 << 64}
SIZES = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4, "i": 4, "Q": 8, "q": 8, "s": 1}

Where = list[Any]
"""``[offset, bytes, type]`` of a buffer."""


class Heap:
    """Buffers being laid out one behind the other."""

    def __init__(self, *, packed: bool = False):
        self.parts: list[bytes] = []
        self.size = 0
        self.packed = packed

    def add(self, data: bytes, kind: str) -> Where:
        gap = -self.size % ALIGN
        where = [self.size + gap, len(data), kind]
        self.parts += [bytes(gap), data]
        self.size += gap + len(data)
        return where

    def text(self, data: bytes) -> Where:
        return self.add(data, "s")

    def rising(self, values: Sequence[int]) -> Where:
        """An array that never falls, as 32-bit values; as differences when packed."""
        if self.packed and values:
            steps = [values[0], *(b - a for a, b in pairwise(values))]
            if max(steps) < 256:
                where = self.add(bytes(steps), "+B")
                return [*where, self.add(array("I", values[::BLOCK]).tobytes(), "I")]
        return self.add(array("I", values).tobytes(), "I")

    def numbers(self, values: Sequence[int]) -> Where:
        """In the narrowest type that holds them all."""
        low, high = min(values, default=0), max(values, default=0)
        kind = next(t for t in TYPES if max(high, -low - 1) < _LIMITS[t] >> (low < 0))
        if low < 0:
            kind = kind.lower()
        return self.add(array(kind, values).tobytes(), kind)

    def bits(self, flags: Iterable[bool]) -> Where:
        """An Arrow validity bitmap."""
        out = bytearray()
        for index, flag in enumerate(flags):
            if index % 8 == 0:
                out.append(0)
            out[-1] |= flag << (index % 8)
        return self.add(bytes(out), "B")

    def bytes(self) -> bytes:
        return b"".join(self.parts)


def assemble(header: dict[str, Any], heap: Heap) -> bytes:
    """The whole file. ``header["size"]`` is set to the bytes behind the header."""
    header["size"] = heap.size
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    head = MAGIC + len(text).to_bytes(8, "little") + text
    return head + bytes(-len(head) % ALIGN) + heap.bytes()


def dissect(data: bytes | mmap) -> tuple[dict[str, Any], memoryview]:
    """Header and buffers of a file. Raises ValueError saying what is wrong."""
    view = memoryview(data)
    if bytes(view[:8]) != MAGIC:
        raise ValueError("does not begin as an atlas does")
    end = 16 + int.from_bytes(view[8:16], "little")
    if end > len(view):
        raise ValueError(f"ends inside its header, at byte {len(view)} of {end}")
    header = json.loads(bytes(view[16:end]))
    if not isinstance(header, dict) or not isinstance(header.get("size"), int):
        raise ValueError("has a broken header")
    start = end + -end % ALIGN
    if len(view) != start + header["size"]:
        raise ValueError(f"has {len(view)} bytes instead of {start + header['size']}")
    return header, view[start:]


class Rising(Sequence[int]):
    """A rising array kept as differences: a value is its block's first and a short sum."""

    def __init__(self, steps: memoryview, firsts: memoryview):
        self.steps = steps
        self.firsts = firsts
        if len(firsts) != -(-len(steps) // BLOCK):
            raise ValueError("has differences without their block's first value")

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self.steps):
            raise IndexError(index)
        block = index // BLOCK
        return self.firsts[block] + sum(self.steps[block * BLOCK + 1 : index + 1])

    def whole(self) -> memoryview:
        """All values, as 32-bit numbers."""
        return memoryview(array("I", accumulate(self.steps)))


def piece(data: memoryview, where: Where) -> memoryview | Rising:
    """A buffer as a typed view. Raises ValueError when it lies outside."""
    offset, length, kind = where[:3]
    if offset < 0 or length < 0 or offset + length > len(data):
        raise ValueError(f"has a buffer beyond its end, at byte {offset}")
    view = data[offset : offset + length]
    if kind == "+B":
        rising = Rising(view, view_of(data, where[3]))
        return rising.whole() if len(view) < LONG else rising
    return view if kind == "s" else view.cast(kind)  # type: ignore[return-value]


def view_of(data: memoryview, where: Where) -> memoryview:
    """A buffer as a typed view, differences added up."""
    return whole(piece(data, where))


def whole(values: memoryview | Rising) -> memoryview:
    """All values of a buffer."""
    return values if isinstance(values, memoryview) else values.whole()
