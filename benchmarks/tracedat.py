"""Puts the pages of a capture into a trace.dat (version 6), so that trace-cmd reads the same
records. Layout: trace-cmd.dat.v6(5)."""

from __future__ import annotations

import re
import struct
from pathlib import Path

_SECTION = re.compile(rb"^# ([^/\s]+)/(\S+)\n", re.M)


def _formats(text: bytes) -> bytes:
    """The event formats by system."""
    systems: dict[bytes, list[bytes]] = {}
    heads = list(_SECTION.finditer(text))
    for head, behind in zip(heads, [*heads[1:], None], strict=True):
        body = text[head.end() : behind.start() if behind else len(text)]
        systems.setdefault(head[1], []).append(body.rstrip(b"\n") + b"\n")
    ours = systems.pop(b"ftrace", [])
    parts = [struct.pack("<I", len(ours)), *map(_sized, ours), struct.pack("<I", len(systems))]
    for system, texts in systems.items():
        parts += [system + b"\0", struct.pack("<I", len(texts)), *map(_sized, texts)]
    return b"".join(parts)


def _sized(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def write(folder: Path, target: Path) -> None:
    """``folder`` as ``kfoot.collect.ftrace`` writes it, not compressed, 4096-byte pages."""
    uname = " ".join(("Linux", "bench", "6.0", "x86_64")).encode() + b"\0"
    head = b"\x17\x08\x44tracing6\0" + struct.pack("<BBI", 0, 8, 4096)
    for name in ("header_page", "header_event"):
        head += name.encode() + b"\0" + _sized(_read(folder / f"{name}.txt"))
    head += _formats(_read(folder / "formats.txt"))
    head += struct.pack("<I", 0)
    printk = _read(folder / "printk_formats.txt")
    head += struct.pack("<I", len(printk)) + printk
    head += _sized(_read(folder / "saved_cmdlines.txt"))
    files = {int(p.stem.removeprefix("cpu")): p for p in folder.glob("cpu*.pages")}
    count = max(files) + 1
    head += struct.pack("<I", count) + b"options  \0"
    head += struct.pack("<HI", 5, len(uname)) + uname + struct.pack("<H", 0) + b"flyrecord\0"
    begin = len(head) + 16 * count
    at = begin + -begin % 4096
    sizes = [files[cpu].stat().st_size if cpu in files else 0 for cpu in range(count)]
    with target.open("wb") as out:
        out.write(head)
        for size in sizes:
            out.write(struct.pack("<QQ", at, size))
            at += size
        out.write(b"\0" * (-begin % 4096))
        for cpu in sorted(files):
            with files[cpu].open("rb") as pages:
                while block := pages.read(1 << 20):
                    out.write(block)
