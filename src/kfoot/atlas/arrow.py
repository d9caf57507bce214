"""Tables of an atlas as pyarrow tables, wrapping the mapped columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from kfoot.atlas.layout import Rising, whole
from kfoot.atlas.store import Pool, Table

_TYPES = {
    "B": pa.uint8(),
    "b": pa.int8(),
    "H": pa.uint16(),
    "h": pa.int16(),
    "I": pa.uint32(),
    "i": pa.int32(),
    "Q": pa.uint64(),
    "q": pa.int64(),
}


def table(source: Table) -> pa.Table:
    """Text columns come as dictionary arrays, lists as list<string>, bools as uint8 0 and 1."""
    return pa.table({name: _column(source, name) for name in source.names})


def _column(source: Table, name: str) -> Any:
    column = source.columns[name]
    numbers = _array(column.values, source.n, column.valid)
    if column.pool is None:
        return numbers
    words = _pool(column.pool)
    if column.kind == "str":
        return pa.DictionaryArray.from_arrays(numbers, words)
    offsets = _array(column.offsets, len(column.offsets)).cast(pa.int32())
    items = _array(column.items, len(column.items))
    lists = pa.ListArray.from_arrays(offsets, words.take(items))
    return lists.take(numbers)


def _array(view: memoryview | Rising, n: int, valid: memoryview | None = None) -> Any:
    if isinstance(view, Rising):
        view = view.whole()
    bitmap = None if valid is None else pa.py_buffer(valid)
    return pa.Array.from_buffers(_TYPES[view.format], n, [bitmap, pa.py_buffer(view)])


def _pool(pool: Pool) -> Any:
    if pool.folders is not None:
        return pa.array(list(pool))
    if not len(pool):
        return pa.array([], pa.string())
    return pa.StringArray.from_buffers(
        len(pool), pa.py_buffer(whole(pool.offsets)), pa.py_buffer(pool.text)
    )
