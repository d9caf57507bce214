"""Which of a reading's processes are the workload, when kfoot itself started it.

kfoot forks, waits at a gate until the collectors run, then executes the command. What happens
before that exec is kfoot's, not the workload's; and a recorder that follows the workload also sees
moments of other tasks (a kworker it wakes is recorded as it is switched in).
"""

from __future__ import annotations

from dataclasses import dataclass

from kfoot.readers.reading import Reading


@dataclass(frozen=True, slots=True)
class Own:
    """The workload's part of one reading."""

    members: frozenset[int] | None
    """Indices into ``Reading.processes``; None: everything recorded is the workload."""
    gate: int | None = None
    """kfoot's own image before the exec. Its execve is the workload's first call."""

    def has(self, process: int | None) -> bool:
        """Whether a process, gate included, is the workload's. None is: a recorder that counts
        without telling processes apart (bpf) follows the workload's tasks only."""
        return self.members is None or process is None or process in self.members

    def ran(self, process: int | None) -> bool:
        """Whether a process is the workload's and past the gate."""
        return self.has(process) and (process is None or process != self.gate)


EVERYTHING = Own(None)


def own(reading: Reading, gate: int | None) -> Own:
    """The tree that began as process ``gate`` (a pid), or everything where there was no gate or
    the reading does not know it."""
    first = next((i for i, p in enumerate(reading.processes) if p.pid == gate), None)
    if gate is None or first is None:
        return EVERYTHING
    members = {i for i, p in enumerate(reading.processes) if p.pid == gate}
    grown = 0
    while len(members) > grown:
        grown = len(members)
        members |= {i for i, p in enumerate(reading.processes) if p.parent in members}
    executed = any(p.parent == first and p.pid == gate for p in reading.processes)
    return Own(frozenset(members), first if executed else None)
