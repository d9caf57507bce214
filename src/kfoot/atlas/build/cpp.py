"""A small C preprocessor: conditionals, object- and function-like macros, # and ##.

Enough for the kernel's ``unistd.h`` headers and trace event headers, so that building an atlas
needs no compiler. What it does not know (variadic names, ``__VA_OPT__``) it leaves as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|\w+|##|[^\w\s"\']|\s+|["\']')
_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_DIRECTIVE = re.compile(r"\s*#\s*(\w+)\b\s*(.*)", re.S)
_DEFINE = re.compile(r"(\w+)(\(([^)]*)\))?\s*(.*)", re.S)
_MOST = 1 << 20
"""Tokens read for one expansion; the largest in the kernel's headers needs some thousands."""
_DEPTH = 40
"""Macros nested deeper than this are taken for runaway recursion and left unexpanded."""


@dataclass(frozen=True, slots=True)
class Macro:
    """``params`` is None for an object-like macro; a last "..." stands for __VA_ARGS__."""

    params: tuple[str, ...] | None
    body: str


def without_comments(text: str) -> str:
    """The text with comments blanked (string literals kept) and continued lines joined."""
    joined = re.sub(r"\\[ \t]*\n", " ", text)
    return _COMMENT.sub(lambda found: found[0] if found[0][0] == '"' else " ", joined)


@dataclass(slots=True)
class Preprocessor:
    """Macros known so far; ``include`` gives a header's text by the name in <> or "", or None."""

    macros: dict[str, Macro] = field(default_factory=dict)
    include: Callable[[str], str | None] = lambda name: None
    fixed: frozenset[str] = frozenset()
    """Names that sources can neither define nor undefine."""
    _left: int = 0
    """Tokens the expansion that is going on may still read."""

    def define(self, name: str, body: str = "1", params: tuple[str, ...] | None = None) -> None:
        self.macros[name] = Macro(params, body)

    def run(self, text: str, *, depth: int = 0) -> Iterator[str]:
        """The active lines that are no directives, unexpanded, as they come; defines on the way."""
        active = [True]
        taken = [True]
        for line in without_comments(text).split("\n"):
            found = _DIRECTIVE.match(line)
            if not found:
                if active[-1] and line.strip():
                    yield line
                continue
            word, rest = found[1], found[2].strip()
            if word in ("if", "ifdef", "ifndef"):
                true = active[-1] and self._condition(word, rest)
                active.append(true)
                # A block inside an inactive one never has an active branch.
                taken.append(true or not active[-2])
            elif word == "elif" and len(active) > 1:
                active[-1] = not taken[-1] and self._condition("if", rest)
                taken[-1] = taken[-1] or active[-1]
            elif word == "else" and len(active) > 1:
                active[-1], taken[-1] = not taken[-1], True
            elif word == "endif" and len(active) > 1:
                active.pop()
                taken.pop()
            elif active[-1]:
                if word == "include" and depth < _DEPTH:
                    header = self.include(rest.strip('<>"'))
                    if header is not None:
                        yield from self.run(header, depth=depth + 1)
                else:
                    self._directive(word, rest)

    def _directive(self, word: str, rest: str) -> None:
        found = _DEFINE.match(rest)
        if not found or found[1] in self.fixed:
            return
        if word == "undef":
            self.macros.pop(found[1], None)
        elif word == "define":
            params = None
            if found[2] is not None:
                params = tuple(name.strip() for name in found[3].split(",") if name.strip())
            self.macros[found[1]] = Macro(params, found[4].strip())

    def _condition(self, word: str, rest: str) -> bool:
        if word == "if":
            return bool(self.value(rest) or 0)
        name = rest.split()[0] if rest.split() else ""
        return (name in self.macros) is (word == "ifdef")

    def value(self, expression: str) -> int | None:
        """The integer an #if-like expression has; None when it is not one."""

        def defined(found: re.Match[str]) -> str:
            return "1" if found[1] in self.macros else "0"

        text = re.sub(r"\bdefined\s*\(?\s*(\w+)\s*\)?", defined, expression)
        return evaluate(self.expand(text))

    def expand(self, text: str) -> str:
        """``text`` with all macros expanded (a macro is not expanded inside its own body).

        Sources that nest or multiply without end stay unexpanded from some point on.
        """
        self._left = _MOST
        try:
            return self._expand(text, frozenset())
        except RecursionError:
            return text

    def _expand(self, text: str, hidden: frozenset[str]) -> str:
        tokens = _TOKEN.findall(text)
        self._left -= len(tokens)
        if len(hidden) > _DEPTH or self._left < 0:
            return text
        out: list[str] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            at += 1
            macro = None if token in hidden else self.macros.get(token)
            if macro is None:
                out.append(token)
            elif macro.params is None:
                out.append(self._expand(macro.body, hidden | {token}))
            else:
                args, after = _arguments(tokens, at)
                if args is None:
                    out.append(token)
                    continue
                at = after
                body = self._substitute(macro, args, hidden)
                out.append(self._expand(body, hidden | {token}))
        return "".join(out)

    def _substitute(self, macro: Macro, args: list[str], hidden: frozenset[str]) -> str:
        assert macro.params is not None
        named = [name for name in macro.params if name != "..."]
        values = dict(zip(named, args, strict=False))
        for name in named[len(args) :]:
            values[name] = ""
        if "..." in macro.params:
            values["__VA_ARGS__"] = ", ".join(args[len(named) :])
        tokens = _TOKEN.findall(macro.body)
        solid = [index for index, token in enumerate(tokens) if not token.isspace()]
        pasted = {
            solid[place + step]
            for place, index in enumerate(solid)
            if tokens[index] == "##"
            for step in (-1, 1)
            if 0 <= place + step < len(solid)
        }
        out: list[str] = []
        glue = False
        for index, token in enumerate(tokens):
            if token == "##":
                while out and out[-1].isspace():
                    out.pop()
                glue = True
                continue
            if glue and token.isspace():
                continue
            glue = False
            if token not in values:
                out.append(token)
            elif out and out[-1] == "#":
                out[-1] = '"' + values[token].strip().replace('"', '\\"') + '"'
            elif index in pasted:
                out.append(values[token].strip())
            else:
                out.append(self._expand(values[token], hidden))
        return "".join(out)


