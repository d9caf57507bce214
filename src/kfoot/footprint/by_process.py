"""The footprint of some of a capture's processes: the same attribution over fewer calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os.path import basename

from kfoot.capture import Capture
from kfoot.errors import KfootError
from kfoot.footprint.contract import Footprint
from kfoot.footprint.derive import attribute, read_raw
from kfoot.footprint.system import System
from kfoot.readers.reading import Process, Reading


def derive_process(capture: Capture, wanted: str) -> Footprint:
    """The footprint of the process images called ``wanted``: the path or base name of the
    executable, the comm, or a word of the command line (a script's name). Nothing is written.

    Raises KfootError when the capture has no such process.
    """
    from kfoot.atlas import open_atlas

    readings = read_raw(capture)
    kept = [_only(reading, wanted) for reading in readings]
    if not any(reading.processes for reading in kept):
        names = sorted({name for reading in readings for name in _names(reading.processes)})
        raise KfootError(
            f"no process of {capture.path} is called {wanted!r}",
            hint=f"there are: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
        )
    atlas = open_atlas(capture.manifest.release)
    footprint, _ = attribute(capture.manifest, kept, System.of(capture), atlas)
    return footprint


def _names(processes: Sequence[Process]) -> set[str]:
    return {basename(process.exe or process.comm or "?") for process in processes}


def _called(process: Process, wanted: str) -> bool:
    words = [process.exe, process.comm, *process.argv]
    return any(word is not None and wanted in (word, basename(word)) for word in words)


def _only(reading: Reading, wanted: str) -> Reading:
    """``reading`` with the calls and events of the wanted processes. Processes keep their order
    but not their parents, which may be gone."""
    chosen = [index for index, process in enumerate(reading.processes) if _called(process, wanted)]
    place = {index: number for number, index in enumerate(chosen)}
    return replace(
        reading,
        processes=[
            replace(
                reading.processes[index], parent=place.get(reading.processes[index].parent or -1)
            )
            for index in chosen
        ],
        calls={
            key._replace(process=place[key.process]): count
            for key, count in reading.calls.items()
            if key.process in place
        },
        events={
            key._replace(process=place[key.process]): count
            for key, count in reading.events.items()
            if key.process in place
        },
        steps=[],
        children={},
    )
