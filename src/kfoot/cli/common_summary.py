"""What ``kfoot run`` and ``kfoot watch`` print when the recording is over."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kfoot.capture import Capture
from kfoot.errors import KfootError


def prepare() -> None:
    """Import what ``summarise`` needs, a tenth of a second, when there is time for it."""
    from kfoot.footprint import derive  # noqa: F401
    from kfoot.reports.terminal import print_summary  # noqa: F401


def summarise(captures: Sequence[Capture], *, quiet: bool = False) -> None:
    """Derive each capture's footprint; print the summary (of several the merged one) and where
    the captures are, unless ``quiet``.

    Raises KfootError when that fails; the captures are complete all the same, and it says so.
    """
    from kfoot.footprint import derive, merge
    from kfoot.reports.terminal import print_summary

    try:
        footprints = [derive(capture) for capture in captures]
    except KfootError as error:
        names = ", ".join(str(capture.path) for capture in captures)
        raise KfootError(f"recorded {names}, but: {error}", hint=error.hint) from error
    if quiet:
        return
    print_summary(merge(footprints), file=sys.stderr)
    for capture in captures:
        print(f"kfoot: {capture.path}", file=sys.stderr)
