"""Collector ``bpf``: strace's detail and all trace events, counted in the kernel.

Layout of ``raw/bpf/`` (reader ``bpf``):

``meta.json``
    Kernel, scope and options, written when recording begins; when it ends, ``finished`` becomes
    true and the counters and the event counts by context are added.
``records``
    The magic ``kfootbpf``, the format's number (u32), 4 zero bytes, then the records as the ring
    buffer held them: each with its 8-byte header (length and flags), padded to 8. struct call and
    struct step of src/records.h: one record with all detail for each *shape* (what was called, on
    what, with which result), small ones for the first occurrences of a shape in each process image
    (for every one with ``sequence``), one for each fork, exec and exit.
``counts``
    The magic ``kfootcnt``, format, 4 zero bytes, then for each combination image, shape, number,
    error, ABI, calls and nanoseconds, summed over the CPUs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kfoot.collect.base import Ability, Recorded, Scope
from kfoot.collect.bpf.counting import Counting
from kfoot.collect.bpf.libbpf import BpfError
from kfoot.collect.bpf.probe import BTF, ability
from kfoot.collect.bpf.recording import Detail
from kfoot.collect.bpf.ring import Heard
from kfoot.collect.bpf.wishes import Wishes
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError
from kfoot.readers.reading import Loss

FOLDER = "bpf"


class Bpf:
    """See the module's text. The kernel detaches what a dead process had attached, and the process
    that holds the events' counters ends with kfoot: ``watchdog`` has nothing to guard."""

    name = "bpf"
    format = "bpf"

    def __init__(
        self,
        watchdog: Watchdog | None = None,
        *,
        wishes: Wishes | None = None,
        heard: Heard | None = None,
    ):
        self._wishes = wishes or Wishes()
        self._heard = heard
        self._recording: Detail | Counting | None = None
        self._lower: str | None = None
        """Why full detail is not to be had."""

    def probe(self) -> Ability:
        """Loads the programs, attaches nothing; ``start`` then uses what was loaded."""
        able = ability()
        if not able.can:
            return able
        try:
            recording = self._load()
        except (BpfError, OSError) as error:
            return replace(able, can=False, why_not=str(error))
        if self._lower is None:
            return replace(able, notes=(f"{recording.detail} detail",))
        return replace(
            able,
            notes=(f"counting only: {self._lower}",),
            lacks=(f"what calls acted on, their paths, requests and order: {self._lower}",),
        )

    def wrap(self, argv: Sequence[str], raw: Path) -> list[str]:
        return list(argv)

    def start(self, scope: Scope, raw: Path) -> None:
        folder = raw / FOLDER
        try:
            folder.mkdir()
            self._load().start(scope, folder)
        except (BpfError, OSError) as error:
            raise RecordError(
                f"bpf: {error}", hint="kfoot doctor tells what else can record"
            ) from error

    def _load(self) -> Detail | Counting:
        """The highest rung the kernel takes."""
        if self._recording is None:
            try:
                if not BTF.exists():
                    raise OSError("the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
                self._recording = Detail(self._wishes, self._heard)
            except (BpfError, OSError) as error:
                if self._wishes.sequence or not self._wishes.may_count:
                    raise
                self._lower = str(error)
                self._recording = Counting(self._wishes)
        return self._recording

    def tree_alive(self) -> bool:
        """Whether followed tasks are left."""
        return self._recording is not None and self._recording.alive()

    def stop(self) -> Recorded:
        recorded = Recorded(self.name, None, format=self.format)
        recording, self._recording = self._recording, None
        if recording is None:
            return recorded
        try:
            if recording.folder is not None:
                recorded.version = recording.version
                recorded.options = recording.finish()
                recorded.losses = recording.losses
        except OSError as error:
            kind = "disk_full" if error.errno == errno.ENOSPC else "detached"
            recorded.losses.append(Loss(kind, f"bpf: {error}", None))
        except BpfError as error:
            recorded.losses.append(Loss("detached", f"bpf: {error}", None))
        finally:
            recording.close()
        if recording.folder is not None:
            recorded.files = sorted(Path(entry.path) for entry in os.scandir(recording.folder))
        return recorded
