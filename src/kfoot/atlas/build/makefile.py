"""Kernel Makefiles: the lists they assign, with the options each assignment stands under.

A small reader, no make: variables are kept as text and expanded when used, ``addprefix``,
``addsuffix``, ``patsubst`` and ``include`` are followed, other functions give nothing. Rules,
recipes and flags are passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_CONFIG = re.compile(r"\$[({](CONFIG_\w+)[)}]")
_LIST = re.compile(r"(obj|lib|core|drivers|libs|net|extra|head|subdir|virt)-(.+)")
_COMPOSITE = re.compile(r"([\w.+-]+?)-(?:y|m|objs|\$.*)")
_MACHINE = re.compile(r"(machine|plat)-(.+)")
_REFERENCE = re.compile(r"[\w.+-]+-(?:y|m|objs)")
_DEPTH = 20
"""Variables and includes nested deeper than this are left alone."""
_MOST = 1 << 14
"""Expressions one line may expand; the kernel's longest list has a few hundred."""

Conditions = tuple[str, ...]
"""Options that must be set, "!" before one that must not."""

Load = Callable[[str], str | None]
"""The text of a Makefile by its path in the tree."""


class Rule(NamedTuple):
    """One list assignment."""

    stem: str | None
    """Of a composite object (foo of foo-y); None for a list of objects and folders."""
    conditions: Conditions
    items: tuple[str, ...]
    """Objects (a.o), folders (b/), references to composites ($(foo-y))."""
    may_be_module: bool


def read(path: str, load: Load) -> list[Rule]:
    """The rules of a Makefile and what it includes, in order."""
    reader = _Reader(posixpath.dirname(path), load)
    reader.reading.append(path)
    reader.file(load(path) or "", 0)
    return reader.rules


class _Block:
    """An ifdef block: the branch being read, and what the branches before it rule out."""

    def __init__(self, condition: list[str] | None):
        self.current = condition
        self.before: list[str] = []

    def otherwise(self, condition: list[str] | None) -> None:
        if self.current is not None and len(self.current) == 1:
            option = self.current[0]
            self.before.append(option[1:] if option.startswith("!") else f"!{option}")
        self.current = condition

    def conditions(self) -> list[str]:
        return self.before + (self.current or [])


