"""`strace -c` tables: published ones, real ones in every shape, cut and wrong ones."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from kfoot import readers
from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.reading import Loss, Reading
from needs import needs

DATA = Path(__file__).parent / "data"


def read(path: Path) -> Reading:
    (found,) = readers.read([path], Options(arch="x86_64"))
    assert found.format == "strace-summary"
    return found


def totals(reading: Reading) -> tuple[int, int]:
    """Calls and errors in all."""
    return (
        sum(row.calls for row in reading.calls.values()),
        sum(row.calls for key, row in reading.calls.items() if key.outcome != "ok"),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("reservoir", (437, 1)), ("tempbasal", (431, 1)), ("pumphistory", (248, 1))],
)
def test_published_tables(name: str, expected: tuple[int, int]) -> None:
    reading = read(DATA / "published" / f"openaps_strace_c_{name}.csv")
    assert totals(reading) == expected
    assert (reading.unparsed, reading.losses) == (0, [])
    assert all(row.time_ns is not None for row in reading.calls.values())


def test_a_table_equals_its_own_total_row() -> None:
    path = DATA / "strace" / "strace-c.mdt-reservoir.txt"
    reading = read(path)
    total = re.search(r"^100\.00 +([\d.]+) +\d+ +(\d+) +(\d+) total$", path.read_text(), re.M)
    assert total is not None
    assert totals(reading) == (int(total[2]), int(total[3]))
    assert reading.losses == []
    spent = sum(row.time_ns or 0 for row in reading.calls.values())
    assert spent == pytest.approx(float(total[1]) * 1e9, abs=30_000)


SHAPES = [
    (), ("-f",), ("-w",), ("-S", "name"), ("-S", "errors"), ("-U", "name,calls,errors"),
    ("-U", "calls,name"),
    ("-f", "-w", "-U", "time-percent,total-time,min-time,max-time,avg-time,calls,errors,name"),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_every_shape_of_a_real_table(tmp_path: Path, shape: tuple[str, ...]) -> None:
    needs("strace")
    path, trace = tmp_path / "table.txt", tmp_path / "trace.txt"
    command = ["cat", "/dev/null", "/nonexistent"]
    subprocess.run(["strace", "-c", *shape, "-o", path, *command], stderr=subprocess.DEVNULL)
    subprocess.run(["strace", "-o", trace, *command], stderr=subprocess.DEVNULL)
    lines = trace.read_text().splitlines()
    entered = Counter(m[1] for line in lines if (m := re.match(r"(\w+)\(", line)))
    # strace -c counts calls when they return.
    del entered["exit_group"]
    reading = read(path)
    mine: Counter[str | None] = Counter()
    for key, row in reading.calls.items():
        mine[key.name] += row.calls
    assert mine == entered
    assert (reading.unparsed, reading.losses) == (0, [])
    if "errors" in str(shape) or "-U" not in shape:
        failed = sum(1 for line in lines if re.search(r"\) += -1 E", line))
        assert totals(reading)[1] == failed


def test_two_personalities_are_kept_apart(tmp_path: Path) -> None:
    table = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.000004           2         2           execve\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.000004           2         2           total\n"
    )
    path = tmp_path / "table"
    path.write_text(
        table + "System call usage summary for 32 bit mode:\n" + table.replace("execve", "mmap2 ")
    )
    reading = read(path)
    assert {(k.abi, k.name): row.calls for k, row in reading.calls.items()} == {
        (None, "execve"): 2, ("i386", "mmap2"): 2
    }  # fmt: skip


def test_a_cut_or_wrong_table_is_a_loss(tmp_path: Path) -> None:
    lines = (DATA / "strace" / "strace-c.mdt-reservoir.txt").read_text().splitlines()
    cut = tmp_path / "cut"
    cut.write_text("\n".join(lines[:10]))
    assert read(cut).losses == [Loss("truncated", "cut: no total row", None)]
    wrong = tmp_path / "wrong"
    wrong.write_text("\n".join(line for line in lines if not line.endswith(" ioctl")))
    assert read(wrong).losses == [
        Loss("truncated", "wrong: calls of the total row, less those of the rows", 315)
    ]
    noisy = tmp_path / "noisy"
    noisy.write_text("hello\n" + "\n".join(lines) + "\n bye\n")
    reading = read(noisy)
    assert (reading.unparsed, [number for number, _ in reading.samples]) == (2, [1, len(lines) + 2])
    empty = tmp_path / "headonly"
    empty.write_text("\n".join(lines[:2]))
    with pytest.raises(InputError, match="no row"):
        read(empty)
