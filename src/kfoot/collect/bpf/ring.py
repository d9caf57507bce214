"""Moves the ring buffer's records to a file, wholesale, while the programs fill it.

The ring is mapped (kernel/bpf/ringbuf.c): one page with the consumer's position, one with the
producer's, then the data twice in a row, so that what is to be had is always in one piece. Records
are only stepped over, to stop at one still being written; nothing is decoded.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections.abc import Callable
from typing import BinaryIO

from kfoot.collect import threads

_BUSY = 1 << 31
"""BPF_RINGBUF_BUSY_BIT"""
_LENGTH = (1 << 30) - 1
_HEADER = 8

Heard = Callable[[memoryview], None]
"""Called with each piece (ring records with headers) after it was written."""


class Ring:
    """A ring buffer map of ``size`` bytes, drained to ``sink`` by a thread of its own.

    ``interval`` is the longest time in seconds records may wait; the programs wake the thread
    sooner when much is waiting.
    """

    def __init__(
        self, fd: int, size: int, sink: BinaryIO, interval: float = 0.1, heard: Heard | None = None
    ):
        self._fd = fd
        self._size = size
        self._sink = sink
        self._interval = interval
        self._heard = heard
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(fd, page, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer_map = mmap.mmap(fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map)[:8].cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self._words = self._data.cast("I")
        self._stopping = os.eventfd(0)
        self._thread: threading.Thread | None = None
        self.failure: OSError | None = None
        """Why nothing was written any more (a full disk)."""

    def start(self) -> None:
        self._thread = threads.start(self._run, "kfoot-bpf-ring", daemon=True)

    def stop(self) -> None:
        """Drain what is left (the programs are detached by now) and let go of the ring; once."""
        if self._producer_map.closed:
            return
        if self._thread is not None:
            os.eventfd_write(self._stopping, 1)
            self._thread.join()
            self._drain()
            self._thread = None
        for view in (self._words, self._consumer, self._producer, self._data):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()
        os.close(self._stopping)

    def _run(self) -> None:
        poll = select.epoll()
        # Edge-triggered: only a wake-up by the programs counts, not a few bytes lying there.
        poll.register(self._fd, select.EPOLLIN | select.EPOLLET)
        poll.register(self._stopping, select.EPOLLIN)
        ready: list[tuple[int, int]] = []
        try:
            while (self._stopping, select.EPOLLIN) not in ready:
                ready = poll.poll(self._interval)
                self._drain()
        finally:
            poll.close()

    def _drain(self) -> int:
        """Write what is finished; gives its bytes."""
        begin = at = self._consumer[0]
        end = self._producer[0]
        mask = self._size - 1
        words = self._words
        while at < end:
            header = words[(at & mask) >> 2]
            if header & _BUSY:
                break
            at += ((header & _LENGTH) + _HEADER + 7) & ~7
        if at == begin:
            return 0
        piece = self._data[begin & mask : (begin & mask) + at - begin]
        try:
            if self.failure is None:
                self._sink.write(piece)
        except OSError as error:
            self.failure = error
        if self._heard is not None:
            try:
                self._heard(piece)
            except Exception:
                # Whoever listens (a terminal that went away) must not cost the recording.
                self._heard = None
        piece.release()
        self._consumer[0] = at
        return at - begin
