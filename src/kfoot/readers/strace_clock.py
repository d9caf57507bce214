"""The times in a strace: of its lines, and spent in calls."""

from __future__ import annotations


class Clock:
    """A trace's own time: seconds since the epoch, since midnight, or since its first line."""

    def __init__(self, until: float | None):
        self.first: float | None = None
        self.last: float | None = None
        self._until = until
        self._day = 0.0

    def tick(self, at: str | None, since: str | None) -> bool:
        """Take a line's columns; False when the line is later than the trim."""
        if at is not None:
            if ":" in at:
                hours, minutes, seconds = at.split(":")
                now = int(hours) * 3600 + int(minutes) * 60 + float(seconds) + self._day
                if self.last is not None and now < self.last - 43200:
                    self._day += 86400.0
                    now += 86400.0
            else:
                now = float(at)
        else:
            now = (self.last or 0.0) + float(since or 0)
        if self._until is not None and now > self._until:
            return False
        if self.first is None:
            self.first = now
        self.last = now
        return True


def nanoseconds(seconds: str) -> int:
    """``0.000123`` as a number that adds up to the same in any order."""
    whole, _, part = seconds.partition(".")
    return int(whole) * 10**9 + int(part[:9].ljust(9, "0"))
