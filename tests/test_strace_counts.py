"""Counting calls alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from kfoot.readers.base import Options
from kfoot.readers.native import native
from kfoot.readers.strace_counts import _counted, count
from kfoot.readers.strace_text import READER
from test_native_strace import EXAMPLES, TEXT, module  # noqa: F401  (a fixture)

DATA = Path(__file__).parent / "data" / "strace"


@EXAMPLES
@given(TEXT)
def test_native_and_python_count_the_same(module: object, text: bytes) -> None:  # noqa: F811
    found = native()
    assert found is not None
    for threads in (1, 3):
        assert found.strace_counts(text, threads) == dict(_counted(text))


@pytest.mark.parametrize("switch", ["0", "1"])
def test_counts_are_the_readers(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    monkeypatch.setenv("KFOOT_NATIVE", switch)
    path = DATA / "strace.mdt-reservoir.txt.zst"
    by_name: dict[str, int] = {}
    for (pid, name), number in count(path).items():
        assert pid is not None
        by_name[name] = by_name.get(name, 0) + number
    read: dict[str, int] = {}
    for key, calls in READER.read([path], Options()).calls.items():
        assert key.name is not None
        read[key.name] = read.get(key.name, 0) + calls.calls
    assert by_name == read
