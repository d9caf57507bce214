"""Attribution, one table at a time, on readings small enough to check by hand."""

from __future__ import annotations

import json

import pytest

from kfoot.footprint import contract, merge, processes
from kfoot.footprint.names import Names
from kfoot.footprint.system import System, parse_config
from kfoot.footprint.workload import EVERYTHING, own
from kfoot.readers.reading import CallCount, CallKey, Process, Reading


def reading(*processes: Process, calls: dict[int, int]) -> Reading:
    return Reading(
        "strace",
        "raw/x",
        processes=list(processes),
        calls={
            CallKey(index, None, None, "read", "ok"): CallCount(n) for index, n in calls.items()
        },
    )


def test_equal_children_are_one_row_with_instances() -> None:
    shell = Process(10, exe="/bin/sh", argv=("sh",))
    trees = [
        reading(
            shell,
            Process(11, 0, "/bin/true", ("true",)),
            Process(12, 0, "/bin/true", ("true",)),
            Process(13, 0, "/bin/ls", ("ls",)),
            calls={0: 5, 1: 2, 2: 2, 3: 1},
        )
    ]
    assert processes.tabulate([(tree, EVERYTHING) for tree in trees]) == [
        {"id": 0, "exe": "/bin/sh", "argv": ["sh"], "parent": None, "instances": 1, "calls": 5},
        {"id": 1, "exe": "/bin/ls", "argv": ["ls"], "parent": 0, "instances": 1, "calls": 1},
        {"id": 2, "exe": "/bin/true", "argv": ["true"], "parent": 0, "instances": 2, "calls": 4},
    ]


def test_a_parent_that_comes_later_or_is_itself_does_not_loop() -> None:
    rows = processes.tabulate([(reading(Process(1, 0), Process(2, 5), calls={}), EVERYTHING)])
    assert [row["parent"] for row in rows] == [None]


def test_rows_stand_on_lines_of_their_own_and_survive_json() -> None:
    footprint = {"schema": 1, "b": [{"z": 1, "a": None}, {"a": "\u202e<b>"}], "a": {}, "c": []}
    text = contract.dumps(footprint)
    assert json.loads(text) == footprint
    assert text.splitlines().index('  {"a": null, "z": 1},') > 0
    assert text.index('"a"') < text.index('"b"') < text.index('"c"')


def base(use_case: str, **tables: object) -> contract.Footprint:
    empty = {name: [] for name in contract.TABLES}
    return {
        "schema": 1,
        "use_case": use_case,
        "workload": {
            "argv": ["x"],
            "exit_status": 0,
            "signal": None,
            "started": 1.0,
            "duration_s": 1.5,
        },
        "environment": {"kernel": "6.1", "arch": "x86_64", "abis": ["x86_64"], "atlas": {}},
        "evidence": {"collectors": [], "losses": [], "valid": True, "window": {}},
        "capture": {"kind": "run", "replicates": 1, "not_recorded": [], "kfoot": "0"},
        **empty,
        **tables,
    }


def syscall(name: str, calls: int, **errnos: int) -> contract.Row:
    return {
        "abi": "x86_64",
        "name": name,
        "nr": 1,
        "calls": calls,
        "errors": sum(errnos.values()),
        "errnos": errnos,
        "unfinished": 0,
        "time_us": None,
        "file": "f",
        "section": "S",
        "area": "vfs",
    }


def test_merging_adds_counts_and_says_in_how_many_a_row_was_seen() -> None:
    a = base("one", syscalls=[syscall("read", 3, EAGAIN=1), syscall("open", 1)])
    b = base("two", syscalls=[syscall("read", 4, EINTR=2)])
    b["evidence"] = {
        **b["evidence"],
        "valid": False,
        "losses": [{"kind": "overrun", "where": "cpu0", "count": 7}],
    }
    merged = merge([a, b])
    rows = {row["name"]: row for row in merged["syscalls"]}
    assert (rows["read"]["calls"], rows["read"]["errors"], rows["read"]["seen"]) == (7, 3, 2)
    assert rows["read"]["errnos"] == {"EAGAIN": 1, "EINTR": 2}
    assert rows["read"]["time_us"] is None
    assert rows["open"]["seen"] == 1
    assert merged["capture"]["replicates"] == 2
    assert merged["use_case"] == "one + two"
    assert not merged["evidence"]["valid"]
    assert merged["evidence"]["losses"][0]["where"] == "two: cpu0"


def test_merging_is_associative_in_seen() -> None:
    prints = [base(str(n), syscalls=[syscall("read", n)]) for n in (1, 2, 3)]
    left = merge([merge(prints[:2]), prints[2]])
    assert left["syscalls"][0]["seen"] == 3
    assert left["syscalls"][0]["calls"] == 6


def test_longest_mount_point_wins_and_prefixes_end_at_slashes() -> None:
    system = System(
        {
            "mounts": [
                {"point": "/", "fstype": "ext4"},
                {"point": "/data", "fstype": "xfs"},
            ]
        }
    )
    assert system.filesystem_of("/data/x") == "xfs"
    assert system.filesystem_of("/database") == "ext4"
    assert System(None).filesystem_of("/x") is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CONFIG_SPI=y", {"CONFIG_SPI": "y"}),
        ("# CONFIG_SPI is not set", {"CONFIG_SPI": "n"}),
        ('CONFIG_LOCALVERSION="-x"', {"CONFIG_LOCALVERSION": "-x"}),
        ("# a comment", {}),
    ],
)
def test_kernel_config_lines(line: str, expected: dict[str, str]) -> None:
    assert parse_config(line) == expected


def test_a_number_without_an_abi_is_never_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTable:
        def syscall(self, abi: str, key: int | str) -> None:
            raise AssertionError("asked for a table although the ABI is unknown")

    names = Names(NoTable(), None)  # type: ignore[arg-type]
    call = names.syscall(CallKey(0, None, 336, None, "ok"), Reading("strace", "x"))
    assert (call.name, call.place.area) == ("syscall_336", None)


def test_what_happens_before_the_exec_and_in_other_tasks_is_not_the_workloads() -> None:
    tree = reading(
        Process(7, comm="kfoot"),
        Process(9, 0, comm="kfoot"),
        Process(9, 1, "/bin/sh", ("sh",)),
        Process(12, 2, "/bin/ls", ("ls",)),
        Process(13, comm="kworker"),
        calls={1: 1, 2: 5, 3: 2},
    )
    mine = own(tree, 9)
    assert [mine.has(n) for n in range(5)] == [False, True, True, True, False]
    assert [mine.ran(n) for n in range(5)] == [False, False, True, True, False]
    rows = processes.tabulate([(tree, mine)])
    assert [(row["exe"], row["parent"], row["calls"]) for row in rows] == [
        ("/bin/sh", None, 6),
        ("/bin/ls", 0, 2),
    ]
    assert own(tree, None).has(0)
    assert own(tree, 4711).has(0)
