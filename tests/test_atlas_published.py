"""The shipped atlas against tables others published; every disagreement is named with its reason.

The tables in data/published: the events of a Debian 6.1 guest, from its own trace; 600 text
symbols of Debian's 6.1.0-56 vmlinux with the compile unit and source line DWARF gives them;
``ausyscall --dump`` of audit 3.0.9, two tables of the kernel's workload-tracing guide, and those of
ELISA's OpenAPS study. docs/accuracy-atlas.md says who is right.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kfoot.atlas import open_atlas
from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.symbols import Chooser

PUBLISHED = Path(__file__).parent / "data" / "published"


@pytest.fixture(scope="module")
def atlas() -> AtlasView:
    return open_atlas()


@pytest.fixture(scope="module")
def same_release() -> AtlasView:
    """The atlas of the kernel that the guest's events and the image's symbols are of."""
    found = open_atlas("6.1.192")
    assert found.name == "6.1.192"
    return found


def table(name: str) -> list[dict[str, str]]:
    with (PUBLISHED / name).open(newline="") as file:
        return list(csv.DictReader(file))


def dump(machine: str) -> dict[int, str]:
    """ausyscall's table; its first line must name the machine that was asked for."""
    head, *lines = (PUBLISHED / f"ausyscall_{machine}.dump").read_text().splitlines()
    assert machine in head
    return {int(number): name for number, name in (line.split() for line in lines)}


OLDER_NAMES = {
    # ausyscall's word for what the kernel's table calls otherwise.
    "pread": "pread64",
    "pwrite": "pwrite64",
    "getdents": "getdents64",
    "sys_kexec_load": "kexec_load",
    "sched_rr_get_interval64": "sched_rr_get_interval_time64",
    "newselect": "_newselect",
    "sysctl": "_sysctl",
    "fadvise64_64": "arm_fadvise64_64",
    "sync_file_range": "arm_sync_file_range",
}


@pytest.mark.parametrize(
    ("machine", "abi"),
    [("x86_64", "x86_64"), ("i386", "i386"), ("arm", "arm"), ("aarch64", "arm64")],
)
def test_numbers_are_those_of_ausyscall(atlas: AtlasView, machine: str, abi: str) -> None:
    calls = {call.nr: call for call in atlas.syscalls(abi)}
    if abi == "arm":
        # Its table mixes in what only the old ABI has.
        calls = {call.nr: call for call in atlas.syscalls("arm_oabi")} | calls
    other = {}
    for number, name in dump(machine).items():
        call = calls.get(number)
        ours = {call.name, (call.entry or "").removeprefix("sys_")} if call else set()
        if not {name, OLDER_NAMES.get(name)} & ours:
            other[number] = (name, call.name if call else None)
    assert other == {}


AREAS = {
    "Process Mgmt": "process",
    "Filesystem": "vfs",
    "Memory Mgmt": "mm",
    "Futex": "lock",
    "Scheduler": "sched",
    "Network": "net",
    "Signal": "signal",
    "Time": "time",
    "Capability": "security",
}


@pytest.mark.parametrize(
    "name", ["kernel_doc_perf_bench_all.csv", "kernel_doc_stress_ng_netdev.csv"]
)
def test_subsystems_are_those_of_the_workload_tracing_guide(atlas: AtlasView, name: str) -> None:
    """But wait4, which fs/ and kernel/time have no part in, and execve, which is in fs/exec.c
    and in MAINTAINERS the section of programs and their formats."""
    other = {}
    for row in table(name):
        call = atlas.syscall("x86_64", row["syscall"])
        assert call is not None
        area = (call.place.area or "").partition(":")[0]
        if area != AREAS[row["subsystem"].rstrip(".")]:
            other[row["syscall"]] = (row["subsystem"], call.place.file, area)
    assert other == {
        "execve": ("Filesystem", "fs/exec.c", "process"),
        "wait4": ("Time", "kernel/exit.c", "process"),
    }


def test_the_101_calls_of_openaps_have_a_file_and_an_area(atlas: AtlasView) -> None:
    """The study left 91 without a subsystem, and called 336 perf_event_open with question marks."""
    rows = table("openaps_syscalls_in_use.csv")
    assert len(rows) == 101
    other = {}
    for row in rows:
        call = atlas.syscall("arm", int(row["nr_arm_eabi"]))
        assert call is not None
        assert call.place.file, row
        assert call.place.area not in (None, "other"), row
        if row["syscall"] not in (call.name, (call.entry or "").removeprefix("sys_")):
            other[row["syscall"]] = call.name
    assert other == {
        "newselect": "_newselect",
        "fadvise64_64": "arm_fadvise64_64",
        "perf_event_open": "ppoll",
    }


def test_the_modules_of_openaps_are_known(atlas: AtlasView) -> None:
    places = {row["module"]: atlas.module(row["module"]) for row in table("openaps_modules.csv")}
    areas = {name: module.place.area if module else None for name, module in places.items()}
    assert areas == {
        "cmac": "crypto",
        "ecdh_generic": "crypto",
        "ecc": "crypto",
        "spidev": "drivers:spi",
        "i2c_bcm2835": "drivers:i2c",
        "spi_bcm2835": "drivers:spi",
        "i2c_dev": "drivers:i2c",
        "ipv6": "net:ipv6",
    }


def test_events_of_a_guest_are_known(same_release: AtlasView, atlas: AtlasView) -> None:
    """All of them in the sources of that kernel; 98% have an area a release later."""
    listed = (PUBLISHED / "events-6.1-guest.txt").read_text().split()
    assert len(listed) == 1339

    def lost(view: AtlasView, rules_that_guess: tuple[str, ...]) -> list[str]:
        return [
            event
            for event in listed
            if not any(
                one.place.area not in (None, "other") and one.place.how not in rules_that_guess
                for one in view.event(event)
            )
        ]

    assert lost(same_release, ("event-system-only",)) == []
    assert len(lost(atlas, ())) <= len(listed) * 0.02


def test_functions_of_a_kernel_image_are_where_dwarf_says(same_release: AtlasView) -> None:
    """By name alone: among the candidates of the architecture is one in the same file."""
    rows = table("vmlinux-6.1.0-56-amd64.symbols.csv")
    chooser = Chooser(same_release, arch="x86", config=None)
    mapped = right_file = right_area = 0
    for row in rows:
        files = {row["compile_unit"], row["line_table"]} - {""}
        areas = {same_release.place(path, "").area for path in files}
        candidates = chooser.candidates(row["symbol"])
        if candidates:
            mapped += 1
            right_file += any(one.place.file in files for one in candidates)
            right_area += any(one.place.area in areas for one in candidates)
    assert len(rows) == 600
    assert mapped >= 0.98 * len(rows)
    assert right_file >= 0.98 * mapped
    assert right_area >= 0.985 * mapped
