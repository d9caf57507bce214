"""strace text with the native scanner's help.

Most lines of a long trace repeat: the same call on the same object. The first of each is read by
the Assembler's rules, which say what the line's text means; the scanner counts the others. What a
text means may depend on the descriptors a task has (undecorated numbers), then it is never
repeated; what it does to them (open, close) is told before the next line that Python reads. So the
result is the Assembler's own, whatever the trace.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from kfoot.readers.base import Options
from kfoot.readers.descriptors import FileTable
from kfoot.readers.files import BLOCK, LINE_LIMIT, Source
from kfoot.readers.native import native, threads_here, whole_lines
from kfoot.readers.reading import CallCount, CallKey, Request
from kfoot.readers.strace_args import FD, descriptor
from kfoot.readers.strace_assemble import COMBINATIONS, Assembler
from kfoot.readers.strace_line import Style, style_of
from kfoot.readers.strace_process import Thread
from kfoot.readers.strace_routes import ACTS, PLAIN
from kfoot.readers.strace_tally import Count, Key
from kfoot.readers.syscall_roles import DIR_PATH, FORKS, PATH, TWO_PATHS

NAME, FIRST, ARGS, OPENED, IOCTL, MMAP, EXEC, HANDED = range(8)
"""Modes of ``kfoot._native.Strace``: which part of a call's text decides what it means."""
_OWN, _TOO_LONG, _STEP = 1, 2, 3
"""Why the scanner hands a line over (``enum why`` of native/strace.h; 0: any other reason)."""
_UNTOLD = -2
_STYLE_LINES = 200
"""What the Assembler looks at to tell a file's columns."""
_LISTS = ("getdents", "getdents64")
_WHOLE = ("close", "fstat", "fstat64")
_OPENS = ("open", "openat", "creat")
_COMMANDS = ("fcntl", "fcntl64")
_DUPLICATES = ("F_DUPFD, ", "F_DUPFD_CLOEXEC, ")
_FLAGS = ("F_SETFD, ",)
_KEPT_COMMANDS = ("F_GET", "F_SETFL", "F_SETLK", "F_OFD_", *_DUPLICATES, *_FLAGS)
_FREE_PATHS = PATH | TWO_PATHS | {"symlink"}


_Kind = tuple[str | None, str, str, int | None, int | None, Request | None]
"""A combination without its process and ABI: number as text, name, outcome, objects, request."""


def read_file(path: Path, options: Options) -> Assembler | None:
    """The assembler after one file; None where the scanner cannot help: then nothing is read."""
    module = native()
    if module is None or options.until_s is not None:
        return None
    with Source(path) as source:
        head = source.read(BLOCK)
    lines = head.split(b"\n")[: _STYLE_LINES + 1]
    if len(lines) <= _STYLE_LINES:
        return None
    style = style_of([line.decode("utf-8", "surrogateescape") for line in lines[:_STYLE_LINES]])
    if style.since or style.nr or style.pointer:
        return None
    repeater = Repeater(module, options, style)
    pieces = whole_lines(path, LINE_LIMIT, options.progress)
    for piece in pieces:
        if not repeater.take(piece):
            return None
    repeater.finish()
    repeater.close(pieces)
    return repeater


