"""The area of a source file: longest path prefix; headers by their section's majority.

Headers below include/ that no rule names go where most .c files of their most specific section
are; failing that where the one .c file of the same name is; else ``other``. A header below
include/uapi/linux follows the rule of its namesake in include/linux.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from kfoot.atlas.build.area_rules import RULES
from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.maintainers import THE_REST, is_source
from kfoot.atlas.schema import Row

OTHER = "other"
_CORE = re.compile(r"(?:kernel(?:/\w+)?|mm|fs|block|ipc|net(?:/core)?|lib|security|drivers/\w+)/")
"""Folders where the .c file of a header in include/linux is looked for."""


class Prefixes:
    """The rules, longest prefix first."""

    def __init__(self, text: str = RULES):
        self._areas: dict[str, str] = {}
        self._files: dict[str, str] = {}
        for line in text.split("\n"):
            if line:
                prefix, area = line.split()
                folder, star, suffix = prefix.partition("*")
                if star:
                    self._files[folder + suffix] = area
                else:
                    self._areas[prefix] = area
        self._lengths = sorted({len(prefix) for prefix in self._areas}, reverse=True)

    def area(self, path: str) -> str | None:
        """The area of the longest rule; None when no rule, or ``?``, fits."""
        for length in self._lengths:
            area = self._areas.get(path[:length]) if length <= len(path) else None
            if area is None:
                continue
            if area == "?":
                return None
            if not area.endswith(":*"):
                return area
            word, slash, _ = path[length:].partition("/")
            if slash:
                return f"{area[:-1]}{word}"
            own = self._files.get(path[:length] + path[path.rfind(".") :])
            return own or area[:-2]
        return None


class AreasBuilder(Builder):
    """Sets ``Context.area_of``."""

    name = "areas"
    needs = ("maintainers",)

    def __init__(self) -> None:
        self.areas: dict[str, str] = {}
        self.of_section: dict[str, str] = {}
        """Where most files of a section are."""
        self._prefixes = Prefixes()

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        sources = [path for path in context.paths if is_source(path)]
        by_name: dict[str, set[str]] = {}
        headers = []
        counts: dict[str, Counter[str]] = {}
        for path in sources:
            area = self._prefixes.area(path)
            if area is None:
                headers.append(path)
                continue
            self.areas[path] = area
            if not path.endswith(".h"):
                for section in context.sections_of(path):
                    counts.setdefault(section, Counter())[area] += 1
            if path.endswith(".c") and _CORE.fullmatch(path[: path.rfind("/") + 1]):
                by_name.setdefault(path[path.rfind("/") + 1 : -2], set()).add(area)
        self.of_section = {
            section: min(count, key=lambda area: (-count[area], area))
            for section, count in counts.items()
        }
        for path in headers:
            self.areas[path] = self._header(path, context, by_name)
        context.area_of = self.area_of
        return {}

    def _header(self, path: str, context: Context, by_name: Mapping[str, set[str]]) -> str:
        kernel_side = path.replace("include/uapi/linux/", "include/linux/", 1)
        if kernel_side != path and (area := self._prefixes.area(kernel_side)):
            return area
        for section in context.sections_of(path):
            if section != THE_REST and section in self.of_section:
                return self.of_section[section]
        namesakes = by_name.get(path[path.rfind("/") + 1 : path.rfind(".")], set())
        return next(iter(namesakes)) if len(namesakes) == 1 else OTHER

    def area_of(self, path: str) -> str | None:
        """The area of a source file; None for a path outside the kernel's sources."""
        return self.areas.get(path) or self._prefixes.area(path)
