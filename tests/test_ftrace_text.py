"""The reader of ftrace text."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.ftrace_text import READER, SAMPLES
from kfoot.readers.reading import CallCount, CallKey, EventKey, Loss, Reading, Request

DATA = Path(__file__).parent / "data"


def read(tmp_path: Path, text: str | bytes, **options: object) -> Reading:
    path = tmp_path / "trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return READER.read([path], Options(**options))  # type: ignore[arg-type]


def events(reading: Reading) -> dict[tuple[str, str, int], int]:
    """(event, context, pid) -> count."""
    return {
        (key.name, key.context, reading.processes[at].pid): count
        for key, by_process in reading.events.items()
        for at, count in by_process.items()
        if at is not None
    }


@pytest.mark.parametrize(
    ("line", "comm", "pid"),
    [
        ("             job-101     [000] d.h..     2.133883: mm: x", "job", 101),
        ("             job-101     [000] d.h.     2.133883: mm: x", "job", 101),
        ("            bash-115   [000]     4.705748: mm:             x", "bash", 115),
        ("  my - prog-9-42-7       [012] ..s1.   100.000001: mm: x", "my - prog-9-42", 7),
        ("         kworker-9       (      9) [001] .....     1.000000: mm: x", "kworker", 9),
        ("         kworker-9       (-------) [001] .....     1.000000: mm: x", "kworker", 9),
        ("job-101 [000] 2.133883: mm: pasted without its padding", "job", 101),
        ("        kfoot-sh-12      [000] ..... 123456789: mm: a clock of ticks", "kfoot-sh", 12),
    ],
)
def test_the_heads_of_lines(tmp_path: Path, line: str, comm: str, pid: int) -> None:
    reading = read(tmp_path, line + "\n")
    assert [(p.pid, p.comm) for p in reading.processes] == [(pid, comm)]
    assert [key.name for key in reading.events] == ["mm"]
    assert reading.unparsed == 0


def test_contexts_by_the_third_flag(tmp_path: Path) -> None:
    flags = [".....", "..s..", "d.h..", "d.H..", "d.z..", "d.Z..", "dNs3."]
    text = "".join(f"             job-1       [000] {f}  1.000001: e: x\n" for f in flags)
    text += "             job-1       [000]   1.000001: e: x\n"
    assert events(read(tmp_path, text)) == {
        ("e", "task", 1): 1,
        ("e", "softirq", 1): 2,
        ("e", "hardirq", 1): 2,
        ("e", "nmi", 1): 2,
        ("e", "unknown", 1): 1,
    }


CALLS = """\
# tracer: nop
            node-7       [000] .....  1.000001: sys_enter: NR 16 (3, 5401, 7ffc00, 0, 0, 0)
            node-7       [001] .....  1.000003: sys_exit: NR 16 = -25
            node-8       [001] .....  1.000004: sys_exit: NR 56 = 0
            node-7       [001] .....  1.000005: sys_enter: NR 15 (0, 0, 0, 0, 0, 0)
            node-7       [001] .....  1.000006: sys_exit: NR -1 = 0
            node-7       [001] .....  1.000007: sys_enter: NR 202 (0, 0, 0, 0, 0, 0)
            node-8       [000] .....  1.000008: sys_enter: NR 202 (0, 0, 0, 0, 0, 0)
            node-7       [001] .....  1.000010: sys_exit: NR 202 = -512
            node-7       [001] .....  1.000011: sys_enter: NR 231 (0, 0, 0, 0, 0, 0)
            node-7       [001] .....  1.000011: sys_exit_group(error_code: 0)
            node-7       [001] .....  1.000012: sys_close -> 0x0
            node-7       [001] .....  1.000013: do_fork <-kernel_clone
            node-7       [001] .....  1.000013: <stack trace>
 => do_syscall_64
 => entry_SYSCALL_64_after_hwframe
