"""Run a command and get its kernel footprint.

The command runs as it would without kfoot: same terminal, same signals, same exit status. What it
and all its children did is kept in a capture folder; the summary is printed on stderr.

  kfoot run -- ls -l
  kfoot run --use-case "read the reservoir" -o reservoir.kfoot -- mdt reservoir

Exit status: the command's own; 128+N when signal N killed it; 125 when kfoot itself failed; 126
when the command cannot be run; 127 when there is none of that name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kfoot.errors import KfootError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "kfoot run [OPTIONS] [--] CMD [ARGS ...]"
    parser.add_argument("--use-case", metavar="NAME", help="what this run is of, for people")
    parser.add_argument(
        "-o",
        "--output",
        metavar="NAME.kfoot",
        type=Path,
        help="the capture folder to make (default: a new one here, named after command and time)",
    )
    parser.add_argument(
        "--collector",
        default="auto",
        metavar="WORD",
        help="auto (the best evidence this host gives), strace, ftrace, or several joined by +",
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="make N captures of one use case"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from kfoot.collect.session import record

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise KfootError("no command was given", hint="kfoot run -- CMD ARGS")
    capture = record(
        command,
        use_case=args.use_case,
        out=args.output,
        collector=args.collector,
        say=lambda text: print(f"kfoot: {text}", file=sys.stderr),
    )
    print(f"kfoot: {capture.path}", file=sys.stderr)
    status = capture.manifest.exit_status
    return 0 if status is None else status
