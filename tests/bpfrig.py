"""Runs a command under collector ``bpf`` and under strace, and counts what each saw.

Both give ``Tally``: calls by number, by (number, paths, errno), by (ioctl request, errno), by
(socket arguments, errno). strace's is parsed here, by code of its own.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfoot.collect.base import Recorded, Scope
from kfoot.collect.bpf.collector import Bpf
from kfoot.collect.bpf.ring import Heard
from kfoot.collect.bpf.wishes import Wishes
from kfoot.collect.supervise import make_room_to_exec
from kfoot.readers import bpf_records as raw

HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "i386": "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    "arm64": "/usr/include/asm-generic/unistd.h",
}
NATIVE = {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]
NEVER = "never"
_ERRNO = {name: number for number, name in errno.errorcode.items()} | {
    "EOPNOTSUPP": errno.EOPNOTSUPP,
    "ERESTARTSYS": 512,
    "ERESTARTNOINTR": 513,
    "ERESTARTNOHAND": 514,
    "ERESTART_RESTARTBLOCK": 516,
}


@dataclass
class Tally:
    """What a command did. An errno is a number, 0 for success, or NEVER."""

    calls: Counter[tuple[int, int, Any]] = field(default_factory=Counter)
    """By ABI (0 native, 1 compat), number, errno."""
    paths: Counter[tuple[int, tuple[str, ...], Any]] = field(default_factory=Counter)
    ioctls: Counter[tuple[int, Any]] = field(default_factory=Counter)
    sockets: Counter[tuple[tuple[int, ...], Any]] = field(default_factory=Counter)

    def add(self, abi: int, nr: int, error: Any, paths: tuple[str, ...], args: Any, n: int) -> None:
        self.calls[abi, nr, error] += n
        if paths:
            self.paths[nr, paths, error] += n
        if abi == 0 and nr == NUMBERS[NATIVE]["ioctl"]:
            self.ioctls[args[1] & 0xFFFFFFFF, error] += n
        if abi == 0 and nr == NUMBERS[NATIVE]["socket"]:
            self.sockets[tuple(value & 0xFFFFFFFF for value in args[:3]), error] += n


def numbers(abi: str) -> dict[str, int]:
    text = Path(HEADERS[abi]).read_text() if Path(HEADERS[abi]).exists() else ""
    found = {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", text)}
    wide = dict(re.findall(r"#define __NR3264_(\w+) (\d+)", text))
    for name, meant in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text):
        if meant in wide:
            found.setdefault(name, int(wide[meant]))
    return found


NUMBERS = {abi: numbers(abi) for abi in HEADERS}


def fork_at_gate(
    argv: list[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> int:
    """A child stopped one execve away from ``argv``, its output thrown away."""
    path = shutil.which(argv[0])
    assert path is not None
    pid = os.fork()
    if pid == 0:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(nothing, fd)
            os.close(nothing)
            if cwd is not None:
                os.chdir(cwd)
            make_room_to_exec()
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execve(path, argv, os.environ if env is None else env)
        finally:
            os._exit(127)
    os.waitpid(pid, os.WUNTRACED)
    return pid


def under_bpf(
    argv: list[str],
    folder: Path,
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    heard: Heard | None = None,
    **options: Any,
) -> Recorded:
    """Record ``argv`` into ``folder``/bpf."""
    pid = fork_at_gate(argv, cwd, env)
    collector = Bpf(wishes=Wishes(**options), heard=heard)
    try:
        collector.start(Scope(pids=(pid,), gate=pid), folder)
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
        pid = 0
        return collector.stop()
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            collector.stop()


def meta(recorded: Recorded) -> dict[str, Any]:
    found = json.loads(_file(recorded, "meta.json").read_bytes())
    assert isinstance(found, dict)
    return found


def _file(recorded: Recorded, name: str) -> Path:
    return next(path for path in recorded.files if path.name == name)


def tally_of(recorded: Recorded) -> Tally:
    """From the raw files: what each slot is, and how often."""
    tally = Tally()
    shapes: dict[int, raw.Call] = {}
    executed: dict[int, str] = {}
    loose: list[raw.Call | int] = []
    for record in raw.records(_file(recorded, "records")):
        if isinstance(record, raw.Step):
            if record.flags & raw.Flag.LOOSE:
                loose.append(record.shape)
        elif record.kind == raw.Kind.EXEC:
            executed[record.other] = record.path or ""
        elif record.kind == raw.Kind.CALL:
            shapes[record.shape] = record
            if record.flags & raw.Flag.LOOSE:
                loose.append(record)

    def add(call: raw.Call, n: int) -> None:
        path = executed[call.image] if call.flags & raw.Flag.EXECUTED else call.path
        second = call.path2.rstrip(b"\0").decode() if call.path2 else None
        paths = tuple(p for p in (path, second) if p is not None)
        error: Any = NEVER if call.flags & raw.Flag.NEVER else call.error
        tally.add(call.abi, call.nr, error, paths, call.args, n)

    for row in raw.rows(_file(recorded, "counts")):
        add(shapes[row.shape], row.calls)
    for one in loose:
        add(shapes[one] if isinstance(one, int) else one, 1)
    return tally


_LINE = re.compile(r"(\d+) +(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)", re.DOTALL)
_RESULT = re.compile(r"(.*)\) += (\?|-?\d+|0x[0-9a-f]+)(?: (E[A-Z0-9_]+))?.*", re.DOTALL)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATHS = {
    "open openat openat2 creat stat lstat newfstatat access faccessat faccessat2 chdir rmdir unlink"
    " unlinkat mkdir mkdirat mknod chmod chown lchown truncate readlink readlinkat statfs umount2"
    " chroot execve getxattr lgetxattr utimensat fchmodat fchownat mknodat statx": 1,
    "rename renameat renameat2 link linkat symlink symlinkat mount": 2,
}
_HAS_PATHS = {name: n for names, n in _PATHS.items() for name in names.split()}


def under_strace(
    argv: list[str], file: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Tally:
    """The same from ``strace -f``, numbers raw, strings in hexadecimal."""
    subprocess.run(
        [
            *("strace", "-f", "--quiet=attach,exit", "-X", "raw", "-xx", "-s", "8192"),
            *("-o", str(file), *argv),
        ],
        cwd=cwd,
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    tally = Tally()
    begun: dict[str, str] = {}
    compat: dict[str, bool] = {}
    for line in file.read_text().splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        pid, rest = match.groups()
        if rest.startswith(("---", "+++")):
            continue
        if rest.startswith("[ Process PID="):
            compat[pid] = "32 bit" in rest
            continue
        if rest.startswith("<... "):
            rest = begun.pop(pid) + rest.partition(" resumed>")[2]
        if rest.endswith(" <unfinished ...>"):
            begun[pid] = rest.removesuffix(" <unfinished ...>")
            continue
        _strace_line(tally, rest, compat.get(pid, False))
    for rest in begun.values():
        _strace_line(tally, f"{rest}) = ?", False)
    return tally


def _strace_line(tally: Tally, text: str, compat: bool) -> None:
    call = _CALL.fullmatch(text)
    assert call is not None, text
    name, rest = call.groups()
    result = _RESULT.fullmatch(rest)
    assert result is not None, text
    arguments, value, error_name = result.groups()
    error: Any = _ERRNO[error_name] if error_name else (NEVER if value == "?" else 0)
    paths: tuple[str, ...] = ()
    if name in _HAS_PATHS:
        found = _STRING.findall(arguments)[: _HAS_PATHS[name]]
        paths = tuple(bytes.fromhex(word.replace("\\x", "")).decode() for word in found)
    args = []
    if name in ("ioctl", "socket"):
        args = [_flags(word) for word in arguments.split(", ")[:3]]
    abi = "i386" if compat else NATIVE
    tally.add(int(compat), NUMBERS[abi][name], error, paths, args, 1)


def _flags(text: str) -> int:
    """``0x1|0x80800`` as a number; what is no number (a structure) as 0."""
    value = 0
    for word in text.split("|"):
        try:
            value |= int(word, 0)
        except ValueError:
            return 0
    return value
