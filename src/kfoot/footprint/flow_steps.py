"""From a reading's steps to one folded sequence of nodes for each command that ran.

A command is a process image with what led to it: the fork that made the process and the loader's
work become its start-up box. Threads of a process are one sequence, in recorded order: a Go or
Node program moves its work between threads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from os.path import basename, dirname, splitext
from typing import NamedTuple

from kfoot.footprint.flow_counts import place, unordered
from kfoot.footprint.flow_fold import Node, fold, fold_files, fold_uses, gather
from kfoot.footprint.flow_kinds import absent, kind_of, loader_file, normal_error
from kfoot.readers.reading import Object, Process, Reading, Step


class Named(NamedTuple):
    """What attribution knows of a step."""

    call: str
    """System call name, or "nr 999" where the atlas has none."""
    request: str | None
    """ioctl request name or number."""
    section: str | None
    area: str | None


Namer = Callable[[Reading, Step], Named]
"""Attribution of one step; must depend on the step's name, number, ABI, object and request only."""


@dataclass(slots=True)
class Run:
    """One process image's way through its command."""

    command: str
    main: bool
    """Whether nothing that was recorded started it: it is the workload itself."""
    nodes: list[Node] = field(default_factory=list)
    quiet: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    unplaced: Counter[str] = field(default_factory=Counter)
    """Calls beyond the recorded order that have no single place in the chart."""


_SCRIPTED = re.compile(
    r"^(node|nodejs|python[\d.]*|perl[\d.]*|ruby[\d.]*|(ba|da|z|k)?sh|env|busybox|java)$"
)
_SUBCOMMAND = re.compile(r"^[a-z][\w.:-]{0,30}$", re.IGNORECASE)
_MOVING = (
    (re.compile(r"^/proc/\d+(?=/|$)"), "/proc/PID"),
    (re.compile(r"(?<=/task/)\d+(?=/|$)"), "TID"),
    (re.compile(r"^(pipe|socket):\[\d+\]$"), r"\1"),
)
"""Parts of a name that differ from run to run and say nothing."""


_NAMELESS = {"fifo": "pipe", "socket": "socket", "anon": "anonymous inode"}
"""What an object is called whose recorder gave no name."""


def bare_namer(_reading: Reading, step: Step) -> Named:
    """Names as the recorder wrote them; no sections and areas."""
    request = None
    if step.request is not None:
        number = step.request.nr
        request = step.request.text or (hex(number) if number is not None else None)
    return Named(step.name or f"nr {step.nr}", request, None, None)


def runs_of(reading: Reading, namer: Namer = bare_namer) -> list[Run]:
    """The runs in ``reading``, in order of the first step of each process image."""
    steps: dict[int, list[Step]] = {}
    for step in reading.steps:
        steps.setdefault(step.process, []).append(step)
    followed = _execs(reading.processes)
    looks = _Looks(reading, namer)
    beyond = unordered(reading)
    forks = Counter(
        process.parent
        for process in reading.processes
        if process.parent is not None and reading.processes[process.parent].pid != process.pid
    )
    ahead: dict[int, list[Step]] = {}
    rest: dict[int, list[Step]] = {}
    runs = []
    for index, found in steps.items():
        after = followed.get(index)
        if after is not None and _is_fork(reading.processes, index):
            ahead.setdefault(after, []).extend([*ahead.pop(index, []), *found])
            rest.setdefault(after, []).extend([*rest.pop(index, []), *beyond.get(index, [])])
            continue
        before = ahead.pop(index, [])
        left = [*rest.pop(index, []), *beyond.get(index, [])]
        run = _run(reading, index, (before, found, left), bool(forks[index]), looks)
        if after is not None and all(node.kind == "start" for node in run.nodes):
            # An interpreter's launcher (env, a wrapper) that only became the next program.
            ahead.setdefault(after, []).extend([*before, *found])
            rest.setdefault(after, []).extend(left)
            continue
        runs.append(run)
    return [run for run in runs if run.nodes]


