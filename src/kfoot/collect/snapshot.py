"""The system's state at one moment, and what changed between two.

``take`` returns what is written to ``system/before.json``, ``during.json`` and ``after.json``:

- ``taken``: seconds since the epoch; ``release``, ``version``, ``machine``: as uname(2) says
- ``modules``: ``{name: {"size", "uses", "users": [name], "state"}}`` from /proc/modules, null on a
  kernel without loadable modules
- ``builtin_modules``: names of ``modules.builtin``, null where the list is not there
- ``config``: ``{"source": path, "sha256": of the text}``, null where there is none; the text itself
  is in ``system/config.txt``
- ``mounts``: ``[{"id", "parent", "device": "MAJ:MIN", "root", "point", "options", "fstype",
  "source"}]`` from /proc/self/mountinfo, octal escapes undone
- ``majors``: ``{"char": {"MAJ": [name]}, "block": {...}}`` from /proc/devices
- ``devices``: ``{"char" | "block": {"MAJ:MIN": {"name", "subsystem", "driver"}}}`` from
  /sys/dev: name below /dev, the subsystem, the driver of the nearest ancestor that has one; null
  where sysfs does not say
- ``interrupts``, ``softirqs``: ``{label: {"count": sum of all CPUs, "what": text}}``
- ``sysctl``: ``{"net.ipv4.ip_forward": "0"}``, the writable values below /proc/sys; those of single
  network interfaces only for ``all`` and ``default``
- ``interfaces``: ``{name: {"driver", "type"}}`` of /sys/class/net
- ``missing``: in words, what this host does not tell

``during`` holds ``taken``, ``samples`` and ``modules``, with the highest use count seen.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import time
import zlib
from collections.abc import Iterator
from typing import Any

from kfoot.targets.local import Local

State = dict[str, Any]

_RESTLESS = re.compile(
    r"kernel\.(ns_last_pid|random\..*|sched_domain\..*)|fs\.binfmt_misc\..*|net\..*\.flush"
)
"""Writable below /proc/sys, yet not settings: they change by themselves or trigger something."""
_SECRET = re.compile(r".*\.(tcp_fastopen_key|stable_secret)")
_ONE_INTERFACE = re.compile(r"net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.(?!all\.|default\.)")


def take(target: Local) -> tuple[State, str | None]:
    """The state now, and the kernel configuration's text (None where there is none)."""
    uname = target.uname()
    config = _config(target, uname.release)
    state: State = {
        "taken": time.time(),
        "release": uname.release,
        "version": uname.version,
        "machine": uname.machine,
        "modules": modules(target),
        "builtin_modules": _builtin(target, uname.release),
        "config": None,
        "mounts": _mounts(target),
        "majors": _majors(target),
        "devices": {kind: _devices(target, kind) for kind in ("char", "block")},
        "interrupts": _counters(target.text("/proc/interrupts")),
        "softirqs": _counters(target.text("/proc/softirqs")),
        "sysctl": dict(_sysctl(target)),
        "interfaces": _interfaces(target),
    }
    text = None
    if config:
        source, text = config
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        state["config"] = {"source": source, "sha256": digest}
    state["missing"] = _missing(state)
    return state, text


def modules(target: Local) -> dict[str, dict[str, Any]] | None:
    """Loaded modules (proc(5), /proc/modules); None on a kernel without them."""
    text = target.text("/proc/modules")
    if text is None:
        return None
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 5:
            continue
        name, size, uses, users, state = fields[:5]
        found[name] = {
            "size": int(size),
            "uses": int(uses) if uses.isdigit() else None,
            "users": sorted(u for u in users.split(",") if u not in ("", "-", "[permanent]")),
            "state": state,
        }
    return found


def merge_modules(highest: State | None, target: Local) -> State | None:
    """``during``: modules seen so far with their highest use count, one more look added."""
    now = modules(target)
    if now is None:
        return highest
    if highest is None:
        return {"taken": time.time(), "samples": 1, "modules": now}
    for name, module in now.items():
        seen = highest["modules"].get(name)
        if seen is None or (module["uses"] or 0) > (seen["uses"] or 0):
            highest["modules"][name] = module
    highest["samples"] += 1
    return highest


def diff(before: State, after: State) -> dict[str, list[dict[str, Any]]]:
    """What changed: ``modules`` ``{name, before, after}`` (use counts, null = not loaded),
    ``mounts`` ``{point, fstype, source, change: "mounted" | "unmounted"}``, ``sysctl`` ``{name,
    before, after}``. Each list sorted by its first key."""
    return {
        "modules": _changed(_uses(before), _uses(after)),
        "mounts": _mount_changes(before.get("mounts") or [], after.get("mounts") or []),
        "sysctl": _changed(before.get("sysctl") or {}, after.get("sysctl") or {}),
    }


def _uses(state: State) -> dict[str, Any]:
    return {name: module["uses"] for name, module in (state.get("modules") or {}).items()}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if name not in before or name not in after or before[name] != after[name]
    ]


