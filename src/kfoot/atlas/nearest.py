"""Names close to one that was not found, for a person who mistyped it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

FEW = 1000
"""Names compared letter by letter."""
LOOKED_AT = 20_000
"""Names of the largest tables (functions) that are compared: those with the same beginning."""


def nearest(word: str, names: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The ``count`` names most like ``word``, best first; none when nothing is alike."""
    wanted = word.lower()
    pairs = _pairs(wanted)
    scored: list[tuple[float, str]] = []
    every = list(names)
    if len(every) <= FEW:
        # Short words share no pair of letters with what they were meant to be (raed, read).
        scored, every = [(0, name) for name in every], []
    for name in every:
        lower = name.lower()
        if abs(len(lower) - len(wanted)) > max(6, len(wanted)):
            continue
        shared = len(pairs & _pairs(lower))
        if 2 * shared >= len(pairs):
            scored.append((shared / (len(lower) + len(wanted)), name))
    scored.sort(key=lambda one: (-one[0], one[1]))
    ranked = sorted(
        (SequenceMatcher(None, wanted, name.lower()).ratio(), name) for _, name in scored[:FEW]
    )
    best = [name for ratio, name in reversed(ranked) if ratio >= 0.6]
    return tuple(dict.fromkeys(best))[:count]


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(len(text) - 1)} or {text}


def beginning(word: str, names: Sequence[str]) -> Iterator[str]:
    """Names of a sorted table that begin like ``word``: as many letters as leave few enough."""
    for length in range(1, len(word) + 1):
        low = bisect_left(names, word[:length])
        high = bisect_left(names, word[:length] + "\U0010ffff")
        if high - low <= LOOKED_AT:
            for at in range(low, high):
                yield names[at]
            return
