"""What collector ``bpf`` does where full detail, or anything, is not to be had."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

import bpfrig
import kfoot
from kfoot.collect.base import Scope
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
