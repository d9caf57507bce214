"""Recordings of real commands, and what is left when something goes wrong in one."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard

from needs import TRACING, TURN, needs

KFOOT = [sys.executable, "-m", "kfoot"]
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}


@pytest.fixture(autouse=True)
def _nothing_left_in_tracefs() -> Iterator[None]:
    """Of any kfoot that this test started and that has ended."""
    TURN.take()
    yield
    instances = TRACING / "instances"
    if os.access(instances, os.R_OK):
        # Turning all events off takes the kernel seconds when both CPUs are busy.
        assert wait_for(lambda: not _orphans(instances), 60)


def _orphans(instances: Path) -> list[str]:
    return [
        name
        for name in os.listdir(instances)
        if (match := re.match(r"kfoot-(\d+)-", name)) and not Path(f"/proc/{match[1]}").exists()
    ]


def wait_for(true: Callable[[], object], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def kfoot(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KFOOT, *words], capture_output=True, text=True, env=ENV, check=False, timeout=300, **more
    )


def start(*words: str, **more: Any) -> subprocess.Popen[bytes]:
    # pytest may itself run with SIGINT ignored, as a script's background job.
    return subprocess.Popen(
        [*KFOOT, *words],
        env=ENV,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **more,
    )


def manifest(capture: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((capture / "manifest.json").read_bytes())
    return found


def raw(capture: Path, name: str) -> bytes:
    packed = capture / "raw" / f"{name}.zst"
    if packed.exists():
        with packed.open("rb") as file:
            return zstandard.ZstdDecompressor().stream_reader(file).read()
    return (capture / "raw" / name).read_bytes()


def kinds(capture: Path) -> list[str]:
    return [loss["kind"] for loss in manifest(capture)["losses"]]


def child_of(pid: int, comm: str) -> int | None:
    """A process of that name which is a child of ``pid``."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _, tail = entry.read_text(errors="replace").rpartition(")")
            if int(tail.split()[1]) == pid and head.partition("(")[2] == comm:
                return int(entry.parent.name)
    return None


def test_strace_records_from_execve_to_exit(tmp_path: Path) -> None:
    needs("strace")
    done = kfoot("run", "--collector", "strace", "-o", "a", "--", "cat", "/dev/null", cwd=tmp_path)
    assert done.returncode == 0
    lines = raw(tmp_path / "a.kfoot", "strace.txt").decode().splitlines()
    calls = [line for line in lines if not re.search(r"^\d+ +[\d.]+ (---|\+\+\+)", line)]
    assert " execve(" in calls[0]
    assert '"/dev/null"' in "".join(calls)
    assert lines[-1].endswith("+++ exited with 0 +++")
    kept = manifest(tmp_path / "a.kfoot")
    assert (kept["closed"], kept["losses"], kept["exit_status"]) == (True, [], 0)
    assert kept["not_recorded"] == ["trace events: ftrace was not asked for"]


def test_root_gets_strace_and_events_of_one_run(tmp_path: Path) -> None:
    needs("strace", "tracefs")
    script = "ls /proc | cat >/dev/null"
    done = kfoot(
        "run", "--collector", "strace+ftrace", "-o", "a", "--", "sh", "-c", script, cwd=tmp_path
    )
    assert done.returncode == 0
    capture = tmp_path / "a.kfoot"
    kept = manifest(capture)
    assert [entry["name"] for entry in kept["collectors"]] == ["strace", "ftrace"]
    assert kept["losses"] == []
    info = json.loads(raw(capture, "ftrace/info.json"))
    assert info["gate"] == kept["extra"]["gate"]
    stats = raw(capture, "ftrace/stats.txt").decode()
    assert sum(map(int, re.findall(r"read events: (\d+)", stats))) > 500
    for cpu in info["cpus"]:
        with suppress(FileNotFoundError):
            assert len(raw(capture, f"ftrace/cpu{cpu}.pages")) % info["page_bytes"] == 0
    formats = raw(capture, "ftrace/formats.txt").decode()
    assert "# raw_syscalls/sys_enter\nname: sys_enter\n" in formats


