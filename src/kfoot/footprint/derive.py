"""From a capture to its footprint: read the raw files, attribute, write footprint.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfoot import readers
from kfoot.atlas import open_atlas
from kfoot.atlas.model import Atlas
from kfoot.capture import SUFFIX, Capture, Manifest, write_json
from kfoot.errors import InputError, KfootError
from kfoot.footprint import calls, contract, events, flow, processes, state
from kfoot.footprint.combine import Check, Evidence, combine
from kfoot.footprint.contract import Footprint
from kfoot.footprint.flow_steps import Named
from kfoot.footprint.names import ABI_OF_MACHINE, Names
from kfoot.footprint.objects import Objects
from kfoot.footprint.system import System
from kfoot.footprint.tiers import Tiers
from kfoot.footprint.workload import own
from kfoot.readers.base import Options, Progress
from kfoot.readers.reading import Loss, Reading, Step

FLOWS = "flows.json"
"""Derived beside footprint.json: the order of what each command did."""


def read_raw(capture: Capture, *, progress: Progress | None = None) -> list[Reading]:
    """Read every collector's raw files. Raises InputError when one cannot be used at all."""
    manifest = capture.manifest
    found: list[Reading] = []
    for entry in manifest.collectors:
        if entry.files:
            options = Options(
                arch=manifest.arch,
                until_s=_until(manifest, entry.format),
                progress=progress,
                plain=capture.plain,
            )
            found.extend(readers.read(capture.raw_files(entry), options, format=entry.format))
    return found


def _until(manifest: Manifest, format: str) -> float | None:
    """Where the trimmed tail begins, on the clock of a raw format; None when nothing is trimmed.
    The window is on CLOCK_MONOTONIC, as ftrace is; strace -ttt writes the time of day."""
    until = manifest.window.get("to_s")
    if not manifest.window.get("trimmed_s") or until is None:
        return None
    clock = manifest.extra.get("clock")
    if format == "strace" and clock:
        until += clock["realtime"] - clock["mono"]
    return until


def derive(
    capture: Capture, *, atlas: Atlas | None = None, progress: Progress | None = None
) -> Footprint:
    """Compute a capture's footprint; write footprint.json and flows.json into its folder.

    The result is a function of the capture and the atlas and of nothing else.
    """
    atlas = atlas or open_atlas(capture.manifest.release)
    readings = read_raw(capture, progress=progress)
    capture.forget_plain()
    system = System.of(capture)
    footprint, chart = attribute(capture.manifest, readings, system, atlas)
    footprint["evidence"]["altered"] = capture.altered() if capture.manifest.closed else []
    footprint["evidence"]["valid"] &= not footprint["evidence"]["altered"]
    write_json(capture.path / FLOWS, chart.to_json())
    contract.write(capture.footprint_file, footprint)
    return footprint


def charts(paths: Sequence[Path]) -> flow.Chart:
    """The flow charts of captures, merged. Captures without one (a bare footprint.json was
    copied, say) add nothing."""
    found, names = [], []
    for path in paths:
        file = path / FLOWS
        if file.is_file():
            try:
                data = json.loads(file.read_bytes())
            except ValueError as error:
                raise InputError(file, str(error), expected="a flow chart") from None
            found.append(flow.Chart.from_json(data, str(file)))
            names.append(path.name.removesuffix(SUFFIX))
    return flow.merge(found, names)


def load(path: Path) -> Footprint:
    """The footprint of a capture folder (derived if it is not there yet) or of a .json file."""
    if path.is_file():
        return contract.read(path)
    capture = Capture.open(path)
    if capture.footprint_file.is_file():
        return contract.read(capture.footprint_file)
    return derive(capture)


