"""An atlas on disk: one file, columnar, memory-mapped, the same bytes for the same rows.

Look-ups by key or index bisect the raw columns: no table is loaded, no library imported. The
columns lie in the Arrow memory layout, so ``Table.arrow`` wraps them without copying (lists are
put together on the way). A packed table is one zstd frame, unpacked when first asked for.
"""

from __future__ import annotations

import mmap
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfoot.atlas.layout import Where, dissect, piece, view_of
from kfoot.atlas.schema import TABLES
from kfoot.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".atlas"

_FIRST = -(1 << 64)
"""Below every stored number."""

_BROKEN = (IndexError, ValueError, KeyError, TypeError, AttributeError, AssertionError, MemoryError)
"""What reading a damaged file comes to."""


def _unpacked(data: memoryview, entry: Mapping[str, Any]) -> memoryview:
    """Where an entry's buffers lie: in the file, or in a zstd frame of it."""
    if "packed" not in entry:
        return data
    import zstandard

    frame = bytes(view_of(data, entry["packed"]))
    try:
        return memoryview(zstandard.ZstdDecompressor().decompress(frame))
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


class Pool(Sequence[str]):
    """A sorted dictionary of strings."""

    def __init__(self, data: memoryview, entry: Mapping[str, Any]):
        data = _unpacked(data, entry)
        self.offsets = piece(data, entry["offsets"])
        self.text = view_of(data, entry["text"])
        self.n = int(entry["n"])
        self.folders: Pool | None = None
        if "folders" in entry:
            self.folders = Pool(data, entry["folders"])
            self.folder = view_of(data, entry["folder"])

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, code: Any) -> Any:
        text = str(self.text[self.offsets[code] : self.offsets[code + 1]], "utf-8")
        return text if self.folders is None else self.folders[self.folder[code]] + text

    def code(self, text: str) -> int | None:
        """The number of a string; None when it is not in the pool."""
        found = bisect_left(self, text)
        return found if found < self.n and self[found] == text else None


class _Column:
    """One column of a mapped table."""

    def __init__(self, data: memoryview, entry: Mapping[str, Any], pools: Mapping[str, Pool]):
        self.kind: str = entry["kind"]
        self.values = piece(data, entry["values"])
        self.valid = view_of(data, entry["valid"]) if "valid" in entry else None
        self.pool: Pool | None = None
        if "pool" in entry:
            self.pool = pools[entry["pool"]]
        elif "own" in entry:
            self.pool = Pool(data, entry["own"])
        if self.kind == "strs":
            self.offsets = piece(data, entry["offsets"])
            self.items = view_of(data, entry["items"])

    def number(self, row: int) -> int | None:
        """The stored number: a dictionary code for text."""
        if self.valid is not None and not self.valid[row >> 3] >> (row & 7) & 1:
            return None
        return int(self.values[row])

    def value(self, row: int) -> Any:
        number = self.number(row)
        if number is None or self.kind == "int":
            return number
        if self.kind == "bool":
            return bool(number)
        assert self.pool is not None
        if self.kind == "str":
            return self.pool[number]
        codes = self.items[self.offsets[number] : self.offsets[number + 1]]
        return tuple(self.pool[code] for code in codes)

    def rank(self, row: int) -> int:
        """For bisection: nulls come first."""
        number = self.number(row)
        return _FIRST if number is None else number


