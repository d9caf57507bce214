"""Puts the lines of a strace together to calls, and counts them by combination.

Knows what strace 4 to 6 write with any of -f -ff -t -tt -ttt -r -T -y -yy -Y -k -i -n -v -x -X -C,
into a file or mixed with the program's own output. Lines that are none of strace's are counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kfoot.readers.base import Options
from kfoot.readers.descriptors import NOTHING, Acted, Descriptors, Ended
from kfoot.readers.reading import CallCount, CallKey, Facts, Loss, Reading
from kfoot.readers.strace_args import FD, number
from kfoot.readers.strace_clock import Clock, nanoseconds
from kfoot.readers.strace_line import (
    ANY,
    Call,
    Style,
    abi_of_mode,
    begun,
    ended,
    leader,
    whole,
)
from kfoot.readers.strace_objects import Objects
from kfoot.readers.strace_process import Pending, Thread, Tree, pidfd
from kfoot.readers.strace_routes import PLAIN, TREE, routes
from kfoot.readers.strace_tally import Count, Key, Tally
from kfoot.readers.syscall_roles import EXECS, FORKS

NAME = "strace"
SAMPLES = 5
_SAMPLE_WIDTH = 160
COMBINATIONS = 1_000_000
"""Combinations counted (about 0.5 GB), after which new process images are folded into old ones."""
_JOINED = 64
"""Lines put together to find the end of a call that the program's output broke."""
_WIDE = 1 << 20

_MESSAGE = re.compile(
    r"(?:strace: )?Process (\d{1,7}) (attached|detached|resumed|suspended)(?: \([a-z ]+\))?$"
)
"""strace 4 wrote it without its name in front."""
_PERSONALITY = re.compile(r"\[ Process PID=(\d+) runs in (.+) mode\. \]$")
_EXIT = re.compile(
    r"\+\+\+ (?:exited with (-?\d{1,11})|killed by (\w+)|superseded by execve in pid (\d+))"
)
_SUMMARY = re.compile(
    r"% time  |-{4,}[ -]+$|System call usage summary for | {0,2}\d+\.\d\d +\d+\.\d{6} +\d+ +\d+ "
)
"""The table that -C prints behind the lines: it counts the same calls once more."""
_UNFINISHED = " <unfinished ...>"
_DETACHED = " <detached ...>"


class Closed(Protocol):
    """How reading a file ended (see ``Lines``)."""

    path: Path
    open_end: bool

    @property
    def losses(self) -> list[Loss]: ...


