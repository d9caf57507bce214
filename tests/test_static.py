"""The static views: of a kernel by its configuration, and of a workload by its files."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kfoot.atlas import open_atlas
from kfoot.cli import main
from kfoot.errors import InputError
from kfoot.static import document, elf, image, page, workload
from kfoot.static.config import KernelConfig
from kfoot.static.packages import Packages
from kfoot.static.system import Kernel, view

CONFIG = """#
# Automatically generated file; DO NOT EDIT.
# Linux/arm64 6.12.117 Kernel Configuration
#
CONFIG_ARM64=y
CONFIG_64BIT=y
CONFIG_MMU=y
CONFIG_NET=y
CONFIG_INET=m
CONFIG_SPI=y
CONFIG_SPI_SPIDEV=m
# CONFIG_FUTEX is not set
CONFIG_STACKPROTECTOR=y
CONFIG_LOCALVERSION="-x"
"""


def kernel(text: str = CONFIG, **other: Any) -> Kernel:
    config = KernelConfig(text, "config")
    values = {
        "release": config.release,
        "version": None,
        "machine": config.machine(),
        "config": config,
        "config_text": text,
        "builtin": None,
        "loaded": None,
        "sysctl": {},
        "command_line": None,
        "lockdown": None,
    }
    return Kernel(**(values | other))


@pytest.fixture(scope="module")
def arm64() -> dict[str, Any]:
    return view(kernel(), open_atlas("6.12.117"))


def test_the_configuration_says_machine_and_release() -> None:
    config = KernelConfig(CONFIG, "x")
    assert (config.machine(), config.release) == ("aarch64", "6.12.117")
    assert KernelConfig("CONFIG_MIPS=y\n", "x").machine() == "mips"
    assert KernelConfig("", "x").machine() is None


@pytest.mark.parametrize(
    ("conditions", "how"),
    [
        (("CONFIG_SPI",), "y"),
        (("CONFIG_SPI", "CONFIG_SPI_SPIDEV"), "m"),
        (("CONFIG_NOPE",), "n"),
        (("!CONFIG_NOPE",), "y"),
        (("!CONFIG_INET",), "n"),
        ((), "y"),
    ],
)
def test_what_a_configuration_builds(conditions: tuple[str, ...], how: str) -> None:
    assert KernelConfig(CONFIG, "x").builds(conditions) == how


def test_calls_configured_out_name_the_option(arm64: dict[str, Any]) -> None:
    calls = {(row["abi"], row["name"]): row for row in arm64["syscalls"]}
    assert calls["arm64", "futex"]["state"] == "configured out"
    assert calls["arm64", "futex"]["without"] == ["CONFIG_FUTEX"]
    assert calls["arm64", "read"]["state"] == "supported"
    assert calls["arm64", "nfsservctl"]["state"] == "not implemented"


def test_an_abi_that_is_off_is_said_and_its_calls_are_left_out(arm64: dict[str, Any]) -> None:
    abis = {row["abi"]: row for row in arm64["abis"]}
    assert abis["arm64"]["enabled"] is True
    assert abis["arm"]["enabled"] is False
    assert abis["arm"]["supported"] is None
    assert {row["abi"] for row in arm64["syscalls"]} == {"arm64"}
    numbers = abis["arm64"]
    assert numbers["numbers"] == (
        numbers["supported"] + numbers["configured_out"] + numbers["not_implemented"]
    )


def test_features_stand_beside_the_configuration(arm64: dict[str, Any]) -> None:
    features = {row["feature"]: row for row in arm64["features"]}
    assert features["jump-labels"]["status"] == "ok"
    assert features["jump-labels"]["value"] == "n"


def test_modules_the_configuration_builds(arm64: dict[str, Any]) -> None:
    modules = {row["name"]: row for row in arm64["modules"]}
    assert modules["spidev"]["state"] == "module"
    assert modules["spidev"]["section"] == "SPI SUBSYSTEM"
    assert "ext4" not in modules
    sections = {row["section"]: row for row in arm64["sections"]}
    assert sections["SPI SUBSYSTEM"]["modules"] >= 1
    assert not [row for row in arm64["modules"] if (row["file"] or "").startswith("arch/x86/")]


def test_protections_are_on_off_or_not_known(arm64: dict[str, Any]) -> None:
    on = {row["option"]: row["on"] for row in arm64["protections"]}
    assert on["CONFIG_STACKPROTECTOR"] is True
    assert on["CONFIG_KFENCE"] is False
    assert on["CONFIG_USER_NS"] is True  # wanted: n
    assert "CONFIG_X86_KERNEL_IBT" not in on
    unknown = view(kernel(config=None, config_text=None, machine="aarch64"), open_atlas())
    assert {row["on"] for row in unknown["protections"]} == {None}
    assert any("configuration" in note for note in unknown["notes"])


def test_an_unknown_machine_is_said() -> None:
    seen = view(kernel(machine="vax"), open_atlas())
    assert seen["abis"] == seen["syscalls"] == []
    assert any("vax" in note for note in seen["notes"])


def test_documents_in_three_dresses(arm64: dict[str, Any]) -> None:
    shown = page.system(arm64)
    text = document.terminal(shown)
    assert "CONFIG_STACKPROTECTOR" in text
    assert "arm64 (native)" in text
    markdown = document.markdown(shown)
    assert "## System calls" in markdown
    assert markdown.count("\n| arm64 |") >= 300
    html = document.html(shown)
    assert "<script>" in html
    assert "http" not in html.replace("http-equiv", "")


def test_hostile_words_stay_words() -> None:
    shown = document.Document(
        "<b>\x1b[31m",
        [("a", "|<script>\n")],
        ["\u202e"],
        [document.Table("t", "T", "about", ("x",), [("`|<i>\x07",)], brief=1)],
    )
    for text in (document.terminal(shown), document.markdown(shown), document.html(shown)):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
    assert "<script>\\n" not in document.html(shown)
    assert "<i>" not in document.html(shown)


# --- the command ---


def test_json_of_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.gz"
    file.write_bytes(gzip.compress(CONFIG.encode()))
    assert main(["static", "--config", str(file), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["kernel"]["architecture"] == "arm64"


def test_this_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["static", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["kernel"]["release"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert seen["abis"][0]["numbers"] > 300


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bbroken", b"hello\n"])
def test_a_file_that_is_no_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    assert main(["static", "--config", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


# --- kernel images ---


@pytest.mark.parametrize("packing", ["plain", "gzip", "xz", "zstd"])
def test_an_image_tells_release_and_configuration(tmp_path: Path, packing: str) -> None:
    import lzma

    import zstandard

    config = b"IKCFG_ST" + gzip.compress(CONFIG.encode()) + b"IKCFG_ED"
    inner = b"\0" * 500 + b"Linux version 6.12.117-rt (gcc) #1\0" + config + b"\0" * 100
    packed = {
        "plain": inner,
        "gzip": gzip.compress(inner),
        "xz": lzma.compress(inner),
        "zstd": zstandard.compress(inner),
    }[packing]
    file = tmp_path / "vmlinuz"
    file.write_bytes(b"MZ" + b"\0" * 1000 + packed + b"trailer")
    assert image.read(file) == image.KernelImage("6.12.117-rt", None, CONFIG)


def test_a_boot_image_without_readable_payload(tmp_path: Path) -> None:
    data = bytearray(0x400)
    data[0x202:0x206] = b"HdrS"
    data[0x236] = 1
    data[0x20E:0x210] = (0x100).to_bytes(2, "little")
    data[0x300:0x330] = b"6.1.0-26-amd64 (debian) #1 SMP".ljust(0x30, b"\0")
    file = tmp_path / "bzImage"
    file.write_bytes(bytes(data))
    assert image.read(file) == image.KernelImage("6.1.0-26-amd64", "x86_64", None)


def test_what_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"\x1f\x8b\x08" * 50)
    with pytest.raises(InputError, match="no kernel version"):
        image.read(file)


# --- workloads ---


def ldd(program: str) -> set[str]:
    """What the dynamic loader itself finds: the independent source."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    paths = [word for line in done.stdout.split("\n") for word in line.split() if "/" in word]
    return {str(Path(path).resolve()) for path in paths}


