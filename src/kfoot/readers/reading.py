"""What every reader gives, whatever the raw format: counts by combination, and their order.

A trace of a gigabyte and one of a kilobyte have the same few thousand *combinations* (this
process, this syscall, on this object, with this result); a reader reduces to them while it reads,
so memory is bounded by what the workload did, not by how often it did it. A reader names nothing
it was not told: a bare number stays a number until attribution asks the atlas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Object(NamedTuple):
    """What a call acted on. Two descriptors of the same file are the same object."""

    kind: str
    """file, directory, char, block, fifo, socket, anon, path (a name never opened), unknown."""
    name: str
    """Path, "[eventfd]", socket address as recorded; "" when only the descriptor is known."""
    device: tuple[int, int] | None = None
    """Major and minor number of a character or block device (not of the filesystem it lies on)."""
    fstype: str | None = None
    """struct file_system_type name, where the recorder saw it."""
    driver: str | None = None
    family: str | None = None
    """AF_INET, AF_UNIX, ... of a socket."""
    type: str | None = None
    """SOCK_STREAM, SOCK_DGRAM, ..."""
    protocol: str | None = None
    """TCP, UDP, NETLINK_ROUTE, ... as kernel or strace name it."""
    how: str = "recorded"
    """recorded (by the kernel), decorated (strace -y/-yy), followed (through descriptor calls),
    argument (a path argument of the call itself)."""


class Request(NamedTuple):
    """An ioctl request as far as the recorder told it: number, text, or both."""

    nr: int | None
    text: str | None


class CallKey(NamedTuple):
    """One combination of a system call. Its count is a ``CallCount``."""

    process: int
    """Index into ``Reading.processes``."""
    abi: str | None
    """Name of the atlas' ABI ("x86_64", "i386", "arm64"...); None: the trace does not say, the
    capture's own ABI holds."""
    nr: int | None
    name: str | None
    """As the recorder wrote it; None when it wrote only a number."""
    outcome: str
    """"ok", an errno name ("EAGAIN", "ERESTARTSYS"), or "never": entered and never returned."""
    object: int | None = None
    """Index into ``Reading.objects``: the descriptor acted on, or the file opened."""
    object2: int | None = None
    """Second object: target of a rename, output of a splice, fd of an epoll_ctl."""
    request: Request | None = None


@dataclass(slots=True)
class CallCount:
    """How often, and how long in all."""

    calls: int = 0
    time_ns: int | None = None
    """Sum of the calls' durations; None where the recorder did not measure."""


class EventKey(NamedTuple):
    """One kind of trace event in one context."""

    system: str | None
    """None where the format does not print it (ftrace text)."""
    name: str
    context: str
    """task, softirq, hardirq, nmi; "unknown" where the line has no flags."""


class Step(NamedTuple):
    """One step in the order a thread took it; equal neighbours are folded into ``times``."""

    process: int
    tid: int
    name: str | None
    nr: int | None
    abi: str | None
    object: int | None
    request: Request | None
    outcome: str
    times: int


@dataclass(slots=True)
class Process:
    """A process image: a new one begins at fork and at each successful exec."""

    pid: int
    parent: int | None = None
    """Index of the process that forked it, or of the image it exec'ed from."""
    exe: str | None = None
    argv: tuple[str, ...] = ()
    comm: str | None = None
    abi: str | None = None
    exit_status: int | None = None
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Something the recording is known to have missed."""

    kind: str
    """overrun, dropped, unparsed, truncated, escaped, io_uring, detached, cut, disk_full, ..."""
    where: str
    """Raw file, CPU or process, as a person would look for it."""
    count: int | None
    """None: known to have happened, not how often."""


@dataclass(slots=True)
class Facts:
    """What a raw file says about where it was made; None where it does not say."""

    arch: str | None = None
    release: str | None = None
    first_s: float | None = None
    last_s: float | None = None
    tool: str | None = None
    abi_assumed: bool = False
    """Calls were recorded by number alone, and may be a 32-bit task's: they got the machine's own
    ABI."""


@dataclass(slots=True)
class Reading:
    """Everything one raw file (or one set of per-CPU files) gave."""

    format: str
    """The reader's name: "strace", "strace-summary", "ftrace-text", "ftrace-pages", "bpf"..."""
    source: str
    """Raw file name(s), for provenance."""
    processes: list[Process] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    calls: dict[CallKey, CallCount] = field(default_factory=dict)
    events: dict[EventKey, dict[int | None, int]] = field(default_factory=dict)
    """Records by process (index into ``processes``; None: the recorder does not tell). A busy
    system has some thousand events and hundreds of thousands of (event, process)."""
    steps: list[Step] = field(default_factory=list)
    steps_cut: int = 0
    """Steps not kept because a bound was reached (they are counted in ``calls`` all the same)."""
    losses: list[Loss] = field(default_factory=list)
    continued: int = 0
    """Further lines of records that take several (hex dumps, stacks): read, nothing counted."""
    unparsed: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    """The first few lines that did not parse: number and (shortened) text."""
    facts: Facts = field(default_factory=Facts)
    children: dict[int, int] = field(default_factory=dict)
    """Detached or untraced children: pid to index of the parent process."""
