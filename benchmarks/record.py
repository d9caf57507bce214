"""How much recording slows a workload down: kfoot beside its peers, in the same run.

For each workload and each repetition the untraced run and one run under each tracer follow each
other; the ratio of neighbours is one pair, the figure is the median of the pairs. Time is the
workload's own wall time; memory is the peak of the tracer's largest process.

Under strace and perf trace the two loops of system calls are a tenth as long: the ratio is one of
calls, and they would take minutes.

python benchmarks/record.py [--pairs N] [--workloads dd,grep] [--tracers NAME,NAME] [--markdown]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
_KFOOT = [sys.executable, "-m", "kfoot", "run", "--collector", "bpf"]
_IMPORTS = (
    "import json,email,http.client,xml.dom.minidom,asyncio,unittest,sqlite3,ctypes,decimal,"
    "logging.handlers,multiprocessing,concurrent.futures,urllib.request,zipfile,tarfile"
)

WORKLOADS: dict[str, list[str]] = {
    "dd": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000"],
    "perf-bench": ["perf", "bench", "syscall", "basic", "-l", "3000000"],
    "grep": ["grep", "-r", "no such words", "/usr/include", "/usr/share/perl"],
    "forks": ["sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"],
    "python": [sys.executable, "-I", "-c", _IMPORTS],
}

SHORT: dict[str, list[str]] = {
    "dd": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=100000"],
    "perf-bench": ["perf", "bench", "syscall", "basic", "-l", "300000"],
}
OTHERS = "kfoot of another command"
"""What everybody else pays while kfoot follows one process."""

TRACERS: dict[str, list[str]] = {
    "kfoot": [*_KFOOT, "-o", "{dir}/c", "--"],
    "kfoot --sequence": [*_KFOOT, "--sequence", "-o", "{dir}/c", "--"],
    OTHERS: [],  # see beside()
    "strace -f -c pinned": ["taskset", "-c", "0", "strace", "-f", "-c", "-o", "{dir}/out"],
    "strace -f -o pinned": ["taskset", "-c", "0", "strace", "-f", "-o", "{dir}/out"],
    "perf trace -s": ["perf", "trace", "-s", "-o", "{dir}/out", "--"],
    "bpftrace count": [
        "bpftrace",
        "-o",
        "{dir}/out",
        "-e",
        "tracepoint:raw_syscalls:sys_enter { @[comm, pid, args->id] = count(); }",
        "-c",
    ],
    "trace-cmd raw_syscalls": [
        "unshare", "-m", "sh", str(HERE / "without_function_tracer.sh"),
        "trace-cmd", "record", "-e", "raw_syscalls", "-F", "-c", "-o", "{dir}/out",
    ],
}  # fmt: skip


@dataclass
class Result:
    """One cell of the table."""

    ratios: list[float] = field(default_factory=list)
    memory_mib: float = 0.0

    def __str__(self) -> str:
        if not self.ratios:
            return "-"
        return f"{statistics.median(self.ratios):.2f}"


def settle() -> None:
    """Wait until kfoot's counters of events are detached: they outlive it by some tenths of a
    second, and the next run would pay for it."""
    alive = ["pgrep", "-x", "--runstates", "R,S,D", "kfoot-events"]
    while subprocess.run(alive, stdout=subprocess.DEVNULL).returncode == 0:
        time.sleep(0.05)


def run(prefix: list[str], workload: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of the workload itself, MiB of the largest process around it."""
    timing = folder / "ns"
    timing.unlink(missing_ok=True)
    inner = [sys.executable, "-I", "-S", str(HERE / "timed.py"), str(timing), *workload]
    command = [word.replace("{dir}", str(folder)) for word in prefix]
    if prefix[:1] == ["bpftrace"]:
        command.append(_quoted(inner, folder))
    else:
        command += inner
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
    _, _, usage = os.wait4(process.pid, 0)
    if not timing.exists():
        raise RuntimeError(f"{' '.join(command[:4])}... did not run the workload")
    return int(timing.read_text()) / 1e9, usage.ru_maxrss / 1024


