"""Runs the workload as a shell would: same terminal, same signals, same exit status.

The workload is forked behind a gate: it stops itself (SIGSTOP), one ``execve`` away from its
program, until the collectors watch it; then it is continued, and the first call any of them sees
is that ``execve``. (A gate of a blocking read would leave its end in every record.) It stays
kfoot's own child, in kfoot's process group and session, with its standard files, working directory
and environment, so Ctrl-C, Ctrl-Z and the terminal's size reach it without kfoot. What is sent to
kfoot alone (``kill PID``) is passed on.

Policy for what outlives the command (daemons that fork twice, ``setsid``): kfoot goes on
recording until all of them have ended, as ``strace -f`` does; Ctrl-C or SIGTERM to kfoot then ends
the recording and leaves them running. kfoot does not make itself their reaper
(PR_SET_CHILD_SUBREAPER): a daemon would see another parent than it has without kfoot. Whether any
is left is asked of the collectors, which follow them anyway.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfoot.errors import KfootError, RecordError

CANNOT_RUN = 126
NOT_FOUND = 127

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Unless kfoot was started with them ignored (nohup, a script's background job)."""
_JOB_STOPS = (signal.SIGTSTP, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU)
_SI_KERNEL = 0x80
"""si_code of a signal the terminal sent: it went to the whole foreground group, workload too."""
_PR_SET_PTRACER = 0x59616D61
_TICK = 0.1
"""Seconds between looks at things that send no signal."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command name and what it is: the file found on PATH, its real path, its interpreter."""

    name: str
    path: str
    real: str
    interpreter: str | None
    """The ``#!`` line of a script (a version manager's shim is one), else None."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the workload's first process ended. Exactly one of the two is set."""

    status: int | None
    signal: str | None

    @property
    def exit_status(self) -> int:
        """As a shell counts: 128 + n for signal n."""
        if self.signal is not None:
            return 128 + _signal_number(self.signal)
        assert self.status is not None
        return self.status


def _signal_number(name: str) -> int:
    base, _, more = name.partition("+")
    return signal.Signals[base] + int(more or 0)


