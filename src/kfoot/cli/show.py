"""Show a capture's footprint: as a summary, JSON, Markdown, RST or one table as CSV.

CAPTURE is a capture folder or a footprint.json; without one the newest capture in the current
directory is shown. Several captures are merged, and their rows say in how many they were seen.
Exits with 3 when the evidence is not valid.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kfoot.capture import Capture, newest
from kfoot.errors import KfootError
from kfoot.reports.tables import TABLES, Footprint


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", nargs="*", type=Path, metavar="CAPTURE")
    form = parser.add_mutually_exclusive_group()
    for name in ("json", "markdown", "rst"):
        form.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, help=f"print {name}"
        )
    form.add_argument(
        "--csv",
        metavar="TABLE",
        help=f"print one table: {', '.join(table.key for table in TABLES)}",
    )
    parser.add_argument("--section", metavar="S", help="only this MAINTAINERS section")
    parser.add_argument("--area", metavar="A", help="only this area (drivers includes drivers:spi)")
    parser.add_argument(
        "--process", metavar="P", help="only the processes with this executable or script name"
    )


def run(args: argparse.Namespace) -> int:
    from kfoot.reports.select import select

    footprint = footprint_of(args.capture, args.process)
    chosen = select(footprint, section=args.section, area=args.area)
    if args.csv:
        from kfoot.reports.plain import csv_table

        sys.stdout.write(csv_table(chosen, args.csv))
    elif args.format:
        from kfoot.reports.plain import FORMATS

        sys.stdout.write(FORMATS[args.format](chosen))
    else:
        from kfoot.reports.terminal import print_summary

        print_summary(chosen, sys.stdout)
    return 0 if (footprint.get("evidence") or {}).get("valid") is not False else 3


def footprint_of(paths: list[Path], process: str | None = None) -> Footprint:
    """The footprint of the captures named, or of the newest; merged when there are several."""
    from kfoot.footprint import load, merge

    paths = paths or [newest(Path.cwd())]
    if process is None:
        return merge([load(path) for path in paths])
    from kfoot.footprint.by_process import derive_process

    for path in paths:
        if path.is_file():
            raise KfootError(
                f"{path} is a footprint without its traces",
                hint="--process reads the traces again: name the capture folder",
            )
    return merge([derive_process(Capture.open(path), process) for path in paths])
