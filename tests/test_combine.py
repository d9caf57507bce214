"""Two recorders of one run side by side."""

from __future__ import annotations

import pytest

from kfoot.atlas import open_atlas
from kfoot.footprint.combine import compare
from kfoot.footprint.names import Names
from kfoot.readers.reading import CallCount, CallKey, Process, Reading


def reading(*calls: tuple[str | None, int | None, str | None, int]) -> Reading:
    """Of (ABI, number, name, calls)."""
    made = Reading("x", "x", processes=[Process(1)])
    for abi, nr, name, count in calls:
        made.calls[CallKey(0, abi, nr, name, "ok")] = CallCount(count)
    return made


@pytest.fixture(scope="module")
def names() -> Names:
    return Names(open_atlas(None), "x86_64")


def test_names_and_numbers_are_the_same_call(names: Names) -> None:
    strace = reading((None, None, "read", 3), (None, None, "newfstatat", 1))
    ftrace = reading(("x86_64", 0, None, 3), ("x86_64", 262, None, 2))
    check = compare("strace", [strace], "ftrace", [ftrace], names)
    assert (check.compared, check.equal) == (2, 1)
    assert check.differences == (("x86_64:newfstatat", 1, 2),)


def test_32_bit_calls_are_compared_by_number(names: Names) -> None:
    """ftrace says 102, strace says socketpair, or getuid of a 64-bit task."""
    strace = reading(
        ("i386", None, "read", 3),
        ("i386", None, "socketpair", 2),
        ("i386", None, "mmap2", 5),
        ("x86_64", None, "getuid", 1),
        ("x86_64", None, "read", 4),
    )
    ftrace = reading(
        ("x86_64", 0, None, 4), ("x86_64", 3, None, 3), ("x86_64", 102, None, 3),
        ("x86_64", 192, None, 4),
    )  # fmt: skip
    check = compare("strace", [strace], "ftrace", [ftrace], names)
    assert check.differences == (("number 192", 5, 4),)
    assert (check.compared, check.equal) == (4, 3)
