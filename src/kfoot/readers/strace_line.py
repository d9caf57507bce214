"""One line of strace text: its columns, and what kind of line it is.

strace 4 to 6 write a line as

    PID TIME (+RELATIVE) [ NR] [INSTRUCTION] name(arguments) = result <time spent>

where every column but the call depends on options: the PID (``[pid N]`` on a terminal, ``N`` in
a file, with ``<comm>`` under -Y), -t -tt -ttt, -r, -n, -i, -T. A line in progress when another
task prints ends in ``<unfinished ...>`` and goes on as ``<... name resumed>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

ANGLE = r"(?:<[A-Za-z][\w-]*:\[[^<>]*->[^<>]*\]>|<[^<>]*+(?:<[^<>]*+>[^<>]*+)*+>)"
"""A decoration of a descriptor or pid. strace writes < and > of a name as \\74 and \\76; what is
left is one nested level (``</dev/null<char 1:3>>``) and the arrow of a connected socket."""
DECORATION = rf"{ANGLE}(?:\(deleted\))?"

_PID = rf"(?:\[pid +(?=\d))?(\d{{1,7}})(?:{ANGLE})?\]? +"
_AT = r"(\d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{8,11}(?:\.\d{1,9})?) "
_SINCE = r"(?:\(\+)? *(\d{1,11}(?:\.\d{1,9})?)\)? "
_NR = r"\[ *(\d{1,7}|0x[0-9a-f]{1,8})\] "
_POINTER = r"\[(?:[0-9a-f?]{16}|[0-9a-f?]{8})\] "
_NONE = "((?!))?"
"""A group that never matches: keeps the groups' numbers the same for every style."""

_CALL = r"(?:(\w+)\(|<\.\.\. (\w+|\?+) resumed>)(.*)"
_RESULT = (
    r"\) += (\?|-?\d{1,20}|0x[0-9a-f]{1,16})"
    rf"({DECORATION})?"
    r"(?: (E[A-Z0-9_]+) \([^()]*\))?"
    r"(?: <(\d{1,9}\.\d{1,9})>)?$"
)
_TAIL = re.compile(
    r"(\?|-?\d{1,20}|0x[0-9a-f]{1,16})"
    rf"({DECORATION})?"
    r"(?: /\* .{0,200}? \*/)?(?: <unavailable>)?"
    r"(?: (E[A-Z0-9_]+)| \(errno (\d{1,5})\))?"
    r"(?: \(.*\))?"
    r"(?: <(\d{1,9}\.\d{1,9})>)?$",
    re.DOTALL,
)
_HEAD = re.compile(r"(?:(\w+)\(|<\.\.\. (\w+|\?+) resumed>)")
_RESULT_TRIES = 8
"""How many times `) = ` is looked for from a line's end: a bound against hostile lines."""
_ANGLES = re.compile(ANGLE)


class Style(NamedTuple):
    """Which columns the lines of a file may have."""

    pid: bool = True
    at: bool = True
    since: bool = True
    nr: bool = True
    pointer: bool = True


ANY = Style()


class Call(NamedTuple):
    """A call that ended: all of it, or the part after ``resumed>``."""

    name: str | None
    resumed: str | None
    """Name of the call that goes on; "????" where strace had forgotten it."""
    args: str
    result: str
    decoration: str | None
    error: str | None
    """Errno name, or "errno N" where strace knew no name."""
    seconds: str | None


def _leader(style: Style) -> str:
    parts = []
    for pattern, present in zip((_PID, _AT, _SINCE, _NR), style, strict=False):
        parts.append(f"(?:{pattern})?" if present else _NONE)
    return "".join(parts) + (f"(?:{_POINTER})?" if style.pointer else "")


@lru_cache(maxsize=64)
def leader(style: Style) -> re.Pattern[str]:
    """Matches the columns before the call; groups: pid, absolute time, relative time, number."""
    return re.compile(_leader(style))


@lru_cache(maxsize=64)
def whole(style: Style) -> re.Pattern[str]:
    """Matches a line with a call's plain result: the leader's groups, then those of ``Call``.

    Takes time linear in the line's length: no part of a result can hold the start of another.
    """
    return re.compile(_leader(style) + _CALL + _RESULT, re.DOTALL)


def style_of(lines: Iterable[str]) -> Style:
    """The columns seen in the first lines of a file; pids may come later and are always looked
    for, as strace prints none while there is one task."""
    at = since = nr = pointer = False
    for line in lines:
        found = leader(ANY).match(line)
        if found is None or not _HEAD.match(line, found.end()):
            continue
        at |= found[2] is not None
        since |= found[3] is not None
        nr |= found[4] is not None
        pointer |= bool(re.search(_POINTER + "$", found[0]))
    return Style(True, at, since, nr, pointer)


def ended(body: str) -> Call | None:
    """A call whose result has more to it than ``whole`` takes (text in parentheses, an unknown
    errno, a pid of another namespace); None when the text holds no ended call."""
    head = _HEAD.match(body)
    if head is None:
        return None
    at = len(body)
    for _ in range(_RESULT_TRIES):
        at = body.rfind(")", head.end(), at)
        if at < 0:
            return None
        if not body.startswith((") ", ")\t"), at):
            continue
        rest = body[at + 1 :].lstrip(" ")
        if not rest.startswith("= "):
            continue
        tail = _TAIL.match(rest, 2)
        if tail is not None and _balanced(rest):
            error = tail[3] or (f"errno {tail[4]}" if tail[4] else None)
            args = body[head.end() : at]
            return Call(head[1], head[2], args, tail[1], tail[2], error, tail[5])
    return None


def _balanced(rest: str) -> bool:
    """Whether every < and > of a result belongs to a decoration: else it began inside one."""
    return not re.search("[<>]", _ANGLES.sub("", rest.replace("=>", "")))


def begun(body: str) -> tuple[str, str] | None:
    """Name and arguments of a call that the text only begins; None when it begins none."""
    head = _HEAD.match(body)
    if head is None or head[1] is None:
        return None
    return head[1], body[head.end() :]


def abi_of_mode(mode: str, arch: str | None) -> str | None:
    """The atlas' ABI name of a personality as strace prints it ("32 bit", "64 bit", "x32") on a
    machine of ``arch`` (uname -m; None: one of the x86 family, which most traces are of)."""
    family = "arm" if arch and arch.startswith(("aarch64", "arm")) else "x86"
    if arch not in (None, "x86_64", "i386", "i686") and family == "x86":
        return None
    return {
        ("32 bit", "arm"): "arm",
        ("64 bit", "arm"): "arm64",
        ("32 bit", "x86"): "i386",
        ("64 bit", "x86"): "x86_64",
        ("x32", "x86"): "x32",
    }.get((mode, family))
