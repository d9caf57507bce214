"""Which collectors there are, and which of them a recording uses: the one place that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kfoot.collect.base import Ability, Collector
from kfoot.collect.ftrace import Ftrace
from kfoot.collect.strace import Strace
from kfoot.collect.watchdog import Watchdog
from kfoot.errors import RecordError

Make = Callable[[Watchdog], Collector]


def _bpf(watchdog: Watchdog) -> Collector:
    # ctypes and what else it needs take 30 ms that a run with strace shall not pay.
    from kfoot.collect.bpf.collector import Bpf

    return Bpf(watchdog)


COLLECTORS: dict[str, Make] = {
    "bpf": _bpf,
    "strace": Strace,
    "ftrace": Ftrace,
}
"""Every collector by the name --collector takes."""

AUTO: tuple[tuple[str, ...], ...] = (
    ("bpf",),
    ("strace", "ftrace"),
    ("strace",),
    ("ftrace",),
)
"""What ``auto`` tries for a command, best evidence first; all collectors of a line must be able."""

AUTO_WATCH: tuple[tuple[str, ...], ...] = (("bpf",), ("ftrace",), ("strace",))
"""The same for ``kfoot watch``: strace would slow a running system down, and cannot see it all."""

AUTO_TRIMMED: tuple[tuple[str, ...], ...] = (("ftrace",), ("strace",))
"""The same where the tail is to be left out: what bpf has counted has no time any more."""

GIVES = {
    "strace": "system calls with their arguments",
    "ftrace": "trace events",
}
"""What is missing when a collector does not take part, in words."""

ALL_OF = frozenset({"bpf"})
"""Collectors that record all of that on their own."""


def choose(
    collector: str,
    watchdog: Watchdog,
    candidates: Sequence[tuple[str, ...]] = AUTO,
    makers: Mapping[str, Make] = COLLECTORS,
) -> tuple[list[Collector], list[str]]:
    """The collectors for ``--collector WORD`` and what is then not recorded, in words.

    ``collector`` is "auto", or names joined by "+" or ",". Raises RecordError when one that was
    asked for by name, or all of auto, cannot work here. ``makers`` make the collectors.
    """
    if collector != "auto":
        chosen, lacks = _named(collector, watchdog, makers)
        return chosen, [*_left_out(collector), *lacks]
    abilities: dict[str, Ability] = {}
    made: dict[str, Collector] = {}
    for names in candidates:
        for name in names:
            if name not in abilities:
                made[name] = makers[name](watchdog)
                abilities[name] = made[name].probe()
        if all(abilities[name].can for name in names):
            lacks = [word for name in names for word in abilities[name].lacks]
            return [made[name] for name in names], [*_missing(names, abilities), *lacks]
    reasons = "; ".join(f"{name}: {ability.why_not}" for name, ability in abilities.items())
    raise RecordError(f"nothing can record here ({reasons})", hint="see `kfoot doctor`")


def _named(
    words: str, watchdog: Watchdog, makers: Mapping[str, Make]
) -> tuple[list[Collector], list[str]]:
    """The collectors of these names, and what they lack here."""
    chosen: list[Collector] = []
    lacks: list[str] = []
    for name in words.replace("+", ",").split(","):
        if name not in makers:
            raise RecordError(
                f"there is no collector {name!r}", hint=f"there are: auto, {', '.join(makers)}"
            )
        collector = makers[name](watchdog)
        ability = collector.probe()
        if not ability.can:
            raise RecordError(f"{name} cannot record here: {ability.why_not}", hint=ability.mend)
        chosen.append(collector)
        lacks += ability.lacks
    return chosen, lacks


def _left_out(words: str) -> list[str]:
    return [
        f"{GIVES[name]}: {name} was not asked for"
        for name in _not_given(words.replace("+", ",").split(","))
    ]


def _missing(names: Sequence[str], abilities: Mapping[str, Ability]) -> list[str]:
    """What ``names`` do not give, and why the collector that does is not among them."""
    missing = []
    for name in _not_given(names):
        ability = abilities.get(name)
        why = ability.why_not if ability and ability.why_not else f"auto does not use {name} here"
        mend = f" ({ability.mend})" if ability and ability.mend else ""
        missing.append(f"{GIVES[name]}: {why}{mend}")
    return missing


def _not_given(names: Sequence[str]) -> list[str]:
    return [] if ALL_OF.intersection(names) else [name for name in GIVES if name not in names]
