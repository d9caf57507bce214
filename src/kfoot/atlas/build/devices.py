"""Character and block devices: names and numbers drivers register, and the file that does it.

Names are those of /proc/devices (register_chrdev and its kin), of misc devices, tty drivers
(both "serial" and "ttyS"), memory devices and device classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.csource import (
    calls,
    constants,
    fields,
    number,
    plain,
    split,
    string,
    structs,
)
from kfoot.atlas.build.handlers import is_code
from kfoot.atlas.schema import Row

_QUICK = (
    b"_chrdev",
    b"register_blkdev",
    b"struct miscdevice",
    b"struct uart_driver",
    b"->driver_name",
    b"struct memdev",
    b"class_create",
    b"struct class ",
    b"input_get_new_minor",
    b"console_driver",
)
_TOPS = ("arch", "block", "drivers", "fs", "kernel", "net", "security", "sound", "virt")
_REGISTER = (
    "register_chrdev",
    "__register_chrdev",
    "alloc_chrdev_region",
    "register_chrdev_region",
    "register_blkdev",
    "__register_blkdev",
)
_MEM = re.compile(r'\[(\w+)\]\s*=\s*\{\s*"(\w+)"\s*,[^}]*?&(\w+)')
_OPERATIONS = re.compile(r"^(?:static\s+)?const\s+struct\s+file_operations\s+(\w+)\s*=", re.M)
_TTY = re.compile(r"\b(\w+)->(driver_name|name|major|minor_start)\s*=\s*([^;,]+)[;,]")
_NUMBERS = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w*(?:MAJOR|MINOR|_DEV)\w*)"
    r"[ \t]+(\d+|0x[0-9a-fA-F]+|MKDEV\(.*?\))",
    re.M,
)
_HEADERS = re.compile(r"include/(?:uapi/)?(?:linux|sound|drm)/[\w-]+\.h|drivers/\w+/[\w-]+\.h")

_NAMES = re.compile(r'^#define[ \t]+(\w*NAME\w*)[ \t]+("[^"\n]*")', re.M)
MISC_MAJOR = 10
MEM_MAJOR = 1
INPUT_MAJOR = 13
_DYNAMIC = 255
"""MISC_DYNAMIC_MINOR."""

_GENERIC = (
    "drivers/tty/serial/8250/",
    "drivers/watchdog/watchdog_dev.c",
    "drivers/rtc/dev.c",
)
"""Where the usual driver is, of names that dozens of drivers for old machines register too."""


class Device(NamedTuple):
    """As registered; name, major and minor may still be the names of constants."""

    kind: str
    name: str
    major: str
    minor: str
    how: str
    span: str = "1"
    """How many minor numbers from the first."""
    operations: str = ""
    """Variable of the file_operations when those may lie in another file."""


_Key = tuple[str, str, int | None, int | None]


class Facts(NamedTuple):
    devices: tuple[Device, ...]
    operations: tuple[str, ...]
    """file_operations this file defines for /dev/mem's table."""
    constants: tuple[tuple[str, str], ...]
    """Of a header: names of numbers and of device names."""


class Devices(Builder):
    """Table ``devices``."""

    name = "devices"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._devices: list[tuple[str, Device]] = []
        self._operations: dict[str, str] = {}
        self._seen: dict[str, Mapping[str, str]] = {}
        self._constants: dict[str, dict[str, str]] = {}
        """What headers define, by name and header."""

    def wants(self, path: str) -> bool:
        if path.endswith(".h"):
            return _HEADERS.fullmatch(path) is not None
        return is_code(path) and path.split("/", 1)[0] in _TOPS

    def scan(self, path: str, data: bytes) -> Facts | None:
        if path.endswith(".h"):
            if b"MAJOR" not in data and b"MINOR" not in data and b"NAME" not in data:
                return None
            text = data.decode("utf-8", "replace")
            numbers = (*_NUMBERS.findall(text), *_NAMES.findall(text))
            return Facts((), (), numbers) if numbers else None
        operations: tuple[str, ...] = ()
        if path.startswith("drivers/char/") and b"file_operations" in data:
            operations = tuple(_OPERATIONS.findall(data.decode("utf-8", "replace")))
        devices: list[Device] = []
        if any(word in data for word in _QUICK):
            text = plain(data)
            known = constants(text)
            for find in (_registered, _misc, _ttys, _memory, _classes, _input):
                devices += [_local(device, known) for device in find(text, known)]
        return Facts(tuple(devices), operations, ()) if devices or operations else None

    def take(self, path: str, facts: Facts) -> None:
        self._devices += [(path, device) for device in facts.devices]
        self._operations.update(dict.fromkeys(facts.operations, path))
        for name, value in facts.constants:
            self._constants.setdefault(name, {})[path] = value

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        """One row for each name and number; a number nobody fixed is None."""
        found: dict[_Key, set[tuple[str, str]]] = {}
        for path, device in self._devices:
            for key in self._keys(path, device):
                file = self._operations.get(device.operations, path)
                found.setdefault(key, set()).add((file, device.how))
        chosen = {
            key: min(files, key=lambda one: (_rank(one[0], key[0]), one))
            for key, files in found.items()
        }
        usual = {
            key[1:3]: key[3]
            for key, (file, how) in chosen.items()
            if file.startswith(_GENERIC) and how == "tty-driver" and key[3] is not None
        }
        rows: list[Row] = []
        for key, files in sorted(found.items(), key=str):
            file, how = chosen[key]
            first = usual.get(key[1:3])
            if first is not None and (key[3] or 0) >= first and not file.startswith(_GENERIC):
                continue  # 4:65 is a machine's own in one tree, and everybody's second ttyS.
            if len({path for path, _ in files}) > 1 and _rank(file, key[0])[0]:
                how += "+several"
            rows.append((*key, *context.place(file, how)))
        return {"devices": rows}

    def _keys(self, path: str, device: Device) -> Iterator[_Key]:
        known = self._near(path)
        name = (string(device.name, known) or "").removeprefix("/dev/")
        if not name:
            return
        first, second = device.major, device.minor
        region = re.match(r"MKDEV\s*\((.*),(.*)\)$", known.get(first, first), re.S)
        if region:
            first, second = region[1].strip(), ""
        major = number(first, known) or None
        minor = number(second, known)
        if major is None or (major == MISC_MAJOR and minor == _DYNAMIC):
            minor = None
        if minor is None:
            yield name, device.kind, major, None
        else:
            for step in range(min(number(device.span, known) or 1, 64)):
                yield name, device.kind, major, minor + step

    def _near(self, path: str) -> Mapping[str, str]:
        """The constants as seen from a file: of two headers, the one in its own folder."""
        folder = path.rsplit("/", 1)[0]
        if folder not in self._seen:
            self._seen[folder] = {
                name: headers[min(headers, key=lambda one: (not one.startswith(folder), one))]
                for name, headers in self._constants.items()
                if any(one.startswith((folder, "include/")) for one in headers)
            }
        return self._seen[folder]