def _arguments(tokens: list[str], at: int) -> tuple[list[str] | None, int]:
    """The arguments after a macro's name and the index behind them; None: no call here."""
    while at < len(tokens) and tokens[at].isspace():
        at += 1
    if at >= len(tokens) or tokens[at] != "(":
        return None, at
    args: list[str] = []
    current: list[str] = []
    level = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in "([{":
            level += 1
            if level == 1:
                continue
        elif token in ")]}":
            level -= 1
            if level == 0:
                args.append("".join(current).strip())
                return args, at
        elif token == "," and level == 1:
            args.append("".join(current).strip())
            current = []
            continue
        current.append(token)
    return None, at


_OPERATOR = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|\w+|\|\||&&|[=!<>]=|<<|>>|[-+*/%&|^~!<>()?:])")
_BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "||": (1, lambda a, b: int(bool(a or b))),
    "&&": (2, lambda a, b: int(bool(a and b))),
    "|": (3, lambda a, b: a | b),
    "^": (4, lambda a, b: a ^ b),
    "&": (5, lambda a, b: a & b),
    "==": (6, lambda a, b: int(a == b)),
    "!=": (6, lambda a, b: int(a != b)),
    "<": (7, lambda a, b: int(a < b)),
    ">": (7, lambda a, b: int(a > b)),
    "<=": (7, lambda a, b: int(a <= b)),
    ">=": (7, lambda a, b: int(a >= b)),
    "<<": (8, lambda a, b: a << min(b, 64)),
    ">>": (8, lambda a, b: a >> min(b, 64)),
    "+": (9, lambda a, b: a + b),
    "-": (9, lambda a, b: a - b),
    "*": (10, lambda a, b: a * b),
}


def evaluate(expression: str) -> int | None:
    """The value of an integer expression; unknown names are 0, as #if has it; None: no value."""
    text = re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", expression).strip()
    tokens = _OPERATOR.findall(text)
    if not tokens or "".join(tokens) != re.sub(r"\s+", "", text):
        return None
    try:
        value, rest = _binary(tokens, 0)
    except (IndexError, ValueError, RecursionError):
        return None
    return value if not rest else None


def _binary(tokens: list[str], floor: int) -> tuple[int, list[str]]:
    left, tokens = _unary(tokens)
    while tokens and tokens[0] in _BINARY and _BINARY[tokens[0]][0] > floor:
        strength, apply = _BINARY[tokens[0]]
        right, tokens = _binary(tokens[1:], strength)
        left = apply(left, right)
    return left, tokens


def _unary(tokens: list[str]) -> tuple[int, list[str]]:
    first, rest = tokens[0], tokens[1:]
    if first in ("!", "-", "~", "+"):
        value, rest = _unary(rest)
        return {"!": int(not value), "-": -value, "~": ~value, "+": value}[first], rest
    if first == "(":
        value, rest = _binary(rest, 0)
        if rest[0] != ")":
            raise ValueError(rest[0])
        return value, rest[1:]
    if first[0].isdigit():
        octal = len(first) > 1 and first.isdigit() and first[0] == "0"
        return int(first, 8 if octal else 0), rest
    if re.fullmatch(r"\w+", first):
        return 0, rest
    raise ValueError(first)
