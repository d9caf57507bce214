"""The static views as documents: which tables, in which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kfoot.static.document import Document, Table

View = Mapping[str, Any]


def system(view: View) -> Document:
    """The document of ``static.system.view``."""
    kernel, atlas = view["kernel"], view["atlas"]
    document = Document(f"Static system view: Linux {kernel['release'] or '(release not told)'}")
    document.notes = list(view["notes"])
    modules = Counter(row["state"] for row in view["modules"])
    facts = [
        ("kernel", " ".join(word for word in (kernel["release"], kernel["version"]) if word)),
        ("machine", kernel["machine"]),
        ("configuration", kernel["config"]),
        ("configuration sha256", kernel["config_sha256"]),
        ("command line", kernel["command_line"]),
        ("lockdown", kernel["lockdown"]),
        ("atlas", f"{atlas['release']}, sha256 {atlas['sha256']}"),
        ("modules", ", ".join(f"{n:,} {state}" for state, n in sorted(modules.items()))),
    ]
    document.facts = [(label, value) for label, value in facts if value]
    document.tables = [
        _abis(view),
        _protections(view),
        _settings(view),
        _absent(view),
        _features(view),
        _sections(view),
        _modules(view),
        _syscalls(view),
    ]
    return document


def _yes(value: bool | None) -> str:
    return "not known" if value is None else "yes" if value else "no"


def _abis(view: View) -> Table:
    return Table(
        "abis",
        "System call ABIs",
        "What programs of each kind find. Configured out: the file that implements the call is "
        "not built. Missing: calls i386 has and this ABI has not, as checksyscalls.sh says.",
        ("ABI", "enabled", "numbers", "supported", "configured out", "not implemented", "missing"),
        [
            (
                row["abi"] + (" (native)" if row["native"] else ""),
                _yes(row["enabled"]),
                row["numbers"],
                row["supported"],
                row["configured_out"],
                row["not_implemented"],
                ", ".join(row["missing_from_i386"]) or "none",
            )
            for row in view["abis"]
        ],
        brief=10,
    )


def _protections(view: View) -> Table:
    return Table(
        "protections",
        "Protections",
        "Options that protect the kernel and what runs on it; on: the option has the value that "
        "turns the protection on.",
        ("group", "protection", "option", "value", "on"),
        [
            (row["group"], row["what"], row["option"], row["value"], _yes(row["on"]))
            for row in view["protections"]
        ],
        brief=100,
    )


def _settings(view: View) -> Table:
    return Table(
        "settings",
        "Settings of the running system",
        "sysctl values that go with the protections, and the least value that protects.",
        ("setting", "value", "protects from"),
        [(row["name"], row["value"], row["wanted"]) for row in view["settings"]],
        brief=20,
    )


def _absent(view: View) -> Table:
    return Table(
        "absent",
        "System calls configured out or not implemented",
        "Numbers the enabled ABIs name and this kernel refuses with ENOSYS.",
        ("ABI", "number", "call", "why", "options not set", "area"),
        [
            (
                row["abi"],
                row["nr"],
                row["name"],
                row["state"],
                " ".join(row["without"]),
                row["area"],
            )
            for row in view["syscalls"]
            if row["state"] in ("configured out", "not implemented")
        ],
        brief=12,
    )


def _features(view: View) -> Table:
    return Table(
        "features",
        "Features of the architecture",
        "Documentation/features of the sources (status) beside this configuration (value).",
        ("subsystem", "feature", "status", "option", "value"),
        [
            (row["subsystem"], row["feature"], row["status"], row["option"], row["value"])
            for row in view["features"]
        ],
        brief=60,
    )


def _sections(view: View) -> Table:
    rows = sorted(view["sections"], key=lambda row: (-row["built_in"], row["section"], row["area"]))
    return Table(
        "sections",
        "MAINTAINERS sections in this kernel",
        "Source files by their most specific section: built in, built as modules, not built, and "
        "those whose options the Makefiles do not tell.",
        ("section", "area", "built in", "modules", "not built", "not known"),
        [
            (
                row["section"],
                row["area"],
                row["built_in"],
                row["modules"],
                row["not_built"],
                row["not_known"],
            )
            for row in rows
        ],
        brief=20,
    )


def _modules(view: View) -> Table:
    return Table(
        "modules",
        "Modules",
        "Built in and loaded, with their options and sections.",
        ("module", "state", "uses", "options", "section", "area"),
        [
            (
                row["name"],
                row["state"],
                row["uses"],
                " ".join(row["config"]),
                row["section"],
                row["area"],
            )
            for row in view["modules"]
        ],
        brief=20,
    )


def _syscalls(view: View) -> Table:
    return Table(
        "syscalls",
        "System calls",
        "Every number of every enabled ABI, with the file that implements it.",
        ("ABI", "number", "call", "state", "file", "section", "area"),
        [
            tuple(row[key] for key in ("abi", "nr", "name", "state", "file", "section", "area"))
            for row in view["syscalls"]
        ],
    )


def workload(view: View) -> Document:
    """The document of ``static.workload.view``."""
    document = Document(f"Static view of {' '.join(view['argv'])}")
    document.notes = list(view["notes"])
    document.facts = [
        ("program", view["files"][0]["path"] if view["files"] else "not found"),
        ("files", str(len(view["files"]))),
        ("packages", str(len(view["packages"]))),
    ]
    document.tables = [
        Table(
            "files",
            "Files",
            "What the command needs to start: the program, interpreters, shared libraries.",
            ("file", "role", "needed by", "ABI", "package", "version"),
            [
                (
                    row["path"],
                    row["role"],
                    row["needed_by"],
                    row["abi"],
                    row["package"],
                    row["version"],
                )
                for row in view["files"]
            ],
            brief=60,
        ),
        Table(
            "packages",
            "Packages",
            "Where the files come from, and what those packages declare they need.",
            ("kind", "package", "version", "files", "declared by"),
            [
                (
                    row["kind"],
                    row["name"],
                    row["version"],
                    row["files"],
                    ", ".join(row["declared_by"]),
                )
                for row in view["packages"]
            ],
            brief=60,
        ),
    ]
    return document