@readers.uncollected()
def attribute(
    manifest: Manifest, readings: Sequence[Reading], system: System, atlas: Atlas
) -> tuple[Footprint, flow.Chart]:
    """Footprint and flow charts of readings, with the state of the system they were made on."""
    abi = ABI_OF_MACHINE.get(manifest.arch or "", manifest.arch)
    names = Names(atlas, abi)
    evidence = combine(readings, names)
    objects, tiers = Objects(atlas, system), Tiers()
    tables = calls.tabulate(evidence.calls, names, objects, tiers)
    gate = manifest.extra.get("gate")
    tables["events"], foreign = events.tabulate(
        [(reading, own(reading, gate)) for reading in evidence.events], names, tiers
    )
    tables["functions"] = []
    tables["processes"] = processes.tabulate(
        [(reading, own(reading, gate)) for reading in evidence.calls]
    )
    for row in tables["processes"]:
        if row["parent"] is None and not row["argv"] and manifest.kind == "run":
            row["argv"] = manifest.argv
    tables["modules"] = state.modules(system, atlas)
    tables["config"] = state.config(system, atlas, tiers)
    tables["changes"] = [*state.changes(system), *state.written(tables["objects"])]
    tables |= tiers.rows()
    losses = _losses(manifest, evidence)
    footprint: Footprint = {
        "schema": contract.SCHEMA,
        "use_case": manifest.use_case,
        "workload": {
            "argv": manifest.argv,
            "exit_status": manifest.exit_status,
            "signal": manifest.signal,
            "started": manifest.started,
            "duration_s": _duration(manifest, readings),
        },
        "environment": {
            "kernel": manifest.release or _fact(readings, "release"),
            "build": manifest.build,
            "arch": manifest.arch or _fact(readings, "arch"),
            "abis": sorted({row["abi"] for row in tables["syscalls"] if row["abi"]}),
            "config_sha256": manifest.config_sha256,
            "atlas": {"release": atlas.name, "sha256": atlas.sha256, "rules": atlas.rules},
        },
        "evidence": {
            "collectors": [
                {
                    "name": entry.name,
                    "version": entry.version,
                    "options": entry.options,
                    "format": entry.format,
                }
                for entry in manifest.collectors
            ],
            "window": _window(manifest),
            "losses": losses,
            "foreign_events": foreign,
            "checks": [_check(check) for check in evidence.checks],
            "notes": _notes(manifest, evidence, atlas),
            "valid": not losses,
        },
        "capture": {
            "kind": manifest.kind,
            "watched": _watched(manifest),
            "replicates": 1,
            "not_recorded": [*manifest.not_recorded, *(system.before or {}).get("missing", [])],
            "raw_sha256": manifest.sha256,
            "kfoot": manifest.kfoot,
        },
        **tables,
    }
    label = manifest.use_case or " ".join(manifest.argv) or flow.UNNAMED
    chart = flow.chart(
        ((label, reading) for reading in evidence.calls), _Namer(names, objects).named
    )
    return footprint, chart


class _Namer:
    """Names and places the steps of a flow chart: the object's place, else the system call's."""

    def __init__(self, names: Names, objects: Objects):
        self._names, self._objects = names, objects

    def named(self, reading: Reading, step: Step) -> Named:
        call = self._names.syscall(step, reading)
        target = None
        if step.object is not None:
            target = self._objects.resolve(reading.objects[step.object])
        request, place = None, target.place if target and target.place.area else call.place
        if step.request is not None:
            found = calls.name_request(step.request, target, self._names.atlas, call.abi)
            request = found.name or calls.hexadecimal(found.nr)
        return Named(call.name, request, place.section, place.area)


def _notes(manifest: Manifest, evidence: Evidence, atlas: Atlas) -> list[str]:
    """What a reader of the result must know although nothing was lost."""
    notes = []
    if atlas.note:
        notes.append(f"mapped with another kernel's sources: {atlas.note}")
    assumed = {reading.facts.arch or "" for reading in evidence.calls if reading.facts.abi_assumed}
    for arch in sorted(assumed):
        abi = ABI_OF_MACHINE.get(arch, arch)
        notes.append(f"calls named as {abi}'s: the trace does not tell 32-bit tasks")
    if evidence.events and any(entry.name == "strace" for entry in manifest.collectors):
        notes.append(
            "strace stopped the workload at every call: signal, sched and timer events include"
            " those stops"
        )
    return notes


def _watched(manifest: Manifest) -> str | None:
    """What ``kfoot watch`` watched; a footprint holds no pids."""
    words = manifest.extra.get("watched")
    return "a process" if isinstance(words, str) and words.startswith("pid-") else words


def _losses(manifest: Manifest, evidence: Evidence) -> list[contract.Row]:
    found = {
        (loss.kind, loss.where): loss
        for loss in (*(Loss(**row) for row in manifest.losses), *evidence.losses)
    }
    if not manifest.closed:
        found["not closed", "manifest.json"] = Loss("not closed", "manifest.json", None)
    return [
        {"kind": loss.kind, "where": loss.where, "count": loss.count}
        for _, loss in sorted(found.items())
    ]


def _window(manifest: Manifest) -> dict[str, float | None]:
    """The window on a clock that begins with it: a footprint holds no absolute times."""
    begin, end = manifest.window.get("from_s"), manifest.window.get("to_s")
    length = round(end - begin, 3) if begin is not None and end is not None else None
    return {
        "from_s": 0.0 if length is not None else None,
        "to_s": length,
        "trimmed_s": manifest.window.get("trimmed_s"),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "first": check.first,
        "second": check.second,
        "compared": check.compared,
        "equal": check.equal,
        "differences": [list(row) for row in check.differences],
    }


def _duration(manifest: Manifest, readings: Sequence[Reading]) -> float | None:
    if manifest.started is not None and manifest.ended is not None:
        return round(manifest.ended - manifest.started, 3)
    spans = [
        reading.facts.last_s - reading.facts.first_s
        for reading in readings
        if reading.facts.first_s is not None and reading.facts.last_s is not None
    ]
    return round(max(spans), 3) if spans else None


def _fact(readings: Sequence[Reading], name: str) -> str | None:
    values = {getattr(reading.facts, name) for reading in readings} - {None}
    if len(values) > 1:
        raise KfootError(
            f"the traces were made on different machines ({name}: {sorted(map(str, values))})",
            hint="import them one by one, then compare or merge the captures",
        )
    return values.pop() if values else None
