"""Get the kernel footprint of traces made elsewhere.

Reads strace text (any of -f -ff -t -tt -ttt -r -T -y -yy -k -i -n -v -X, in a file or mixed with
the program's output), `strace -c` tables, ftrace text (trace, trace_pipe, trace-cmd report), raw
ring buffer pages with their formats, trace.dat, perf.data and `perf script` text, and babeltrace2
text; each plain or packed (.gz, .xz, .zst). A folder stands for the traces in it.

  kfoot import strace.txt
  kfoot import -o pump.kfoot --arch aarch64 --kernel 6.1.0-rpi trace.dat
  strace -ff -ttt -o run/trace mdt reservoir; kfoot import run

Lines that do not parse are counted and the first few shown. Exit 3 when the traces say that
something was lost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from kfoot.errors import KfootError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", type=Path, metavar="FILE", help="a trace, or a folder")
    parser.add_argument(
        "-o",
        "--output",
        metavar="NAME.kfoot",
        type=Path,
        help="the capture folder to make (default: a new one here, named after file and time)",
    )
    parser.add_argument(
        "--arch", help="the machine the traces are of, as `uname -m` says it (x86_64, aarch64, ...)"
    )
    parser.add_argument(
        "--kernel", metavar="RELEASE", help="its kernel, as `uname -r` says it; chooses the atlas"
    )
    parser.add_argument("--use-case", metavar="NAME", help="what this run is of, for people")
    parser.add_argument("--quiet", action="store_true", help="print no summary")


def run(args: argparse.Namespace) -> int:
    from kfoot.cli.common_progress import progress
    from kfoot.footprint import derive
    from kfoot.importing import import_files
    from kfoot.reports.terminal import print_summary

    with progress("keeping a copy") as advance:
        capture = import_files(
            args.file,
            out=args.output,
            arch=args.arch,
            release=args.kernel,
            use_case=args.use_case,
            progress=advance,
        )
    try:
        with progress("reading") as advance:
            footprint = derive(capture, progress=advance)
    except KfootError:
        shutil.rmtree(capture.path, ignore_errors=True)
        raise
    if not args.quiet:
        print_summary(footprint, file=sys.stderr)
    print(f"kfoot: {capture.path}", file=sys.stderr)
    return 0 if footprint["evidence"]["valid"] else 3