def _mount_changes(before: list[State], after: list[State]) -> list[dict[str, Any]]:
    def key(mount: State) -> tuple[str, str, str]:
        return (mount["point"], mount["fstype"], mount["source"])

    was, now = {key(m) for m in before}, {key(m) for m in after}
    changes = [(*k, "unmounted") for k in was - now] + [(*k, "mounted") for k in now - was]
    return [
        {"point": point, "fstype": fstype, "source": source, "change": change}
        for point, fstype, source, change in sorted(changes)
    ]


def _config(target: Local, release: str) -> tuple[str, str] | None:
    packed = target.read("/proc/config.gz")
    if packed is not None:
        try:
            return "/proc/config.gz", gzip.decompress(packed).decode("utf-8", "surrogateescape")
        except (OSError, EOFError, zlib.error):
            pass
    for path in (f"/boot/config-{release}", f"/lib/modules/{release}/config"):
        text = target.text(path)
        if text is not None:
            return path, text
    return None


def _builtin(target: Local, release: str) -> list[str] | None:
    text = target.text(f"/lib/modules/{release}/modules.builtin")
    if text is None:
        return None
    names = (os.path.basename(line).split(".")[0] for line in text.split())
    return sorted({name.replace("-", "_") for name in names})


def _mounts(target: Local) -> list[State]:
    """proc(5), /proc/pid/mountinfo: optional fields end at a lone hyphen."""
    found = []
    for line in (target.text("/proc/self/mountinfo") or "").splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(" "), tail.split(" ")
        if len(fields) < 6 or len(kind) < 2:
            continue
        found.append(
            {
                "id": int(fields[0]),
                "parent": int(fields[1]),
                "device": fields[2],
                "root": _unescaped(fields[3]),
                "point": _unescaped(fields[4]),
                "options": fields[5],
                "fstype": kind[0],
                "source": _unescaped(kind[1]),
            }
        )
    return found


def _unescaped(text: str) -> str:
    r"""Space, tab, newline and backslash are \040, \011, \012, \134 there."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _majors(target: Local) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {"char": {}, "block": {}}
    kind = None
    for line in (target.text("/proc/devices") or "").splitlines():
        if line.startswith("Character"):
            kind = "char"
        elif line.startswith("Block"):
            kind = "block"
        elif kind and len(fields := line.split(maxsplit=1)) == 2:
            found[kind].setdefault(fields[0], []).append(fields[1])
    return found


def _devices(target: Local, kind: str) -> dict[str, dict[str, str | None]]:
    root = f"/sys/dev/{kind}"
    found = {}
    for number in target.list(root):
        path = target.link(f"{root}/{number}")
        if path is None:
            continue
        uevent = dict(
            line.partition("=")[::2] for line in (target.text(f"{path}/uevent") or "").splitlines()
        )
        subsystem = target.link(f"{path}/subsystem")
        found[number] = {
            "name": uevent.get("DEVNAME"),
            "subsystem": os.path.basename(subsystem) if subsystem else None,
            "driver": _driver(target, path),
        }
    return found


def _driver(target: Local, path: str) -> str | None:
    """Of the device or the nearest of its parents: a disk's partition, an input's event node."""
    while len(path) > len("/sys/devices"):
        driver = target.link(f"{path}/driver")
        if driver:
            return os.path.basename(driver)
        path = os.path.dirname(path)
    return None


def _counters(text: str | None) -> dict[str, dict[str, Any]]:
    """/proc/interrupts and /proc/softirqs: a column a CPU, then words."""
    found = {}
    for line in (text or "").splitlines()[1:]:
        label, _, rest = line.partition(":")
        fields = rest.split()
        numbers = []
        while fields and fields[0].isdigit():
            numbers.append(int(fields.pop(0)))
        found[label.strip()] = {"count": sum(numbers), "what": " ".join(fields)}
    return found


def _sysctl(target: Local) -> Iterator[tuple[str, str]]:
    """Writable values below /proc/sys: those only to be read are state, not settings."""
    root = "/proc/sys"
    for folder, folders, files in os.walk(root):
        base = folder[len(root) + 1 :].replace("/", ".")
        folders[:] = [
            name for name in sorted(folders) if not _ONE_INTERFACE.match(f"{base}.{name}.")
        ]
        for name in sorted(files):
            label = f"{base}.{name}" if base else name
            path = f"{folder}/{name}"
            if _RESTLESS.fullmatch(label) or _SECRET.fullmatch(label):
                continue
            if not os.lstat(path).st_mode & 0o222:
                continue
            text = target.text(path)
            if text is not None:
                yield label, text.strip()


def _interfaces(target: Local) -> dict[str, dict[str, str | None]]:
    found = {}
    for name in target.list("/sys/class/net"):
        path = target.link(f"/sys/class/net/{name}")
        if path is None:
            continue
        kind = target.text(f"{path}/type")
        found[name] = {"driver": _driver(target, path), "type": kind.strip() if kind else None}
    return found


def _missing(state: State) -> list[str]:
    words = []
    if state["modules"] is None:
        words.append("modules: this kernel has none (no /proc/modules)")
    if state["builtin_modules"] is None:
        words.append(f"built-in modules: no list (/lib/modules/{state['release']}/modules.builtin)")
    if state["config"] is None:
        words.append("kernel configuration: none here (no /proc/config.gz, no /boot/config-*)")
    return words