class Assembler:
    """Takes lines in order and keeps the counts; ``reading`` gives the result."""

    def __init__(self, options: Options):
        self.options = options
        self.objects = Objects()
        self.tree = Tree()
        self.tally = Tally(self.tree, options.max_steps)
        self.losses: list[Loss] = []
        self.unparsed = 0
        self.samples: list[tuple[int, str]] = []
        self.line = 0
        self._descriptors = Descriptors(self.objects, options.arch)
        self._routes = routes(self._descriptors.names())
        self._call = Ended()
        """One for all calls: it lives no longer than its handling."""
        self._tokens: dict[str, int] = {}
        self._partial: list[str] = []
        self._partial_line = 0
        self._clock = Clock(options.until_s)
        self._ring_work = 0
        self._detached = 0

    # --- lines ---

    def feed(self, lines: Sequence[str], style: Style) -> None:
        """Take a batch of lines of one file."""
        match = whole(style).match
        find = self.tree.threads.get
        for line in lines:
            self.line += 1
            found = match(line)
            if found is None:
                if line:
                    self._other(line)
                continue
            pid, at, since, nr, name, resumed, args, result, decoration, error, took = (
                found.groups()
            )
            if (at or since) and not self._clock.tick(at, since):
                continue
            if self._partial:
                self._give_up()
            thread = find(pid) or self.tree.thread(pid, name is None)
            if name is None:
                name, args, nr = self._resume(thread, resumed, args, nr)
            elif thread.pending is not None:
                self._never(thread)
            ns = None if took is None else nanoseconds(took)
            self._end(thread, name, args, result, decoration, error, ns, nr)

    def _resume(
        self, thread: Thread, name: str, args: str, nr: str | None
    ) -> tuple[str, str, str | None]:
        pending, thread.pending = thread.pending, None
        if pending is None:
            return name, args, nr
        if pending.name != name and not name.startswith("?"):
            thread.pending = pending
            self._never(thread)
            return name, args, nr
        return pending.name, pending.args + args, nr or pending.nr

    def _other(self, line: str) -> None:
        """A line that is not a call with a plain result."""
        message = _MESSAGE.search(line)
        if message is not None:
            if message[2] == "attached":
                self.tree.announced(message[1])
            if message.start():
                self._part(line[: message.start()])
            return
        if line.startswith((" > ", " | ", " * ")) or _SUMMARY.match(line):
            return
        columns = leader(ANY).match(line)
        assert columns is not None
        body = line[columns.end() :]
        if not self._recognised(line, body, columns):
            self._part(line)

    def _recognised(self, line: str, body: str, columns: re.Match[str]) -> bool:
        pid, at, since, nr = columns.groups()
        exits = _EXIT.match(body) if body.startswith("+++ ") else None
        personality = _PERSONALITY.match(body)
        call: Call | None = None
        start: tuple[str, str] | None = None
        if body.endswith((_UNFINISHED, _DETACHED)):
            start = begun(body)
        elif not exits and not personality and not body.startswith("--- "):
            call = ended(body)
        if not (exits or personality or call or start or body.startswith("--- ")):
            return False
        if (at or since) and not self._clock.tick(at, since):
            return True
        if self._partial:
            self._give_up()
        thread = self.tree.thread(pid, call is not None and call.name is None)
        thread.seen = True
        if start is not None:
            self._begin(thread, start, nr, body.endswith(_DETACHED))
        elif call is not None:
            name, args = call.name, call.args
            if name is None:
                name, args, nr = self._resume(thread, call.resumed or "", args, nr)
            elif thread.pending is not None:
                self._never(thread)
            ns = None if call.seconds is None else nanoseconds(call.seconds)
            self._end(thread, name, args, call.result, call.decoration, call.error, ns, nr)
        elif personality is not None:
            thread.abi = abi_of_mode(personality[2], self.options.arch)
            self.tree.version += 1
        elif exits is not None:
            self._exit(thread, exits)
        return True

    def _begin(self, thread: Thread, start: tuple[str, str], nr: str | None, left: bool) -> None:
        if thread.pending is not None:
            self._never(thread)
        name, args = start
        args = args.removesuffix(_DETACHED if left else _UNFINISHED)
        thread.pending = Pending(name, args, nr)
        if left:
            self._never(thread)
            self._detached += 1
            self.tree.ended(thread)
        elif name in FORKS:
            self.tree.forking(thread)

    def _exit(self, thread: Thread, exits: re.Match[str]) -> None:
        if thread.pending is not None:
            self._never(thread)
        if exits[3]:
            self.tree.superseded(thread, exits[3])
        elif exits[1]:
            self.tree.ended(thread, status=int(exits[1]))
        else:
            self.tree.ended(thread, signal=exits[2])

    def _part(self, line: str) -> None:
        """A line that may be part of one: the program's output stands in the midst of calls."""
        if self._partial:
            self._partial.append(line)
            joined = "".join(self._partial)
            columns = leader(ANY).match(joined)
            assert columns is not None
            partial, self._partial = self._partial, []
            if self._recognised(joined, joined[columns.end() :], columns):
                return
            self._partial = partial
            if len(partial) > _JOINED or len(joined) > _WIDE:
                self._give_up()
            return
        columns = leader(ANY).match(line)
        if columns is not None and begun(line[columns.end() :]) is not None:
            self._partial = [line]
            self._partial_line = self.line
        else:
            self._unparsed(self.line, line)

    def _give_up(self) -> None:
        """What looked like the beginning of a call never ended."""
        for offset, line in enumerate(self._partial):
            self._unparsed(self._partial_line + offset, line)
        self._partial = []

    def _unparsed(self, number_of: int, line: str) -> None:
        self.unparsed += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((number_of, line[:_SAMPLE_WIDTH]))

    # --- calls ---

    def _end(
        self,
        thread: Thread,
        name: str,
        args: str,
        result: str,
        decoration: str | None,
        error: str | None,
        ns: int | None,
        nr: str | None,
    ) -> Count:
        """A call ended: say what it acted on, count it, keep the step."""
        outcome = error or ("never" if result == "?" else "ok")
        acted = self._acted(thread, name, args, result, decoration, outcome)
        key = (thread.process, thread.abi, nr, name, outcome, *acted)
        count = self.tally.counts.get(key) or self._new(key)
        self.tally.add(thread, count, ns)
        if self._routes.get(name) == TREE:
            self._change(thread, name, args, result, outcome)
        thread.fresh = False
        thread.seen = True
        return count

    def _new(self, key: Key) -> Count:
        """The count of a combination that was not seen before."""
        count = self.tally.new(key)
        self.tree.full |= len(self.tally.counts) > COMBINATIONS
        return count

    def _acted(
        self,
        thread: Thread,
        name: str,
        args: str,
        result: str,
        decoration: str | None,
        outcome: str,
    ) -> Acted:
        """What an ended call acted on; does to descriptors what it did."""
        route = self._routes.get(name)
        if route is None:
            return NOTHING
        if route != PLAIN:
            return self._act(thread, name, args, result, decoration, outcome)
        if name == "io_uring_enter" and outcome == "ok":
            self._ring_work += number(result) or 0
        token = args.partition(",")[0]
        index = thread.files.get(token)
        if index is None:
            index = self._tokens.get(token)
        if index is None:
            acted = self._act(thread, name, args, result, decoration, outcome)
            index = acted.object
            if index is not None and "<" in token and FD.fullmatch(token):
                if len(self._tokens) > _WIDE >> 4:
                    self._tokens.clear()
                self._tokens[token] = index
        return Acted(index)

    def _act(
        self,
        thread: Thread,
        name: str,
        args: str,
        result: str,
        decoration: str | None,
        outcome: str,
    ) -> Acted:
        done = outcome == "ok" or (name == "connect" and outcome == "EINPROGRESS")
        call = self._call
        call.name, call.args, call.result = name, args, result
        call.decoration, call.ok = decoration, done
        return self._descriptors.act(thread.files, call)

    def _change(self, thread: Thread, name: str, args: str, result: str, outcome: str) -> None:
        """Forks, execs and namespaces change the tree of tasks."""
        if name in FORKS:
            self.tree.forked(thread, args, result, outcome == "ok")
            fd = pidfd(args) if outcome == "ok" else None
            if fd is not None:
                thread.files.put(fd, self._descriptors.pidfd(), True)
        elif outcome == "ok" and name in EXECS:
            self.tree.executed(thread, name, args)
        elif outcome == "ok" and "CLONE_NEWPID" in args:
            self.tree.namespaced()

    def _never(self, thread: Thread) -> None:
        """The call the task is in will not come back."""
        pending, thread.pending = thread.pending, None
        if pending is not None:
            self._end(thread, pending.name, pending.args, "?", None, None, None, pending.nr)

    # --- the end ---

    def close(self, lines: Closed) -> None:
        """A file is read to its end."""
        self.losses.extend(lines.losses)
        if self._partial and lines.open_end:
            columns = leader(ANY).match(self._partial[0])
            start = begun(self._partial[0][columns.end() :]) if columns else None
            if columns and start and len(self._partial) == 1:
                thread = self.tree.thread(columns[1])
                self._partial = []
                self._begin(thread, start, columns[4], False)
                self.losses.append(Loss("truncated", f"{lines.path.name}: last line", 1))
        if self._partial:
            self._give_up()

    def untimed(self) -> None:
        """The lines' times do not make one clock."""
        self._clock.first = self._clock.last = None

    def reading(self, source: str) -> Reading:
        """The result; the assembler is done after it."""
        for thread in self.tree.alive():
            self._never(thread)
        self.tree.close()
        losses = self.losses + self.tree.losses
        if self._ring_work:
            losses.append(Loss("io_uring", "requests done on rings", self._ring_work))
        if self._detached:
            losses.append(Loss("detached", "tasks strace was detached from", self._detached))
        if self.objects.beyond:
            losses.append(Loss("cut", "objects not told apart", self.objects.beyond))
        calls, steps = self.tally.result(self.options.arch, self._add_repeats)
        return Reading(
            format=NAME,
            source=source,
            processes=self.tree.processes,
            objects=self.objects.rows,
            calls=calls,
            steps=steps,
            steps_cut=self.tally.steps_cut,
            losses=losses,
            unparsed=self.unparsed,
            samples=self.samples,
            facts=Facts(
                arch=None, first_s=self._clock.first, last_s=self._clock.last, tool="strace"
            ),
            children=self.tree.detached,
        )

    def _add_repeats(self, calls: dict[CallKey, CallCount]) -> set[str]:
        """Calls counted elsewhere (see ``strace_native``), and their names; none here."""
        return set()
