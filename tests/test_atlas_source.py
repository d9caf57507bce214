"""The atlas against the kernel's own scripts, on the sources of a Debian kernel."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from kfoot.atlas.build.run import BUILDERS, build
from kfoot.atlas.build.source import Source
from needs import atlas_source, needs

pytestmark = pytest.mark.slow

FOLDERS = ("scripts/", "include/", "Documentation/features/", "tools/include/")


class Tree(NamedTuple):
    root: Path
    paths: list[str]


def wanted(path: str) -> bool:
    """What the scripts below read; every other file of the tree is left empty."""
    return (
        path.startswith(FOLDERS)
        or "/" not in path
        or re.fullmatch(r"arch/\w+/(include|tools|entry|kernel/syscalls)/.*", path) is not None
        or re.search(r"/(Makefile|Kbuild|Kconfig)[\w.]*$", path) is not None
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The source with its folders and names, and the content the scripts read."""
    needs("atlas-source", "perl")
    tarball = atlas_source()
    assert tarball is not None
    root = tmp_path_factory.mktemp("source")
    source = Source(tarball)

    def put(path: str, data: bytes) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    for path, data in source.walk(wanted):
        put(path, data)
        if data.startswith(b"#!"):
            (root / path).chmod(0o755)
    for path in source.paths:
        if not wanted(path):
            put(path, b"")
    return Tree(root, source.paths)


def perl_sections(root: Path, path: str) -> list[tuple[str, int]]:
    """Sections as get_maintainer.pl prints them, each with its depth unknown (in its order)."""
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
    from kfoot.atlas.build.base import Context
    from kfoot.atlas.build.maintainers import MaintainersBuilder

    builder = MaintainersBuilder()
    builder.take("MAINTAINERS", builder.scan("", (tree.root / "MAINTAINERS").read_bytes()))
    builder.finish(Context("", tree.paths, tree.root))
    for path in random.Random(1).sample(tree.paths, 100):
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
        (found[2].strip(), found[1].strip(), found[3].strip(), found[4].strip())
        for found in re.finditer(r"^\s*([\w-]+)/([^:]+):([^|]+)\|([^#]+)#", done.stdout, re.M)
    }
    rows = build(tree.root, jobs=0, names=("features:FeaturesBuilder",)).tables["features"]
    ours = {(row[0], row[4], row[2], row[3]) for row in rows if row[1] == arch}
    assert len(theirs) > 35
    assert ours == theirs


DEFINES = {
    "x86_64": ("x86", "-DCONFIG_X86_64", "-D__x86_64__", "-D__LP64__"),
    "arm64": ("arm64", "-D__aarch64__", "-D__LP64__"),
    "riscv64": ("riscv", "-D__riscv", "-D__riscv_xlen=64", "-D__LP64__"),
    "s390x": ("s390", "-D__s390x__", "-D__s390__", "-D__LP64__"),
    "sh": ("sh", "-D__sh__"),
    "sparc64": ("sparc", "-D__sparc__", "-D__arch64__", "-D__LP64__"),
    "alpha": ("alpha", "-D__alpha__", "-D__LP64__"),
}


@pytest.mark.parametrize("abi", list(DEFINES))
def test_missing_syscalls_are_those_of_checksyscalls(tree: Tree, abi: str) -> None:
    needs("gcc")
    arch, *defines = DEFINES[abi]
    out = tree.root.parent / f"headers-{arch}"
    subprocess.run(
        ["make", "-s", f"O={out}", f"ARCH={arch}", "headers", "asm-generic"],
        cwd=tree.root,
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    made = out / "arch" / arch / "include" / "generated"
    if "-D__LP64__" in defines:
        defines.append("-DCONFIG_64BIT")
    folders = [f"arch/{arch}/include", str(made), "include", f"arch/{arch}/include/uapi"]
    folders += [str(made / "uapi"), "include/uapi"]
    done = subprocess.run(
        ["sh", "scripts/checksyscalls.sh", "gcc", "-undef", "-nostdinc", "-D__KERNEL__"]
        + ["-D__linux__", "-DCONFIG_MMU", *defines]
        + [word for folder in folders for word in ("-I", folder)],
        cwd=tree.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "error" not in done.stderr
    theirs = set(re.findall(r"#warning syscall (\w+) not implemented", done.stderr))
    names = tuple(
        name
        for name in BUILDERS
        if name.split(":")[0] in ("maintainers", "areas", "syscalls", "missing")
    )
    rows = build(tree.root, jobs=0, names=names, architectures=[arch]).tables["missing_syscalls"]
    assert {row[1] for row in rows if row[0] == abi} == theirs
