"""How fast traces are read: kfoot beside trace-cmd and mawk doing the same job, in the same run.

It records its own inputs (as root, with tracefs) into .build/bench and keeps them: all events of
the whole system as ring buffer pages, the same as trace.dat, the text of it, and
`strace -f -ttt -T -yy` of the same work. Every figure is of whole processes; kfoot and its peer
take turns, the ratio is the median of the pairs, memory the peak of the process.

python benchmarks/read.py [--pairs N] [--size MB] [--strace-size MB] [--only NAME] [--markdown]
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tracedat

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / ".build" / "bench"
PAGES = BUILD / "ftrace"
DAT = BUILD / "trace.dat"
TEXT = BUILD / "trace.txt"
STRACE = BUILD / "strace.txt"
PACKED_PAGES = BUILD / "packed"
PACKED_TEXT = BUILD / "trace.txt.zst"
WORK = f"sh {HERE / 'workload.sh'} >/dev/null 2>&1"

READ = """
import sys
from pathlib import Path
from kfoot.readers import read
from kfoot.readers.base import Options
for reading in read([Path(p) for p in sys.argv[1:]], Options(arch="x86_64")):
    events = sum(sum(counts.values()) for counts in reading.events.values())
    print(events, sum(count.calls for count in reading.calls.values()))
"""
FOOTPRINT = """
import sys
from pathlib import Path
from kfoot.atlas import open_atlas
from kfoot.capture import Manifest
from kfoot.footprint import contract
from kfoot.footprint.derive import attribute
from kfoot.footprint.system import System
from kfoot.readers import read
from kfoot.readers.base import Options
readings = read([Path(sys.argv[1])], Options(arch="x86_64"))
manifest = Manifest(arch="x86_64", closed=True)
footprint, chart = attribute(manifest, readings, System(None), open_atlas(None))
print(sum(row["calls"] for row in footprint["syscalls"]), len(contract.dumps(footprint)))
"""
COUNTS = """
import sys
from kfoot.readers.strace_counts import count
print(sum(count(sys.argv[1]).values()))
"""
# The same job in awk: counts by event, and by task and number.
AWK_TEXT = r"""
match($0, /-[0-9]+ +\[[0-9]+\] +[0-9.]+: [^:( ]+/) {
  head = substr($0, RSTART, RLENGTH); name = head; sub(/.*: /, "", name); event[name]++
  if (name == "sys_enter") {
    nr = substr($0, RSTART + RLENGTH); sub(/^.*NR /, "", nr); call[head + 0 " " nr + 0]++ } }
END { for (e in event) n += event[e]; for (c in call) m += call[c]; print n, m }
"""
# By fields it is quicker, and wrong where a task's name has a space in it.
AWK_FIELDS = r"""
{ event[$4]++; if ($4 == "sys_enter:") call[$1 " " $6]++ }
END { for (e in event) n += event[e]; for (c in call) m += call[c]; print n, m }
"""
AWK_STRACE = r"""
{ p = index($3, "("); if (p > 1) { call[$1 " " substr($3, 1, p - 1)]++ } }
END { for (c in call) n += call[c]; print n }
"""


@dataclass(frozen=True)
class Run:
    seconds: float
    cpu: float
    mib: float


@dataclass(frozen=True)
class Job:
    """One row: what is read (``input``: unpacked), by kfoot and by a peer. None: kfoot alone."""

    name: str
    input: Path
    kfoot: list[str]
    peer_name: str | None = None
    peer: list[str] | None = None


def timed(command: list[str]) -> Run:
    """Wall and processor seconds and peak memory of a command whose output nobody reads."""
    with open(os.devnull, "wb") as nowhere:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {' '.join(command)[:200]}")
    return Run(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def record_pages(megabytes: int) -> None:
    """All events of the whole system, until the pages are so many megabytes."""
    from kfoot.collect.base import Scope
    from kfoot.collect.ftrace import Ftrace

    BUILD.mkdir(parents=True, exist_ok=True)
    # Begun before the recording: kfoot leaves itself out, and what it starts from then on.
    busy = subprocess.Popen(["sh", "-c", f"while :; do {WORK}; done"], start_new_session=True)
    collector = Ftrace()
    try:
        collector.start(Scope(whole_system=True), BUILD)
        while sum(path.stat().st_size for path in PAGES.glob("cpu*.pages")) < megabytes << 20:
            time.sleep(0.1)
    finally:
        recorded = collector.stop()
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()
    print(f"recorded {PAGES}, losses: {recorded.losses}", file=sys.stderr)


def record_strace(megabytes: int) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    size = f"$(stat -c %s {STRACE})"
    loop = f"while [ {size} -lt {megabytes << 20} ]; do {WORK}; done"
    # On one processor strace needs not wake another at every call.
    options = ["-f", "-ttt", "-T", "-yy", "-o", str(STRACE)]
    subprocess.run(["taskset", "-c", "0", "strace", *options, "sh", "-c", loop], check=True)


def inputs(size: int, strace_size: int) -> None:
    """Record what is not there yet."""
    if not PAGES.is_dir():
        record_pages(size)
    if not DAT.exists():
        tracedat.write(PAGES, DAT)
    if not TEXT.exists():
        with TEXT.open("wb") as file:
            subprocess.run(["trace-cmd", "report", str(DAT)], stdout=file, check=True)
    if not STRACE.exists():
        record_strace(strace_size)
    PACKED_PAGES.mkdir(exist_ok=True)
    for file in sorted(PAGES.iterdir()):
        if file.suffix == ".pages":
            packed(file, PACKED_PAGES / f"{file.name}.zst")
        elif file.is_file():
            shutil.copyfile(file, PACKED_PAGES / file.name)
    packed(TEXT, PACKED_TEXT)


def packed(source: Path, target: Path) -> None:
    """As kfoot keeps it in a capture."""
    from kfoot.packing import pack

    if not target.exists():
        pack(source, target)


def forget_inputs() -> None:
    """Have the kernel read the files anew: how many pages it keeps together in memory differs with
    who brought them there, and makes a fifth of the time."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")


