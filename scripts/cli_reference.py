"""Write docs/cli.md from the command line itself; with --check only say whether it is current."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from kfoot import cli

HEAD = """# The command line

This page is written by `python scripts/cli_reference.py` and tested against the command line.

## Exit status

`kfoot run` and `kfoot watch` exit as `timeout(1)` and `env(1)` do: with the workload's own status
(128+n when signal n killed it); 125 when kfoot itself failed; 126, 127 when the command could not
be run or found. Every other command: 0 fine; 1 the answer is "no" (not found, files differ); 2 the
command line or an input is wrong; 3 the evidence is not valid (loss, a collector failed).
"""


def help_of(words: list[str]) -> str:
    """What ``kfoot WORDS --help`` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return out.getvalue().rstrip()


def text() -> str:
    """The whole page."""
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    parts = [HEAD, "```", cli.overview(), "```"]
    for name in cli.commands():
        parts += ["", f"## kfoot {name}", "", "```", help_of([name]), "```"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    page = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
    if "--check" in sys.argv:
        sys.exit(page.read_text() != text())
    page.write_text(text())
