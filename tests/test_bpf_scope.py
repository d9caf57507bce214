"""What collector ``bpf`` follows, and what it does when its room is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import bpfrig
from kfoot.collect.base import Recorded, Scope
from kfoot.collect.bpf.collector import Bpf
from kfoot.collect.bpf.wishes import Wishes
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from kfoot.readers.reading import Reading
from needs import needs

pytestmark = pytest.mark.root
PYTHON = [sys.executable, "-I", "-S", "-B", "-c"]

THREADS = """
import os, threading
def work():
    r, w = os.pipe()
    for _ in range({calls}): os.getppid(); os.write(w, b"x"); os.read(r, 1)
threads = [threading.Thread(target=work) for _ in range({threads})]
for t in threads: t.start()
for t in threads: t.join()
"""
GETPPID, PIPE_WRITE, OPENAT, NEWFSTATAT = 110, 1, 257, 262


def read(recorded: Recorded) -> Reading:
    return READER.read(recorded.files, Options())


def calls(reading: Reading) -> Counter[int]:
    found: Counter[int] = Counter()
    for key, count in reading.calls.items():
        if key.abi == "x86_64" and key.nr is not None:
            found[key.nr] += count.calls
    return found


@pytest.fixture(autouse=True)
def _needs() -> None:
    needs("bpf")


def test_eight_busy_threads_lose_nothing(tmp_path: Path) -> None:
    script = THREADS.format(calls=20_000, threads=8)
    recorded = bpfrig.under_bpf([*PYTHON, script], tmp_path)
    reading = read(recorded)
    assert reading.losses == []
    assert calls(reading)[GETPPID] == 8 * 20_000
    assert calls(reading)[PIPE_WRITE] == 8 * 20_000
    assert len({p.pid for p in reading.processes}) == 1, "threads are one process"


def test_eight_busy_threads_in_sequence(tmp_path: Path) -> None:
    script = THREADS.format(calls=2_000, threads=8)
    recorded = bpfrig.under_bpf([*PYTHON, script], tmp_path, sequence=True, events=False)
    reading = READER.read(recorded.files, Options(max_steps=200_000))
    assert reading.losses == []
    assert reading.steps_cut == 0
    in_order = Counter(step.tid for step in reading.steps if step.nr == GETPPID)
    assert sorted(in_order.values()) == [2_000] * 8


def test_counts_are_those_of_the_kernels_own_tracepoint(tmp_path: Path) -> None:
    """ftrace's raw_syscalls of the same run, from an instance of its own."""
    needs("tracefs")
    instance = Path(f"/sys/kernel/tracing/instances/kfoot-test-{os.getpid()}")
    instance.mkdir()
    try:
        (instance / "buffer_size_kb").write_text("16384")
        (instance / "options/event-fork").write_text("1")
        command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000"]
        pid = bpfrig.fork_at_gate(command)
        (instance / "set_event_pid").write_text(str(pid))
        (instance / "events/raw_syscalls/sys_enter/enable").write_text("1")
        collector = Bpf()
        collector.start(Scope(pids=(pid,), gate=pid), tmp_path)
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
        reading = read(collector.stop())
        (instance / "events/raw_syscalls/sys_enter/enable").write_text("0")
        theirs: Counter[int] = Counter()
        for line in (instance / "trace").read_text().splitlines():
            if f"-{pid} " in line:
                theirs[int(line.partition("sys_enter: NR ")[2].split()[0])] += 1
    finally:
        instance.rmdir()
    assert calls(reading) == theirs
    assert reading.losses == []