"""


def test_calls_are_pairs_of_raw_syscalls(tmp_path: Path) -> None:
    reading = read(tmp_path, CALLS, arch="x86_64")
    assert [p.pid for p in reading.processes] == [7, 8]
    ask = Request(0x5401, None)
    assert reading.calls == {
        CallKey(0, "x86_64", 16, None, "ENOTTY", request=ask): CallCount(1, 2000),
        CallKey(0, "x86_64", 15, None, "ok"): CallCount(1, 1000),
        CallKey(0, "x86_64", 202, None, "ERESTARTSYS"): CallCount(1, 3000),
        CallKey(0, "x86_64", 231, None, "never"): CallCount(1, None),
        CallKey(1, "x86_64", 202, None, "never"): CallCount(1, None),
    }
    assert events(reading)["sys_enter_exit_group", "task", 7] == 1
    assert events(reading)["sys_exit_close", "task", 7] == 1
    assert events(reading)["function", "task", 7] == 1
    assert events(reading)["kernel_stack", "task", 7] == 1
    assert (reading.continued, reading.unparsed) == (2, 0)
    assert reading.facts.tool == "ftrace nop"
    assert (reading.facts.first_s, reading.facts.last_s) == (1.000001, 1.000013)


def test_without_a_machine_no_number_is_an_ioctl(tmp_path: Path) -> None:
    reading = read(tmp_path, CALLS)
    assert {key.abi for key in reading.calls} == {None}
    assert {key.request for key in reading.calls} == {None}


def test_trimming_leaves_out_what_is_later(tmp_path: Path) -> None:
    reading = read(tmp_path, CALLS, until_s=1.000006)
    assert sum(events(reading).values()) == 5
    assert reading.facts.last_s == 1.000006


def test_threads_and_parents(tmp_path: Path) -> None:
    text = """\
              sh-10      [000] .....  1.000001: task_newtask: pid=11 comm=s h clone_flags=1200000 oom_score_adj=0
              sh-10      [000] .....  1.000002: sched_process_fork: comm=sh pid=10 child_comm=s h child_pid=11
           <...>-11      [000] .....  1.000003: sched_process_exec: filename=/bin/a b pid=11 old_pid=11
           <...>-11      [000] .....  1.000004: task_newtask: pid=12 comm=a b clone_flags=3d0f00 oom_score_adj=0
           <...>-12      [000] .....  1.000005: sys_enter: NR 0 (0, 0, 0, 0, 0, 0)
          <idle>-0       [000] d.h..  1.000006: irq_handler_entry: irq=1 name=i
"""  # noqa: E501
    reading = read(tmp_path, text)
    shown = [(p.pid, p.parent, p.exe, p.comm) for p in reading.processes]
    assert shown == [(0, None, None, "<idle>"), (10, None, None, "sh"), (11, 1, "/bin/a b", "a b")]
    assert [key.process for key in reading.calls] == [2]


def test_losses_of_the_trace(tmp_path: Path) -> None:
    line = "             job-1       [000] .....  1.000001: e: x\n"
    text = f"CPU:2 [LOST 12 EVENTS]\n{line}CPU:2 [LOST 3 EVENTS]\nCPU:0 [LOST EVENTS]\n{line}"
    assert read(tmp_path, text).losses == [
        Loss("overrun", "trace: CPU 0", None),
        Loss("overrun", "trace: CPU 2", 15),
    ]
    assert read(tmp_path, f"cpus=2\nCPU:1 [7 EVENTS DROPPED]\n{line}").losses == [
        Loss("overrun", "trace: CPU 1", 7)
    ]
    head = "# entries-in-buffer/entries-written: 2/12   #P:1\n"
    assert read(tmp_path, head + line + line).losses == [Loss("overrun", "trace: ring buffer", 10)]


def test_foreign_lines_are_counted_and_shown(tmp_path: Path) -> None:
    line = "             job-1       [000] .....  1.000001: e: x\n"
    reading = read(tmp_path, line + "what is this?\n" * 7 + line + "\x1b[31m<b>\n")
    assert sum(events(reading).values()) == 2
    assert reading.unparsed == 8
    assert len(reading.samples) == SAMPLES
    assert reading.samples[0] == (2, "what is this?")
    assert Loss("unparsed", "trace", 8) in reading.losses


def test_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1"):
        read(tmp_path, "Dear Sir or Madam\n")


def test_a_line_without_end_stays_small(tmp_path: Path) -> None:
    line = b"             job-1       [000] .....  1.000001: e: x\n"
    reading = read(tmp_path, line + b"A-" * 5_000_000 + b"\n" + line)
    assert (sum(events(reading).values()), reading.unparsed) == (2, 1)
    assert len(reading.samples[0][1]) <= 200


def test_text_of_a_pump_that_was_read() -> None:
    """Counts by grep: 21803 entries by the trace's own head, 103 sys_enter of NR 29 by 107."""
    path = DATA / "mdt-reservoir.arm64.ftrace.txt.zst"
    reading = READER.read([path], Options(arch="aarch64"))
    assert sum(events(reading).values()) == 21803
    assert (reading.unparsed, reading.losses) == (0, [])
    pump = next(at for at, p in enumerate(reading.processes) if p.pid == 107)
    assert reading.processes[pump].exe == "/share/mdt.arm64"
    ioctls = [n.calls for k, n in reading.calls.items() if k.nr == 29 and k.process == pump]
    assert sum(ioctls) == 103
    assert reading.events[EventKey(None, "spi_transfer_start", "task")][pump] == 103


def test_sniff(tmp_path: Path) -> None:
    assert READER.sniff(tmp_path, CALLS.encode())
    assert READER.sniff(tmp_path, CALLS.encode().split(b"\n", 1)[1])
    assert not READER.sniff(tmp_path, b'execve("/bin/ls", ["ls"], 0x7ff /* 3 vars */) = 0\n')
    assert not READER.sniff(tmp_path, b"")
