"""Write a capture's report: one HTML file with tables, the system view and flowcharts.

The file opens offline and makes no request to anywhere. CAPTURE is a capture folder or a
footprint.json; without one the newest capture in the current directory is taken. Several captures
are merged, and their flowcharts show where the runs part. Exits with 3 when the evidence is not
valid; the report is written all the same and says so.

  kfoot report reservoir.kfoot -o report.html
  kfoot report normal.kfoot busy.kfoot -o reservoir.html
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kfoot.capture import newest, write_bytes
from kfoot.errors import KfootError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", nargs="*", type=Path, metavar="CAPTURE")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="the file to write (default: report.html)",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="CAPTURE",
        help="outline what differs from this capture in the system view",
    )


def run(args: argparse.Namespace) -> int:
    from kfoot.footprint import charts, load, merge
    from kfoot.reports import flowchart
    from kfoot.reports.html import render

    paths = args.capture or [newest(Path.cwd())]
    if args.output.is_dir():
        raise KfootError(f"{args.output} is a folder", hint="name the file to write with -o")
    footprint = merge([load(path) for path in paths])
    baseline = load(args.baseline) if args.baseline else None
    page = render(footprint, charts(paths), baseline=baseline)
    write_bytes(args.output, page.encode("utf-8", "backslashreplace"))
    why_not = flowchart.available()
    if why_not:
        print(f"kfoot: {why_not}: apt-get install graphviz", file=sys.stderr)
    print(f"kfoot: {args.output}", file=sys.stderr)
    return 3 if footprint["evidence"].get("valid") is False else 0
