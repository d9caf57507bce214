"""The readers of ring buffer pages and of trace.dat."""

from __future__ import annotations

import random
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import ringwriter as w
from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.ftrace_pages import READER as PAGES
from kfoot.readers.reading import CallCount, CallKey, Loss, Reading, Request
from kfoot.readers.trace_dat import READER as DAT

DATA = Path(__file__).parent / "data"
X86 = Options(arch="x86_64")
UNAME = b"Linux box 6.1.0-56-amd64 x86_64"


def by_name(reading: Reading) -> Counter[tuple[str | None, str, str]]:
    found: Counter[tuple[str | None, str, str]] = Counter()
    for key, by_process in reading.events.items():
        found[key.system, key.name, key.context] += sum(by_process.values())
    return found


def two_cpus() -> dict[int, bytes]:
    """A task that changes CPU within a call, so that only time tells which return is whose."""
    zero, one = w.Cpu(), w.Cpu()
    zero.add(1000, w.enter(7, 0, 3))
    one.add(1200, w.leave(7, 0, 5))
    one.add(1300, w.enter(7, 0, 3))
    zero.add(1900, w.leave(7, 0, -4))
    zero.add(2000, w.enter(7, 16, 3, 0xFFFF00005401))
    one.add(1 << 40, w.leave(7, 16, 0))
    one.add((1 << 40) + 5, w.switch(9, 0x08))
    one.add((1 << 40) + 6, w.switch(9, 0x10))
    one.add((1 << 40) + 7, w.switch(9, 0x18))
    one.add((1 << 40) + 8, w.switch(9, 0x48))
    one.add((1 << 40) + 9, w.enter(9, 231, 0))
    return {0: zero.data(), 1: one.data()}


TWO_CPUS_CALLS = {
    CallKey(0, "x86_64", 0, None, "ok"): CallCount(1, 200),
    CallKey(0, "x86_64", 0, None, "EINTR"): CallCount(1, 600),
    CallKey(0, "x86_64", 16, None, "ok", request=Request(0x5401, None)): CallCount(
        1, (1 << 40) - 2000
    ),
    CallKey(1, "x86_64", 231, None, "never"): CallCount(1, None),
}


def test_cpus_are_merged_by_time(tmp_path: Path) -> None:
    reading = PAGES.read([w.folder(tmp_path / "ftrace", two_cpus())], X86)
    assert reading.calls == TWO_CPUS_CALLS
    assert by_name(reading) == {
        ("raw_syscalls", "sys_enter", "task"): 4,
        ("raw_syscalls", "sys_exit", "task"): 3,
        ("sched", "sched_switch", "hardirq"): 2,
        ("sched", "sched_switch", "softirq"): 1,
        ("sched", "sched_switch", "nmi"): 1,
    }
    assert reading.losses == []
    assert reading.facts.first_s == 1e-6


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz"])
def test_pages_may_be_compressed(tmp_path: Path, suffix: str) -> None:
    import gzip

    import zstandard

    pack = {"": bytes, ".zst": zstandard.ZstdCompressor().compress, ".gz": gzip.compress}[suffix]
    folder = w.folder(tmp_path / "ftrace", two_cpus())
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        path.unlink()
        path.with_name(path.name + suffix).write_bytes(pack(data))
    assert PAGES.read(sorted(folder.iterdir()), X86).calls == TWO_CPUS_CALLS


@pytest.mark.parametrize("page", [4096, 8192, 65536])
@pytest.mark.parametrize("long", [4, 8])
def test_many_pages_of_any_size(tmp_path: Path, page: int, long: int) -> None:
    cpu = w.Cpu(page=page, long=long)
    for step in range(3000):
        cpu.add(step * 1000, w.enter(7, 1))
        cpu.add(step * 1000 + 10, w.leave(7, 1, 0) + b"x" * (step % 200))
    data = cpu.data()
    assert len(cpu.pages) > 3
    folder = w.folder(tmp_path / "f", {3: data}, page_bytes=page, long_bytes=long)
    assert PAGES.read([folder], X86).calls == {
        CallKey(0, "x86_64", 1, None, "ok"): CallCount(3000, 30000)
    }


def test_big_endian(tmp_path: Path) -> None:
    cpu = w.Cpu(order=">")
    cpu.add(5, w.common(w.ENTER, 7, 0, ">") + struct.pack(">q6Q", 4, 1, 2, 3, 4, 5, 6))
    cpu.add(9, w.common(w.EXIT, 7, 0, ">") + struct.pack(">qq", 4, -11))
    folder = w.folder(tmp_path / "f", {0: cpu.data()}, endian="big")
    assert PAGES.read([folder], Options(arch="s390x")).calls == {
        CallKey(0, "s390x", 4, None, "EAGAIN"): CallCount(1, 4)
    }


