"""Collector ``strace``: every system call of the workload's tasks with its arguments, as text.

strace attaches to the task that is stopped at kfoot's gate (``-p``), rather than start the command
itself: so the workload stays kfoot's own child with the process id it was announced with, and
strace, in a session of its own, gets none of the terminal's signals. The text begins with that stop
and the SIGCONT that ended it; the first call is the workload's ``execve``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from kfoot.collect.base import Ability, Recorded, Scope
from kfoot.collect.supervise import signal_name
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError
from kfoot.readers.reading import Loss

FILE = "strace.txt"
STRING_BYTES = 128
"""Bytes of a string argument kept (-s). Paths are always whole; data buffers may be secret."""
OPTIONS = (
    "-f",  # children and threads
    "-ttt",  # seconds since the epoch, so that lines can be put beside other records
    "-T",  # time spent in the call
    "-yy",  # descriptors decorated with path, device numbers, socket addresses
    "-a1",  # no padding before the result
    f"-s{STRING_BYTES}",
)
_QUIET = "--quiet=attach"
"""No "Process N attached" for each child; since strace 5.8. Personality changes stay."""
_ATTACH_S = 10.0
_LEAVE_S = 10.0
_KEPT_STDERR = 16384


class Strace:
    """See the module's text. ``watchdog`` makes strace let go should kfoot be killed."""

    name = "strace"
    format = "strace"

    def __init__(self, watchdog: Watchdog | None = None):
        self._watchdog = watchdog
        self._pid = 0
        self._status: int | None = None
        self._asked_to_end = False
        self._file = Path()
        self._options: list[str] = []
        self._stderr = b""
        self._listener: threading.Thread | None = None
        self._version: str | None = None

    def probe(self) -> Ability:
        """By tracing something: seccomp or a security module may forbid ptrace(2) to anyone."""
        program = shutil.which("strace")
        if program is None:
            return Ability(False, "strace is not installed", "sudo apt-get install strace")
        self._find_version(program)
        done = subprocess.run(
            [program, "-o", os.devnull, "-e", "trace=none", "/bin/true"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            return Ability(
                False,
                f"ptrace(2) is not permitted here: {said[0] if said else 'strace failed'}",
                "in a container: run it with --cap-add=SYS_PTRACE",
                self._version,
            )
        notes = []
        scope = _yama_scope()
        if scope >= 2 and os.geteuid() != 0:
            return Ability(
                False,
                f"only root may attach to a process (kernel.yama.ptrace_scope is {scope})",
                "sudo kfoot ..., or sudo sysctl kernel.yama.ptrace_scope=1",
                self._version,
            )
        if os.geteuid() != 0:
            notes.append("set-user-ID programs run without their privilege under strace")
        return Ability(True, version=self._version, notes=tuple(notes))

    def wrap(self, argv: Sequence[str], raw: Path) -> list[str]:
        return list(argv)

    def start(self, scope: Scope, raw: Path) -> None:
        program = shutil.which("strace")
        if program is None:
            raise RecordError("strace is not installed", hint="sudo apt-get install strace")
        if scope.whole_system or not scope.pids:
            raise RecordError("strace follows processes, not the whole system")
        if self._version is None:
            self._find_version(program)
        self._file = raw / FILE
        argv = [program, *self._options, "-o", str(self._file)]
        for pid in scope.pids:
            argv += ["-p", str(pid)]
        reader, writer = map(_no_standard_file, os.pipe())
        null = _no_standard_file(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        try:
            self._pid = os.posix_spawn(
                program,
                argv,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, null, 1),
                    (os.POSIX_SPAWN_DUP2, writer, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],
            )
        except OSError as error:
            os.close(reader)
            raise RecordError(f"cannot run {program}: {error.strerror}") from error
        finally:
            os.close(writer)
            os.close(null)
        if self._watchdog:
            self._watchdog.guard_process(self._pid, signal.SIGTERM)
        self._listener = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        self._listener.start()
        self._await_attached(scope)

    def tree_alive(self) -> bool:
        """strace leaves when the last task it follows is gone."""
        return self._pid != 0 and not self._gone()

    def stop(self) -> Recorded:
        recorded = Recorded(
            self.name, self._version, {"argv": ["strace", *self._options]}, self.format
        )
        if not self._pid:
            return recorded
        recorded.losses = self._leave()
        if self._listener:
            self._listener.join()
        recorded.losses += self._complaints()
        if self._watchdog:
            self._watchdog.forget_process(self._pid)
        self._pid = 0
        if self._file.exists():
            recorded.files = [self._file]
        return recorded

    def _find_version(self, program: str) -> None:
        for quiet in ([_QUIET], []):
            done = subprocess.run(
                [program, *quiet, "-V"], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                first = done.stdout.partition("\n")[0]
                self._version = first.rpartition("version ")[2].strip() or None
                self._options = [*OPTIONS, *quiet]
                return
        self._options = list(OPTIONS)

    def _await_attached(self, scope: Scope) -> None:
        """Until every process is traced. From then on the kernel stops it for strace before it
        returns to user space, so no call can be missed (ptrace(2), PTRACE_SEIZE)."""
        end = time.monotonic() + _ATTACH_S
        while time.monotonic() < end:
            if self._gone():
                break
            if all(_tracer(pid) == self._pid for pid in scope.pids):
                return
            time.sleep(0.001)
        if self._listener and self._status is not None:
            self._listener.join()
        said = self._stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[0].removeprefix("strace: ") if said else "it did not attach"
        raise RecordError(
            f"strace failed: {why}", hint="`kfoot doctor` says what stands in the way"
        )

    def _gone(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is not None

    def _leave(self) -> list[Loss]:
        """Make strace detach if tasks are left, and say whether it ended as it should."""
        if not self._gone():
            self._asked_to_end = True
            os.kill(self._pid, signal.SIGTERM)
            end = time.monotonic() + _LEAVE_S
            while not self._gone() and time.monotonic() < end:
                time.sleep(0.005)
            if not self._gone():
                os.kill(self._pid, signal.SIGKILL)
                self._status = os.waitpid(self._pid, 0)[1]
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            if not (self._asked_to_end and number == signal.SIGTERM):
                return [Loss("detached", f"{FILE}: strace died of {signal_name(number)}", None)]
        elif os.WEXITSTATUS(self._status) and not self._asked_to_end:
            status = os.WEXITSTATUS(self._status)
            return [Loss("detached", f"{FILE}: strace ended with status {status}", None)]
        return []

    def _complaints(self) -> list[Loss]:
        if b"No space left on device" in self._stderr or b"Disk quota" in self._stderr:
            return [Loss("disk_full", FILE, None)]
        return []

    def _listen(self, pipe: int) -> None:
        """Keep the beginning of what strace says on its standard error, read all of it."""
        while True:
            with contextlib.suppress(InterruptedError):
                piece = os.read(pipe, 65536)
                if not piece:
                    break
                self._stderr += piece[: max(0, _KEPT_STDERR - len(self._stderr))]
        os.close(pipe)


def _no_standard_file(fd: int) -> int:
    """Where kfoot was started with a standard file closed, a new descriptor takes its number."""
    if fd > 2:
        return fd
    higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return higher


def _tracer(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return None


def _yama_scope() -> int:
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return 0