def test_every_page_holds_what_the_kernel_counted(tmp_path: Path) -> None:
    """The kernel's own count of events read against those in the pages kept (their commit fields
    and records are walked here, independently of the reader)."""
    needs("tracefs")
    kfoot("run", "--collector", "ftrace", "-o", "a", "--", "ls", "-lR", "/etc", cwd=tmp_path)
    capture = tmp_path / "a.kfoot"
    stats = raw(capture, "ftrace/stats.txt").decode()
    read = sum(map(int, re.findall(r"read events: (\d+)", stats)))
    size = json.loads(raw(capture, "ftrace/info.json"))["page_bytes"]
    walked = 0
    for path in sorted((capture / "raw" / "ftrace").glob("cpu*.pages*")):
        data = raw(capture, f"ftrace/{path.name.removesuffix('.zst')}")
        walked += sum(_records(data[at : at + size]) for at in range(0, len(data), size))
    assert walked == read > 1000


def _records(page: bytes) -> int:
    """Data records of one sub-buffer (include/linux/ring_buffer.h, enum ring_buffer_type)."""
    at, end, count = 16, 16 + (int.from_bytes(page[8:16], "little") & 0xFFFFF), 0
    while at < end:
        head = int.from_bytes(page[at : at + 4], "little")
        kind = head & 31
        array = int.from_bytes(page[at + 4 : at + 8], "little")
        if kind == 29:
            at += 4 + array
        elif kind in (30, 31):
            at += 8
        else:
            count += 1
            at += 4 + (array if kind == 0 else kind * 4)
    return count


