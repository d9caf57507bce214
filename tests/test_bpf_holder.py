"""The process that holds the events' counters: it goes away, whatever becomes of kfoot."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bpfrig
from kfoot.collect.base import Scope
from kfoot.collect.bpf import holder
from kfoot.collect.bpf.collector import Bpf
from kfoot.errors import RecordError
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from needs import needs

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _needs() -> None:
    needs("bpf", "tracefs")


def holders(environment: bytes | None = None) -> list[int]:
    """The living ones forked off this process, or off one with that in its environment."""
    found = []
    mine = Path("/proc/self/cmdline").read_bytes()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() != f"{holder.NAME}\n":
                continue
            ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if environment is None:
                ours = (folder / "cmdline").read_bytes() == mine
            else:
                ours = environment in (folder / "environ").read_bytes()
        except OSError:
            continue
        if ours and not ended:
            found.append(int(folder.name))
    return found


def soon(true: Callable[[], bool], seconds: float = 4) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def sleeper(tmp_path: Path, name: str) -> tuple[subprocess.Popen[bytes], bytes]:
    """A kfoot that records a command of some seconds, once that runs; what tells its processes."""
    started = tmp_path / "started"
    mark = f"KFOOT_TEST={tmp_path}"
    key, _, value = mark.partition("=")
    kfoot = subprocess.Popen(
        [
            *(sys.executable, "-m", "kfoot", "run", "--collector", "bpf", "-o", name, "--"),
            *("sh", "-c", f"touch {started}; exec sleep 5"),
        ],
        cwd=tmp_path,
        env={**os.environ, key: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert soon(started.exists, 20)
    return kfoot, mark.encode()


def test_it_leaves_a_moment_after_the_recording(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    recorded = bpfrig.under_bpf(["/bin/true"], tmp_path)
    assert READER.read(recorded.files, Options()).losses == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limit, "the workload would inherit it"
    assert soon(lambda: not holders())


def test_kfoot_leaves_first_and_lets_go_of_its_output(tmp_path: Path) -> None:
    kfoot, mark = sleeper(tmp_path, "a")
    assert len(holders(mark)) == 1
    kfoot.terminate()
    assert kfoot.stdout is not None
    kfoot.stdout.read()  # to its end: nobody else holds it
    assert kfoot.wait() == 128 + signal.SIGTERM
    assert soon(lambda: not holders(mark))


def test_it_dies_with_a_killed_kfoot(tmp_path: Path) -> None:
    kfoot, mark = sleeper(tmp_path, "a")
    assert len(holders(mark)) == 1
    kfoot.kill()
    kfoot.wait()
    assert soon(lambda: not holders(mark))


def test_it_leaves_when_nothing_was_recorded() -> None:
    collector = Bpf()
    assert collector.probe().can
    assert len(holders()) >= 1
    collector.stop()
    assert soon(lambda: not holders())


def test_one_that_was_killed_is_a_loss(tmp_path: Path) -> None:
    assert soon(lambda: not holders())
    pid = bpfrig.fork_at_gate(["/bin/true"])
    collector = Bpf()
    collector.start(Scope(pids=(pid,), gate=pid), tmp_path)
    (process,) = holders()
    os.kill(process, signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    os.waitpid(pid, 0)
    recorded = collector.stop()
    (loss,) = recorded.losses
    assert loss.kind == "detached"
    assert "the process that held the counters has gone" in loss.where
    reading = READER.read(recorded.files, Options())
    assert sum(count.calls for count in reading.calls.values()) > 10


def test_recordings_in_a_row_count_the_same(tmp_path: Path) -> None:
    """The second begins while the first is still being detached."""
    for name in "abc":
        (tmp_path / name).mkdir()
        recorded = bpfrig.under_bpf(["/bin/true"], tmp_path / name)
        reading = READER.read(recorded.files, Options())
        assert reading.losses == []
        events = {row[1]: sum(row[2:]) for row in bpfrig.meta(recorded)["event_counts"]}
        assert events["sched_process_exec"] == 1
        assert events["sched_process_exit"] == 1


def test_too_few_open_files_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_may_open", lambda descriptors: descriptors)
    pid = bpfrig.fork_at_gate(["/bin/true"])
    collector = Bpf()
    try:
        with pytest.raises(RecordError, match="open files, more than are allowed") as caught:
            collector.start(Scope(pids=(pid,), gate=pid), tmp_path)
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("ulimit -n ")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        collector.stop()