class _Reader:
    def __init__(self, folder: str, load: Load):
        self.folder = folder
        self.load = load
        self.rules: list[Rule] = []
        self.variables: dict[str, str] = {}
        self.blocks: list[_Block] = []
        self.steps = 0
        """Expressions expanded for the line being read."""
        self.reading: list[str] = []
        """Files being read, the including ones first."""

    def file(self, text: str, depth: int) -> None:
        for line in re.sub(r"\\\n", " ", text).split("\n"):
            self.steps = 0
            line = re.sub(r"(^|\s)#.*", "", line).strip()
            word, _, rest = line.replace("\t", " ").partition(" ")
            if word in ("ifdef", "ifndef", "ifeq", "ifneq"):
                self.blocks.append(_Block(condition(line)))
            elif word == "else":
                if self.blocks:
                    self.blocks[-1].otherwise(condition(rest.strip()))
            elif word == "endif":
                if self.blocks:
                    self.blocks.pop()
            elif word in ("include", "-include") and depth < _DEPTH:
                for name in self.expand(rest, {"srctree": "", "src": self.folder}):
                    self.include(name, depth)
            else:
                assigned = _assignment(line)
                if assigned:
                    self.assign(*assigned)

    def include(self, name: str, depth: int) -> None:
        path = posixpath.normpath(name).lstrip("/")
        for candidate in (path, posixpath.normpath(f"{self.folder}/{name}")):
            text = self.load(candidate)
            if text is not None and candidate not in self.reading:
                self.reading.append(candidate)
                self.file(text, depth + 1)
                self.reading.pop()
                return

    def assign(self, left: str, how: str, right: str) -> None:
        left = left.strip().removeprefix("export ").strip()
        if re.fullmatch(r"\w+", left):
            before = self.variables.get(left)
            if how == "+=" and before is not None:
                self.variables[left] = f"{before} {right}"
            elif how != "?=" or before is None:
                self.variables[left] = right
            return
        outer = [option for block in self.blocks for option in block.conditions()]
        conditions = tuple(dict.fromkeys([*outer, *_CONFIG.findall(left)]))
        here = {"srctree": ".", "src": ".", "obj": "."}
        listed, machine = _LIST.fullmatch(left), _MACHINE.fullmatch(left)
        composite = _COMPOSITE.fullmatch(left)
        if listed:
            items = tuple(self.expand(right, here))
            module = listed[2] != "y" and listed[1] in ("obj", "net")
            self.rules.append(Rule(None, conditions, items, module))
        elif machine and "CONFIG_" in left:
            kind = "mach" if machine[1] == "machine" else "plat"
            items = tuple(f"{kind}-{item}/" for item in self.expand(right, here))
            self.rules.append(Rule(None, conditions, items, False))
        elif composite:
            items = tuple(self.expand(right, here))
            self.rules.append(Rule(composite[1], conditions, items, False))

    def expand(self, text: str, fixed: dict[str, str], depth: int = 0) -> list[str]:
        """The words of a text. References to lists ($(foo-y)) stay as they are."""
        if depth > _DEPTH:
            return []
        out = ""
        for piece in _pieces(text):
            if not piece.startswith("$"):
                out += piece
                continue
            out += " ".join(self._value(piece[2:-1], fixed, depth + 1))
        return out.split()

    def _value(self, inside: str, fixed: dict[str, str], depth: int) -> list[str]:
        self.steps += 1
        if self.steps > _MOST:
            return []
        name, _, rest = inside.partition(" ")
        if name in ("addprefix", "addsuffix"):
            affix, _, words = rest.partition(",")
            extra = "".join(self.expand(affix, fixed, depth))
            found = self.expand(words, fixed, depth)
            return [extra + word if name == "addprefix" else word + extra for word in found]
        if name == "patsubst" and rest.count(",") >= 2:
            before, after, words = (part.strip() for part in rest.split(",", 2))
            return [_patsubst(before, after, word) for word in self.expand(words, fixed, depth)]
        if name in ("sort", "strip"):
            return self.expand(rest, fixed, depth)
        if inside in fixed:
            return [fixed[inside]]
        if inside in ("SRCARCH", "ARCH"):
            return ["$(SRCARCH)"]
        if inside in self.variables:
            text = self.variables.pop(inside)  # so that it cannot expand to itself
            try:
                return self.expand(text, fixed, depth)
            finally:
                self.variables[inside] = text
        return [f"$({inside})"] if _REFERENCE.fullmatch(inside) else []


def _assignment(line: str) -> tuple[str, str, str] | None:
    """Left side, sign and right side of a line that assigns."""
    left, sign, right = line.partition("=")
    if not sign:
        return None
    if left.endswith(("+", ":", "?")):
        left, sign = left.rstrip(":") if left.endswith(":") else left[:-1], left[-1] + sign
    left = left.strip()
    if not left or any(mark in left for mark in ":+?#"):
        return None
    return left, sign, right.strip()


def _patsubst(before: str, after: str, word: str) -> str:
    head, percent, tail = before.partition("%")
    if not percent or not (word.startswith(head) and word.endswith(tail)):
        return word
    return after.replace("%", word[len(head) : len(word) - len(tail)], 1)


def _pieces(text: str) -> Iterator[str]:
    """Plain text and whole $(...) expressions, in turn."""
    at = 0
    while (start := text.find("$", at)) >= 0:
        if text[start + 1 : start + 2] not in ("(", "{"):
            yield text[at : start + 1].replace("$", "")
            at = start + 1
            continue
        yield text[at:start]
        depth, end = 0, start + 1
        while end < len(text):
            depth += (text[end] in "({") - (text[end] in ")}")
            end += 1
            if not depth:
                break
        if depth:
            return
        yield text[start:end]
        at = end
    yield text[at:]


def condition(line: str) -> list[str] | None:
    """The options a conditional directive asks for; [] for a plain else, None if it is no plain
    AND of options."""
    if not line:
        return []
    word, _, rest = line.replace("\t", " ").partition(" ")
    rest = rest.strip()
    if word in ("ifdef", "ifndef"):
        if not rest.startswith("CONFIG_"):
            return None
        return [rest] if word == "ifdef" else [f"!{rest}"]
    sides = re.fullmatch(r"\(\s*(.*?)\s*,\s*(\w*)\s*\)", rest) or re.fullmatch(
        r"""["'](.*?)["']\s+["'](\w*)["']""", rest
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
    return None
