"""Which options a file needs to be built, and the module it goes into, from the Makefiles.

The options of a file are those of its own rule and of every folder rule above it. Where a
condition is no plain AND of options (``ifneq ($(CONFIG_A)$(CONFIG_B),)``) it is left out: every
option listed is necessary, the list need not be complete. Options tested inside the source with
#ifdef are not seen.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.maintainers import NOT_KERNEL
from kfoot.atlas.build.makefile import Conditions, Rule, read
from kfoot.atlas.schema import Row

_MAKEFILE = re.compile(r"(?:.*/)?(?:Makefile|Kbuild)(?:[._-][\w.-]*)?")
_NESTED = 8
"""Composite objects within composite objects."""


class Build(NamedTuple):
    """One way a file comes to be built."""

    path: str
    conditions: Conditions
    module: str | None
    folder: str
    """Of the Makefile."""


def _build_order(build: Build) -> tuple[Conditions, str, str]:
    return build.conditions, build.module or "", build.folder


class KbuildBuilder(Builder):
    """Gives ``builds`` and what the builder ``files`` needs: options and module of each file."""

    name = "kbuild"
    needs = ("kconfig",)

    def __init__(self) -> None:
        self.builds: dict[str, list[Build]] = {}
        """Every way each file comes to be built, sorted."""
        self._texts: dict[str, str] = {}
        self._above: dict[str, list[tuple[str, Conditions]]] = {}
        self._necessary: dict[str, Conditions] = {}
        self._paths: set[str] = set()
        self._tristate: set[str] = set()

    def wants(self, path: str) -> bool:
        return bool(_MAKEFILE.fullmatch(path)) and not path.startswith(NOT_KERNEL)

    def scan(self, path: str, data: bytes) -> Any:
        return data.decode("utf-8", "replace")

    def take(self, path: str, facts: Any) -> None:
        self._texts[path] = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        self._paths = set(context.paths)
        kconfig = context.built.get("kconfig")
        self._tristate = getattr(kconfig, "tristate", set())
        folders: dict[str, list[Rule]] = {}
        for path in sorted(self._texts):
            if posixpath.basename(path) in ("Makefile", "Kbuild"):
                rules = read(path, self._texts.get)
                folders.setdefault(posixpath.dirname(path), []).extend(rules)
        for folder, rules in folders.items():
            self._note_folders(folder, rules)
        for folder, rules in sorted(folders.items()):
            self._objects(folder, rules)
        for path, ways in self.builds.items():
            self.builds[path] = sorted(set(ways), key=_build_order)
        return {
            "builds": [
                (way.path, way.conditions, way.module)
                for ways in self.builds.values()
                if len(ways) > 1
                for way in ways
            ]
        }

    def _note_folders(self, folder: str, rules: Sequence[Rule]) -> None:
        composites = _composites(rules)
        for rule in rules:
            if rule.stem is not None:
                continue
            for item, conditions in _flat(rule, composites):
                if item.endswith("/"):
                    for below in self._folders(folder, item):
                        self._above.setdefault(below, []).append((folder, conditions))

    def _folders(self, folder: str, item: str) -> list[str]:
        """The folders an item means: arch/X/Makefile names them from the top of the tree."""
        item = item.replace("$(ARCH)", "$(SRCARCH)")
        if "$(SRCARCH)" in item:
            architectures = {
                path.split("/")[1] for path in self._paths if path.startswith("arch/")
            } - {"Kconfig", ".gitignore"}
            return [
                posixpath.normpath(posixpath.join(folder, item.replace("$(SRCARCH)", name)))
                for name in sorted(architectures)
            ]
        if item.startswith("arch/"):
            return [posixpath.normpath(item)]
        return [posixpath.normpath(posixpath.join(folder, item))]

    def _folder_conditions(self, folder: str, seen: tuple[str, ...] = ()) -> Conditions:
        """What every way down to a folder needs."""
        if not folder or folder in seen:
            return ()
        if folder not in self._necessary:
            seen = (*seen, folder)
            ways = [
                (*self._folder_conditions(parent, seen), *conditions)
                for parent, conditions in self._above.get(folder, ())
            ] or [self._folder_conditions(posixpath.dirname(folder), seen)]
            self._necessary[folder] = common(ways)
        return self._necessary[folder]

    def _objects(self, folder: str, rules: Sequence[Rule]) -> None:
        composites = _composites(rules)
        above = self._folder_conditions(folder)
        for rule in rules:
            if rule.stem is not None:
                continue
            for item, conditions in _flat(rule, composites):
                if item.endswith(".o"):
                    stem, module = item[:-2], None
                    if rule.may_be_module and self._may_be_module(rule.conditions):
                        module = posixpath.basename(stem).replace("-", "_")
                    self._object(folder, stem, (*above, *conditions), module, composites, ())

    def _may_be_module(self, conditions: Conditions) -> bool:
        """obj-m, or an option that can be m (any, when no Kconfig was read)."""
        options = [option for option in conditions if not option.startswith("!")]
        return not options or not self._tristate or not self._tristate.isdisjoint(options)

    def _object(
        self,
        folder: str,
        stem: str,
        conditions: Conditions,
        module: str | None,
        composites: Mapping[str, Sequence[Rule]],
        seen: tuple[str, ...],
    ) -> None:
        if stem in composites and stem not in seen and len(seen) < _NESTED:
            for rule in composites[stem]:
                for item, needed in _flat(rule, composites):
                    if item.endswith(".o"):
                        self._object(
                            folder,
                            item[:-2],
                            (*conditions, *needed),
                            module,
                            composites,
                            (*seen, stem),
                        )
            if any(f"{stem}.o" in rule.items for rule in composites[stem]):
                return
        base = posixpath.normpath(posixpath.join(folder, stem))
        for suffix in (".c", ".S", ".rs"):
            if base + suffix in self._paths:
                options = tuple(dict.fromkeys(conditions))
                build = Build(base + suffix, options, module, folder)
                self.builds.setdefault(base + suffix, []).append(build)
                return

    def necessary(self, path: str) -> Conditions:
        """Options without which a file is not built, in the order of the Makefiles."""
        return common([way.conditions for way in self.builds.get(path, ())])

    def module(self, path: str) -> str | None:
        """The module a file goes into; None when it never does, or into several."""
        names = {way.module for way in self.builds.get(path, ())}
        return names.pop() if len(names) == 1 else None


def _composites(rules: Sequence[Rule]) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.stem is not None:
            found.setdefault(rule.stem, []).append(rule)
    return found


def _flat(
    rule: Rule, composites: Mapping[str, Sequence[Rule]], depth: int = 0
) -> Iterator[tuple[str, Conditions]]:
    """A rule's items, each reference to another list ($(foo-y)) replaced by that list's."""
    for item in rule.items:
        reference = re.fullmatch(r"\$\(([\w.+-]+?)-(?:y|m|objs)\)", item)
        if reference is None:
            yield item, rule.conditions
        elif depth < _NESTED:
            for other in composites.get(reference[1], ()):
                for below, conditions in _flat(other, composites, depth + 1):
                    yield below, (*rule.conditions, *conditions)


def common(ways: Sequence[Conditions]) -> Conditions:
    """What all ways have, in the order of the first."""
    if not ways:
        return ()
    rest = [set(way) for way in ways[1:]]
    return tuple(dict.fromkeys(option for option in ways[0] if all(option in way for way in rest)))
