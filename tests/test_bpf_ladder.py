"""What collector ``bpf`` does where full detail, or anything, is not to be had."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

import bpfrig
import kfoot
from kfoot.collect.base import Recorded, Scope
from kfoot.collect.bpf import collector as module
from kfoot.collect.bpf import libbpf, probe
from kfoot.collect.bpf.collector import Bpf
from kfoot.collect.bpf.libbpf import BpfError
from kfoot.collect.bpf.wishes import Wishes
from kfoot.errors import RecordError
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from kfoot.readers.errnos import errno_name
from needs import needs
from test_bpf_equal import PROGRAMS


def _refuse(*_: object) -> None:
    raise BpfError("the kernel refused the programs (too complex)", 7)


@pytest.mark.root
@pytest.mark.parametrize("name", ["bytes", "forks", "killed", "spawned"])
def test_counting_only_counts_what_strace_counts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf", "strace", "tracefs", "gcc")
    monkeypatch.setattr(module, "Detail", _refuse)
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    theirs = bpfrig.under_strace(PROGRAMS[name], tmp_path / "strace.txt", env=env)
    collector = Bpf(wishes=Wishes(events=name == "bytes"))
    able = collector.probe()
    assert able.can
    assert able.notes[0].startswith("counting only: the kernel refused the programs (too complex)")
    pid = bpfrig.fork_at_gate(PROGRAMS[name], env=env)
    collector.start(Scope(pids=(pid,), gate=pid), tmp_path)
    assert collector.tree_alive()
    os.kill(pid, signal.SIGCONT)
    os.waitpid(pid, 0)
    assert not collector.tree_alive()
    recorded = collector.stop()
    assert recorded.options["detail"] == "counting"
    reading = READER.read(recorded.files, Options())
    assert reading.losses == []
    ours: Counter[tuple[int | None, str]] = Counter()
    for key, count in reading.calls.items():
        ours[key.nr, key.outcome] += count.calls
    expected: Counter[tuple[int, str]] = Counter()
    for (_, nr, error), n in theirs.calls.items():
        outcome = error if error == "never" else errno_name(error) if error else "ok"
        expected[nr, outcome] += n
    if name == "killed":
        # A call that a signal kills does leave the kernel's work; only full detail looks whether
        # the task will see it.
        ours[34, "never"], ours[34, "ERESTARTNOHAND"] = ours[34, "ERESTARTNOHAND"], 0
        ours[62, "never"] += 1
        ours[62, "ok"] -= 1
    assert +ours == +expected
    assert bool(reading.events) == (name == "bytes")


LEADER_ENDS_FIRST = """
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *work(void *nothing)
{
	usleep(100000);
	for (int i = 0; i < 50; i++)
		syscall(SYS_getppid);
	return nothing;
}
int main(void)
{
	pthread_t other;
	pthread_create(&other, 0, work, 0);
	syscall(SYS_exit, 0);
}
"""


@pytest.mark.root
@pytest.mark.parametrize("detail", ["full", "counting"])
def test_threads_go_on_when_their_leader_has_ended(
    detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf", "tracefs", "gcc")
    if detail == "counting":
        monkeypatch.setattr(module, "Detail", _refuse)
    source, program = tmp_path / "ends.c", tmp_path / "ends"
    source.write_text(LEADER_ENDS_FIRST)
    subprocess.run(["gcc", "-pthread", "-o", program, source], check=True)
    recorded = bpfrig.under_bpf([str(program)], tmp_path)
    meta = bpfrig.meta(recorded)
    assert meta["detail"] == detail
    reading = READER.read(recorded.files, Options())
    assert reading.losses == []
    getppid = bpfrig.NUMBERS["x86_64"]["getppid"]
    assert sum(count.calls for key, count in reading.calls.items() if key.nr == getppid) == 50
    events = {row[1]: sum(row[2:]) for row in meta["event_counts"]}
    assert events["sched_process_exit"] == 2


def _a_stranger_gets(number: int, last: Path) -> bool:
    """Have processes call getppid until one is given ``number``; whether one was."""
    for _ in range(50):  # another process may be quicker
        last.write_text(str(number - 1))
        stranger = os.fork()
        if not stranger:
            for _ in range(30):
                os.getppid()
            os._exit(0)
        os.waitpid(stranger, 0)
        if stranger == number:
            return True
    return False


def _recorded_beside_a_stranger(folder: Path, last: Path) -> Recorded | None:
    """Record a shell while a stranger has the number of its ended child.

    None where somebody else's process, which lives on, was given that number first.
    """
    told = folder / "pid"
    script = f"/bin/true & echo $! > {told}.new; wait; mv {told}.new {told}; sleep 1"
    follows = bpfrig.fork_at_gate(["sh", "-c", script])
    collector = Bpf(wishes=Wishes(events=False))
    collector.start(Scope(pids=(follows,), gate=follows), folder)
    os.kill(follows, signal.SIGCONT)
    while not told.exists():
        time.sleep(0.01)
    given = _a_stranger_gets(int(told.read_text()), last)
    os.waitpid(follows, 0)
    recorded = collector.stop()
    return recorded if given else None


@pytest.mark.root
@pytest.mark.parametrize("detail", ["full", "counting"])
def test_a_stranger_with_a_number_of_before_is_not_followed(
    detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf", "tracefs")
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not last.exists():
        pytest.skip("the kernel lets nobody choose the next pid (CONFIG_CHECKPOINT_RESTORE)")
    if detail == "counting":
        monkeypatch.setattr(module, "Detail", _refuse)
    getppid = bpfrig.NUMBERS["x86_64"]["getppid"]
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        recorded = _recorded_beside_a_stranger(folder, last)
        if recorded:
            break
    else:
        pytest.fail("no stranger was given the number of an ended process, ten times")
    reading = READER.read(recorded.files, Options())
    assert reading.losses == []
    # The shell's own.
    assert sum(count.calls for key, count in reading.calls.items() if key.nr == getppid) == 1


@pytest.mark.root
def test_without_btf_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("bpf")
    monkeypatch.setattr(module, "BTF", Path("/nowhere/btf"))
    able = Bpf().probe()
    assert able.can
    assert able.notes == ("counting only: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)",)


@pytest.mark.root
@pytest.mark.parametrize("collector", ["auto", "bpf"])
def test_a_recording_says_that_it_only_counted(
    collector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf")
    monkeypatch.setattr(module, "BTF", Path("/nowhere/btf"))
    result = kfoot.run(["true"], collector=collector, out=tmp_path / "c.kfoot")
    assert result.footprint["evidence"]["collectors"][0]["options"]["detail"] == "counting"
    assert (
        "what calls acted on, their paths, requests and order: "
        "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"
    ) in result.footprint["capture"]["not_recorded"]


@pytest.mark.root
def test_every_call_in_order_is_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf")
    monkeypatch.setattr(module, "Detail", _refuse)
    collector = Bpf(wishes=Wishes(sequence=True))
    assert not collector.probe().can
    with pytest.raises(RecordError, match="too complex"):
        collector.start(Scope(), tmp_path)
    assert collector.stop().files == []


def test_without_libbpf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "LIBRARY", "libbpf.so.none")
    able = probe.ability()
    assert not able.can
    assert able.mend == "apt-get install libbpf1"
    assert able.why_not == "libbpf.so.none is not installed"


def test_an_unknown_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MACHINES", {})
    assert probe.ability().why_not == f"no programs for {os.uname().machine} are shipped"


@pytest.mark.root
def test_events_that_come_while_it_records_are_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf", "tracefs")
    from kfoot.collect.bpf import recording

    known = recording.available()
    answers = [known[1:], known]
    monkeypatch.setattr(recording, "available", lambda: answers.pop(0))
    reading = READER.read(bpfrig.under_bpf(["/bin/true"], tmp_path).files, Options())
    where = f"trace events that came while it recorded: {':'.join(known[0])}"
    assert [(loss.kind, loss.where, loss.count) for loss in reading.losses] == [
        ("refused", where, 1)
    ]
