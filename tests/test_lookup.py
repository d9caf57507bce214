"""``kfoot lookup`` on a small atlas made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfoot import cli
from kfoot.atlas.nearest import nearest
from kfoot.atlas.pack import pack

SPI = ("drivers/spi/spidev.c", "SPI SUBSYSTEM", "drivers:spi")
TABLES = {
    "syscalls": [
        ("arm", 336, "ppoll", "sys_ppoll", None, True, "fs/select.c", "VFS", "vfs", "define"),
        ("arm", 3, "read", "sys_read", None, True, "fs/read_write.c", "VFS", "vfs", "define"),
        ("arm", 4, "fork", None, None, False, None, None, None, "not-implemented"),
        ("i386", 336, "perf_event_open", "sys_p", None, True, "k.c", "PERF", "trace", "define"),
        ("x86_64", 0, "read", "sys_read", None, True, "fs/read_write.c", "VFS", "vfs", "define"),
    ],
    "events": [
        ("spi", "spi_transfer_start", ("int bus_num",), "drivers/spi/spi.c", *SPI, "call-site"),
        ("ext4", "spi_transfer_start", (), "fs/ext4/inode.c", "fs/ext4/inode.c", None, "fs", "x"),
    ],
    "functions": [
        ("spi_sync", "drivers/spi/spi.c", False),
        ("init", "drivers/spi/spidev.c", True),
        ("init", "drivers/off.c", True),
    ],
    "files": [
        (
            "drivers/spi/spidev.c",
            "drivers:spi",
            ("SPI SUBSYSTEM", "THE REST"),
            ("CONFIG_SPI",),
            "spidev",
        ),
        ("drivers/off.c", "drivers", (), ("CONFIG_OFF",), None),
    ],
    "ioctls": [
        ("SPI_IOC_RD_MODE", "", 0x80016B01, 1, None, "include/uapi/linux/spi/spidev.h"),
        ("SPI_IOC_MESSAGE", "", 0x40006B00, None, 0xC000FFFF, "include/uapi/linux/spi/spidev.h"),
    ],
    "ioctl_handlers": [("SPI_IOC_MESSAGE", 0, *SPI, "case")],
    "modules": [("spidev", ("CONFIG_SPI_SPIDEV",), ("drivers/spi/spidev.c",), *SPI, "makefile")],
    "kconfig": [("CONFIG_SPI", "bool", "SPI support", "HAS_IOMEM", "drivers/spi/Kconfig")],
    "sections": [("SPI SUBSYSTEM", "Maintained", ("linux-spi",), 187, "drivers:spi")],
    "filesystems": [("ext4", "fs/ext4/super.c", "EXT4", "fs:ext4", "filesystem-type")],
    "devices": [("spi", "char", 153, None, *SPI, "char-registered")],
}
HEADER = {"release": "6.1.0", "source": "x", "source_sha256": "0", "rules": 1, "notes": []}


@pytest.fixture
def atlas(tmp_path: Path) -> str:
    path = tmp_path / "small.atlas"
    path.write_bytes(pack(HEADER, TABLES))
    return str(path)


def ask(atlas: str, *words: str) -> int:
    return cli.main(["lookup", "--atlas", atlas, *words])


def rows(atlas: str, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert ask(atlas, "--json", *words) == 0
    found = json.loads(capsys.readouterr().out)["rows"]
    assert isinstance(found, list)
    return found


def test_a_number_is_named_by_its_own_abi(atlas: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(atlas, "syscall", "--arch", "arm", "336") == 0
    assert "ppoll" in capsys.readouterr().out
    assert rows(atlas, capsys, "syscall", "--arch", "i386", "336")[0]["name"] == "perf_event_open"
    assert rows(atlas, capsys, "syscall", "--arch", "armv7l", "3")[0]["elsewhere"] == {"x86_64": 0}


def test_every_kind_answers(atlas: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, key, value in (
        (("syscall", "--arch", "x86_64", "read"), "file", "fs/read_write.c"),
        (("syscall", "--arch", "arm", "fork"), "implemented", False),
        (("event", "spi:spi_transfer_start"), "fields", ["int bus_num"]),
        (("function", "spi_sync.isra.0"), "file", "drivers/spi/spi.c"),
        (("ioctl", "0x40206b00"), "name", "SPI_IOC_MESSAGE"),
        (("module", "spidev"), "config", ["CONFIG_SPI_SPIDEV"]),
        (("file", "./drivers/spi/spidev.c"), "module", "spidev"),
        (("config", "SPI"), "prompt", "SPI support"),
        (("section", "spi subsystem"), "files", 187),
        (("filesystem", "ext4"), "area", "fs:ext4"),
        (("device", "char", "153:0"), "file", "drivers/spi/spidev.c"),
        (("device", "spi"), "area", "drivers:spi"),
    ):
        (found,) = rows(atlas, capsys, *words)
        assert found[key] == value, words
        assert ask(atlas, *words) == 0
        assert capsys.readouterr().out


def test_a_name_of_two_systems_gives_both(atlas: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(atlas, capsys, "event", "spi_transfer_start")
    assert {row["system"] for row in found} == {"spi", "ext4"}


def test_a_configuration_leaves_the_functions_it_builds(
    atlas: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("CONFIG_SPI=y\n# CONFIG_OFF is not set\n")
    assert len(rows(atlas, capsys, "function", "init")) == 2
    (found,) = rows(atlas, capsys, "function", "init", "--config", str(config))
    assert found["file"] == "drivers/spi/spidev.c"


def test_a_kernels_symbols_tell_which_function_it_is(
    atlas: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    symbols = tmp_path / "kallsyms"
    symbols.write_text(
        "0000000000000010 T spi_sync\n0000000000000020 d data\n"
        "0000000000000030 t init.cold\t[spidev]\n"
    )
    (found,) = rows(atlas, capsys, "function", "init", "--kallsyms", str(symbols))
    assert (found["file"], found["module"]) == ("drivers/spi/spidev.c", "spidev")
    symbols.write_text("not a symbol\n")
    assert ask(atlas, "function", "init", "--kallsyms", str(symbols)) == 2
    assert "line 1" in capsys.readouterr().err


def test_what_is_not_there_is_said_with_what_is_near(
    atlas: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, near in (
        (("syscall", "--arch", "arm", "raed"), "near it: read"),
        (("syscall", "--arch", "x86_64", "ppoll"), "it is on arm 336"),
        (("event", "spi:spi_transfer_strat"), "near it: spi:spi_transfer_start"),
        (("function", "spi_snyc"), "near it: spi_sync"),
        (("module", "spdev"), "near it: spidev"),
        (("file", "drivers/spi/spidevv.c"), "near it: drivers/spi/spidev.c"),
    ):
        assert ask(atlas, *words) == 1
        assert near in capsys.readouterr().err
    assert ask(atlas, "ioctl", "0xffffffff") == 1
    assert ask(atlas, "--json", "module", "spdev") == 1
    assert '"rows": []' in capsys.readouterr().out


def test_an_unknown_architecture_is_a_wrong_command_line(
    atlas: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(atlas, "syscall", "--arch", "amr", "3") == 2
    assert "arm" in capsys.readouterr().err


def test_nearest_prefers_what_differs_least() -> None:
    assert nearest("openta", ["openat", "openat2", "open", "close"])[0] == "openat"
    assert nearest("zzzz", ["openat"]) == ()