@pytest.mark.parametrize("name", ["ls", "grep", "perl", "apt-get", "gdb", "git"])
def test_libraries_are_those_the_loader_finds(name: str) -> None:
    program = shutil.which(name)
    if program is None or not shutil.which("ldd"):
        pytest.skip(f"no {name} or no ldd here")
    seen = workload.view([program])
    mine = {str(Path(f["path"]).resolve()) for f in seen["files"] if f["role"] != "program"}
    assert mine == ldd(program)
    assert not seen["notes"]


def test_packages_are_those_dpkg_names() -> None:
    if not shutil.which("dpkg-query"):
        pytest.skip("no dpkg here")
    libc = next(f for f in workload.view(["ls"])["files"] if "/libc.so" in f["path"])
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}\n", "libc6"], capture_output=True, text=True
    )
    assert libc["package"] == "deb:libc6"
    assert libc["version"] == done.stdout.split("\n")[0]


def test_a_script_goes_through_its_interpreters(tmp_path: Path) -> None:
    script = tmp_path / "s"
    script.write_text("#!/usr/bin/env -S python3 -I\n")
    script.chmod(0o755)
    roles = [(f["path"], f["role"]) for f in workload.view([str(script)])["files"]]
    assert roles[0] == (str(script), "program")
    assert (shutil.which("env"), "interpreter") in roles
    assert (shutil.which("python3"), "interpreter") in roles


