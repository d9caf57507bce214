"""Boots a Debian kernel under QEMU emulation and runs a shell script in it.

The guest's root is this machine's, read-only over 9p, with a fresh /tmp; /tmp/share is a folder of
ours, /tmp/tree this checkout. A guest of another architecture has a root of unpacked packages
instead. Kernels and packages come from the archive (``apt-get download``) and are kept in
``$KFOOT_GUEST_CACHE`` or ~/.cache/kfoot-guests.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("KFOOT_GUEST_CACHE", Path.home() / ".cache" / "kfoot-guests"))
ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (
    *("python3-minimal", "libpython3-stdlib", "libbpf1", "strace", "busybox-static", "coreutils"),
    *("dash", "sed", "linux-libc-dev"),
)
_MODULES = ("virtio_pci", "9pnet_virtio", "9p")
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts; mount -t devpts pts /dev/pts
for m in {modules}; do insmod /m/$m; done
P=trans=virtio,version=9p2000.L,msize=262144,cache=loose
mount -t 9p -o $P,ro hostroot /host
for d in proc sys dev; do mount --rbind /$d /host/$d; done
mount -t tmpfs tmp /host/tmp; mkdir /host/tmp/share; mount -t 9p -o $P share /host/tmp/share
mkdir /host/tmp/tree; mount -t 9p -o $P,ro tree /host/tmp/tree
case {root} in /tmp/*) mkdir -p /host{root}; mount --bind /host/tmp/tree /host{root};; esac
mount -t tracefs trace /host/sys/kernel/tracing
ip link set lo up
chroot /host /bin/sh /tmp/share/job.sh > /host/tmp/share/out.txt 2>&1
echo $? > /host/tmp/share/status.txt
sync; poweroff -f
"""


@dataclass(frozen=True)
class Machine:
    """What a guest is made of."""

    arch: str
    """Debian's name of it."""
    emulator: tuple[str, ...]
    console: str
    root: Path = Path("/")
    apt: tuple[str, ...] = ()
    """Options with which apt means this architecture."""


AMD64 = Machine("amd64", ("qemu-system-x86_64", "-M", "q35"), "ttyS0")


def arm64() -> Machine:
    """One with a root made of a few packages: Python, libbpf, strace and what programs run."""
    emulator = ("qemu-system-aarch64", "-M", "virt")
    home = CACHE / "arm64"
    options = _apt(home, "arm64")
    machine = Machine("arm64", emulator, "ttyAMA0", home / "root", options)
    if not machine.root.exists():
        _get("update", options, home)
        named = _get("install", (*options, "--print-uris", "--yes", *_PACKAGES), home)
        packages = re.findall(r"^'[^']*' (\S+?)_\S+\.deb ", named, re.MULTILINE)
        _get("download", (*options, *packages), home)
        beside = home / "root.new"
        shutil.rmtree(beside, ignore_errors=True)
        for package in home.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(beside)], check=True)
            package.unlink()
        for name in ("proc", "sys", "dev", "tmp", "root"):
            (beside / name).mkdir(exist_ok=True)
        beside.rename(machine.root)
    return machine


