"""Options: type, prompt and what they depend on, from the Kconfig files.

``depends`` is the option's own ``depends on`` lines, those of the menus and ``if`` blocks around it
in its file, and, when its file is sourced in one place only, of the blocks around that line.
Help texts are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.maintainers import NOT_KERNEL
from kfoot.atlas.schema import Row

_TYPES = ("bool", "tristate", "string", "hex", "int")
_WORD = re.compile(r"([\w-]+)\s*(.*)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|' + r"'((?:[^'\\]|\\.)*)'")


class Option(NamedTuple):
    name: str
    type: str | None
    prompt: str | None
    depends: tuple[str, ...]


class Facts(NamedTuple):
    options: tuple[Option, ...]
    sourced: tuple[tuple[str, tuple[str, ...]], ...]
    """Files this one sources, with the conditions around the line."""


def parse(text: str) -> Facts:
    """The options and source lines of one Kconfig file."""
    options: list[Option] = []
    sourced: list[tuple[str, tuple[str, ...]]] = []
    blocks: list[list[str]] = []
    entry: list[Any] | None = None
    """name, type, prompt, depends of the option being read."""
    in_menu = False
    """Whether ``depends on`` belongs to the menu just opened."""
    help_indent: int | None = None

    def flush() -> None:
        nonlocal entry
        if entry is not None:
            around = [condition for block in blocks for condition in block]
            depends = tuple(dict.fromkeys([*around, *entry[3]]))
            options.append(Option(entry[0], entry[1], entry[2], depends))
        entry = None

    for raw in re.sub(r"\\\n", " ", text).split("\n"):
        line = raw.expandtabs()
        if help_indent is not None:
            if not line.strip():
                continue
            indent = len(line) - len(line.lstrip())
            if help_indent < 0:
                help_indent = max(indent, 1)
            if indent >= help_indent:
                continue
            help_indent = None
        found = _WORD.match(line.strip())
        if found is None:
            if line.strip() in ("---help---",):
                help_indent = -1
            continue
        word, rest = found.groups()
        if word in ("config", "menuconfig"):
            flush()
            in_menu = False
            entry = [f"CONFIG_{rest.split()[0]}", None, None, []] if rest.split() else None
        elif word in ("menu", "if", "choice"):
            flush()
            in_menu = word != "if"
            blocks.append([] if in_menu else [_expression(rest)])
        elif word in ("endmenu", "endif", "endchoice"):
            flush()
            in_menu = False
            if blocks:
                blocks.pop()
        elif word in ("source", "rsource", "osource"):
            flush()
            around = tuple(condition for block in blocks for condition in block)
            sourced.append((rest.strip().strip("\"'"), around))
        elif word == "comment":
            flush()
            in_menu = False
        elif word == "help" and not rest:
            help_indent = -1
        elif word == "depends" and rest.startswith("on"):
            if entry is not None:
                entry[3].append(_expression(rest[2:]))
            elif in_menu and blocks:
                blocks[-1].append(_expression(rest[2:]))
        elif entry is not None:
            if word in _TYPES or word.removeprefix("def_") in _TYPES:
                entry[1] = entry[1] or word.removeprefix("def_")
            if word in _TYPES or word == "prompt":
                string = _STRING.match(rest)
                if string and entry[2] is None:
                    entry[2] = string[1] if string[1] is not None else string[2]
    flush()
    return Facts(tuple(options), tuple(sourced))


def _expression(text: str) -> str:
    return " ".join(text.partition("#")[0].split())


class KconfigBuilder(Builder):
    """Gives ``kconfig``; ``tristate`` holds the options that can be modules."""

    name = "kconfig"

    def __init__(self) -> None:
        self.tristate: set[str] = set()
        self._facts: dict[str, Facts] = {}

    def wants(self, path: str) -> bool:
        return path.rpartition("/")[2].startswith("Kconfig") and not path.startswith(NOT_KERNEL)

    def scan(self, path: str, data: bytes) -> Any:
        return parse(data.decode("utf-8", "replace"))

    def take(self, path: str, facts: Any) -> None:
        self._facts[path] = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        sites: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for path, facts in sorted(self._facts.items()):
            for target, around in facts.sourced:
                sites.setdefault(target, []).append((path, around))
        rows: list[Row] = []
        for path, facts in sorted(self._facts.items()):
            outer = self._around(path, sites)
            for option in facts.options:
                depends = " && ".join(
                    f"({text})" if "||" in text else text
                    for text in dict.fromkeys([*outer, *option.depends])
                )
                if option.type == "tristate":
                    self.tristate.add(option.name)
                rows.append((option.name, option.type, option.prompt, depends or None, path))
        return {"kconfig": rows}

    def _around(
        self, path: str, sites: Mapping[str, list[tuple[str, tuple[str, ...]]]]
    ) -> list[str]:
        """Conditions around the one line that sources a file, all the way up."""
        out: list[str] = []
        seen = {path}
        while len(sites.get(path, ())) == 1:
            path, around = sites[path][0]
            if path in seen:
                break
            seen.add(path)
            out[:0] = around
        return out
