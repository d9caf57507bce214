"""A capture's tables as Arrow and Parquet, for SQL and for data frames.

Two kinds. The footprint's own tables have the names and columns of the footprint contract
(docs/footprint.md). Beside them stand what a footprint leaves out: ``calls``, ``process_events``
and ``steps`` keep processes apart and in order, ``tasks`` names them, ``losses`` says what is
missing. Names repeat much, so text columns are dictionaries. Derived: delete and make again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.errors import KfootError
from kfoot.readers.reading import Process, Reading

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT, _COUNT, _TIME, _LIST, _MAP, _FLAG = "text", "count", "time", "list", "map", "flag"

FOOTPRINT: dict[str, dict[str, str]] = {
    "areas": {"name": _TEXT, "entered": _COUNT, "dispatched": _COUNT, "traced": _COUNT,
              "executed": _COUNT},
    "sections": {"name": _TEXT, "area": _TEXT, "entered": _COUNT, "dispatched": _COUNT,
                 "traced": _COUNT, "executed": _COUNT},
    "syscalls": {"abi": _TEXT, "name": _TEXT, "nr": _COUNT, "calls": _COUNT, "errors": _COUNT,
                 "errnos": _MAP, "unfinished": _COUNT, "time_us": _TIME, "file": _TEXT,
                 "section": _TEXT, "area": _TEXT},
    "ioctls": {"object": _TEXT, "driver": _TEXT, "request": _TEXT, "name": _TEXT,
               "calls": _COUNT, "errors": _COUNT, "errnos": _MAP, "file": _TEXT,
               "section": _TEXT, "area": _TEXT},
    "objects": {"kind": _TEXT, "name": _TEXT, "driver": _TEXT, "operations": _MAP,
                "file": _TEXT, "section": _TEXT, "area": _TEXT, "how": _TEXT},
    "events": {"system": _TEXT, "name": _TEXT, "count": _COUNT, "in_interrupt": _COUNT,
               "file": _TEXT, "section": _TEXT, "area": _TEXT},
    "functions": {"name": _TEXT, "count": _COUNT, "file": _TEXT, "section": _TEXT,
                  "area": _TEXT},
    "modules": {"name": _TEXT, "before": _COUNT, "during": _COUNT, "after": _COUNT,
                "config": _TEXT, "section": _TEXT, "area": _TEXT},
    "config": {"option": _TEXT, "value": _TEXT, "reasons": _LIST},
    "processes": {"id": _TEXT, "exe": _TEXT, "argv": _LIST, "parent": _TEXT,
                  "instances": _COUNT, "calls": _COUNT},
    "changes": {"what": _TEXT, "name": _TEXT, "before": _TEXT, "after": _TEXT},
    "unmapped": {"kind": _TEXT, "name": _TEXT, "count": _COUNT},
}  # fmt: skip
"""Tables of the footprint contract with the type of each column."""

RECORDED: dict[str, dict[str, str]] = {
    "calls": {"source": _TEXT, "pid": _COUNT, "exe": _TEXT, "comm": _TEXT, "abi": _TEXT,
              "nr": _COUNT, "name": _TEXT, "outcome": _TEXT, "request_nr": _COUNT,
              "request": _TEXT, "object_kind": _TEXT, "object": _TEXT, "object2": _TEXT,
              "calls": _COUNT, "time_us": _TIME},
    "process_events": {"source": _TEXT, "pid": _COUNT, "exe": _TEXT, "comm": _TEXT,
                       "system": _TEXT, "name": _TEXT, "context": _TEXT, "count": _COUNT},
    "steps": {"source": _TEXT, "step": _COUNT, "pid": _COUNT, "tid": _COUNT, "exe": _TEXT,
              "nr": _COUNT, "name": _TEXT, "outcome": _TEXT, "request_nr": _COUNT,
              "request": _TEXT, "object": _TEXT, "times": _COUNT},
    "tasks": {"source": _TEXT, "pid": _COUNT, "parent": _COUNT, "exe": _TEXT, "argv": _LIST,
              "comm": _TEXT, "abi": _TEXT, "exit_status": _COUNT, "signal": _TEXT},
    "losses": {"kind": _TEXT, "where": _TEXT, "count": _COUNT},
}  # fmt: skip
"""Tables of what the raw files say, before anything is attributed or merged."""


def from_footprint(footprint: Mapping[str, Any]) -> dict[str, pa.Table]:
    """The footprint's tables. A merged footprint's rows also have ``seen``."""
    found = {}
    for name, columns in FOOTPRINT.items():
        rows = footprint.get(name) or []
        seen = {"seen": _COUNT} if any("seen" in row for row in rows) else {}
        found[name] = _table(rows, {**columns, **seen})
    return found


def from_readings(readings: Sequence[Reading]) -> dict[str, pa.Table]:
    """The tables of RECORDED. ``pid`` is the process' own number, as the recorder saw it."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in RECORDED}
    for reading in readings:
        rows["calls"] += _calls(reading)
        rows["process_events"] += _events(reading)
        rows["steps"] += _steps(reading)
        rows["tasks"] += _tasks(reading)
        rows["losses"] += [
            {"kind": loss.kind, "where": loss.where, "count": loss.count} for loss in reading.losses
        ]
    return {name: _table(rows[name], columns) for name, columns in RECORDED.items()}