def _execs(processes: list[Process]) -> dict[int, int]:
    """Process image to the image it exec'ed into."""
    return {
        process.parent: index
        for index, process in enumerate(processes)
        if process.parent is not None and processes[process.parent].pid == process.pid
    }


def _is_fork(processes: list[Process], index: int) -> bool:
    """Whether the image has not exec'ed anything itself: a copy of its parent, or the first."""
    parent = processes[index].parent
    return parent is None or processes[parent].pid != processes[index].pid


def _is_main(processes: list[Process], index: int) -> bool:
    """Whether the image's process is the first of the recording, not forked from another one."""
    parent = processes[index].parent
    while parent is not None and processes[parent].pid == processes[index].pid:
        index, parent = parent, processes[parent].parent
    return parent is None


def command_name(process: Process) -> str:
    """How the chart of this image is called: executable, with its script or subcommand."""
    argv = list(process.argv)
    exe = process.exe or (argv[0] if argv else None) or process.comm
    if not exe:
        return "(unknown command)"
    name = basename(exe) or exe
    rest = argv[1:]
    if argv and _SCRIPTED.match(basename(argv[0])):
        if rest[:1] in (["-c"], ["-e"]):
            return " ".join([basename(argv[0]), *rest[:2]])[:60]
        scripts = [word for word in rest if not word.startswith("-")][:1]
        return " ".join([basename(argv[0]), *(basename(word) or word for word in scripts)])[:80]
    if rest and _SUBCOMMAND.match(rest[0]):
        name = f"{name} {rest[0]}"
    return name[:80]


def _run(
    reading: Reading,
    index: int,
    parts: tuple[list[Step], list[Step], list[Step]],
    forks: bool,
    looks: _Looks,
) -> Run:
    """``parts``: what led to the image, its own steps, and calls beyond the recorded order."""
    before, steps, left = parts
    process = reading.processes[index]
    run = Run(command_name(process), _is_main(reading.processes, index))
    inherited = process.parent is not None and _is_fork(reading.processes, index)
    if inherited and not before:
        run.command += " (child)"
    drawn = _Drawer(looks, run, forks, [*before, *steps])
    start = [node for step in before if (node := drawn.leaf(step)) is not None]
    rest = steps
    if not inherited or before:
        first = drawn.start_length(steps)
        start += [node for step in steps[:first] if (node := drawn.leaf(step)) is not None]
        rest = steps[first:]
    nodes = [
        node for step in rest if not drawn.folded(step) and (node := drawn.leaf(step)) is not None
    ]
    if start:
        box = Node(
            "process start-up",
            "start",
            section=None,
            area="process",
            tally={0: Counter(ok=1)},
            body=gather(start),
        )
        run.nodes.append(box)
    run.nodes += fold(fold_files(fold(fold_uses(nodes, 0), 0), 0), 0)
    if left:
        calls = [drawn.leaf(step) for step in left if not drawn.folded(step)]
        run.unplaced += place(run.nodes, calls)
    return run


class _Look(NamedTuple):
    """What equal steps have in common."""

    named: Named
    kind: str
    path: str | None
    """The name of what the step acted on, made equal between runs; None when there is none."""
    text: str
    """Caption of its box."""


class _Looks(dict[tuple[object, ...], _Look]):
    """The looks of a reading's steps, each worked out once."""

    def __init__(self, reading: Reading, namer: Namer):
        super().__init__()
        self._reading, self._namer = reading, namer
        self._paths: dict[int, str | None] = {}

    def of(self, step: Step) -> _Look:
        key = (step.name, step.nr, step.abi, step.object, step.request)
        look = self.get(key)
        if look is None:
            look = self[key] = self._new(step)
        return look

    def _new(self, step: Step) -> _Look:
        named = self._namer(self._reading, step)
        kind = kind_of(named.call)
        path = None
        if step.object is not None:
            if step.object not in self._paths:
                self._paths[step.object] = _path(self._reading.objects[step.object])
            path = self._paths[step.object]
        text = named.call if kind != "ioctl" else f"ioctl {named.request or '?'}"
        if path is not None:
            text = f"{text} {path}"
        elif kind in ("read", "write", "close", "lock", "ioctl"):
            text = f"{text} (unnamed descriptor)"
        return _Look(named, kind, path, text)


