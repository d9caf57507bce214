"""Trace events a header defines, with their fields; local wrapper macros are expanded.

Every branch of the header's conditionals is read: which events a configuration leaves out is not
the atlas' business. Of two definitions of a macro the first holds, until it is undefined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kfoot.atlas.build.cpp import Macro, Preprocessor, without_comments
from kfoot.atlas.build.csource import split

CLASSES = frozenset(("DECLARE_EVENT_CLASS",))
EVENTS = frozenset(
    (
        "TRACE_EVENT",
        "TRACE_EVENT_FN",
        "TRACE_EVENT_FN_COND",
        "TRACE_EVENT_CONDITION",
        "TRACE_EVENT_SYSCALL",
        "TRACE_EVENT_RCU",
        "TRACE_EVENT_WRITABLE",
    )
)
OF_CLASS = frozenset(
    (
        "DEFINE_EVENT",
        "DEFINE_EVENT_FN",
        "DEFINE_EVENT_PRINT",
        "DEFINE_EVENT_CONDITION",
        "DEFINE_EVENT_WRITABLE",
    )
)
FTRACE = frozenset(("FTRACE_ENTRY", "FTRACE_ENTRY_REG", "FTRACE_ENTRY_PACKED", "FTRACE_ENTRY_DUP"))
_KNOWN = CLASSES | EVENTS | OF_CLASS
_SYSTEM = re.compile(r"^[ \t]*#[ \t]*define[ \t]+TRACE_SYSTEM[ \t]+(\w+)", re.M)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(define|undef)[ \t]+(\w+)(\(([^)\n]*)\))?[ \t]*(.*)$", re.M)
_ANY_DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.M)
_FIELD = re.compile(
    r"\b(__(?:rel_)?(?:field|array|dynamic_array|string|vstring|bitmask|cpumask|"
    r"sockaddr)(?:_\w+)?|__struct_group|F_STRUCT)\s*\("
)
_LIMIT = 400
"""A wrapper whose expansion gives more events than this is not believed."""


class EventClass(NamedTuple):
    name: str
    fields: tuple[str, ...]


class FoundEvent(NamedTuple):
    system: str
    name: str
    of: str | None
    """Event class the fields come from; None when they are its own."""
    fields: tuple[str, ...]


class HeaderEvents(NamedTuple):
    events: tuple[FoundEvent, ...]
    classes: tuple[EventClass, ...]


def read(data: bytes) -> HeaderEvents | None:
    """The events of one file; None when it defines no TRACE_SYSTEM."""
    text = without_comments(data.decode("utf-8", "replace"))
    systems = [(found.start(), found[1]) for found in _SYSTEM.finditer(text)]
    if not systems:
        return None
    cpp = _macros(text)
    wrappers = _wrappers(cpp)
    body = _ANY_DIRECTIVE.sub(lambda found: " " * len(found[0]), text)
    events: dict[tuple[str, str], FoundEvent] = {}
    classes: dict[str, EventClass] = {}

    def system_at(place: int) -> str:
        before = [name for start, name in systems if start < place]
        return before[-1] if before else systems[0][1]

    for word, parts, place in _top_calls(body, _KNOWN | wrappers):
        if word in _KNOWN:
            found = [(word, parts)]
        else:
            expanded = cpp.expand(f"{word}({', '.join(parts)})")
            found = [call[:2] for call in _top_calls(expanded, _KNOWN)][:_LIMIT]
        for macro, arguments in found:
            if not arguments or not all(re.fullmatch(r"\w+", one) for one in arguments[:1]):
                continue
            fields = tuple(_fields(arguments, cpp))
            if macro in OF_CLASS:
                if len(arguments) < 2 or not re.fullmatch(r"\w+", arguments[1]):
                    continue
                event = FoundEvent(system_at(place), arguments[1], arguments[0], ())
                events.setdefault(event[:2], event)
                continue
            classes.setdefault(arguments[0], EventClass(arguments[0], fields))
            if macro in EVENTS:
                event = FoundEvent(system_at(place), arguments[0], None, fields)
                events.setdefault(event[:2], event)
    return HeaderEvents(tuple(events.values()), tuple(classes.values()))


def ftrace_entries(data: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """Names and fields of the ring buffer's own entries (kernel/trace/trace_entries.h)."""
    text = _ANY_DIRECTIVE.sub("", without_comments(data.decode("utf-8", "replace")))
    out = []
    for _, parts, _ in _top_calls(text, FTRACE):
        fields = re.findall(
            r"__field\w*\(\s*([\w\s*]+?)\s*,\s*(?:\w+\s*,\s*)?(\w+)", ",".join(parts)
        )
        out.append((parts[0], tuple(f"{kind} {name}" for kind, name in fields)))
    return out


