"""Which options a file needs to be built, and the module it goes into, from the Makefiles.

Read: ``obj-``, ``lib-``, ``core-``, ``drivers-``, ``libs-``, ``net-``, ``extra-`` and ``subdir-``
lists, composite objects (``foo-y``, ``foo-objs``, ``foo-$(CONFIG_X)``), ``ifdef``, ``ifeq`` and
their ``else``, plain variables and ``addprefix``. The options of a file are those of its own rule
and of every folder rule above it. Where a condition is no plain AND of options (``ifneq
($(CONFIG_A)$(CONFIG_B),)``) it is left out: every option listed is necessary, the list need not
be complete. Options tested inside the source with #ifdef are not seen.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.maintainers import NOT_KERNEL
from kfoot.atlas.schema import Row

_CONFIG = re.compile(r"\$[({](CONFIG_\w+)[)}]")
_ASSIGN = re.compile(r"([^\s:=+?#][^:=+?#]*?)\s*(?:\+=|:=|\?=|=)\s*(.*)")
_LIST = re.compile(r"(obj|lib|core|drivers|libs|net|extra|head|subdir|virt)-(.+)")
_COMPOSITE = re.compile(r"([\w.+-]+?)-(?:y|m|objs|\$.*)")
_MACHINE = re.compile(r"(machine|plat)-(.+)")
_ADDPREFIX = re.compile(r"\$\(addprefix\s+([^,()]+),\s*([^()]*)\)")
_HERE = re.compile(r"\$\((?:obj|src|srctree|srctree\)/\$\(src)\)/")

Conditions = tuple[str, ...]
"""Options that must be set, "!" before one that must not."""


class Rule(NamedTuple):
    """One list assignment of a Makefile."""

    stem: str | None
    """Of a composite object; None for a list of objects and folders."""
    conditions: Conditions
    items: tuple[str, ...]
    may_be_module: bool


def parse(text: str) -> list[Rule]:
    """The rules of one Makefile, in order."""
    rules: list[Rule] = []
    blocks: list[_Block] = []
    variables: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        word = line.partition(" ")[0].partition("\t")[0]
        if word in ("ifdef", "ifndef", "ifeq", "ifneq"):
            blocks.append(_Block(_condition(line)))
        elif word == "else":
            if blocks:
                blocks[-1].otherwise(_condition(line[4:].strip()))
        elif word == "endif":
            if blocks:
                blocks.pop()
        else:
            assigned = _ASSIGN.fullmatch(line)
            if assigned:
                outer = [c for block in blocks for c in block.conditions()]
                rules += _rule(assigned[1], assigned[2], outer, variables)
    return rules


class _Block:
    """An ifdef block and its branches: None stands for a condition that is no AND of options."""

    def __init__(self, condition: list[str] | None):
        self.current = condition
        self.before: list[str] = []
        """Negations of the branches before this one, as far as they are known."""

    def otherwise(self, condition: list[str] | None) -> None:
        if self.current is not None and len(self.current) == 1:
            self.before.append(_negated(self.current[0]))
        self.current = condition

    def conditions(self) -> list[str]:
        return self.before + (self.current or [])


def _negated(option: str) -> str:
    return option[1:] if option.startswith("!") else f"!{option}"


def _condition(line: str) -> list[str] | None:
    """The options a conditional directive asks for; [] for a plain else, None if unclear."""
    if not line:
        return []
    word, _, rest = line.partition(" ")
    if word in ("ifdef", "ifndef"):
        name = rest.strip()
        if not name.startswith("CONFIG_"):
            return None
        return [name] if word == "ifdef" else [f"!{name}"]
    if word not in ("ifeq", "ifneq"):
        return None
    sides = re.fullmatch(r"\(\s*(.*?)\s*,\s*(\w*)\s*\)", rest.strip()) or re.fullmatch(
        r"""["'](.*?)["']\s+["'](\w*)["']""", rest.strip()
    )
    if sides is None or not re.fullmatch(r"(?:\$[({]CONFIG_\w+[)}])+", sides[1]):
        return None
    options, value = _CONFIG.findall(sides[1]), sides[2]
    if word == "ifeq" and value and set(value) <= {"y", "m"} and len(value) == len(options):
        return options
    if word == "ifneq" and not value and len(options) == 1:
        return options
    if word == "ifeq" and not value:
        return [f"!{option}" for option in options]
    if word == "ifneq" and value == "y" and len(options) == 1:
        return None  # may still be m
    return None


