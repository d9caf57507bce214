"""The static system view: what a kernel offers, by its sources, its configuration and its modules.

``view`` returns plain data (JSON): ``kernel``, ``atlas``, ``abis``, ``syscalls``, ``features``,
``modules``, ``sections``, ``protections``, ``settings``, ``notes`` (in words, what could not be
told). Every list is sorted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kfoot.atlas.abi import MACHINES, architecture
from kfoot.atlas.lookup import AtlasView
from kfoot.static.config import KernelConfig
from kfoot.static.protections import protections, settings

SCHEMA = 1

_ENABLED_BY = {
    # Options that let a kernel run programs of an ABI that is not its own.
    "i386": ("CONFIG_IA32_EMULATION",),
    "x32": ("CONFIG_X86_X32_ABI", "CONFIG_X86_X32"),
    "mips_n32": ("CONFIG_MIPS32_N32",),
    "mips_o32": ("CONFIG_MIPS32_O32",),
}
_COMPAT = ("CONFIG_COMPAT",)

Row = dict[str, Any]


class Kernel(NamedTuple):
    """What is known of a kernel without its sources."""

    release: str | None
    version: str | None
    machine: str | None
    config: KernelConfig | None
    config_text: str | None
    builtin: list[str] | None
    """Names of modules built in (modules.builtin)."""
    loaded: Mapping[str, Mapping[str, Any]] | None
    sysctl: Mapping[str, str]
    command_line: str | None
    lockdown: str | None


def view(kernel: Kernel, atlas: AtlasView) -> Row:
    """The static view of one kernel."""
    abis = MACHINES.get(kernel.machine or "", ())
    arch = architecture(abis[0]) if abis else None
    config = kernel.config
    return {
        "schema": SCHEMA,
        "kernel": {
            "release": kernel.release,
            "version": kernel.version,
            "machine": kernel.machine,
            "architecture": arch,
            "config": config.source if config else None,
            "config_sha256": _digest(kernel.config_text),
            "command_line": kernel.command_line,
            "lockdown": kernel.lockdown,
        },
        "atlas": {
            "release": atlas.name,
            "sha256": atlas.sha256,
            "rules": atlas.rules,
            "note": atlas.note,
        },
        "abis": [_abi(abi, abi == abis[0], config, atlas) for abi in abis],
        "syscalls": [
            row
            for abi in abis
            if abi == abis[0] or _enabled(abi, config) is not False
            for row in _syscalls(abi, config, atlas)
        ],
        "features": _features(arch, config, atlas),
        "modules": _modules(kernel, atlas, arch),
        "sections": _sections(config, atlas, arch),
        "protections": protections(config, kernel.machine, atlas),
        "settings": settings(kernel.sysctl) if kernel.sysctl else [],
        "notes": _notes(kernel, atlas, arch),
    }


def _digest(text: str | None) -> str | None:
    if text is None:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _enabled(abi: str, config: KernelConfig | None) -> bool | None:
    if config is None:
        return None
    return any(config.is_set(option) for option in _ENABLED_BY.get(abi, _COMPAT))


def _abi(abi: str, native: bool, config: KernelConfig | None, atlas: AtlasView) -> Row:
    rows = list(_syscalls(abi, config, atlas))
    states = Counter(row["state"] for row in rows)
    enabled = True if native else _enabled(abi, config)
    told = config is not None and enabled
    return {
        "abi": abi,
        "native": native,
        "enabled": enabled,
        "numbers": len(rows),
        "supported": states["supported"] if told else None,
        "configured_out": states["configured out"] if told else None,
        "not_implemented": states["not implemented"],
        "missing_from_i386": [
            row[1] for row in atlas.file_on_disk["missing_syscalls"].select("abi", abi)
        ],
    }


def _syscalls(abi: str, config: KernelConfig | None, atlas: AtlasView) -> Iterable[Row]:
    """state: supported, configured out, not implemented, or implemented (configuration or file
    not known)."""
    for call in atlas.syscalls(abi):
        file = atlas.file(call.place.file) if call.place.file else None
        without: list[str] = []
        if not call.implemented:
            state = "not implemented"
        elif config is None or file is None:
            state = "implemented"
        elif config.builds(file.config) == "n":
            state = "configured out"
            without = [option for option in file.config if config.builds([option]) == "n"]
        else:
            state = "supported"
        yield {
            "abi": abi,
            "nr": call.nr,
            "name": call.name,
            "state": state,
            "without": without,
            "file": call.place.file,
            "section": call.place.section,
            "area": call.place.area,
        }


def _features(arch: str | None, config: KernelConfig | None, atlas: AtlasView) -> list[Row]:
    """The architecture's rows of Documentation/features beside the configuration."""
    if arch is None:
        return []
    rows = []
    for feature, _, status, option, subsystem in atlas.file_on_disk["features"].select(
        "arch", arch
    ):
        plain = (option or "").removeprefix("!")
        value = config.value(f"CONFIG_{plain}") if config and plain.isidentifier() else None
        rows.append(
            {
                "feature": feature,
                "subsystem": subsystem,
                "status": status,
                "option": option,
                "value": value,
            }
        )
    return sorted(rows, key=lambda row: (row["subsystem"], row["feature"]))


