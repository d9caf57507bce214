"""What ``kfoot run`` and ``kfoot watch`` print when the recording is over."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kfoot.capture import Capture


def summarise(captures: Sequence[Capture]) -> None:
    """Derive each capture's footprint and print the summary, of several the merged one."""
    import kfoot.footprint as footprint
    from kfoot.reports.terminal import print_summary

    derive, merge = getattr(footprint, "derive", None), getattr(footprint, "merge", None)
    if derive and merge:
        print_summary(merge([derive(capture) for capture in captures]), file=sys.stderr)
    for capture in captures:
        print(f"kfoot: {capture.path}", file=sys.stderr)
