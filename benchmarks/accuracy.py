"""Compares the strace reader with ftrace's raw_syscalls on one run of each of many commands.

    sudo python benchmarks/accuracy.py [-o docs/accuracy.md] [NAME ...]

Each command is recorded once by strace and by an ftrace instance at the same time (what
``kfoot run`` does as root). Calls, by outcome, are compared by system call number: strace's names
are turned into numbers by the table of the ABI strace named; ftrace wrote numbers. Exit 1 when a
difference has no explanation.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from workloads import WORKLOADS, Workload

from kfoot import readers
from kfoot.atlas import open_atlas
from kfoot.collect.session import record
from kfoot.footprint.names import Names
from kfoot.readers.base import Options
from kfoot.readers.reading import Reading

Outcomes = Counter[tuple[int, str]]
"""Calls by number and outcome."""


@dataclass
class Compared:
    """One command's two records."""

    workload: Workload
    processes: int = 0
    strace: Outcomes = field(default_factory=Counter)
    ftrace: Outcomes = field(default_factory=Counter)
    names: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of each number, as strace wrote them."""
    losses: list[str] = field(default_factory=list)
    killed: int = 0
    """Processes a signal ended."""

    @property
    def differences(self) -> list[tuple[int, str, int, int]]:
        """(number, outcome, by strace, by ftrace) where they are not equal."""
        every = sorted(set(self.strace) | set(self.ftrace))
        return [
            (nr, outcome, self.strace[nr, outcome], self.ftrace[nr, outcome])
            for nr, outcome in every
            if self.strace[nr, outcome] != self.ftrace[nr, outcome]
        ]


def tally(reading: Reading, names: Names, compared: Compared) -> Outcomes:
    """A reading's calls by number; remembers what strace called each number."""
    found: Outcomes = Counter()
    for key, count in reading.calls.items():
        call = names.syscall(key, reading)
        number = key.nr if key.nr is not None else call.nr
        if number is None:
            raise SystemExit(f"{compared.workload.name}: {key} has no number")
        found[number, key.outcome] += count.calls
        if key.name:
            compared.names[number].add(key.name + (" (i386)" if key.abi == "i386" else ""))
    return found


def compare(workload: Workload, folder: Path) -> Compared | None:
    """Record a command and compare; None when it cannot be run on this host."""
    place = folder / "work"
    place.mkdir()
    argv = workload.argv(place)
    if argv is None:
        return None
    compared = Compared(workload)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT, 0o600)
    kept = os.dup(1), os.dup(2)
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        capture = record(argv, out=folder / "capture", collector="strace+ftrace")
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for fd in (output, *kept):
            os.close(fd)
    names = Names(open_atlas(capture.manifest.release), "x86_64")
    compared.losses = [f"{loss['kind']}: {loss['where']}" for loss in capture.manifest.losses]
    for entry in capture.manifest.collectors:
        options = Options(arch=capture.manifest.arch)
        for reading in readers.read(capture.raw_files(entry), options, format=entry.format):
            compared.losses += [f"{loss.kind}: {loss.where}" for loss in reading.losses]
            if reading.unparsed:
                compared.losses.append(f"unparsed: {reading.samples}")
            if entry.format == "strace":
                compared.processes = len(reading.processes)
                compared.killed = sum(p.signal is not None for p in reading.processes)
                compared.strace = tally(reading, names, compared)
            else:
                compared.ftrace = tally(reading, names, compared)
    return compared


KILLED = (
    "The task was killed inside the call. The kernel ends the call with an internal restart code, "
    "which ftrace records; strace is told of the death instead and prints `= ?`. Both count the "
    "call."
)
KILLED_LATE = (
    "The task was killed by a signal at the end of the call: the kernel had finished it, but the "
    "task was gone before strace could ask for the result, and it prints `= ?`. Both count the "
    "call."
)
KILLED_EARLY = (
    "The task was killed while strace held it at the call's beginning: strace had printed the "
    "call, the kernel then never made it."
)
EXEC = (
    "A successful exec that changed the ABI, or was called by a thread that was not the leader: "
    "the kernel's two records carry different numbers or different task ids, so the ftrace reader "
    "does not pair them. Both count the call."
)


