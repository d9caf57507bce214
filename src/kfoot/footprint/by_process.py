"""The footprint of some of a capture's processes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os.path import basename

from kfoot.atlas import open_atlas
from kfoot.atlas.model import Atlas
from kfoot.capture import Capture
from kfoot.errors import KfootError
from kfoot.footprint.contract import Footprint, Row
from kfoot.footprint.derive import attribute, load, read_raw
from kfoot.footprint.system import System
from kfoot.readers.reading import Process, Reading


def derive_process(capture: Capture, name: str, *, atlas: Atlas | None = None) -> Footprint:
    """The footprint of the processes whose executable, or the script it runs, is ``name`` (a path
    or its last part). Nothing is written. Raises KfootError when there is no such process."""
    readings = [keep(reading, name) for reading in read_raw(capture)]
    if not any(reading.calls or reading.events for reading in readings):
        raise KfootError(
            f"{capture.path} has no process {name!r}",
            hint=f"`kfoot show {capture.path} --csv processes` lists them",
            status=1,
        )
    atlas = atlas or open_atlas(capture.manifest.release)
    footprint = attribute(capture.manifest, readings, System.of(capture), atlas)[0]
    # What was lost, and how recorders compare, holds for the capture: two recorders may draw the
    # line between a process image and the next at different calls.
    footprint["evidence"] = load(capture.path)["evidence"]
    footprint["processes"] = _only(footprint["processes"], name)
    return footprint


def keep(reading: Reading, name: str) -> Reading:
    """``reading`` without what other processes did."""
    chosen: set[int | None] = {
        index for index, process in enumerate(reading.processes) if _is(process, name)
    }
    events = {
        key: {at: count for at, count in by_process.items() if at in chosen}
        for key, by_process in reading.events.items()
    }
    return replace(
        reading,
        calls={key: count for key, count in reading.calls.items() if key.process in chosen},
        events={key: count for key, count in events.items() if count},
        steps=[step for step in reading.steps if step.process in chosen],
    )


def _only(rows: list[Row], name: str) -> list[Row]:
    """The rows of the chosen processes, numbered anew; a parent that was left out is null."""
    kept = [row for row in rows if _called([row["exe"], *row["argv"][:2]], name)]
    number = {row["id"]: index for index, row in enumerate(kept)}
    return [{**row, "id": number[row["id"]], "parent": number.get(row["parent"])} for row in kept]


def _is(process: Process, name: str) -> bool:
    return _called([process.exe, process.comm, *process.argv[:2]], name)


def _called(words: Sequence[str | None], name: str) -> bool:
    return any(name in (word, basename(word)) for word in words if word)
