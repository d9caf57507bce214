"""Words and numbers as every report writes them; hostile text made harmless for a terminal."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

NOT_MEASURED = "–"
"""Shown for null: the collector did not measure it. Never 0, never empty."""

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that move the cursor, reorder a line or show nothing."""


def clean(value: object) -> str:
    """``value`` as one line of visible characters: controls, direction marks, lone surrogates
    and unassigned characters become backslash escapes."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in _HIDDEN else char for char in text
    )


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters; what is cut from the middle is marked."""
    if len(text) <= width or width < 5:
        return text[:width]
    head = (width - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - width :]}"


def count(value: float | None) -> str:
    """1234567 as "1,234,567"."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,}" if isinstance(value, (int, float)) else clean(value)


def times(number: int, one: str, many: str | None = None) -> str:
    """ "1 call", "2 calls"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them."""
    if seconds is None:
        return "duration not measured"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def command(argv: Iterable[str] | None) -> str:
    """A command line as one would type it, cleaned."""
    return " ".join(clean(_word(word)) for word in argv or ())


def _word(word: str) -> str:
    return shlex.quote(word)


def pairs(values: Mapping[str, int | None] | None) -> str:
    """{"EBUSY": 1} as "EBUSY 1", most frequent first."""
    if not values:
        return ""
    ranked = sorted(values.items(), key=lambda item: (-(item[1] or 0), item[0]))
    return ", ".join(f"{clean(name)} {count(number)}" for name, number in ranked)


def listed(values: Sequence[object]) -> str:
    return "; ".join(clean(value) for value in values)