FORKS = """
import os
for _ in range({children}):
    child = os.fork()
    if child == 0:
        for _ in range(5): os.getppid()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_more_processes_than_are_followed_at_a_time(tmp_path: Path) -> None:
    """The room of those that have ended is used again."""
    recorded = bpfrig.under_bpf([*PYTHON, FORKS.format(children=300)], tmp_path, tasks=3)
    reading = read(recorded)
    assert reading.losses == []
    assert calls(reading)[GETPPID] == 300 * 5
    assert len(reading.processes) == 1 + 1 + 300, "the first is the one that is yet to exec"


def test_no_room_for_a_task_is_a_loss(tmp_path: Path) -> None:
    together = "gate = threading.Barrier(8)\ndef work():\n    gate.wait()"
    script = THREADS.format(calls=50, threads=8).replace("def work():", together)
    recorded = bpfrig.under_bpf([*PYTHON, script], tmp_path, tasks=4, events=False)
    reading = read(recorded)
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("escaped", 5)]
    assert calls(reading)[GETPPID] == 3 * 50


def test_tasks_come_and_go_beside_others_that_are_not_followed(tmp_path: Path) -> None:
    """They get the stacks of each other's dead, by which a processor knows who calls."""
    beside = [*PYTHON, FORKS.format(children=10**9)]
    strangers = [subprocess.Popen(beside) for _ in range(3)]
    try:
        recorded = bpfrig.under_bpf([*PYTHON, FORKS.format(children=2000)], tmp_path)
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()
    reading = read(recorded)
    assert reading.losses == []
    assert calls(reading)[GETPPID] == 2000 * 5
    assert len(reading.processes) == 1 + 1 + 2000


def test_a_full_table_is_counted_by_records(tmp_path: Path) -> None:
    script = "import os\nfor i in range(3000):\n  os.access('/nowhere/%d' % (i % 1500), 0)"
    recorded = bpfrig.under_bpf([*PYTHON, script], tmp_path, slots=512, events=False)
    assert bpfrig.meta(recorded)["stats"]["full"] > 1000
    tally = bpfrig.tally_of(recorded)
    for i in range(1500):
        assert tally.paths[21, (f"/nowhere/{i}",), 2] == 2
    reading = read(recorded)
    assert reading.losses == []
    assert calls(reading)[21] >= 3000


def test_a_full_ring_is_a_loss_and_no_count(tmp_path: Path) -> None:
    """Nobody drains a small ring: descriptions are lost, the counts are not."""
    script = "import os\nfor i in range(2000):\n  os.access('/nowhere/%d' % i, 0)"
    pid = bpfrig.fork_at_gate([*PYTHON, script])
    collector = Bpf(wishes=Wishes(ring=65536, events=False, interval=60), heard=_sleepy)
    collector.start(Scope(pids=(pid,), gate=pid), tmp_path)
    os.kill(pid, signal.SIGCONT)
    os.waitpid(pid, 0)
    reading = read(collector.stop())
    assert calls(reading)[21] >= 2000
    assert {"dropped"} == {loss.kind for loss in reading.losses}


def _sleepy(piece: memoryview) -> None:
    time.sleep(0.5)


def test_many_files_fold_and_stay_counted(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(600):
        (folder / f"f{i}").write_text("x")
    script = (
        f"import os\nfor i in range(600):\n  fd = os.open('{folder}/f%d' % i, 0)\n"
        "  os.read(fd, 1); os.close(fd)"
    )
    reading = read(bpfrig.under_bpf([*PYTHON, script], tmp_path, events=False))
    assert reading.losses == []
    named = folded = 0
    for key, count in reading.calls.items():
        if key.nr == 0 and key.object is not None:
            found = reading.objects[key.object]
            if found.kind == "file" and found.name.startswith(str(folder)):
                named += count.calls
            elif found.kind == "file" and found.name == "":
                folded += count.calls
    assert named > 50
    assert named + folded >= 600
    opened = [o.name for o in reading.objects if o.name.startswith(f"{folder}/f")]
    assert len(set(opened)) == 600, "each path that was opened is named"


LOOP = "import os, time\nfor _ in range(100000): os.getppid(); time.sleep(0.01)"


@contextmanager
def looping(script: str = LOOP) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*PYTHON, script]) as process:
        try:
            time.sleep(0.3)
            yield process
        finally:
            process.kill()


def watched(scope: Scope, folder: Path, seconds: float = 0.6) -> Reading:
    collector = Bpf()
    collector.start(scope, folder)
    alive = collector.tree_alive()
    time.sleep(seconds)
    recorded = collector.stop()
    assert alive or scope.whole_system
    return read(recorded)


