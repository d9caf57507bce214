"""The native scanners give what the pure-Python readers give, whatever the bytes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generated import EXAMPLES
from kfoot.readers.base import Options
from kfoot.readers.files import Source
from kfoot.readers.ftrace_text import (
    LONGEST,
    PIECE,
    READER,
    NativeText,
    Scanner,
    TextTally,
    lines,
)
from kfoot.readers.native import native
from needs import needs
from tallies import plain

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    needs("native")
    found = native()
    assert found is not None
    return found


def by_python(text: bytes, until: int | None = None, ioctl: int = 16) -> TextTally:
    scanner = Scanner(until_ns=until, ioctl=ioctl)
    scanner.feed(lines([text]))
    return scanner.end()


def by_native(
    module: ModuleType,
    text: bytes,
    until: int | None = None,
    threads: int = 3,
    pieces: int = 1,
    piece: int = PIECE,
) -> TextTally:
    scanner = NativeText(module, until, 16, threads, piece)
    found = [line[:LONGEST] + b"\n" for line in text.split(b"\n")]
    if not found[-1].strip(b"\n"):
        found.pop()
    share = len(found) // pieces + 1
    for at in range(0, len(found), share):
        scanner.feed(b"".join(found[at : at + share]))
    return scanner.end()


def same(one: TextTally, other: TextTally) -> None:
    assert plain(one.tally) == plain(other.tally)
    assert replace(one, tally=other.tally) == other


HEADS = [
    b"             job-101     [000] d.h..     2.133883: ",
    b"            bash-115   [000]     4.705748: ",
    b"            bash-115   [000]     4.705749: ",
    b"            bush-115   [000]     4.705750: ",
    b"            bash-115   [000]     4.705751001: ",
    b"  my - prog-9-42-7       [012] ..s1.   100.000001: ",
    b"         kworker-9       (      9) [001] .....     1.000000: ",
    b"         kworker-9       (-------) [001] ..Z..     1.000000: ",
    b"           <...>-7       [000] .....  1.000003: ",
    b"job-101 [000] 2.133883: ",
    b"        kfoot-sh-12      [000] ..... 123456789: ",
    b"-1 [0] 1.5: ",
    b"",
]
BODIES = [
    b"sys_enter: NR 16 (3, 5401, 7ffc00, 0, 0, 0)",
    b"sys_enter: NR 16 (3, 5401",
    b"sys_enter: NR 16 (3, , ",
    b"sys_enter: NR 12345678901 (3",
    b"sys_enter: NR -1 (0, 0)",
    b"sys_enter: nothing",
    b"sys_exit: NR 16 = -25",
    b"sys_exit: NR -1 = 0",
    b"sys_exit: NR 0 = 4096\r",
    b"sys_exit: NR 0 = -4095   ",
    b"sys_exit: NR 0 = 9999999999999999999",
    b"sys_enter: NR 0 (0, 0)",
    b"sys_openat(dfd: 3)",
    b"sys_openat -> 0x3",
    b"other -> 0x3",
    b"do_fork <-kernel_clone",
    b"<stack trace>",
    b"<user stack trace>",
    b"console: hello",
    b"tracing_mark_write: hello",
    b"task_newtask: pid=101 comm=a b clone_flags=3d0f00 oom_score_adj=0",
    b"sched_process_exec: filename=/a b pid=7 old_pid=9",
    b"sched_process_fork: comm=x pid=7 child_comm=y child_pid=101",
    b"task_rename: pid=7 oldcomm=a newcomm=b oom_score_adj=0",
    b"mm_page_alloc: page=1",
    b"x" * 101 + b": y",
    b"",
]
OTHERS = [
    b"# tracer: nop",
    b"# entries-in-buffer/entries-written: 5/12   #P:1",
    b"CPU:2 [LOST 12 EVENTS]",
    b"CPU:2 [LOST EVENTS]",
    b"CPU:1 [7 EVENTS DROPPED]",
    b"CPU:1 [LOST 7EVENTS]",
    b"cpus=2",
    b"version = 7\r",
    b"CPU 3 is empty",
    b" => do_syscall_64",
    b"1c 00 00 6e",
    b"0010: ab",
    b"",
    b"what is this?",
]
LINE = st.one_of(
    st.tuples(st.sampled_from(HEADS), st.sampled_from(BODIES)).map(b"".join),
    st.sampled_from(OTHERS),
    st.binary(max_size=60),
)
BROKEN = st.tuples(LINE, st.integers(0, 80), st.binary(max_size=3)).map(
    lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + len(made[2]) :]
)
TEXT = st.lists(st.one_of(LINE, BROKEN), max_size=25).map(b"\n".join)


PIECES = st.sampled_from([1, 5, 60, 300, PIECE])


@EXAMPLES
@given(
    TEXT,
    st.one_of(st.none(), st.integers(0, 3 * 10**9)),
    st.integers(1, 5),
    st.integers(1, 4),
    PIECES,
)
@example(b"-1 [0] 1.5: a:", None, 2, 1, PIECE)
def test_any_text(
    module: ModuleType, text: bytes, until: int | None, threads: int, pieces: int, piece: int
) -> None:
    same(by_native(module, text, until, threads, pieces, piece), by_python(text, until))


AGAIN = [
    b"         kworker-9       [001] ..s1.     1.000000: ",
    b"         kworker-9       [002] d..1.     1.000002: ",
    b"         renamed-9       [001] .....     1.000003: ",
    b"           <...>-9       [001] .....  4.00000: ",
    b"         kworker-9999999 [001]     1.000004: ",
    b"         kworker-99999999 [001]     1.000004: ",
    b"         kworker-9       (      9) [001] .....     1.000000: ",
    b"         kworker-9       (      8) [001] .....     1.000000:  ",
    b"         kworker-9       [001x] ..s1.     1.000000: ",
    b"         kworker-9       [001] ..s1.     2.000000: ",
    b"         kworker-9       [001]  1.000005: ",
    b"         kworker-8       [001]  1.000006: ",
]
SHORT = [b"a: b", b"a(b", b"ab: c:", b"sched_switch: a ==> b", b"sched_waking: a", b":", b"a b: c"]
SHORT += [
    b"sys_enter: NR 16 (3, 5401, 7)",
    b"sys_exit: NR 16 = 0",
    b"kernel_stack: x",
    b"<stack trace>",
]


@EXAMPLES
@given(
    st.lists(st.tuples(st.sampled_from(AGAIN), st.sampled_from(SHORT)).map(b"".join), max_size=60),
    st.integers(1, 3),
    PIECES,
    st.one_of(st.none(), st.just(1_000_000_003)),
)
def test_tasks_that_do_the_same_again(
    module: ModuleType, found: list[bytes], threads: int, piece: int, until: int | None
) -> None:
    text = b"\n".join(found)
    same(by_native(module, text, until, threads, piece=piece), by_python(text, until))


def test_more_tasks_than_the_first_table_has_room_for(module: ModuleType) -> None:
    made = [
        b"            name-%d   [001] ..s1.     1.%06d: event%d: x" % (at % 3000, at, at % 40)
        for at in range(20_000)
    ]
    text = b"\n".join(made)
    same(by_native(module, text, threads=2), by_python(text))


@EXAMPLES
@given(st.binary(max_size=300), PIECES)
def test_any_bytes_as_text(module: ModuleType, text: bytes, piece: int) -> None:
    same(by_native(module, text, piece=piece), by_python(text))


def by_file(module: ModuleType, path: Path, threads: int, piece: int) -> TextTally:
    scanner = NativeText(module, None, 16, threads, piece)
    assert scanner.read(path) is None
    return scanner.end()


LINES = [
    b"         kworker-9       [001] ..s1.     1.000001: name: x",
    b"            bash-115   [000]     4.705748: sys_enter: NR 16 (3, 5401, 0)",
    b"            bash-115   [000]     4.705748: sys_exit: NR 16 = 0",
    b"            bash-115   [000]     4.705748: print: one",
    b"two",
]


@settings(EXAMPLES, max_examples=min(EXAMPLES.max_examples, 200))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(LINES),
            st.sampled_from([0, 0, 1, 200, LONGEST - 60, LONGEST, 256 << 10, 300_000]),
            st.sampled_from([1, 1, 1, 3000]),
        ),
        max_size=12,
    ),
    st.integers(1, 3),
    st.sampled_from([1000, 50_000, 256 << 10, PIECE]),
    st.booleans(),
)
def test_files_with_lines_longer_than_what_is_read_at_once(
    module: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[bytes, int, int]],
    threads: int,
    piece: int,
    ends: bool,
) -> None:
    text = b"\n".join(
        line + b"." * more for line, more, times in made for _ in range(1 if more > 999 else times)
    )
    path = tmp_path_factory.mktemp("long") / "trace"
    path.write_bytes(text + b"\n" * ends)
    same(by_file(module, path, threads, piece), by_python(path.read_bytes()))


@pytest.mark.parametrize("body", LINES)
def test_pieces_are_cut_at_records_of_every_kind(module: ModuleType, body: bytes) -> None:
    text = b"\n".join([body] * 40)
    for piece in range(1, 200, 7):
        same(by_native(module, text, threads=2, piece=piece), by_python(text))


def test_a_reading_can_be_left_in_the_middle(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(LINES[0] * 10 + b"\n" + (LINES[0] + b"\n") * 100_000)

    def left_after(steps: int) -> bool:
        """False where the other threads were done before we could leave."""
        text = module.Text(threads=3, until=1, ioctl=16, piece=10_000)
        with path.open("rb") as file:
            text.read(file.fileno(), path.stat().st_size)
            if not all(text.step() for _ in range(steps)):
                return False
            try:
                text.feed(b"")
            except ValueError as error:
                left = "one source" in str(error)
            else:
                return False
            if steps % 2:
                text.stop()
                text.feed(b"")
            del text
        return left

    for steps in range(4):
        assert any(left_after(steps) for _ in range(100))


def test_a_file_that_shrank_and_one_that_cannot_be_read(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes((LINES[0] + b"\n") * 1000)
    text = module.Text(threads=2, until=1 << 62, ioctl=16, piece=10_000)
    with path.open("rb") as file:
        text.read(file.fileno(), 1 << 20)
        assert all(iter(text.step, None))
    assert text.end()["records"] == 1000
    text = module.Text(threads=2, until=1, ioctl=16, piece=10_000)
    with path.open("ab") as file:
        text.read(file.fileno(), path.stat().st_size)
        with pytest.raises(OSError, match="Bad file descriptor"):
            all(iter(text.step, None))


@pytest.mark.parametrize("cut", range(LONGEST - 12, LONGEST + 3))
def test_lines_cut_where_they_are_too_long(module: ModuleType, cut: int) -> None:
    head = b"         kworker-9       [001] ..s1.  "
    far = head + b" " * (cut - 48) + b"1.000001: name: x"
    text = b"\n".join([head + b"1.000001: name: x", far, b"#" * 80, b""])
    scanner = NativeText(module, None, 16, 1)
    scanner.feed(text)
    same(scanner.end(), by_python(text))
    for body in (b"sys_exit: NR 0 = -11", b"sys_enter: NR 16 (3, 5401, 0)", b"name: x", b"n -> 1"):
        head = b"-1 [0] 1.5:"
        text = head + b" " * (cut - len(head)) + body
        same(by_native(module, text), by_python(text))
        text = head + b" " + body + b" " * (cut - len(head) - len(body)) + b"  5"
        same(by_native(module, text), by_python(text))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_shipped_text(module: ModuleType, threads: int) -> None:
    with Source(DATA / "mdt-reservoir.arm64.ftrace.txt.zst") as source:
        text = b"".join(iter(source.read, b""))
    same(by_native(module, text, None, threads, threads), by_python(text))


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_the_same_way(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    import gzip

    with Source(DATA / "mdt-reservoir.arm64.ftrace.txt.zst") as source:
        text = b"".join(iter(source.read, b""))[:-7]
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(text) if packed else text)
    monkeypatch.setattr("kfoot.readers.native.UNPACKED", 100_000)
    monkeypatch.setattr(NativeText.__init__, "__defaults__", (0, 100_000))
    seen: list[tuple[int, int]] = []
    fast = READER.read([path], Options(arch="aarch64", progress=lambda *at: seen.append(at)))
    monkeypatch.setenv("KFOOT_NATIVE", "0")
    slow = READER.read([path], Options(arch="aarch64"))
    assert asdict(fast) == asdict(slow)
    assert seen[-1][0] == seen[-1][1] == path.stat().st_size


def test_doctor_says_which_scanners_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfoot import cli

    monkeypatch.setenv("KFOOT_NATIVE", "0")
    assert cli.main(["doctor"]) in (0, 1)
    (line,) = [row for row in capsys.readouterr().out.splitlines() if "reading traces" in row]
    assert line.startswith("no")
    assert "pure Python (KFOOT_NATIVE=0)" in line
