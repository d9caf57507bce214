"""Answers to ``kfoot lookup``: what an atlas says of one thing, as plain rows.

Each ``KINDS`` function gives the rows found (none: not found) and the names to compare a mistyped
one with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kfoot.atlas.abi import MACHINES, architecture
from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.model import Place
from kfoot.atlas.nearest import beginning
from kfoot.atlas.symbols import Chooser, Symbol, around, choose

Row = dict[str, Any]


class Asked(NamedTuple):
    """What to look up and for which system."""

    words: str
    abi: str
    config: Mapping[str, str] | None = None
    """The options of the kernel asked about, to choose between functions of one name."""
    symbols: Sequence[Symbol] = ()
    """The text symbols of that kernel, for the same."""


class Answer(NamedTuple):
    rows: list[Row]
    names: Iterable[str] = ()
    """What the word could have been; only read when there are no rows."""
    hint: str | None = None
    """Why there are none, where the atlas knows."""


def abi_named(atlas: AtlasView, name: str) -> str | None:
    """The atlas' ABI for an ABI's or a machine's name (x86_64, arm64, aarch64, armv7l)."""
    if name in atlas.abis():
        return name
    return next((abi for abi in MACHINES.get(name, ()) if abi in atlas.abis()), None)


def _place(place: Place) -> Row:
    return {
        "file": place.file,
        "section": place.section,
        "area": place.area,
        "how": place.how,
    }


def _number(text: str) -> int | None:
    """A decimal or hexadecimal number."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", text):
        return int(text, 0 if text[:2].lower() == "0x" else 10)
    return None


def syscall(atlas: AtlasView, asked: Asked) -> Answer:
    """By number (of the ABI asked for) or name, with its numbers on the other ABIs."""
    number = _number(asked.words)
    rows: list[Row] = []
    found = atlas.syscall(asked.abi, asked.words if number is None else number)
    if found:
        others = {}
        for abi in atlas.abis():
            other = atlas.syscall(abi, found.name)
            if other and abi != asked.abi and other.name == found.name:
                others[abi] = other.nr
        rows.append(
            {
                "abi": found.abi,
                "nr": found.nr,
                "name": found.name,
                "entry": found.entry,
                "compat": found.compat,
                "implemented": found.implemented,
                **_place(found.place),
                "elsewhere": others,
            }
        )
    elif number is None:
        has = [
            f"{abi} {other.nr}"
            for abi in atlas.abis()
            if (other := atlas.syscall(abi, asked.words)) and other.name == asked.words
        ]
        if has:
            return Answer([], (), f"it is on {', '.join(has)}")
    return Answer(rows, {call.name for call in atlas.syscalls(asked.abi)})


def event(atlas: AtlasView, asked: Asked) -> Answer:
    """By name or system:name, with the fields of its record."""
    table = atlas.file_on_disk["events"]
    rows: list[Row] = []
    for found in atlas.event(asked.words):
        if found.place.how == "event-system-only":
            continue
        fields = next(
            (row[2] for row in table.select("name", found.name) if row[0] == found.system), ()
        )
        rows.append(
            {
                "system": found.system,
                "name": found.name,
                **_place(found.place),
                "fields": list(fields or ()),
            }
        )
    if ":" in asked.words:
        names: Iterable[str] = (
            f"{table.value(n, 'system')}:{table.value(n, 'name')}" for n in range(len(table))
        )
    else:
        names = (str(table.value(n, "name")) for n in range(len(table)))
    return Answer(rows, names)


def function(atlas: AtlasView, asked: Asked) -> Answer:
    """Every file that defines it; with a configuration, only those that can be built; with a
    kernel's symbols, the one of each symbol of that name."""
    pool = atlas.file_on_disk["functions"].columns["name"].pool
    names = beginning(asked.words, pool) if pool is not None else ()
    if asked.symbols:
        return Answer(_chosen(atlas, asked), names)
    candidates = atlas.function(asked.words)
    if asked.config is not None:
        chooser = Chooser(atlas, arch=architecture(asked.abi), config=asked.config)
        candidates = chooser.candidates(asked.words)
    rows = [{"name": one.name, "static": one.static, **_place(one.place)} for one in candidates]
    return Answer(rows, names)


