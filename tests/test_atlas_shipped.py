"""The shipped atlases answer what anybody can check in the sources."""

from __future__ import annotations

import time

import pytest

from kfoot.atlas import open_atlas
from kfoot.atlas.lookup import AtlasView
from kfoot.atlas.model import Atlas
from kfoot.atlas.open import atlases


@pytest.fixture(scope="module")
def atlas() -> AtlasView:
    return open_atlas()


def test_it_is_an_atlas(atlas: AtlasView) -> None:
    typed: Atlas = atlas
    assert typed.file("MAINTAINERS") is None
    assert len(typed.sha256) == 64


@pytest.mark.parametrize(
    ("abi", "key", "name", "area"),
    [
        ("x86_64", 0, "read", "vfs"),
        ("x86_64", "newstat", "stat", "vfs"),
        ("arm", 336, "ppoll", "vfs"),  # the published OpenAPS table says perf_event_open
        ("i386", 336, "perf_event_open", "trace"),
        ("arm64", 98, "futex", "lock"),
        ("x86_64", "mmap", "mmap", "mm"),  # forwards from arch/x86 to mm/mmap.c
        ("riscv64", 260, "wait4", "process"),
    ],
)
def test_syscalls(atlas: AtlasView, abi: str, key: int | str, name: str, area: str) -> None:
    call = atlas.syscall(abi, key)
    assert call is not None
    assert (call.name, call.place.area) == (name, area)


def test_a_file_with_all_that_is_known_of_it(atlas: AtlasView) -> None:
    found = atlas.file("drivers/spi/spidev.c")
    assert found is not None
    assert found.area == "drivers:spi"
    assert found.sections == ("SPI SUBSYSTEM", "THE REST")
    assert found.config == ("CONFIG_SPI", "CONFIG_SPI_SPIDEV")
    assert found.module == "spidev"
    module = atlas.module("spidev")
    assert module is not None
    assert module.files == ("drivers/spi/spidev.c",)


def test_an_option(atlas: AtlasView) -> None:
    option = atlas.config("SPI_SPIDEV")
    assert option is not None
    assert option.prompt == "User mode SPI device driver support"
    assert option.file == "drivers/spi/Kconfig"


def test_a_section_has_no_address(atlas: AtlasView) -> None:
    section = atlas.section("SPI SUBSYSTEM")
    assert section is not None
    assert section.status == "Maintained"
    assert section.lists == ("linux-spi",)
    assert not [
        row for row in atlas.file_on_disk["sections"] if any("@" in name for name in row[2])
    ]


def test_nothing_is_guessed(atlas: AtlasView) -> None:
    assert atlas.syscall("x86_64", 100_000) is None
    assert atlas.syscall("no such abi", 0) is None
    assert atlas.module("no_such_module") is None
    assert atlas.filesystem("nosuchfs").file is None
    assert atlas.place("drivers/gone.c", "x").area is None


def test_every_shipped_atlas_opens_and_finds_in_50_ms() -> None:
    found = [atlas for atlas in atlases() if atlas.shipped]
    assert found
    for atlas in found:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            view = open_atlas(path=atlas.path)
            assert view.syscall("x86_64", 1)
            assert view.file("mm/mmap.c")
            times.append(time.perf_counter() - start)
        assert min(times) < 0.05
        assert atlas.path.stat().st_size < 8_000_000


@pytest.mark.parametrize(
    ("release", "atlas_of"),
    [("6.1.0-26-amd64", "6.1.192"), ("6.12.9+deb13-arm64", "6.12.117"), ("5.10.1", "6.1.192")],
)
def test_debians_kernels_have_their_atlas(release: str, atlas_of: str) -> None:
    view = open_atlas(release)
    assert view.name == atlas_of
    assert view.note
    assert release in view.note
    assert {place.area for place in (call.place for call in view.syscalls("x86_64"))} >= {
        "vfs",
        "mm",
        "net",
    }
    assert [f.place.file for f in view.function("spi_sync.isra.0")] == ["drivers/spi/spi.c"]
    assert view.ioctl(0x40206B00)[0].name == "SPI_IOC_MESSAGE"
    assert {event.place.area for event in view.event("ext4:ext4_da_write_begin")} == {"fs:ext4"}
