"""The rules that need no compiler, on small trees written here."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from kfoot.atlas.build import kconfig, makefile
from kfoot.atlas.build.area_rules import MAIN, RULES
from kfoot.atlas.build.areas import Prefixes
from kfoot.atlas.build.maintainers import Matcher, parse
from kfoot.atlas.build.run import build
from kfoot.atlas.build.source import Source, release_of
from kfoot.atlas.pack import pack
from kfoot.errors import InputError

MAINTAINERS = """
List of maintainers

\tM: *Mail* patches to

Maintainers List
----------------

SPI SUBSYSTEM
M:\tSomebody <somebody@example.org>
L:\tlinux-spi@vger.kernel.org (moderated for non-subscribers)
S:\tMaintained
F:\tDocumentation/spi/
F:\tdrivers/spi/
F:\tinclude/linux/spi/

SPI TEST DRIVER
S:\tOdd Fixes
F:\tdrivers/spi/spi-t*.c
X:\tdrivers/spi/spi-tegra.c

BY NAME
S:\tMaintained
N:\t[^a-z]tegra
F:\tdrivers/nothing/

FOLDER WITHOUT SLASH
S:\tMaintained
F:\tdrivers/spi/sub

THE REST
S:\tBuried alive in reporters
F:\t*
F:\t*/
"""

MAKEFILES = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 5\nEXTRAVERSION = -rc2\n",
    "MAINTAINERS": MAINTAINERS,
    "Kconfig": 'source "drivers/spi/Kconfig"\n',
    "Kbuild": "obj-y += drivers/\n",
    "drivers/Makefile": "obj-$(CONFIG_SPI) += spi/\n",
    "drivers/spi/Makefile": """
# comment
obj-$(CONFIG_SPI_DEV)\t\t+= spi-dev.o
obj-$(CONFIG_SPI_BIG) += spi-big.o
spi-big-y := a.o \\
\tb.o
spi-big-$(CONFIG_SPI_BIG_DMA) += dma.o
ifdef CONFIG_SPI_DEBUG
obj-y += debug.o
else
obj-y += plain.o
endif
ifneq ($(CONFIG_A)$(CONFIG_B),)
obj-y += either.o
endif
obj-$(CONFIG_ONE) += twice.o
obj-$(CONFIG_TWO) += twice.o
LIST := x y
obj-y += $(addprefix sub/, $(addsuffix .o, $(LIST)))
include $(srctree)/drivers/spi/Makefile.more
""",
    "drivers/spi/Makefile.more": "HERE ?= ../spi\nobj-$(CONFIG_MORE) += $(HERE)/more.o\n",
    "drivers/spi/Kconfig": """
menuconfig SPI
\tbool "SPI support"
\tdepends on HAS_IOMEM
\thelp
\t  depends on nothing, says the help
\t  config NOT_ONE

if SPI

config SPI_DEV
\ttristate "User mode SPI"
\tdepends on A || B
\tselect C

config SPI_BIG
\ttristate

