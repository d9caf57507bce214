"""The strace reader against real traces, counted independently and made in every style."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from kfoot import readers
from kfoot.readers.base import Options
from kfoot.readers.reading import Object, Reading, Request
from needs import needs
from strace_truth import count

DATA = Path(__file__).parent / "data" / "strace"
KITCHEN = Path(__file__).parent / "programs" / "kitchen.c"
X86 = Options(arch="x86_64")


def read(path: Path, options: Options = X86) -> Reading:
    (found,) = readers.read([path], options)
    assert found.format == "strace"
    return found


def tally(reading: Reading) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Calls by name; errors by (name, errno)."""
    calls: Counter[str] = Counter()
    errors: Counter[tuple[str, str]] = Counter()
    for key, row in reading.calls.items():
        name = key.name or f"syscall_{key.nr:#x}"
        calls[name] += row.calls
        if key.outcome not in ("ok", "never"):
            errors[name, key.outcome] += row.calls
    return calls, errors


def on(reading: Reading, name: str) -> list[tuple[Object | None, str, int]]:
    """What calls of this name acted on: object, outcome, calls."""
    return [
        (None if key.object is None else reading.objects[key.object], key.outcome, row.calls)
        for key, row in reading.calls.items()
        if key.name == name
    ]


@pytest.mark.parametrize("name", ["strace.mdt-reservoir", "strace.mdt-reservoir.busy"])
def test_counts_of_recorded_traces_equal_a_naive_count(name: str, tmp_path: Path) -> None:
    packed = DATA / f"{name}.txt.zst"
    plain = tmp_path / f"{name}.txt"
    with packed.open("rb") as file:
        plain.write_bytes(zstandard.ZstdDecompressor().stream_reader(file).read())
    reading = read(packed)
    assert tally(reading) == count(plain)
    assert tally(read(plain)) == count(plain)
    assert (reading.unparsed, reading.losses) == (0, [])


def test_the_normal_run_is_all_spi() -> None:
    reading = read(DATA / "strace.mdt-reservoir.txt.zst")
    requests = Counter[Request | None]()
    for key, row in reading.calls.items():
        if key.name == "ioctl":
            requests[key.request] += row.calls
            assert key.object is not None
            assert reading.objects[key.object].name == "/dev/spidev5.1"
    assert requests == {Request(None, "SPI_IOC_MESSAGE(32)"): 315}
    assert [outcome for _, outcome, _ in on(reading, "flock")] == ["ok"]


def test_the_busy_run_stops_at_flock() -> None:
    reading = read(DATA / "strace.mdt-reservoir.busy.txt.zst")
    ((device, outcome, calls),) = on(reading, "flock")
    assert device is not None
    assert (device.name, outcome, calls) == ("/dev/spidev5.1", "EAGAIN", 1)
    assert on(reading, "ioctl") == []
    (process,) = reading.processes
    assert process.argv == ("mdt/bin/mdt.amd64", "reservoir")
    assert process.exit_status == 1


# --- every style of one program ---


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("strace", "gcc")
    program = tmp_path_factory.mktemp("kitchen") / "kitchen"
    subprocess.run(["gcc", "-w", "-o", program, KITCHEN, "-pthread"], check=True)
    return program


