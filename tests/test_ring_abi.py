"""32-bit calls on a 64-bit kernel, in a recording of all events."""

from __future__ import annotations

from pathlib import Path

import pytest

import ringwriter as w
from kfoot.readers import ring_abi, trace_dat
from kfoot.readers.base import Options
from kfoot.readers.call_counts import CallTable
from kfoot.readers.ftrace_pages import READER
from kfoot.readers.ftrace_tally import Tally
from kfoot.readers.native import native as native_scanners
from kfoot.readers.reading import CallKey, Loss, Reading, Request
from kfoot.readers.trace_dat import READER as DAT

X86 = Options(arch="x86_64")
BESIDE = 900
FORMAT = f"""# syscalls/sys_enter_read
name: sys_enter_read
ID: {BESIDE}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

print fmt: ""

"""


def read(folder: Path) -> Reading:
    with (folder / "formats.txt").open("a") as file:
        file.write(FORMAT)
    return READER.read([folder], X86)


def native(cpu: w.Cpu, ns: int, nr: int, ret: int, *, tid: int = 7, behind: bool = False) -> None:
    """A 64-bit call: the kernel writes an event beside raw_syscalls' record."""
    if not behind:
        cpu.add(ns, w.common(BESIDE, tid))
    cpu.add(ns + 1, w.enter(tid, nr))
    if behind:
        cpu.add(ns + 2, w.common(BESIDE, tid))
    cpu.add(ns + 5, w.leave(tid, nr, ret))


def narrow(cpu: w.Cpu, ns: int, nr: int, ret: int, *args: int, tid: int = 7) -> None:
    cpu.add(ns + 1, w.enter(tid, nr, *args))
    cpu.add(ns + 5, w.leave(tid, nr, ret))


def outcomes(reading: Reading) -> dict[tuple[str | None, int | None, str], int]:
    return {(k.abi, k.nr, k.outcome): count.calls for k, count in reading.calls.items()}


@pytest.mark.parametrize("behind", [False, True])
def test_one_number_of_two_abis_in_one_task(tmp_path: Path, behind: bool) -> None:
    """3 is close for a 64-bit task and read for a 32-bit one."""
    cpu = w.Cpu()
    native(cpu, 100, 3, 0, behind=behind)
    native(cpu, 200, 3, -9, behind=behind)
    narrow(cpu, 300, 3, 10)
    narrow(cpu, 400, 54, 0, 1, 0x5401)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True))
    assert outcomes(reading) == {
        ("x86_64", 3, "ok"): 1,
        ("x86_64", 3, "EBADF"): 1,
        ("i386", 3, "ok"): 1,
        ("i386", 54, "ok"): 1,
    }
    assert CallKey(0, "i386", 54, None, "ok", request=Request(0x5401, None)) in reading.calls
    assert reading.losses == []


def test_an_exec_that_changes_the_abi_returns_with_the_new_number(tmp_path: Path) -> None:
    cpu = w.Cpu()
    cpu.add(10, w.common(BESIDE, 7))
    cpu.add(11, w.enter(7, 59))
    cpu.add(12, w.execute(7, b"/bin/narrow"))
    cpu.add(13, w.leave(7, 11, 0))
    narrow(cpu, 20, 45, 0)
    cpu.add(30, w.enter(7, 11))
    cpu.add(31, w.execute(7, b"/bin/wide"))
    cpu.add(32, w.leave(7, 59, 0))
    native(cpu, 40, 12, 0)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True))
    assert outcomes(reading) == {
        ("x86_64", 59, "ok"): 1,
        ("i386", 45, "ok"): 1,
        ("i386", 11, "ok"): 1,
        ("x86_64", 12, "ok"): 1,
    }


def test_what_is_not_implemented_has_no_event_and_is_native(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 3, 0)
    narrow(cpu, 200, 313, -38)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True))
    assert outcomes(reading) == {("x86_64", 3, "ok"): 1, ("x86_64", 313, "ENOSYS"): 1}


@pytest.mark.parametrize(
    ("calls", "names"),
    [
        (("cut", "native"), {("x86_64", 3, "ok"): 2}),
        (("cut", "native", "narrow"), {("x86_64", 3, "ok"): 2, ("i386", 3, "ok"): 1}),
        (("cut",), {("i386", 3, "ok"): 1}),
    ],
)
def test_a_call_that_the_recordings_begin_cut_in_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: tuple[str, ...],
    names: dict[tuple[str, int, str], int],
) -> None:
    """The event beside it is missing, and looking through all again for that takes minutes."""
    cpu = w.Cpu()
    for at, kind in enumerate(calls):
        (native if kind == "native" else narrow)(cpu, 100 * at, 3, 0)
    again = []
    count = ring_abi._count
    monkeypatch.setattr(ring_abi, "_count", lambda *a: again.append(a) or count(*a))
    assert outcomes(read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True))) == names
    assert bool(again) == (calls != ("cut", "native"))


