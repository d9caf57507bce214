"""The atlas file: what goes in comes out, by key, by index and as Arrow, in the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfoot.atlas.layout import Rising
from kfoot.atlas.pack import pack
from kfoot.atlas.schema import TABLES
from kfoot.atlas.store import AtlasFile
from kfoot.errors import InputError

HEADER = {"release": "6.1.0", "source": "x", "source_sha256": "0", "rules": 1, "notes": []}
PLACE = ("fs/read_write.c", "FILESYSTEMS (VFS and infrastructure)", "vfs", "define")
SYSCALLS = [
    ("x86_64", 0, "read", "sys_read", None, True, *PLACE),
    ("x86_64", 1, "write", "sys_write", None, True, *PLACE),
    ("i386", 3, "read", "sys_read", None, True, *PLACE),
    ("i386", 17, "break", None, None, False, None, None, None, "ni"),
    ("i386", 106, "stat", "sys_newstat", "compat_sys_newstat", True, *PLACE),
]
FUNCTIONS = [(f"f{n:05}", f"drivers/d{n % 7}/x{n % 50}.c", n % 3 == 0) for n in range(2000)]
FILES = [
    ("fs/read_write.c", "vfs", ("FILESYSTEMS", "THE REST"), (), None),
    ("drivers/spi/spidev.c", "drivers:spi", ("SPI",), ("CONFIG_SPI", "!CONFIG_X"), "spidev"),
]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.atlas"
    path.write_bytes(data)
    return path


@pytest.fixture
def atlas(tmp_path: Path) -> AtlasFile:
    tables = {"syscalls": SYSCALLS, "functions": FUNCTIONS, "files": FILES}
    return AtlasFile(written(tmp_path, pack(HEADER, tables)))


def test_rows_come_back_sorted_by_key(atlas: AtlasFile) -> None:
    assert list(atlas["syscalls"]) == sorted(SYSCALLS, key=lambda row: (row[0], row[1]))
    assert list(atlas["functions"]) == FUNCTIONS
    assert list(atlas["files"]) == sorted(FILES)


def test_look_up_by_key_and_by_index(atlas: AtlasFile) -> None:
    table = atlas["syscalls"]
    assert [row[1] for row in table.select("abi", "i386")] == [3, 17, 106]
    assert [row[:2] for row in table.select("name", "read")] == [("i386", 3), ("x86_64", 0)]
    assert [row[2] for row in table.select("entry", "sys_newstat")] == ["stat"]
    assert table.select("name", "no such") == []
    assert atlas["functions"].select("name", "f00123") == [FUNCTIONS[123]]


def test_a_long_table_is_found_in_without_adding_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kfoot.atlas.layout.LONG", 1000)
    rows = [(f"f{n:06}", f"x{m}.c", False) for n in range(1500) for m in range(2)]
    table = AtlasFile(written(tmp_path, pack(HEADER, {"functions": rows})))["functions"]
    assert isinstance(table.columns["name"].values, Rising)
    for n in (0, 127, 128, 255, 256, 257, 1499):
        assert table.select("name", f"f{n:06}") == rows[2 * n : 2 * n + 2]
    assert table.arrow()["name"][-1].as_py() == rows[-1][0]


def test_a_table_that_was_not_built_is_empty(atlas: AtlasFile) -> None:
    assert len(atlas["events"]) == 0
    assert atlas["events"].select("name", "sched_switch") == []
    assert atlas["devices"].select("major", 4) == []


def test_arrow_says_the_same(atlas: AtlasFile) -> None:
    for name in ("syscalls", "functions", "files"):
        table = atlas[name]
        columns = table.arrow().to_pydict()
        rows = zip(*(columns[column] for column in table.names), strict=True)
        as_lists = [tuple(list(v) if isinstance(v, tuple) else v for v in row) for row in table]
        assert list(rows) == as_lists


def test_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    shuffled = [*SYSCALLS, SYSCALLS[0]]
    random.Random(4).shuffle(shuffled)
    assert pack(HEADER, {"syscalls": shuffled}) == pack(HEADER, {"syscalls": SYSCALLS})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=5),
            st.text(max_size=3),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.integers(0, 300),
            st.none() | st.integers(0, 2**32 - 1),
            st.none() | st.text(max_size=3).filter(lambda text: "/" not in text),
        ),
        max_size=20,
    )
)
def test_any_rows_survive(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("a")
    table = AtlasFile(written(folder, pack(HEADER, {"ioctls": rows})))["ioctls"]
    assert set(table) == set(rows)
    for row in rows:
        assert row in table.select("name", row[0])
        if row[2] is not None:
            assert row in table.select("nr", row[2])


@pytest.mark.parametrize("cut", [0, 4, 12, 60, 400, -1])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    data = pack(HEADER, {"syscalls": SYSCALLS})
    with pytest.raises(InputError, match=r"t\.atlas"):
        AtlasFile(written(tmp_path, data[:cut]))


def test_a_damaged_file_gives_rows_or_says_so(tmp_path: Path) -> None:
    """Never a traceback; what a byte of text became is another matter (sha256 tells)."""
    good = pack(HEADER, {"syscalls": SYSCALLS, "functions": FUNCTIONS[:50], "files": FILES})
    dice = random.Random(7)
    refused = 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(dice.choice((1, 3, 30))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            atlas = AtlasFile(written(tmp_path, bytes(data)))
            for name in atlas.rows():
                if name in TABLES:
                    atlas[name].select(atlas[name].key, "read")
                    list(atlas[name])
        except InputError:
            refused += 1
    assert 0 < refused < 200


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an atlas file"):
        AtlasFile(written(tmp_path, b"#!/bin/sh\n" * 100))
