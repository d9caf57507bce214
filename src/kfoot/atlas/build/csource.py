"""Reading C without compiling it: calls with their arguments, initialised structs, constants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_STRING = re.compile(r'"((?:\\.|[^"\\\n])*)"')
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S[^\n]*?)[ \t]*$", re.M)
_NUMBER = re.compile(r"^static (?:unsigned )?int (\w+) = (\w+);", re.M)
_TEXT = re.compile(
    r'\bchar\s+(?:const\s+)?\*?\s*(?:const\s+)?(\w+)\s*(?:\[\w*\])?\s*=\s*("[^"\n]*"|\w+)\s*;'
)
_BRACKET = re.compile(r"\s*\(")
_INITIALISED = re.compile(r"(?:\s+__\w+)?\s+(\w+)\s*(?:\[\w*\])?[\w\s()]{0,200}=\s*\{")
_LONGEST = 20000
"""An initialiser or argument list longer than this many characters is not read to its end."""


def plain(data: bytes) -> str:
    """Source text without comments; line breaks and strings stay where they were."""

    def blank(found: re.Match[str]) -> str:
        text = found[0]
        return text if text[0] == '"' else " " + "\n" * text.count("\n")

    return _COMMENT.sub(blank, data.decode("utf-8", "replace"))


def split(text: str, start: int) -> tuple[list[str], int] | None:
    """The comma-separated parts of the bracket that opens at ``start``, and the index behind it.

    None when it does not close within reach.
    """
    parts: list[str] = []
    level = 0
    at = begin = start
    end = min(len(text), start + _LONGEST)
    while at < end:
        char = text[at]
        if char == '"':
            found = _STRING.match(text, at)
            at = found.end() if found else at + 1
            continue
        if char in "([{":
            level += 1
            if level == 1:
                begin = at + 1
        elif char in ")]}":
            level -= 1
            if level == 0:
                parts.append(text[begin:at].strip())
                return parts, at + 1
        elif char == "," and level == 1:
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return None


def _words(text: str, word: str) -> Iterator[int]:
    """Where ``word`` begins, as a whole word. (str.find is ten times as fast as a pattern.)"""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        before, after = text[at - 1 : at], text[end : end + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            yield at
        at = text.find(word, end)


def calls(text: str, names: Iterable[str]) -> Iterator[tuple[str, list[str], int]]:
    """Calls of ``names``: the name, its arguments, where it stands."""
    for name in names:
        for at in _words(text, name):
            bracket = _BRACKET.match(text, at + len(name))
            parts = split(text, bracket.end() - 1) if bracket else None
            if parts:
                yield name, parts[0], at


def structs(text: str, kind: str) -> Iterator[tuple[str, list[str], int]]:
    """Initialised variables ``struct KIND name = {...}``: name, the initialiser's parts, place."""
    for at in _words(text, f"struct {kind}"):
        found = _INITIALISED.match(text, at + len("struct ") + len(kind))
        parts = split(text, found.end() - 1) if found else None
        if found and parts:
            yield found[1], parts[0], at


def fields(parts: Iterable[str]) -> dict[str, str]:
    """The ``.name = value`` parts of an initialiser."""
    out: dict[str, str] = {}
    for part in parts:
        found = re.match(r"\.?(\w+)\s*(?:=|:)\s*(.*)", part, re.S)
        if found:
            out[found[1]] = found[2].strip()
    return out


def constants(text: str) -> dict[str, str]:
    """Names a file gives to strings and numbers: #define, char arrays and pointers,
    static integers with a first value."""
    out = dict(_DEFINE.findall(text))
    if "char" in text:
        out.update(_TEXT.findall(text))
    out.update(_NUMBER.findall(text))
    return out


def string(value: str, known: Mapping[str, str], depth: int = 0) -> str | None:
    """The string an expression stands for (literals joined, names looked up); None: unknown."""
    if depth > 8:
        return None
    text = value.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if text.startswith('"'):
        rest = _STRING.sub("", text).split()
        pieces = _STRING.findall(text)
        if rest:
            return None
        return "".join(pieces)
    if re.fullmatch(r"\w+", text) and text in known:
        return string(known[text], known, depth + 1)
    return None


def number(value: str, known: Mapping[str, str], depth: int = 0) -> int | None:
    """The whole number an expression stands for; None when it is not known."""
    text = value.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if depth > 8:
        return None
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", text):
        return int(text, 16 if text[:2].lower() == "0x" else 10)
    if re.fullmatch(r"\w+", text) and text in known:
        return number(known[text], known, depth + 1)
    found = re.fullmatch(r"(\w+)\s*\+\s*(\w+)", text)
    if found:
        left, right = (number(found[at], known, depth + 1) for at in (1, 2))
        return None if left is None or right is None else left + right
    return None
