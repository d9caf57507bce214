"""What a person wants to know first, taken out of the footprint once for every report's head."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from kfoot.reports import text
from kfoot.reports.tables import Footprint, Row, rows

TIERS = ("executed", "traced", "dispatched", "entered")
"""Strongest first."""
LETTERS = {"executed": "X", "traced": "T", "dispatched": "D", "entered": "E"}


@dataclass(frozen=True, slots=True)
class AreaLine:
    """One area with its counts by tier and its sections, busiest first."""

    name: str
    tiers: dict[str, int | None]
    sections: tuple[str, ...]

    @property
    def most(self) -> int:
        """The largest of its counts: tiers count different things and are never added."""
        return max((count for count in self.tiers.values() if count), default=0)


@dataclass(frozen=True, slots=True)
class Digest:
    """The head of every report. Strings are cleaned."""

    command: str
    use_case: str | None
    outcome: str
    duration: str
    machine: str
    atlas: str
    collectors: tuple[str, ...]
    verdict: str
    valid: bool | None
    losses: tuple[str, ...]
    not_recorded: tuple[str, ...]
    notes: tuple[str, ...]
    """What a reader must know although nothing was lost."""
    checks: tuple[str, ...]
    """Collectors of one run compared, in words."""
    calls: int | None
    failed: int | None
    processes: int
    replicates: int
    in_all: int | None
    """Sections seen in every capture; None when there is one capture."""
    in_some: tuple[str, ...]
    """Sections seen in some captures only, as "SPI SUBSYSTEM 3 of 8"."""
    unmeasured: tuple[str, ...]
    """Tiers that no collector of the capture measures."""
    areas: tuple[AreaLine, ...]
    syscalls: tuple[Row, ...]
    """Most called first."""
    ioctls: tuple[tuple[str, str, int | None], ...]
    """Request, driver, calls; of all objects of the driver together, most called first."""
    devices: tuple[tuple[str, str, int], ...]
    """Name, driver or kind, operations."""
    objects: tuple[tuple[str, int], ...]
    """Files by filesystem, anonymous inodes by name, sockets by protocol: what and how many."""
    failures: tuple[tuple[str, str, int], ...]
    """System call, errno, times; most frequent first."""
    modules: tuple[str, ...]
    unmapped: tuple[tuple[str, int], ...]
    """Kind, how many different names."""


def digest(footprint: Footprint) -> Digest:
    """Everything a report's head says. Missing keys count as not measured."""
    workload = footprint.get("workload") or {}
    environment = footprint.get("environment") or {}
    evidence = footprint.get("evidence") or {}
    capture = footprint.get("capture") or {}
    syscalls = rows(footprint, "syscalls")
    losses = tuple(_loss(row) for row in evidence.get("losses") or ())
    losses += tuple(
        f"altered: {text.clean(name)} is not the file that was recorded"
        for name in evidence.get("altered") or ()
    )
    valid = evidence.get("valid")
    replicates = capture.get("replicates") or 1
    seen = [row for row in rows(footprint, "sections") if "seen" in row and strongest(row)]
    use_case = _optional(footprint.get("use_case"))
    command = _command(footprint)
    if replicates > 1 and use_case is not None and " + " in use_case:
        cases = use_case.split(" + ")
        use_case, command = f"{len(cases)} use cases", ", ".join(cases)
    return Digest(
        command=command,
        use_case=use_case,
        outcome=_outcome(workload, str(capture.get("kind"))),
        duration=text.duration(workload.get("duration_s")),
        machine=_words("Linux", environment.get("kernel"), environment.get("arch")),
        atlas=_atlas(environment.get("atlas")),
        collectors=tuple(
            dict.fromkeys(
                _words(row.get("name"), row.get("version"))
                for row in evidence.get("collectors") or ()
            )
        ),
        verdict=_verdict(valid, losses),
        valid=valid,
        losses=losses,
        not_recorded=tuple(text.clean(line) for line in capture.get("not_recorded") or ()),
        notes=tuple(text.clean(line) for line in evidence.get("notes") or ()),
        checks=tuple(_check(row) for row in evidence.get("checks") or ()),
        calls=_sum(syscalls, "calls"),
        failed=_sum(syscalls, "errors"),
        processes=len(rows(footprint, "processes")),
        replicates=replicates,
        in_all=sum(row["seen"] == replicates for row in seen) if seen else None,
        in_some=tuple(
            f"{text.clean(row.get('name'))} {row['seen']} of {replicates}"
            for row in seen
            if row["seen"] != replicates
        ),
        unmeasured=unmeasured(footprint),
        areas=_areas(footprint),
        syscalls=tuple(
            sorted(syscalls, key=lambda row: (-(row.get("calls") or 0), str(row.get("name"))))
        ),
        ioctls=_ioctls(footprint),
        devices=_devices(footprint),
        objects=_objects(footprint),
        failures=_failures(syscalls),
        modules=_modules(footprint),
        unmapped=_unmapped(footprint),
    )


