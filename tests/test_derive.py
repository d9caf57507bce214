"""From real recordings to footprints: what was run is what is shown."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kfoot import cli
from kfoot.capture import Capture
from kfoot.collect.session import record
from kfoot.footprint import contract, derive, load
from needs import needs

PROGRAM = """
import os, socket, select
a, b = socket.socketpair()
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
e = select.epoll(); e.register(s, 1)
os.eventfd(0)
open("/proc/self/status").read()
open("written", "w").write("x")
open("/dev/zero", "rb").read(1)
try: open("/nonexistent/file")
except OSError: pass
os.system("true")
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """One recording of a program that touches a bit of everything."""
    needs("root", "tracefs", "strace")
    folder = tmp_path_factory.mktemp("derive")
    return record(
        [sys.executable, "-S", "-c", f"import os; os.chdir({str(folder)!r})\n{PROGRAM}"],
        use_case="a bit of everything",
        out=folder / "x.kfoot",
        collector="strace+ftrace",
    )


@pytest.fixture(scope="module")
def footprint(capture: Capture) -> contract.Footprint:
    return derive(capture)


def by_name(rows: list[contract.Row]) -> dict[str, contract.Row]:
    return {row["name"]: row for row in rows}


def test_objects_are_what_they_are(footprint: contract.Footprint) -> None:
    rows = by_name(footprint["objects"])
    assert rows["/dev/zero"]["kind"] == "char"
    assert rows["/dev/zero"]["file"] == "drivers/char/mem.c"
    assert (rows["/proc/<pid>/status"]["driver"], rows["/proc/<pid>/status"]["area"]) == (
        "proc",
        "fs:proc",
    )
    files = {(row["kind"], row["file"]) for row in footprint["objects"]}
    assert ("anon", "fs/eventpoll.c") in files
    assert ("anon", "fs/eventfd.c") in files
    sockets = {row["area"] for row in footprint["objects"] if row["kind"] == "socket"}
    assert {"net:unix", "net:ipv4"} <= sockets
    written = next(row for name, row in rows.items() if name.endswith("/written"))
    assert written["operations"]["write"] == 1
    assert written["area"].startswith("fs:")


def test_a_name_that_was_never_opened_dispatches_nothing(footprint: contract.Footprint) -> None:
    row = by_name(footprint["objects"])["/nonexistent/file"]
    assert (row["kind"], row["operations"]) == ("path", {"openat": 1})
    dispatched = sum(row["dispatched"] for row in footprint["areas"])
    acted = [row for row in footprint["objects"] if row["kind"] != "path" and row["area"]]
    assert dispatched == sum(sum(row["operations"].values()) for row in acted)
    syscalls = by_name(footprint["syscalls"])
    assert syscalls["openat"]["errnos"]["ENOENT"] >= 1


def test_two_recorders_agree_and_the_evidence_is_valid(footprint: contract.Footprint) -> None:
    assert footprint["evidence"]["losses"] == []
    (check,) = footprint["evidence"]["checks"]
    assert check["differences"] == []
    assert check["compared"] == len(footprint["syscalls"])


def test_the_process_tree_begins_with_the_workload(footprint: contract.Footprint) -> None:
    first, *others = footprint["processes"]
    assert first["parent"] is None
    assert first["argv"][:2] == [sys.executable, "-S"]
    assert any(row["argv"][:1] == ["sh"] for row in others)
    assert sum(row["calls"] for row in footprint["processes"]) == sum(
        row["calls"] for row in footprint["syscalls"]
    )


def test_every_tier_of_an_area_is_a_number_or_unmeasured(footprint: contract.Footprint) -> None:
    for row in footprint["areas"]:
        assert row["executed"] is None
        assert all(isinstance(row[tier], int) for tier in ("entered", "dispatched", "traced"))
    entered = sum(row["entered"] for row in footprint["areas"])
    unmapped = sum(r["count"] for r in footprint["unmapped"] if r["kind"] == "syscall")
    assert entered + unmapped == sum(row["calls"] for row in footprint["syscalls"])


def test_derived_again_it_is_the_same_byte_for_byte(
    capture: Capture, footprint: contract.Footprint
) -> None:
    before = capture.footprint_file.read_bytes()
    flows = (capture.path / "flows.json").read_bytes()
    capture.footprint_file.unlink()
    assert load(capture.path) == json.loads(before)
    assert capture.footprint_file.read_bytes() == before
    assert (capture.path / "flows.json").read_bytes() == flows


def _open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


def test_what_was_recorded_is_read_before_it_is_packed_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("root", "tracefs")
    monkeypatch.setattr("kfoot.capture.LARGE", 10_000)
    made = record(["ls", "/"], out=tmp_path / "x.kfoot", collector="ftrace")
    assert any(path.match("cpu*.pages.zst") for path in made.plain)
    assert [path for path in _open_files() if ".pages" in path]
    assert all(path.stat().st_size >= 10_000 for path in made.plain.values())
    # Where the packed files are not looked at, they cannot be missed.
    packed = {path: path.read_bytes() for path in made.plain if path.match("*.pages.zst")}
    for path in packed:
        path.write_bytes(b"")
    manifest, made.manifest.sha256 = made.manifest.sha256, {}
    derive(made)
    for path, data in packed.items():
        path.write_bytes(data)
    made.manifest.sha256 = manifest
    assert made.plain == {}
    assert not [path for path in _open_files() if ".pages" in path]
    first = json.loads(made.footprint_file.read_bytes())
    derive(Capture.open(made.path))
    again = json.loads(made.footprint_file.read_bytes())
    assert first["capture"].pop("raw_sha256") == {}
    assert again["capture"].pop("raw_sha256") == manifest
    assert first == again


def test_an_altered_raw_file_is_not_valid_evidence(
    capture: Capture, footprint: contract.Footprint, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.kfoot"
    shutil.copytree(capture.path, copy)
    system = copy / "system" / "after.json"
    system.write_text(system.read_text().replace("ext4", "ext3", 1) + " ")
    assert cli.main(["derive", str(copy)]) == 3
    assert contract.read(copy / "footprint.json")["evidence"]["altered"] == ["system/after.json"]
    assert cli.main(["show", str(copy), "--json"]) == 3


def test_one_process_can_be_looked_at_alone(capture: Capture) -> None:
    from kfoot.errors import KfootError
    from kfoot.footprint.by_process import derive_process

    shell = derive_process(capture, "sh")
    assert 0 < sum(row["calls"] for row in shell["syscalls"]) < 200
    assert not any(row["area"] == "net:ipv4" for row in shell["objects"])
    with pytest.raises(KfootError, match="no process"):
        derive_process(capture, "nobody")


def test_the_tail_is_trimmed_on_the_clock_of_each_raw_file() -> None:
    from kfoot.capture import Manifest
    from kfoot.footprint.derive import _until

    manifest = Manifest(
        window={"from_s": 10.0, "to_s": 25.0, "trimmed_s": 5.0},
        extra={"clock": {"mono": 10.0, "realtime": 1_000_010.0}},
    )
    assert _until(manifest, "ftrace-pages") == 25.0
    assert _until(manifest, "strace") == 1_000_025.0
    manifest.window["trimmed_s"] = 0.0
    assert _until(manifest, "strace") is None
