"""kfoot from Python: record or open a capture, and have its tables as Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.capture import Capture
from kfoot.footprint import contract, derive
from kfoot.footprint import load as load_footprint
from kfoot.footprint.contract import Footprint

if TYPE_CHECKING:
    import pyarrow as pa


class Result:
    """A capture with its footprint."""

    def __init__(self, capture: Capture):
        self.capture = capture

    def __repr__(self) -> str:
        return f"<kfoot.Result {self.capture.path}>"

    @property
    def exit_status(self) -> int | None:
        """The workload's exit status; None when nothing was run (an import)."""
        return self.capture.manifest.exit_status

    @cached_property
    def footprint(self) -> Footprint:
        """The footprint (see docs/footprint.md), derived from the raw files when not there yet."""
        return load_footprint(self.capture.path)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the footprint's tables."""
        return tuple(contract.TABLES)

    def table(self, name: str) -> pa.Table:
        """One table of the footprint. Raises KeyError for a name that is none."""
        import pyarrow as pa

        columns = contract.TABLES[name]
        rows = self.footprint[name]
        return pa.table({column: _column([row.get(column) for row in rows]) for column in columns})


def _column(values: list[object]) -> pa.Array[Any]:
    """Counts by name ({errno: n}, {operation: n}) become Arrow maps, so that the type of a column
    does not depend on which names occur."""
    import pyarrow as pa

    if any(isinstance(value, dict) for value in values):
        pairs = [list(value.items()) if isinstance(value, dict) else None for value in values]
        return pa.array(pairs, pa.map_(pa.string(), pa.int64()))
    return pa.array(values)


def run(
    argv: Sequence[str],
    *,
    use_case: str | None = None,
    out: Path | str | None = None,
    collector: str = "auto",
) -> Result:
    """Run a command, record it and derive its footprint.

    ``argv`` is the command with its arguments, ``out`` the capture folder to make (default: a new
    one in the current directory), ``collector`` as ``kfoot run --collector``. Raises RecordError
    when recording failed; the workload's own failure is ``exit_status``, not an error.
    """
    from kfoot.collect.session import record

    capture = record(
        list(argv), use_case=use_case, out=Path(out) if out else None, collector=collector
    )
    derive(capture)
    return Result(capture)


def load(path: Path | str) -> Result:
    """Open a capture folder. Raises InputError when it is none."""
    return Result(Capture.open(path))