def _apt(home: Path, arch: str) -> tuple[str, ...]:
    """An apt of its own for another architecture, so that this machine's learns nothing of it."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    settings = {
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::State": home / "state",
        "Dir::State::status": home / "status",
        "Dir::Cache": home / "cache",
    }
    return tuple(f"-o={key}={value}" for key, value in settings.items())


def _get(word: str, options: Sequence[str], home: Path) -> str:
    command = ["apt-get", word, *options]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True)
    if done.returncode:
        _cannot(f"apt-get {word}: {done.stderr[-200:]}")
    return done.stdout


def kernel(series: str, machine: Machine = AMD64) -> Path:
    """A folder with boot/ and lib/modules/ of the newest Debian kernel of a series ("6.1")."""
    names = subprocess.run(
        ["apt-cache", *machine.apt, "pkgnames", f"linux-image-{series}."],
        capture_output=True,
        text=True,
    ).stdout.split()
    arch = machine.arch
    plain = [n for n in names if re.fullmatch(rf"linux-image-{series}[\d.+~a-z-]*-{arch}", n)]
    plain = [n for n in plain if not re.search(r"cloud|rt|unsigned|dbg", n)]
    known = sorted(path.name for path in CACHE.glob(f"linux-image-{series}.*-{arch}"))
    if not plain and not known:
        _cannot(f"apt knows no linux-image-{series}.*-{arch}")
    name = max(plain, key=_version) if plain else known[-1]
    folder = CACHE / name
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _get("download", (*machine.apt, name), CACHE)
        package = next(CACHE.glob(f"{name}_*.deb"))
        beside = folder.with_suffix(".new")
        shutil.rmtree(beside, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", str(package), str(beside)], check=True)
        release = next((beside / "lib/modules").iterdir()).name
        subprocess.run(["depmod", "-b", str(beside), release], check=True)
        beside.rename(folder)
        package.unlink()
    return folder


def _version(name: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", name)]


def _cannot(why: str) -> None:
    if "guest" in os.environ.get("KFOOT_REQUIRE", "").split(","):
        pytest.fail(f"KFOOT_REQUIRE insists on guest: {why}")
    pytest.skip(f"needs a guest kernel: {why}")


def run(
    kernel_folder: Path,
    job: str,
    folder: Path,
    *,
    machine: Machine = AMD64,
    timeout: float = 900,
) -> tuple[int, str]:
    """Boot, run the script, power off. Gives its exit status and output; its files are in
    ``folder``/share."""
    for program in ("busybox", "cpio", machine.emulator[0]):
        if not shutil.which(program):
            _cannot(f"{program} is not installed")
    release = next((kernel_folder / "lib/modules").iterdir()).name
    root, share = folder / "initrd", folder / "share"
    for name in ("bin", "proc", "sys", "dev", "m", "host", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    share.mkdir(exist_ok=True)
    shutil.copy(machine.root / "bin/busybox", root / "bin/busybox")
    modules: list[str] = []
    for module in _MODULES:
        shown = subprocess.run(
            ["modprobe", "-d", str(kernel_folder), "-S", release, "--show-depends", module],
            capture_output=True,
            text=True,
        ).stdout
        for line in shown.splitlines():
            path = Path(line.removeprefix("insmod ").strip())
            if path.name not in modules and line.startswith("insmod"):
                shutil.copy(path, root / "m" / path.name)
                modules.append(path.name)
    (root / "init").write_text(_INIT.format(modules=" ".join(modules), root=ROOT))
    (root / "init").chmod(0o755)
    (share / "job.sh").write_text(job)
    names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc"],
        cwd=root,
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    (folder / "initrd.gz").write_bytes(gzip.compress(archive, 1))
    shared = "security_model=none"
    command = [
        *(*machine.emulator, "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-m", "1536", "-smp", "1", "-kernel", str(kernel_folder / f"boot/vmlinuz-{release}")),
        *(
            "-initrd",
            str(folder / "initrd.gz"),
            "-append",
            f"console={machine.console} panic=-1 quiet",
        ),
        *("-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio"),
        *(
            "-fsdev",
            f"local,id=h,path={machine.root},security_model=none,readonly=on,multidevs=remap",
        ),
        *("-device", "virtio-9p-pci,fsdev=h,mount_tag=hostroot"),
        *("-fsdev", f"local,id=s,path={share},{shared}"),
        *("-device", "virtio-9p-pci,fsdev=s,mount_tag=share"),
        # A checkout below /tmp would be hidden by the guest's own /tmp.
        *("-fsdev", f"local,id=t,path={ROOT},{shared},readonly=on"),
        *("-device", "virtio-9p-pci,fsdev=t,mount_tag=tree"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    if not (share / "status.txt").exists():
        raise AssertionError(f"the guest did not get to the job: {done.stdout[-2000:]}")
    return int((share / "status.txt").read_text()), (share / "out.txt").read_text()
