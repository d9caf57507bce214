"""Measure an atlas against what was not made by kfoot; prints Markdown rows.

  python benchmarks/atlas_accuracy.py ATLAS                     numbers: system-calls, ausyscall
      --vmlinux vmlinux --config config --arch x86              DWARF of a kernel with debug symbols
      --events /sys/kernel/tracing/available_events             the events of a running kernel
      --kallsyms /proc/kallsyms                                 the symbols of a running kernel
      --headers [linux/include/uapi]                            ioctls: the installed headers, and
                                                                the tree's for what is not installed

Needs binutils for --vmlinux, gcc (with -m32) for --headers; the package system-calls and
ausyscall are asked when they are there. docs/accuracy-atlas.md has the figures and the method.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from kfoot.atlas import open_atlas
from kfoot.atlas.abi import ioctl_classes
from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.symbols import Symbol, choose
from kfoot.footprint.system import parse_config

GLUE = re.compile(
    r"__(?:pfx|cfi|export)_|__(?:SCT__|traceiter_|probestub_|bpf_trace_|initstub|event_|tracepoint)"
    r"|trace_event_(?:raw_event|raw|get_offsets)_|trace_raw_output_|perf_trace_|bpf_prog_|event_"
)
"""Symbols that tracepoints and static calls make; they stand in no source file."""
PACKAGE = {
    "mips_o32": "mipso32",
    "mips_n32": "mips64n32",
    "mips_n64": "mips64",
    "powerpc32": "powerpc",
    "parisc32": "parisc",
    "sparc32": "sparc",
}
MACHINES = {
    "x86_64": "x86_64",
    "i386": "i386",
    "arm": "arm",
    "arm64": "aarch64",
    "powerpc32": "ppc",
    "s390x": "s390x",
    "s390": "s390",
}


def row(what: str, *figures: object) -> None:
    print(f"| {what} | " + " | ".join(str(figure) for figure in figures) + " |", flush=True)


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}% ({part:,} of {whole:,})" if whole else "-"


def package_numbers(atlas: AtlasView) -> None:
    """Numbers against the system-calls package: for every name both know."""
    try:
        from system_calls import syscalls  # type: ignore[import-not-found]
    except ImportError:
        return
    package = syscalls()
    for abi in atlas.abis():
        if abi in ("arm_oabi", "parisc64"):
            continue  # There: numbers with 0x900000 added; one table for both word sizes.
        theirs = package.load_arch_table(PACKAGE.get(abi, abi))
        ours = {call.name: call.nr for call in atlas.syscalls(abi)}
        both = ours.keys() & theirs.keys()
        other = sorted(name for name in both if ours[name] != theirs[name])
        row(f"syscalls {abi}: system-calls", f"{len(both)} names", f"{len(other)} differ {other}")


def ausyscall_numbers(atlas: AtlasView) -> None:
    """Numbers against ausyscall, for the machines it knows."""
    if not shutil.which("ausyscall"):
        return
    for abi, machine in MACHINES.items():
        done = subprocess.run(["ausyscall", machine, "--dump"], capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if not lines or ("x86_64" in lines[0] and abi != "x86_64"):
            continue  # It fell back to the host's table.
        calls = {call.nr: call for call in atlas.syscalls(abi)}
        same, other = 0, []
        for number, name in (line.split() for line in lines[1:]):
            call = calls.get(int(number))
            if call and name in (call.name, (call.entry or "").removeprefix("sys_")):
                same += 1
            else:
                other.append(f"{number} {name} ({call.name if call else '-'})")
        row(f"syscalls {abi}: ausyscall", f"{same} same", f"{len(other)} differ: {other}")


def coverage(atlas: AtlasView) -> None:
    """Implemented entries that have a file."""
    for abi in atlas.abis():
        calls = [call for call in atlas.syscalls(abi) if call.implemented]
        row(f"syscalls {abi}: file", percent(sum(bool(c.place.file) for c in calls), len(calls)))


class Image:
    """Text symbols of a vmlinux with DWARF: address, name, compile unit, file of the line table."""

    def __init__(self, vmlinux: Path):
        self.symbols: list[tuple[int, str]] = []
        for line in _lines("nm", vmlinux):
            words = line.split()
            if len(words) == 3 and words[1] in "tTwW":
                self.symbols.append((int(words[0], 16), words[2]))
        self.units = _units(vmlinux)
        addresses = "\n".join(f"{address:x}" for address, _ in self.symbols)
        found = subprocess.run(
            ["addr2line", "-e", str(vmlinux)], input=addresses, capture_output=True, text=True
        ).stdout
        self.lines = [
            _relative(line.split(" (")[0].rpartition(":")[0]) for line in found.split("\n")
        ]

    def unit(self, address: int) -> str | None:
        at = bisect_right(self.units, (address, 1 << 64, "")) - 1
        start, end, name = self.units[at] if at >= 0 else (0, 0, "")
        return name if start <= address < end else None


def _lines(*command: str | Path) -> Iterator[str]:
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        yield from process.stdout


def _units(vmlinux: Path) -> list[tuple[int, int, str]]:
    names: dict[int, str] = {}
    offset = -1
    for line in _lines("readelf", "--debug-dump=info", "--dwarf-depth=1", vmlinux):
        if found := re.search(r"Compilation Unit @ offset (0x[0-9a-f]+|0):", line):
            offset = int(found[1], 16)
        elif found := re.search(r"DW_AT_name\s*:.*\): (\S+)$", line):
            names.setdefault(offset, _relative(found[1]))
    units = []
    for line in _lines("readelf", "--debug-dump=aranges", vmlinux):
        if found := re.search(r"Offset into .debug_info:\s+(\S+)", line):
            offset = int(found[1], 16)
        elif (found := re.match(r"\s+([0-9a-f]{16}) ([0-9a-f]{16})", line)) and int(found[1], 16):
            start = int(found[1], 16)
            units.append((start, start + int(found[2], 16), names.get(offset, "")))
    return sorted(units)


def _relative(path: str) -> str:
    """A path of the build as one of the source tree."""
    path = re.sub(r"^/build/[^/]+/linux-[^/]+/", "", path)
    return posixpath.normpath(re.sub(r"debian/build/[^/]+/", "", path))


def against_dwarf(atlas: AtlasView, vmlinux: Path, config: Path | None, arch: str) -> None:
    image = Image(vmlinux)
    truth = {
        Symbol(address, name): (unit, line)
        for (address, name), line in zip(image.symbols, image.lines, strict=False)
        if (unit := image.unit(address)) and not GLUE.match(name)
    }
    by_name = defaultdict(set)
    for symbol, files in truth.items():
        by_name[symbol.name].update(files)
    right, wrong = 0, []
    for call in atlas.syscalls("x86_64"):
        files = by_name.get(f"__x64_{call.entry}", set()) if call.implemented else set()
        if files:
            right += call.place.file in files
            if call.place.file not in files:
                wrong.append(f"{call.name}: {call.place.file}, not {sorted(files)}")
    row("syscalls x86_64: file by DWARF", percent(right, right + len(wrong)), wrong)
    options = parse_config(config.read_text()) if config else None
    found = choose(atlas, list(truth), arch=arch, config=options)
    mapped = {symbol: one for symbol in truth if (one := found[symbol])}
    exact = sum(one.place.file == truth[symbol][0] for symbol, one in mapped.items())
    files_right = sum(one.place.file in truth[symbol] for symbol, one in mapped.items())
    areas = sum(
        one.place.area in {atlas.place(path, "").area for path in truth[symbol]}
        for symbol, one in mapped.items()
    )
    row("functions: mapped", percent(len(mapped), len(truth)))
    row("functions: right file (compile unit or line table)", percent(files_right, len(mapped)))
    row("functions: right compile unit", percent(exact, len(mapped)))
    row("functions: right area", percent(areas, len(mapped)))


def events(atlas: AtlasView, path: Path) -> None:
    """Events of a running kernel: named in the sources, and with an area."""
    listed = [line.strip().split(":") for line in path.read_text().splitlines() if ":" in line]
    named = with_area = 0
    rest: Counter[str] = Counter()
    for system, name in listed:
        found = atlas.event(name, system)
        named += any(one.place.how != "event-system-only" for one in found)
        if found and found[0].place.area not in (None, "other"):
            with_area += 1
        else:
            rest[system] += 1
    row("events: in the sources", percent(named, len(listed)))
    row("events: with an area", percent(with_area, len(listed)), dict(rest))


def kallsyms(atlas: AtlasView, path: Path, arch: str) -> None:
    symbols = []
    for line in path.read_text().splitlines():
        address, kind, name, *module = line.split()
        if kind in "tT" and not GLUE.match(name):
            symbols.append(Symbol(int(address, 16), name, module[0][1:-1] if module else None))
    found = choose(atlas, symbols, arch=arch)
    row("functions: of the running kernel", percent(sum(map(bool, found.values())), len(symbols)))


PRELUDES = (
    "",
    "sys/types.h stdint.h stddef.h sys/socket.h sys/time.h sys/ioctl.h linux/types.h "
    "linux/sockios.h",
    "sys/types.h stdint.h linux/types.h asm/termbits.h linux/serial.h linux/fs.h linux/blkpg.h "
    "linux/blktrace_api.h linux/fiemap.h linux/major.h linux/filter.h linux/videodev2.h "
    "linux/atmioc.h linux/sockios.h sys/socket.h",
)
"""Headers of the C library and the kernel that others need, tried in turn."""


_AS_INSTALLED = ("-D__user=", "-D__packed=__attribute__((packed))")
"""What headers_install would have taken out of a tree's headers."""


