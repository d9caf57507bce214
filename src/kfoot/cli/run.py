"""Run a command and get its kernel footprint.

The command runs as it would without kfoot: same terminal, same signals, same exit status. What it
and all its children did is kept in a capture folder; the summary is printed on stderr.

  kfoot run -- ls -l
  kfoot run --use-case "read the reservoir" -o reservoir.kfoot -- mdt reservoir

With --repeat N the command runs N times, each in a capture of its own (NAME-1.kfoot, ...), and the
summary is of all of them. The exit status is that of the first run that failed.

Exit status: the command's own; 128+N when signal N killed it; 125 when kfoot itself failed; 126
when the command cannot be run; 127 when there is none of that name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.errors import KfootError

if TYPE_CHECKING:
    from kfoot.capture import Capture


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
        help="auto (the best evidence this host gives), bpf, strace, ftrace, several joined by +",
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="make N captures of one use case"
    )
    parser.add_argument(
        "--sequence",
        action="store_true",
        help="record every call in order, not only the first of each kind (collector bpf)",
    )
    parser.add_argument(
        "--print",
        action="store_true",
        help="print each call as it happens, in strace's notation, on stderr (collector bpf)",
    )
    parser.add_argument("--quiet", action="store_true", help="print no summary")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    from kfoot.cli.common_summary import prepare, summarise
    from kfoot.collect.session import record

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise KfootError("no command was given", hint="kfoot run -- CMD ARGS")
    if args.repeat < 1:
        raise KfootError(f"--repeat {args.repeat}: at least 1")
    options: dict[str, Any] = {"collector": args.collector}
    if args.sequence or args.print:
        from kfoot.cli.common_bpf import collector_word, makers

        word = collector_word(args.collector, "--print" if args.print else "--sequence")
        options = {"collector": word, "makers": makers(printed=args.print)}
    captures: list[Capture] = []
    for number in range(1, args.repeat + 1):
        captures.append(
            record(
                command,
                use_case=args.use_case,
                out=_numbered(args.output, number) if args.repeat > 1 else args.output,
                **options,
                meanwhile=prepare,
                say=lambda text: print(f"kfoot: {text}", file=sys.stderr),
            )
        )
    summarise(captures, quiet=args.quiet)
    failed = [c.manifest.exit_status for c in captures if c.manifest.exit_status]
    return failed[0] if failed else 0


def _numbered(output: Path | None, number: int) -> Path | None:
    """NAME-1.kfoot, NAME-2.kfoot, ... for the replicates of NAME.kfoot."""
    return output and output.with_name(f"{output.name.removesuffix('.kfoot')}-{number}.kfoot")
