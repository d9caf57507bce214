"""perf script and babeltrace2 text: two recordings of one run, and one made on the spot."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfoot import readers
from kfoot.errors import InputError, KfootError
from kfoot.readers.base import Options
from kfoot.readers.reading import Loss, Reading
from needs import needs

DATA = Path(__file__).parent / "data" / "perf"
X86 = Options(arch="x86_64")


def read(path: Path, options: Options = X86) -> Reading:
    (found,) = readers.read([path], options)
    return found


def calls(reading: Reading) -> Counter[tuple[int | str | None, str]]:
    found: Counter[tuple[int | str | None, str]] = Counter()
    for key, count in reading.calls.items():
        found[key.name if key.nr is None else key.nr, key.outcome] += count.calls
    return found


def unpacked(path: Path) -> str:
    return zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()


def test_perf_and_ctf_text_of_one_run_agree_with_a_naive_count() -> None:
    perf, ctf = read(DATA / "ls.perf-script.txt.zst"), read(DATA / "ls.babeltrace2.txt.zst")
    assert (perf.format, ctf.format) == ("perf-script", "babeltrace")
    text = unpacked(DATA / "ls.perf-script.txt.zst")
    entered = Counter(int(nr) for nr in re.findall(r"sys_enter: NR (\d+) ", text))
    failed = Counter(int(nr) for nr in re.findall(r"sys_exit: NR (\d+) = -\d+$", text, re.M))
    for reading in (perf, ctf):
        assert (reading.unparsed, reading.losses) == (0, [])
        mine, errors = Counter[int | str | None](), Counter[int | str | None]()
        for (nr, outcome), count in calls(reading).items():
            mine[nr] += count
            errors[nr] += count * (outcome not in ("ok", "never"))
        assert mine == entered
        assert +errors == failed
        assert [(p.comm, p.exe) for p in reading.processes] == [("ls", "/usr/bin/ls")]
        assert {(k.system, k.name) for k in reading.events} >= {("raw_syscalls", "sys_enter")}
    assert calls(perf) == calls(ctf)
    assert {k.context for k in ctf.events} == {"task"}
    assert perf.facts.release == "6.18.44-fc-v595"
    assert perf.facts.arch == "x86_64"


def test_stacks_and_sampled_events_are_no_calls() -> None:
    reading = read(DATA / "sampled.perf-script.txt.zst")
    assert (reading.unparsed, reading.calls) == (0, {})
    assert reading.continued == unpacked(DATA / "sampled.perf-script.txt.zst").count("\n\t")
    assert {(k.system, k.name) for k in reading.events} >= {
        ("sched", "sched_process_exec"), (None, "cpu-clock"), (None, "cpu-clock:uH")
    }  # fmt: skip


def test_perf_data_is_read_by_running_perf(tmp_path: Path) -> None:
    needs("perf", "tracefs")
    data = tmp_path / "perf.data"
    events = ["-e", "raw_syscalls:sys_enter", "-e", "raw_syscalls:sys_exit"]
    subprocess.run(["perf", "record", "-q", "-o", data, *events, "--", "/bin/true"], check=True)
    packed = tmp_path / "perf.data.zst"
    packed.write_bytes(zstandard.compress(data.read_bytes()))
    plain, unpacked_first = read(data), read(packed)
    assert calls(plain) == calls(unpacked_first)
    assert calls(plain)[231, "never"] == 1  # exit_group
    assert plain.facts.tool is not None
    assert plain.facts.tool.startswith("perf ")
    data.write_bytes(data.read_bytes()[:200])
    with pytest.raises(InputError, match=r"perf cannot read it|no record"):
        read(data)


LTTNG = """\
[10:15:39.000000001] (+?.?????????) box syscall_entry_openat: { cpu_id = 0 }, \
{ procname = "cat", pid = 7, tid = 7 }, { dfd = -100, filename = "a: { x = 1 }", flags = 0 }
[10:15:39.000000005] (+0.000000004) box syscall_exit_openat: { cpu_id = 0 }, \
{ procname = "cat", pid = 7, tid = 7 }, { ret = -2 }
[10:15:39.000000006] (+0.000000001) box compat_syscall_entry_ioctl: { cpu_id = 0 }, \
{ procname = "cat", pid = 7, tid = 8 }, { fd = 3, cmd = 21505, arg = 0 }
[10:15:39.000000009] (+0.000000003) box compat_syscall_exit_ioctl: { cpu_id = 0 }, \
{ procname = "cat", pid = 7, tid = 8 }, { ret = 0 }
[10:15:39.000000010] (+0.000000001) box sched_process_fork: { cpu_id = 0 }, \
{ procname = "cat", pid = 7, tid = 7 }, { parent_comm = "cat", parent_tid = 7, child_tid = 9, \
child_pid = 9 }
[10:15:39.000000011] (+0.000000001) box syscall_entry_close: { cpu_id = 0 }, \
{ procname = "kid", pid = 9, tid = 9 }, { fd = 3 }
[warning] Tracer discarded 12 events between [10:15:39.0] and [10:15:39.1]
"""


def test_lttng_names_calls_and_says_what_it_lost(tmp_path: Path) -> None:
    path = tmp_path / "lttng.txt"
    path.write_text(LTTNG)
    reading = read(path)
    assert {
        (k.name, k.abi, k.outcome, k.request.nr if k.request else None, row.calls, row.time_ns)
        for k, row in reading.calls.items()
    } == {
        ("openat", "x86_64", "ENOENT", None, 1, 4),
        ("ioctl", "i386", "ok", 21505, 1, 3),
        ("close", "x86_64", "never", None, 1, None),
    }
    assert [(p.pid, p.comm, p.parent) for p in reading.processes] == [
        (7, "cat", None), (9, "kid", 0)
    ]  # fmt: skip
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("overrun", 12)]
    assert Loss("overrun", "lttng.txt: events the tracer lost", 12) in reading.losses


PIECES = [
    "comm 12/34 [001] 1.123456: ",
    "ls  7 1.123456789: ",
    "raw_syscalls:sys_enter: NR 16 (3, 5401, 0)",
    "raw_syscalls:sys_exit: NR 16 = -25",
    "syscalls:sys_enter_ioctl: fd: 3, cmd: 0x5401",
    "syscalls:sys_exit_ioctl: 0xffffffffffffffe7",
    "sched:sched_process_fork: comm=a pid=1 child_pid=2",
    "task:task_newtask: pid=9 comm=x clone_flags=10f00 oom_score_adj=0",
    "PERF_RECORD_LOST lost 12",
    "1 cycles:u: ",
    "\t ffff do_syscall ([k])",
    "# arch : x86_64",
    "[10:15:39.123456789] (+0.1) box ",
    "syscall_entry_openat: ",
    "syscall_exit_openat: ",
    "raw_syscalls:sys_enter: { id = 16, args = [ [0] = 0x1, [1] = 010 ] }",
    "{ tid = 012, pid = 0x7 }",
    "{ ret = -2 }",
    '{ filename = "a\\"b" }',
    "sched_process_exec: { tid = 1 }",
    "{ common_flags = 8 }",
    "sched_process_fork: { child_tid = 4, child_pid = 4 }, { tid = 4 }",
    "[warning] Tracer discarded 3 events",
    "compat_syscall_entry_ioctl: { cmd = 0xFFFFFFFFFFFFFFFF }",
    *("9" * 5000, "\n", "\n", "\udcff", "\0", "{", "}", '"', " = ", "٣"),
]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_order_of_what_they_write(tmp_path: Path, data: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data.encode("utf-8", "surrogateescape"))
    for name in ("perf-script", "babeltrace"):
        with suppress(KfootError):
            reading = readers.reader(name).read([path], X86)
            assert all(0 <= key.process < len(reading.processes) for key in reading.calls)