def headers(atlas: AtlasView, uapi: Path) -> None:
    """Every ioctl number against what a program with the installed headers prints."""
    table = atlas.file_on_disk["ioctls"]
    for flag, abi in (("-m64", "x86_64"), ("-m32", "i386")):
        by_header: dict[str, dict[str, tuple[int, int | None]]] = defaultdict(dict)
        for name, kind, number, _, mask, header in table:
            if kind in ioctl_classes(abi) and header.startswith("include/uapi/"):
                by_header[header.removeprefix("include/uapi/")][name] = (number, mask)
        same, other, silent = 0, [], 0
        for header, names in sorted(by_header.items()):
            printed: dict[str, int] = {}
            for prelude in PRELUDES:
                left = [name for name in names if name not in printed]
                printed |= (
                    _printed(header, left, names, (flag, "-idirafter", str(uapi)), prelude)
                    if left
                    else {}
                )
            for name, (number, mask) in names.items():
                if name not in printed:
                    silent += 1
                elif printed[name] & (0xFFFFFFFF if mask is None else mask) == number:
                    same += 1
                else:
                    other.append(name)
        row(f"ioctls {flag}", f"{same} same", f"{len(other)} differ {other}", f"{silent} not there")


def _printed(
    header: str,
    wanted: list[str],
    names: dict[str, tuple[int, int | None]],
    options: tuple[str, ...],
    prelude: str,
) -> dict[str, int]:
    """What a program that includes the header prints; names that do not compile are dropped."""
    includes = "".join(f"#include <{name}>\n" for name in ("stdio.h", *prelude.split(), header))
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/a"
        for _ in range(10):
            calls = {name: "" if names[name][1] is None else "(0)" for name in wanted}
            body = "\n".join(
                f'printf("{name} %u\\n", (unsigned)({name}{call}));' for name, call in calls.items()
            )
            text = f'{includes}int main(void) {{\n#line 1 "probe"\n{body}\nreturn 0; }}\n'
            made = subprocess.run(
                ["gcc", "-w", *_AS_INSTALLED, *options, "-x", "c", "-", "-o", program],
                input=text,
                capture_output=True,
                text=True,
            )
            if made.returncode == 0:
                out = subprocess.run([program], capture_output=True, text=True).stdout
                return {
                    name: int(value) for name, value in (line.split() for line in out.splitlines())
                }
            bad = {int(line) - 1 for line in re.findall(r"^probe:(\d+):", made.stderr, re.M)}
            wanted = [name for number, name in enumerate(wanted) if number not in bad]
            if not bad or not wanted:
                return {}
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--vmlinux", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--arch", default="x86")
    parser.add_argument("--events", type=Path)
    parser.add_argument("--kallsyms", type=Path)
    parser.add_argument("--headers", nargs="?", const=Path("/nowhere"), type=Path)
    args = parser.parse_args()
    atlas = open_atlas(path=args.atlas)
    coverage(atlas)
    package_numbers(atlas)
    ausyscall_numbers(atlas)
    if args.events:
        events(atlas, args.events)
    if args.headers:
        headers(atlas, args.headers)
    if args.vmlinux:
        against_dwarf(atlas, args.vmlinux, args.config, args.arch)
    if args.kallsyms:
        kallsyms(atlas, args.kallsyms, args.arch)


if __name__ == "__main__":
    main()
