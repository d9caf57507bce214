"""Strace text that is cut, flipped, invented or endless: never anything but KfootError."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfoot import readers
from kfoot.errors import KfootError
from kfoot.readers import strace_assemble, strace_objects, strace_process
from kfoot.readers.base import Options
from kfoot.readers.reading import Reading
from kfoot.readers.strace_text import READER

DATA = Path(__file__).parent / "data" / "strace"
QUICK = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def real(name: str) -> bytes:
    packed = (DATA / f"{name}.txt.zst").read_bytes()
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def read(path: Path, data: bytes) -> Reading | None:
    """A reading, or None where the reader refused."""
    path.write_bytes(data)
    try:
        reading = READER.read([path], Options(arch="x86_64", max_steps=50))
    except KfootError as error:
        return None if str(path) in str(error) else pytest.fail(f"no place in {error}")
    consistent(reading)
    return reading


def consistent(reading: Reading) -> None:
    """Every index leads somewhere, every count is of something."""
    for key, row in reading.calls.items():
        assert row.calls > 0
        assert 0 <= key.process < len(reading.processes)
        for index in (key.object, key.object2):
            assert index is None or 0 <= index < len(reading.objects)
        assert (key.name is None) != (key.nr is None) or key.name is not None
    for index, process in enumerate(reading.processes):
        assert process.parent is None or (
            0 <= process.parent < len(reading.processes) and process.parent != index
        )
    for step in reading.steps:
        assert 0 <= step.process < len(reading.processes)
        assert step.times > 0


PIECES = st.sampled_from(
    [
        b"12 ", b"[pid   34] ", b"10:11:12.5 ", b"1795169741.1 ", b"     0.0001 ", b"[ 257] ",
        b"[00007f6aaf67fad7] ", b"openat(", b'AT_FDCWD, "/x"', b"read(3", b"3</dev/null<char 1:3>>",
        b"<TCP:[1.2.3.4:5->6.7.8.9:10]>", b", ", b") = ", b") = 0", b") = -1 EIO (Input/output)",
        b" = ?", b" <unfinished ...>", b"<... read resumed>", b"<... ???? resumed>", b"clone(",
        b"flags=CLONE_THREAD|CLONE_FILES", b"execve(", b'"/bin/x", ["x", "y"...]', b"vfork()",
        b"+++ exited with 1 +++", b"+++ killed by SIGKILL +++", b"--- SIGCHLD {si_signo=1} ---",
        b"+++ superseded by execve in pid 34 +++", b"strace: Process 34 attached",
        b" <detached ...>",
        b"[ Process PID=12 runs in 32 bit mode. ]", b" <0.000012>",
        b" > /lib/libc.so.6(x+0x9) [0x1]",
        b"ioctl(3, _IOC(_IOC_READ, 0x7, 0x3, 0x10), 0", b"pipe2([3, 4], O_CLOEXEC", b"\n", b"\n",
        b"sendmsg(4, {msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[3, 4]}]}", b"dup2(3, 4",
        b"socket(AF_INET, SOCK_STREAM, IPPROTO_TCP", b"mmap(NULL, 1, PROT_READ, MAP_SHARED, 3, 0",
        b"\\", b'"', b"<", b">", b"(", b")", b"[", b"]", b"\0", b"\xff", b"\r", b"12", b"-1", b"0x",
        b"close_range(3, 4294967295, 0", b"fcntl(3, F_DUPFD, 9", b"bpf(BPF_MAP_CREATE",
        b"9" * 5000, b"012", b"0x", b"f" * 40, b" <" + b"9" * 400 + b".0>", "٣".encode(), b" = ",
        b"fstat(3, {st_mode=S_IFCHR|0600, st_rdev=makedev(0x1, 0x3)}", b"syscall_0x1ff(",
    ]
)  # fmt: skip


@QUICK
@given(st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "trace", data)


@QUICK
@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_any_order_of_what_strace_writes(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "trace", data)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_through_every_sniffer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data)
    try:
        readers.read([path])
    except KfootError as error:
        if str(tmp_path) not in str(error):
            pytest.fail(f"no place in {error}")


def test_cut_anywhere(tmp_path: Path) -> None:
    data = real("strace.mdt-reservoir.busy")
    whole = read(tmp_path / "trace", data)
    assert whole is not None
    total = sum(row.calls for row in whole.calls.values())
    random_places = random.Random(7).sample(range(len(data)), 60)
    for place in sorted(random_places):
        reading = read(tmp_path / "trace", data[:place])
        if reading is None:
            continue
        assert sum(row.calls for row in reading.calls.values()) <= total
        whole_lines = data[:place].endswith(b"\n")
        # A line that was cut is a loss, unless what is left of it is whole by itself.
        assert whole_lines or reading.losses or reading.unparsed or _is_whole(data, place)


def _is_whole(data: bytes, place: int) -> bool:
    """Whether the last line, cut at ``place``, still reads as a whole one."""
    line = data[data.rfind(b"\n", 0, place) + 1 : place].strip()
    return line == line[:6].strip() or b") = " in line or line.endswith((b"...>", b"---", b"+++"))


def test_flipped_bits(tmp_path: Path) -> None:
    data = real("strace.mdt-reservoir.busy")
    chance = random.Random(11)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 5, 50, 500))):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        reading = read(tmp_path / "trace", bytes(broken))
        assert reading is not None


def test_a_line_of_100_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with path.open("wb") as file:
        file.write(b'7 execve("/a", ["a"], 0x0) = 0\n7 write(1, "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'", 104857600) = 104857600\n7 close(1) = 0\n7 exit_group(0) = ?\n')
    tracemalloc.start()
    reading = READER.read([path], Options())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {key.name: key.outcome for key in reading.calls} == {
        "execve": "ok", "write": "ok", "close": "ok", "exit_group": "never"
    }  # fmt: skip
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("cut", 1)]
    assert peak < 24 << 20


def test_lines_made_to_be_slow(tmp_path: Path) -> None:
    """Work grows with the line, not with its square: half a megabyte takes a second."""
    size = 1 << 19
    for piece in (b") = 1 (a", b") = 1<a", b") = 3<->", b"<... x resumed>", b"a(", b") = 0 E", b"<",
                  b"[pid 1] ", b"1 ", b" = ?", b'"\\', b"=>", b"<a<b>",
                  b") = -1 EIO (x) ("):  # fmt: skip
        for line in (b"x(" + piece * (size // len(piece)), piece * (size // len(piece))):
            data = b"1 a() = 0\n" + line + b"\n2 b(" + line + b" <unfinished ...>\n"
            begun = time.perf_counter()
            read(tmp_path / "trace", data)
            assert time.perf_counter() - begun < 8, piece


def test_memory_does_not_grow_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that names something else on every line is told apart up to a bound."""
    monkeypatch.setattr(strace_objects, "LIMIT", 1000)
    path = tmp_path / "trace"
    with path.open("w") as file:
        for number in range(3000):
            file.write(f'7 unlink("/{number}") = -1 ENOENT (No such file or directory)\n')
    reading = READER.read([path], Options())
    assert len(reading.objects) == 1000
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("cut", 2001)]
    assert sum(row.calls for row in reading.calls.values()) == 3000