def _path(target: Object) -> str | None:
    name = target.name
    for pattern, word in _MOVING:
        name = pattern.sub(word, name)
    if name:
        return name
    if target.fstype and target.kind == "file":
        return f"(file on {target.fstype})"
    words = [target.family, target.type, target.protocol] if target.kind == "socket" else []
    return " ".join(word for word in words if word) or _NAMELESS.get(target.kind)


class _Drawer:
    """Turns the steps of one image into leaf nodes and counts what it leaves out."""

    def __init__(self, looks: _Looks, run: Run, forks: bool, steps: Sequence[Step]):
        self.run = run
        self.forks = forks
        self.look = looks.of
        self.last = steps[-1]
        self.searched = self._searches(steps)

    def start_length(self, steps: list[Step]) -> int:
        """How many steps at the beginning are the loader's and the runtime's: up to the last one
        that is, before the first that cannot be."""
        length = 0
        for number, step in enumerate(steps):
            named, kind, path, _ = self.look(step)
            call = named.call
            if kind == "quiet" or (kind == "process" and "exec" in call):
                length = number + 1
            elif kind in ("open", "read", "look", "close") and path and path.startswith("/"):
                missing = absent(call, step.outcome) and not path.startswith("/dev/")
                if loader_file(path) or missing:
                    length = number + 1
                else:
                    break
            elif kind not in ("open", "close") and not self._thread(call):
                break
        return length

    def _thread(self, call: str) -> bool:
        """Whether a clone made a thread: an image that forked nothing cloned only threads."""
        return call.startswith("clone") and not self.forks

    def _searches(self, steps: Iterable[Step]) -> set[str]:
        """What was looked for along a search path: file names that were missing in several places
        or found in another one, and paths that were found with another extension (modules).
        """
        missed: dict[str, set[str]] = {}
        seen: set[str] = set()
        for step in steps:
            look = self.look(step)
            if look.path is None:
                continue
            if absent(look.named.call, step.outcome):
                missed.setdefault(basename(look.path), set()).add(look.path)
            elif step.outcome == "ok":
                seen.add(look.path)
        if not missed:
            return set()
        found = {part for path in seen for part in _parts(path)}
        names = {name for name, places in missed.items() if len(places) > 1 or name in found}
        every = {path for places in missed.values() for path in places}
        return names | {path for path in every if path in found or splitext(path)[0] in found}

    def folded(self, step: Step) -> bool:
        """Whether the step is counted instead of drawn; counts it."""
        named, kind, path, _ = self.look(step)
        call = named.call
        if step.outcome not in ("ok", "never") and self._expected(step, call, path, named.request):
            self.run.expected[f"{call} {step.outcome}"] += step.times
            return True
        if kind == "quiet" and step.outcome in ("ok", "never"):
            self.run.quiet[call] += step.times
            return True
        if self._thread(call) and step.outcome == "ok":
            self.run.quiet[f"{call} (thread)"] += step.times
            return True
        if call == "exit" and step is not self.last:
            self.run.quiet["exit (thread)"] += step.times
            return True
        return kind != "exit" and step.outcome == "never" and kind in ("read", "net")

    def _expected(self, step: Step, call: str, path: str | None, request: str | None) -> bool:
        errno = step.outcome
        if normal_error(call, errno, (request, step.request.nr if step.request else None)):
            return True
        if not absent(call, errno) or path is None or path.startswith("/dev/"):
            return False
        return basename(path) in self.searched or path in self.searched or loader_file(path)

    def leaf(self, step: Step) -> Node:
        """The step as a node of run 0."""
        named, kind, path, text = self.look(step)
        return Node(
            text,
            kind,
            named.call,
            path,
            named.section,
            named.area,
            {0: Counter({step.outcome: step.times})},
        )


def _parts(path: str) -> tuple[str, str, str, str]:
    return path, basename(path), splitext(path)[0], dirname(path)
