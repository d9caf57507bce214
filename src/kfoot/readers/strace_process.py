"""The tasks of a strace: who forked whom, which image each runs, whose descriptors they share.

A child may print before the call that made it returns; it is then taken for the child of a task
that is in such a call, and put right when the call's result names another.
"""

from __future__ import annotations

import re

from kfoot.readers.descriptors import FileTable
from kfoot.readers.reading import Loss, Process
from kfoot.readers.strace_args import STRING, number, strings, unescape

CLONE_FILES, CLONE_THREAD, CLONE_UNTRACED = 0x400, 0x10000, 0x800000
IMAGES = 20_000
"""Process images told apart; further ones are folded into an earlier one of the same program."""
_AWAITED = 256
"""Children that may be waited for before those that came are forgotten."""
_FLAGS = re.compile(r"flags=([^,}]*)")
_NUMBERS = re.compile(r"\b0x[0-9a-f]+")
_PIDFD = re.compile(r"(?:parent_tid|pidfd)=\[(\d+)\]")


class Pending:
    """A call that has begun and not ended."""

    __slots__ = ("args", "name", "nr")

    def __init__(self, name: str, args: str, nr: str | None):
        self.name = name
        self.args = args
        self.nr = nr


class Thread:
    """A task as strace sees it."""

    __slots__ = (
        "abi", "child", "files", "fresh", "last", "leader", "pending", "process", "seen", "step",
        "tid",
    )  # fmt: skip

    def __init__(self, tid: str | None, process: int, files: FileTable, *, leader: bool):
        self.tid = tid
        """None while strace has named no pid, because there is one task."""
        self.process = process
        self.files = files
        self.leader = leader
        self.abi: str | None = None
        self.pending: Pending | None = None
        self.child: Thread | None = None
        """The task taken for the child of the fork this one is in."""
        self.fresh = True
        """It has made no call yet: an exec gives it its first image."""
        self.seen = False
        self.last: object = None
        """The count its last step went to, and the step's place: equal steps are folded."""
        self.step = 0


