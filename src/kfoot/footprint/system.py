"""The system's state recorded with a capture, as attribution asks for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from kfoot.capture import Capture

State = dict[str, Any]


class Device(NamedTuple):
    """A device node as /sys/dev lists it."""

    kind: str
    number: tuple[int, int]
    name: str | None
    driver: str | None
    subsystem: str | None


class System:
    """Look-ups in the snapshots before, during and after; an import has none and knows nothing."""

    def __init__(
        self,
        before: State | None,
        during: State | None = None,
        after: State | None = None,
        config: dict[str, str] | None = None,
    ):
        self.before, self.during, self.after = before, during, after
        self.config = config
        self._devices: dict[tuple[str, int, int], Device] = {}
        self._by_name: dict[str, Device] = {}
        for state in (before, during, after):
            if state:
                self._learn(state)
        points = {}
        for state in (before, after):
            for mount in (state or {}).get("mounts") or []:
                points[mount["point"]] = mount["fstype"]
        self._mounts = sorted(points.items(), key=lambda item: -len(item[0]))

    @classmethod
    def of(cls, capture: Capture) -> System:
        """The snapshots of a capture."""
        config = capture.system / "config.txt"
        return cls(
            capture.snapshot("before"),
            capture.snapshot("during"),
            capture.snapshot("after"),
            parse_config(config.read_text(errors="replace")) if config.is_file() else None,
        )

    def _learn(self, state: State) -> None:
        for kind in ("char", "block"):
            for number, row in ((state.get("device_map") or {}).get(kind) or {}).items():
                major, minor = (int(part) for part in number.split(":"))
                device = Device(
                    kind, (major, minor), row.get("name"), row.get("driver"), row.get("subsystem")
                )
                self._devices[kind, major, minor] = device
                if device.name:
                    self._by_name[f"/dev/{device.name}"] = device

    def device(
        self, kind: str, major: int | None, minor: int | None, path: str = ""
    ) -> Device | None:
        """A device by number, or by the path of its node when no number was recorded."""
        if major is None or minor is None:
            return self._by_name.get(path)
        return self._devices.get((kind, major, minor))

    def device_named(self, path: str) -> Device | None:
        """The device whose node is ``path``."""
        return self._by_name.get(path)

    def filesystem_of(self, path: str) -> str | None:
        """The type of the filesystem ``path`` lies on, by longest mount point."""
        for point, fstype in self._mounts:
            if path == point or path.startswith(point.rstrip("/") + "/"):
                return str(fstype)
        return None


def parse_config(text: str) -> dict[str, str]:
    """A kernel configuration file to option and value ("y", "m", "n", or the literal)."""
    values = {}
    for line in text.splitlines():
        if line.startswith("CONFIG_") and "=" in line:
            name, _, value = line.partition("=")
            values[name] = value.strip('"')
        elif line.startswith("# CONFIG_") and line.endswith(" is not set"):
            values[line[2:-11]] = "n"
    return values