def test_padding_and_absolute_times(tmp_path: Path) -> None:
    cpu = w.Cpu()
    cpu.add(100, w.enter(7, 1))
    cpu.raw(cpu._word(29, 50) + struct.pack("<I", 8) + b"gone")  # taken back, 50 ns later
    stamp = 100_000_000
    cpu.raw(cpu._word(31, stamp & 0x7FFFFFF) + struct.pack("<I", stamp >> 27))
    cpu.raw(cpu._word(6, 0) + w.leave(7, 1, 0))
    cpu.raw(cpu._word(29, 0) + b"\xff" * 100)  # the rest of the page is empty
    reading = PAGES.read([w.folder(tmp_path / "f", {0: cpu.data()})], X86)
    assert list(reading.calls.values()) == [CallCount(1, stamp - 100)]
    assert reading.losses == []


def test_missed_records_are_losses(tmp_path: Path) -> None:
    known, silent = w.Cpu(), w.Cpu()
    known.missed = 42
    known.add(1, w.switch(7))
    silent.missed = -1
    silent.add(1, w.switch(7))
    folder = w.folder(tmp_path / "ftrace", {0: known.data(), 1: silent.data()})
    assert PAGES.read([folder], X86).losses == [
        Loss("overrun", "ftrace/cpu0", 42),
        Loss("overrun", "ftrace/cpu1", None),
    ]
    (folder / "stats.txt").write_text(
        "# cpu0\nentries: 1\noverrun: 50\ncommit overrun: 0\ndropped events: 3\n"
        "# cpu1\noverrun: 9\n"
    )
    assert PAGES.read([folder], X86).losses == [
        Loss("overrun", "ftrace/cpu0", 50),
        Loss("dropped", "ftrace/cpu0", 3),
        Loss("overrun", "ftrace/cpu1", 9),
    ]


def test_the_gates_records_are_left_out_but_its_exec_is_not(tmp_path: Path) -> None:
    zero, one = w.Cpu(), w.Cpu()
    zero.add(10, w.enter(7, 0))
    zero.add(20, w.leave(7, 0, 0))
    zero.add(30, w.enter(7, 59))
    zero.add(35, w.leave(7, 59, -2))
    zero.add(40, w.enter(7, 59))
    one.add(45, w.switch(7))
    one.add(50, w.execute(7, b"/bin/true"))
    one.add(55, w.leave(7, 59, 0))
    one.add(60, w.newtask(7, 8, b"true", 0x10000))
    one.add(70, w.enter(8, 39))
    one.add(80, w.leave(8, 39, 7))
    folder = w.folder(tmp_path / "f", {0: zero.data(), 1: one.data()}, gate=7)
    reading = PAGES.read([folder], X86)
    assert reading.calls == {
        CallKey(0, "x86_64", 59, None, "ok"): CallCount(1, 15),
        CallKey(0, "x86_64", 39, None, "ok"): CallCount(1, 10),
    }
    assert [(p.pid, p.exe, p.comm) for p in reading.processes] == [(7, "/bin/true", "true")]
    assert by_name(reading)["sched", "sched_switch", "task"] == 1

    never = w.folder(tmp_path / "g", {0: zero.data()}, gate=7)
    assert PAGES.read([never], X86).events == {}


def test_tasks_are_named_from_the_files_beside(tmp_path: Path) -> None:
    cpu = w.Cpu()
    for tid in (0, 5, 6, 7, 8):
        cpu.add(tid, w.switch(tid))
    cpu.add(9, w.fork(5, 8))
    folder = w.folder(tmp_path / "f", {0: cpu.data()})
    (folder / "tasks.txt").write_text("5\t5\t1\ta\\x09b\n6\t5\t1\tpool\n")
    (folder / "saved_cmdlines.txt").write_text("5 late\n7 my prog\n")
    (folder / "saved_tgids.txt").write_text("6 6\n8 8\n")
    reading = PAGES.read([folder], X86)
    assert [(p.pid, p.comm, p.parent) for p in reading.processes] == [
        (0, "<idle>", None),
        (5, "a\tb", None),
        (7, "my prog", None),
        (8, None, 1),
    ]


def test_a_page_cut_short(tmp_path: Path) -> None:
    cpu = w.Cpu()
    for step in range(200):
        cpu.add(step, w.switch(7))
    data = cpu.data()
    folder = w.folder(tmp_path / "ftrace", {0: data[: 4096 + 100]})
    reading = PAGES.read([folder], X86)
    whole = (4096 - 16) // 28
    assert sum(by_name(reading).values()) == whole + (100 - 16) // 28
    assert Loss("truncated", "ftrace/cpu0: 100 bytes of a page", None) in reading.losses


def test_an_event_without_a_format_keeps_its_number(tmp_path: Path) -> None:
    cpu = w.Cpu()
    cpu.add(1, w.common(999, 7))
    reading = PAGES.read([w.folder(tmp_path / "f", {0: cpu.data()})], X86)
    assert by_name(reading) == {(None, "event 999", "task"): 1}


