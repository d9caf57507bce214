"""The native scanner of ring buffer pages gives what the pure-Python one gives."""

from __future__ import annotations

import os
import random
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringwriter as w
from generated import EXAMPLES
from kfoot.errors import InputError
from kfoot.readers import ring_apart, ring_buffer, ring_native
from kfoot.readers.base import Options
from kfoot.readers.ftrace_format import PageFormat, parse_event
from kfoot.readers.native import native
from kfoot.readers.ring_apart import Apart
from kfoot.readers.ring_buffer import Plan, Stream
from kfoot.readers.ring_reading import count
from kfoot.readers.trace_dat import READER as DAT
from needs import needs
from tallies import plain

DATA = Path(__file__).parent / "data"
PAGE = 256
FORMATS = {
    event.id: event
    for (system, _), text in w.formats().items()
    if (event := parse_event(text, system)) is not None
}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    needs("native")
    found = native()
    assert found is not None
    return found


def streams(cpus: list[bytes]) -> list[Stream]:
    return [Stream(cpu, lambda data=data: [data]) for cpu, data in enumerate(cpus)]


def both(module: ModuleType, cpus: list[bytes], plan: Plan, threads: int, window: int) -> None:
    """Read by both; tallies and damage must be equal."""
    slow, fast = streams(cpus), streams(cpus)
    gated = plan
    if plan.gate is not None:
        gated = replace(plan, gate_from=ring_buffer.gate_from(slow, plan))
    expected = ring_buffer.scan(slow, gated)
    found = ring_native.scan(module, fast, plan, None, threads, window)
    assert plain(found) == plain(expected)
    assert [asdict(s.damage) for s in fast] == [asdict(s.damage) for s in slow]


TID = st.integers(6, 9)
NR = st.sampled_from([0, 1, 16, 59, -1, 1 << 62])
RECORD = st.one_of(
    st.builds(w.enter, TID, NR, st.integers(0, 9), st.integers(0, (1 << 64) - 1)),
    st.builds(w.leave, TID, NR, st.sampled_from([0, 1, -1, -38, -512, -4095, -4096])),
    st.builds(w.switch, TID, st.integers(0, 255)),
    st.builds(w.newtask, TID, TID, st.just(b"comm"), st.sampled_from([0, 0x10000])),
    st.builds(w.fork, TID, TID),
    st.builds(w.execute, TID, st.sampled_from([b"/bin/a", b"b", b""])),
    st.builds(w.common, st.sampled_from([0, w.ENTER, w.EXIT, w.EXEC, 9999]), TID),
    st.binary(max_size=40),
)
STEP = st.one_of(st.integers(0, 20), st.sampled_from([1 << 20, 1 << 30, 1 << 58, -5]))


@st.composite
def cpu_pages(draw: st.DrawFn) -> bytes:
    cpu = w.Cpu(page=PAGE)
    now = draw(st.integers(0, 100))
    for record in draw(st.lists(RECORD, max_size=25)):
        now = max(0, now + draw(STEP)) & ((1 << 63) - 1)
        cpu.add(max(now, cpu._now), record[: PAGE - 32])
        if draw(st.integers(0, 9)) == 0:
            cpu.missed = draw(st.sampled_from([-1, 3, (1 << 64) - 1]))
            cpu.flush()
    data = bytearray(cpu.data())
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    if draw(st.integers(0, 5)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return bytes(data)


@EXAMPLES
@given(
    st.lists(cpu_pages(), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from([1, PAGE, 1 << 20]),
    st.one_of(st.none(), st.integers(0, 200)),
    st.one_of(st.none(), TID),
)
def test_any_pages(
    module: ModuleType,
    cpus: list[bytes],
    threads: int,
    window: int,
    until: int | None,
    gate: int | None,
) -> None:
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16, until_ns=until, gate=gate)
    both(module, cpus, plan, threads, window)


BESIDE = 900
FEW, NUMBERS = st.integers(6, 7), st.sampled_from([0, 1, 16, 59, -1])
ACT = st.one_of(
    st.builds(w.common, st.just(BESIDE), FEW),
    st.builds(w.enter, FEW, NUMBERS, st.integers(0, 1), st.integers(0, 3)),
    st.builds(w.leave, FEW, NUMBERS, st.sampled_from([0, -1, -38])),
)


@st.composite
def acts_of_few(draw: st.DrawFn) -> list[bytes]:
    """Pages of some CPUs, on which few tasks do what matters in all orders there are."""
    cpus = [w.Cpu(page=PAGE) for _ in range(draw(st.integers(1, 3)))]
    now = 0
    for act in draw(st.lists(ACT, min_size=10, max_size=60)):
        now += draw(st.integers(0, 20))
        draw(st.sampled_from(cpus)).add(now, act)
    return [cpu.data() for cpu in cpus]


@EXAMPLES
@given(
    st.one_of(acts_of_few(), acts_of_few(), st.lists(cpu_pages(), min_size=1, max_size=3)),
    st.integers(1, 4),
    st.sampled_from([1, PAGE, 1 << 20]),
    st.one_of(st.none(), st.integers(0, 200)),
    st.one_of(st.none(), TID),
    st.frozensets(TID),
)
def test_calls_are_told_apart_by_abi_alike(
    module: ModuleType,
    cpus: list[bytes],
    threads: int,
    window: int,
    until: int | None,
    gate: int | None,
    announced: frozenset[int],
) -> None:
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16, until_ns=until, gate=gate)
    apart = Apart(frozenset({BESIDE}), announced, frozenset({59}), frozenset({1}), 0)
    slow, fast = streams(cpus), streams(cpus)
    found = ring_native.scan_apart(module, fast, plan, apart, threads, window)
    if gate is not None:
        plan = replace(plan, gate_from=ring_buffer.gate_from(slow, plan))
    tasks = found[0].tasks() | found[1].tasks() | set(range(6, 10))
    expected = ring_apart.count(slow, plan, apart, tasks)
    assert [calls.by_task() for calls in found] == [calls.by_task() for calls in expected]


