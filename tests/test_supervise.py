"""The workload runs as without kfoot, and waits at its gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kfoot.collect.supervise import Ended, Workload, resolve
from kfoot.errors import KfootError

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")}


def ran(*argv: str, env: dict[str, str] | None = None) -> Ended:
    workload = Workload(resolve(argv[0], env), argv, env=env)
    workload.start()
    try:
        workload.release()
        return workload.wait()
    finally:
        workload.close()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_exit_status_is_the_workloads(status: int) -> None:
    assert ran("sh", "-c", f"exit {status}").exit_status == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 3])
def test_death_by_a_signal_is_128_and_its_number(number: int) -> None:
    ended = ran("sh", "-c", f"kill -{int(number)} $$")
    assert ended.status is None
    assert ended.exit_status == 128 + number


def test_not_found_is_127_and_not_executable_126(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("data")
    for name, status in (("no-such-program", 127), (str(plain), 126), (str(tmp_path), 126)):
        with pytest.raises(KfootError) as caught:
            resolve(name)
        assert caught.value.status == status


def test_what_the_kernel_refuses_to_execute_is_126(tmp_path: Path) -> None:
    """Found and executable, and yet execve(2) fails: its interpreter is not there."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    workload = Workload(resolve(str(script)), [str(script)])
    workload.start()
    with pytest.raises(KfootError, match="No such file") as caught:
        workload.release()
    workload.close()
    assert caught.value.status == 127


def test_a_file_without_header_is_a_shell_script_as_for_execvp(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("exit $1\n")
    script.chmod(0o755)
    assert ran(str(script), "9").exit_status == 9


def test_a_version_managers_shim_is_told_apart_from_the_program(tmp_path: Path) -> None:
    shim = tmp_path / "tool"
    shim.write_text("#!/usr/bin/env bash\n")
    shim.chmod(0o755)
    (tmp_path / "alias").symlink_to(shim)
    program = resolve("alias", {"PATH": f"/nowhere:{tmp_path}"})
    assert program.path == str(tmp_path / "alias")
    assert program.real == str(shim)
    assert program.interpreter == "/usr/bin/env bash"


def test_the_gate_holds_the_workload_back(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    workload = Workload(resolve("touch"), ["touch", str(witness)])
    workload.start()
    assert state(workload.pid) == "T"
    time.sleep(0.05)
    assert not witness.exists()
    workload.abandon()
    workload.close()
    assert not witness.exists()


def test_nothing_of_pythons_own_signal_set_up_is_inherited(tmp_path: Path) -> None:
    """Python ignores SIGPIPE and kfoot blocks signals; the workload must have neither."""
    script = f"exec grep -E 'Sig(Blk|Ign)' /proc/self/status > {tmp_path}/"
    subprocess.run(["sh", "-c", f"{script}plain"], check=True)
    ran("sh", "-c", f"{script}under")
    assert (tmp_path / "under").read_text() == (tmp_path / "plain").read_text()


def test_a_signal_sent_to_kfoot_alone_is_passed_on() -> None:
    def send() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    workload = Workload(resolve("sh"), ["sh", "-c", "trap 'exit 33' TERM; sleep 5 & wait"])
    workload.start()
    sender.start()
    workload.release()
    ended = workload.wait()
    workload.close()
    sender.join()
    assert ended.exit_status == 33


def test_signals_are_as_before_afterwards() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ran("true")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


INTERRUPTED = """
import os, signal
from kfoot.collect.supervise import Workload, resolve
# Tests may be run in the background, where a shell has SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
workload = Workload(resolve("true"), ["true"])
workload.start()
workload.release()
ended = workload.wait(left=lambda: True, outlived=lambda: os.kill(os.getpid(), signal.SIGINT))
workload.close()
print(ended.exit_status, workload.interrupted)
"""


def test_waits_for_what_outlives_the_command_until_interrupted() -> None:
    # In a process of its own: a SIGINT that is not caught must not end the tests.
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("0 True\n", 0), done.stderr


def test_works_from_another_thread_too() -> None:
    """As in a notebook, where the main thread is busy with something else."""
    found: list[Ended] = []
    thread = threading.Thread(target=lambda: found.append(ran("sh", "-c", "exit 5")))
    thread.start()
    thread.join(20)
    assert [ended.exit_status for ended in found] == [5]


def test_a_workload_at_the_gate_ends_with_a_killed_kfoot(tmp_path: Path) -> None:
    code = f"""
import os, signal
from kfoot.collect.supervise import Workload, resolve
from kfoot.collect.watchdog import Watchdog
workload = Workload(resolve("touch"), ["touch", "{tmp_path}/ran"])
workload.start()
watchdog = Watchdog()
watchdog.guard_process(workload.pid, signal.SIGKILL)
print(workload.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and state(pid) != "Z" and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists() or state(pid) == "Z"
    assert not (tmp_path / "ran").exists()