class Table:
    """One table of an atlas."""

    def __init__(
        self,
        data: memoryview,
        entry: Mapping[str, Any],
        pools: Mapping[str, Pool],
        name: str,
        path: Path,
    ):
        self.name = name
        self.path = path
        self.n = int(entry["rows"])
        schema = TABLES[name]
        self.names = tuple(column.name for column in schema.columns)
        self.key = schema.key[0]
        data = _unpacked(data, entry)
        self.columns = {
            column: _Column(data, entry["columns"][column], pools) for column in self.names
        }
        self.indexes = {column: view_of(data, at) for column, at in entry["indexes"].items()}

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return map(self.row, range(self.n))

    def row(self, number: int) -> tuple[Any, ...]:
        """The row's values in the order of the schema."""
        try:
            return tuple(self.columns[name].value(number) for name in self.names)
        except _BROKEN as error:
            raise self._broken(error) from None

    def value(self, number: int, column: str) -> Any:
        about = self.columns[column]
        try:
            return about.value(number)
        except _BROKEN as error:
            raise self._broken(error) from None

    def words(self, column: str) -> tuple[str, ...]:
        """Every different text of a text column, sorted (of all tables that share it)."""
        try:
            return tuple(self.columns[column].pool or ())
        except _BROKEN as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> InputError:
        return InputError(
            self.path,
            f"table {self.name} is broken: {error}",
            expected="an atlas as this kfoot builds them",
            hint="build it again: kfoot atlas build SOURCE",
        )

    def find(self, column: str, value: int | str) -> list[int]:
        """Numbers of the rows whose key or indexed ``column`` is ``value``, in table order."""
        try:
            return self._find(column, value)
        except _BROKEN as error:
            raise self._broken(error) from None

    def _find(self, column: str, value: int | str) -> list[int]:
        about = self.columns[column]
        code: int | None
        if isinstance(value, str):
            code = None if about.pool is None else about.pool.code(value)
        else:
            code = value
        if code is None:
            return []
        if column == self.key:
            low = bisect_left(range(self.n), code, key=about.rank)
            return list(range(low, bisect_right(range(self.n), code, lo=low, key=about.rank)))
        order = self.indexes[column]
        low = bisect_left(order, code, key=about.rank)
        return list(order[low : bisect_right(order, code, lo=low, key=about.rank)])

    def select(self, column: str, value: int | str) -> list[tuple[Any, ...]]:
        """Rows whose key or indexed ``column`` is ``value``."""
        return [self.row(number) for number in self.find(column, value)]

    def arrow(self) -> pa.Table:
        """The whole table; numbers and text without a copy."""
        from kfoot.atlas.arrow import table

        return table(self)


class AtlasFile:
    """An opened atlas file."""

    def __init__(self, path: Path):
        if sys.byteorder != "little":
            raise InputError(path, "atlases are kept for little-endian machines")
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read: {error}", expected="an atlas file") from None
        try:
            self.header, self._data = dissect(self._map)
            self._pools = _LazyPools(self._data, self.header["pools"])
            self._entries: dict[str, Any] = self.header["tables"]
            self._rows = {name: int(entry["rows"]) for name, entry in self._entries.items()}
            for name in ("release", "source", "rules"):
                self.header[name]
        except _BROKEN as error:
            raise InputError(
                path, str(error), expected="an atlas file", hint="`kfoot atlas build` makes one"
            ) from None
        self._tables: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        """A table by name; an empty one when this atlas was built without it."""
        if name not in self._tables:
            try:
                entry = self._entries.get(name) or _empty(name)
                table = Table(self._data, entry, self._pools, name, self.path)
            except _BROKEN as error:
                raise InputError(
                    self.path,
                    f"table {name} cannot be read: {error!r}",
                    expected="an atlas as this kfoot builds them",
                    hint="build it again: kfoot atlas build SOURCE",
                ) from None
            self._tables[name] = table
        return self._tables[name]

    def rows(self) -> dict[str, int]:
        """Row counts by table."""
        return dict(sorted(self._rows.items()))

    def sha256(self) -> str:
        """Hex digest of the whole file."""
        import hashlib  # not needed for a look-up

        return hashlib.sha256(self._map).hexdigest()


class _LazyPools(dict[str, Pool]):
    def __init__(self, data: memoryview, entries: Mapping[str, Any]):
        super().__init__()
        self._data = data
        self._entries = entries

    def __missing__(self, name: str) -> Pool:
        pool = self[name] = Pool(self._data, self._entries[name])
        return pool


def _empty(name: str) -> dict[str, Any]:
    nothing: Where = [0, 0, "B"]
    pool = {"n": 0, "offsets": nothing, "text": nothing}
    return {
        "rows": 0,
        "columns": {
            column.name: {
                "kind": column.kind,
                "values": nothing,
                "own": pool,
                "offsets": nothing,
                "items": nothing,
            }
            for column in TABLES[name].columns
        },
        "indexes": dict.fromkeys(TABLES[name].indexes, nothing),
    }