def test_a_running_process_with_its_threads_and_children(tmp_path: Path) -> None:
    script = (
        "import os, threading\n"
        "threading.Thread(target=lambda: exec(LOOP), daemon=True).start()\n"
        "os.fork()\nexec(LOOP)"
    )
    with looping(f"LOOP = {LOOP!r}\n{script}") as process:
        reading = watched(Scope(pids=(process.pid,)), tmp_path)
        assert {p.pid for p in reading.processes} >= {process.pid}
        assert len({p.pid for p in reading.processes}) == 2
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
    assert len({step.tid for step in reading.steps}) == 3
    assert {p.exe for p in reading.processes} == {os.path.realpath(sys.executable)}
    assert calls(reading)[GETPPID] > 30


def test_the_whole_system_without_kfoot_itself(tmp_path: Path) -> None:
    with looping() as process:
        busy = threading.Thread(target=lambda: [os.getppid() for _ in range(50_000)])
        collector = Bpf()
        collector.start(Scope(whole_system=True), tmp_path)
        busy.start()
        time.sleep(0.6)
        busy.join()
        recorded = collector.stop()
    reading = read(recorded)
    pids = {p.pid for p in reading.processes}
    assert process.pid in pids
    assert os.getpid() not in pids
    contexts = {key.context for key in reading.events}
    assert {"task", "hardirq", "softirq"} <= contexts


def test_a_cgroup(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    root = next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("needs cgroup2")
    group = Path(root) / f"kfoot-test-{os.getpid()}"
    group.mkdir()
    try:
        with looping() as inside, looping() as outside:
            (group / "cgroup.procs").write_text(str(inside.pid))
            reading = watched(Scope(cgroup=group), tmp_path)
            assert {p.pid for p in reading.processes} == {inside.pid}
            assert outside.pid not in {p.pid for p in reading.processes}
    finally:
        for _ in range(100):
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


SECCOMP = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_chdir, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, 2, &program);
	for (int i = 0; i < 7; i++)
		chdir("/denied");
	return 0;
}
"""
COMPAT = """
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
	int fd = open("/etc/passwd", O_RDONLY);
	char byte;
	for (int i = 0; i < 11; i++)
		read(fd, &byte, 1);
	open("/nowhere/32", O_RDONLY);
	close(fd);
	return 0;
}
"""


def compiled(source: str, folder: Path, *flags: str) -> list[str]:
    needs("gcc")
    program = folder / "program"
    (folder / "program.c").write_text(source)
    subprocess.run(["gcc", "-w", *flags, "-o", str(program), str(folder / "program.c")], check=True)
    return [str(program)]


def test_a_call_denied_by_seccomp_is_seen(tmp_path: Path) -> None:
    reading = read(bpfrig.under_bpf(compiled(SECCOMP, tmp_path), tmp_path, events=False))
    denied = {k: c.calls for k, c in reading.calls.items() if k.nr == 80}
    assert [(key.outcome, n) for key, n in denied.items()] == [("EPERM", 7)]
    assert reading.losses == []


def test_a_32_bit_program(tmp_path: Path) -> None:
    needs("strace", "gcc-32-bit")
    command = compiled(COMPAT, tmp_path, "-m32")
    theirs = bpfrig.under_strace(command, tmp_path / "strace.txt")
    recorded = bpfrig.under_bpf(command, tmp_path, events=False)
    ours = bpfrig.tally_of(recorded)
    compat = {key: n for key, n in ours.calls.items() if key[0] == 1}
    assert compat == {key: n for key, n in theirs.calls.items() if key[0] == 1}
    assert {abi for abi, _, _ in compat} == {1}
    reading = read(recorded)
    read_calls = {
        (key.abi, reading.objects[key.object or 0].name): count.calls
        for key, count in reading.calls.items()
        if key.abi == "i386" and key.nr == 3
    }
    assert read_calls["i386", "/etc/passwd"] == 11


def test_nothing_stays_in_the_kernel(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    (tmp_path / "a").mkdir()
    bpfrig.under_bpf(["/bin/true"], tmp_path / "a")
    assert descriptors() == before
    collector = Bpf()
    with pytest.raises(Exception, match="bpf"):
        collector.start(Scope(pids=(1 << 30,), gate=1 << 30), tmp_path)
    collector.stop()
    assert descriptors() == before
