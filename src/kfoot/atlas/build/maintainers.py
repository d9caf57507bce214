"""Which MAINTAINERS sections cover a path, as scripts/get_maintainer.pl decides.

The rules, from get_maintainer.pl: a section is the run of ``X:`` lines behind a line that is
none. F and X patterns are regular expressions anchored at the start (``.`` literal, ``*`` any
text, ``?`` any character); one that names a folder gets a trailing slash; one without a trailing
slash also needs as many slashes as the path. N is a regular expression searched anywhere, with
depth 0. A section excluded by X is out; of its other patterns the last that matches gives the
depth (slashes, one more without a trailing slash; -1 when it begins with ``*``); deepest first.
Ties, which Perl leaves to chance, go to the longer literal beginning, then the section that covers
fewer files, then the name. K (a keyword in a patch) says nothing about a path and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.schema import Row

THE_REST = "THE REST"
_TAG = re.compile(r"([A-Z]):\s*(.*)")
_SPECIAL = re.compile(r"(?:[^\\.*+?\[\](){}^$|]|\\\.)*")
"""The literal beginning of a converted pattern."""


@dataclass(slots=True)
class Section:
    """One section of MAINTAINERS."""

    name: str
    status: str | None = None
    lists: list[str] = field(default_factory=list)
    """Mailing lists, without their addresses: "linux-spi"."""
    rules: list[tuple[str, str]] = field(default_factory=list)
    """F, X and N patterns as written, in order."""
    files: int = 0
    """Source files it covers."""


def parse(text: str) -> list[Section]:
    """The sections, in order. Text before the first ``X:`` line is no section but its name."""
    sections: list[Section] = []
    header = ""
    current: Section | None = None
    for line in text.split("\n"):
        tag = _TAG.match(line)
        if tag is None:
            if line.strip() and not re.match(r"\s*#", line):
                header, current = line, None
            continue
        if current is None:
            current = Section(header.strip())
            sections.append(current)
        letter, value = tag.groups()
        if letter == "S" and current.status is None:
            current.status = value.strip()
        elif letter == "L":
            current.lists.append(re.split(r"[@\s]", value)[0])
        elif letter in "FXN":
            current.rules.append((letter, value))
    return sections


class _Rule(NamedTuple):
    section: int
    order: int
    """Position in the section: the last that matches decides."""
    excludes: bool
    literal: str
    """Beginning of every match, all of it when ``pattern`` is None."""
    pattern: re.Pattern[str] | None
    slashes: int
    """How many the path must have; -1 for any."""
    depth: int


class Matcher:
    """Sections of a path. Compiles the patterns once, by the folder their literal part names."""

    def __init__(self, sections: list[Section], is_folder: Callable[[str], bool]):
        self.sections = sections
        self._by_folder: dict[str, list[_Rule]] = {}
        self._names: list[tuple[int, int, re.Pattern[str]]] = []
        for number, section in enumerate(sections):
            for order, (letter, value) in enumerate(section.rules):
                try:
                    if letter == "N":
                        self._names.append((number, order, re.compile(value, re.VERBOSE)))
                    else:
                        self._add(number, order, letter == "X", value, is_folder)
                except re.error:
                    continue  # Perl would die here: no released MAINTAINERS has such a line

    def _add(
        self, number: int, order: int, excludes: bool, value: str, is_folder: Callable[[str], bool]
    ) -> None:
        pattern = value.replace(".", "\\.").replace("*", ".*").replace("?", ".")
        if is_folder(pattern):
            pattern = pattern.rstrip("/") + "/"
        whole_folder = pattern.endswith("/")
        depth = pattern.count("/") + (0 if whole_folder else 1)
        if pattern.startswith(".*"):
            depth = -1
        found = _SPECIAL.match(pattern)
        start = found.group() if found else ""
        literal = start.replace("\\.", ".")
        rule = _Rule(
            number,
            order,
            excludes,
            literal,
            None if start == pattern else re.compile(pattern),
            -1 if whole_folder else pattern.count("/"),
            depth,
        )
        self._by_folder.setdefault(literal[: literal.rfind("/") + 1], []).append(rule)

    def _rules(self, path: str) -> Iterator[_Rule]:
        yield from self._by_folder.get("", ())
        end = path.find("/")
        while end >= 0:
            yield from self._by_folder.get(path[: end + 1], ())
            end = path.find("/", end + 1)

    def match(self, path: str) -> list[tuple[int, int, int]]:
        """(section number, depth, length of the literal beginning) of each that covers ``path``,
        in no order."""
        slashes = path.count("/")
        best: dict[int, tuple[int, int, int]] = {}
        excluded: set[int] = set()
        for rule in self._rules(path):
            if rule.slashes not in (-1, slashes) or not path.startswith(rule.literal):
                continue
            if rule.pattern is not None and not rule.pattern.match(path):
                continue
            if rule.excludes:
                excluded.add(rule.section)
            else:
                found = (rule.order, rule.depth, len(rule.literal))
                best[rule.section] = max(best.get(rule.section, found), found)
        for section, order, name in self._names:
            if name.search(path):
                found = (order, 0, 0)
                best[section] = max(best.get(section, found), found)
        return [
            (section, depth, literal)
            for section, (_, depth, literal) in best.items()
            if section not in excluded
        ]


class MaintainersBuilder(Builder):
    """Sets ``Context.sections_of``; gives the table ``sections`` (by way of ``areas``)."""

    name = "maintainers"

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._matcher = Matcher([], lambda path: False)
        self._known: dict[str, tuple[str, ...]] = {}

    def wants(self, path: str) -> bool:
        return path == "MAINTAINERS"

    def scan(self, path: str, data: bytes) -> Any:
        return parse(data.decode("utf-8", "replace"))

    def take(self, path: str, facts: Any) -> None:
        self.sections = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        folders = folders_of(context.paths)
        self._matcher = Matcher(self.sections, lambda path: path.rstrip("/") in folders)
        matches = {path: self._matcher.match(path) for path in context.paths if is_source(path)}
        for found in matches.values():
            for section, _, _ in found:
                self.sections[section].files += 1
        self._known = {path: self._ranked(found) for path, found in matches.items()}
        context.sections_of = self.sections_of
        return {}

    def _ranked(self, found: list[tuple[int, int, int]]) -> tuple[str, ...]:
        def rank(match: tuple[int, int, int]) -> tuple[bool, int, int, int, str]:
            section = self.sections[match[0]]
            return section.name == THE_REST, -match[1], -match[2], section.files, section.name

        return tuple(self.sections[match[0]].name for match in sorted(found, key=rank))

    def sections_of(self, path: str) -> tuple[str, ...]:
        """Names of the sections that cover any path of the tree, most specific first."""
        if path not in self._known:
            self._known[path] = self._ranked(self._matcher.match(path))
        return self._known[path]


SOURCE_SUFFIXES = (".c", ".h", ".S", ".rs")
NOT_KERNEL = ("Documentation/", "LICENSES/", "scripts/", "tools/", "usr/")


def is_source(path: str) -> bool:
    """Whether a path is kernel source (what the table ``files`` lists)."""
    return path.endswith(SOURCE_SUFFIXES) and not path.startswith(NOT_KERNEL)


def folders_of(paths: Iterable[str]) -> set[str]:
    """Every folder some path lies in, without trailing slash."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