def signal_name(number: int) -> str:
    """SIGKILL for 9; real-time signals as SIGRTMIN+n."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def heeded(numbers: Iterable[signal.Signals]) -> set[signal.Signals]:
    """Those that kfoot was not started to ignore: blocked, an ignored one would count as sent."""
    return {number for number in numbers if signal.getsignal(number) != signal.SIG_IGN}


def resolve(name: str, env: Mapping[str, str] | None = None) -> Program:
    """Find a command as execvp(3) does.

    Raises KfootError with status 127 when there is none of that name, 126 when there is one that
    cannot be executed.
    """
    search = (os.environ if env is None else env).get("PATH", os.defpath)
    candidates = (
        [name] if "/" in name else [os.path.join(d or ".", name) for d in search.split(":")]
    )
    refused: str | None = None
    for path in candidates:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            if error.errno == errno.EACCES:
                refused = "Permission denied"
            continue
        if stat.S_ISDIR(mode):
            refused = refused or ("Is a directory" if "/" in name else None)
        elif not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
            refused = "Permission denied"
        else:
            return Program(name, path, os.path.realpath(path), _interpreter(path))
    if refused:
        raise KfootError(f"cannot run {name!r}: {refused}", status=CANNOT_RUN)
    raise KfootError(f"cannot run {name!r}: No such file or directory", status=NOT_FOUND)


def _interpreter(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        return None
    return head.split(b"\n", 1)[0][2:].strip().decode("utf-8", "replace")


class Workload:
    """One command, forked and waiting at the gate until ``release``.

    Use from the main thread: signals are waited for by ``wait``. ``close`` gives them back.
    """

    def __init__(
        self,
        program: Program,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
    ):
        self.program = program
        self.argv = list(argv)
        self.env = dict(os.environ if env is None else env)
        self.pid = 0
        self.ended: Ended | None = None
        self.interrupted = False
        """Someone ended the recording of what outlived the command."""
        self._report = -1
        self._at_gate = False
        self._mask: set[int | signal.Signals] | None = None
        self._awaited = {*heeded(_PASSED_ON), signal.SIGCHLD}

    def start(self) -> None:
        """Fork, and wait until the child stands at the gate. Call before any thread is started."""
        self._report, report = os.pipe()
        # Blocked rather than handled: they wait until ``wait`` looks, and threads inherit it.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # kfoot may be started with them closed
                stream.flush()
        try:
            self.pid = os.fork()
        except OSError as error:
            os.close(report)
            self.close()
            raise RecordError(f"cannot fork: {error.strerror}") from error
        if self.pid == 0:
            self._child(report)
        os.close(report)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self.pid = 0
            raise RecordError("the workload ended before it began")
        self._at_gate = True

    def _child(self, report: int) -> None:
        """In the child: never returns. Between the gate and execve nothing but memory is touched,
        so that the recording begins with execve."""
        try:
            gc.disable()
            _restore_signals(self._mask or set())
            _let_parent_trace()
            argv = [os.fsencode(word) for word in self.argv]
            env = {os.fsencode(k): os.fsencode(v) for k, v in self.env.items()}
            path = os.fsencode(self.program.path)
            make_room_to_exec()
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                os.execve(path, argv, env)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                # execvp(3): a file without a known header is a shell script.
                os.execve(b"/bin/sh", [b"/bin/sh", path, *argv[1:]], env)
        except OSError as error:
            os.write(report, str(error.errno or 0).encode())
        finally:
            os._exit(CANNOT_RUN)

    def release(self) -> None:
        """Open the gate and wait until the program runs.

        Raises KfootError with status 126 or 127 when it could not be executed.
        """
        self._at_gate = False
        os.kill(self.pid, signal.SIGCONT)
        answer = b""
        while piece := os.read(self._report, 64):
            answer += piece
        if not answer:
            return
        os.waitpid(self.pid, 0)
        self.pid = 0
        number = int(answer)
        raise KfootError(
            f"cannot run {self.program.name!r}: {os.strerror(number)}",
            status=NOT_FOUND if number == errno.ENOENT else CANNOT_RUN,
        )

    def abandon(self) -> None:
        """Give up before the program runs: a child at the gate leaves without having run it."""
        if self._at_gate:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._at_gate = False
            self.pid = 0

    def wait(
        self,
        *,
        left: Callable[[], bool] = lambda: False,
        tick: Callable[[], None] = lambda: None,
        outlived: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Wait for the command, then for what outlives it as long as ``left()`` is true.

        ``tick`` is called about ten times a second, ``outlived`` once when the wait for the rest
        begins. Returns how the command itself ended.
        """
        while not self._reap():
            self._signals(_TICK)
            tick()
        assert self.ended is not None
        told = False
        # What the command left may be on its way out: give it a moment before telling anyone.
        patience = time.monotonic() + 1
        while not self.interrupted and left():
            if not told and time.monotonic() > patience:
                outlived()
                told = True
            self._signals(_TICK if told else 0.002)
            tick()
        return self.ended

    def _reap(self) -> bool:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            # Someone set SIGCHLD to be ignored, or reaped it: its status is not to be had.
            self.ended = Ended(RecordError.status, None)
            return True
        if pid == 0:
            return False
        if os.WIFSTOPPED(status):
            self._stopped(os.WSTOPSIG(status))
            return False
        if os.WIFSIGNALED(status):
            self.ended = Ended(None, signal_name(os.WTERMSIG(status)))
        else:
            self.ended = Ended(os.WEXITSTATUS(status), None)
        return True

    def _stopped(self, number: int) -> None:
        """The command stopped (Ctrl-Z, or it stopped itself as an editor does): stop with it, so
        that the shell sees the job stopped; ``fg`` continues the whole group."""
        if number in _JOB_STOPS and _in_foreground():
            os.kill(os.getpid(), signal.SIGSTOP)

    def _signals(self, timeout: float) -> None:
        """Wait for a signal and deal with it."""
        info = signal.sigtimedwait(self._awaited, timeout)
        if info is None or info.si_signo == signal.SIGCHLD:
            return
        if self.ended is not None:
            self.interrupted = True
        elif info.si_code != _SI_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, info.si_signo)

    def close(self) -> None:
        """Give the signals and descriptors back."""
        if self._report >= 0:
            os.close(self._report)
            self._report = -1
        if self._mask is not None:
            # What came while the recording was put away has nobody left to go to.
            while signal.sigtimedwait(self._awaited, 0):
                pass
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            self._mask = None


_held: list[bytes] = []


def make_room_to_exec() -> None:
    """Have memory that what ``os.execve`` makes of its arguments will fit into: asked for behind
    the gate, it would be a call (mmap or brk) of the recorded command's."""
    small = [bytes(400) for _ in range(2000)]
    bytes(100_000)
    _held.append(small.pop())  # keeps the others' memory from being given back


def _restore_signals(mask: set[int | signal.Signals]) -> None:
    """What Python changed for itself and would be inherited through execve."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _let_parent_trace() -> None:
    """Where Yama allows only descendants to be traced (ptrace_scope 1), allow kfoot's children,
    among them strace, too; see prctl(2), PR_SET_PTRACER. Root needs no leave."""
    if os.geteuid() == 0 or not Path("/proc/sys/kernel/yama").is_dir():
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, os.getppid(), 0, 0, 0)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