@EXAMPLES
@given(st.lists(st.binary(max_size=600), max_size=3), st.sampled_from([(16, 8), (12, 4)]))
def test_any_bytes_as_pages(module: ModuleType, cpus: list[bytes], head: tuple[int, int]) -> None:
    page = PageFormat(page=128, data=head[0], commit=head[1])
    both(module, cpus, Plan(page, FORMATS, ioctl=16), 2, 128)


@pytest.mark.parametrize("window", [5000, 100_000, 8 << 20])
def test_the_shipped_trace_dat(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(ring_native.scan, "__defaults__", (None, 0, window))
    fast = DAT.read([DATA / "oref0.amd64.trace.dat"], Options(arch="x86_64"))
    monkeypatch.setenv("KFOOT_NATIVE", "0")
    slow = DAT.read([DATA / "oref0.amd64.trace.dat"], Options(arch="x86_64"))
    assert asdict(fast) == asdict(slow)


def test_a_flipped_trace_dat_is_an_error_or_the_same_by_both(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = w.Cpu()
    for step in range(300):
        cpu.add(step * 10, w.enter(7, step % 5))
        cpu.add(step * 10 + 5, w.leave(7, step % 5, 0))
    whole = w.trace_dat_7({0: cpu.data()}, uname=b"Linux box 6.1 x86_64", compression="zstd")
    plain = w.trace_dat_6({0: cpu.data(), 2: cpu.data()}, uname=b"Linux box 6.1 x86_64")
    dice = random.Random(4)
    path = tmp_path / "trace.dat"
    for data in [whole, plain] * int(os.environ.get("KFOOT_FLIPS", "60")):
        broken = bytearray(data)
        for _ in range(dice.choice([1, 1, 5])):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        path.write_bytes(broken)
        shown = []
        for switch in ("1", "0"):
            monkeypatch.setenv("KFOOT_NATIVE", switch)
            try:
                shown.append(asdict(DAT.read([path], Options(arch="x86_64"))))
            except InputError as error:
                shown.append({"error": str(error)})
        assert shown[0] == shown[1]


def calls_of_one(page: int, pages: int) -> list[bytes]:
    """So many pages of one CPU, with as many calls as have room there."""
    cpu = w.Cpu(page=page)
    step = 0
    while len(cpu.pages) < pages:
        cpu.add(step * 10, w.enter(7, step % 5))
        cpu.add(step * 10 + 5, w.leave(7, step % 5, 0))
        step += 1
    return cpu.pages


@pytest.mark.parametrize("page", [64 << 10, 512 << 10])
@pytest.mark.parametrize("window", [1, 1 << 20])
def test_large_pages(module: ModuleType, page: int, window: int) -> None:
    made = b"".join(calls_of_one(page, 6))
    plan = Plan(PageFormat(page=page), FORMATS, ioctl=16)
    both(module, [made, made[:-100], made[: page + 16], made[: page + 15]], plan, 2, window)


@pytest.mark.parametrize("cpus", [2, 5, 70])
@pytest.mark.parametrize("window", [1, 4 * PAGE, 1 << 20])
def test_tasks_that_move_between_cpus(module: ModuleType, cpus: int, window: int) -> None:
    """In the middle of a call, too, with another task's calls in between or without."""
    dice = random.Random(cpus)
    made = [w.Cpu(page=PAGE) for _ in range(cpus)]
    homes = {tid: dice.randrange(cpus) for tid in range(10, 30)}
    under_way: dict[int, int] = {}
    for ns in range(0, 60_000, 5):
        tid = dice.choice([10, 10, 10, 11, *homes])
        if dice.random() < 0.1:
            homes[tid] = dice.randrange(cpus)
        cpu = made[homes[tid]]
        if tid in under_way:
            # Some calls return with another number: they count as never returned.
            nr = under_way.pop(tid) if dice.random() < 0.95 else 99
            cpu.add(ns, w.leave(tid, nr, dice.choice([0, 0, -2])))
        else:
            under_way[tid] = dice.randrange(4)
            cpu.add(ns, w.enter(tid, under_way[tid]))
        if dice.random() < 0.02:
            cpu.add(ns + 1, w.newtask(tid, 100 + ns, b"child", 0))
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16)
    both(module, [cpu.data() for cpu in made], plan, 3, window)


def test_pages_that_are_not_in_order_are_gone_through_beforehand(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = calls_of_one(PAGE, 40)
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16)
    seen: list[bool] = []
    ring = ring_native._ring

    def noted(*args: object) -> object:
        seen.append(bool(args[3]))
        return ring(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ring_native, "_ring", noted)
    both(module, [b"".join(made)], plan, 2, PAGE)
    assert seen == [False]
    for at in (2, 20, 39):
        seen.clear()
        turned = [*made[:at], made[0], *made[at + 1 :]]
        both(module, [b"".join(made), b"".join(turned)], plan, 2, PAGE)
        assert seen == [False, True]


def test_pages_that_are_not_in_memory(module: ModuleType, tmp_path: Path) -> None:
    """Looking for pages leaves none of them there; they are read all the same."""
    made = b"".join(calls_of_one(PAGE, 4000))
    path = tmp_path / "cpu0.pages"
    path.write_bytes(made)
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16)
    expected = plain(ring_buffer.scan([Stream(0, lambda: [made])], plan))
    for window in (PAGE, 64 << 10):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        stream = Stream(0, lambda: [made], (path, 0, len(made)))
        assert plain(ring_native.scan(module, [stream], plan, None, 2, window)) == expected