def beside(workload: list[str], folder: Path) -> tuple[float, float]:
    """The workload, not followed, while kfoot records another command."""
    ready = folder / "ready"
    other = [*_KFOOT, "-o", f"{folder}/c", "--", "sh", "-c", f"touch {ready}; exec sleep 1000"]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(other, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        try:
            while not ready.exists():
                time.sleep(0.05)
            return run([], workload, folder)
        finally:
            process.terminate()


def _quoted(command: list[str], folder: Path) -> str:
    """bpftrace -c splits at spaces and knows no quotes: give it a script."""
    script = folder / "workload.sh"
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in command)
    script.write_text(f"#!/bin/sh\nexec {words}\n")
    script.chmod(0o755)
    return f"/bin/sh {script}"


def measure(names: list[str], tracers: list[str], pairs: int) -> dict[tuple[str, str], Result]:
    results = {(w, t): Result() for w in names for t in tracers}
    for workload in names:
        subprocess.run(WORKLOADS[workload], capture_output=True)  # so that its files are in memory
        for tracer in tracers:
            slow = tracer.startswith(("strace", "perf trace"))
            command = SHORT.get(workload, WORKLOADS[workload]) if slow else WORKLOADS[workload]
            for _ in range(min(pairs, 3) if slow else pairs):
                with tempfile.TemporaryDirectory(prefix="kfoot-bench-") as name:
                    folder = Path(name)
                    settle()
                    plain, _ = run([], command, folder)
                    try:
                        if tracer == OTHERS:
                            traced, memory = beside(command, folder)
                        else:
                            traced, memory = run(TRACERS[tracer], command, folder)
                    except RuntimeError as error:
                        print(error, file=sys.stderr)
                        break
                cell = results[workload, tracer]
                cell.ratios.append(traced / plain)
                cell.memory_mib = max(cell.memory_mib, memory)
            print(
                f"{workload:12}{tracer:26}{results[workload, tracer]!s:>8}"
                f"  {' '.join(f'{ratio:.2f}' for ratio in results[workload, tracer].ratios)}",
                file=sys.stderr,
            )
    return results


def table(results: dict[tuple[str, str], Result], names: list[str], tracers: list[str]) -> str:
    """The results as Markdown."""
    lines = [
        f"| tracer | {' | '.join(names)} | peak memory, MiB |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    for tracer in tracers:
        cells = [results[name, tracer] for name in names]
        memory = max(cell.memory_mib for cell in cells)
        lines.append(f"| {tracer} | {' | '.join(map(str, cells))} | {memory:.0f} |")
    if any(not cell.ratios for cell in results.values()):
        lines.append("\n-: did not run on this host.")
    return "\n".join(lines)


def start_up(times: int) -> float:
    """Median seconds of a whole ``kfoot run -- true``."""
    # pip compiles what it installs; with PYTHONDONTWRITEBYTECODE set a checkout never is.
    package = HERE.parent / "src" / "kfoot"
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(package)], check=True)
    took = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="kfoot-bench-") as name:
            settle()
            began = time.perf_counter()
            command = [*_KFOOT, "-o", f"{name}/c", "--", "true"]
            subprocess.run(command, check=True, capture_output=True)
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--tracers", default=",".join(TRACERS))
    parser.add_argument("--markdown", action="store_true", help="say versions and host, too")
    args = parser.parse_args()
    names = args.workloads.split(",")
    tracers = [name for name in args.tracers.split(",") if not missing(TRACERS[name])]
    results = measure(names, tracers, args.pairs)
    print(table(results, names, tracers))
    if "kfoot" in tracers:
        print(f"\n`kfoot run -- true`, the whole of it: {start_up(args.pairs):.2f} s")
    if args.markdown:
        load = os.getloadavg()[0]
        print(f"\n{host()}; load {load:.1f} at the end. {versions()}.")


def missing(command: list[str]) -> list[str]:
    """Programs of a command that are not installed."""
    programs = ("strace", "perf", "taskset", "bpftrace", "trace-cmd")
    return [word for word in command if word in programs and not shutil.which(word)]


def host() -> str:
    uname = os.uname()
    return f"Linux {uname.release} {uname.machine}, {os.cpu_count()} processors"


def versions() -> str:
    """Versions of the peers, as they say themselves."""
    found = []
    for command in ("strace -V", "perf --version", "bpftrace --version", "trace-cmd --version"):
        name = command.split()[0]
        if shutil.which(name):
            said = subprocess.run(command.split(), capture_output=True, text=True)
            lines = (said.stdout or said.stderr).strip().splitlines()
            number = re.search(r"\d[\w.+-]*", lines[0] if lines else "")
            found.append(f"{name} {number[0] if number else '?'}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