def _rule(
    left: str, right: str, outer: Sequence[str], variables: dict[str, list[str]]
) -> Iterator[Rule]:
    left = left.strip().removeprefix("export ").strip()
    items = tuple(_items(right, variables))
    if re.fullmatch(r"\w+", left):
        variables.setdefault(left, []).extend(items)
        return
    conditions = tuple(dict.fromkeys([*outer, *_CONFIG.findall(left)]))
    listed = _LIST.fullmatch(left)
    machine = _MACHINE.fullmatch(left)
    composite = _COMPOSITE.fullmatch(left)
    if listed:
        yield Rule(None, conditions, items, listed[2] != "y" and listed[1] in ("obj", "net"))
    elif machine and "CONFIG_" in left:
        kind = "mach" if machine[1] == "machine" else "plat"
        yield Rule(None, conditions, tuple(f"{kind}-{item}/" for item in items), False)
    elif composite:
        yield Rule(composite[1], conditions, items, False)


def _items(text: str, variables: Mapping[str, Sequence[str]]) -> Iterator[str]:
    text = _ADDPREFIX.sub(
        lambda found: " ".join(found[1].strip() + word for word in found[2].split()), text
    )
    for word in _HERE.sub("", text).split():
        name = re.fullmatch(r"\$[({]([\w-]+)[)}]", word)
        if name and name[1] in variables:
            yield from variables[name[1]]
        else:
            yield word


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
        self._rules: dict[str, list[Rule]] = {}
        self._above: dict[str, list[tuple[str, Conditions]]] = {}
        self._necessary: dict[str, Conditions] = {}
        self._paths: set[str] = set()
        self._tristate: set[str] = set()

    def wants(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return name in ("Makefile", "Kbuild") and not path.startswith(NOT_KERNEL)

    def scan(self, path: str, data: bytes) -> Any:
        return parse(data.decode("utf-8", "replace")) or None

    def take(self, path: str, facts: Any) -> None:
        self._rules[path] = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        self._paths = set(context.paths)
        kconfig = context.built.get("kconfig")
        self._tristate = getattr(kconfig, "tristate", set())
        folders: dict[str, list[Rule]] = {}
        for path in sorted(self._rules):
            folders.setdefault(posixpath.dirname(path), []).extend(self._rules[path])
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
        for rule in rules:
            if rule.stem is not None:
                continue
            for item in rule.items:
                if item.endswith("/"):
                    for below in self._folders(folder, item):
                        self._above.setdefault(below, []).append((folder, rule.conditions))

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
        composites: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.stem is not None:
                composites.setdefault(rule.stem, []).append(rule)
        above = self._folder_conditions(folder)
        for rule in rules:
            if rule.stem is not None:
                continue
            for item in rule.items:
                for stem in _stems(item, composites):
                    module = None
                    if rule.may_be_module and self._may_be_module(rule.conditions):
                        module = posixpath.basename(stem).replace("-", "_")
                    self._object(folder, stem, (*above, *rule.conditions), module, composites, ())

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
        if stem in composites and stem not in seen:
            for rule in composites[stem]:
                for item in rule.items:
                    for part in _stems(item, composites):
                        self._object(
                            folder,
                            part,
                            (*conditions, *rule.conditions),
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


def _stems(item: str, composites: Mapping[str, Sequence[Rule]]) -> list[str]:
    """Object names without .o; a reference to another list ($(foo-y)) is that composite."""
    if item.endswith(".o") and "$" not in item:
        return [item[:-2]]
    reference = re.fullmatch(r"\$[({]([\w.+-]+?)-(?:y|m|objs)[)}]", item)
    return [reference[1]] if reference and reference[1] in composites else []


def common(ways: Sequence[Conditions]) -> Conditions:
    """What all ways have, in the order of the first."""
    if not ways:
        return ()
    rest = [set(way) for way in ways[1:]]
    return tuple(dict.fromkeys(option for option in ways[0] if all(option in way for way in rest)))
