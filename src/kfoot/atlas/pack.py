"""Writing an atlas: rows to the one file ``kfoot.atlas.store`` maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kfoot.atlas.layout import Heap, Where, assemble
from kfoot.atlas.schema import PACKED_POOLS, TABLES, Column, Row, TableSchema, Value

LEVEL = 12
"""Of zstd: 19 would save a tenth of the functions and take a third of the whole build's time."""


def pack(header: Mapping[str, Any], tables: Mapping[str, Iterable[Row]]) -> bytes:
    """The file's bytes. ``header``: release, source, source_sha256, rules, notes (all JSON).

    Rows are sorted and freed of duplicates here; their order does not matter.
    """
    sorted_rows = {name: _sorted(rows, TABLES[name], name) for name, rows in sorted(tables.items())}
    pools = _pools(sorted_rows)
    heap = Heap()
    places = {name: _write_shared(name, pool, heap) for name, pool in pools.items()}
    codes = {name: {text: n for n, text in enumerate(pool)} for name, pool in pools.items()}
    out: dict[str, Any] = {}
    for name, rows in sorted_rows.items():
        out[name] = _write_table(rows, TABLES[name], heap, codes)
    return assemble({**header, "pools": places, "tables": out}, heap)


def _sorted(rows: Iterable[Row], schema: TableSchema, name: str) -> list[Row]:
    keys = [index for key in schema.key for index in _positions(schema, key)]
    unique = set(rows)
    for row in unique:
        if len(row) != len(schema.columns):
            raise ValueError(f"table {name}: a row has {len(row)} values: {row!r}")
    if keys == list(range(len(keys))):
        try:
            return sorted(unique)  # ten times quicker
        except TypeError:
            pass  # a None was compared with something
    order = keys + [n for n in range(len(schema.columns)) if n not in keys]
    return sorted(unique, key=lambda row: tuple(_comparable(row[n]) for n in order))


def _positions(schema: TableSchema, name: str) -> list[int]:
    return [n for n, column in enumerate(schema.columns) if column.name == name]


def _comparable(value: Value) -> tuple[bool, Any]:
    """None comes first."""
    return (value is not None, value)


def _strings(rows: Sequence[Row], index: int, kind: str) -> Iterator[str]:
    for row in rows:
        value = row[index]
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from value


def _pools(tables: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
    """The shared dictionaries, each sorted."""
    found: dict[str, set[str]] = {}
    for name, rows in tables.items():
        for index, column in enumerate(TABLES[name].columns):
            if column.pool:
                found.setdefault(column.pool, set()).update(_strings(rows, index, column.kind))
    return {name: sorted(found[name]) for name in sorted(found)}


def _write_shared(name: str, pool: Sequence[str], outer: Heap) -> dict[str, Any]:
    packed = name in PACKED_POOLS
    heap = Heap(packed=True) if packed else outer
    entry = _write_pool(pool, heap, split=name == "path")
    if packed:
        entry["packed"] = _frame(heap, outer)
    return entry


def _frame(heap: Heap, outer: Heap) -> Where:
    """A packed heap's buffers as one zstd frame."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    return outer.add(packer.compress(heap.bytes()), "s")


def _write_pool(pool: Sequence[str], heap: Heap, *, split: bool = False) -> dict[str, Any]:
    """Text and offsets; of a split pool the folders once and the file names by folder."""
    if split:
        pairs = [text.rpartition("/") for text in pool]
        folders = sorted({head + slash for head, slash, _ in pairs})
        code = {text: n for n, text in enumerate(folders)}
        return {
            "folders": _write_pool(folders, heap),
            "folder": heap.numbers([code[head + slash] for head, slash, _ in pairs]),
            **_write_pool([tail for _, _, tail in pairs], heap),
        }
    encoded = [text.encode("utf-8", "replace") for text in pool]
    offsets = [0]
    for text in encoded:
        offsets.append(offsets[-1] + len(text))
    return {"n": len(pool), "offsets": heap.rising(offsets), "text": heap.text(b"".join(encoded))}


def _write_table(
    rows: Sequence[Row], schema: TableSchema, outer: Heap, codes: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    heap = Heap(packed=True) if schema.packed else outer
    columns = {}
    ranks: dict[str, list[Any]] = {}
    for index, column in enumerate(schema.columns):
        values = [row[index] for row in rows]
        entry, ranks[column.name] = _write_column(values, column, heap, codes, schema.key[0])
        columns[column.name] = entry
    indexes = {
        name: heap.numbers(sorted(range(len(rows)), key=_by(ranks[name])))
        for name in schema.indexes
    }
    out: dict[str, Any] = {"rows": len(rows), "columns": columns, "indexes": indexes}
    if schema.packed:
        out["packed"] = _frame(heap, outer)
    return out


def _by(ranks: Sequence[int | None]) -> Callable[[int], tuple[bool, Any]]:
    return lambda row: _comparable(ranks[row])


def _write_column(
    values: list[Value],
    column: Column,
    heap: Heap,
    codes: Mapping[str, Mapping[str, int]],
    key: str,
) -> tuple[dict[str, Any], list[Any]]:
    """The column's entry in the header, and the numbers (None for null) it was written as."""
    entry: dict[str, Any] = {"kind": column.kind}
    numbers: list[Any]
    if column.kind in ("str", "strs"):
        if column.pool:
            code: Mapping[str, int] = codes[column.pool]
            entry["pool"] = column.pool
        else:
            words = sorted(set(_strings([(value,) for value in values], 0, column.kind)))
            entry["own"] = _write_pool(words, heap)
            code = {text: n for n, text in enumerate(words)}
        if column.kind == "str":
            numbers = [None if v is None else code[v] for v in values]  # type: ignore[index]
        else:
            coded = [
                None if v is None else tuple(code[word] for word in v)  # type: ignore[union-attr]
                for v in values
            ]
            lists = sorted({v for v in coded if v is not None})
            offsets = [0]
            for item in lists:
                offsets.append(offsets[-1] + len(item))
            entry["offsets"] = heap.rising(offsets)
            entry["items"] = heap.numbers([word for item in lists for word in item])
            position = {item: n for n, item in enumerate(lists)}
            numbers = [None if v is None else position[v] for v in coded]
    else:
        numbers = [None if v is None else int(v) for v in values]  # type: ignore[arg-type]
    filled = [0 if v is None else v for v in numbers]
    rising = column.name == key and heap.packed and None not in numbers
    entry["values"] = heap.rising(filled) if rising else heap.numbers(filled)
    if None in numbers:
        entry["valid"] = heap.bits(v is not None for v in numbers)
    return entry, numbers
