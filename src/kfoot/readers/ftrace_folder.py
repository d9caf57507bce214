"""A folder of ring buffer pages and their descriptions (see ``ftrace_pages``) to a ``Reading``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from kfoot.errors import InputError
from kfoot.readers.base import Options
from kfoot.readers.files import SUFFIXES, Source, bare_name
from kfoot.readers.ftrace_format import (
    EventFormat,
    PageFormat,
    cmdlines,
    cpu_losses,
    parse_event,
    parse_formats,
    parse_page,
    tgids,
)
from kfoot.readers.ftrace_tally import NANOSECOND_CLOCKS, Tally, ioctl_number, until_ns
from kfoot.readers.reading import Loss, Reading
from kfoot.readers.ring_abi import set_apart
from kfoot.readers.ring_buffer import Plan, Stream
from kfoot.readers.ring_reading import count, losses_of, reading_of

_DESCRIPTION_BYTES = 256 << 20
"""More than any description has; a file made to exhaust memory is cut here."""
_BLOCK = 4 << 20
"""Most are read at once, and not copied."""
_STATISTICS = re.compile(rb"^# cpu(\d{1,6})\n", re.M)
_TASK = re.compile(rb"^([0-9]{1,10})\t([0-9]{1,10})\t([0-9]{1,10})\t(.*)$", re.M)
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def read_folder(format: str, folder: Path, found: Mapping[int, Path], options: Options) -> Reading:
    """Read the pages of all CPUs in ``found`` (CPU -> file).

    Raises InputError when the descriptions are missing or are none.
    """
    info = _info(folder)
    formats = _formats(folder)
    gate = info.get("gate")
    plan = Plan(
        _page(folder, info),
        formats,
        ioctl=ioctl_number(options.arch),
        until_ns=until_ns(options.until_s),
        gate=gate if isinstance(gate, int) else None,
    )
    broken: list[Loss] = []
    streams = [
        Stream(cpu, _Blocks(path, options, broken), _region(path, options))
        for cpu, path in sorted(found.items())
    ]
    tally = count(streams, plan, options.progress)
    unknown: list[Loss] = []
    if info.get("all_events") is True:
        unknown = set_apart(streams, plan, tally, options.arch)
    _name_tasks(folder, tally)
    tally.timed = info.get("clock", "local") in NANOSECOND_CLOCKS
    reading = reading_of(tally, plan, format, f"{folder.name}/", options.arch)
    statistics = _description(folder, "stats.txt") or b""
    reading.losses += [
        *unknown,
        *dict.fromkeys(broken),
        *losses_of(streams, _statistics(statistics), folder.name),
    ]
    reading.facts.tool = "ftrace"
    return reading


class _Blocks:
    """The bytes of one CPU's file, from the beginning each time it is called."""

    def __init__(self, path: Path, options: Options, broken: list[Loss]):
        self._path, self._options, self._broken = path, options, broken

    def __call__(self) -> Iterator[bytes]:
        with Source(self._options.plain.get(self._path, self._path)) as source:
            while block := source.read():
                yield block
                if self._options.progress is not None:
                    self._options.progress(source.position, source.size)
            if source.broken:
                where = f"{self._path.parent.name}/{self._path.name}: {source.broken}"
                self._broken.append(Loss("truncated", where, None))


def _region(path: Path, options: Options) -> tuple[Path, int, int] | None:
    plain = options.plain.get(path, path if bare_name(path) == path.name else None)
    return (plain, 0, plain.stat().st_size) if plain is not None else None


def _description(folder: Path, name: str) -> bytes | None:
    for suffix in ("", *SUFFIXES):
        path = folder / (name + suffix)
        if path.is_file():
            with Source(path) as source:
                blocks, size = [], 0
                while size < _DESCRIPTION_BYTES and (block := source.read(_BLOCK)):
                    blocks.append(block)
                    size += len(block)
                if source.broken:
                    raise InputError(path, f"cannot be unpacked: {source.broken}")
            return b"".join(blocks)
    return None


def _info(folder: Path) -> dict[str, object]:
    data = _description(folder, "info.json")
    if data is None:
        return {}
    try:
        info = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(folder / "info.json", str(error), expected="a JSON object") from None
    if not isinstance(info, dict):
        raise InputError(folder / "info.json", "is no description", expected="a JSON object")
    return info


def _page(folder: Path, info: dict[str, object]) -> PageFormat:
    big = info.get("endian") == "big"
    text = _description(folder, "header_page.txt")
    if text is None and (folder / "events" / "header_page").is_file():
        text = (folder / "events" / "header_page").read_bytes()
    page = parse_page(text, big_endian=big) if text is not None else None
    if text is not None and page is None:
        raise InputError(
            folder / "header_page.txt",
            "is no description of a sub-buffer",
            expected="the text of events/header_page",
        )
    if page is None:
        long = 4 if info.get("long_bytes") == 4 else 8
        page = PageFormat(data=8 + long, commit=long, big_endian=big)
    size = info.get("page_bytes")
    if isinstance(size, int) and size != page.page:
        if not 64 <= size <= 1 << 24:
            raise InputError(folder / "info.json", f"page_bytes {size} cannot be")
        page = page._replace(page=size)
    return page


def _formats(folder: Path) -> dict[int, EventFormat]:
    text = _description(folder, "formats.txt")
    if text is not None:
        found = parse_formats(text)
    else:
        found = {}
        for path in sorted(folder.glob("events/*/*/format")):
            event = parse_event(path.read_bytes(), path.parent.parent.name)
            if event is not None:
                found[event.id] = event
    if not found:
        raise InputError(
            folder / "formats.txt",
            "has no event formats" if text is not None else "is not there",
            expected="the format file of each event behind a line `# SYSTEM/NAME`",
            hint="or a copy of tracefs' events/ folder beside the pages",
        )
    return found


def _name_tasks(folder: Path, tally: Tally) -> None:
    """Names and groups of tasks from the files beside the pages."""
    tally.late_comms.update(cmdlines(_description(folder, "saved_cmdlines.txt") or b""))
    tally.late_leaders.update(tgids(_description(folder, "saved_tgids.txt") or b""))
    tasks = _TASK.findall(_description(folder, "tasks.txt") or b"")
    for tid, leader, parent, comm in tasks:
        leads = int(leader)
        tally.leaders[int(tid)] = leads
        tally.parents.setdefault(leads, int(parent))
        if b"\\" in comm:
            comm = _ESCAPED.sub(lambda m: bytes.fromhex(m[1].decode()), comm)
        tally.early_comms[int(tid)] = comm


def _statistics(text: bytes) -> dict[int, dict[str, int]]:
    parts = _STATISTICS.split(text)[1:]
    return {int(cpu): cpu_losses(body) for cpu, body in zip(parts[::2], parts[1::2], strict=True)}
