"""A process of its own that holds the counters of the trace events.

There are a thousand and more of them, each to be loaded, attached and let go of again, a tenth of a
millisecond every time. Here that is done beside kfoot, and the last of it when kfoot has left.
What it holds goes away with it, and it goes away as soon as the connection closes: when kfoot has
read all it wants, or has died.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kfoot.collect.apart import step_aside
from kfoot.collect.bpf import libbpf
from kfoot.errors import RecordError

NAME = "kfoot-events"
"""What ps(1) calls it."""
_ATTACH = b"attach"
_STOP = b"stop"
_LONGEST = 1 << 17
_BREATH = 0.3
"""Seconds kfoot may take to leave before it is disturbed: each change of the kernel's code stops
all processors for a moment, and detaching makes some thousand."""
_PATIENCE = 2.0
"""Seconds to wait for another recording to have attached or detached."""
_TURN = "/sys/kernel"
"""What recordings lock: the same for all on this machine."""
_OTHERS = 64
"""Descriptors it needs besides two for each program."""

Program = tuple[str, bytes]
"""A raw tracepoint's name and the instructions to attach to it."""


class Holder:
    """Begins to load ``programs`` at once; ``attach`` waits for that."""

    def __init__(self, library: libbpf.Library, programs: Sequence[Program]):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = ours
        maps = set().union(*(libbpf.maps_of(code) for _, code in programs))
        kfoot, turn = os.pidfd_open(os.getpid()), os.open(_TURN, os.O_RDONLY)
        # Forked twice, so that it is nobody's child and needs nobody to wait for it.
        pid = os.fork()
        if pid == 0:
            try:
                if os.fork() == 0:
                    step_aside({theirs.fileno(), kfoot, turn, *maps})
                    _hold(theirs, library, programs, kfoot, turn)
            finally:
                os._exit(0)
        theirs.close()
        os.close(kfoot)
        os.close(turn)
        os.waitpid(pid, 0)
        self.pid = int(self._hear()["pid"])

    def attach(self) -> list[int]:
        """Attach all; gives the indexes of those the kernel refused. Raises BpfError when the
        process has gone, RecordError when it may not open that many files."""
        answer = self._ask(_ATTACH)
        if (needed := answer.get("needed")) is not None:
            raise RecordError(
                f"watching all trace events takes {needed} open files, more than are allowed",
                hint=f"ulimit -n {needed}",
            )
        return list(answer["refused"])

    def stop(self) -> int:
        """Let it detach all, which takes some tenths of a second more; gives how often a program
        did not run since ``attach``, because it was running on that processor already."""
        return int(self._ask(_STOP)["missed"])

    def close(self) -> None:
        """Let it go."""
        self._connection.close()

    def _ask(self, word: bytes) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            self._connection.send(word)
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        try:
            answer = self._connection.recv(_LONGEST)
        except OSError:
            answer = b""
        if not answer:
            raise libbpf.BpfError("the process that held the counters has gone", errno.EPIPE)
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found


def _hold(
    connection: socket.socket,
    library: libbpf.Library,
    programs: Sequence[Program],
    kfoot: int,
    turn: int,
) -> None:
    """In the process: what ``Holder`` asks for, until it asks no more."""
    Path("/proc/self/comm").write_text(NAME)
    connection.send(json.dumps({"pid": os.getpid()}).encode())
    needed = _may_open(2 * len(programs) + _OTHERS)
    loaded = {} if needed else _load(library, programs)
    if connection.recv(_LONGEST) != _ATTACH:
        return
    if needed:
        connection.send(json.dumps({"needed": needed}).encode())
        return
    links = {}
    with _turn(turn), _awake():
        for number, fd in loaded.items():
            with contextlib.suppress(libbpf.BpfError):
                links[number] = libbpf.attach_raw(library, programs[number][0], fd)
    before = _missed(library, loaded)
    refused = sorted(set(range(len(programs))) - links.keys())
    connection.send(json.dumps({"refused": refused}).encode())
    word = connection.recv(_LONGEST)
    if word == _STOP:
        missed = _missed(library, loaded) - before
        connection.send(json.dumps({"missed": missed}).encode())
    with _turn(turn):
        if word == _STOP:
            select.select([kfoot], [], [], _BREATH)
        with _awake():
            for fd in links.values():
                os.close(fd)


@contextlib.contextmanager
def _turn(file: int) -> Iterator[None]:
    """While one recording attaches, no other detaches: the kernel would wait for a grace period of
    RCU with each event (tp_rcu_cond_sync in kernel/tracepoint.c), 20 s in all."""
    end = time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):  # a file system without locks
        while not _locked(file) and time.monotonic() < end:
            time.sleep(0.01)
    yield
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def _awake() -> Iterator[None]:
    """No processor sleeps meanwhile (Documentation/power/pm_qos_interface.rst): each change of the
    kernel's code waits until all of them have stopped, and waking them takes most of the time."""
    try:
        file = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.write(file, bytes(4))  # microseconds a processor may take to wake
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _load(library: libbpf.Library, programs: Sequence[Program]) -> dict[int, int]:
    """Descriptors of those the kernel took, by their index."""
    loaded = {}
    for number, (_, code) in enumerate(programs):
        try:
            loaded[number] = libbpf.load_copy(library, "kfoot_event", code)
        except libbpf.BpfError:
            continue
    return loaded


def _missed(library: libbpf.Library, loaded: dict[int, int]) -> int:
    return sum(libbpf.misses(library, fd) for fd in loaded.values())


def _may_open(descriptors: int) -> int:
    """Allow this process that many open files; gives them back when it may not, else 0."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, max(hard, descriptors)))
        except (ValueError, OSError):
            return descriptors
    return 0
