"""Watch a running system, service or process for a time and get its kernel footprint.

State of the system before, all trace events while it runs, state during and after; then the
footprint. Ctrl-C ends it early and keeps what there is.

  kfoot watch --duration 30m --trim-tail 5m
  kfoot watch --duration 10m --unit nginx.service
  kfoot watch --duration 60s --pid 1234

Exit status: 0; 125 when kfoot itself failed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfoot.collect.watch import Progress

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}


def seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``1h30m`` as seconds."""
    if not re.fullmatch(r"(\d+(\.\d+)?[hms])*(\d+(\.\d+)?)?", text) or not text:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 30m or 1h30m")
    return sum(
        float(number) * _UNITS[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
    )


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--duration", type=seconds, required=True, metavar="TIME", help="how long: 20s, 30m, 1h30m"
    )
    parser.add_argument(
        "--trim-tail",
        type=seconds,
        default=0.0,
        metavar="TIME",
        help="leave this much at the end out of the evidence",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pid", type=int, help="a process and the children it will have")
    what.add_argument("--unit", help="a systemd unit")
    what.add_argument("--cgroup", metavar="PATH", help="a cgroup and those below it")
    parser.add_argument("--use-case", metavar="NAME", help="what this is of, for people")
    parser.add_argument(
        "-o",
        "--output",
        metavar="NAME.kfoot",
        type=Path,
        help="the capture folder to make (default: a new one here, named after what is watched)",
    )
    parser.add_argument(
        "--collector", default="auto", metavar="WORD", help="auto, ftrace, or strace (with --pid)"
    )
    parser.add_argument("--quiet", action="store_true", help="print no summary")


def run(args: argparse.Namespace) -> int:
    from kfoot.cli.common_summary import summarise
    from kfoot.collect.watch import Watched, watch

    with _progress(args.duration) as progress:
        capture = watch(
            Watched(args.pid, args.unit, args.cgroup),
            duration_s=args.duration,
            trim_tail_s=args.trim_tail,
            use_case=args.use_case,
            out=args.output,
            collector=args.collector,
            progress=progress,
        )
    summarise([capture], quiet=args.quiet)
    return 0


@contextmanager
def _progress(duration: float) -> Iterator[Progress]:
    """A bar on stderr, only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda passed, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("watching"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[recorded]}, Ctrl-C ends it"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=duration, recorded="")
        yield lambda passed, size: bar.update(
            task, completed=passed, recorded=f"{size / 1e6:.1f} MB"
        )
