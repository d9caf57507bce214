"""strace text read with the native scanner's help gives what the Assembler alone gives."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from generated import EXAMPLES
from kfoot.errors import InputError
from kfoot.readers import strace_native
from kfoot.readers.base import Options
from kfoot.readers.files import Source
from kfoot.readers.native import native
from kfoot.readers.strace_assemble import Assembler
from kfoot.readers.strace_line import ANY
from kfoot.readers.strace_text import READER
from needs import needs

DATA = Path(__file__).parent / "data" / "strace"
STYLE = ANY._replace(since=False, nr=False, pointer=False)


@pytest.fixture(scope="module")
def module() -> ModuleType:
    needs("native")
    found = native()
    assert found is not None
    return found


def both(
    module: ModuleType, text: bytes, max_steps: int, pieces: int, threads: int | None = None
) -> None:
    options = Options(arch="x86_64", max_steps=max_steps)
    slow = Assembler(options)
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    slow.feed([line.removesuffix("\r") for line in lines], STYLE)
    fast = strace_native.Repeater(module, options, STYLE, threads)
    whole = [line.encode("utf-8", "surrogateescape") + b"\n" for line in lines]
    share = len(whole) // pieces + 1
    for at in range(0, len(whole), share):
        assert fast.take(b"".join(whole[at : at + share]))
    fast.finish()
    for reader in (slow, fast):
        if reader._partial:
            reader._give_up()
    assert asdict(fast.reading("t")) == asdict(slow.reading("t"))


PIDS = [b"", b"7 ", b"8 ", b"[pid 9] ", b"7   ", b"007 ", b"7<sh> "]
TIMES = [b"", b"1717171717.000001 ", b"1717171718.5 ", b"23:59:59.1 ", b"00:00:01 "]
CALLS = [
    b"read(3</a>, 1) = 1",
    b'read(3</a>, "x) = 2", 1) = 1',
    b"read(3, 1) = 1",
    b"read(4<TCP:[1.2.3.4:5->6.7.8.9:80]>, 1) = -1 EAGAIN (Resource temporarily unavailable)",
    b'write(1</dev/pts/0<char 136:0>>, "a", 1) = 1',
    b'write(1<pipe:[33]>, "a", 1) = 1',
    b"futex(0x1, FUTEX_WAIT) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
    b"futex(0x1, FUTEX_WAIT) = 0",
    b'openat(AT_FDCWD, "/a", O_RDONLY) = 3</a>',
    b'openat(AT_FDCWD</w>, "b", O_RDONLY|O_CLOEXEC) = 3</w/b>',
    b'openat(AT_FDCWD, "/c", O_RDONLY) = 3',
    b'openat(5, "d", O_RDONLY) = 4',
    b'open("/a", O_RDONLY) = -1 ENOENT (No such file or directory)',
    b"socket(AF_INET, SOCK_STREAM, 0) = 3<socket:[5]>",
    b"socket(AF_UNIX, SOCK_DGRAM, 0) = 4<UNIX:[6]>",
    b'sendto(4<UNIX:[6]>, "x", 1) = 1',
    b"dup2(3</a>, 4) = 4</a>",
    b"dup(3) = 5",
    b"close(3</a>) = 0",
    b"close(3) = 0",
    b"close(4<UNIX:[6]>) = 0",
    b"close_range(3, 4294967295, 0) = 0",
    b"fstat(3</a>, {st_mode=S_IFDIR|0755, st_size=4, ...}) = 0",
    b"fstat(4, {st_mode=S_IFCHR|0620, st_rdev=makedev(0x88, 0), ...}) = 0",
    b'newfstatat(AT_FDCWD, "/a", {st_mode=S_IFREG|0644, st_size=3, ...}, 0) = 0',
    b"fcntl(3</a>, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)",
    b"fcntl(3</a>, F_SETFD, FD_CLOEXEC) = 0",
    b"fcntl(3</a>, F_GETFD) = 0x1",
    b"fcntl(3</a>, F_DUPFD, 7) = 7</a>",
    b"fcntl(3</a>, F_DUPFD_CLOEXEC, 7) = 4</a>",
    b"fcntl(3</a>, F_DUPFD_QUERY, 4) = 1",
    b"fcntl(3</F_DUPFD, x>, F_GETFD) = 0",
    b"ioctl(3</dev/x<char 153:0>>, SPI_IOC_MESSAGE(32), 0x1) = 32",
    b"ioctl(3</a, b>, TCGETS, 0x1) = 0",
    b"ioctl(3</a>, _IOC(_IOC_NONE, 0x7, 0x3, 0), 0x1) = 0",
    b"ioctl(3</a>, FIOCLEX) = 0",
    b"mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000",
    b"mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3</a>, 0) = 0x7f0000000000",
    b"mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000000000",
    b"getdents64(3</a>, 0x55 /* 2 entries */, 32768) = 48",
    b"poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}])",
    b"pipe2([3<pipe:[5]>, 4<pipe:[5]>], O_CLOEXEC) = 0",
    b'execve("/bin/a", ["a"], 0x1 /* 2 vars */) = 0',
    b'execve("/bin/a", ["b"], 0x2 /* 3 vars */) = -1 ENOENT (No such file or directory)',
    b'execve("/bin/\\"a, b", ["b"], 0x2 /* 3 vars */) = -1 ENOENT (No such file or directory)',
    b'execve("/bin/aaaa"..., ["b"], 0x2 /* 3 vars */) = -1 EACCES (Permission denied)',
    b"clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 8",
    b"clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 9",
    b"vfork() = 8",
    b"exit_group(0) = ?",
    b"syscall_0x1b6(1) = -1 ENOSYS (Function not implemented)",
    b"lseek(3</a>, 0, SEEK_SET) = 0",
    b"lseek(3</a>, 0, SEEK_SET) = -1 (errno 530)",
    b"futex(0x1, FUTEX_WAIT) = -1 (errno 530)",
    b"poll([], 1, -1) = 0 (Timeout)",
    b"poll([], 1, -1) = 0 (a) = 1 (b)",
]
PARTS = [
    b"read(3</a>,  <unfinished ...>",
    b"read(3 <unfinished ...>",
    b"close(3</a> <unfinished ...>",
    b'openat(AT_FDCWD, "/a",  <unfinished ...>',
    b"futex(0x1, FUTEX_WAIT <unfinished ...>",
    b"clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>",
    b'execve("/bin/a", ["a"], 0x1 <unfinished ...>',
    b'<... read resumed>"x", 1) = 1',
    b"<... read resumed>) = 0",
    b"<... close resumed>) = 0",
    b"<... openat resumed>O_RDONLY) = 3</a>",
    b"<... futex resumed>) = 0",
    b"<... futex resumed>) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
    b"<... clone resumed>) = 8",
    b"<... execve resumed>) = 0",
    b"<... execve resumed>) = -1 ENOENT (No such file or directory)",
    b"<... ???? resumed>) = ?",
    b"+++ exited with 0 +++",
    b"+++ killed by SIGKILL +++",
    b"+++ superseded by execve in pid 8 +++",
    b"--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=8} ---",
    b"strace: Process 8 attached",
    b"[ Process PID=7 runs in 32 bit mode. ]",
    b"what is this",
    b" > /lib/libc.so.6(read+0x1) [0x1]",
    b'write(1, "half',
    b"",
]
TAKEN = [b"", b" <0.000123>", b" <1.000000001>", b" <12345678901.5>"]
LINE = st.tuples(
    st.sampled_from(PIDS),
    st.sampled_from(TIMES[:3]),
    st.one_of(
        st.tuples(st.sampled_from(CALLS), st.sampled_from(TAKEN)).map(b"".join),
        st.sampled_from(PARTS),
    ),
).map(b"".join)
CLOCKED = st.tuples(
    st.sampled_from(PIDS[:4]), st.sampled_from(TIMES[3:]), st.sampled_from(CALLS[:3])
).map(b"".join)
BROKEN = st.tuples(LINE, st.integers(0, 90), st.binary(max_size=3)).map(
    lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + len(made[2]) :]
)
# Repetition is what the scanner is for: few different lines, often.
FEW = st.lists(st.one_of(LINE, LINE, LINE, BROKEN), min_size=1, max_size=6).flatmap(
    lambda few: st.lists(st.sampled_from(few), max_size=40)
)
TEXT = st.one_of(
    FEW, st.lists(st.one_of(LINE, BROKEN), max_size=30), st.lists(CLOCKED, max_size=30)
).map(b"\n".join)


@EXAMPLES
@given(TEXT, st.sampled_from([0, 1, 3, 1000]), st.integers(1, 3))
@example(b"7 read(3</a>, 1) = 1\n7 read(3</a>, 1) = 1\n7 read(3</a>, 1) = 1", 1, 1)
def test_any_trace(module: ModuleType, text: bytes, max_steps: int, pieces: int) -> None:
    both(module, text, max_steps, pieces)


FOLDED = st.lists(
    st.tuples(
        st.sampled_from([b"7 ", b"8 ", b"9 "]),
        st.sampled_from([*CALLS[:4], *CALLS[42:49], *PARTS[13:15], *PARTS[17:18]]),
    ).map(b"".join),
    max_size=60,
).map(b"\n".join)
"""Few calls among many execs, forks and ends."""


@EXAMPLES
@given(FOLDED, st.integers(0, 6))
def test_too_many_combinations_fold_images_at_the_same_place(
    module: ModuleType, text: bytes, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfoot.readers.strace_assemble.COMBINATIONS", most)
        patch.setattr("kfoot.readers.strace_native.COMBINATIONS", most)
        both(module, text, 5, 1)


@pytest.mark.parametrize(
    "text",
    [
        # A task that made no call yet gets its first image from an exec.
        "8 read(3</a>, 1) = 1|7 --- SIGCHLD {} ---|7 read(3</a>, 1) = 1|"
        '7 execve("/bin/a", ["a"], 0x1 /* 2 vars */) = 0|7 read(3</a>, 1) = 1',
        # A child that only a line that does not parse speaks of was not followed.
        "7 vfork() = 8|7 read(3</a>, 1) = 1|8 what is this|8 read(3</a>, 1) = 1",
        # Numbers and times longer than the Assembler takes.
        "7 read(3</a>, 1) = 1|7 read(3</a>, 1) = 123456789012345678901|7 read(3</a>, 1) = 1",
        "7 read(3</a>, 1) = 0x1|7 read(3</a>, 1) = 0x12345678901234567|7 read(3</a>, 1) = 0x1",
        "7 1717171717.1 read(3</a>, 1) = 1|7 171717171717.1 read(3</a>, 1) = 1",
        "7 1717171717.1 read(3</a>, 1) = 1|7 1717171717.1234567890 read(3</a>, 1) = 1",
        # The first time of all is of a line the scanner counts, or of one whose text is new.
        "7 read(3</a>, 1) = 1|7 1717171717.1 read(3</a>, 1) = 1|7 1717171718.1 read(3</a>, 1) = 1",
        "7 read(3</a>, 1) = 1|7 1717171717.1 read(4</a>, 1) = 1|1717171718.1 read(3</a>, 1) = 1",
        # -1 and AT_FDCWD are no descriptors, even where a call is said to return them.
        "7 dup(3</a>) = -1|7 fcntl(-1, F_SETFD, FD_CLOEXEC) = 0|7 dup(3</a>) = -100|"
        '7 fcntl(-1, F_SETFD, 0) = 0|7 openat(AT_FDCWD, "b", O_RDONLY) = 4|7 close(-1) = 0',
        # A pid that another task has, which is in a call.
        "7 clone(child_stack=0x1, flags=CLONE_VM) = 9|8 read(3</a>, 1) = 1|"
        "8 read(3</a>,  <unfinished ...>|7 clone(child_stack=NULL, flags=SIGCHLD) = 8",
        # Lines without a pid belong to no task any more once another is born.
        "7 +++ killed by SIGKILL +++|7<sh> read(3, 1) = 1|[pid 9] dup2(3</a>, 4) = 4</a>|"
        "<... read resumed>) = 0|futex(0x1, FUTEX_WAIT <unfinished ...>|7 <... clone resumed>) = 8",
        # Signals while a call is under way.
        "7 read(3</a>,  <unfinished ...>|8 read(3</a>, 1) = 1|7 --- SIGCHLD {} ---|"
        "7 <... read resumed>1) = 1|7 read(3</a>, 1) = 1|8 --- SIGCHLD {} ---|8 --- SIGCHLD {} ---",
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_seldom_lines(module: ModuleType, text: str, times: int) -> None:
    lines = text.encode().replace(b"|", b"\n") + b"\n"
    both(module, lines * times, 1000, 1)
    both(module, lines * times, 2, 1)


@EXAMPLES
@given(st.binary(max_size=300))
def test_any_bytes_as_strace(module: ModuleType, text: bytes) -> None:
    both(module, text, 1, 1)


@pytest.mark.parametrize(
    "name", ["strace.mdt-reservoir.busy.txt.zst", "strace.mdt-reservoir.txt.zst"]
)
@pytest.mark.parametrize(("max_steps", "threads"), [(0, 1), (50, 2), (20_000, 1), (20_000, 2)])
def test_the_shipped_traces(module: ModuleType, name: str, max_steps: int, threads: int) -> None:
    with Source(DATA / name) as source:
        text = b"".join(iter(source.read, b""))
    both(module, text, max_steps, 3, threads)


def test_few_calls_of_few_tasks_many_times(module: ModuleType) -> None:
    """Longer than what is generated above: tasks come, go, and get each other's pids."""
    for seed in range(int(os.environ.get("KFOOT_EXAMPLES", "1000")) // 5):
        dice = random.Random(seed)
        pids = dice.choice([PIDS, PIDS[:2], PIDS[1:3], PIDS[1:4], [b"7 ", b"8 ", b"9 "]])
        times = dice.choice([TIMES[:1], TIMES[1:2], TIMES[:3]])
        calls = dice.sample([*CALLS, *CALLS, *PARTS], dice.randint(3, 40))
        lines = [
            dice.choice(pids) + dice.choice(times) + dice.choice(calls)
            for _ in range(dice.choice([30, 100, 300]))
        ]
        both(module, b"\n".join(lines), dice.choice([0, 3, 20, 300]), dice.randint(1, 3))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_trace_of_any_lines(module: ModuleType, threads: int) -> None:
    """So long that lines are taken apart ahead, in a thread of its own where there are two."""
    dice = random.Random(3)
    lines = [
        dice.choice(PIDS) + TIMES[1] + dice.choice([*CALLS, *CALLS, *PARTS]) for _ in range(20_000)
    ]
    both(module, b"\n".join(lines), 3000, 2, threads)


def test_a_piece_may_be_left_before_its_end(module: ModuleType) -> None:
    line = b"7 read(3</a>, 1) = 1\n"
    for long in (b"7 write(1, " + b"A" * 3_000_000 + b") = 1\n", b""):
        reader = strace_native.Repeater(module, Options(), STYLE, 2)
        assert reader.take(line * 9000 + long + line * 20_000) is not bool(long)
    reader = strace_native.Repeater(module, Options(), STYLE, 2)
    reader._scan.piece(line * 50_000)
    assert reader._scan.next(False)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("packer", [bytes, gzip.compress, zstandard.compress])
def test_files_are_read_the_same_way(
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    packer: Callable[[bytes], bytes],
) -> None:
    dice = random.Random(7)
    lines = [
        dice.choice(PIDS[1:3]) + TIMES[1] + dice.choice([*CALLS[:12], *PARTS[:12]])
        for _ in range(3000)
    ]
    path = tmp_path / "trace"
    newline = b"\r\n" if end == "\r\n" else b"\n"
    text = newline.join([*lines, b"7 read(3</a>, <unfinished"]) + end.encode()
    path.write_bytes(packer(text))
    used = []
    take = strace_native.Repeater.take
    monkeypatch.setattr("kfoot.readers.native.SEGMENT", 30_000)
    monkeypatch.setattr("kfoot.readers.native.UNPACKED", 30_000)
    monkeypatch.setattr(
        strace_native.Repeater, "take", lambda self, piece: used.append(1) or take(self, piece)
    )
    fast = READER.read([path], Options(arch="x86_64", max_steps=100))
    assert len(used) > 2
    monkeypatch.setenv("KFOOT_NATIVE", "0")
    assert asdict(fast) == asdict(READER.read([path], Options(arch="x86_64", max_steps=100)))


def test_a_line_without_end_goes_to_the_assembler(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace"
    line = b"7 read(3</a>, 1) = 1\n"
    path.write_bytes(line * 300 + b'7 write(1, "' + b"A" * 3_000_000 + b'", 1) = 1\n' + line)
    fast = READER.read([path], Options(arch="x86_64"))
    monkeypatch.setenv("KFOOT_NATIVE", "0")
    assert asdict(fast) == asdict(READER.read([path], Options(arch="x86_64")))


def test_flipped_traces(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Source(DATA / "strace.mdt-reservoir.txt.zst") as source:
        text = b"".join(iter(source.read, b""))[:40_000]
    dice = random.Random(5)
    path = tmp_path / "trace"
    for _ in range(int(os.environ.get("KFOOT_FLIPS", "5"))):
        broken = bytearray(text)
        for _ in range(30):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        path.write_bytes(broken)
        shown = []
        for switch in ("1", "0"):
            monkeypatch.setenv("KFOOT_NATIVE", switch)
            try:
                shown.append(asdict(READER.read([path], Options(arch="x86_64", max_steps=9))))
            except InputError as error:
                shown.append({"error": str(error)})
        assert shown[0] == shown[1]