def unmeasured(footprint: Footprint) -> tuple[str, ...]:
    """Tiers that are null in every row: nobody looked."""
    found = [*rows(footprint, "areas"), *rows(footprint, "sections")]
    return tuple(tier for tier in TIERS if all(row.get(tier) is None for row in found))


_NEEDS = {
    "objects": "dispatched",
    "ioctls": "dispatched",
    "events": "traced",
    "functions": "executed",
}
"""Tables that only a collector which measures this tier fills."""


def emptiness(footprint: Footprint, table: str) -> str:
    """What to say of a table without rows: nothing was found, or nobody looked."""
    if _NEEDS.get(table) in unmeasured(footprint):
        return "Not measured: no collector of this capture records it."
    return "None."


def strongest(tiers: Row) -> str | None:
    """The strongest tier with a count in a row of sections or areas; None: not used."""
    return next((tier for tier in TIERS if tiers.get(tier)), None)


def letters(tiers: Row) -> str:
    """ "XT E" where executed, traced and entered have counts: one letter a tier, gaps kept."""
    return "".join(LETTERS[tier] if tiers.get(tier) else " " for tier in TIERS)


def request_name(row: Row) -> str:
    """An ioctl's name, or its number where the atlas has no name."""
    return text.clean(row.get("name") or row.get("request") or "?")


def _optional(value: object) -> str | None:
    return None if value is None else text.clean(value)


def _words(*values: object) -> str:
    """Known values in one line; a list is what several captures say."""
    known = (value for value in values if value is not None)
    return " ".join(
        " or ".join(map(text.clean, value)) if isinstance(value, list) else text.clean(value)
        for value in known
    )


def _atlas(value: Any) -> str:
    """Release and the beginning of the sha256; several where captures used several."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(_atlas(item) for item in value)
    if isinstance(value, dict):
        found = str(value.get("sha256") or "")[:12]
        return _words(value.get("release"), f"sha256 {found}" if found else None)
    return text.clean(value)


def _command(footprint: Footprint) -> str:
    """What was run or watched, else what an imported trace began with."""
    argv = (footprint.get("workload") or {}).get("argv")
    watched = (footprint.get("capture") or {}).get("watched")
    if not argv and watched:
        return _words("watched:", watched)
    if not argv:
        first = next((row for row in rows(footprint, "processes") if row.get("argv")), {})
        argv = first.get("argv") if first.get("parent") is None else None
    return text.command(argv) or "(no command)"


_NO_EXIT = {"import": "imported", "watch": "watched"}
"""Kinds of captures that end without a workload's exit status."""


def _outcome(workload: Row, kind: str) -> str:
    status, signal = workload.get("exit_status"), workload.get("signal")
    if signal and not isinstance(signal, list):
        return f"killed by {text.clean(signal)}"
    if isinstance(status, list):
        return "exit " + ", ".join("?" if one is None else text.clean(one) for one in status)
    if status is None and kind in _NO_EXIT:
        return _NO_EXIT[kind]
    return "exit status unknown" if status is None else f"exit {text.clean(status)}"


def _loss(row: Row) -> str:
    times = row.get("count")
    number = "an unknown number" if times is None else f"{times:,}"
    return f"{text.clean(row.get('kind'))}: {number} ({text.clean(row.get('where'))})"


