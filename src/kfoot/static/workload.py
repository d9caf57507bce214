"""The static view of a workload: what a command needs to start, and where it comes from.

Follows ``#!`` lines (also through env), the ELF interpreter and the shared libraries, searched as
ld.so(8) does: RPATH without RUNPATH, LD_LIBRARY_PATH, RUNPATH, /etc/ld.so.conf, the default
folders. Nothing is run. Libraries opened later with dlopen and modules a script imports are not
seen; running the workload shows them.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kfoot.errors import InputError, KfootError
from kfoot.static import elf
from kfoot.static.packages import Package, Packages

SCHEMA = 1
_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib32", "/usr/lib32", "/libx32")
_MULTIARCH = {
    "x86_64": "x86_64-linux-gnu",
    "i386": "i386-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
    "powerpc64": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "mips_n64": "mips64el-linux-gnuabi64",
    "loongarch64": "loongarch64-linux-gnu",
}
_SCRIPT_DEPTH = 5
"""The kernel follows #! four times (fs/exec.c, BINPRM_BUF_SIZE and recursion)."""
_SHEBANG = 256


class _File(NamedTuple):
    path: str
    role: str
    needed_by: str | None


def view(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``argv``, ``files`` (path, role, needed_by, abi, package, version), ``packages`` (kind, name,
    version, files, declared_by), ``notes``.

    Raises KfootError when the command is not found or not executable.
    """
    environ = os.environ if environ is None else environ
    program = _which(argv[0], environ)
    notes: list[str] = []
    files = _closure(program, environ, notes)
    packages = Packages()
    rows = []
    for file, abi in files:
        package = packages.of(file.path)
        rows.append(
            {
                "path": file.path,
                "role": file.role,
                "needed_by": file.needed_by,
                "abi": abi,
                "package": f"{package.kind}:{package.name}" if package else None,
                "version": package.version if package else None,
            }
        )
    return {
        "schema": SCHEMA,
        "argv": list(argv),
        "files": rows,
        "packages": _packages([file.path for file, _ in files], packages),
        "notes": notes,
    }


def _which(name: str, environ: Mapping[str, str]) -> str:
    found = shutil.which(name, path=environ.get("PATH"))
    if found is not None:
        return os.path.abspath(found)
    if "/" in name and os.path.exists(name):
        raise KfootError(f"{name} cannot be executed")
    raise KfootError(f"there is no command {name}")


def _closure(
    program: str, environ: Mapping[str, str], notes: list[str]
) -> list[tuple[_File, str | None]]:
    """Everything the program needs, in the order it is found."""
    waiting = deque([(_File(program, "program", None), 0)])
    seen: set[str] = set()
    out: list[tuple[_File, str | None]] = []
    executable: elf.Elf | None = None
    while waiting:
        file, depth = waiting.popleft()
        if os.path.realpath(file.path) in seen:
            continue
        seen.add(os.path.realpath(file.path))
        start = _start(file.path)
        if elf.is_elf(start):
            try:
                about = elf.read(Path(file.path))
            except InputError as error:
                notes.append(str(error))
                out.append((file, None))
                continue
            out.append((file, about.abi))
            if file.role != "library":
                executable = about
            if about.interpreter:
                waiting.append((_File(about.interpreter, "loader", file.path), depth))
            for name in about.needed:
                path = _library(name, file.path, about, executable, environ)
                if path is None:
                    notes.append(f"{name}, needed by {file.path}, was not found")
                else:
                    waiting.append((_File(path, "library", file.path), depth))
            continue
        out.append((file, None))
        words = _shebang(start)
        if words and depth < _SCRIPT_DEPTH:
            waiting.appendleft((_File(words[0], "interpreter", file.path), depth + 1))
            inner = _through_env(words)
            found = shutil.which(inner, path=environ.get("PATH")) if inner else None
            if found:
                waiting.append((_File(os.path.abspath(found), "interpreter", file.path), depth + 1))
            elif inner:
                notes.append(f"{inner}, the interpreter of {file.path}, was not found")
        elif file.role == "program" and not words:
            notes.append(f"{file.path} is neither an ELF file nor a script with #!")
    return out


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_SHEBANG)
    except OSError:
        return b""


def _shebang(start: bytes) -> list[str]:
    """Interpreter and its one argument."""
    if not start.startswith(b"#!"):
        return []
    line = start[2:].split(b"\n")[0].decode("utf-8", "surrogateescape").strip()
    return line.split(None, 1)


def _through_env(words: Sequence[str]) -> str | None:
    """The program ``env`` is asked to run; None when the interpreter is not env."""
    if os.path.basename(words[0]) != "env" or len(words) < 2:
        return None
    return next((w for w in words[1].split() if not w.startswith("-") and "=" not in w), None)


def _library(
    name: str,
    wanted_by: str,
    about: elf.Elf,
    executable: elf.Elf | None,
    environ: Mapping[str, str],
) -> str | None:
    if "/" in name:
        return os.path.abspath(name) if os.path.exists(name) else None
    rpath = () if about.runpath else (*about.rpath, *(executable.rpath if executable else ()))
    folders = [
        *_origin(rpath, wanted_by),
        *(part for part in environ.get("LD_LIBRARY_PATH", "").split(":") if part),
        *_origin(about.runpath, wanted_by),
        *_configured(),
        *(
            f"{base}/{_MULTIARCH[about.abi]}"
            for base in ("/lib", "/usr/lib")
            if about.abi in _MULTIARCH
        ),
        *_DEFAULT,
    ]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and _abi(path) == about.abi:
            return path
    return None


def _abi(path: str) -> str | None:
    try:
        return elf.read(Path(path)).abi
    except InputError:
        return None


def _origin(folders: Sequence[str], path: str) -> list[str]:
    here = os.path.dirname(os.path.realpath(path))
    return [
        folder.replace("${ORIGIN}", here).replace("$ORIGIN", here).replace("$LIB", "lib")
        for folder in folders
    ]


def _configured(file: str = "/etc/ld.so.conf", depth: int = 0) -> list[str]:
    """Folders of ld.so.conf and what it includes."""
    try:
        lines = Path(file).read_text("utf-8", "replace").split("\n")
    except OSError:
        return []
    out = []
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and depth < _SCRIPT_DEPTH:
            for pattern in words[1:]:
                for name in sorted(glob.glob(os.path.join(os.path.dirname(file), pattern))):
                    out += _configured(name, depth + 1)
        else:
            out += words
    return out


def _packages(paths: Sequence[str], packages: Packages) -> list[dict[str, Any]]:
    """The packages of the files, and those they declare they need, all the way."""
    counts: dict[tuple[str, str], int] = {}
    known: dict[tuple[str, str], tuple[Package, str]] = {}
    declared: dict[tuple[str, str], set[str]] = {}
    for path in paths:
        package = packages.of(path)
        if package:
            key = package.kind, package.name
            counts[key] = counts.get(key, 0) + 1
            known.setdefault(key, (package, path))
    waiting = deque(known.values())
    while waiting:
        package, near = waiting.popleft()
        for name in package.needs:
            needed = packages.named(package.kind, name, near)
            if needed is None:
                continue
            key = needed.kind, needed.name
            declared.setdefault(key, set()).add(package.name)
            if key not in known:
                known[key] = (needed, near)
                waiting.append(known[key])
    return [
        {
            "kind": kind,
            "name": name,
            "version": known[kind, name][0].version,
            "files": counts.get((kind, name), 0),
            "declared_by": sorted(declared.get((kind, name), ())),
        }
        for kind, name in sorted(known)
    ]