def test_a_file_that_is_cut_meanwhile_is_an_error(module: ModuleType, tmp_path: Path) -> None:
    made = b"".join(calls_of_one(PAGE, 40))
    path = tmp_path / "cpu0.pages"
    path.write_bytes(made[: PAGE * 20])
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16)
    stream = Stream(0, lambda: [made], (path, 0, len(made)))
    for window in (1, 1 << 20):
        with pytest.raises(OSError, match="Input/output"):
            ring_native.scan(module, [stream], plan, None, 2, window)
    found = count([stream], plan)
    assert plain(found) == plain(ring_buffer.scan([stream], plan))
    assert sum(calls for calls, _ in found.calls.by_task().values()) > 20


def test_a_reading_can_be_left_in_the_middle(module: ModuleType, tmp_path: Path) -> None:
    made = b"".join(calls_of_one(PAGE, 400))
    path = tmp_path / "cpu0.pages"
    path.write_bytes(made)
    plan = Plan(PageFormat(page=PAGE), FORMATS, ioctl=16)
    stream = Stream(0, lambda: [made], (path, 0, len(made)))

    def interrupted(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ring_native.scan(module, [stream], plan, interrupted, 3, PAGE)

    def left_after(steps: int) -> bool:
        """False where the other threads were done before we could leave."""
        with path.open("rb") as file:
            files = [(file.fileno(), file.fileno(), 0, len(made))]
            ring = ring_native._ring(module, files, plan, False, 3, PAGE)
            if not all(ring.step() for _ in range(steps)):
                return False
            try:
                ring.end()
            except ValueError as error:
                left = "not at the end" in str(error)
            else:
                return False
            ring.stop()
        return left and ring.step() is None

    for steps in range(4):
        assert any(left_after(steps) for _ in range(100))