endif
""",
}
for name in [
    "spi-dev",
    "a",
    "b",
    "dma",
    "debug",
    "plain",
    "either",
    "twice",
    "more",
    "sub/x",
    "sub/y",
]:
    MAKEFILES[f"drivers/spi/{name}.c"] = "int x;\n"
MAKEFILES["drivers/spi/spi-tegra.c"] = ""
MAKEFILES["drivers/spi/spi-test.c"] = ""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("linux")
    for name, text in MAKEFILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(scope="module")
def files(tree: Path) -> dict[str, tuple]:
    return {row[0]: row for row in build(tree, jobs=0).tables["files"]}


def sections(path: str) -> set[str]:
    found = parse(MAINTAINERS)
    matcher = Matcher(found, lambda name: name in ("drivers/spi", "drivers/spi/sub"))
    return {found[match[0]].name for match in matcher.match(path)}


def test_sections_have_names_status_and_lists_without_addresses() -> None:
    spi = parse(MAINTAINERS)[0]
    assert (spi.name, spi.status, spi.lists) == ("SPI SUBSYSTEM", "Maintained", ["linux-spi"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("drivers/spi/spi.c", {"SPI SUBSYSTEM", "THE REST"}),
        ("drivers/spi/deep/er/x.c", {"SPI SUBSYSTEM", "THE REST"}),
        ("drivers/spi/spi-test.c", {"SPI SUBSYSTEM", "SPI TEST DRIVER", "THE REST"}),
        # a pattern that is no folder matches only at its own depth
        ("drivers/spi/spi-t/x.c", {"SPI SUBSYSTEM", "THE REST"}),
        # X excludes, N searches anywhere
        ("drivers/spi/spi-tegra.c", {"SPI SUBSYSTEM", "BY NAME", "THE REST"}),
        ("README", {"THE REST"}),
        # -d adds the slash
        ("drivers/spi/sub/x.c", {"SPI SUBSYSTEM", "FOLDER WITHOUT SLASH", "THE REST"}),
    ],
)
def test_the_sections_of_a_path(path: str, expected: set[str]) -> None:
    assert sections(path) == expected


def test_the_deepest_section_comes_first_and_the_rest_last(files: dict[str, tuple]) -> None:
    assert files["drivers/spi/spi-test.c"][2] == ("SPI TEST DRIVER", "SPI SUBSYSTEM", "THE REST")
    assert files["drivers/spi/spi-tegra.c"][2] == ("SPI SUBSYSTEM", "BY NAME", "THE REST")


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("fs/open.c", "vfs"),
        ("fs/ext4/inode.c", "fs:ext4"),
        ("fs/io_uring.c", "io_uring"),
        ("io_uring/rw.c", "io_uring"),
        ("kernel/fork.c", "process"),
        ("kernel/futex/core.c", "lock"),
        ("kernel/futex.c", "lock"),
        ("kernel/sched/core.c", "sched"),
        ("net/ipv4/tcp.c", "net:ipv4"),
        ("net/socket.c", "net"),
        ("drivers/spi/spidev.c", "drivers:spi"),
        ("drivers/char/random.c", "security"),
        ("include/trace/events/sched.h", None),
        ("nowhere/x.c", None),
    ],
)
def test_the_area_of_a_path(path: str, area: str | None) -> None:
    assert Prefixes().area(path) == area


def test_every_area_of_the_rules_is_a_known_one() -> None:
    areas = {line.split()[1].split(":")[0] for line in RULES.strip().split("\n")}
    assert areas - {"?"} <= MAIN


def test_options_and_modules(files: dict[str, tuple]) -> None:
    config = {path.removeprefix("drivers/spi/"): row[3] for path, row in files.items()}
    assert config["spi-dev.c"] == ("CONFIG_SPI", "CONFIG_SPI_DEV")
    assert config["b.c"] == ("CONFIG_SPI", "CONFIG_SPI_BIG")
    assert config["dma.c"] == ("CONFIG_SPI", "CONFIG_SPI_BIG", "CONFIG_SPI_BIG_DMA")
    assert config["debug.c"] == ("CONFIG_SPI", "CONFIG_SPI_DEBUG")
    assert config["plain.c"] == ("CONFIG_SPI", "!CONFIG_SPI_DEBUG")
    assert config["either.c"] == ("CONFIG_SPI",)  # an OR: neither is necessary
    assert config["twice.c"] == ("CONFIG_SPI",)
    assert config["more.c"] == ("CONFIG_SPI", "CONFIG_MORE")
    assert config["sub/y.c"] == ("CONFIG_SPI",)
    module = {path.removeprefix("drivers/spi/"): row[4] for path, row in files.items()}
    assert module["spi-dev.c"] == "spi_dev"
    assert module["a.c"] == module["dma.c"] == "spi_big"
    assert module["debug.c"] is None


def test_both_ways_to_build_a_file_are_kept(tree: Path) -> None:
    rows = build(tree, jobs=0).tables["builds"]
    assert {row[1] for row in rows} == {
        ("CONFIG_SPI", "CONFIG_ONE"),
        ("CONFIG_SPI", "CONFIG_TWO"),
    }


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("ifdef CONFIG_X", ["CONFIG_X"]),
        ("ifndef CONFIG_X", ["!CONFIG_X"]),
        ("ifeq ($(CONFIG_X),y)", ["CONFIG_X"]),
        ("ifeq ($(CONFIG_X)$(CONFIG_Y),yy)", ["CONFIG_X", "CONFIG_Y"]),
        ("ifeq ($(CONFIG_X),)", ["!CONFIG_X"]),
        ('ifeq "$(CONFIG_X)" "y"', ["CONFIG_X"]),
        ("ifneq ($(CONFIG_X),)", ["CONFIG_X"]),
        ("ifneq ($(CONFIG_X),y)", None),
        ("ifneq ($(CONFIG_X)$(CONFIG_Y),)", None),
        ("ifeq ($(KBUILD_EXTMOD),)", None),
    ],
)
def test_conditions_of_makefiles(line: str, options: list[str] | None) -> None:
    assert makefile.condition(line) == options


def test_a_makefile_that_includes_itself_ends() -> None:
    text = "A = $(A) $(B)\nB = $(A)\nobj-y += $(A) x.o\ninclude Makefile\n"
    assert makefile.read("Makefile", {"Makefile": text}.get)


def test_a_makefile_that_swells_ends() -> None:
    lines = ["V0 = x.o"] + [f"V{n} = $(V{n - 1}) $(V{n - 1})" for n in range(1, 40)]
    lines += ["obj-y += $(V18) $(V39) y.o", "a" + " " * 200_000 + "b", "obj-y += z.o"]
    rules = makefile.read("Makefile", {"Makefile": "\n".join(lines)}.get)
    assert rules[-1].items == ("z.o",)


def test_kconfig() -> None:
    options = {option.name: option for option in kconfig.parse(MAKEFILES["drivers/spi/Kconfig"])[0]}
    assert list(options) == ["CONFIG_SPI", "CONFIG_SPI_DEV", "CONFIG_SPI_BIG"]
    assert options["CONFIG_SPI"].depends == ("HAS_IOMEM",)
    assert options["CONFIG_SPI_DEV"] == kconfig.Option(
        "CONFIG_SPI_DEV", "tristate", "User mode SPI", ("SPI", "A || B")
    )
    assert options["CONFIG_SPI_BIG"].prompt is None


def packed(tree: Path, wrapper: str, *, folder: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, text in MAKEFILES.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    if wrapper == "zst":
        import zstandard

        return zstandard.compress(raw.getvalue())
    if wrapper == "gz":
        import gzip

        return gzip.compress(raw.getvalue())
    return lzma.compress(raw.getvalue()) if wrapper == "xz" else raw.getvalue()


@pytest.mark.parametrize(
    ("wrapper", "folder"), [("xz", "linux-6.1/"), ("gz", "./linux/"), ("zst", ""), ("tar", "x/")]
)
def test_a_tarball_gives_what_the_tree_gives(
    tree: Path, tmp_path: Path, wrapper: str, folder: str
) -> None:
    tarball = tmp_path / f"linux.{wrapper}"
    tarball.write_bytes(packed(tree, wrapper, folder=folder))
    here, there = build(tree, jobs=0), build(tarball, jobs=2)
    assert here.header["release"] == there.header["release"] == "6.1.5-rc2"
    assert pack(here.header, here.tables) == pack(here.header, there.tables)
    assert pack(there.header, there.tables) == pack(**_again(tarball))


def _again(tarball: Path) -> dict:
    built = build(tarball, jobs=0)
    return {"header": built.header, "tables": built.tables}


def test_a_cut_tarball_is_refused_with_its_place(tree: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "linux.tar.xz"
    tarball.write_bytes(packed(tree, "xz", folder="linux/")[:-100])
    with pytest.raises(InputError, match=r"linux\.tar\.xz: offset \d+: cannot be unpacked"):
        build(tarball, jobs=0)


def test_what_is_no_kernel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(InputError, match="no Kconfig and no MAINTAINERS"):
        build(tmp_path, jobs=0)
    (tmp_path / "a.tar").write_bytes(b"nothing" * 1000)
    with pytest.raises(InputError, match="cannot be unpacked"):
        build(tmp_path / "a.tar", jobs=0)


def test_a_hostile_tarball_writes_nothing_outside(tmp_path: Path) -> None:
    tarball = tmp_path / "evil.tar"
    with tarfile.open(tarball, "w") as tar:
        for name in ("linux/Makefile", "linux/../../escape.h", "linux//etc/x.h"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    source = Source(tarball)
    with pytest.raises(InputError):
        list(source.walk(lambda path: True))
    assert source.paths == ["Makefile"]


def test_release_words() -> None:
    assert release_of(b"VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\n") == (
        "6.12.117"
    )
    with pytest.raises(ValueError, match="VERSION"):
        release_of(b"all:\n")
