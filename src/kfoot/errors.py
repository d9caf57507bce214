"""The one error kfoot raises on purpose, with the exit status it stands for.

Exit statuses (see docs/cli.md): 1 the answer is "no", 2 the command line or an input is wrong,
3 the evidence is not valid, 125 kfoot itself failed while running a workload, 126 and 127 the
command could not be run or found. Caught once, in ``kfoot.cli``.
"""

from __future__ import annotations

from pathlib import Path


class KfootError(Exception):
    """Something the user can act on. ``hint`` says what to type or do next."""

    status = 2

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None):
        super().__init__(message)
        self.hint = hint
        if status is not None:
            self.status = status


class InputError(KfootError):
    """An input file is truncated, corrupt or foreign.

    ``where`` is "line 12" or "offset 4096", ``expected`` what should have stood there.
    """

    def __init__(
        self,
        path: Path | str,
        message: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ):
        place = f"{path}: {where}" if where else f"{path}"
        tail = f" (expected {expected})" if expected else ""
        super().__init__(f"{place}: {message}{tail}", hint=hint)


class EvidenceError(KfootError):
    """The evidence is not valid: unexplained loss, a collector failed, the wrong kernel."""

    status = 3


class RecordError(KfootError):
    """kfoot itself failed while recording."""

    status = 125
