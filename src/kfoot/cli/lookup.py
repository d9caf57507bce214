"""Look up what the kernel's sources say of a call, event, function, ioctl, module, file, option.

  kfoot lookup syscall read                       file, section, area; its number on every ABI
  kfoot lookup syscall --arch arm 336             what a number is there
  kfoot lookup event ext4:ext4_da_write_begin     where it is fired, with its fields
  kfoot lookup function spi_sync                  every file that defines it
  kfoot lookup ioctl 0x40206b00                   the requests of a number, or of a name
  kfoot lookup module spidev                      its options and source files
  kfoot lookup file drivers/spi/spidev.c          its sections, area, options and module
  kfoot lookup config CONFIG_SPI_SPIDEV
  kfoot lookup section "SPI SUBSYSTEM"
  kfoot lookup filesystem ext4
  kfoot lookup device char 153:0

Exit status 1: the sources have no such name (the nearest ones are listed).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.errors import KfootError

if TYPE_CHECKING:
    from kfoot.atlas.answers import Row
    from kfoot.atlas.lookup import AtlasView

KINDS = (
    *("syscall", "event", "function", "ioctl", "module", "file", "config", "section"),
    *("filesystem", "device"),
)
WIDTH = 12


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", nargs="+", metavar="NAME|NUMBER")
    parser.add_argument(
        "--arch",
        metavar="ABI",
        help="an ABI or machine: x86_64, i386, arm, aarch64 (default: this)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="of functions, only those this kernel has"
    )
    parser.add_argument(
        "--kallsyms",
        type=Path,
        metavar="FILE",
        help="of functions, those of this kernel's symbols (/proc/kallsyms: the running one)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--release", metavar="REL", help="the atlas for this kernel release")
    chosen.add_argument("--atlas", type=Path, metavar="FILE", help="this atlas")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from kfoot.atlas import open_atlas
    from kfoot.atlas.answers import KINDS as ANSWERS
    from kfoot.atlas.answers import Asked
    from kfoot.atlas.nearest import nearest
    from kfoot.atlas.symbols import read_kallsyms

    release = args.release or (None if args.atlas else os.uname().release)
    atlas = open_atlas(release, args.atlas)
    words = " ".join(args.name)
    symbols = read_kallsyms(args.kallsyms) if args.kallsyms else ()
    asked = Asked(words, _abi(atlas, args.arch), _config(args.config), symbols)
    answer = ANSWERS[args.kind](atlas, asked)
    close = () if answer.rows else nearest(words, answer.names)
    if args.json:
        about = {"atlas": atlas.name, "note": atlas.note, "kind": args.kind, "query": words}
        print(json.dumps({**about, "rows": answer.rows, "nearest": close}, indent=1))
        return 0 if answer.rows else 1
    if not answer.rows:
        where = f" of {asked.abi}" if args.kind in ("syscall", "ioctl") else ""
        hint = answer.hint or (f"near it: {', '.join(close)}" if close else None)
        raise KfootError(
            f"there is no {args.kind} {words!r}{where} in Linux {atlas.name}", hint=hint, status=1
        )
    for number, row in enumerate(answer.rows):
        if number:
            print()
        _print(row, args.kind)
    if atlas.note:
        print(f"\nnote: {atlas.note}")
    return 0


def _abi(atlas: AtlasView, name: str | None) -> str:
    from kfoot.atlas.answers import abi_named
    from kfoot.atlas.nearest import nearest

    abi = abi_named(atlas, name or os.uname().machine)
    if abi is None:
        close = nearest(name or "", atlas.abis()) or atlas.abis()
        raise KfootError(
            f"Linux {atlas.name} has no ABI or machine {name or os.uname().machine!r}",
            hint=f"it has {', '.join(close)}",
        )
    return abi


def _config(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    from kfoot.footprint.system import parse_config

    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise KfootError(f"{path}: {error.strerror}") from None
    return parse_config(text)


def _print(row: Row, kind: str) -> None:
    for key, value in row.items():
        text = _text(key, value, kind)
        if text:
            print(f"{key:<{WIDTH}} {text}")


def _text(key: str, value: Any, kind: str) -> str:
    if value is None:
        return "-" if key in ("file", "section", "area") else ""
    if key == "nr" and kind == "ioctl":
        return f"0x{value:08x}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "  ".join(f"{name} {number}" for name, number in sorted(value.items()))
    if isinstance(value, list):
        lines = [_line(one) for one in value]
        return f"\n{'':<{WIDTH}} ".join(lines)
    return str(value)


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['file'] or '-'}  ({value['area'] or '-'}, {value['how']})"
    return str(value)
