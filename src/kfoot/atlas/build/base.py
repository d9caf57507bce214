"""What a rule-set of the atlas looks like, and what it may use of the others.

The source is read once. Each file a builder ``wants`` is handed to its ``scan``, a pure function
that runs in a worker process and returns small picklable facts; ``take`` gets those facts in the
main process, in the source's order; ``finish`` makes the tables when all files are through.
Whatever a builder keeps must not depend on the order the files came in: a tarball and the
unpacked tree give the same atlas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from kfoot.atlas.schema import Row


class Builder:
    """One rule-set. Subclasses set ``name`` and override what they need."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Builders whose ``finish`` must come before this one's."""

    def wants(self, path: str) -> bool:
        """Whether ``scan`` shall see this file. Called once a path, in every process."""
        return False

    def keeps(self, path: str) -> bool:
        """Whether the file shall be written below ``Context.tree`` (headers for the compiler)."""
        return False

    def scan(self, path: str, data: bytes) -> Any:
        """Facts of one file, or None for nothing. Must not change the builder: it runs in a
        worker process on another instance."""
        return None

    def take(self, path: str, facts: Any) -> None:
        """Keep the facts ``scan`` found in one file."""

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        """Rows by table name, each a tuple in the order of ``schema.TABLES[name].columns``."""
        return {}


@dataclass(slots=True)
class Context:
    """What ``finish`` may use besides the builder's own facts."""

    release: str
    paths: Sequence[str]
    """Every file of the tree, sorted."""
    tree: Path
    """Temporary folder with the files some builder ``keeps``."""
    built: dict[str, Builder] = field(default_factory=dict)
    """Builders that have finished, by name."""
    architectures: tuple[str, ...] = ()
    """Names below arch/ to restrict per-architecture tables to; empty is all."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why, for a person; stored in the atlas."""
    area_of: Callable[[str], str | None] = lambda path: None
    """The area of a source file (set by the builder ``areas``)."""
    sections_of: Callable[[str], tuple[str, ...]] = lambda path: ()
    """MAINTAINERS sections of a path, most specific first (set by ``maintainers``)."""

    def section_of(self, path: str) -> str | None:
        """The most specific section of a path."""
        sections = self.sections_of(path)
        return sections[0] if sections else None

    def place(self, path: str | None, how: str) -> tuple[str | None, str | None, str | None, str]:
        """The four place columns (file, section, area, how) of a source file."""
        if path is None:
            return None, None, None, how
        return path, self.section_of(path), self.area_of(path), how