def _rank(path: str, name: str) -> tuple[bool, bool, bool, str]:
    """Of files that register the same device, the generic one first."""
    return (
        not path.startswith(_GENERIC),
        path.startswith("arch/"),
        f"/{name}" not in path,
        path,
    )


def _local(device: Device, known: Mapping[str, str]) -> Device:
    """With numbers the file itself defines put in."""

    def alias(text: str) -> str:
        for _ in range(4):
            text = known.get(text, text)
        return text

    def put(text: str) -> str:
        text = alias(text)
        value = number(text, known)
        return text if value is None else str(value)

    return device._replace(
        name=alias(device.name),
        major=put(device.major),
        minor=put(device.minor),
        span=put(device.span),
    )


def _registered(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    for function, args, _ in calls(text, _REGISTER):
        if len(args) < 2:
            continue
        block = function.endswith("blkdev")
        kind = "block" if block else "char"
        name = args[1] if block or function == "register_chrdev" else args[-1]
        if function == "__register_chrdev" and len(args) == 5:
            name = args[3]
        major = "" if function == "alloc_chrdev_region" else args[0]
        minor = ""
        region = re.match(r"MKDEV\s*\((.*),(.*)\)$", major, re.S)
        if region:
            major, first = region[1].strip(), region[2].strip()
            if args[1] == "1":
                minor = first
        elif re.fullmatch(r"\w+\(.*\)", major):
            # sd_major(i): the first constant the function returns.
            body = re.search(rf"\b{major.split('(')[0]}\s*\([^)]*\)\s*\{{(.*?)\n\}}", text, re.S)
            found = re.search(r"\b\w+_MAJOR\b", body[1]) if body else None
            major = found[0] if found else ""
        yield Device(kind, name, major, minor, f"{kind}-registered")


def _misc(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    for _, parts, _ in structs(text, "miscdevice"):
        told = fields(parts)
        if "name" not in told and len(parts) > 1 and "=" not in parts[0]:
            told = {"minor": parts[0], "name": parts[1]}
        minor = told.get("minor", "")
        yield Device("char", told.get("name", ""), str(MISC_MAJOR), minor, "misc-device")


def _ttys(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    for _, parts, _ in structs(text, "uart_driver"):
        yield from _tty(fields(parts), known, "dev_name", "minor")
    found: dict[str, dict[str, str]] = {}
    if "driver" not in text:
        return
    for variable, what, value in _TTY.findall(text):
        told = found.setdefault(variable, {})
        if what in told and what in ("driver_name", "name"):
            # The variable is used for a second driver.
            yield from _tty(told, known, "name", "minor_start")
            told.clear()
        told[what] = value.strip()
    for told in found.values():
        yield from _tty(told, known, "name", "minor_start")


def _tty(
    told: Mapping[str, str], known: Mapping[str, str], node: str, minor: str
) -> Iterator[Device]:
    driver = string(told.get("driver_name", ""), known)
    name = string(told.get(node, ""), known)
    if driver is None and not (name and "major" in told and minor in told):
        return
    major, first = told.get("major", ""), told.get(minor, "")
    for one in dict.fromkeys((driver, name)):
        if one:
            minor = first if one == name else ""
            yield Device("char", f'"{one}"', major, minor, "tty-driver")


def _memory(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    if "struct memdev" not in text:
        return
    found = re.search(r"\bstruct\s+memdev\s*\{", text)
    if not found:
        return
    body = split(text, found.end() - 1)
    table = re.compile(r"devlist\[\]\s*=\s*").search(text, body[1] if body else found.end())
    parts = split(text, table.end()) if table else None
    for part in parts[0] if parts else ():
        for minor, name, operations in _MEM.findall(part):
            yield Device(
                "char", f'"{name}"', str(MEM_MAJOR), minor, "memory-device", operations=operations
            )


def _classes(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    # THIS_MODULE was the first argument until 6.4.
    names = [args[-1] for _, args, _ in calls(text, ("class_create",))]
    names += [fields(parts).get("name", "") for _, parts, _ in structs(text, "class")]
    for name in names:
        yield Device("char", name, "", "", "device-class")


def _input(text: str, known: Mapping[str, str]) -> Iterator[Device]:
    for _, args, _ in calls(text, ("input_get_new_minor",)):
        if len(args) == 3 and args[0].endswith("_MINOR_BASE"):
            stem = args[0].removesuffix("_MINOR_BASE").lower()
            yield Device("char", f'"{stem}"', str(INPUT_MAJOR), args[0], "input-handler", args[1])
