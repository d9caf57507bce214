"""Collector ``bpf`` sees what ``strace -f`` sees, call for call, on deterministic programs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

import bpfrig
from kfoot.collect.bpf import recording
from kfoot.collect.bpf.probe import object_file
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from needs import needs

PYTHON = [sys.executable, "-I", "-S", "-B", "-c"]

FILES = """
import os
os.mkdir("d"); open("d/a", "w").write("x" * 100); open("d/b", "wb").close()
os.rename("d/a", "d/c"); os.link("d/c", "d/e"); os.symlink("c", "d/f"); os.readlink("d/f")
for name in ("none", "d/none", "/nowhere/at/all"):
    for call in (os.stat, os.unlink, os.rmdir, os.chdir):
        try: call(name)
        except OSError: pass
fd = os.open("d", os.O_RDONLY)
os.stat("c", dir_fd=fd); os.rename("c", "g", src_dir_fd=fd, dst_dir_fd=fd)
os.chdir("d"); os.stat("g"); os.stat("."); os.chdir("..")
for name in ("e", "f", "g", "b"): os.unlink("d/" + name)
os.rmdir("d")
"""

LONG = """
import os
for length in (200, 511, 512, 513, 600, 2000, 4000):
    path = "/" + "/".join("y" * 200 for _ in range(length // 201 + 1))[:length]
    for call in (os.stat, os.lstat):
        try: call(path)
        except OSError: pass
    try: os.rename(path, path[::-1])
    except OSError: pass
"""

SOCKETS = """
import socket, os
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, 99):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 77):
        try: socket.socket(family, kind, 0).close()
        except OSError: pass
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
for i in range(50): client.send(b"x"); peer.recv(1)
client.close(); peer.close(); server.close()
a, b = socket.socketpair(); a.send(b"y"); b.recv(1); a.close(); b.close()
s = socket.socket(socket.AF_UNIX)
try: s.connect("/nowhere/socket")
except OSError: pass
"""

IOCTLS = """
import fcntl, os, pty, struct
m, s = pty.openpty()
n = os.open("/dev/null", os.O_RDWR)
for fd in (m, s, n, 99):
    for request in (0x5401, 0x5413, 0x541B, 0x5421, 0x8004, 0xC0206B00, 0x80045430):
        for _ in range(3):
            try: fcntl.ioctl(fd, request, bytes(256))
            except OSError: pass
"""

FORKS = "i=0; while [ $i -lt 20 ]; do /bin/true; /bin/false; i=$((i+1)); done"

KILLED = """
import os, signal, time
for _ in range(3):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(w, b"x"); signal.pause()
    os.read(r, 1); time.sleep(0.1); os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""

PIPES = """
import os
r, w = os.pipe()
out = [(os.POSIX_SPAWN_DUP2, w, 1)]
pid = os.posix_spawn("/bin/cat", ["cat", "/etc/passwd"], {}, file_actions=out)
os.close(w); os.waitpid(pid, 0)
while os.read(r, 65536): pass
for command in (["ls", "-la", "/etc/nothing", "/etc/hostname"], ["sed", "-n", "1p", "/etc/passwd"]):
    os.waitpid(os.posix_spawnp(command[0], command, {}), 0)
"""

EVENTS = """
import os, select
e = os.eventfd(3); p = select.epoll(); p.register(e, 1); p.poll(0)
for _ in range(40): os.eventfd_read(e); os.eventfd_write(e, 1)
m = os.memfd_create("memory"); os.write(m, b"z" * 10); os.lseek(m, 0, 0); os.read(m, 5)
d = os.dup(m); os.close(d)
try: os.close(d)
except OSError: pass
os.stat(m)
r, w = os.pipe(); os.write(w, b"q"); os.read(r, 1); os.set_blocking(r, False)
try: os.read(r, 1)
except OSError: pass
"""

SPAWNED = """
import os
for name in ("/nowhere", "/etc/passwd", "/etc"):
    try: os.execv(name, [name])
    except OSError: pass
pid = os.posix_spawn("/bin/true", ["true", "with", "words"], {})
os.waitpid(pid, 0)
os.execv("/bin/echo", ["echo", "the", "end"])
"""

PROGRAMS = {
    "true": ["/bin/true"],
    "tree": ["ls", "-lR", "/etc/apt"],
    "bytes": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000"],
    "pipes": [*PYTHON, PIPES],
    "forks": ["sh", "-c", FORKS],
    "files": [*PYTHON, FILES],
    "long": [*PYTHON, LONG],
    "sockets": [*PYTHON, SOCKETS],
    "ioctls": [*PYTHON, IOCTLS],
    "killed": [*PYTHON, KILLED],
    "events": [*PYTHON, EVENTS],
    "spawned": [*PYTHON, SPAWNED],
}


@pytest.mark.root
@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_to_strace(name: str, tmp_path: Path) -> None:
    needs("bpf", "strace", "headers")
    equal(name, tmp_path)


@pytest.mark.root
@pytest.mark.parametrize("programs", ["detail_plain", "detail_older"])
@pytest.mark.parametrize("name", ["files", "sockets", "spawned"])
def test_programs_for_older_kernels_are_equal_too(
    name: str, programs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("bpf", "strace", "headers")
    loaded: list[str] = []

    def chosen(program: str, arch: str) -> Path:
        loaded.append(programs if program.startswith("detail") else program)
        return object_file(loaded[-1], arch)

    monkeypatch.setattr(recording, "object_file", chosen)
    equal(name, tmp_path)
    assert loaded == ["events", programs]


def equal(name: str, tmp_path: Path) -> None:
    """A program makes the same calls under bpf as under strace."""
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    here = tmp_path / "cwd"
    here.mkdir()
    theirs = bpfrig.under_strace(PROGRAMS[name], tmp_path / "strace.txt", cwd=here, env=env)
    recorded = bpfrig.under_bpf(PROGRAMS[name], tmp_path, cwd=here, env=env, events=False)
    ours = bpfrig.tally_of(recorded)
    assert _difference(ours.calls, theirs.calls) == {}
    assert _difference(ours.paths, theirs.paths) == {}
    assert _difference(ours.ioctls, theirs.ioctls) == {}
    assert _difference(ours.sockets, theirs.sockets) == {}
    reading = READER.read(recorded.files, Options())
    assert reading.losses == []
    assert sum(count.calls for count in reading.calls.values()) == theirs.calls.total()


def _difference(ours: Counter[object], theirs: Counter[object]) -> dict[object, tuple[int, int]]:
    """What differs: ours, theirs."""
    return {key: (ours[key], theirs[key]) for key in {*ours, *theirs} if ours[key] != theirs[key]}
