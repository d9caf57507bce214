"""Whether data read from a file is a footprint: every key there, every value of its type.

Reports and merging rely on it, so that a truncated or hand-made file is an InputError that names
the place, and never a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kfoot.errors import InputError

_COUNTS = frozenset(
    {"entered", "dispatched", "traced", "executed", "nr", "calls", "errors", "unfinished"}
    | {"time_us", "count", "in_interrupt", "id", "parent", "instances", "seen"}
)
_USES = frozenset({"before", "during", "after"})
_BY_NAME = frozenset({"errnos", "operations"})
_LISTS = frozenset({"reasons", "argv"})


def check(value: Any, tables: dict[str, tuple[str, ...]], path: Path | str) -> None:
    """Raise InputError naming the first place in ``value`` that is not as the contract says.

    ``tables`` are the names of the tables with their columns.
    """
    for where, expected in _wrong(value, tables):
        raise InputError(path, "is not a footprint", where=where, expected=expected)


def _wrong(value: Any, tables: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for key, entries in _HEAD.items():
        part = value.get(key)
        if not isinstance(part, dict):
            yield key, "an object"
            continue
        if not _texts(part.get("altered", [])):
            yield f"{key}.altered", "a list of text"
        if not _number(part.get("foreign_events")):
            yield f"{key}.foreign_events", "a number or null"
        for name, (fits, expected) in entries.items():
            if (name not in part and name != "watched") or not fits(part.get(name)):
                yield f"{key}.{name}", expected
    if not _text(value.get("use_case")):
        yield "use_case", "text or null"
    for table, columns in tables.items():
        rows = value.get(table)
        if not isinstance(rows, list):
            yield table, "a list"
            continue
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                yield f"{table}[{number}]", "an object"
                continue
            for column in (*columns, "seen"):
                fits, expected = _cell(table, column)
                if (column not in row and column != "seen") or not fits(row.get(column)):
                    yield f"{table}[{number}].{column}", expected
    yield from _lineage(value.get("processes"))


def _lineage(rows: Any) -> Iterator[tuple[str, str]]:
    """Merging walks the process tree: parents come before their children, numbers are known."""
    known: set[Any] = set()
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        if row["parent"] is not None and row["parent"] not in known:
            yield f"processes[{number}].parent", "the id of an earlier row, or null"
        for column in ("id", "calls", "instances"):
            if row[column] is None:
                yield f"processes[{number}].{column}", "a number"
        known.add(row["id"])


Check = tuple[Callable[[Any], bool], str]


def _cell(table: str, column: str) -> Check:
    if column in _COUNTS or (table == "modules" and column in _USES):
        return _number, "a number or null"
    if column in _BY_NAME:
        return _by_name, "numbers by name"
    if column in _LISTS or (table == "modules" and column == "config"):
        return _texts, "a list of text"
    if column in _USES:
        return _scalar, "a single value"
    return _text, "text or null"


def _number(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(
        number is not None and _number(number) for number in value.values()
    )


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _losses(value: Any) -> bool:
    return _rows(value) and all(
        isinstance(row.get("kind"), str)
        and isinstance(row.get("where"), str)
        and _number(row.get("count"))
        for row in value
    )


def _collectors(value: Any) -> bool:
    return _rows(value) and all(
        _text(row.get("name"))
        and _text(row.get("version"))
        and isinstance(row.get("options") or {}, dict)
        for row in value
    )


def _checks(value: Any) -> bool:
    return _rows(value) and all(
        isinstance(row.get("first"), str)
        and isinstance(row.get("second"), str)
        and isinstance(row.get("compared"), int)
        and isinstance(row.get("equal"), int)
        and isinstance(row.get("differences"), list)
        and all(map(_difference, row["differences"]))
        for row in value
    )


def _difference(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_number, value[1:]))


def _one_or_more(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A merged footprint lists the values its captures do not agree on."""
    return lambda value: all(map(fits, value)) if isinstance(value, list) else fits(value)


def _atlas(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_scalar, value.values())))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_HEAD: dict[str, dict[str, Check]] = {
    "workload": {
        "argv": (_texts, "a list of text"),
        "exit_status": (_one_or_more(_number), "a number or null"),
        "signal": (_one_or_more(_scalar), "text or null"),
        "started": (_number, "a number or null"),
        "duration_s": (_number, "a number or null"),
    },
    "environment": {
        "kernel": (_one_or_more(_text), "text or null"),
        "arch": (_one_or_more(_text), "text or null"),
        "abis": (_texts, "a list of text"),
        "atlas": (_one_or_more(_atlas), "an object or null"),
    },
    "evidence": {
        "collectors": (_collectors, "a list of collectors"),
        "losses": (_losses, "a list of losses"),
        "checks": (_checks, "a list of comparisons"),
        "valid": (lambda value: value in (True, False, None), "true, false or null"),
    },
    "capture": {
        "kind": (_text, "text or null"),
        "watched": (_one_or_more(_text), "text or null"),
        "replicates": (_whole, "a number from 1 on"),
        "not_recorded": (_texts, "a list of text"),
        "raw_sha256": (lambda value: isinstance(value, dict), "an object"),
        "kfoot": (_text, "text or null"),
    },
}