def write(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write NAME.parquet files (zstd) into a folder, each beside and renamed."""
    import pyarrow.parquet as pq

    try:
        folder.mkdir(exist_ok=True)
        for name, table in tables.items():
            path = folder / f"{name}.parquet"
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                pq.write_table(table, beside, compression="zstd")
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise KfootError(f"cannot write tables to {folder}: {error}") from error


def _process(reading: Reading, index: int | None) -> dict[str, Any]:
    if index is None:
        return {"pid": None, "exe": None, "comm": None}
    process: Process = reading.processes[index]
    return {"pid": process.pid, "exe": process.exe, "comm": process.comm}


def _object(reading: Reading, index: int | None) -> str | None:
    return None if index is None else reading.objects[index].name


def _calls(reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "source": reading.source,
            **_process(reading, key.process),
            "abi": key.abi,
            "nr": key.nr,
            "name": key.name,
            "outcome": key.outcome,
            "request_nr": key.request.nr if key.request else None,
            "request": key.request.text if key.request else None,
            "object_kind": None if key.object is None else reading.objects[key.object].kind,
            "object": _object(reading, key.object),
            "object2": _object(reading, key.object2),
            "calls": count.calls,
            "time_us": None if count.time_ns is None else count.time_ns / 1000,
        }
        for key, count in reading.calls.items()
    ]


def _events(reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "source": reading.source,
            **_process(reading, at),
            "system": key.system,
            "name": key.name,
            "context": key.context,
            "count": count,
        }
        for key, by_process in reading.events.items()
        for at, count in by_process.items()
    ]


def _steps(reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "source": reading.source,
            "step": number,
            **_process(reading, step.process),
            "tid": step.tid,
            "nr": step.nr,
            "name": step.name,
            "outcome": step.outcome,
            "request_nr": step.request.nr if step.request else None,
            "request": step.request.text if step.request else None,
            "object": _object(reading, step.object),
            "times": step.times,
        }
        for number, step in enumerate(reading.steps)
    ]


def _tasks(reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "source": reading.source,
            **_process(reading, index),
            "parent": None if p.parent is None else reading.processes[p.parent].pid,
            "argv": list(p.argv),
            "abi": p.abi,
            "exit_status": p.exit_status,
            "signal": p.signal,
        }
        for index, p in enumerate(reading.processes)
    ]


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa

    make = _makers(pa)
    return pa.table(
        {key: make[kind]([row.get(key) for row in rows]) for key, kind in columns.items()}
    )


def _makers(pa: Any) -> dict[str, Callable[[list[Any]], Any]]:
    text = pa.dictionary(pa.int32(), pa.string())

    def counts(values: list[Any]) -> Any:
        # A number that does not fit stands in a corrupt trace: it is said to be unknown.
        fit = [v if v is None or -(1 << 63) <= v < 1 << 63 else None for v in values]
        return pa.array(fit, pa.int64())

    return {
        _TEXT: lambda values: pa.array([_clean(v) for v in values], pa.string()).cast(text),
        _COUNT: counts,
        _TIME: lambda values: pa.array(values, pa.float64()),
        _LIST: lambda values: pa.array(
            [None if v is None else [_clean(item) for item in v] for v in values],
            pa.list_(pa.string()),
        ),
        _MAP: lambda values: pa.array(
            [None if v is None else [(_clean(k), n) for k, n in v.items()] for v in values],
            pa.map_(pa.string(), pa.int64()),
        ),
        _FLAG: lambda values: pa.array(values, pa.bool_()),
    }


def _clean(value: Any) -> str | None:
    """Text as UTF-8: Arrow holds no lone surrogates, which stand for bytes that are none."""
    if value is None:
        return None
    try:
        raw = str(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = str(value).encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")
