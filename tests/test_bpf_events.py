"""The counts of trace events are those of ftrace, which records the same run beside them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kfoot.capture import Capture
from kfoot.footprint.derive import read_raw
from kfoot.readers.reading import Reading
from needs import needs

pytestmark = pytest.mark.root

SYSTEMS = {"exceptions", "filemap", "kmem", "maple_tree", "memcg", "mmap", "pagemap", "task"}
"""Of what a task does itself. (Around a task switch the two differ by design: ftrace takes the
task that comes for the current one a little earlier.)"""
FORKS = "i=0; while [ $i -lt 30 ]; do /bin/true; i=$((i+1)); done"


def add(reading: Reading, into: Counter[tuple[str, str]]) -> None:
    for key, by_process in reading.events.items():
        own = key.system in SYSTEMS or key.name.startswith("sched_process_")
        if key.context == "task" and own:
            into[key.system, key.name] += sum(by_process.values())


def test_event_for_event_what_ftrace_counts(tmp_path: Path) -> None:
    needs("bpf", "tracefs")
    command = ["run", "--collector", "bpf+ftrace", "--quiet", "-o", "a", "--", "sh", "-c", FORKS]
    subprocess.run([sys.executable, "-m", "kfoot", *command], cwd=tmp_path, check=True)
    ours: Counter[tuple[str, str]] = Counter()
    theirs: Counter[tuple[str, str]] = Counter()
    for reading in read_raw(Capture.open(tmp_path / "a.kfoot")):
        add(reading, ours if reading.format == "bpf" else theirs)
    assert ours == theirs
    assert ours["sched", "sched_process_exec"] == 31
    assert len(ours) > 20