def _modules(kernel: Kernel, atlas: AtlasView, arch: str | None) -> list[Row]:
    """Loaded and built-in modules with what the atlas says of them."""
    names: dict[str, str] = {}
    if kernel.builtin is not None or kernel.loaded is not None:
        names |= dict.fromkeys(kernel.builtin or (), "built in")
        names |= dict.fromkeys(kernel.loaded or (), "loaded")
    elif kernel.config is not None:
        for name, state in _configured_modules(kernel.config, atlas, arch):
            names[name] = "built in" if state == "y" else "module"
    rows = []
    for name, state in sorted(names.items()):
        candidates = [m for m in atlas.modules(name) if _ours(m.place.file or "", arch)]
        module = candidates[0] if candidates else None
        rows.append(
            {
                "name": name,
                "state": state,
                "uses": ((kernel.loaded or {}).get(name) or {}).get("uses"),
                "config": list(module.config) if module else [],
                "file": module.place.file if module else None,
                "section": module.place.section if module else None,
                "area": module.place.area if module else None,
            }
        )
    return rows


def _configured_modules(
    config: KernelConfig, atlas: AtlasView, arch: str | None
) -> Iterable[tuple[str, str]]:
    """Modules the configuration builds, with y or m: those with a file that is built."""
    ways = _ways(atlas)
    for name, conditions, files, *_ in atlas.file_on_disk["modules"]:
        if not _ours(files[0], arch):
            continue
        several = [way for path in files for way in ways.get(path, ()) if way]
        states = {config.builds(way) for way in several or [conditions] if way}
        for state in "ym":
            if state in states:
                yield name, state
                break


def _ways(atlas: AtlasView) -> dict[str, list[tuple[str, ...]]]:
    """For files that can be built in several ways, the options of each."""
    ways: dict[str, list[tuple[str, ...]]] = {}
    for path, conditions, _ in atlas.file_on_disk["builds"]:
        ways.setdefault(path, []).append(conditions)
    return ways


def _ours(path: str, arch: str | None) -> bool:
    return not path.startswith("arch/") or arch is None or path.startswith(f"arch/{arch}/")


def _sections(config: KernelConfig | None, atlas: AtlasView, arch: str | None) -> list[Row]:
    """Source files by their most specific section: how many this configuration builds in or as
    modules. Files whose options the Makefiles do not tell count as not known."""
    if config is None:
        return []
    ways = _ways(atlas)
    built: dict[tuple[str, ...], str] = {}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for path, area, sections, conditions, _ in atlas.file_on_disk["files"]:
        if not path.endswith((".c", ".S", ".rs")) or not _ours(path, arch):
            continue
        states = set()
        for way in ways.get(path, [conditions]):
            if way not in built:
                built[way] = config.builds(way) if way else "?"
            states.add(built[way])
        state = next(word for word in ("y", "m", "?", "n") if word in states)
        key = (sections[0] if sections else "(none)", area)
        counts.setdefault(key, Counter())[state] += 1
    return [
        {
            "section": section,
            "area": area,
            "built_in": count["y"],
            "modules": count["m"],
            "not_built": count["n"],
            "not_known": count["?"],
        }
        for (section, area), count in sorted(counts.items())
        if count["y"] or count["m"]
    ]


def _notes(kernel: Kernel, atlas: AtlasView, arch: str | None) -> list[str]:
    out = []
    if atlas.note:
        out.append(atlas.note)
    if kernel.config is None:
        out.append("the configuration: options, sections and what is configured out are not shown")
    if arch is None:
        out.append(f"the machine {kernel.machine or '(not told)'}: no syscalls or features shown")
    if kernel.loaded is None and kernel.builtin is None and kernel.config is not None:
        out.append("which modules are loaded: those the configuration builds are listed")
    elif kernel.builtin is None:
        out.append("which modules are built in (no modules.builtin)")
    return out