def test_a_script_that_interprets_itself_ends(tmp_path: Path) -> None:
    script = tmp_path / "s"
    script.write_text(f"#!{script}\n")
    script.chmod(0o755)
    assert len(workload.view([str(script)])["files"]) == 1


def test_pypi_and_npm_packages_with_what_they_need(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.11/site-packages"
    for name, needs in (("tool", "Requires-Dist: helper>=1\n"), ("helper", "")):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{needs}\ntext\n")
        (info / "RECORD").write_text(f"../../../bin/{name},,\n{name}.py,,\n")
    program = tmp_path / "bin/tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = {(p["kind"], p["name"]): p for p in workload.view([str(program)])["packages"]}
    assert found["pypi", "tool"]["files"] == 1
    assert found["pypi", "helper"]["declared_by"] == ["tool"]

    module = tmp_path / "node_modules/@a/b"
    module.mkdir(parents=True)
    (module / "package.json").write_text('{"name": "@a/b", "version": "2", "dependencies": {}}')
    package = Packages().of(str(module / "cli.js"))
    assert package is not None
    assert (package.kind, package.name, package.version) == ("npm", "@a/b", "2")


def test_a_cut_elf_file_is_a_note_and_no_traceback(tmp_path: Path) -> None:
    whole = Path(sys.executable).resolve().read_bytes()
    for size in (20, 63, 64, 200, 1000):
        program = tmp_path / f"p{size}"
        program.write_bytes(whole[:size])
        program.chmod(0o755)
        assert workload.view([str(program)])["notes"]


def test_an_elf_file_that_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 32, 1 << 63)
    struct.pack_into("<HH", head, 54, 56, 3)
    program = tmp_path / "p"
    program.write_bytes(bytes(head))
    with pytest.raises(InputError, match="cut short"):
        elf.read(program)


def test_a_command_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["static", "--workload", "no-such-command"]) == 2
    assert "there is no command no-such-command" in capsys.readouterr().err
    assert main(["static", "--workload"]) == 2
