"""The shipped BPF objects are those of the sources beside them."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from needs import needs

ROOT = Path(__file__).resolve().parent.parent


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_bpf", ROOT / "scripts" / "build_bpf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_bpf"] = module
    spec.loader.exec_module(module)
    return module


BUILD = _builder()


def test_sources_and_objects_are_those_recorded() -> None:
    record = json.loads(BUILD.RECORD.read_bytes())
    assert BUILD.sources() == record["sources"], "a source changed: make bpf"
    found = {path.name: BUILD.digest(path) for path in BUILD.FOLDER.glob("*.bpf.o")}
    assert found == record["objects"], "an object is not the recorded one: make bpf"


def test_a_rebuild_gives_the_same_objects(tmp_path: Path) -> None:
    record = json.loads(BUILD.RECORD.read_bytes())
    needs("clang")
    made = BUILD.build(tmp_path)
    if BUILD.version() != record["compiler"]:
        assert set(made) == set(record["objects"])
        pytest.skip(f"built with {BUILD.version()}, recorded was {record['compiler']}")
    assert made == record["objects"]


@pytest.mark.parametrize("arch", BUILD.ARCHITECTURES)
def test_an_object_for_older_kernels_has_nothing_they_lack(arch: str) -> None:
    """Before 5.17 a kernel refuses a program that names a kernel function it does not have, even
    where it is never called; before 5.18 arm64 cannot compile an atomic operation with a result."""
    names = ("detail", "detail_plain", "detail_older")
    objects = {name: (BUILD.FOLDER / f"{name}.{arch}.bpf.o").read_bytes() for name in names}
    casts = {name: b"bpf_rdonly_cast" in data for name, data in objects.items()}
    fetches = {name: any(_fetches(data)) for name, data in objects.items()}
    assert casts == {"detail": True, "detail_plain": False, "detail_older": False}
    assert fetches == {"detail": True, "detail_plain": True, "detail_older": False}


def _fetches(data: bytes) -> Iterator[bool]:
    """Of each instruction of an object (ELF's sections with code): whether it is BPF_STX |
    BPF_ATOMIC with BPF_FETCH (include/uapi/linux/bpf.h)."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for at in range(table, table + size * count, size):
        _, kind, flags, _, offset, length = struct.unpack_from("<IIQQQQ", data, at)
        if kind == 1 and flags & 4:  # SHT_PROGBITS, SHF_EXECINSTR
            for code, _, _, operation in struct.iter_unpack(
                "<BBhi", data[offset : offset + length]
            ):
                yield code in (0xC3, 0xDB) and bool(operation & 1)


def test_programs_say_their_licence() -> None:
    for path in (*BUILD.SOURCES.glob("*.c"), *BUILD.SOURCES.glob("*.h")):
        assert path.read_text().startswith(
            "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"
        )
