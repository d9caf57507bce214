"""How often each task made each call, and nothing else: the quickest look at strace text.

>>> strace_counts.count("strace.txt")            # doctest: +SKIP
{(1234, "read"): 1000000, (1234, "close"): 3}
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from kfoot.readers.native import native, threads_here, whole_lines

COUNTED = re.compile(
    rb"(?:\[pid +([1-9]\d{0,6})\] +|([1-9]\d{0,6}) +)?"
    rb"(?:(?:\d\d:\d\d:\d\d|\d{8,11})(?:\.\d{1,9})? )?([A-Za-z_]\w*)\(",
    re.A,
)
"""A line that begins a call, whole or unfinished, in the columns of -f, -t, -tt and -ttt."""
_LONGEST = 1 << 16


def count(path: Path | str) -> dict[tuple[int | None, str], int]:
    """Calls by task (None: the line names none) and name. Other lines are passed over.

    Raises InputError when the file cannot be read.
    """
    module = native()
    found: Counter[tuple[int, bytes]] = Counter()
    for piece in whole_lines(Path(path), _LONGEST):
        if module is not None:
            found.update(module.strace_counts(piece, threads_here()))
        else:
            found.update(_counted(bytes(piece)))
    return {
        (pid if pid >= 0 else None, name.decode("ascii")): number
        for (pid, name), number in found.items()
    }


def _counted(piece: bytes) -> Counter[tuple[int, bytes]]:
    lines = map(COUNTED.match, piece.split(b"\n"))
    return Counter((int(m[1] or m[2] or -1), m[3]) for m in lines if m is not None)
