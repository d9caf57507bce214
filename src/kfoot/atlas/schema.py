"""The tables of an atlas: their columns, their order, what they can be looked up by.

Column kinds: ``int`` (64 bit at most), ``bool``, ``str`` and ``strs`` (a tuple of strings). All
but key columns may be None. Strings of one ``pool`` share a dictionary across the tables.
"""

from __future__ import annotations

from typing import NamedTuple

Value = int | bool | str | tuple[str, ...] | None
Row = tuple[Value, ...]


class Column(NamedTuple):
    name: str
    kind: str
    pool: str = ""
    """Shared dictionary; without one the column has its own."""


class TableSchema(NamedTuple):
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Rows are sorted by these; the first can be looked up by bisection."""
    indexes: tuple[str, ...] = ()
    """Further columns that can be looked up by bisection."""
    packed: bool = False
    """Compressed as a whole; unpacked when first asked for."""


PACKED_POOLS = frozenset({"config", "module", "path"})
"""Dictionaries compressed as a whole: they are long, and most look-ups need one of them."""

_FILE = Column("file", "str", "path")
_PLACE = (
    _FILE,
    Column("section", "str", "section"),
    Column("area", "str", "area"),
    Column("how", "str", "how"),
)
"""``kfoot.atlas.model.Place``."""

TABLES: dict[str, TableSchema] = {
    # Source files. config: options that must all be set ("!" before one that must not).
    "files": TableSchema(
        (
            Column("path", "str", "path"),
            Column("area", "str", "area"),
            Column("sections", "strs", "section"),
            Column("config", "strs", "config"),
            Column("module", "str", "module"),
        ),
        ("path",),
    ),
    # One row for each way a file can come to be built, when there is more than one.
    "builds": TableSchema(
        (
            Column("path", "str", "path"),
            Column("config", "strs", "config"),
            Column("module", "str", "module"),
        ),
        ("path", "config", "module"),
        packed=True,
    ),
    "sections": TableSchema(
        (
            Column("name", "str", "section"),
            Column("status", "str"),
            Column("lists", "strs", "list"),
            Column("files", "int"),
            Column("area", "str", "area"),
        ),
        ("name",),
    ),
    # entry, compat: "sys_read", "compat_sys_x", without architecture prefixes (__x64_).
    "syscalls": TableSchema(
        (
            Column("abi", "str"),
            Column("nr", "int"),
            Column("name", "str", "syscall"),
            Column("entry", "str", "syscall"),
            Column("compat", "str", "syscall"),
            Column("implemented", "bool"),
            *_PLACE,
        ),
        ("abi", "nr", "name"),
        ("name", "entry"),
    ),
    # by: the file whose area it is (file is the header that defines the event).
    # fields: "type name" in order.
    "events": TableSchema(
        (
            Column("system", "str"),
            Column("name", "str"),
            Column("fields", "strs"),
            Column("by", "str", "path"),
            *_PLACE,
        ),
        ("system", "name", "file"),
        ("name",),
    ),
    # Section and area follow from the file.
    "functions": TableSchema(
        (Column("name", "str"), _FILE, Column("static", "bool")),
        ("name", "file", "static"),
        packed=True,
    ),
    # abi: class of ABIs the number holds for ("lp64", "ilp32", "powerpc64", ...; docs/atlas.md).
    # A family of varying size: nr is the number with size 0, mask the bits that are fixed.
    "ioctls": TableSchema(
        (
            Column("name", "str", "ioctl"),
            Column("abi", "str"),
            Column("nr", "int"),
            Column("size", "int"),
            Column("mask", "int"),
            Column("header", "str", "path"),
        ),
        ("name", "abi", "nr"),
        ("nr",),
    ),
    # The files that handle a request, most likely (rank 0) first.
    "ioctl_handlers": TableSchema(
        (Column("name", "str", "ioctl"), Column("rank", "int"), *_PLACE),
        ("name", "rank"),
    ),
    "filesystems": TableSchema((Column("name", "str"), *_PLACE), ("name", "file")),
    # name as in /proc/PID/fd: "[eventfd]".
    "anon_inodes": TableSchema((Column("name", "str"), *_PLACE), ("name", "file")),
    # family "AF_INET"; type "SOCK_STREAM" and protocol "TCP" None where any.
    "sockets": TableSchema(
        (
            Column("family", "str"),
            Column("type", "str"),
            Column("protocol", "str"),
            *_PLACE,
        ),
        ("family", "type", "protocol", "file"),
        ("protocol",),
    ),
    # kind "char" or "block"; name of the driver in /proc/devices, or of the class.
    "devices": TableSchema(
        (
            Column("name", "str"),
            Column("kind", "str"),
            Column("major", "int"),
            Column("minor", "int"),
            *_PLACE,
        ),
        ("name", "kind", "major", "minor", "file"),
        ("major",),
    ),
    "modules": TableSchema(
        (
            Column("name", "str", "module"),
            Column("config", "strs", "config"),
            Column("files", "strs", "path"),
            *_PLACE,
        ),
        ("name", "file"),
        packed=True,
    ),
    "kconfig": TableSchema(
        (
            Column("name", "str", "config"),
            Column("type", "str"),
            Column("prompt", "str"),
            Column("depends", "str"),
            _FILE,
        ),
        ("name", "file"),
        packed=True,
    ),
    # Documentation/features: status "ok", "TODO", "N/A" or "---" (cannot be there).
    "features": TableSchema(
        (
            Column("feature", "str"),
            Column("arch", "str", "arch"),
            Column("status", "str"),
            Column("config", "str", "config"),
            Column("subsystem", "str"),
        ),
        ("feature", "arch"),
        ("arch",),
    ),
    # Syscalls an ABI lacks relative to i386, as scripts/checksyscalls.sh says.
    "missing_syscalls": TableSchema(
        (Column("abi", "str"), Column("name", "str", "syscall")), ("abi", "name")
    ),
}
