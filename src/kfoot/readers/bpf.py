"""Reader ``bpf``: what collector ``bpf`` left in raw/bpf/ (see there) to a ``Reading``.

The counts are exact and come from the kernel's own tables; the records say what each combination
is and give the order of the first occurrences of each (of every call, with ``sequence``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfoot.errors import InputError
from kfoot.readers import bpf_records as raw
from kfoot.readers.base import Options
from kfoot.readers.bpf_build import Build
from kfoot.readers.bpf_records import Damaged
from kfoot.readers.files import bare_name, head
from kfoot.readers.reading import EventKey, Loss, Process, Reading

CONTEXTS = ("task", "softirq", "hardirq", "nmi")
_URING = ("io_uring_submit_req", "io_uring_submit_sqe")
"""The event of a request taken from a ring: since 6.3, and before."""
_STATS = (
    ("dropped", "dropped", "records the ring buffer had no room for"),
    ("unreadable", "unreadable", "strings that could not be read from the workload's memory"),
    ("cut", "cut", "paths and argument lists longer than are kept"),
    ("lost_task", "escaped", "tasks that could not be followed"),
)
"""Counter, kind of loss, words."""


class BpfReader:
    """See the module's text. The three files belong together."""

    name = "bpf"

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith((raw.MAGIC, raw.COUNTS_MAGIC)) or (
            head.startswith(b"{") and b'"kfoot-bpf"' in head[:4096]
        )

    def groups(self, paths: Sequence[Path]) -> list[list[Path]]:
        """One set a folder."""
        folders: dict[Path, list[Path]] = {}
        for path in paths:
            folders.setdefault(path.parent, []).append(path)
        return list(folders.values())

    def read(self, paths: Sequence[Path], options: Options) -> Reading:
        files = {bare_name(path): path for path in paths}
        for name in ("meta.json", "records"):
            if name not in files:
                raise InputError(
                    paths[0].parent, f"has no {name}", expected="meta.json and records"
                )
        meta = _meta(files["meta.json"])
        reading = Reading("bpf", ", ".join(sorted(path.name for path in paths)))
        build = Build(reading, list(meta["abis"]), meta.get("machine"), options.max_steps)
        for pid, image in meta["marked"]:
            comm = meta.get("comms", {}).get(str(pid))
            build.began(int(image), Process(int(pid), comm=comm))
        _records(build, files["records"], options)
        if "counts" in files and meta.get("finished"):
            _counts(build, files["counts"], described=meta.get("detail") != "counting")
        else:
            build.count_occurrences()
            reading.losses.append(
                Loss("truncated", "bpf: kfoot ended before the counts were read", None)
            )
        build.steps()
        _events(reading, meta)
        _facts(reading, meta)
        return reading


READER = BpfReader()


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(head(path, 1 << 26))
    except ValueError as error:
        raise InputError(path, str(error), expected="a JSON object") from None
    if not isinstance(meta, dict) or meta.get("format") != "kfoot-bpf":
        raise InputError(path, "is not of the bpf collector", expected='"format": "kfoot-bpf"')
    if meta.get("version") != raw.FORMAT:
        raise InputError(
            path,
            f"has format {meta.get('version')}",
            expected=f"{raw.FORMAT}",
            hint="another version of kfoot made it",
        )
    missing = [name for name in ("abis", "marked", "first") if name not in meta]
    if missing:
        raise InputError(path, f"has no {', '.join(missing)}")
    meta.setdefault("stats", {})
    return meta


def _records(build: Build, path: Path, options: Options) -> None:
    try:
        for record in raw.records(path, options.progress, options.max_steps):
            build.take(record)
    except Damaged as error:
        if error.offset <= len(raw.MAGIC):
            raise InputError(path, str(error), where=f"offset {error.offset}") from None
        _truncated(build, path, error)
    build.describe()


def _truncated(build: Build, path: Path, error: Damaged) -> None:
    where = f"{path.name}: offset {error.offset}: {error}"
    build.reading.losses.append(Loss("truncated", where, None))


def _counts(build: Build, path: Path, described: bool) -> None:
    try:
        for row in raw.rows(path):
            if row.calls:
                build.count(row.image, row.shape, row.calls, row.ns, row)
    except Damaged as error:
        _truncated(build, path, error)
    for (image, shape), (calls, ns) in build.loose.items():
        build.count(image, shape, calls, ns, None)
    if build.unknown and described:
        build.reading.losses.append(
            Loss("dropped", "combinations of calls without a description", build.unknown)
        )


def _events(reading: Reading, meta: dict[str, Any]) -> None:
    submitted = 0
    for system, name, *counts in meta.get("event_counts", ()):
        for context, count in zip(CONTEXTS, counts, strict=True):
            if count:
                reading.events[EventKey(system, name, context)] = {None: count}
        if name in _URING:
            submitted += sum(counts)
    if submitted:
        reading.losses.append(
            Loss("io_uring", "requests through rings, no system calls of their own", submitted)
        )


def _facts(reading: Reading, meta: dict[str, Any]) -> None:
    facts = reading.facts
    facts.arch, facts.release = meta.get("machine"), meta.get("release")
    facts.first_s = meta["ns"] / 1e9 if "ns" in meta else None
    facts.last_s = meta["until_ns"] / 1e9 if "until_ns" in meta else None
    facts.tool = "kfoot bpf"
    for stat, kind, words in _STATS:
        if meta["stats"].get(stat):
            reading.losses.append(Loss(kind, words, meta["stats"][stat]))
    if meta.get("missed"):
        reading.losses.append(Loss("recursion", "calls inside the counting of one", meta["missed"]))
    unordered = meta["stats"].get("steps_dropped")
    if meta.get("sequence") and unordered:
        reading.losses.append(Loss("dropped", "calls counted but missing in the order", unordered))
    for what, words in (
        ("events_refused", "trace events without a counter"),
        ("events_late", "trace events that came while it recorded"),
    ):
        if meta.get(what):
            named = ", ".join(meta[what][:5])
            reading.losses.append(Loss("refused", f"{words}: {named}", len(meta[what])))
