"""One recording as tracefs' text, as pages, as trace.dat and as trace-cmd's text: equal counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kfoot.collect import tracefs
from kfoot.readers.base import Options
from kfoot.readers.ftrace_pages import READER as PAGES
from kfoot.readers.ftrace_text import READER as TEXT
from kfoot.readers.reading import Reading
from kfoot.readers.trace_dat import READER as DAT
from needs import TRACING, needs

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import tracedat

WORK = "for i in 1 2 3; do ls / >/dev/null; done; dd if=/dev/zero of=/dev/null bs=1 count=50"
X86 = Options(arch=os.uname().machine)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("root", "tracefs")
    return recorded(tmp_path_factory.mktemp("equal"), WORK)


def recorded(folder: Path, work: str) -> Path:
    """A folder of pages, with trace.txt and trace.dat beside it: all events of a small workload."""
    pages = folder / "ftrace"
    pages.mkdir()
    instance = tracefs.Instance(TRACING)
    try:
        instance.write("buffer_size_kb", 8192)
        instance.write("trace_clock", "mono")
        instance.write("options/event-fork", 1)
        child = subprocess.Popen(
            ["sh", "-c", f"read go; {work}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        instance.write("set_event_pid", child.pid)
        for system in ("raw_syscalls", "syscalls", "sched", "task", "kmem", "irq", "timer"):
            instance.write(f"events/{system}/enable", 1)
        enabled = instance.read("set_event").split()
        instance.write("tracing_on", 1)
        child.communicate(b"go\n")
        instance.write("tracing_on", 0)
        (folder / "trace.txt").write_bytes((instance.path / "trace").read_bytes())
        for cpu in instance.cpus():
            source = os.open(
                instance.path / f"per_cpu/cpu{cpu}/trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK
            )
            data = b""
            try:
                while block := os.read(source, 4096):
                    data += block.ljust(4096, b"\0")
            except BlockingIOError:
                pass
            finally:
                os.close(source)
            (pages / f"cpu{cpu}.pages").write_bytes(data)
        (pages / "saved_cmdlines.txt").write_bytes((TRACING / "saved_cmdlines").read_bytes())
        events = TRACING / "events"
        for name in ("header_page", "header_event"):
            (pages / f"{name}.txt").write_bytes((events / name).read_bytes())
        (pages / "formats.txt").write_bytes(
            b"".join(
                f"# {name}\n".encode() + (events / name / "format").read_bytes() + b"\n"
                for name in (event.replace(":", "/") for event in enabled)
            )
        )
    finally:
        instance.remove()
    tracedat.write(pages, folder / "trace.dat")
    return folder


def events(reading: Reading, *, context: bool = True) -> Counter[tuple[str, str | None, int]]:
    found: Counter[tuple[str, str | None, int]] = Counter()
    for key, by_process in reading.events.items():
        for at, count in by_process.items():
            assert at is not None
            pid = reading.processes[at].pid
            found[key.name, key.context if context else None, pid] += count
    return found


def calls(reading: Reading) -> Counter[tuple[int, int | None, str, object]]:
    found: Counter[tuple[int, int | None, str, object]] = Counter()
    for key, count in reading.calls.items():
        pid = reading.processes[key.process].pid
        found[pid, key.nr, key.outcome, key.request] += count.calls
    return found


def test_text_pages_and_trace_dat_are_equal(recording: Path) -> None:
    text = TEXT.read([recording / "trace.txt"], X86)
    pages = PAGES.read([recording / "ftrace"], X86)
    dat = DAT.read([recording / "trace.dat"], X86)
    assert sum(events(text).values()) > 1000
    assert (text.unparsed, pages.losses, dat.losses) == (0, [], [])
    assert events(text) == events(pages) == events(dat)
    assert calls(text) == calls(pages) == calls(dat)
    assert sum(calls(pages).values()) > 200
    assert [p.exe for p in text.processes] == [p.exe for p in pages.processes]


def test_the_text_of_trace_cmd_is_equal_but_for_the_context(recording: Path) -> None:
    needs("trace-cmd")
    report = subprocess.check_output(
        ["trace-cmd", "report", str(recording / "trace.dat")], stderr=subprocess.DEVNULL
    )
    path = recording / "report.txt"
    path.write_bytes(report)
    text = TEXT.read([path], X86)
    pages = PAGES.read([recording / "ftrace"], X86)
    assert text.unparsed == 0
    assert events(text, context=False) == events(pages, context=False)
    assert calls(text) == calls(pages)


NARROW = """
int main(void)
{
    for (int i = 0; i < 50; i++) {
        int parent;
        __asm__ volatile("int $0x80" : "=a"(parent) : "a"(64));
    }
    return 0;
}
"""


def test_32_bit_calls_are_told_apart_in_a_trace_dat(tmp_path: Path) -> None:
    """64 is getppid for an i386 task and semget for an x86_64 one."""
    needs("root", "tracefs", "gcc-32-bit")
    if os.uname().machine != "x86_64":
        pytest.skip("the program is one of i386")
    command = ["gcc", "-m32", "-static", "-x", "c", "-", "-o", str(tmp_path / "narrow")]
    subprocess.run(command, input=NARROW, text=True, check=True)
    folder = recorded(tmp_path, f"{tmp_path}/narrow; ls / > /dev/null")

    def getppids(reading: Reading) -> dict[str | None, int]:
        found: Counter[str | None] = Counter()
        for key, count in reading.calls.items():
            found[key.abi] += count.calls * (key.nr == 64)
        return dict(+found)

    dat = DAT.read([folder / "trace.dat"], X86)
    assert getppids(dat) == {"i386": 50}
    assert not dat.facts.abi_assumed
    pages = PAGES.read([folder / "ftrace"], X86)
    assert getppids(pages) == {"x86_64": 50}
    assert pages.facts.abi_assumed, "nothing says that all events were recorded"