def explain(names: set[str], rows: list[tuple[int, str, int, int]], killed: int = 0) -> str | None:
    """Why the outcomes of one system call differ; None when nothing known explains it.

    ``killed``: processes that a signal ended.
    """
    strace = sum(row[2] for row in rows)
    ftrace = sum(row[3] for row in rows)
    less = {outcome for _, outcome, by_strace, by_ftrace in rows if by_strace < by_ftrace}
    more = {outcome for _, outcome, by_strace, by_ftrace in rows if by_strace > by_ftrace}
    if more == {"never"} and not less:
        return KILLED_EARLY
    if strace != ftrace:
        return None
    if more == {"never"} and all(_restart(name) for name in less):
        return KILLED
    unseen = sum(row[2] - row[3] for row in rows if row[1] == "never")
    if more == {"never"} and unseen <= killed:
        return KILLED_LATE
    if more == {"ok"} and less == {"never"} and any(name.startswith("execve") for name in names):
        return EXEC
    return None


def _restart(outcome: str) -> bool:
    return outcome.startswith("ERESTART") or outcome == "EINTR"


def page(results: list[Compared], absent: list[Workload]) -> tuple[str, int]:
    """docs/accuracy.md, and how many differences have no explanation."""
    uname = os.uname()
    version = subprocess.run(["strace", "-V"], capture_output=True, text=True).stdout.split("\n")[0]
    lines = [
        "# How accurate the counts are",
        "",
        "Made by `benchmarks/accuracy.py`; do not edit. Each command ran once under `kfoot run`",
        "as root, which records it with strace and with an ftrace instance (`raw_syscalls`) at",
        "the same time. Compared are the calls of each system call number, by outcome: returned,",
        "failed with each errno, never returned. Images are process images: a new one begins at",
        "fork and at exec. Equal are system calls whose counts are the same in both records.",
        "",
        f"Kernel {uname.release} ({uname.machine}), {version}.",
        "",
        "| command | what it shows | images | calls | failed | equal calls | equal outcomes |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    unexplained = 0
    told: list[str] = []
    for result in results:
        calls, other = Counter[int](), Counter[int]()
        for (nr, _), count in result.strace.items():
            calls[nr] += count
        for (nr, _), count in result.ftrace.items():
            other[nr] += count
        failed = sum(n for (_, what), n in result.strace.items() if what not in ("ok", "never"))
        numbers = sorted({nr for nr, *_ in result.differences})
        same = sum(calls[nr] == other[nr] for nr in calls | other)
        exact = len(calls | other) - len(numbers)
        lines.append(
            f"| {result.workload.name} | {result.workload.shows} | {result.processes} "
            f"| {sum(calls.values())} | {failed} | {same} of {len(calls | other)} "
            f"| {exact} of {len(calls | other)} |"
        )
        for nr in numbers:
            rows = [row for row in result.differences if row[0] == nr]
            names = result.names[nr]
            why = explain(names, rows, result.killed)
            unexplained += why is None
            shown = "; ".join(f"{what}: {a} and {b}" for _, what, a, b in rows)
            told.append(
                f"| {result.workload.name} | {', '.join(sorted(names))}: {nr} | {shown} "
                f"| {why or '**unexplained**'} |"
            )
        unexplained += len(result.losses)
        for loss in result.losses:
            told.append(f"| {result.workload.name} | | loss | {loss} |")
    lines += ["", "## Differences, one by one", ""]
    if told:
        lines += ["| command | call | strace and ftrace | why |", "|---|---|---|---|", *told]
    else:
        lines.append("None.")
    if absent:
        lines += [
            "",
            "Not run, because the program is not installed: "
            + ", ".join(workload.name for workload in absent)
            + ".",
        ]
    return "\n".join(lines) + "\n", unexplained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="where to write the page")
    parser.add_argument("name", nargs="*", help="only these commands")
    args = parser.parse_args()
    results: list[Compared] = []
    absent: list[Workload] = []
    for workload in WORKLOADS:
        if args.name and workload.name not in args.name:
            continue
        folder = Path(tempfile.mkdtemp(prefix="kfoot-accuracy-"))
        try:
            compared = compare(workload, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if compared is None:
            absent.append(workload)
            continue
        results.append(compared)
        print(
            f"{workload.name}: {sum(compared.strace.values())} and "
            f"{sum(compared.ftrace.values())} calls, {len(compared.differences)} differences",
            file=sys.stderr,
        )
    text, unexplained = page(results, absent)
    if args.output:
        args.output.write_text(text)
    else:
        print(text)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
