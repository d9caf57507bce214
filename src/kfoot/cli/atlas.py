"""Build, list, show and compare atlases (what the kernel's own sources say).

  kfoot atlas build linux-6.12.tar.xz -o my.atlas   from a tarball, read as a stream
  kfoot atlas build ~/src/linux --arch arm64        from a tree, into your own atlases
  kfoot atlas list                                  which there are, and which serves this kernel
  kfoot atlas show [RELEASE|FILE]                   what is in one
  kfoot atlas diff A B                              what differs (releases or files)

Your own atlases are kept in $XDG_DATA_HOME/kfoot/atlas; docs/atlas.md explains every rule. Exit
status of diff: 0 the same, 1 they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.errors import KfootError

if TYPE_CHECKING:
    from kfoot.atlas.diff import TableDifference
    from kfoot.atlas.store import AtlasFile

SHOWN = 20
"""Names printed of each kind of difference; --json has them all."""


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="compute an atlas from a kernel source")
    build.add_argument("source", metavar="SOURCE", type=Path, help="a kernel tree or linux-*.tar.*")
    build.add_argument(
        "--arch",
        action="append",
        default=[],
        metavar="NAME",
        help="only these architectures' tables (names below arch/; may be given again)",
    )
    build.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="default: among your own atlases"
    )
    build.add_argument(
        "-j", "--jobs", type=int, default=None, metavar="N", help="processes (default: one a CPU)"
    )
    build.add_argument("--json", action="store_true", help="the summary as JSON")
    listing = actions.add_parser("list", help="the atlases there are")
    listing.add_argument("--release", metavar="REL", help="kernel to choose for (default: this)")
    listing.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help="what one atlas holds and why it is chosen")
    show.add_argument(
        "which", nargs="?", metavar="RELEASE|FILE", help="default: the one for this kernel"
    )
    show.add_argument("--json", action="store_true")
    compare = actions.add_parser("diff", help="what differs between two atlases")
    compare.add_argument("before", metavar="A", help="a release or a file")
    compare.add_argument("after", metavar="B", help="a release or a file")
    compare.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    action = {"build": _build, "list": _list, "show": _show, "diff": _diff}[args.action]
    return action(args)


# --- build --------------------------------------------------------------------------------------


def _build(args: argparse.Namespace) -> int:
    from kfoot.atlas.build.run import build
    from kfoot.atlas.open import user_folder
    from kfoot.atlas.pack import pack
    from kfoot.atlas.store import SUFFIX
    from kfoot.capture import write_bytes

    if not args.source.exists():
        raise KfootError(f"{args.source}: no such file or folder")
    started = time.monotonic()
    built = build(args.source, architectures=args.arch, jobs=args.jobs, progress=_Progress())
    data = pack(built.header, built.tables)
    output = args.output or user_folder() / f"linux-{built.header['release']}{SUFFIX}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KfootError(f"cannot make {output.parent}: {error.strerror}") from error
    write_bytes(output, data)
    summary = {
        "file": str(output),
        "bytes": len(data),
        "seconds": round(time.monotonic() - started, 1),
        "rows": {name: len(rows) for name, rows in sorted(built.tables.items())},
        **built.header,
    }
    if args.json:
        print(json.dumps(summary, indent=1, sort_keys=True))
        return 0
    print(f"{output}: Linux {summary['release']}, {len(data) / 1e6:.1f} MB")
    _print_rows(summary["rows"], summary["notes"])
    return 0


class _Progress:
    """One line on stderr: rewritten on a terminal, one a step elsewhere."""

    def __init__(self) -> None:
        self.last = ""
        self.live = sys.stderr.isatty()

    def __call__(self, text: str, fraction: float | None) -> None:
        if self.live:
            done = "" if fraction is None else f" {fraction:4.0%}"
            print(f"\r\033[Kkfoot: {text}{done}", end="", file=sys.stderr, flush=True)
            if text == "done":
                print("\r\033[K", end="", file=sys.stderr)
        elif text not in (self.last, "done"):
            print(f"kfoot: {text}", file=sys.stderr)
        self.last = text


# --- list, show ---------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    from kfoot.atlas.open import atlases, choose

    found = atlases()
    release = args.release or os.uname().release
    choice = choose(release, found)
    rows = [
        {
            "release": atlas.release,
            "file": str(atlas.path),
            "whose": "shipped" if atlas.shipped else "own",
            "chosen": atlas == choice.found,
        }
        for atlas in found
    ]
    if args.json:
        print(json.dumps({"kernel": release, "why": choice.why, "atlases": rows}, indent=1))
        return 0
    for row in rows:
        mark = "*" if row["chosen"] else " "
        print(f"{mark} {row['release']:<14} {row['whose']:<8} {row['file']}")
    print(f"* serves kernel {release}: {choice.why}")
    return 0


def _show(args: argparse.Namespace) -> int:
    atlas, why = _open(args.which)
    summary: dict[str, Any] = {
        "file": str(atlas.path),
        "bytes": atlas.path.stat().st_size,
        "sha256": atlas.sha256(),
        "why": why,
        "rows": atlas.rows(),
        **{
            name: atlas.header.get(name)
            for name in ("release", "source", "source_sha256", "rules", "architectures", "notes")
        },
    }
    if args.json:
        print(json.dumps(summary, indent=1, sort_keys=True))
        return 0
    print(f"Linux {summary['release']}  {summary['file']}  {summary['bytes'] / 1e6:.1f} MB")
    print(f"  chosen   {why}")
    print(f"  source   {summary['source']}  sha256 {summary['source_sha256']}")
    print(f"  rules    version {summary['rules']}")
    if summary["architectures"]:
        print(f"  only     {', '.join(summary['architectures'])}")
    print(f"  sha256   {summary['sha256']}")
    _print_rows(summary["rows"], summary["notes"] or [])
    return 0


def _print_rows(rows: dict[str, int], notes: list[str]) -> None:
    for name, count in rows.items():
        print(f"  {name:<18} {count:>9,} rows")
    for note in notes:
        print(f"  note: {note}")


def _open(which: str | None) -> tuple[AtlasFile, str]:
    """An atlas by file, by release, or the one for this kernel; with the reason."""
    from kfoot.atlas.open import choose, version
    from kfoot.atlas.store import AtlasFile

    if which and (os.sep in which or Path(which).is_file()):
        return AtlasFile(Path(which)), "named by the user"
    if which and version(which) is None:
        raise KfootError(
            f"{which} is neither a file nor a kernel release", hint="`kfoot atlas list` lists them"
        )
    choice = choose(which or os.uname().release)
    return AtlasFile(choice.found.path), choice.why


# --- diff ---------------------------------------------------------------------------------------


def _diff(args: argparse.Namespace) -> int:
    from kfoot.atlas.diff import diff

    before, after = _open(args.before)[0], _open(args.after)[0]
    tables = diff(before, after)
    if args.json:
        releases = {"before": before.header["release"], "after": after.header["release"]}
        print(json.dumps({**releases, "tables": [t._asdict() for t in tables]}, indent=1))
    else:
        print(f"Linux {before.header['release']} -> {after.header['release']}")
        for table in tables:
            _print_difference(table)
        if not tables:
            print("no table differs")
    return 1 if tables else 0


def _print_difference(table: TableDifference) -> None:
    print(
        f"\n{table.table}: {table.before:,} -> {table.after:,} rows; {len(table.added):,} added, "
        f"{len(table.removed):,} removed, {len(table.changed):,} changed"
    )
    by_column: dict[str, int] = {}
    for _, values in table.changed:
        for column in values:
            by_column[column] = by_column.get(column, 0) + 1
    if by_column:
        parts = (f"{column} {count:,}" for column, count in sorted(by_column.items()))
        print(f"  changed in: {', '.join(parts)}")
    moved = [(key, values["area"]) for key, values in table.changed if "area" in values]
    lines = [f"  + {_words(key)}" for key in table.added[:SHOWN]]
    lines += [f"  - {_words(key)}" for key in table.removed[:SHOWN]]
    lines += [f"  ~ {_words(key)}: area {was} -> {now}" for key, (was, now) in moved[:SHOWN]]
    print("\n".join(lines))


def _words(key: tuple[Any, ...]) -> str:
    return " ".join(str(word) for word in key if word is not None)
