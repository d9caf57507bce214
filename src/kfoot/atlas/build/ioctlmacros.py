"""Which macros of the UAPI headers are ioctl requests, by what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\(([^)\n]*)\))?[ \t]+(\S.*?)[ \t]*$", re.M)
_ENUMERATOR = re.compile(r"^[ \t]*([A-Z]\w+)[ \t]*=[ \t]*(_IO[RWC]*\(.*?)[ \t]*,?[ \t]*$", re.M)
_BASE = frozenset(("_IO", "_IOR", "_IOW", "_IOWR", "_IOC", "_IOR_BAD", "_IOW_BAD", "_IOWR_BAD"))
_RESERVED = re.compile(r"\(?\s*SIOC(?:PROTO|DEV)PRIVATE\s*\+\s*\w+\s*\)?$")
_LITERAL = re.compile(r"\(?\s*(0x[0-9a-fA-F]{3,4}|\d{3,5})\s*\)?$")

PLAIN = {
    # Headers whose requests are bare numbers, as from before _IO was invented.
    "asm-generic/ioctls.h": re.compile(r"T[CI]|FIO|SIO"),
    "asm/ioctls.h": re.compile(r"T[CI]|FIO|SIO"),
    "asm-generic/sockios.h": re.compile(r"SIOC|FIO"),
    "asm/sockios.h": re.compile(r"SIOC|FIO"),
    "linux/sockios.h": re.compile(r"SIOC"),
    "linux/wireless.h": re.compile(r"SIOC"),
    "linux/x25.h": re.compile(r"SIOC"),
    "linux/kd.h": re.compile(r"K[DI]|GIO_|PIO_"),
    "linux/i2c-dev.h": re.compile(r"I2C_"),
    "linux/vt.h": re.compile(r"VT_"),
    "linux/cdrom.h": re.compile(r"CDROM|DVD_"),
    "linux/hdreg.h": re.compile(r"HDIO_"),
    "linux/loop.h": re.compile(r"LOOP_"),
    "linux/fb.h": re.compile(r"FBIO"),
    "linux/lp.h": re.compile(r"LP[A-Z]"),
    "linux/tiocl.h": re.compile(r"TIOC"),
    "linux/ppp-ioctl.h": re.compile(r"PPPIOC"),
    "scsi/sg.h": re.compile(r"SG_"),
    "scsi/scsi_ioctl.h": re.compile(r"SCSI_IOCTL_"),
    "scsi/scsi.h": re.compile(r"SCSI_IOCTL_"),
}


class Defined(NamedTuple):
    name: str
    params: int | None
    """How many parameters; None for an object-like macro."""
    body: str


class Request(NamedTuple):
    """A macro that is an ioctl request; ``params`` make it a family."""

    name: str
    header: str
    """As included: linux/spi/spidev.h."""
    params: int | None
    coded: bool
    """Made by _IO and kin, so the number has a direction and a size; else a bare number."""


def defines(text: str) -> tuple[Defined, ...]:
    """The macros of a header (comments already gone)."""
    out: list[Defined] = [Defined(name, None, body) for name, body in _ENUMERATOR.findall(text)]
    for name, call, params, body in _DEFINE.findall(text):
        count = len([one for one in params.split(",") if one.strip()]) if call else None
        out.append(Defined(name, count, body))
    return tuple(out)


def requests(headers: Mapping[str, Iterable[Defined]]) -> list[Request]:
    """The requests among all macros of all headers, sorted by header and name."""
    makers = set(_BASE)
    helpers: set[str] = set()
    everything = [(header, macro) for header, macros in headers.items() for macro in macros]
    grown = True
    while grown:
        grown = False
        for _, macro in everything:
            if macro.name in makers:
                continue
            made_by = _made_by(macro, makers)
            if made_by and (macro.params or macro.body.strip("() ") in makers):
                makers.add(macro.name)
                grown = True
    for _, macro in everything:
        helpers |= {
            word for word in re.findall(r"\w+", macro.body) if word in makers and word != macro.name
        }
    found: dict[tuple[str, str], Request] = {}
    for header, macro in everything:
        if macro.name in _BASE or macro.name in helpers or not re.match(r"[A-Z]", macro.name):
            continue
        coded = _made_by(macro, makers)
        if macro.params and macro.params > 2:
            continue
        if coded or _plain(header, macro):
            found[header, macro.name] = Request(macro.name, header, macro.params, coded)
    names = {request.name: request.coded for request in found.values()}
    for header, macro in everything:
        alias = macro.body.strip("() \t")
        if macro.params is None and alias in names and (header, macro.name) not in found:
            found[header, macro.name] = Request(macro.name, header, None, names[alias])
    return sorted(found.values(), key=lambda one: (one.header, one.name))


def _made_by(macro: Defined, makers: set[str]) -> bool:
    called = re.findall(r"\b([A-Za-z_]\w*)\s*\(", macro.body)
    return any(word in makers for word in called) or macro.body.strip("() ") in _BASE


def _plain(header: str, macro: Defined) -> bool:
    if macro.params is not None:
        return False
    if _RESERVED.match(macro.body):
        return True
    pattern = PLAIN.get(header)
    found = _LITERAL.match(macro.body)
    if pattern is None or found is None or not pattern.match(macro.name):
        return False
    return 0x100 <= int(found[1], 0) <= 0xFFFF