def _chosen(atlas: AtlasView, asked: Asked) -> list[Row]:
    wanted, near = around(asked.symbols, asked.words)
    found = choose(atlas, near, arch=architecture(asked.abi), config=asked.config)
    rows: list[Row] = []
    for symbol in wanted:
        one = found[symbol]
        if one:
            static = {"name": symbol.name, "module": symbol.module, "static": one.static}
            rows.append({**static, **_place(one.place)})
    return [row for n, row in enumerate(rows) if row not in rows[:n]]


def ioctl(atlas: AtlasView, asked: Asked) -> Answer:
    """By number as recorded under an ABI, or by name."""
    number = _number(asked.words)
    rows = [
        {
            "name": one.name,
            "nr": one.nr,
            "size": one.size,
            "header": one.header,
            "handlers": [_place(handler) for handler in one.handlers],
        }
        for one in atlas.ioctl(asked.words if number is None else number, abi=asked.abi)
    ]
    table = atlas.file_on_disk["ioctls"]
    return Answer(rows, {str(table.value(n, "name")) for n in range(len(table))})


def module(atlas: AtlasView, asked: Asked) -> Answer:
    """Options, source files and section of a module (- and _ are the same)."""
    rows = [
        {
            "name": one.name,
            "config": list(one.config),
            **_place(one.place),
            "files": list(one.files),
        }
        for one in atlas.modules(asked.words.removesuffix(".ko"))
    ]
    table = atlas.file_on_disk["modules"]
    return Answer(rows, {str(table.value(n, "name")) for n in range(len(table))})


def file(atlas: AtlasView, asked: Asked) -> Answer:
    """Area, sections, options and module of a source file."""
    one = atlas.file(asked.words.removeprefix("./"))
    rows: list[Row] = []
    if one:
        rows.append(
            {
                "path": one.path,
                "area": one.area,
                "sections": list(one.sections),
                "config": list(one.config),
                "module": one.module,
            }
        )
    table = atlas.file_on_disk["files"]
    return Answer(rows, (str(table.value(n, "path")) for n in range(len(table))))


def config(atlas: AtlasView, asked: Asked) -> Answer:
    """Prompt, dependencies and Kconfig file of an option (with or without CONFIG_)."""
    one = atlas.config(asked.words)
    rows: list[Row] = []
    if one:
        rows.append(
            {"name": one.name, "prompt": one.prompt, "depends": one.depends, "file": one.file}
        )
    table = atlas.file_on_disk["kconfig"]
    return Answer(rows, {str(table.value(n, "name")) for n in range(len(table))})


def section(atlas: AtlasView, asked: Asked) -> Answer:
    """Status, lists, number of files and area of a MAINTAINERS section."""
    one = atlas.section(asked.words) or atlas.section(asked.words.upper())
    rows: list[Row] = []
    if one:
        rows.append(
            {
                "name": one.name,
                "status": one.status,
                "lists": list(one.lists),
                "files": one.files,
                "area": one.area,
            }
        )
    table = atlas.file_on_disk["sections"]
    return Answer(rows, (str(table.value(n, "name")) for n in range(len(table))))


def filesystem(atlas: AtlasView, asked: Asked) -> Answer:
    """The file behind a filesystem type (the third word of a line of /proc/mounts)."""
    place = atlas.filesystem(asked.words)
    table = atlas.file_on_disk["filesystems"]
    rows = [{"name": asked.words, **_place(place)}] if place.file else []
    return Answer(rows, (str(table.value(n, "name")) for n in range(len(table))))


def device(atlas: AtlasView, asked: Asked) -> Answer:
    """The driver behind a name of /proc/devices or a number ("char 153:0", "block sd")."""
    kind, _, rest = asked.words.partition(" ")
    if kind not in ("char", "block"):
        kind, rest = "char", asked.words
    numbers = re.fullmatch(r"(\d+):(\d+)", rest)
    name = "" if numbers else rest
    major, minor = (int(numbers[1]), int(numbers[2])) if numbers else (None, None)
    place = atlas.device(kind, name, major, minor)
    table = atlas.file_on_disk["devices"]
    rows = [{"kind": kind, "name": rest, **_place(place)}] if place.file else []
    return Answer(rows, {str(table.value(n, "name")) for n in range(len(table))})


KINDS: dict[str, Callable[[AtlasView, Asked], Answer]] = {
    "syscall": syscall,
    "event": event,
    "function": function,
    "ioctl": ioctl,
    "module": module,
    "file": file,
    "config": config,
    "section": section,
    "filesystem": filesystem,
    "device": device,
}
