"""Empties one CPU's ring buffer into a file by splice(2)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import threading
from pathlib import Path

from kfoot.readers.reading import Loss

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write says when the disk, a quota or a file's greatest size is full."""
_POLL_MS = 100
_NICE = -10
_PIPE_BYTES = 1 << 20
_PIECE = 1 << 20


class Drain(threading.Thread):
    """Moves the sub-buffers of one CPU to a file by splice(2), without touching their bytes."""

    def __init__(self, instance: Path, cpu: int, folder: Path, page_bytes: int):
        super().__init__(name=f"ftrace-cpu{cpu}", daemon=True)
        self._where = f"{folder.name}/cpu{cpu}.pages"
        self._page_bytes = page_bytes
        self._file = folder / f"cpu{cpu}.pages"
        self._source = os.open(
            instance / f"per_cpu/cpu{cpu}/trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK
        )
        self._sink = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._pipe = os.pipe()
        self._ending = os.eventfd(0)
        self._full = False
        self._failed: str | None = None

    def run(self) -> None:
        try:
            # Linux has a niceness for each thread: the workload must not starve its recorder.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            self._grow_pipe()
            poll = select.poll()
            poll.register(self._source, select.POLLIN)
            poll.register(self._ending, select.POLLIN)
            ready: list[tuple[int, int]] = []
            while (self._ending, select.POLLIN) not in ready:
                # poll(2) wakes when the buffer is half full (buffer_percent); the time-out keeps
                # a quiet one moving.
                ready = poll.poll(_POLL_MS)
                self._drain()
        except OSError as error:
            self._failed = error.strerror

    def finish(self) -> list[Loss]:
        """After recording was switched off: take the rest, close, say what was lost."""
        if self.is_alive():
            os.eventfd_write(self._ending, 1)
            self.join()
        try:
            if self._failed is None:
                self._drain()
                self._rest()
        except OSError as error:
            self._failed = error.strerror
        for fd in (self._source, self._sink, self._ending, *self._pipe):
            os.close(fd)
        self._whole_pages()
        if self._failed is not None:
            return [Loss("detached", f"{self._where}: {self._failed}", None)]
        return [Loss("disk_full", self._where, None)] if self._full else []

    def _grow_pipe(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _drain(self) -> None:
        """All full sub-buffers there are."""
        while True:
            try:
                moved = os.splice(
                    self._source,
                    self._pipe[1],
                    _PIECE,
                    flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE,
                )
            except BlockingIOError:
                return
            if not moved:
                return
            self._store(moved)

    def _store(self, count: int) -> None:
        while count:
            try:
                if self._full:
                    count -= len(os.read(self._pipe[0], count))
                else:
                    count -= os.splice(self._pipe[0], self._sink, count)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                # Go on emptying the buffer: the statistics then tell overruns from a full disk.
                self._full = True

    def _rest(self) -> None:
        """The sub-buffer the kernel was writing to: only read(2) gives one that is not full."""
        while True:
            try:
                page = os.read(self._source, self._page_bytes)
            except BlockingIOError:
                return
            if not page:
                return
            page = page.ljust(self._page_bytes, b"\0")
            if not self._full:
                try:
                    os.write(self._sink, page)
                except OSError:
                    self._full = True

    def _whole_pages(self) -> None:
        size = self._file.stat().st_size
        if size % self._page_bytes:
            os.truncate(self._file, size - size % self._page_bytes)
