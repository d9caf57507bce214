"""Sections and areas with the strength of their evidence, and what could not be mapped."""

from __future__ import annotations

from collections import Counter, defaultdict

from kfoot.atlas.model import Place
from kfoot.footprint.contract import TIERS, Row


class Tiers:
    """Adds up, per section and per area, how often each tier was evidenced.

    A tier nobody measured (no trace events were recorded, say) is None everywhere, not 0.
    """

    def __init__(self) -> None:
        self._measured: set[str] = set()
        self._sections: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
        self._areas: dict[str, Counter[str]] = defaultdict(Counter)
        self._unmapped: Counter[tuple[str, str]] = Counter()
        self.files: dict[str, set[str]] = defaultdict(set)
        """Source files evidenced, with what evidenced them ("syscall read")."""

    def measured(self, tier: str) -> None:
        """A collector measured this tier, even if it found nothing."""
        self._measured.add(tier)

    def add(self, tier: str, place: Place, count: int, kind: str, name: str) -> None:
        """Count evidence of a place; a place without an area is noted as unmapped."""
        self._measured.add(tier)
        if place.area is None:
            self.miss(kind, name, count)
            return
        if place.file is not None:
            self.files[place.file].add(f"{kind} {name}")
        self._areas[place.area][tier] += count
        if place.section is not None:
            self._sections[place.section, place.area][tier] += count

    def miss(self, kind: str, name: str, count: int) -> None:
        """Note something the atlas has no place or name for."""
        self._unmapped[kind, name] += count

    def rows(self) -> dict[str, list[Row]]:
        """The rows of ``sections``, ``areas`` and ``unmapped``."""
        return {
            "sections": [
                {"name": name, "area": area, **self._counts(counts)}
                for (name, area), counts in sorted(
                    self._sections.items(), key=lambda item: (item[0][0], item[0][1] or "")
                )
            ],
            "areas": [
                {"name": name, **self._counts(counts)}
                for name, counts in sorted(self._areas.items())
            ],
            "unmapped": [
                {"kind": kind, "name": name, "count": count}
                for (kind, name), count in sorted(self._unmapped.items())
            ],
        }

    def _counts(self, counts: Counter[str]) -> Row:
        return {tier: counts[tier] if tier in self._measured else None for tier in TIERS}
