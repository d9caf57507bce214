"""The summary: one screen, harmless, honest about what is not known."""

from __future__ import annotations

import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kfoot.footprint import merge
from kfoot.reports import text
from kfoot.reports.terminal import print_summary

EXAMPLE = Path(__file__).parent / "data" / "footprint-example.json"


@pytest.fixture
def footprint() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EXAMPLE.read_bytes())
    return loaded


def summary(footprint: dict[str, Any], width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_summary(footprint, file, width)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_fits_one_screen(footprint: dict[str, Any], width: int) -> None:
    lines = summary(footprint, width).splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines) <= width


def test_fits_one_screen_however_much_there_is(footprint: dict[str, Any]) -> None:
    many = copy.deepcopy(footprint)
    for key in ("areas", "sections", "syscalls", "ioctls", "objects", "modules", "unmapped"):
        row = many[key][0]
        many[key] += [{**row, "name": f"{row['name']}{n}", "area": f"a{n}"} for n in range(3000)]
    many = merge([many, copy.deepcopy(footprint)])
    many["use_case"] = "two runs"
    many["evidence"]["losses"] *= 500
    many["capture"]["not_recorded"] *= 500
    lines = summary(many).splitlines()
    assert len(lines) <= 40
    assert any(re.search(r"\d more: kfoot show --csv syscalls", line) for line in lines)


def test_says_what_is_known_and_what_is_not(footprint: dict[str, Any]) -> None:
    out = summary(footprint, 120)
    for words in (
        "determine the basal rate",
        "exit 0",
        "412 ms",
        "1,299 calls (161 failed)",
        "NOT VALID EVIDENCE",
        "overrun: 17 (ftrace cpu1)",
        "unparsed: an unknown number",
        "kernel functions: this kernel has no function tracer",
        "SPI_IOC_MESSAGE ×48 spidev",
        "0xdeadbeef ×1 sd",
        "statx ENOENT ×129",
        "spidev – > 2 > 0",
        "/dev/spidev0.0 (spidev)",
        "1 syscall",
    ):
        assert words in out
    assert re.search(r"drivers:spi .* XTD  SPI SUBSYSTEM", out)


def test_a_call_of_another_abi_is_not_taken_for_one_more_of_the_same_name(
    footprint: dict[str, Any],
) -> None:
    narrow = footprint["syscalls"][0]
    assert narrow["abi"] == "i386"
    narrow["calls"] = 10**9
    assert f"i386 {narrow['name']} 1,000,000,000" in " ".join(summary(footprint).split())
    footprint["syscalls"] = [narrow]
    assert "i386" not in summary(footprint)


def test_valid_evidence_is_said(footprint: dict[str, Any]) -> None:
    footprint["evidence"].update(valid=True, losses=[])
    out = summary(footprint)
    assert "valid, no loss known" in out
    assert "NOT VALID" not in out


def test_not_measured_is_not_zero(footprint: dict[str, Any]) -> None:
    for row in footprint["syscalls"]:
        row["calls"] = row["errors"] = None
    out = summary(footprint)
    assert "calls not counted" in out
    assert "access –" in out


def test_a_tier_nobody_measured_is_not_unused(footprint: dict[str, Any]) -> None:
    for row in (*footprint["areas"], *footprint["sections"]):
        row["dispatched"] = row["executed"] = None
    out = summary(footprint, 120)
    assert "T traced  E entered · X D not measured" in out
    assert "not measured" not in summary(json.loads(EXAMPLE.read_bytes()), 120)


def test_merged_footprints_say_what_was_in_all_and_what_in_some(
    footprint: dict[str, Any],
) -> None:
    merged = merge([footprint, copy.deepcopy(footprint)])
    for row in merged["sections"]:
        if row["name"] == "SPI SUBSYSTEM":
            row["seen"] = 1
    out = summary(merged)
    assert "2 captures" in out
    used = sum(
        any(row[tier] for tier in ("entered", "dispatched", "traced", "executed"))
        for row in footprint["sections"]
    )
    assert f"{used - 1} sections in all captures" in out
    assert re.search(r"in some only: 1\s+(· )?SPI SUBSYSTEM 1 of 2", out)


@pytest.mark.parametrize(
    ("kind", "watched", "title", "outcome"),
    [
        ("watch", "unit ssh.service", "kfoot watched: unit ssh.service", "watched"),
        ("import", None, "kfoot node oref0-determine-basal iob.json", "imported"),
        ("run", None, "kfoot node oref0-determine-basal iob.json", "exit status unknown"),
    ],
)
def test_what_was_not_run_has_no_exit_status(
    footprint: dict[str, Any], kind: str, watched: str | None, title: str, outcome: str
) -> None:
    footprint["use_case"] = None
    footprint["capture"].update(kind=kind, watched=watched)
    footprint["workload"].update(argv=[], exit_status=None)
    first = summary(footprint).splitlines()[0]
    assert first.startswith(title)
    assert first.endswith(f" {outcome}")


def test_a_failing_workload_is_marked(footprint: dict[str, Any]) -> None:
    footprint["workload"]["exit_status"] = 3
    assert summary(footprint).splitlines()[0].endswith(" exit 3 !")
    footprint["workload"].update(exit_status=137, signal="SIGKILL")
    assert summary(footprint).splitlines()[0].endswith(" killed by SIGKILL !")


def test_an_almost_empty_footprint_is_no_error() -> None:
    assert "exit status unknown" in summary({"schema": 1})


def test_control_characters_never_reach_the_terminal(footprint: dict[str, Any]) -> None:
    nasty = "\x1b]0;owned\x07\x9b31m\u202e[bold]x[/bold]\n\ud800"
    for row in (*footprint["objects"], *footprint["ioctls"], *footprint["modules"]):
        row["name"] = row["driver"] = nasty
    for row in (*footprint["sections"], *footprint["areas"], *footprint["syscalls"]):
        row["name"] = nasty
    footprint["workload"]["argv"] = [nasty]
    footprint["use_case"] = nasty
    out = summary(footprint, 200)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", out) is None
    assert "\\e]0;owned\\x07\\x9b31m\\u202e[bold]x[/bold]\\n\\ud800" in out


def test_ascii_terminals_get_ascii(footprint: dict[str, Any]) -> None:
    out = summary(footprint, 80, "ascii")
    assert "##" in out
    assert "SPI_IOC_MESSAGE x48" in out


def test_no_colours_in_a_file(footprint: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in summary(footprint)


def test_colours_on_a_terminal_unless_unwanted(
    footprint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    coloured, plain = Terminal(), Terminal()
    print_summary(footprint, coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    print_summary(footprint, plain)
    assert "\x1b[1;31m" in coloured.getvalue()
    assert "31m" not in plain.getvalue()


def test_shorten_keeps_both_ends() -> None:
    assert text.shorten("abcdefghij", 10) == "abcdefghij"
    assert text.shorten("abcdefghij", 7) == "abcd…ij"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "duration not measured"),
        (0.0000421, "42 µs"),
        (0.412, "412 ms"),
        (1.5, "1.50 s"),
        (1800, "30 min 00 s"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert text.duration(seconds) == words
