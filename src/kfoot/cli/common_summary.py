"""What ``kfoot run`` and ``kfoot watch`` print when the recording is over."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kfoot.capture import Capture


def summarise(captures: Sequence[Capture], *, quiet: bool = False) -> None:
    """Derive each capture's footprint; print the summary (of several the merged one) and where
    the captures are, unless ``quiet``."""
    from kfoot.footprint import derive, merge
    from kfoot.reports.terminal import print_summary

    footprints = [derive(capture) for capture in captures]
    if quiet:
        return
    print_summary(merge(footprints), file=sys.stderr)
    for capture in captures:
        print(f"kfoot: {capture.path}", file=sys.stderr)