def _macros(text: str) -> Preprocessor:
    """The header's own macros, those of the tracing framework left alone."""
    cpp = Preprocessor()
    for found in _DIRECTIVE.finditer(text):
        what, name, call, params, body = found.groups()
        if name in _KNOWN or name in FTRACE:
            continue
        if what == "undef":
            # What follows may redefine it; what came before was read with the first meaning.
            continue
        if name not in cpp.macros:
            names = tuple(p.strip() for p in params.split(",") if p.strip()) if call else None
            cpp.macros[name] = Macro(_variadic(names), body.strip())
    return cpp


def _variadic(params: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """``args...`` (GNU) as ``...``; bodies that use the name are rare and stay as they are."""
    if params and params[-1].endswith("...") and params[-1] != "...":
        return (*params[:-1], "...")
    return params


def _wrappers(cpp: Preprocessor) -> frozenset[str]:
    """Function-like macros that come to define an event in the end."""
    found: set[str] = set()
    grown = True
    while grown:
        grown = False
        for name, macro in cpp.macros.items():
            if name not in found:
                words = set(re.findall(r"\w+", macro.body))
                if words & (_KNOWN | found):
                    found.add(name)
                    grown = True
    return frozenset(found)


def _top_calls(text: str, names: frozenset[str]) -> Iterator[tuple[str, list[str], int]]:
    """Calls of ``names`` that are not inside another one's arguments."""
    pattern = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
    at = 0
    while found := pattern.search(text, at):
        if found[1] not in names:
            at = found.end()
            continue
        parts = split(text, found.end() - 1)
        if parts is None:
            at = found.end()
            continue
        yield found[1], parts[0], found.start()
        at = parts[1]


def _fields(arguments: list[str], cpp: Preprocessor) -> Iterator[str]:
    """ "type name" of each field, as the event's format file prints them (lengths unresolved)."""
    for part in arguments:
        if not part.startswith("TP_STRUCT__entry"):
            continue
        text = cpp.expand(part)
        at = 0
        while found := _FIELD.search(text, at):
            parts = split(text, found.end() - 1)
            if parts is None:
                return
            at = parts[1]
            text_of = _field(found[1], parts[0])
            if text_of:
                yield text_of


def _field(macro: str, parts: list[str]) -> str | None:
    relative = "__rel_loc" if macro.startswith("__rel_") else "__data_loc"
    kind = macro.replace("__rel_", "__")
    first = " ".join(parts[0].split())
    if kind.startswith("__field") and len(parts) >= 2:
        return f"{first} {parts[1]}"
    if kind == "__array" and len(parts) >= 3:
        return f"{first} {parts[1]}[{' '.join(parts[2].split())}]"
    if kind.startswith("__dynamic_array") and len(parts) >= 2:
        return f"{relative} {first}[] {parts[1]}"
    if kind.startswith(("__string", "__vstring")):
        return f"{relative} char[] {first}"
    if kind.startswith("__bitmask"):
        return f"{relative} unsigned long[] {first}"
    if kind.startswith("__cpumask"):
        return f"{relative} cpumask_t {first}"
    if kind.startswith("__sockaddr"):
        return f"{relative} __u8[] {first}"
    return None
