"""`kfoot import` from trace files to a footprint."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

import ringwriter as w
from kfoot.capture import SMALL

DATA = Path(__file__).parent / "data"
SRC = Path(__file__).parent.parent / "src"


def kfoot(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, PYTHONPATH=str(SRC))
    command = [sys.executable, "-m", "kfoot", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def footprint(path: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((path / "footprint.json").read_text())
    return found


def test_the_normal_run_is_all_spi(tmp_path: Path) -> None:
    done = kfoot(
        "import", DATA / "strace/strace.mdt-reservoir.txt.zst", "-o", "normal", cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "SPI_IOC_MESSAGE ×315" in done.stderr
    rows = footprint(tmp_path / "normal.kfoot")["ioctls"]
    assert [(row["name"], row["calls"], row["object"], row["area"]) for row in rows] == [
        ("SPI_IOC_MESSAGE", 315, "/dev/spidev5.1", "drivers:spi")
    ]


def test_the_busy_run_shows_the_error_path(tmp_path: Path) -> None:
    source = DATA / "strace/strace.mdt-reservoir.busy.txt.zst"
    done = kfoot(
        "import", source, "--use-case", "busy", "--arch", "x86_64", "-o", "b", cwd=tmp_path
    )
    assert done.returncode == 0
    found = footprint(tmp_path / "b.kfoot")
    assert found["ioctls"] == []
    (flock,) = [row for row in found["syscalls"] if row["name"] == "flock"]
    assert (flock["errnos"], flock["abi"]) == ({"EAGAIN": 1}, "x86_64")
    manifest = json.loads((tmp_path / "b.kfoot/manifest.json").read_text())
    assert (manifest["kind"], manifest["use_case"], manifest["closed"]) == ("import", "busy", True)
    assert (tmp_path / "b.kfoot/raw" / source.name).read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("name", "calls"), [("reservoir", 437), ("tempbasal", 431), ("pumphistory", 248)]
)
def test_published_tables_have_an_area_for_every_row(tmp_path: Path, name: str, calls: int) -> None:
    table = DATA / f"published/openaps_strace_c_{name}.csv"
    assert kfoot("import", table, "-o", name, "--quiet", cwd=tmp_path).returncode == 0
    rows = footprint(tmp_path / f"{name}.kfoot")["syscalls"]
    assert sum(int(str(row["calls"])) for row in rows) == calls
    assert sum(int(str(row["errors"])) for row in rows) == 1
    assert [row["name"] for row in rows if row["area"] is None] == []


def test_a_folder_of_separate_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "README").write_text("not a trace\n")
    fork = "clone(child_stack=NULL, flags=SIGCHLD) = 11\n"
    (folder / "t.10").write_text(f'execve("/a", ["a"], 0x0) = 0\n{fork}+++ exited with 0 +++\n')
    (folder / "t.11").write_text('execve("/b", ["b"], 0x0) = 0\n+++ exited with 1 +++\n')
    done = kfoot("import", folder, "-o", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = footprint(tmp_path / "r.kfoot")["processes"]
    assert [row["argv"] for row in rows][-1] == ["b"]
    assert sorted(p.name for p in (tmp_path / "r.kfoot/raw").iterdir()) == ["t.10", "t.11"]


@pytest.mark.parametrize("name", ["t.txt", "t.txt.gz", "t.txt.xz", "t"])
def test_what_is_packed_already_is_kept_as_it_is(tmp_path: Path, name: str) -> None:
    lines = [f'7 1.{at:06d} openat(AT_FDCWD, "/{at}", O_RDONLY) = 3\n' for at in range(9000)]
    text = "".join(lines).encode()
    packers = {".gz": gzip.compress, ".xz": lzma.compress, "": gzip.compress}
    suffix = Path(name).suffix
    data = packers[suffix](text) if suffix in packers else text
    assert len(data) > SMALL
    (tmp_path / name).write_bytes(data)
    done = kfoot("import", name, "-o", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = footprint(tmp_path / "x.kfoot")["syscalls"]
    assert (row["name"], row["calls"]) == ("openat", 9000)
    (kept,) = (tmp_path / "x.kfoot/raw").iterdir()
    if suffix == ".txt":
        assert kept.name == "t.txt.zst"
        assert zstandard.ZstdDecompressor().decompress(kept.read_bytes()) == text
    else:
        assert (kept.name, kept.read_bytes()) == (name, data)


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.1").write_text('execve("/a", ["a"], 0x0) = 0\n' * 300)
    done = kfoot("import", "a/t.1", "b/t.1", "-o", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = footprint(tmp_path / "x.kfoot")["syscalls"]
    assert row["calls"] == 600
    assert len([p for p in (tmp_path / "x.kfoot/raw").rglob("*") if p.is_file()]) == 2


def test_what_is_no_trace_leaves_no_capture(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    for words in (["text"], ["nothere"], ["."]):
        done = kfoot("import", *words, "-o", "x", cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert words[0] in done.stderr
        assert not (tmp_path / "x.kfoot").exists()


def test_a_lossy_trace_exits_3(tmp_path: Path) -> None:
    (tmp_path / "t").write_text('7 execve("/a", ["a"], 0x0) = 0\nhello\n7 openat(AT_FDCWD, "/x')
    done = kfoot("import", "t", "-o", "x", cwd=tmp_path)
    assert done.returncode == 3
    evidence = json.loads((tmp_path / "x.kfoot/footprint.json").read_text())["evidence"]
    assert not evidence["valid"]
    assert {row["kind"] for row in evidence["losses"]} == {"truncated", "unparsed"}


def test_a_trace_that_does_not_tell_the_abi_is_noted(tmp_path: Path) -> None:
    source = DATA / "mdt-reservoir.arm64.ftrace.txt.zst"
    done = kfoot("import", source, "--arch", "aarch64", "-o", "a", cwd=tmp_path)
    note = "calls named as arm64's: the trace does not tell 32-bit tasks"
    assert note in " ".join(done.stderr.split())
    kept = json.loads((tmp_path / "a.kfoot/footprint.json").read_bytes())
    assert note in kept["evidence"]["notes"]
    done = kfoot("import", source, "--arch", "armv7l", "-o", "b", cwd=tmp_path)
    assert "32-bit" not in done.stderr


def test_a_trace_that_names_its_machine_is_noted_with_it(tmp_path: Path) -> None:
    cpu = w.Cpu()
    cpu.add(100, w.enter(7, 3))
    cpu.add(105, w.leave(7, 3, 0))
    (tmp_path / "t.dat").write_bytes(w.trace_dat_6({0: cpu.data()}, uname=b"Linux b 6.1 aarch64"))
    done = kfoot("import", "t.dat", "-o", "a", cwd=tmp_path)
    assert "calls named as arm64's: the trace does not tell 32-bit tasks" in done.stderr