def test_a_daemon_that_forks_twice_is_followed(tmp_path: Path) -> None:
    needs("strace")
    script = "(setsid sh -c 'sleep 0.5; echo late > witness' &) ; exit 4"
    done = kfoot("run", "--collector", "strace", "-o", "a", "--", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 4
    assert (tmp_path / "witness").read_text() == "late\n"
    assert b'witness"' in raw(tmp_path / "a.kfoot", "strace.txt")


def _tiny(folder: Path) -> None:
    """Builds the 32-bit program ``tiny``, which exits with status 3."""
    subprocess.run(
        ["gcc", "-m32", "-static", "-x", "c", "-", "-o", "tiny"],
        input="int main(void){return 3;}",
        text=True,
        cwd=folder,
        check=True,
    )


def test_a_32_bit_process_is_announced(tmp_path: Path) -> None:
    needs("strace", "gcc-32-bit")
    _tiny(tmp_path)
    done = kfoot("run", "--collector", "strace", "-o", "a", "./tiny", cwd=tmp_path)
    assert done.returncode == 3
    assert b"runs in 32 bit mode" in raw(tmp_path / "a.kfoot", "strace.txt")


def test_a_32_bit_process_among_others_is_kept_apart_by_both_collectors(tmp_path: Path) -> None:
    needs("strace", "tracefs", "gcc-32-bit")
    _tiny(tmp_path)
    script = "./tiny; true; exec ./tiny"
    done = kfoot(
        "run", "--collector", "strace+ftrace", "-o", "a", "--", "sh", "-c", script, cwd=tmp_path
    )
    assert done.returncode == 3
    footprint = json.loads((tmp_path / "a.kfoot" / "footprint.json").read_bytes())
    assert footprint["evidence"]["losses"] == []
    (check,) = footprint["evidence"]["checks"]
    assert check["differences"] == []
    assert {"x86_64", "i386"} <= {row["abi"] for row in footprint["syscalls"]}


def test_trace_events_are_counted_where_tracefs_is_not_mounted(tmp_path: Path) -> None:
    needs("root", "bpf", "tracefs")
    script = f"umount {TRACING} && exec {' '.join(KFOOT)} run -o a -- true"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=tmp_path,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept = manifest(tmp_path / "a.kfoot")
    assert [entry["name"] for entry in kept["collectors"]] == ["bpf"]
    assert kept["collectors"][0]["options"]["events"] > 100
    assert os.path.ismount(TRACING), "the mount namespace was to be a private one"


def test_where_ptrace_is_forbidden_it_says_so(tmp_path: Path) -> None:
    """It is forbidden to whoever is traced already."""
    needs("strace", "tracefs")
    done = subprocess.run(
        ["strace", "-f", "-o", os.devnull, *KFOOT, "run", "--collector", "strace", "--", "true"],
        cwd=tmp_path,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert "ptrace(2) is not permitted here" in done.stderr
    assert os.listdir(tmp_path) == []


def test_an_ordinary_user_gets_strace_and_hears_what_is_missing(tmp_path: Path) -> None:
    needs("root", "strace")
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    # The tests' own interpreter may lie in root's home.
    paths = [ENV["PYTHONPATH"], *(path for path in sys.path if path.endswith("site-packages"))]
    env = {**ENV, "PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    check = "import kfoot.collect.session, zstandard, pyarrow"
    python = next(
        (
            name
            for name in (sys.executable, "/usr/bin/python3")
            if subprocess.run([*user, name, "-c", check], env=env, capture_output=True).returncode
            == 0
        ),
        None,
    )
    if python is None:
        pytest.skip("no interpreter that an ordinary user may run")
    home = Path("/tmp") / f"kfoot-test-{os.getpid()}"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    try:
        done = subprocess.run(
            [*user, python, "-m", "kfoot", "run", "-o", "a", "--", "sh", "-c", "exit 6"],
            cwd=home,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 6, done.stderr
        kept = manifest(home / "a.kfoot")
        assert [entry["name"] for entry in kept["collectors"]] == ["strace"]
        assert kept["losses"] == []
        assert "trace events: only root may use tracefs (sudo kfoot ...)" in kept["not_recorded"]
    finally:
        shutil.rmtree(home)


def test_closed_standard_files_stay_closed(tmp_path: Path) -> None:
    needs("strace")
    script = f"{' '.join(KFOOT)} run --quiet -o a -- sh -c 'ls -l /proc/$$/fd >seen' <&- >&- 2>&-"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=ENV, check=False)
    plain = "sh -c 'ls -l /proc/$$/fd >plain' <&- >&- 2>&-"
    subprocess.run(["sh", "-c", plain], cwd=tmp_path, check=True)

    def open_files(name: str) -> list[str]:
        return re.findall(r" (\d+) -> ", (tmp_path / name).read_text())

    assert open_files("seen") == open_files("plain")
    assert manifest(tmp_path / "a.kfoot")["losses"] == []


@pytest.mark.parametrize(
    ("command", "status"), [(["no-such-program"], 127), (["/etc/passwd"], 126), (["/etc"], 126)]
)
def test_what_cannot_run_leaves_no_capture(command: list[str], status: int, tmp_path: Path) -> None:
    done = kfoot("run", "--", *command, cwd=tmp_path)
    assert done.returncode == status
    assert done.stderr.startswith("kfoot: cannot run")
    assert os.listdir(tmp_path) == []


def test_a_missing_interpreter_leaves_no_capture(tmp_path: Path) -> None:
    needs("strace")
    (tmp_path / "script").write_text("#!/no/such\n")
    (tmp_path / "script").chmod(0o755)
    done = kfoot("run", "-o", "a", "--", "./script", cwd=tmp_path)
    assert done.returncode == 127
    assert os.listdir(tmp_path) == ["script"]


def test_killing_the_workload_is_its_exit_status(tmp_path: Path) -> None:
    needs("strace")
    done = kfoot(
        "run", "--collector", "strace", "-o", "a", "--", "sh", "-c", "kill -9 $$", cwd=tmp_path
    )
    assert done.returncode == 137
    kept = manifest(tmp_path / "a.kfoot")
    assert (kept["exit_status"], kept["signal"], kept["closed"]) == (137, "SIGKILL", True)
    assert kept["losses"] == []
    assert b"+++ killed by SIGKILL +++" in raw(tmp_path / "a.kfoot", "strace.txt")


def test_killing_strace_is_a_loss_and_the_workload_goes_on(tmp_path: Path) -> None:
    needs("strace")
    script = "touch on; sleep 1; exit 5"
    command = ["run", "--collector", "strace+ftrace", "-o", "a", "--", "sh", "-c", script]
    process = start(*command, cwd=tmp_path)
    assert wait_for((tmp_path / "on").exists)
    tracer = child_of(process.pid, "strace")
    assert tracer is not None
    os.kill(tracer, signal.SIGKILL)
    assert process.wait(120) == 5
    assert "detached" in kinds(tmp_path / "a.kfoot")
    assert manifest(tmp_path / "a.kfoot")["closed"]


def test_killing_kfoot_leaves_nothing_behind_and_a_capture_that_opens(tmp_path: Path) -> None:
    needs("strace")
    script = "touch on; exec sleep 2"
    command = ["run", "--collector", "strace+ftrace", "-o", "a", "--", "sh", "-c", script]
    process = start(*command, cwd=tmp_path)
    assert wait_for((tmp_path / "on").exists)
    # The file is there before the shell has become `sleep`.
    assert wait_for(lambda: child_of(process.pid, "sleep"))
    workload = child_of(process.pid, "sleep")
    tracer = child_of(process.pid, "strace")
    assert workload
    assert tracer
    process.kill()
    process.wait(10)
    # The tracer lets go; the workload goes on, as it would without kfoot.
    assert wait_for(lambda: not Path(f"/proc/{tracer}").exists())
    assert Path(f"/proc/{workload}").exists()
    kept = manifest(tmp_path / "a.kfoot")
    assert kept["closed"] is False
    assert "strace.txt" in kept["collectors"][0]["files"]
    assert b"execve" in raw(tmp_path / "a.kfoot", "strace.txt")
    shown = kfoot("show", "a.kfoot", cwd=tmp_path)
    assert shown.returncode == 3, shown.stderr
    assert "not closed" in shown.stdout


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    needs("strace")
    script = "trap 'exit 44' TERM; touch on; while :; do sleep 0.05; done"
    process = start(
        "run", "--collector", "strace", "-o", "a", "--", "sh", "-c", script, cwd=tmp_path
    )
    assert wait_for((tmp_path / "on").exists)
    process.terminate()
    assert process.wait(120) == 44
    assert manifest(tmp_path / "a.kfoot")["closed"]
    assert kinds(tmp_path / "a.kfoot") == []


def test_interrupting_the_wait_for_a_daemon_keeps_what_there_is(tmp_path: Path) -> None:
    needs("strace")
    script = "setsid sleep 30 & echo $! > on.part; mv on.part on"
    process = start(
        "run", "--collector", "strace", "-o", "a", "--", "sh", "-c", script, cwd=tmp_path
    )
    assert wait_for((tmp_path / "on").exists)
    daemon = int((tmp_path / "on").read_text())
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    assert Path(f"/proc/{daemon}").exists()
    os.kill(daemon, signal.SIGKILL)
    assert kinds(tmp_path / "a.kfoot") == ["detached"]


def terminal(command: list[str], folder: Path, typed: list[tuple[str, bytes]]) -> tuple[int, str]:
    """Run in a terminal of its own; once a text is seen, type the bytes beside it."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(command[0], command, ENV)
    seen = b""
    todo = list(typed)
    end = time.monotonic() + 60
    with suppress(OSError):
        while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            piece = os.read(fd, 65536)
            if not piece:
                break
            seen += piece
            if todo and todo[0][0].encode() in seen:
                os.write(fd, todo.pop(0)[1])
    os.close(fd)  # should it still run, it gets SIGHUP
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, seen.decode(errors="replace")


def test_ctrl_c_reaches_the_workload_once_and_kfoot_keeps_the_recording(tmp_path: Path) -> None:
    needs("strace")
    script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    command = [*KFOOT, "run", "--collector", "strace", "-o", "a", "--", "sh", "-c", script]
    status, seen = terminal(command, tmp_path, [("ready", b"\x03")])
    assert status == 7
    assert seen.count("caught\r\n") == 1
    kept = manifest(tmp_path / "a.kfoot")
    assert (kept["closed"], kept["losses"], kept["exit_status"]) == (True, [], 7)


def test_ctrl_c_kills_a_workload_that_does_not_handle_it(tmp_path: Path) -> None:
    needs("strace")
    command = [
        *KFOOT,
        "run",
        "--collector",
        "strace",
        "-o",
        "a",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 30",
    ]
    status, _ = terminal(command, tmp_path, [("ready", b"\x03")])
    assert status == 130
    assert manifest(tmp_path / "a.kfoot")["signal"] == "SIGINT"


def test_a_workload_may_read_the_terminal(tmp_path: Path) -> None:
    needs("strace")
    script = "printf 'name? '; read name; echo hello $name; tty; stty size"
    command = [*KFOOT, "run", "--collector", "strace", "-o", "a", "--", "sh", "-c", script]
    status, seen = terminal(command, tmp_path, [("name? ", b"world\n")])
    assert status == 0
    assert "hello world" in seen
    assert "/dev/pts/" in seen


def test_ctrl_z_stops_the_job_and_fg_continues_it(tmp_path: Path) -> None:
    """In a shell with job control: also for a workload that only stops itself, as editors do."""
    needs("strace")
    itself = {"typed": "", "self": "kill -STOP $$;"}
    for name, stop in itself.items():
        (tmp_path / name).write_text(f"echo ready; {stop} sleep 0.5; echo woke; exit 3")
        status, seen = terminal(
            ["/usr/bin/env", "PS1=$ ", "/bin/bash", "--norc", "-i"],
            tmp_path,
            [
                (
                    "$ ",
                    f"{' '.join(KFOOT)} run --collector strace -o {name} -- sh {name}\n".encode(),
                ),
                ("ready", b"" if stop else b"\x1a"),
                ("Stopped", b"fg\n"),
                ("woke", b"exit $?\n"),
            ],
        )
        assert status == 3, seen
        assert manifest(tmp_path / f"{name}.kfoot")["exit_status"] == 3


def test_a_full_disk_is_a_loss_in_a_valid_capture(tmp_path: Path) -> None:
    needs("root", "strace", "tracefs")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tiny", str(disk)], check=True)
    try:
        listing = ["ls", "-lR", "/usr/lib/python3"]
        done = kfoot(
            "run", "--collector", "strace+ftrace", "-o", "disk/a", "--", *listing, cwd=tmp_path
        )
        assert done.returncode == 0
        kept = manifest(disk / "a.kfoot")
        assert kept["closed"] is True
        assert "disk_full" in kinds(disk / "a.kfoot")
        info = json.loads(raw(disk / "a.kfoot", "ftrace/info.json"))
        for path in (disk / "a.kfoot" / "raw" / "ftrace").glob("cpu*.pages"):
            assert path.stat().st_size % info["page_bytes"] == 0
        for name, digest in kept["sha256"].items():
            done_sum = subprocess.run(
                ["sha256sum", str(disk / "a.kfoot" / name)], capture_output=True, text=True
            )
            assert done_sum.stdout.split()[0] == digest
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_no_room_at_all_is_a_clear_error(tmp_path: Path) -> None:
    needs("root", "strace")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tiny", str(disk)], check=True)
    try:
        done = kfoot("run", "-o", "disk/a", "--", "true", cwd=tmp_path)
        assert done.returncode == 125
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_replicates_are_captures_of_their_own(tmp_path: Path) -> None:
    needs("strace")
    done = kfoot(
        "run", "--collector", "strace", "--repeat", "2", "-o", "a.kfoot", "false", cwd=tmp_path
    )
    assert done.returncode == 1
    assert sorted(os.listdir(tmp_path)) == ["a-1.kfoot", "a-2.kfoot"]


def test_watching_the_whole_system(tmp_path: Path) -> None:
    needs("tracefs")
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = kfoot("watch", "--duration", "1s", "--trim-tail", "0.25s", "-o", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    capture = tmp_path / "a.kfoot"
    kept = manifest(capture)
    assert kept["losses"] == []
    window = kept["window"]
    assert before < window["from_s"] < window["to_s"]
    assert window["to_s"] - window["from_s"] == pytest.approx(0.75, abs=0.3)
    options = kept["collectors"][0]["options"]
    assert options["scope"] == "system"
    assert options["events_refused"] == 0
    assert {"before.json", "after.json"} <= set(os.listdir(capture / "system"))
    assert raw(capture, "ftrace/tasks.txt").startswith(b"1\t1\t0\t")


@pytest.mark.slow
def test_elisas_procedure_in_small(tmp_path: Path) -> None:
    """Issue 2, show 7: a busy system, all events, no overrun, the tail left out, their tables."""
    needs("tracefs")
    busy = (
        "while :; do find /usr/share >/dev/null; dd if=/dev/zero of=x bs=4k count=99; sleep 1; done"
    )
    with subprocess.Popen(
        ["sh", "-c", busy], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    ) as load:
        words = ["watch", "--duration", "20s", "--trim-tail", "3s", "-o", "a"]
        done = subprocess.run(
            [*KFOOT, *words], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False
        )
        os.killpg(load.pid, signal.SIGKILL)
    assert done.returncode == 0, done.stderr
    capture = tmp_path / "a.kfoot"
    kept = manifest(capture)
    assert kept["losses"] == []
    assert kept["collectors"][0]["options"]["events_refused"] == 0
    assert kept["window"]["trimmed_s"] == 3
    assert kept["window"]["to_s"] - kept["window"]["from_s"] == pytest.approx(17, abs=1)
    footprint = json.loads((capture / "footprint.json").read_bytes())
    assert footprint["evidence"]["valid"]
    events = {(row["system"], row["name"]): row["count"] for row in footprint["events"]}
    assert events["sched", "sched_switch"] > 100
    calls = {row["name"]: row["calls"] for row in footprint["syscalls"]}
    assert calls["getdents64"] > 1000
    assert {"vfs", "mm", "process"} <= {row["name"] for row in footprint["areas"]}
    for when in ("before", "after"):
        assert json.loads((capture / "system" / f"{when}.json").read_bytes())["interrupts"]


def test_watching_ends_with_the_process_it_watches(tmp_path: Path) -> None:
    needs("tracefs")
    with subprocess.Popen(["sleep", "2"]) as sleeper:
        began = time.monotonic()
        done = kfoot(
            "watch", "--duration", "900s", "--pid", str(sleeper.pid), "-o", "a", cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 290


def test_ctrl_c_ends_watching_early_and_keeps_everything(tmp_path: Path) -> None:
    needs("tracefs")
    process = start("watch", "--duration", "50s", "--trim-tail", "20s", "-o", "a", cwd=tmp_path)
    # Saved once before, once when the recording has begun.
    assert wait_for(lambda: (tmp_path / "a.kfoot/raw/ftrace/cpu0.pages").exists())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    kept = manifest(tmp_path / "a.kfoot")
    assert kept["closed"]
    assert "the tail is in" in kept["not_recorded"][-1]


def test_watching_a_cgroup_follows_its_tasks_only(tmp_path: Path) -> None:
    needs("tracefs")
    roots = [Path("/sys/fs/cgroup"), *sorted(Path("/sys/fs/cgroup").iterdir())]
    group = next((root / f"kfoot-test-{os.getpid()}" for root in roots if _mkdir(root)), None)
    if group is None:
        pytest.skip("no cgroup can be made here")
    loop = ["sh", "-c", "while :; do :; ls /proc >/dev/null; sleep 0.05; done"]
    with subprocess.Popen(loop) as inside:
        try:
            (group / "cgroup.procs").write_text(str(inside.pid))
            done = kfoot(
                "watch", "--collector", "ftrace", "--duration", "0.5s", "--cgroup", str(group),
                "-o", "a", cwd=tmp_path,
            )  # fmt: skip
        finally:
            inside.kill()
            inside.wait()
            assert wait_for(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()
    assert done.returncode == 0, done.stderr
    tasks = raw(tmp_path / "a.kfoot", "ftrace/tasks.txt").decode().splitlines()
    assert f"{inside.pid}\t{inside.pid}\t{os.getpid()}\tsh" in tasks
    assert kinds(tmp_path / "a.kfoot") == []


def _mkdir(root: Path) -> bool:
    with suppress(OSError):
        (root / f"kfoot-test-{os.getpid()}").mkdir()
        return (root / f"kfoot-test-{os.getpid()}" / "cgroup.procs").exists()
    return False


def test_nohup_holds_for_watching(tmp_path: Path) -> None:
    needs("tracefs")
    process = subprocess.Popen(
        ["nohup", *KFOOT, "watch", "--collector", "ftrace", "--duration", "1.5s", "-o", "a"],
        env=ENV,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_for((tmp_path / "a.kfoot/raw/ftrace/cpu0.pages").exists)
    process.send_signal(signal.SIGHUP)
    assert process.wait(120) == 0
    kept = manifest(tmp_path / "a.kfoot")
    assert kept["ended"] - kept["started"] > 1.4


def test_a_stale_instance_is_removed_by_the_next_who_comes(tmp_path: Path) -> None:
    needs("tracefs")
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = TRACING / "instances" / f"kfoot-{gone.pid}-1-1"
    stale.mkdir()
    assert stale.name in kfoot("doctor").stdout
    assert f"removed the stale tracing instance {stale.name}" in kfoot("doctor", "--fix").stderr
    assert not stale.exists()


def test_an_unknown_collector_is_kfoots_failure(tmp_path: Path) -> None:
    done = kfoot("run", "--collector", "guess", "true", cwd=tmp_path)
    assert done.returncode == 125
    assert "there is no collector 'guess'" in done.stderr


@pytest.mark.parametrize("words", [["run", "--nosuch", "true"], ["run"], ["watch", "--pid", "x"]])
def test_a_wrong_command_line_does_not_look_like_the_workloads_failure(words: list[str]) -> None:
    done = kfoot(*words)
    assert done.returncode == 125
    assert "kfoot" in done.stderr
