"""Opening raw files: packed, cut, with endless lines."""

from __future__ import annotations

import gc
import gzip
import lzma
import threading
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kfoot import readers
from kfoot.errors import InputError, KfootError
from kfoot.readers.files import LINE_LIMIT, Lines, bare_name, head, plain_file
from kfoot.readers.native import whole_lines

TEXT = b"".join(b"line %d of some text\n" % n for n in range(200_000))
PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": zstandard.compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_reads_plain_and_packed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"trace.txt{suffix}"
    path.write_bytes(PACKERS[suffix](TEXT) + (PACKERS[suffix](b"more\n") if suffix else b"more\n"))
    lines = Lines(path)
    found = list(lines)
    assert found[-1] == "more"
    assert "\n".join(found).encode() == TEXT + b"more"
    assert not lines.losses
    assert not lines.open_end
    assert head(path, 100) == TEXT[:100]
    assert bare_name(path) == "trace.txt"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_broken_packed_file_gives_what_it_has_and_says_so(
    tmp_path: Path, suffix: str, how: str
) -> None:
    path = tmp_path / f"trace{suffix}"
    packed = bytearray(PACKERS[suffix](TEXT))
    if how == "cut":
        del packed[len(packed) // 2 :]
    else:
        for place in range(len(packed) // 2, len(packed), 97):
            packed[place] ^= 0x55
    path.write_bytes(packed)
    lines = Lines(path)
    found = "\n".join(lines).encode()
    assert [loss.kind for loss in lines.losses] == ["truncated"]
    assert "trace" in lines.losses[0].where
    if how == "cut":
        assert found
        assert TEXT.startswith(found)


def test_a_long_line_is_cut_in_the_middle_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.write(b"first\n")
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"END\nlast")
    tracemalloc.start()
    lines = Lines(path)
    found = list(lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [found[0], found[2]] == ["first", "last"]
    assert found[1].startswith("xxx")
    assert found[1].endswith("xEND")
    assert LINE_LIMIT < len(found[1]) < 3 * LINE_LIMIT
    assert [(loss.kind, loss.count) for loss in lines.losses] == [("cut", 1)]
    assert lines.open_end
    assert peak < 16 << 20


def test_no_bomb_unpacks_to_more_than_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zst"
    path.write_bytes(zstandard.compress(bytes(300 << 20), level=19))
    assert path.stat().st_size < 1 << 16
    tracemalloc.start()
    total = sum(len(line) for line in Lines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total < 4 * LINE_LIMIT
    assert peak < 80 << 20


@pytest.mark.parametrize("suffix", PACKERS)
@given(
    texts=st.lists(st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")), max_size=30),
    end=st.sampled_from([b"", b"\n"]),
    held=st.integers(1, 70),
)
def test_pieces_are_whole_lines_of_which_the_long_ones_are_still_too_long(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    texts: list[bytes],
    end: bytes,
    held: int,
) -> None:
    longest = 20
    text = b"\n".join(texts) + end
    path = tmp_path_factory.getbasetemp() / f"pieces{suffix}"
    path.write_bytes(PACKERS[suffix](text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfoot.readers.native.SEGMENT", held)
        patch.setattr("kfoot.readers.native.UNPACKED", held)
        pieces = whole_lines(path, longest)
        found = [bytes(piece) for piece in pieces]
    assert all(piece.endswith(b"\n") for piece in found)
    assert pieces.broken is None
    lines = b"".join(found).split(b"\n")[:-1]
    expected = text.split(b"\n")
    assert pieces.open_end == bool(expected[-1])
    last = [expected.pop()[:longest]]
    if last == [b""]:
        last = []
    assert len(lines) == len(expected + last)
    for line, whole in zip(lines, expected + last, strict=True):
        assert line[:longest] == whole[:longest]
        assert len(line) == len(whole) if len(whole) <= longest else len(line) > longest


@pytest.mark.parametrize("leave", [1, 2])
def test_a_packed_file_can_be_left_in_its_midst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    monkeypatch.setattr("kfoot.readers.native.UNPACKED", 1000)
    path = tmp_path / "a.zst"
    path.write_bytes(zstandard.compress(TEXT))
    before = threading.active_count()
    for number, _ in enumerate(whole_lines(path, 100), start=1):
        if number == leave:
            break
    gc.collect()
    assert threading.active_count() == before


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothere"):
        list(Lines(tmp_path / "nothere"))
    with pytest.raises(InputError, match="directory"):
        list(Lines(tmp_path))
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match=r"is empty.*strace"):
        readers.read([tmp_path / "empty"])
    (tmp_path / "foreign").write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(InputError, match=r"foreign.*expected strace text"):
        readers.read([tmp_path / "foreign"])
    with pytest.raises(KfootError, match="no reader"):
        readers.reader("nonsense")


def test_a_packed_file_is_unpacked_for_readers_that_seek(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes(b"hello" * 1000)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with plain_file(plain) as path:
        assert path == plain
    with plain_file(packed) as path:
        assert path.read_bytes() == plain.read_bytes()
    assert not path.exists()
