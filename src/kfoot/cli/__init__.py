"""The command line: finds the command's file, runs it, turns errors into exit statuses.

One file a command. Its docstring is the help text (first line: the one-line summary), and it has
``configure(parser)`` and ``run(args) -> int``. Only the file of the command that was typed is
imported, so that ``kfoot --help`` and look-ups stay quick.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from kfoot import __version__
from kfoot.errors import KfootError

_RECORDING = ("run", "watch")
"""Commands whose exit status is the workload's; kfoot's own failures are 125 there."""


def commands() -> dict[str, Path]:
    """Command names with the files that implement them (``import_.py`` is ``import``)."""
    here = Path(__file__).parent
    return {
        path.stem.rstrip("_"): path
        for path in sorted(here.glob("[a-z]*.py"))
        if not path.stem.startswith("common")
    }


def docstring(path: Path) -> str:
    """The module's docstring, without importing it."""
    return ast.get_docstring(ast.parse(path.read_bytes())) or ""


def _load(name: str, path: Path) -> ModuleType:
    return importlib.import_module(f"kfoot.cli.{path.stem}")


def overview() -> str:
    """The text of ``kfoot --help``."""
    lines = [
        "usage: kfoot COMMAND ...",
        "",
        "Run any workload and get its Linux kernel footprint, as evidence.",
        "",
        "commands:",
    ]
    for name, path in commands().items():
        lines.append(f"  {name:<10} {docstring(path).splitlines()[0].rstrip('.')}")
    lines += ["", "`kfoot COMMAND --help` says more; start with `kfoot run -- ls -l`."]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (see docs/cli.md)."""
    words = list(sys.argv[1:] if argv is None else argv)
    known = commands()
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"kfoot {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in known:
        import difflib

        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `kfoot {close[0]}`?" if close else "`kfoot --help` lists them"
        return _complain(KfootError(f"there is no command {name!r}", hint=hint))
    module = _load(name, known[name])
    text = docstring(known[name])
    parser = argparse.ArgumentParser(
        prog=f"kfoot {name}",
        description=text,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    try:
        args = parser.parse_args(rest)
    except SystemExit as leave:
        # 2 would look like the workload's own (env(1) exits 125, too).
        return 125 if leave.code == 2 and name in _RECORDING else int(leave.code or 0)
    try:
        status: int = module.run(args)
        if sys.stdout is not None:  # started with it closed
            sys.stdout.flush()
    except KfootError as error:
        if name in _RECORDING and error.status == 2:
            error.status = 125
        return _complain(error)
    except KeyboardInterrupt:
        print("kfoot: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _complain(error: KfootError) -> int:
    print(f"kfoot: {error}", file=sys.stderr)
    if error.hint:
        print(f"kfoot: {error.hint}", file=sys.stderr)
    return error.status
