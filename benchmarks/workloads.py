"""The commands on which the strace reader is compared with ftrace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Workload:
    """A command, and why it is on the list."""

    name: str
    shows: str
    argv: Callable[[Path], list[str] | None]
    """Prepares a folder and gives the command line; None where the host has not the programs."""


def _shell(script: str, *programs: str) -> Callable[[Path], list[str] | None]:
    def argv(folder: Path) -> list[str] | None:
        if not all(shutil.which(program) for program in programs):
            return None
        return ["bash", "-c", f"cd {folder}\n{script}"]

    return argv


def _built(source: str) -> Callable[[Path], list[str] | None]:
    def argv(folder: Path) -> list[str] | None:
        program = folder / Path(source).stem
        return [str(program)] if _build(source, program) else None

    return argv


def _build(source: str, program: Path, *flags: str) -> bool:
    path = str(PROGRAMS / source)
    command = {
        ".c": ["gcc", "-w", *flags, "-o", str(program), path, "-pthread"],
        ".go": ["go", "build", "-o", str(program), path],
        ".rs": ["rustc", "-o", str(program), path],
    }[Path(source).suffix]
    if not shutil.which(command[0]):
        return False
    env = {**os.environ, "CGO_ENABLED": "0", "GOCACHE": str(program.parent / "cache")}
    return subprocess.run(command, env=env, capture_output=True).returncode == 0


def _both(folder: Path) -> list[str] | None:
    narrow, wide = folder / "narrow", folder / "wide"
    if not (_build("both.c", narrow, "-m32") and _build("both.c", wide)):
        return None
    return [str(wide), str(narrow), str(wide), str(narrow)]


def _script(program: str, name: str) -> Callable[[Path], list[str] | None]:
    def argv(_: Path) -> list[str] | None:
        found = shutil.which(program)
        return [found, str(PROGRAMS / name)] if found else None

    return argv


_SSHD = """
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f me; cp me.pub keys
$(command -v sshd) -D -e -p 48222 -o ListenAddress=127.0.0.1 -o HostKey=$PWD/host \\
  -o AuthorizedKeysFile=$PWD/keys -o StrictModes=no -o PidFile=none 2>log &
for i in $(seq 50); do
  ssh -p 48222 -i me -o StrictHostKeyChecking=no -o BatchMode=yes \\
    -o UserKnownHostsFile=known 127.0.0.1 'echo hello; false' 2>>errors
  [ $? = 1 ] && break; sleep 0.1
done
kill %1; wait
"""

_HTTP = """
python3 -m http.server -b 127.0.0.1 48080 2>log &
for i in $(seq 50); do curl -s 127.0.0.1:48080/ >page && break; sleep 0.1; done
kill %1; wait
"""

_BASH = """
trap 'echo caught' USR1
for i in 1 2 3; do echo $i | cat | tr 1 2; done
kill -USR1 $$
cat <<<x
(exit 3) || sleep 0.02 &
wait
"""

_MAKE = """
printf 'all: a b c\\na b c:\\n\\tsleep 0.01; touch $@\\n' >Makefile
make -j2
"""

_GIT = """
git init -q a && cd a && touch x && git add x
git -c user.name=a -c user.email=a@b commit -qm x
git clone -q . ../b && git log --oneline
"""

_SQLITE = "sqlite3 base 'create table t(n); insert into t values(1),(2); select sum(n) from t;'"

_FILES = "cp -r /usr/share/doc/bash a; mv a b; ln -s b c; touch c/x; rm -r b c"
_FIND = "find /usr/share/doc/bash -type f -exec head -c 10 {} \\; | wc -c"


def _gcc(folder: Path) -> list[str] | None:
    source = str(PROGRAMS / "spawn.c")
    return ["gcc", "-w", "-c", "-o", str(folder / "o"), source] if shutil.which("gcc") else None


def _dd(_: Path) -> list[str]:
    return ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000"]


WORKLOADS = (
    Workload("ls -lR", "coreutils: stat and getdents", _shell("ls -lR /usr/lib/python3 | wc -l")),
    Workload("cp, mv, rm", "coreutils: files made, moved and removed", _shell(_FILES)),
    Workload("sort", "threads, a pipe", _shell("seq 200000 | sort -R --parallel=4 | tail -1")),
    Workload("grep -r", "many reads", _shell("grep -rc Debian /usr/share/doc/b* | tail -1")),
    Workload("find -exec", "a process for each file", _shell(_FIND)),
    Workload("tar czf", "a filter through a pipe", _shell("tar czf a -C /usr/share/doc bash")),
    Workload("gcc -c", "vfork, exec and temporary files", _gcc),
    Workload("make -j2", "job server on a pipe", _shell(_MAKE, "make")),
    Workload("bash", "pipes, jobs, here strings, traps", _shell(_BASH)),
    Workload("Python", "threads, a process pool, sqlite", _script("python3", "several.py")),
    Workload("Node", "thread pool, epoll, server and client", _script("node", "several.js")),
    Workload("Java", "many threads", _shell("java -Xshare:auto -version", "java")),
    Workload("Go", "a static binary; signals between threads", _built("static.go")),
    Workload("Rust", "threads and a child", _built("static.rs")),
    Workload("32-bit", "64-bit runs 32-bit runs 64-bit runs 32-bit", _both),
    Workload("vfork", "vfork, posix_spawn, exec from a thread", _built("spawn.c")),
    Workload("threads", "futexes contended for", _built("threads.c")),
    Workload("signals", "calls interrupted, restarted, killed", _built("signals.c")),
    Workload("daemon", "double fork, setsid; outlives its parent", _built("daemon.c")),
    Workload("git", "commit, and clone of a local repository", _shell(_GIT, "git")),
    Workload("sqlite3", "locks and syncs", _shell(_SQLITE, "sqlite3")),
    Workload("openssl", "key generation", _shell("openssl genrsa 2048", "openssl")),
    Workload("curl", "an HTTP server and its client", _shell(_HTTP, "curl", "python3")),
    Workload("ssh", "sshd with its children, and a client", _shell(_SSHD, "ssh", "sshd")),
    Workload("xz -T2", "threads that compress", _shell("seq 300000 >a; xz -T2 a", "xz")),
    Workload("dd bs=1", "as many calls as bytes", _dd),
)
