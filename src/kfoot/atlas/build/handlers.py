"""Filesystems and anonymous inodes: the name a descriptor shows, and the file behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.csource import calls, constants, fields, plain, string, structs
from kfoot.atlas.schema import Row

_ANON = (
    "anon_inode_getfd",
    "anon_inode_getfd_secure",
    "anon_inode_getfile",
    "anon_inode_getfile_secure",
    "anon_inode_getfile_fmode",
    "anon_inode_create_getfd",
    "anon_inode_create_getfile",
    "__anon_inode_getfd",
    "__anon_inode_getfile",
)
_PRINTED = re.compile(r'\bsnprintf\s*\(\s*(\w+)\s*,[^;]*?"([\w-]+:?)%[^"]*"')
_NAMED = re.compile(r'"anon_inode:(\[[\w-]+\])"')
"""Other filesystems whose inodes call themselves anonymous (pidfs)."""

_TOPS = ("tools/", "samples/", "Documentation/", "scripts/")


def is_code(path: str) -> bool:
    """Whether a path is C code of the kernel itself."""
    return path.endswith(".c") and not path.startswith(_TOPS)


class Facts(NamedTuple):
    filesystems: tuple[str, ...]
    anonymous: tuple[str, ...]


def closest(name: str, paths: Iterable[str]) -> str:
    """Of files that define the same name, the one in a folder or file called so."""

    def rank(path: str) -> tuple[bool, bool, str]:
        parts = path.removesuffix(".c").split("/")
        return name not in parts, path.startswith("drivers/staging/"), path

    return min(paths, key=rank)


class Handlers(Builder):
    """Tables ``filesystems`` and ``anon_inodes``."""

    name = "handlers"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._filesystems: dict[str, set[str]] = {}
        self._anonymous: dict[str, set[str]] = {}

    def wants(self, path: str) -> bool:
        return is_code(path)

    def scan(self, path: str, data: bytes) -> Facts | None:
        if b"file_system_type" not in data and b"anon_inode" not in data:
            return None
        text = plain(data)
        known = constants(text)
        types = [
            string(fields(parts).get("name", ""), known)
            for _, parts, _ in structs(text, "file_system_type")
        ]
        names = [_anonymous(arguments[0], known, text) for _, arguments, _ in calls(text, _ANON)]
        names += _NAMED.findall(text)
        facts = Facts(*(tuple(sorted({n for n in found if n})) for found in (types, names)))
        return facts if any(facts) else None

    def take(self, path: str, facts: Facts) -> None:
        for name in facts.filesystems:
            self._filesystems.setdefault(name, set()).add(path)
        for name in facts.anonymous:
            self._anonymous.setdefault(name, set()).add(path)

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        """One file a name: ext2 is fs/ext2's although ext4 can mount it too."""
        return {
            "filesystems": _rows(self._filesystems, "filesystem-type", context),
            "anon_inodes": _rows(self._anonymous, "anon-inode", context),
        }


def _rows(found: Mapping[str, set[str]], how: str, context: Context) -> list[Row]:
    return [
        (name, *context.place(closest(name, paths), how)) for name, paths in sorted(found.items())
    ]


def _anonymous(argument: str, known: Mapping[str, str], text: str) -> str | None:
    """The name, of a printed one (``kvm-vcpu:%d``) the part before the number."""
    name = string(argument, known)
    if name is None:
        name = next((start for var, start in _PRINTED.findall(text) if var == argument), None)
    return name
