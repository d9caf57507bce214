"""The shipped BPF objects are those of the sources beside them."""

from __future__ import annotations

import importlib.util
import json
import sys
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


def test_an_object_for_older_kernels_names_nothing_they_lack() -> None:
    """Before 5.17 a kernel refuses a program that names a kernel function it does not have, even
    where it is never called."""
    for arch in BUILD.ARCHITECTURES:
        casts, plain = (
            b"bpf_rdonly_cast" in (BUILD.FOLDER / f"{name}.{arch}.bpf.o").read_bytes()
            for name in ("detail", "detail_plain")
        )
        assert (casts, plain) == (True, False)


def test_programs_say_their_licence() -> None:
    for path in (*BUILD.SOURCES.glob("*.c"), *BUILD.SOURCES.glob("*.h")):
        assert path.read_text().startswith(
            "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"
        )
