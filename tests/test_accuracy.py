"""The strace reader and ftrace's raw_syscalls count the same calls of the same run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from needs import needs

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "accuracy.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("accuracy", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("name", ["bash", "vfork", "signals", "32-bit", "threads", "daemon", "Go"])
def test_strace_and_ftrace_agree(name: str, tmp_path: Path) -> None:
    needs("root", "strace", "tracefs", "gcc")
    accuracy = script()
    (workload,) = [each for each in accuracy.WORKLOADS if each.name == name]
    compared = accuracy.compare(workload, tmp_path)
    if compared is None:
        pytest.skip(f"{name}: its compiler is not installed")
    assert compared.losses == []
    assert sum(compared.ftrace.values()) > 50
    for nr in {row[0] for row in compared.differences}:
        rows = [row for row in compared.differences if row[0] == nr]
        assert accuracy.explain(compared.names[nr], rows, compared.killed), rows


def test_a_difference_without_a_reason_is_not_explained_away() -> None:
    needs("root")  # the script imports what records
    explain = script().explain
    assert explain({"read"}, [(0, "ok", 3, 2)]) is None
    assert explain({"read"}, [(0, "ok", 3, 2), (0, "never", 1, 2)]) is None
    assert explain({"read"}, [(0, "never", 1, 0), (0, "EIO", 0, 1)]) is None
    assert explain({"read"}, [(0, "never", 0, 1)]) is None
    assert explain({"read"}, [(0, "never", 1, 0)])
    assert explain({"read"}, [(0, "never", 1, 0), (0, "ERESTARTSYS", 0, 2)]) is None
    assert explain({"read"}, [(0, "never", 1, 0), (0, "ERESTARTSYS", 0, 1)])
    assert explain({"read"}, [(0, "never", 1, 0), (0, "ok", 1, 2)]) is None
    assert explain({"read"}, [(0, "never", 1, 0), (0, "ok", 1, 2)], 1)
    assert explain({"execve"}, [(59, "ok", 2, 1), (59, "never", 0, 1)])
