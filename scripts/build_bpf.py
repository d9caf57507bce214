"""Compile the BPF programs of src/kfoot/collect/bpf/src into the objects the package ships.

Beside them goes bpf_objects.json: the compiler and the sha256 of every source and object, so that
a test can tell when a source changed and the objects did not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src" / "kfoot" / "collect" / "bpf"
SOURCES = FOLDER / "src"
RECORD = FOLDER / "bpf_objects.json"
ARCHITECTURES = {"x86_64": "x86", "arm64": "arm64"}
"""Name in the object's file name -> libbpf's name of the target."""
FLAGS = ("-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Werror")


def tool(name: str) -> str | None:
    """The newest installed version of an LLVM tool, None when there is none."""
    candidates = [name, *(f"{name}-{version}" for version in range(22, 13, -1))]
    return next((path for word in reversed(candidates) if (path := shutil.which(word))), None)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sources() -> dict[str, str]:
    """sha256 of every source file by name."""
    return {path.name: digest(path) for path in sorted(SOURCES.glob("*.[ch]"))}


def programs() -> list[Path]:
    return sorted(SOURCES.glob("*.bpf.c"))


def build(into: Path) -> dict[str, str]:
    """Compile all into ``into``; gives the sha256 of each object by name."""
    clang, strip = tool("clang"), tool("llvm-strip")
    if clang is None or strip is None:
        sys.exit("needs clang and llvm-strip, 14 or later: apt-get install clang-14 llvm-14")
    made = {}
    for program in programs():
        for name, target in ARCHITECTURES.items():
            done = into / f"{program.name.removesuffix('.bpf.c')}.{name}.bpf.o"
            subprocess.run(
                [
                    *(clang, *FLAGS, f"-ffile-prefix-map={SOURCES}=.", "-fdebug-compilation-dir=."),
                    *(f"-D__TARGET_ARCH_{target}", "-c", program.name, "-o", str(done)),
                ],
                cwd=SOURCES,
                check=True,
            )
            subprocess.run([strip, "-g", str(done)], check=True)
            made[done.name] = digest(done)
    return made


def version() -> str:
    clang = tool("clang") or "clang"
    done = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = build(Path(folder))
        for name in made:
            shutil.copy(Path(folder) / name, FOLDER / name)
    record = {"compiler": version(), "flags": list(FLAGS), "objects": made, "sources": sources()}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
