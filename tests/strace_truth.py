"""Counts of a strace text made with nothing of kfoot: entries by name, errors by name and errno.

Knows only traces written with ``-f -o FILE`` (every line has a pid) and no other option that adds
columns. Deliberately naive: what begins a line is a call, what ends in an errno is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

_ENTRY = re.compile(r"^\d+ +(\w+)\(")
_RESUMED = re.compile(r"^\d+ +<\.\.\. (\w+) resumed>")
_ERROR = re.compile(r"\) += (?:-1|\?) (E[A-Z0-9_]+) \([A-Z].*$")


def count(path: Path) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Calls by name; errors by (name, errno)."""
    calls: Counter[str] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for line in path.read_text(errors="replace").split("\n"):
        entry = _ENTRY.match(line)
        resumed = _RESUMED.match(line)
        if entry:
            calls[entry[1]] += 1
        error = _ERROR.search(line)
        started = entry or resumed
        if error and started:
            errors[started[1], error[1]] += 1
    return calls, errors
