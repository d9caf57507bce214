"""A tally as plain dicts, asked for in every shape: whichever counted it, they must be equal."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from kfoot.readers.ftrace_tally import Tally
from kfoot.readers.reading import CallCount, CallKey


def _kind(nr: int, outcome: int, request: int) -> tuple[Any, ...]:
    return "abi", nr, None, str(outcome), request, None, None


def plain(tally: Tally) -> dict[str, Any]:
    """All that a tally holds, and what its counts give by task and by process."""
    found = {field.name: getattr(tally, field.name) for field in fields(tally)}
    events, calls, compat = (found.pop(name) for name in ("events", "calls", "compat_calls"))
    by_task = events.by_task()
    tasks = events.tasks()
    assert tasks == {tid for counts in by_task.values() for tid in counts}
    some = {event for event, _ in by_task if hash(event) % 2}
    process = {tid: tid & 3 for tid in tasks | calls.tasks() | compat.tasks()}
    found |= {
        "events": by_task,
        "some events": events.of(some),
        "events by process": events.by_process(process),
    }
    for name, counts in (("calls", calls), ("compat calls", compat)):
        found[name] = counts.by_task()
        assert len(counts) == len(found[name])
        assert counts.tasks() == {key[0] for key in found[name]}
        for timed in (True, False):
            rows = counts.by_process(process, _kind, CallKey, CallCount, timed)
            found[f"{name}, {timed}"] = rows
            assert all(type(key) is CallKey for key in rows)
    return found