def test_pages_without_descriptions_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "cpu0.pages").write_bytes(bytes(4096))
    with pytest.raises(InputError, match=r"formats\.txt"):
        PAGES.read([tmp_path], X86)


def test_a_broken_description_is_an_error_or_a_reading(tmp_path: Path) -> None:
    folder = w.folder(tmp_path / "f", two_cpus(), all_events=True, gate=7)
    (folder / "stats.txt").write_text("# cpu0\nentries: 0\noverrun: 3\n")
    (folder / "tasks.txt").write_text("7\t7\t1\tsh\n")
    (folder / "saved_cmdlines.txt").write_text("7 my prog\n")
    (folder / "saved_tgids.txt").write_text("7 7\n")
    dice = random.Random(3)
    for path in sorted(folder.glob("*.[tj]*")):
        whole = path.read_bytes()
        for attempt in range(40):
            broken = bytearray(whole[: len(whole) * attempt // 20])
            for _ in range(attempt // 5):
                if broken:
                    broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
            path.write_bytes(broken)
            with suppress(InputError):
                assert PAGES.read([folder], Options(arch="x86_64")).events
        path.write_bytes(whole)


def test_pages_beside_a_copy_of_the_events_folder(tmp_path: Path) -> None:
    for (system, name), text in w.formats().items():
        place = tmp_path / "events" / system / name
        place.mkdir(parents=True)
        (place / "format").write_bytes(text)
    (tmp_path / "events" / "header_page").write_bytes(w.header_page())
    for cpu, data in two_cpus().items():
        (tmp_path / f"cpu{cpu}.raw").write_bytes(data)
    assert PAGES.read([tmp_path / "cpu0.raw"], X86).calls == TWO_CPUS_CALLS


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    return path


DATS = {
    "6": lambda: w.trace_dat_6(two_cpus(), uname=UNAME, comms=b"7 my prog\n"),
    "7": lambda: w.trace_dat_7(two_cpus(), uname=UNAME, comms=b"7 my prog\n"),
    "7 zlib": lambda: w.trace_dat_7(
        two_cpus(), uname=UNAME, comms=b"7 my prog\n", compression="zlib", chunk=4096
    ),
    "7 zstd": lambda: w.trace_dat_7(
        two_cpus(), uname=UNAME, comms=b"7 my prog\n", compression="zstd"
    ),
}


@pytest.mark.parametrize("kind", DATS)
def test_trace_dat(tmp_path: Path, kind: str) -> None:
    reading = DAT.read([write(tmp_path, DATS[kind]())], Options())
    assert reading.calls == TWO_CPUS_CALLS
    assert (reading.facts.arch, reading.facts.release) == ("x86_64", "6.1.0-56-amd64")
    assert reading.facts.tool == "trace-cmd 3.1.6"
    assert reading.processes[0].comm == "my prog"
    assert reading.losses == []


def test_a_packed_trace_dat(tmp_path: Path) -> None:
    import zstandard

    path = tmp_path / "trace.dat.zst"
    packed = zstandard.ZstdCompressor().compress(DATS["6"]())
    path.write_bytes(packed)
    reading = DAT.read([path], Options())
    assert (reading.calls, reading.source) == (TWO_CPUS_CALLS, "trace.dat.zst")
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"trace\.dat\.zst: "):
        DAT.read([path], Options())


def test_statistics_in_trace_dat_are_losses(tmp_path: Path) -> None:
    stats = {0: b"entries: 4\noverrun: 5\ndropped events: 0\n", 1: b"overrun: 0\n"}
    for data in (
        w.trace_dat_6(two_cpus(), uname=UNAME, stats=stats),
        w.trace_dat_7(two_cpus(), uname=UNAME, stats=stats),
    ):
        assert DAT.read([write(tmp_path, data)], X86).losses == [
            Loss("overrun", "trace.dat/cpu0", 5)
        ]


@pytest.mark.parametrize("kind", DATS)
def test_a_trace_dat_cut_anywhere_is_an_error_or_a_loss(tmp_path: Path, kind: str) -> None:
    data = DATS[kind]()
    for size in [*range(0, 200), *range(200, len(data), max(1, len(data) // 150))]:
        try:
            reading = DAT.read([write(tmp_path, data[:size])], X86)
        except InputError:
            continue
        padded = data[size:].strip(b"\0") == b""
        assert reading.losses or padded, f"cut at {size} of {len(data)}"


def test_what_trace_cmd_recorded_in_a_guest() -> None:
    """`trace-cmd split -e 30000` made the file (and left out uname); counts by `trace-cmd report`
    and grep."""
    reading = DAT.read([DATA / "oref0.amd64.trace.dat"], X86)
    assert sum(by_name(reading).values()) == 30000
    found = by_name(reading)
    assert found["raw_syscalls", "sys_enter", "task"] == 775
    assert found["kmem", "kmalloc", "task"] == 1369
    assert (reading.facts.arch, reading.facts.tool) == ("x86_64", "trace-cmd")
    assert (reading.unparsed, reading.losses) == (0, [])