def jobs() -> list[Job]:
    python = [sys.executable, "-c"]
    report = ["trace-cmd", "report", str(DAT)]
    pages = [str(path) for path in sorted(PAGES.glob("cpu*.pages"))]
    kept = [str(path) for path in sorted(PACKED_PAGES.glob("cpu*.pages.zst"))]
    unpacked = f"zstdcat {PACKED_TEXT} | mawk {shlex.quote(AWK_TEXT)}"
    return [
        Job("pages", PAGES, [*python, READ, *pages], "trace-cmd report", report),
        Job("pages, packed", PAGES, [*python, READ, *kept]),
        Job("trace.dat", DAT, [*python, READ, str(DAT)], "trace-cmd report", report),
        Job("ftrace text", TEXT, [*python, READ, str(TEXT)], "mawk", ["mawk", AWK_TEXT, str(TEXT)]),
        Job(
            "ftrace text",
            TEXT,
            [*python, READ, str(TEXT)],
            "mawk, by fields",
            ["mawk", AWK_FIELDS, str(TEXT)],
        ),
        Job(
            "ftrace text, packed",
            TEXT,
            [*python, READ, str(PACKED_TEXT)],
            "zstdcat and mawk",
            ["sh", "-c", unpacked],
        ),
        Job(
            "strace text: counts",
            STRACE,
            [*python, COUNTS, str(STRACE)],
            "mawk",
            ["mawk", AWK_STRACE, str(STRACE)],
        ),
        Job("strace text: reading", STRACE, [*python, READ, str(STRACE)]),
        Job("strace text: footprint", STRACE, [*python, FOOTPRINT, str(STRACE)]),
    ]


def megabytes(path: Path) -> float:
    files = path.glob("cpu*.pages") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


def row(job: Job, pairs: int) -> list[str]:
    mine, theirs, ratios = [], [], []
    timed(job.kfoot)  # once, so that both find the input in the page cache
    for _ in range(pairs):
        mine.append(timed(job.kfoot))
        if job.peer is not None:
            theirs.append(timed(job.peer))
            ratios.append(theirs[-1].seconds / mine[-1].seconds)
    seconds = statistics.median(run.seconds for run in mine)
    size = megabytes(job.input)
    cells = [
        job.name,
        f"{size:.0f} MB",
        f"{seconds:.2f} s",
        f"{statistics.median(run.cpu for run in mine):.2f} s",
        f"{size / 1000 / seconds:.2f} GB/s",
        f"{max(run.mib for run in mine):.0f} MiB",
    ]
    if not theirs:
        return [*cells, "", "", "", "", ""]
    return [
        *cells,
        f"{job.peer_name}: {statistics.median(run.seconds for run in theirs):.1f} s",
        f"{statistics.median(run.cpu for run in theirs):.1f} s",
        f"{max(run.mib for run in theirs):.0f} MiB",
        f"{statistics.median(ratios):.1f}",
        f"{statistics.median(t.cpu / m.cpu for t, m in zip(theirs, mine, strict=True)):.1f}",
    ]


HEADS = [
    "input", "size", "kfoot", "CPU", "rate", "peak memory",
    "peer", "its CPU", "its memory", "times faster", "by CPU",
]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, default=600, help="megabytes of pages")
    parser.add_argument("--strace-size", type=int, default=400, help="megabytes of strace text")
    parser.add_argument("--only", help="rows whose name begins so")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    inputs(args.size, args.strace_size)
    forget_inputs()
    rows = [row(job, args.pairs) for job in jobs() if job.name.startswith(args.only or "")]
    if args.markdown:
        print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for cells in rows:
        print(f"| {' | '.join(cells)} |" if args.markdown else "  ".join(cells))
    print(f"\n{versions()}")
    return 0


def versions() -> str:
    found = [
        f"Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    ]
    for command in (["trace-cmd", "--version"], ["mawk", "-W", "version"], ["strace", "-V"]):
        done = subprocess.run(command, capture_output=True, text=True)
        lines = (done.stdout + done.stderr).strip().splitlines()
        found.append(next((line for line in lines if any(map(str.isdigit, line))), command[0]))
    return "; ".join(found)


if __name__ == "__main__":
    sys.exit(main())