def trace(program: Path, folder: Path, *options: str, file: bool = True) -> Path:
    """A trace of the program in one style; without ``file`` as it comes on stderr."""
    path = folder / "trace.txt"
    work = folder / "work"
    work.mkdir()
    command = ["strace", *options, *(["-o", str(path)] if file else []), str(program)]
    done = subprocess.run(command, cwd=work, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert done.returncode == 3
    if not file:
        path.write_bytes(done.stderr)
    return path


@pytest.fixture(scope="module")
def plain(kitchen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace(kitchen, tmp_path_factory.mktemp("plain"), "-f")


def test_the_plain_style_equals_a_naive_count(plain: Path) -> None:
    reading = read(plain)
    assert tally(reading) == count(plain)
    assert (reading.unparsed, reading.losses) == (0, [])
    assert [(p.exit_status, p.signal) for p in reading.processes] == [
        (3, None), (None, "SIGKILL"), (None, None), (7, None)
    ]  # fmt: skip


STYLES = [
    ("-t",), ("-tt",), ("-ttt",), ("-r",), ("-r", "-tt"), ("-T",), ("-i",), ("-n",), ("-k",),
    ("-y",), ("-yy",), ("-Y",), ("-v",), ("-x",), ("-xx",), ("-s", "4"), ("-a", "1"),
    ("-C",), ("-X", "raw"), ("-X", "verbose"), ("-e", "raw=all"), ("-e", "write=all"), ("-q",),
    ("-qqq",),
    ("--absolute-timestamps=format:unix,precision:ns",), ("--relative-timestamps=s",),
    ("-i", "-n", "-r", "-tt", "-T", "-yy", "-Y"),
    ("-yy", "-X", "verbose", "-ttt", "-T"),
]  # fmt: skip


@pytest.mark.parametrize("to", ["file", "stderr"])
@pytest.mark.parametrize("style", STYLES, ids=" ".join)
def test_every_style_gives_the_same_calls(
    kitchen: Path, plain: Path, tmp_path: Path, style: tuple[str, ...], to: str
) -> None:
    path = trace(kitchen, tmp_path, "-f", *style, file=to == "file")
    reading, reference = read(path), read(plain)
    assert (reading.unparsed, reading.samples, reading.losses) == (0, [], [])
    assert tally(reading) == tally(reference)
    if style == ("-e", "raw=all"):
        return  # clone3 keeps its flags behind a pointer: thread or process cannot be told
    assert len(reading.processes) == len(reference.processes)
    assert [p.parent for p in reading.processes] == [p.parent for p in reference.processes]
    if "-s" not in style:
        assert [p.argv[1:] for p in reading.processes] == [p.argv[1:] for p in reference.processes]
    if "-T" in style:
        assert all(
            (row.time_ns is not None) == (key.outcome != "never")
            for key, row in reading.calls.items()
        )
    if any("-t" in word or "-r" in word or "stamps" in word for word in style):
        assert reading.facts.first_s is not None
        assert reading.facts.last_s is not None
        assert 0 <= reading.facts.last_s - reading.facts.first_s < 60


def test_separate_files_give_the_same_calls(kitchen: Path, plain: Path, tmp_path: Path) -> None:
    for style in (["-ff"], ["-ff", "-ttt"], ["-ff", "-r"]):
        folder = tmp_path / "-".join(style)
        folder.mkdir()
        trace(kitchen, folder, *style)
        files = sorted(folder.glob("trace.txt.*"))
        assert len(files) == 4
        (reading,) = readers.read(files, X86)
        assert tally(reading) == tally(read(plain))
        assert reading.losses == []
        assert sorted(p.exit_status or -1 for p in reading.processes) == [-1, -1, 3, 7]
        assert (reading.facts.last_s is not None) == ("-ttt" in style)
        shutil.rmtree(folder)


def test_descriptors_are_followed_without_decoration(plain: Path) -> None:
    reading = read(plain)
    null = Object("file", "/dev/null", how="followed")
    assert on(reading, "ioctl") == [(null, "ENOTTY", 1)] * 3
    assert {key.request for key in reading.calls if key.name == "ioctl"} == {
        Request(None, "TIOCGWINSZ"), Request(0x0707, None), Request(None, "SPI_IOC_MESSAGE(32)")
    }  # fmt: skip
    ((nasty, _, _),) = on(reading, "fsync")
    assert nasty is not None
    assert nasty.name == 'x) = 3 <y>, "z" = -1 EIO (no)\n\x01é'
    assert {(o.kind, o.name) for o, _, _ in on(reading, "epoll_ctl") if o} == {
        ("anon", "[eventpoll]")
    }
    udp = [row for row in on(reading, "write") if row[1] == "EDESTADDRREQ"]
    assert udp == [
        (Object("socket", "", family="AF_INET6", type="SOCK_DGRAM", protocol="UDP", how="followed"),
         "EDESTADDRREQ", 2)
    ]  # fmt: skip
    renamed = [o.name for o, _, _ in on(reading, "renameat") if o]
    assert renamed == ["inside"]
    (tcp,) = [o for o, outcome, _ in on(reading, "connect") if outcome == "ECONNREFUSED"]
    assert tcp is not None
    assert (tcp.name, tcp.protocol) == ("->127.0.0.1:1", "TCP")


def test_decorations_are_believed(kitchen: Path, tmp_path: Path) -> None:
    reading = read(trace(kitchen, tmp_path, "-f", "-yy"))
    assert {o for o, _, _ in on(reading, "ioctl")} == {
        Object("char", "/dev/null", (1, 3), how="decorated")
    }
    names = {o.name for o in reading.objects}
    work = str(tmp_path / "work")
    assert f"{work}/folder/inside" in names
    assert f'{work}/x) = 3 <y>, "z" = -1 EIO (no)\n\x01é' in names
    assert not any(digits in name for name in names for digits in ("pipe:[", "socket:["))


def test_a_sleep_cut_short_by_a_signal(tmp_path: Path) -> None:
    """As ``timeout 0.3 sleep 3`` prints it: the one errno name with an underscore."""
    trace = tmp_path / "trace"
    trace.write_text(
        "9 1795173094.1 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=3, tv_nsec=0},"
        "  <unfinished ...>\n"
        "8 1795173094.2 getpid() = 8 <0.000009>\n"
        "9 1795173094.3 <... clock_nanosleep resumed>{tv_sec=2, tv_nsec=731461655})"
        " = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <0.273161>\n"
    )
    reading = read(trace)
    assert reading.unparsed == 0
    assert tally(reading)[1]["clock_nanosleep", "ERESTART_RESTARTBLOCK"] == 1


COMMANDS = [
    "ls -lR /usr/share/doc/bash /nonexistent",
    "for i in 1 2 3; do echo $i | cat | tr 1 2; done",
    "grep -r Debian /usr/share/doc/bash",
    "find /usr/share/doc/bash -type f -exec head -c 1 {} ;",
    "tar czf /dev/null /usr/share/doc/bash",
    "seq 20000 | sort -R --parallel=2 | tail -1",
    "trap 'echo x' USR1; kill -USR1 $$; sleep 0.01 & wait; (exit 3)",
    "setsid sh -c 'sleep 0.05 & :' ; sleep 0.1",
    "timeout -s KILL 0.05 sleep 5",
    "python3 -c 'import threading as t, subprocess as s\n"
    '[t.Thread(target=s.run, args=(["true"],)).start() for _ in range(3)]\'',
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text.split()[0])
def test_counts_of_real_commands_equal_a_naive_count(command: str, tmp_path: Path) -> None:
    needs("strace")
    path = tmp_path / "trace.txt"
    subprocess.run(
        ["strace", "-f", "-s", "300", "-o", path, "bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    reading = read(path)
    assert tally(reading) == count(path)
    assert (reading.unparsed, reading.losses) == (0, [])
    assert sum(step.times for step in reading.steps) + reading.steps_cut == sum(
        row.calls for row in reading.calls.values()
    )
    # One process image at the start, one for each fork that is no thread, one for each exec.
    text = path.read_text(errors="replace")
    forks = re.findall(r"(?:clone\d?|fork)(?:\(| resumed>).*\) += \d+$", text, re.M)
    threads = re.findall(r"^\d+ +clone3?\(.*CLONE_THREAD", text, re.M)
    execs = re.findall(r"execve(?:\(| resumed>).*\) += 0$", text, re.M)
    assert len(reading.processes) == len(forks) - len(threads) + len(execs)


def test_a_descriptor_handed_over_is_known_in_every_task(tmp_path: Path) -> None:
    """Inherited by fork, shared by a thread, closed by exec, passed by a message."""
    path = tmp_path / "trace"
    path.write_text(
        """\
1 execve("/a", ["a"], 0x0) = 0
1 openat(AT_FDCWD, "/kept", O_RDONLY) = 3
1 openat(AT_FDCWD, "/closed", O_RDONLY|O_CLOEXEC) = 4
1 clone(child_stack=NULL, flags=SIGCHLD) = 2
2 read(4, "", 1) = 0
2 execve("/b", ["b"], 0x0) = 0
2 read(3, "", 1) = 0
2 read(4, "", 1) = -1 EBADF (Bad file descriptor)
1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 5
5 openat(AT_FDCWD, "/thread", O_RDONLY) = 6
1 read(6, "", 1) = 0
1 close(3) = 0
2 lseek(3, 0, SEEK_SET) = 0
1 fcntl(6, F_DUPFD_CLOEXEC, 10) = 10
1 dup3(6, 11, 0) = 11
1 ioctl(11, FIOCLEX) = 0
1 fcntl(10, F_SETFD, 0) = 0
1 close_range(11, 12, 0) = 0
1 execve("/c", ["c"], 0x0) = 0
1 fsync(10) = 0
1 fdatasync(11) = -1 EBADF (Bad file descriptor)
"""
    )
    reading = read(path)
    seen = [
        (key.name, key.outcome, reading.objects[key.object].name)
        for key in reading.calls
        if key.object is not None and key.name in ("read", "lseek", "fsync", "fdatasync")
    ]
    assert seen == [
        ("read", "ok", "/closed"),
        ("read", "ok", "/kept"),
        ("read", "EBADF", ""),
        ("read", "ok", "/thread"),
        ("lseek", "ok", "/kept"),
        ("fsync", "ok", "/thread"),
        ("fdatasync", "EBADF", ""),
    ]
    assert [(p.exe, p.parent) for p in reading.processes] == [
        ("/a", None), ("/a", 0), ("/b", 1), ("/c", 0)
    ]  # fmt: skip


def test_a_pid_namespace_gives_children_other_pids(tmp_path: Path) -> None:
    needs("root", "strace")
    path = tmp_path / "trace.txt"
    script = "ls / | cat; (exit 3) | cat; /bin/true & wait; x=$(/bin/true)"
    command = ["unshare", "-pf", "bash", "-c", script]
    subprocess.run(["strace", "-f", "-o", path, *command], capture_output=True, check=True)
    reading = read(path)
    text = path.read_text(errors="replace")
    assert re.search(r"clone(?:\(| resumed>).* = 2$", text, re.M)
    assert tally(reading) == count(path)
    assert (reading.unparsed, reading.losses) == (0, [])
    forks = re.findall(r"(?:clone\d?|fork)(?:\(| resumed>).*\) += \d+$", text, re.M)
    execs = re.findall(r"execve(?:\(| resumed>).*\) += 0$", text, re.M)
    assert len(reading.processes) == len(forks) + len(execs)
    assert [p.parent for p in reading.processes].count(None) == 1
    assert {p.pid for p in reading.processes} == {int(n) for n in re.findall(r"^\d+", text, re.M)}


def test_32_bit_images_are_told_by_strace_or_by_their_calls(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    body = '7 execve("/a", ["a"], 0x0) = 0\n{}7 mmap2(NULL, 1) = 0x1\n7 read(0, "", 1) = 0\n'
    path.write_text(body.format("7 [ Process PID=7 runs in 32 bit mode. ]\n"))
    assert {(k.name, k.abi) for k in read(path).calls} == {
        ("execve", None), ("mmap2", "i386"), ("read", "i386")
    }  # fmt: skip
    path.write_text(body.format(""))
    assert {k.abi for k in read(path).calls} == {"i386"}
    assert {k.abi for k in read(path, Options(arch="aarch64")).calls} == {"arm"}
    assert {k.abi for k in read(path, Options()).calls} == {None}
    assert {k.abi for k in read(path, Options(arch="armv7l")).calls} == {None}


def test_what_older_and_rarer_versions_write(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(
        """\
execve("/a", ["a"], [/* 9 vars */]) = 0
clone(Process 8 attached (waiting for parent)
Process 8 resumed (parent 7 ready)
child_stack=0, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 8
[pid     7] wait4(-1, Process 7 suspended
 <unfinished ...>
[pid     8] read(0, "x", 1) = 1
[pid     8] exit_group(0)               = ?
Process 7 resumed
Process 8 detached
<... wait4 resumed> [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8
--- SIGCHLD (Child exited) @ 0 (0) ---
restart_syscall(<... resuming interrupted call ...>) = 0
read(0, 0x7ffc, 1)                      = ? <unavailable>
ioctl(0, 0x4004, 0x7f)                  = -1 (errno 525)
getpid()                                = 7 /* 99 in strace's PID NS */
exit_group(0)                           = ?
"""
    )
    reading = read(path)
    assert (reading.unparsed, reading.samples) == (0, [])
    calls, errors = tally(reading)
    assert calls == {
        "execve": 1, "clone": 1, "wait4": 1, "read": 2, "exit_group": 2, "restart_syscall": 1,
        "ioctl": 1, "getpid": 1,
    }  # fmt: skip
    assert errors == {("ioctl", "errno 525"): 1}
    assert [(p.pid, p.parent) for p in reading.processes] == [(7, None), (8, 0)]


@pytest.mark.parametrize(
    "decoration",
    [
        "<UNIX-STREAM:[1->2]>",
        "<TCP:[127.0.0.1:1->10.0.0.1:80]>",
        "</dev/null<char 1:3>>",
        "</a file>",
    ],
)
def test_a_decoration_is_read_to_its_end(decoration: str) -> None:
    from kfoot.readers.strace_args import FD

    found = FD.match(f'3{decoration}, "x", 1')
    assert found is not None
    assert found.group(1, 2) == ("3", decoration)


def test_children_that_end_before_two_vforks_return_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(
        """\
1 execve("/bin/a", ["a"], 0x1 /* 1 var */) = 0
1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 2
1 vfork( <unfinished ...>
2 vfork( <unfinished ...>
12 execve("/bin/y", ["y"], 0x1 /* 1 var */ <unfinished ...>
11 execve("/bin/x", ["x"], 0x1 /* 1 var */) = 0
12 <... execve resumed>) = 0
11 exit_group(0) = ?
11 +++ exited with 0 +++
12 exit_group(0) = ?
12 +++ exited with 0 +++
2 <... vfork resumed>) = 12
1 <... vfork resumed>) = 11
1 exit_group(0) = ?
2 +++ exited with 0 +++
1 +++ exited with 0 +++
"""
    )
    reading = read(path)
    assert (reading.unparsed, reading.losses) == (0, [])
    exes = [process.exe for process in reading.processes]
    assert sorted(exe for exe in exes if exe != "/bin/a") == ["/bin/x", "/bin/y"]
