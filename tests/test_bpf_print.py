"""``kfoot run --print`` and ``--sequence``: every call, in order, as strace would have it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bpfrig
from kfoot.atlas import open_atlas
from kfoot.cli.common_strace import Printer, escape, quote
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from needs import needs

PYTHON = [sys.executable, "-I", "-S", "-B", "-c"]
PROGRAM = """
import os, socket
fd = os.open("/etc/passwd", os.O_RDONLY)
for _ in range(20): os.lseek(fd, 0, 0); os.read(fd, 7)
try: os.rename("/nowhere/a\\n", "/nowhere/b")
except OSError: pass
s = socket.socket(); s.close()
n = os.open("/dev/null", os.O_WRONLY); os.write(n, b"abc"); os.isatty(n); os.close(n)
os._exit(7)
"""


@pytest.mark.root
def test_the_printed_calls_are_those_of_strace_in_order(tmp_path: Path) -> None:
    needs("bpf", "strace")
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    out = io.StringIO()
    abis = ("x86_64", "i386", "x32")
    printer = Printer(out, open_atlas(os.uname().release), abis, os.uname().machine)
    bpfrig.under_bpf(
        [*PYTHON, PROGRAM], tmp_path, heard=printer.heard, env=env, events=False, sequence=True
    )
    ours = re.findall(r"^\[pid \d+\] (\w+)\(", out.getvalue(), re.MULTILINE)
    file = tmp_path / "strace.txt"
    subprocess.run(
        ["strace", "-qq", "-o", str(file), *PYTHON, PROGRAM],
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    assert ours == re.findall(r"^(\w+)\(", file.read_text(), re.MULTILINE)
    text = out.getvalue()
    assert re.search(r'openat\(AT_FDCWD, "/etc/passwd", 0x80000, 0\) = 3</etc/passwd> <', text)
    assert text.count("read(3</etc/passwd>, ") == 20
    assert 'rename("/nowhere/a\\n", "/nowhere/b") = -1 ENOENT (No such file' in text
    assert re.search(r"write\(\d</dev/null<char 1:3>>, 0x\w+, 3\) = 3 <0\.\d{6}>", text)
    assert re.search(r"socket\(2, 0x80001, 0\) = \d<TCP:\[\]> <", text)
    assert re.search(r"\] exit_group\(7\) = \? ", text)
    assert text.rstrip().endswith("+++ exited with 7 +++")


@pytest.mark.root
def test_sequence_keeps_every_call_in_order(tmp_path: Path) -> None:
    needs("bpf")
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50000"]
    recorded = bpfrig.under_bpf(command, tmp_path, events=False, sequence=True)
    reading = READER.read(recorded.files, Options(max_steps=200_000))
    assert reading.losses == []
    assert reading.steps_cut == 0
    transfers = [step for step in reading.steps if step.nr in (0, 1) and step.outcome == "ok"]
    names = [reading.objects[step.object].name for step in transfers if step.object is not None]
    first = names.index("/dev/zero")
    assert names[first : first + 100_000] == ["/dev/zero", "/dev/null"] * 50_000


def test_nothing_a_terminal_would_obey_is_printed() -> None:
    assert quote('a"\\\x1b[31m\n\u202e\udcff') == '"a\\"\\\\\\033[31m\\n\\342\\200\\256\\377"'
    assert escape("grün /dev/i2c-1") == "grün /dev/i2c-1"