class Repeater(Assembler):
    """An Assembler that leaves repeated lines to the scanner."""

    def __init__(
        self, module: ModuleType, options: Options, style: Style, threads: int | None = None
    ):
        super().__init__(options)
        self._style = style
        self._scan: Any = module.Strace(self._modes(), style.at, threads or threads_here())
        self._ended: tuple[Thread, str, str, str, Count] | None = None
        self._threads: dict[int, Thread] = {}
        """The tasks the scanner knows, by pid column."""
        self._images: dict[tuple[int, str | None], int] = {}
        self._tables: dict[int, int] = {}
        self._files: list[FileTable] = []
        self._kinds: dict[_Kind, int] = {}
        self._kind_rows: list[_Kind] = []
        self._effects: list[tuple[str, int | None, bool]] = []
        self._effect_numbers: dict[tuple[str, int | None, bool], int] = {}
        self._fds: dict[str, int] = {}
        """Descriptors that effects are on, numbered."""
        self._version = -1
        self._told_full = False

    def _modes(self) -> dict[bytes, int]:
        modes = {}
        for name, route in self._routes.items():
            mode = FIRST if route == PLAIN else HANDED
            if route == ACTS:
                if name in _FREE_PATHS or name in DIR_PATH or name in _WHOLE:
                    mode = ARGS
                elif name in _OPENS or name in _COMMANDS:
                    mode = OPENED
                elif name in _LISTS:
                    mode = FIRST
                elif name == "ioctl":
                    mode = IOCTL
                elif name in ("mmap", "mmap2"):
                    mode = MMAP
            modes[name.encode("ascii")] = mode
        return modes | {b"io_uring_enter": HANDED, b"fspick": HANDED, b"execve": EXEC}

    # --- lines ---

    def take(self, piece: bytes | memoryview) -> bool:
        """Read whole lines; False when one of them is for the Assembler alone."""
        self._scan.piece(piece)
        try:
            return self._lines()
        finally:
            self._scan.piece(None)

    def _lines(self) -> bool:
        scan = self._scan
        while (row := scan.next(bool(self._partial))) is not None:
            why, pid, to_flush, *rest = row
            if why == _TOO_LONG:
                return False
            if to_flush:
                self._catch_up()
            if why == _OWN:
                self._own(self._threads[pid], *rest)
            elif why == _STEP:
                self._keep(self._threads[pid], self._kind_rows[rest[0]])
            else:
                self._any(pid, *rest)
        return True

    def _own(
        self,
        thread: Thread,
        name: str,
        args: str,
        result: str,
        decoration: str | None,
        error: str | None,
    ) -> None:
        """A call of a task in order, with a text that is new or means something else each time."""
        outcome = error or ("never" if result == "?" else "ok")
        acted = self._acted(thread, name, args, result, decoration, outcome)
        kind = (None, name, outcome, *acted)
        keep, effect = self._meaning(thread, name, args, result, kind)
        if self._scan.meant(self._kind(kind), effect, keep):
            self._keep(thread, kind)

    def _keep(self, thread: Thread, kind: _Kind) -> None:
        """A call the scanner counted is the thread's next step in the order."""
        key = (thread.process, thread.abi, *kind)
        self.tally.step(thread, self.tally.counts.get(key) or self._new(key))
        self._tell_full()

    def _any(
        self, pid: int, line: bytes, number: int, held: bytes | None, combinations: int
    ) -> None:
        """Any other line: the Assembler's."""
        self.tree.full |= combinations > COMBINATIONS
        if held is not None:
            self._begun(pid, held)
        # Held under a pid column; this line may change whose that is.
        nameless = None in self.tree.threads or self._alias(pid) is not None
        if pid == _UNTOLD or nameless or b"+++ superseded" in line:
            self._release()
        self._ended = None
        self.line = number - 1
        self.feed([_text(line)], self._style)
        self._tell(pid)

    def finish(self) -> None:
        """The file is read to its end: take over what the scanner has."""
        self._catch_up()
        self._release()
        cut, self.line = self._scan.end()
        self.tally.steps_cut += cut

    def _add_repeats(self, calls: dict[CallKey, CallCount]) -> set[str]:
        """The lines the scanner counted. There may be very many combinations of process and kind:
        what their keys have in common is worked out once."""
        if not self._kind_rows:
            return set()
        heads = [self.tally.call_key((*image, *self._kind_rows[0]))[:2] for image in self._images]
        tails = [self.tally.call_key((0, None, *kind))[2:] for kind in self._kind_rows]
        merge = len(set(heads)) < len(heads) or len(set(tails)) < len(tails)
        self._scan.counts(calls, heads, tails, CallKey, CallCount, merge)
        return {kind[1] for kind in self._kind_rows}

    def _alias(self, pid: int) -> int | None:
        """The other pid column a task's lines have: lines may name it or not. The task's own where
        it is not known yet: it may turn out to be one that had no name. None: there is no other.
        """
        thread = self.tree.threads.get(_pid(pid))
        if thread is None:
            return pid
        if pid < 0:
            return None if thread.tid is None else int(thread.tid)
        return -1 if self.tree.threads.get(None) is thread else None

    def _begun(self, pid: int, held: bytes) -> None:
        """A call the scanner held has begun; its time has passed, and so have the lines that may
        be parts of one."""
        partial, self._partial = self._partial, []
        column = f"{pid} " if pid >= 0 else ""
        self.feed([f"{column}{_text(held)} <unfinished ...>"], self._style)
        self._partial = partial

    def _release(self) -> None:
        """All calls the scanner held, in the order of their lines."""
        for _, pid, held in sorted(self._scan.held()):
            self._begun(pid, held)
            # The task is in a call now: its next line is the Assembler's.
            self._scan.invalid(pid)

    def _change(self, thread: Thread, name: str, args: str, result: str, outcome: str) -> None:
        if name in FORKS and outcome == "ok":
            pid = str(int(result, 16)) if result.startswith("0x") else result
            # A pid that another task had, of which no end was seen: what is held is that one's.
            if self.tree.threads.get(pid) not in (None, thread.child):
                self._release()
        super()._change(thread, name, args, result, outcome)

    def _catch_up(self) -> None:
        """What the lines counted meanwhile did to descriptors and steps."""
        effects, steps, *times = self._scan.flush()
        for time in filter(None, times):
            self._clock.tick(time.decode("ascii"), None)
        for files, effect in effects:
            fd, index, cloexec = self._effects[effect]
            if index is not None:
                self._files[files].put(fd, index, cloexec)
            else:
                self._files[files].pop(fd, None)
                self._files[files].cloexec.discard(fd)
        for pid, folds, cut in steps:
            thread = self.tree.threads[_pid(pid)]
            if folds:
                self.tally.again(thread, folds)
            if cut:
                thread.last = None

    # --- what lines mean ---

    def _new(self, key: Key) -> Count:
        count = super()._new(key)
        image = self._images.setdefault(key[:2], len(self._images))
        found = self._scan.combination(image, self._kind(count.key[2:]))
        self.tree.full |= found > COMBINATIONS
        return count

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
        count = super()._end(thread, name, args, result, decoration, error, ns, nr)
        self._ended = (thread, name, args, result, count)
        return count

    def _tell_full(self) -> None:
        if not self._told_full and self.tally.full:
            self._told_full = True
            self._scan.full()

    def _tell(self, pid: int) -> None:
        """Tell the scanner what holds after a line."""
        scan = self._scan
        changed = self.tree.version != self._version
        if changed or pid == _UNTOLD:
            self._version = self.tree.version
            scan.changed()
        self._tell_full()
        if pid == _UNTOLD:
            return
        alias = self._alias(pid)
        if alias is not None and alias != pid:
            scan.invalid(alias)
        thread = self.tree.threads.get(_pid(pid))
        if thread is None or thread.pending is not None or self._partial or not _met(thread):
            scan.invalid(pid)
            return
        last = thread.last
        kind = -1
        if isinstance(last, Count) and last.key[:2] == (thread.process, thread.abi):
            kind = self._kind(last.key[2:])
        image = self._images.setdefault((thread.process, thread.abi), len(self._images))
        self._threads[pid] = thread
        scan.valid(pid, image, self._table(thread.files), kind, alias is not None)
        if self._ended is not None and self._ended[0] is thread and not changed:
            _, name, args, result, count = self._ended
            means = count.key[2:]
            keep, effect = self._meaning(thread, name, args, result, means)
            if keep:
                scan.learn(self._kind(means), effect)

    def _kind(self, kind: _Kind) -> int:
        number = self._kinds.get(kind)
        if number is None:
            number = self._kinds[kind] = len(self._kind_rows)
            self._kind_rows.append(kind)
        return number

    def _table(self, files: FileTable) -> int:
        number = self._tables.get(id(files))
        if number is None:
            number = self._tables[id(files)] = len(self._files)
            self._files.append(files)
        return number

    def _meaning(
        self, thread: Thread, name: str, args: str, result: str, kind: _Kind
    ) -> tuple[bool, int]:
        """Whether a call's text will always mean this kind, and the effect it always has."""
        _, _, outcome, index, index2, _ = kind
        last = self.objects.limit - 1
        if last in (index, index2) or not self._stateless(thread, name, args, kind):
            return False, -1
        if outcome != "ok":
            return True, -1
        effect: tuple[str, int | None, bool] | None = None
        if name in _OPENS or (name in _COMMANDS and _command(args, _DUPLICATES)):
            fd = descriptor(result)
            effect = (fd, thread.files.get(fd), fd in thread.files.cloexec)
        elif name in _COMMANDS and _command(args, _FLAGS):
            fd = _descriptor(args)
            effect = (fd, thread.files.get(fd), fd in thread.files.cloexec)
        elif name == "close":
            effect = (_descriptor(args), None, False)
        if effect is None:
            return True, -1
        number = self._effect_numbers.get(effect)
        if number is None:
            number = self._effect_numbers[effect] = len(self._effects)
            self._effects.append(effect)
            self._scan.effect(self._fds.setdefault(effect[0], len(self._fds)))
        return True, number

    def _stateless(self, thread: Thread, name: str, args: str, kind: _Kind) -> bool:
        """Whether a call's text alone decides what it acted on."""
        route = self._routes.get(name)
        if route is None or name in _FREE_PATHS or name in ("open", "creat"):
            return True
        if name == "execve":
            return kind[2] != "ok"
        if route == PLAIN:
            token = args.partition(",")[0]
            return token in self._tokens and token not in thread.files
        if name in ("mmap", "mmap2"):
            parts = args.split(", ", 4)
            return "MAP_ANON" in args or (len(parts) == 5 and _decorated(parts[4]))
        if not _decorated(args):
            return False
        index, request = kind[3], kind[5]
        if name in _COMMANDS:
            return _command(args, _KEPT_COMMANDS)
        if name in ("fstat", "fstat64"):
            return index is not None and self.objects.rows[index].kind != "unknown"
        if name == "ioctl":
            return request is not None and request.text not in ("FIOCLEX", "FIONCLEX")
        return name in DIR_PATH or name in _LISTS or name in ("openat", "close")


def _command(args: str, commands: tuple[str, ...]) -> bool:
    """Whether an fcntl's command begins with one of these."""
    found = FD.match(args)
    return found is not None and args.startswith(commands, found.end() + 2)


def _descriptor(args: str) -> str:
    """The number of the descriptor that arguments begin with."""
    found = FD.match(args)
    return descriptor(found[1]) if found else "-1"


def _met(thread: Thread) -> bool:
    """Whether the thread's next call changes nothing in what is known of it (see Assembler._end)"""
    return thread.seen and not thread.fresh


def _decorated(text: str) -> bool:
    """Whether a descriptor argument says itself what it is, or that it is none."""
    found = FD.match(text)
    return found is not None and (
        found[2] is not None or descriptor(found[1]) in ("AT_FDCWD", "-1")
    )


def _pid(pid: int) -> str | None:
    return str(pid) if pid >= 0 else None


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
