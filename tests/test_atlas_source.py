"""The atlas against the kernel's own scripts, on the sources of a Debian kernel."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from kfoot.atlas.build.base import Context
from kfoot.atlas.build.maintainers import MaintainersBuilder, folders_of
from kfoot.atlas.build.run import BUILDERS, build
from kfoot.atlas.build.source import Source
from needs import atlas_source, needs

pytestmark = pytest.mark.slow

FOLDERS = ("scripts/", "include/uapi/", "include/asm-generic/", "Documentation/features/")
ARCH = re.compile(r"arch/\w+/(?:include/(?:uapi/)?asm/.*|.*\.tbl|.*Makefile\.syscalls)")
SAMPLE = 100


class Tree(NamedTuple):
    root: Path
    paths: list[str]


def wanted(path: str) -> bool:
    """What the scripts below read."""
    return path.startswith(FOLDERS) or "/" not in path or ARCH.fullmatch(path) is not None


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The source with all its folders, and the files the scripts read."""
    needs("atlas-source", "perl")
    tarball = atlas_source()
    assert tarball is not None
    root = tmp_path_factory.mktemp("source")
    source = Source(tarball)
    for path, data in source.walk(wanted):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    for folder in folders_of(source.paths):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return Tree(root, source.paths)


def perl_sections(root: Path, path: str) -> list[str]:
    """Names of the sections as get_maintainer.pl prints them."""
    if not (root / path).exists():
        (root / path).touch()
    done = subprocess.run(
        ["perl", "scripts/get_maintainer.pl", "--sections", "--nokeywords", "-f", path],
        cwd=root,
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    lines = [line.strip() for line in done.stdout.split("\n")]
    return [line for line in lines if line and not re.match(r"[A-Z]:", line)]


def test_sections_are_those_of_get_maintainer(tree: Tree) -> None:
    """Identical sets; the same first section, but for ties that Perl leaves to chance."""
    builder = MaintainersBuilder()
    builder.take("MAINTAINERS", builder.scan("", (tree.root / "MAINTAINERS").read_bytes()))
    builder.finish(Context("", tree.paths, tree.root))
    for path in random.Random(1).sample(tree.paths, SAMPLE):
        theirs, ours = perl_sections(tree.root, path), list(builder.sections_of(path))
        assert sorted(theirs) == sorted(ours), path
        assert ours[-1] == "THE REST"
        depth = {
            builder.sections[match[0]].name: match[1] for match in builder._matcher.match(path)
        }
        assert depth[theirs[0]] == depth[ours[0]], path


@pytest.mark.parametrize("arch", ["x86", "arm64", "arm", "riscv", "s390"])
def test_features_are_those_of_get_feat(tree: Tree, arch: str) -> None:
    script = next(
        name
        for name in ("scripts/get_feat.pl", "tools/docs/get_feat.pl")
        if (tree.root / name).exists()
    )
    done = subprocess.run(
        ["perl", script, "list", "--arch", arch],
        cwd=tree.root,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = {
        tuple(found[part].strip() for part in (2, 1, 3, 4))
        for found in re.finditer(r"^\s*([\w-]+)/([^:]+):([^|]+)\|([^#]+)#", done.stdout, re.M)
    }
    rows = build(tree.root, jobs=0, names=("features:FeaturesBuilder",)).tables["features"]
    ours = {(row[0], row[4], row[2], row[3]) for row in rows if row[1] == arch}
    assert len(theirs) > 35
    assert ours == theirs


class Port(NamedTuple):
    """How scripts/checksyscalls.sh is run for an ABI: what the kernel's build would generate."""

    arch: str
    headers: dict[str, tuple[str, str, str]]
    """asm/ header to table, ABI words and prefix, for scripts/syscallhdr.sh."""
    defines: tuple[str, ...]


_TBL = "kernel/syscalls/syscall.tbl"
_X86 = "entry/syscalls/syscall_64.tbl"
PORTS = {
    "x86_64": Port(
        "x86",
        {
            "unistd_64.h": (_X86, "common,64", ""),
            "unistd_64_x32.h": (_X86, "common,x32", "x32_"),
            "unistd_32_ia32.h": ("entry/syscalls/syscall_32.tbl", "i386", "ia32_"),
        },
        ("CONFIG_X86_64", "__x86_64__", "__LP64__"),
    ),
    "arm64": Port("arm64", {"unistd_64.h": ("", "64", "")}, ("__aarch64__", "__LP64__")),
    "riscv64": Port(
        "riscv", {"unistd_64.h": ("", "64", "")}, ("__riscv", "__SIZEOF_POINTER__=8", "__LP64__")
    ),
    "sh": Port("sh", {"unistd_32.h": (_TBL, "common", "")}, ("__sh__",)),
    "sparc64": Port(
        "sparc", {"unistd_64.h": (_TBL, "common,64", "")}, ("__arch64__", "__sparc__", "__LP64__")
    ),
    "alpha": Port("alpha", {"unistd_32.h": (_TBL, "common", "")}, ("__alpha__", "__LP64__")),
    "m68k": Port("m68k", {"unistd_32.h": (_TBL, "common", "")}, ("__m68k__",)),
}


def generated(root: Path, port: Port, folder: Path) -> None:
    """The headers that the kernel's build makes before it runs checksyscalls.sh."""
    include = root / "arch" / port.arch / "include"
    for place in ("asm", "uapi/asm"):
        (folder / place).mkdir(parents=True)
    for name in ("types.h", "bitsperlong.h", "posix_types.h"):
        if (include / "uapi/asm" / name).exists():
            continue
        # A port's own asm/types.h may include uapi/asm/types.h, and that one be generic.
        for place in ("asm", "uapi/asm"):
            if not (include / place / name).exists():
                (folder / place / name).write_text(f"#include <asm-generic/{name}>\n")
    for header, (table, words, prefix) in port.headers.items():
        source = root / "arch" / port.arch / table
        if not table:
            source = root / "scripts/syscall.tbl"
            if not source.exists():
                continue  # before 6.11 such ports include asm-generic/unistd.h
            makefile = root / "arch" / port.arch / "kernel/Makefile.syscalls"
            own = re.findall(rf"^syscall_abis_{words}\s*\+=\s*(.*)$", makefile.read_text(), re.M)
            words = ",".join(["common", words, *" ".join(own).split()])
        options = ["--abis", words, "--prefix", prefix]
        files = [str(source), str(folder / "asm" / header)]
        subprocess.run(["sh", "scripts/syscallhdr.sh", *options, *files], cwd=root, check=True)


@pytest.mark.parametrize("abi", list(PORTS))
def test_missing_syscalls_are_those_of_checksyscalls(tree: Tree, tmp_path: Path, abi: str) -> None:
    needs("gcc")
    port = PORTS[abi]
    generated(tree.root, port, tmp_path / "generated")
    bits = ["-DCONFIG_64BIT"] if "__LP64__" in port.defines else []
    folders = [f"arch/{port.arch}/include", str(tmp_path / "generated"), "include"]
    folders += [f"arch/{port.arch}/include/uapi", "include/uapi"]
    done = subprocess.run(
        ["sh", "scripts/checksyscalls.sh", "gcc", "-undef", "-nostdinc", "-D__KERNEL__"]
        + ["-DCONFIG_MMU", *bits, *(f"-D{name}" for name in port.defines)]
        + [word for folder in folders for word in ("-I", folder)],
        cwd=tree.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error:" not in done.stderr, done.stderr
    theirs = set(re.findall(r"#warning syscall (\w+) not implemented", done.stderr))
    needed = ("maintainers", "areas", "syscalls", "missing")
    names = tuple(name for name in BUILDERS if name.split(":")[0] in needed)
    built = build(tree.root, jobs=0, names=names, architectures=[port.arch])
    ours = {row[1] for row in built.tables["missing_syscalls"] if row[0] == abi}
    assert ours == theirs
    if abi in ("sh", "sparc64"):
        assert ours  # so that the comparison is not of nothing with nothing
