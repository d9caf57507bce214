"""The system's state, from files as other hosts have them."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

from kfoot.collect import snapshot
from kfoot.collect.ftrace import losses_in
from kfoot.targets.local import Local

MODULES = """\
spi_bcm2835 24576 0 - Live 0x0000000000000000
can_raw 20480 2 - Live 0xffffffffc0a51000
can 28672 1 can_raw, Live 0xffffffffc0a3f000
vfat 24576 1 - Loading 0x0
forced 16384 0 [permanent], Live 0x0 (OE)
"""


class Elsewhere(Local):
    """A host made of a few files."""

    def __init__(self, files: dict[str, bytes]):
        self._files = files

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)

    def link(self, path: str) -> str | None:
        return None

    def list(self, path: str) -> list[str]:
        return []


def test_modules_with_use_counts_and_users() -> None:
    found = snapshot.modules(Elsewhere({"/proc/modules": MODULES.encode()}))
    assert found is not None
    assert found["can"] == {"size": 28672, "uses": 1, "users": ["can_raw"], "state": "Live"}
    assert found["can_raw"]["uses"] == 2
    assert found["forced"]["users"] == []


def test_during_keeps_the_highest_use_count() -> None:
    def host(uses: int) -> Elsewhere:
        return Elsewhere({"/proc/modules": f"can 1 {uses} - Live 0x0\n".encode()})

    state = None
    for uses in (1, 4, 2):
        state = snapshot.merge_modules(state, host(uses))
    assert state is not None
    assert state["samples"] == 3
    assert state["modules"]["can"]["uses"] == 4


def test_a_host_without_anything_says_so_in_words() -> None:
    state, config = snapshot.take(Elsewhere({}))
    assert config is None
    assert state["modules"] is None
    assert state["config"] is None
    assert [line.partition(":")[0] for line in state["missing"]] == [
        "modules",
        "built-in modules",
        "kernel configuration",
    ]


def test_the_configuration_is_kept_whole_with_its_digest() -> None:
    text = b"CONFIG_SPI=y\n# CONFIG_I2C is not set\n"
    state, config = snapshot.take(Elsewhere({"/proc/config.gz": gzip.compress(text)}))
    assert config == text.decode()
    assert state["config"]["sha256"] == hashlib.sha256(text).hexdigest()
    release = os.uname().release
    state, _ = snapshot.take(
        Elsewhere({"/proc/config.gz": b"\x1f\x8bbroken", f"/boot/config-{release}": text})
    )
    assert state["config"]["source"] == f"/boot/config-{release}"


def test_mounts_devices_and_counters_as_the_kernel_prints_them() -> None:
    files = {
        "/proc/self/mountinfo": rb"36 35 98:0 /a\040b /mnt/x\134y rw master:1 - "
        rb"ext4 /dev/sd\011a rw",
        "/proc/devices": b"Character devices:\n  1 mem\n153 spi\n\nBlock devices:\n  8 sd\n",
        "/proc/interrupts": b"    CPU0 CPU1\n 24: 5 7 GICv3 91 Edge spi0\nERR: 3\n",
    }
    state, _ = snapshot.take(Elsewhere(files))
    mount = state["mounts"][0]
    assert (mount["root"], mount["point"], mount["source"]) == ("/a b", "/mnt/x\\y", "/dev/sd\ta")
    assert (mount["device"], mount["fstype"]) == ("98:0", "ext4")
    assert state["majors"] == {"char": {"1": ["mem"], "153": ["spi"]}, "block": {"8": ["sd"]}}
    assert state["interrupts"]["24"] == {"count": 12, "what": "GICv3 91 Edge spi0"}
    assert state["interrupts"]["ERR"] == {"count": 3, "what": ""}


def test_difference_of_two_states() -> None:
    def state(uses: dict[str, int], sysctl: dict[str, str], points: list[str]) -> snapshot.State:
        return {
            "modules": {name: {"uses": n} for name, n in uses.items()},
            "sysctl": sysctl,
            "mounts": [{"point": p, "fstype": "tmpfs", "source": "none"} for p in points],
        }

    before = state({"can": 1, "gone": 0}, {"vm.swappiness": "60", "a": "1"}, ["/old"])
    after = state({"can": 2, "new": 0}, {"vm.swappiness": "10", "a": "1"}, ["/new"])
    assert snapshot.diff(before, after) == {
        "modules": [
            {"name": "can", "before": 1, "after": 2},
            {"name": "gone", "before": 0, "after": None},
            {"name": "new", "before": None, "after": 0},
        ],
        "mounts": [
            {"point": "/new", "fstype": "tmpfs", "source": "none", "change": "mounted"},
            {"point": "/old", "fstype": "tmpfs", "source": "none", "change": "unmounted"},
        ],
        "sysctl": [{"name": "vm.swappiness", "before": "60", "after": "10"}],
    }


def test_this_host_agrees_with_itself() -> None:
    state, _ = snapshot.take(Local())
    null = state["devices"]["char"]["1:3"]
    assert (null["name"], null["subsystem"]) == ("null", "mem")
    assert state["sysctl"]["kernel.hostname"] == os.uname().nodename
    assert "kernel.osrelease" not in state["sysctl"], "what cannot be written is no setting"
    root = next(mount for mount in state["mounts"] if mount["point"] == "/")
    numbers = os.stat("/").st_dev
    assert root["fstype"]
    if root["device"].split(":")[0] != "0":
        assert root["device"] == f"{os.major(numbers)}:{os.minor(numbers)}"
    assert state["interfaces"]["lo"]["type"] == "772"


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    state, _ = snapshot.take(Local())
    assert not [
        name for name in state["sysctl"] if name.endswith(("fastopen_key", ".stable_secret"))
    ]


def test_ring_buffer_statistics_tell_losses() -> None:
    stats = (
        "entries: 4\noverrun: 12\ncommit overrun: 3\nbytes: 9\ndropped events: 5\nread events: 1\n"
    )
    assert losses_in(stats) == {"overrun": 15, "dropped": 5}
    assert losses_in("overrun: 0\ndropped events: 0\n") == {}
