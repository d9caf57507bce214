"""Choosing collectors and putting a recording together, with collectors that only pretend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kfoot.capture import Capture
from kfoot.collect import choice
from kfoot.collect.base import Ability, Recorded, Scope
from kfoot.collect.recording import Recording, new_manifest
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError
from kfoot.readers.reading import Loss


class Pretend:
    """A collector that does as it is told and remembers what it was asked."""

    format = "strace"

    def __init__(self, name: str, *, can: bool = True, fails: str = "", loss: str = ""):
        self.name = name
        self._can, self._fails, self._loss = can, fails, loss
        self.asked: list[str] = []

    def probe(self) -> Ability:
        self.asked.append("probe")
        return Ability(self._can, None if self._can else "the moon is wrong", "wait a week")

    def wrap(self, argv: Sequence[str], raw: Path) -> list[str]:
        return list(argv)

    def start(self, scope: Scope, raw: Path) -> None:
        self.asked.append("start")
        if self._fails == "start":
            raise RecordError("would not start")
        (raw / f"{self.name}.txt").write_text("begun\n")

    def stop(self) -> Recorded:
        self.asked.append("stop")
        if self._fails == "stop":
            raise RecordError("would not stop")
        losses = [Loss(self._loss, self.name, 3)] if self._loss else []
        return Recorded(self.name, "1", {"x": 1}, self.format, [], losses)


def begun(tmp_path: Path, *collectors: Pretend) -> Recording:
    manifest = new_manifest("run", None, ["true"], [])
    recording = Recording.begin(manifest, tmp_path / "a.kfoot", "a", list(collectors))
    return recording


def makers(*collectors: Pretend) -> dict[str, choice.Make]:
    return {each.name: lambda watchdog, each=each: each for each in collectors}


def test_auto_takes_the_first_line_that_works() -> None:
    """What the lines before it would have given too is not missing."""
    best, good, other = Pretend("bpf", can=False), Pretend("strace"), Pretend("ftrace")
    chosen, missing = choice.choose(
        "auto", Watchdog(), [("bpf",), ("strace", "ftrace")], makers(best, good, other)
    )
    assert chosen == [good, other]
    assert missing == []


def test_auto_says_what_is_missing_and_why() -> None:
    offered = makers(Pretend("strace"), Pretend("ftrace", can=False))
    lines = [("strace", "ftrace"), ("strace",)]
    assert choice.choose("auto", Watchdog(), lines, offered)[1] == [
        "trace events: the moon is wrong (wait a week)"
    ]
    offered = makers(Pretend("ftrace"))
    assert choice.choose("auto", Watchdog(), [("ftrace",)], offered)[1] == [
        "system calls with their arguments: auto does not use strace here"
    ]


def test_a_collector_that_is_not_needed_is_not_even_asked() -> None:
    best, other = Pretend("bpf"), Pretend("strace")
    lines = [("bpf",), ("strace",)]
    assert choice.choose("auto", Watchdog(), lines, makers(best, other)) == ([best], [])
    assert other.asked == []


def test_nothing_that_works_is_an_error_with_every_reason() -> None:
    offered = makers(Pretend("strace", can=False), Pretend("ftrace", can=False))
    lines = [("strace", "ftrace"), ("strace",), ("ftrace",)]
    with pytest.raises(RecordError, match=r"strace: the moon.*ftrace: the moon") as caught:
        choice.choose("auto", Watchdog(), lines, offered)
    assert caught.value.status == 125


def test_one_asked_for_by_name_must_work() -> None:
    offered = makers(Pretend("strace"), Pretend("ftrace", can=False))
    with pytest.raises(RecordError, match="ftrace cannot record here: the moon is wrong"):
        choice.choose("strace+ftrace", Watchdog(), makers=offered)


def test_auto_does_without_one_that_fails_to_start_and_says_so(tmp_path: Path) -> None:
    good, bad = Pretend("strace"), Pretend("ftrace", fails="start")
    recording = begun(tmp_path, good, bad)
    recording.start(Scope(pids=(1,)), spare=True)
    recording.opened()
    recording.finish()
    kept = Capture.open(tmp_path / "a.kfoot").manifest
    assert [entry.name for entry in kept.collectors] == ["strace"]
    assert kept.not_recorded == ["trace events: would not start"]
    assert bad.asked == ["start", "stop"]


def test_one_asked_for_that_fails_to_start_ends_it_all(tmp_path: Path) -> None:
    good, bad = Pretend("strace"), Pretend("ftrace", fails="start")
    recording = begun(tmp_path, good, bad)
    with pytest.raises(RecordError, match="would not start"):
        recording.start(Scope(pids=(1,)))
    recording.discard()
    assert good.asked == ["start", "stop"]
    assert list(tmp_path.iterdir()) == []


def test_losses_and_a_collector_that_fails_to_stop_are_in_the_manifest(tmp_path: Path) -> None:
    recording = begun(tmp_path, Pretend("strace", loss="overrun"), Pretend("ftrace", fails="stop"))
    recording.start(Scope(pids=(1,)))
    recording.opened()
    recording.finish()
    kept = Capture.open(tmp_path / "a.kfoot").manifest
    assert {"kind": "overrun", "where": "strace", "count": 3} in kept.losses
    assert {"kind": "detached", "where": "ftrace: would not stop", "count": None} in kept.losses
    # What it had begun before it failed is still listed.
    assert kept.collectors[1].files == ["ftrace.txt"]


def test_a_recording_under_way_is_a_capture_that_opens(tmp_path: Path) -> None:
    recording = begun(tmp_path, Pretend("strace"))
    recording.start(Scope(pids=(1,)))
    recording.opened()
    kept = Capture.open(tmp_path / "a.kfoot").manifest
    assert not kept.closed
    assert kept.collectors[0].files == ["strace.txt"]
    recording.discard()