class Tree:
    """All tasks of one trace."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.same: dict[int, int] = {}
        """Process indices that turned out to be threads of another process."""
        self.threads: dict[str | None, Thread] = {}
        self.losses: list[Loss] = []
        self.detached: dict[int, int] = {}
        self._alive: dict[Thread, None] = {}
        self._forking: list[Thread] = []
        self._announced: set[str] = set()
        self._root: Thread | None = None
        self._namespaced = False
        """Some tasks are in a PID namespace: their forks return other pids than strace prints."""
        self.full = False
        """So much was counted already that new images are folded into an old one of the same
        program, to bound memory."""
        self._folded = 0
        self._by_exe: dict[str | None, int] = {}
        self._awaited: dict[Thread, None] = {}
        """Children whose fork has returned and that printed no line yet, oldest first."""
        self.default: str | None = None
        """The pid of lines that have none: of the file being read, under -ff."""
        self.version = 0
        """Grows when a task comes or goes, or gets another image, ABI or descriptor table."""
        self.separate = False
        """Files of tasks are read one after the other, so tasks cannot share a table in time."""

    # --- finding a task ---

    def thread(self, pid: str | None, resumes: bool = False) -> Thread:
        """The task of a line with this pid column (None: the line has none).

        ``resumes``: the line is the end of a call, so its task began one before.
        """
        found = self.threads.get(pid)
        if found is not None:
            return found
        if pid is None:
            found = self.thread(self.default) if self.default else self._unnamed()
            self.threads[None] = found
            return found
        root = self._root
        if (
            root is not None
            and root.tid is None
            and pid not in self._announced
            and (resumes or root not in self._forking)
        ):
            root.tid = pid
            self.version += 1
            self.processes[root.process].pid = int(pid)
            self.threads[pid] = root
            return root
        for parent in self._forking:
            if parent.child is None and parent.pending is not None:
                parent.child = self._born(parent, pid, parent.pending.args)
                return parent.child
        return self._renamed(pid) or self._new(pid, None, FileTable(), leader=True)

    def _renamed(self, pid: str) -> Thread | None:
        """A child known by the pid that its own PID namespace has for it."""
        if not self._namespaced:
            return None
        for child in list(self._awaited):
            del self._awaited[child]
            if not child.seen and child in self._alive:
                if child.tid is not None and self.threads.get(child.tid) is child:
                    del self.threads[child.tid]
                self.version += 1
                child.tid = pid
                self.threads[pid] = child
                if child.leader:
                    self.processes[child.process].pid = int(pid)
                return child
        return None

    def namespaced(self) -> None:
        """A PID namespace was made: from now on a fork's result may be another pid."""
        self._namespaced = True

    def _unnamed(self) -> Thread:
        """The one task there is: strace names none while there is only one."""
        if len(self._alive) == 1:
            return next(iter(self._alive))
        if self._root is not None and self._root in self._alive:
            return self._root
        return self._new(None, None, FileTable(), leader=True)

    def _new(
        self, pid: str | None, process: int | None, files: FileTable, *, leader: bool
    ) -> Thread:
        if process is None:
            process = self._image(pid, None)
        made = Thread(pid, process, files, leader=leader)
        if self._root is None:
            self._root = made
        if pid is not None:
            self.threads[pid] = made
        self.threads.pop(None, None)
        self._alive[made] = None
        self.version += 1
        return made

    def _image(self, pid: str | None, parent: int | None) -> int:
        self.processes.append(Process(int(pid) if pid else 0, parent))
        self.full |= len(self.processes) >= IMAGES
        return len(self.processes) - 1

    def turn_to(self, pid: str) -> None:
        """Lines without a pid are from now on this task's."""
        self.default = pid
        self.threads.pop(None, None)
        self.version += 1

    def announced(self, pid: str) -> None:
        """strace said that it attached to a new task."""
        self._announced.add(pid)

    # --- forks ---

    def forking(self, thread: Thread) -> None:
        """The task is in a call that makes another, which may print before it returns."""
        self._forking.append(thread)

    def forked(self, thread: Thread, args: str, result: str, ok: bool) -> None:
        """The call ended."""
        taken, thread.child = thread.child, None
        if thread in self._forking:
            self._forking.remove(thread)
        if not ok or result == "?":
            return
        if "CLONE_NEWPID" in args:
            self._namespaced = True
        pid = str(int(result, 16)) if result.startswith("0x") else result
        if _clone_flags(args) & CLONE_UNTRACED:
            self.detached[int(pid)] = thread.process
            self.losses.append(Loss("escaped", "a child made with CLONE_UNTRACED", 1))
            return
        known = self.threads.get(pid)
        if known is None:
            # A child may end before the call that made it returns: vfork waits for that.
            guesses = (taken, *(other.child for other in self._forking))
            known = next((child for child in guesses if child and child.tid == pid), None)
        if taken is not None and taken is known:
            return
        if taken is not None and known is None and (self._namespaced or not self._forking):
            self._namespaced = True
            return
        if taken is not None:
            self._give_away(taken, thread)
        other = next((t for t in self._forking if known is not None and t.child is known), None)
        if known is not None and other is not None:
            other.child = taken
            self._put_right(known, thread, args)
        else:
            if len(self._awaited) > _AWAITED:
                self._awaited = {child: None for child in self._awaited if not child.seen}
            self._awaited[self._born(thread, pid, args)] = None

    def _give_away(self, child: Thread, thief: Thread) -> None:
        """The task taken for ``thief``'s child is another's."""
        for parent in self._forking:
            if parent is not thief and parent.child is None and parent.pending is not None:
                parent.child = child
                self._put_right(child, parent, parent.pending.args)
                return

    def first(self, process: int) -> int:
        """The process that this one turned out to be threads of; itself when it did not."""
        while process in self.same:
            process = self.same[process]
        return process

    def _put_right(self, child: Thread, parent: Thread, args: str) -> None:
        self.version += 1
        flags = _clone_flags(args)
        if flags & CLONE_THREAD:
            # In a trace that contradicts itself it may be the parent's process, or an heir of it.
            if self.first(parent.process) != child.process:
                self.same[child.process] = parent.process
            child.process, child.leader = parent.process, False
        else:
            self.processes[child.process].parent = parent.process
        if flags & CLONE_FILES:
            child.files = parent.files

    def _born(self, parent: Thread, pid: str, args: str) -> Thread:
        flags = _clone_flags(args)
        shared = flags & CLONE_FILES and not self.separate
        files = parent.files if shared else FileTable(parent.files)
        if flags & CLONE_THREAD:
            child = self._new(pid, parent.process, files, leader=False)
        elif self.full:
            self._folded += 1
            child = self._new(pid, parent.process, files, leader=True)
        else:
            child = self._new(pid, self._image(pid, parent.process), files, leader=True)
            made, maker = self.processes[child.process], self.processes[parent.process]
            made.exe, made.argv = maker.exe, maker.argv
        child.abi = parent.abi
        child.fresh = False
        return child

    # --- images and ends ---

    def executed(self, thread: Thread, name: str, args: str) -> None:
        """A successful exec: a new image, without what was to be closed."""
        at = args.find('"') if name == "execveat" else 0
        path = STRING.match(args, at) if at >= 0 else None
        exe = unescape(path[1]) + (path[2] or "") if path else None
        if self.full and exe in self._by_exe:
            self._folded += 1
            thread.process = self._by_exe[exe]
        else:
            if not thread.fresh:
                old = thread.process
                thread.process = self._image(thread.tid, old)
                if self.processes[old].pid == 0:
                    self.processes[thread.process].pid = 0
            process = self.processes[thread.process]
            process.exe = exe
            process.argv = strings(args, path.end() + 2) if path else ()
            self._by_exe.setdefault(exe, thread.process)
        thread.files = thread.files.exec()
        self.version += 1
        thread.leader = True

    def superseded(self, thread: Thread, by: str) -> None:
        """A thread that was not the leader called exec: it goes on under the leader's pid."""
        other = self.threads.get(by)
        if other is None or other is thread:
            return
        thread.pending, other.pending = other.pending, None
        thread.files, thread.abi = other.files, other.abi
        self._gone(other)

    def ended(
        self, thread: Thread, *, status: int | None = None, signal: str | None = None
    ) -> None:
        """The task exited or was killed."""
        process = self.processes[thread.process]
        if thread.leader and str(process.pid) == (thread.tid or "0"):
            process.exit_status, process.signal = status, signal
        self._gone(thread)

    def _gone(self, thread: Thread) -> None:
        self.version += 1
        self._alive.pop(thread, None)
        self.threads.pop(None, None)
        if thread.tid is not None and self.threads.get(thread.tid) is thread:
            del self.threads[thread.tid]
        if thread in self._forking:
            self._forking.remove(thread)

    def alive(self) -> list[Thread]:
        """The tasks of which no end was seen."""
        return list(self._alive)

    def close(self) -> None:
        """At the trace's end: children that never printed a line were not followed."""
        if self._folded:
            self.losses.append(Loss("cut", "process images not told apart", self._folded))
        missing = [thread for thread in self._alive if not thread.seen]
        for thread in missing:
            parent = self.processes[thread.process].parent
            if thread.tid is not None:
                self.detached[int(thread.tid)] = (
                    thread.process if parent is None or not thread.leader else parent
                )
        if missing:
            self.losses.append(Loss("escaped", "children not followed", len(missing)))


def pidfd(args: str) -> str | None:
    """The descriptor that a clone with CLONE_PIDFD made in the parent."""
    found = _PIDFD.search(args) if "CLONE_PIDFD" in args else None
    return found[1] if found else None


def _clone_flags(args: str) -> int:
    """The flags that matter here, of words, of numbers (-X raw), or of a bare first argument
    (-e raw, on architectures where the flags come first)."""
    found = _FLAGS.search(args)
    text = found[1] if found else ""
    flags = number(args) or 0 if not found and args.startswith("0x") else 0
    if flags >> 32:
        flags = 0  # a pointer: clone3 under -e raw does not show them
    for word in _NUMBERS.findall(text):
        flags |= int(word, 16)
    for name, bit in (
        ("CLONE_FILES", CLONE_FILES),
        ("CLONE_THREAD", CLONE_THREAD),
        ("CLONE_UNTRACED", CLONE_UNTRACED),
    ):
        if name in text:
            flags |= bit
    return flags
