"""Reader ``perf-script``: the text of ``perf script``, and perf.data by running it.

A record is ``comm tid [cpu] seconds: system:event: fields`` (or ``pid/tid``), a sampled event has
its period before the name, and a stack's frames stand below on lines of their own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.event_text import EventText, nanoseconds
from kfoot.readers.files import BLOCK, Lines, Source
from kfoot.readers.ftrace_tally import UNKNOWN, ioctl_number, keep_life
from kfoot.readers.ftrace_text import life_of
from kfoot.readers.reading import Reading

NAME = "perf-script"
MAGIC = b"PERFILE2"

_RECORD = re.compile(
    r"\s{0,16}(\S.{0,63}?)\s+(\d{1,9})(?:/(\d{1,9}))?\s+(?:\[(\d{1,6})\]\s+)?"
    r"(\d{1,10})\.(\d{6,9}):\s+(?:\d{1,19}\s+)?([A-Za-z_][\w./-]*(?::[\w-]+)*)"
    r"(?::(?=\s|$)|(?= lost ))(.*)",
    re.DOTALL,
)
_FRAME = re.compile(r"\s+[0-9a-f]{1,16} .*\)\s*$")
_MODIFIERS = re.compile(r"[ukhGHpPSDWe]{1,6}$")
_ENTER = re.compile(r"\s*NR (-?\d{1,10}) \(([0-9a-f]{1,16})(?:, ([0-9a-f]{1,16}))?")
_EXIT = re.compile(r"\s*NR (-?\d{1,10}) = (-?\d{1,19})\s*$")
_RETURN = re.compile(r"\s*(0x[0-9a-f]{1,16}|-?\d{1,19})\s*$")
_COMMAND = re.compile(r"\bcmd: 0x([0-9a-f]{1,16})")
_LOST = re.compile(r" lost (\d{1,18})")
_HEADER = re.compile(r"# (os release|arch|perf version)\s*: (\S+)")


class PerfScript:
    """The reader (see ``kfoot.readers.base.Reader``)."""

    name = NAME

    def sniff(self, path: Path, head: bytes) -> bool:
        if head.startswith(MAGIC):
            return True
        lines = [line for line in head.decode("utf-8", "replace").split("\n")[:200] if line]
        found = sum(1 for line in lines if _RECORD.match(line) and ":" in line)
        return found > 0 and 2 * found > sum(
            not line.startswith(("#", " ", "\t")) for line in lines
        )

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        """Read one file. Raises InputError when it holds no record, or perf cannot read it."""
        path = paths[0]
        with Source(path) as source:
            binary = source.read(len(MAGIC)).startswith(MAGIC)
        if not binary:
            return _read(Lines(path, options), paths, options)
        with tempfile.TemporaryDirectory(prefix="kfoot-") as folder:
            text = Path(folder) / "perf.txt"
            _convert(path, Path(folder) / "perf.data", text)
            return _read(Lines(text, options), paths, options)


def _convert(path: Path, plain: Path, text: Path) -> None:
    """Run ``perf script`` on a perf.data file, unpacked first."""
    program = shutil.which("perf")
    if program is None:
        raise InputError(
            path,
            "is perf.data, and perf is not installed",
            hint="install perf (linux-perf), or import the output of `perf script`",
        )
    with Source(path) as source, plain.open("wb") as sink:
        while block := source.read(BLOCK):
            sink.write(block)
    command = [program, "script", "--ns", "--header", "--show-lost-events", "-F", "+pid"]
    with text.open("wb") as sink:
        done = subprocess.run(
            [*command, "-i", str(plain)], stdout=sink, stderr=subprocess.PIPE, check=False
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(path, f"perf cannot read it: {said[0] if said else 'no reason given'}")


def _read(lines: Lines, paths: Sequence[Path], options: Options) -> Reading:
    facts: dict[str, str] = {}
    counts = EventText(options)
    _count(enumerate(lines, 1), counts, facts, ioctl_number(options.arch))
    counts.losses += lines.losses
    arch = options.arch or facts.get("arch")
    reading = counts.reading(NAME, paths, arch)
    reading.facts.release = facts.get("os release")
    version = facts.get("perf version")
    reading.facts.tool = f"perf {version}" if version else "perf"
    return reading


def _count(
    lines: Iterable[tuple[int, str]], counts: EventText, facts: dict[str, str], ioctl: int
) -> None:
    for number, line in lines:
        if line.startswith("#"):
            header = _HEADER.match(line)
            if header:
                facts.setdefault(header[1], header[2])
                if header[1] == "arch" and ioctl < 0:
                    ioctl = ioctl_number(header[2])
            continue
        if not line.strip():
            continue
        record = _RECORD.match(line)
        if record is None:
            if _FRAME.match(line):
                counts.continued += 1
            else:
                counts.miss(number, line)
            continue
        comm, first, second, _, seconds, fraction, name, rest = record.groups()
        if name == "PERF_RECORD_LOST":
            lost = _LOST.match(rest)
            counts.lost += int(lost[1]) if lost else 0
            continue
        tid, ns = int(second or first), nanoseconds(seconds, fraction)
        if not counts.event(tid, ns, _split(name), UNKNOWN):
            continue
        if comm != f":{tid}":
            counts.tally.comms[tid] = comm.encode("utf-8", "surrogateescape")
        if second:
            counts.tally.leaders[tid] = int(first)
        _call(counts, tid, ns, name, rest, ioctl)


def _split(name: str) -> tuple[str | None, str]:
    """System and name of an event; what perf hangs on to a name (``cycles:u``) stays with it."""
    system, colon, event = name.partition(":")
    if not colon or _MODIFIERS.match(event):
        return None, name
    return system, event


def _call(counts: EventText, tid: int, ns: int, name: str, rest: str, ioctl: int) -> None:
    if name == "raw_syscalls:sys_enter":
        found = _ENTER.match(rest)
        if found:
            nr = int(found[1])
            request = int(found[3], 16) & 0xFFFFFFFF if nr == ioctl and found[3] else -1
            counts.pairs.enter(tid, ns, nr, request)
    elif name == "raw_syscalls:sys_exit":
        found = _EXIT.match(rest)
        if found:
            counts.pairs.exit(tid, ns, int(found[1]), int(found[2]))
    elif name.startswith("syscalls:sys_enter_"):
        call = name.removeprefix("syscalls:sys_enter_")
        command = _COMMAND.search(rest) if call == "ioctl" else None
        request = int(command[1], 16) & 0xFFFFFFFF if command else -1
        counts.named.enter(tid, ns, counts.number(call), request)
    elif name.startswith("syscalls:sys_exit_"):
        found = _RETURN.match(rest)
        if found:
            ret = int(found[1], 16) if found[1].startswith("0x") else int(found[1])
            ret -= (1 << 64) if ret >= 1 << 63 else 0
            call = name.removeprefix("syscalls:sys_exit_")
            counts.named.exit(tid, ns, counts.number(call), ret)
    elif name in ("sched:sched_process_exec", "sched:sched_process_fork", "task:task_newtask",
                  "task:task_rename"):  # fmt: skip
        life = life_of(name.split(":")[1].encode(), tid, rest.encode("utf-8", "surrogateescape"))
        if life is not None:
            keep_life(counts.tally, life)


READER = PerfScript()