def test_the_gates_exec_is_native_though_its_event_was_left_out(tmp_path: Path) -> None:
    cpu = w.Cpu()
    cpu.add(9, w.common(BESIDE, 7))
    cpu.add(11, w.enter(7, 59))
    cpu.add(12, w.execute(7, b"/bin/narrow"))
    cpu.add(13, w.leave(7, 11, 0))
    narrow(cpu, 20, 45, 0)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True, gate=7))
    assert outcomes(reading) == {("x86_64", 59, "ok"): 1, ("i386", 45, "ok"): 1}


def test_without_all_events_nothing_is_concluded(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 3, 0)
    narrow(cpu, 200, 5, 3)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}))
    assert set(outcomes(reading)) == {("x86_64", 3, "ok"), ("x86_64", 5, "ok")}


def dat(cpu: w.Cpu, tmp_path: Path, kinds: int = 300) -> Reading:
    """The same records in a trace.dat that has the formats of so many events beside calls."""
    text = FORMAT.partition("\n")[2]
    formats = [
        text.replace("sys_enter_read", f"sys_enter_{n}").replace(str(BESIDE), str(BESIDE + n))
        for n in range(kinds)
    ]
    path = tmp_path / "trace.dat"
    more = {"syscalls": [form.encode() for form in formats]}
    path.write_bytes(w.trace_dat_6({0: cpu.data()}, uname=b"Linux box 6.1 x86_64", more=more))
    return DAT.read([path], Options())


def test_a_trace_dat_with_the_events_beside_all_calls(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 3, 0)
    narrow(cpu, 200, 3, 10, tid=8)
    narrow(cpu, 300, 313, -38)
    reading = dat(cpu, tmp_path)
    assert outcomes(reading) == {
        ("x86_64", 3, "ok"): 1,
        ("x86_64", 313, "ENOSYS"): 1,
        ("i386", 3, "ok"): 1,
    }
    assert not reading.facts.abi_assumed


@pytest.mark.parametrize("why", ["few", "none seen", "some enabled", "records missing"])
def test_a_trace_dat_that_does_not_tell(tmp_path: Path, why: str) -> None:
    """Numbers are the machine's own then, and the reading says that this is assumed."""
    cpu = w.Cpu()
    if why != "none seen":
        native(cpu, 100, 3, 0)
    for at in range(200, 260, 10):
        narrow(cpu, at, 5, 3, tid=7 if why == "some enabled" else 8)
    if why == "records missing":
        cpu.flush()
        cpu.missed = 2
        narrow(cpu, 300, 5, 3)
    reading = dat(cpu, tmp_path, 20 if why == "few" else 300)
    assert {key.abi for key in reading.calls} == {"x86_64"}
    assert reading.facts.abi_assumed


def test_calls_of_a_first_instance_that_are_all_32_bit_stay() -> None:
    total, more = Tally(), Tally()
    total.compat_calls = CallTable({(7, 3, 0, -1): [1, 5]})
    total.abi_told = True
    more.calls = CallTable({(7, 3, 0, -1): [1, 5]})
    both = trace_dat._add(total, more)
    assert (len(both.calls), len(both.compat_calls), both.abi_told) == (0, 1, True)


def test_a_task_that_began_another_program_may_have_another_abi(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 59, 0)
    cpu.add(200, w.execute(7, b"/bin/narrow"))
    for at in range(300, 360, 10):
        narrow(cpu, at, 5, 3)
    reading = dat(cpu, tmp_path)
    assert outcomes(reading) == {("x86_64", 59, "ok"): 1, ("i386", 5, "ok"): 6}
    assert not reading.facts.abi_assumed


def test_without_32_bit_calls_nothing_is_assumed(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 3, 0)
    assert not dat(cpu, tmp_path).facts.abi_assumed
    only = w.Cpu()
    narrow(only, 100, 3, 0)
    folder = w.folder(tmp_path / "f", {0: only.data()})
    assert READER.read([folder], X86).facts.abi_assumed
    assert not READER.read([folder], Options(arch="armv7l")).facts.abi_assumed


def test_where_records_are_missing_it_is_not_known(tmp_path: Path) -> None:
    cpu = w.Cpu()
    native(cpu, 100, 3, 0)
    cpu.flush()
    cpu.missed = 2
    narrow(cpu, 200, 5, 3)
    reading = read(w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True))
    assert Loss("abi", "calls of perhaps 32-bit tasks: records are missing", 1) in reading.losses
    assert set(outcomes(reading)) == {("x86_64", 3, "ok"), ("x86_64", 5, "ok")}


def test_a_recording_too_long_to_go_through_again_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python; the native scanner is quick enough for any."""
    monkeypatch.setattr(ring_abi, "MOST_BYTES", 1000)
    cpu = w.Cpu()
    narrow(cpu, 200, 5, 3)
    folder = w.folder(tmp_path / "f", {0: cpu.data()}, all_events=True)
    if native_scanners() is not None:
        assert read(folder).losses == []
    monkeypatch.setenv("KFOOT_NATIVE", "0")
    assert [loss.kind for loss in read(folder).losses] == ["abi"]