@pytest.mark.parametrize("bound", ["combinations", "images"])
def test_memory_does_not_grow_with_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Of a thousand equal children most are folded into an earlier one of the same program."""
    if bound == "images":
        monkeypatch.setattr(strace_process, "IMAGES", 80)
    else:
        monkeypatch.setattr(strace_assemble, "COMBINATIONS", 100)
    lines = ['1 execve("/bin/sh", ["sh"], 0x0) = 0']
    for pid in range(2, 1002):
        lines += [
            f"1 clone(child_stack=NULL, flags=SIGCHLD) = {pid}",
            f'{pid} execve("/bin/a", ["a"], 0x0) = 0',
            f'{pid} openat(AT_FDCWD, "/x", O_RDONLY) = 3',
            f"{pid} +++ exited with 0 +++",
        ]
    path = tmp_path / "trace"
    path.write_text("\n".join(lines))
    reading = READER.read([path], Options())
    consistent(reading)
    assert sum(row.calls for row in reading.calls.values()) == 3001
    assert len(reading.calls) < 130
    assert {process.exe for process in reading.processes} == {"/bin/sh", "/bin/a"}
    (loss,) = reading.losses
    assert (loss.kind, loss.where) == ("cut", "process images not told apart")
    assert loss.count == 2000 + 1 - len(reading.processes)


def test_names_keep_their_control_characters_for_the_report_to_escape(tmp_path: Path) -> None:
    data = b'7 unlink("\\33[31m<script>\\n\\"\\377\\303\\251") = 0\n'
    reading = read(tmp_path / "trace", data)
    assert reading is not None
    assert [found.name for found in reading.objects] == ['\x1b[31m<script>\n"\udcff\xe9']


def test_a_thread_that_would_be_its_own_process(tmp_path: Path) -> None:
    """A clone returns the pid of a task that is taken for another clone's child, of its own
    process: who turned out to be whose thread went round in a circle, and reading never ended."""
    path = tmp_path / "trace"
    thread = "clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 9"
    path.write_text(
        f"8 {thread}\n"
        "8 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n"
        "9 +++ killed by SIGKILL +++\n"
        f"9 {thread}\n"
    )
    reading = READER.read([path], Options(arch="x86_64"))
    assert sum(count.calls for count in reading.calls.values()) == 3