def _check(row: Row) -> str:
    first, second = text.clean(row.get("first")), text.clean(row.get("second"))
    compared, equal = row.get("compared") or 0, row.get("equal") or 0
    if compared == equal:
        return (
            f"{first} and {second} counted the same for all {text.times(compared, 'system call')}"
        )
    listed = "; ".join(
        f"{text.clean(name)} {text.count(a)} and {text.count(b)}"
        for name, a, b in list(row.get("differences") or ())[:5]
    )
    differing = f"{compared - equal:,} of {text.times(compared, 'system call')}"
    return f"{first} and {second} differ in {differing}: {listed}"


def _verdict(valid: bool | None, losses: tuple[str, ...]) -> str:
    if valid is None:
        return "validity not judged"
    if valid:
        return "valid, losses explained" if losses else "valid, no loss known"
    return "NOT VALID EVIDENCE"


def _sum(found: list[Row], key: str) -> int | None:
    numbers = [row[key] for row in found if row.get(key) is not None]
    return sum(numbers) if numbers else None


def _areas(footprint: Footprint) -> tuple[AreaLine, ...]:
    sections: dict[str, list[tuple[int, str]]] = {}
    for row in rows(footprint, "sections"):
        most = max(row.get(tier) or 0 for tier in TIERS)
        sections.setdefault(str(row.get("area")), []).append((-most, text.clean(row.get("name"))))
    lines = [
        AreaLine(
            name=text.clean(row.get("name")),
            tiers={tier: row.get(tier) for tier in TIERS},
            sections=tuple(name for _, name in sorted(sections.get(str(row.get("name")), []))),
        )
        for row in rows(footprint, "areas")
        if strongest(row)
    ]
    return tuple(sorted(lines, key=lambda line: (-line.most, line.name)))


def _ioctls(footprint: Footprint) -> tuple[tuple[str, str, int | None], ...]:
    found: dict[tuple[str, str], int | None] = {}
    for row in rows(footprint, "ioctls"):
        key = request_name(row), text.clean(row.get("driver") or row.get("object") or "?")
        calls = row.get("calls")
        found[key] = found.get(key) if calls is None else (found.get(key) or 0) + calls
    ranked = sorted(found.items(), key=lambda item: (-(item[1] or 0), item[0]))
    return tuple((name, driver, calls) for (name, driver), calls in ranked)


def _devices(footprint: Footprint) -> tuple[tuple[str, str, int], ...]:
    found = [
        (
            text.clean(row.get("name")),
            text.clean(row.get("driver") or row.get("kind")),
            sum(number or 0 for number in (row.get("operations") or {}).values()),
        )
        for row in rows(footprint, "objects")
        if row.get("kind") in ("char", "block")
    ]
    return tuple(sorted(found, key=lambda item: (-item[2], item[0])))


def _objects(footprint: Footprint) -> tuple[tuple[str, int], ...]:
    found: Counter[str] = Counter()
    for row in rows(footprint, "objects"):
        kind, driver = row.get("kind"), text.clean(row.get("driver") or "")
        if kind == "anon":
            name = text.clean(row.get("name")).strip("[]").removeprefix("anon_inode:").strip("[]")
            found["epoll" if name == "eventpoll" else name] += 1
        elif kind == "socket":
            found[f"socket {driver}".rstrip()] += 1
        elif kind == "fifo":
            found["pipe"] += 1
        elif kind in ("file", "directory", "link") and driver:
            found[f"{driver} files"] += 1
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _failures(syscalls: list[Row]) -> tuple[tuple[str, str, int], ...]:
    found: Counter[tuple[str, str]] = Counter()
    for row in syscalls:
        for errno, number in (row.get("errnos") or {}).items():
            found[text.clean(row.get("name") or row.get("nr")), text.clean(errno)] += number or 0
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple((name, errno, number) for (name, errno), number in ranked)


def _modules(footprint: Footprint) -> tuple[str, ...]:
    """Modules whose use count or presence changed, in words."""
    changed = []
    for row in rows(footprint, "modules"):
        counts = [row.get(when) for when in ("before", "during", "after")]
        if len(set(counts)) > 1:
            story = " > ".join(text.count(number) for number in counts)
            changed.append(f"{text.clean(row.get('name'))} {story}")
    return tuple(changed)


def _unmapped(footprint: Footprint) -> tuple[tuple[str, int], ...]:
    found = Counter(text.clean(row.get("kind")) for row in rows(footprint, "unmapped"))
    return tuple(sorted(found.items()))
