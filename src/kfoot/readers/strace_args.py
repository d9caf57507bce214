"""Arguments as strace writes them: strings, flags, numbers, descriptors, ioctl requests."""

from __future__ import annotations

import re

from kfoot.readers.reading import Request
from kfoot.readers.strace_line import DECORATION

STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\.\.\.)?', re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f"}
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}|-?\d{1,20}")

FD = re.compile(
    r"(AT_FDCWD|0x[0-9a-fA-F]{1,16}|-?\d{1,10})(?: /\* [^*]* \*/)?" + f"({DECORATION})?", re.DOTALL
)
"""A descriptor argument: groups number, decoration."""

_PART = r"(0x[0-9a-f]+|\d+)"
_IOC = re.compile(rf"_IOC\(([A-Z_|0-9a-fx]+), {_PART}, {_PART}, {_PART}\)")
_REQUEST = re.compile(
    r"(0x[0-9a-fA-F]+|\d+)?(?: ?/\* (.*?) \*/)?"
    r"([A-Z_a-z]\w*(?:\([^()]*\))?(?: or [A-Z_]\w*(?:\([^()]*\))?)*)?"
)


def number(text: str) -> int | None:
    """A decimal or hexadecimal number at the start of a text."""
    found = _NUMBER.match(text)
    if found is None:
        return None
    return int(found[0], 16) if found[0].startswith("0x") else int(found[0])


def descriptor(text: str) -> str:
    """A descriptor's number as plain decimal text; what is no descriptor is "-1".

    ``-e raw`` writes AT_FDCWD and -1 as unsigned 32 or 64-bit numbers.
    """
    if text.startswith("0x"):
        value = int(text, 16) & 0xFFFFFFFF
        return str(value) if value < 1 << 31 else ("AT_FDCWD" if value == 0xFFFFFF9C else "-1")
    return "AT_FDCWD" if text == "-100" else text


def unescape(text: str) -> str:
    """A string's bytes as text (UTF-8, what is not UTF-8 as surrogate escapes)."""
    if "\\" not in text:
        return text
    raw = _ESCAPE.sub(_unescaped, text)
    try:
        return raw.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return raw


def _unescaped(found: re.Match[str]) -> str:
    word = found[1]
    if word[0] == "x" and len(word) == 3:
        return chr(int(word[1:], 16))
    if word[0] in "01234567":
        return chr(int(word, 8) & 0xFF)
    return _LETTERS.get(word, word)


def strings(text: str, start: int = 0) -> tuple[str, ...]:
    """The strings of a list that begins at ``start``: ``["ls", "-l", ...]``."""
    found: list[str] = []
    at = start
    if not text.startswith("[", at):
        return ()
    at += 1
    while match := STRING.match(text, at):
        found.append(unescape(match[1]) + (match[2] or ""))
        at = match.end()
        if not text.startswith(", ", at):
            break
        at += 2
    if text.startswith("...", at):
        found.append("...")
    return tuple(found)


_OTHER_IOC = ("mips", "ppc", "powerpc", "sparc", "alpha")
"""Architectures with 3 direction bits and 13 size bits (include/uapi/asm/ioctl.h of each)."""


def request(text: str, arch: str | None) -> Request:
    """An ioctl request: ``TCGETS``, ``TCGETS or SNDCTL_TMR_TIMEBASE``, ``SPI_IOC_MESSAGE(32)``,
    ``_IOC(_IOC_NONE, 0x7, 0x3, 0)``, ``0x5401``, ``0x5401 /* TCGETS */``.

    ``arch`` (uname -m) decides how ``_IOC`` packs its parts.
    """
    found = _REQUEST.match(text)
    if found is None:
        return Request(None, text)
    nr = number(found[1]) if found[1] else None
    name = found[2] or found[3]
    parts = _IOC.match(name) if name else None
    if parts is not None:
        return Request(_ioc(parts, arch) if nr is None else nr, None)
    return Request(nr, name)


def _ioc(parts: re.Match[str], arch: str | None) -> int:
    other = arch is not None and arch.startswith(_OTHER_IOC)
    values = (
        {"_IOC_NONE": 1, "_IOC_READ": 2, "_IOC_WRITE": 4}
        if other
        else {"_IOC_NONE": 0, "_IOC_WRITE": 1, "_IOC_READ": 2}
    )
    direction = 0
    for word in parts[1].split("|"):
        direction |= values[word] if word in values else number(word) or 0
    kind, nr, size = (number(parts[group]) or 0 for group in (2, 3, 4))
    shift = 29 if other else 30
    return (direction << shift | size << 16 | kind << 8 | nr) & 0xFFFFFFFF
