"""kfoot show and kfoot report on a real capture."""

from __future__ import annotations

import csv
import html
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kfoot import cli
from needs import needs

SCRIPT = "cat /dev/zero | head -c 1 >/dev/null; cat /nowhere/to/be/found; true"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("strace")
    folder = tmp_path_factory.mktemp("show")
    path = folder / "pipes.kfoot"
    words = ["run", "--collector", "strace", "--use-case", "pipes", "-o", str(path)]
    assert cli.main([*words, "--", "sh", "-c", SCRIPT]) == 0
    return path


def shown(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capsys.readouterr()
    assert cli.main(["show", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_summary_of_the_newest_capture(
    capture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(capture.parent)
    out = shown(capsys)
    assert out.startswith("kfoot pipes ")
    assert "vfs" in out
    assert "/dev/zero" in out
    assert "ENOENT" in out


def test_formats_agree(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    footprint = json.loads(shown(capsys, capture, "--json"))
    read = list(csv.DictReader(io.StringIO(shown(capsys, capture, "--csv", "syscalls"))))
    assert {row["name"]: int(row["calls"]) for row in read} == {
        row["name"]: row["calls"] for row in footprint["syscalls"]
    }
    assert "# Kernel footprint: pipes" in shown(capsys, capture, "--markdown")
    assert "Kernel footprint: pipes\n=====" in shown(capsys, capture, "--rst")


def test_one_process(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(shown(capsys, capture, "--json"))
    head = json.loads(shown(capsys, capture, "--json", "--process", "head"))
    calls = {row["name"]: row["calls"] for row in head["syscalls"]}
    every = {row["name"]: row["calls"] for row in whole["syscalls"]}
    assert all(number <= every[name] for name, number in calls.items())
    assert sum(calls.values()) < sum(every.values())
    assert "wait4" in every
    assert "wait4" not in calls
    assert [os.path.basename(row["exe"]) for row in head["processes"]] == ["head"]
    assert head["evidence"] == whole["evidence"]
    assert cli.main(["show", str(capture), "--process", "nobody"]) == 1
    assert "has no process 'nobody'" in capsys.readouterr().err


def test_several_captures_are_merged(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = json.loads(shown(capsys, capture, capture, "--json"))
    one = json.loads(shown(capsys, capture, "--json"))
    assert both["capture"]["replicates"] == 2
    assert {row["seen"] for row in both["syscalls"]} == {2}
    calls: dict[str, Any] = {row["name"]: row["calls"] for row in one["syscalls"]}
    assert {row["name"]: row["calls"] for row in both["syscalls"]} == {
        name: 2 * number for name, number in calls.items()
    }


def test_report_of_the_capture(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert cli.main(["report", str(capture), str(capture), "-o", str(page)]) == 0
    text = page.read_text()
    assert "/nowhere/to/be/found" in text
    assert "cat /dev/zero" in text
    assert "process start-up" in text


def test_the_published_pump_traces_make_one_chart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(__file__).parent / "data" / "strace"
    for name, file in (("normal", "reservoir"), ("busy", "reservoir.busy")):
        trace = str(data / f"strace.mdt-{file}.txt.zst")
        words = ["import", trace, "--arch", "x86_64", "-o", str(tmp_path / name)]
        assert cli.main(words) == 0
    captures = [str(tmp_path / "normal.kfoot"), str(tmp_path / "busy.kfoot")]
    page = tmp_path / "report.html"
    assert cli.main(["report", *captures, "-o", str(page)]) == 0
    text = html.unescape(page.read_text())
    assert "flock = EAGAIN: locked by another process: device busy (busy)" in text
    assert "flock worked (normal)" in text
    normal, busy = (json.loads(shown(capsys, path, "--json")) for path in captures)
    assert [(row["name"], row["driver"], row["calls"]) for row in normal["ioctls"]] == [
        ("SPI_IOC_MESSAGE", "spidev", 315)
    ]
    assert busy["ioctls"] == []
    flock = next(row for row in busy["syscalls"] if row["name"] == "flock")
    assert flock["errnos"] == {"EAGAIN": 1}


def test_hostile_file_names_of_a_real_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("strace")
    names = [
        b"<img src=x onerror=alert(1)>",
        b"\x1b]0;owned\x07\x1b[31m",
        b"line\nfeed\rand\ttab",
        b"\xff\xfe not text",
        "\u202egnp.exe".encode(),
        b"=cmd|' calc'!A0",
        b"`|*_x_* [a](b) &amp;",
        b"--option",
    ]
    monkeypatch.chdir(tmp_path)
    for name in names:
        Path(os.fsdecode(name)).write_bytes(b"x")
    argv = ["cat", "--", *map(os.fsdecode, names)]
    assert cli.main(["run", "--collector", "strace", "-o", "hostile", "--", *argv]) == 0
    capsys.readouterr()
    outputs = [
        shown(capsys, "hostile.kfoot", *form)
        for form in ([], ["--markdown"], ["--rst"], ["--csv", "objects"], ["--json"])
    ]
    assert cli.main(["report", "hostile.kfoot"]) == 0
    page = Path("report.html").read_text("utf-8")
    for output in (*outputs, page):
        assert not set(output) & set("\x1b\x07\r\u202e")
    assert "<img" not in page
    assert html.unescape(page).count("<img src=x onerror=alert(1)>") > 0
    read = csv.DictReader(io.StringIO(outputs[3]))
    assert not any(value.startswith("=") for row in read for value in row.values())


def test_report_says_what_is_wrong_with_the_output(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(capture), "-o", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert cli.main(["report", str(capture), "-o", str(tmp_path / "no" / "x.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
