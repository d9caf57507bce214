"""Rows of the atlas: what the kernel's own sources say, each with the rule that found it.

Every ``how`` is the short name of a rule explained in docs/atlas.md. None means the sources do
not say; it is shown, never guessed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """Where in the kernel something lives."""

    file: str | None
    section: str | None
    """Most specific MAINTAINERS section of ``file``."""
    area: str | None
    how: str


NOWHERE = Place(None, None, None, "unmapped")


class Syscall(NamedTuple):
    abi: str
    nr: int
    name: str
    entry: str | None
    compat: str | None
    implemented: bool
    """False for sys_ni_syscall entries."""
    place: Place


class Event(NamedTuple):
    system: str
    name: str
    place: Place
    """Of the code that fires it; the header that declares it mostly lies in include/trace."""


class Function(NamedTuple):
    name: str
    static: bool
    place: Place


class Ioctl(NamedTuple):
    name: str
    nr: int
    """The number; for a family (``SPI_IOC_MESSAGE(n)``) the number with size 0."""
    size: int | None
    """None for a family of varying size."""
    header: str
    handlers: tuple[Place, ...]
    """The files that handle it, most likely first."""


class File(NamedTuple):
    path: str
    area: str
    sections: tuple[str, ...]
    """Most specific first, THE REST last."""
    config: tuple[str, ...]
    """Options that must all be set for the file to be built (with "!" before one that must not)."""
    module: str | None


class Module(NamedTuple):
    name: str
    config: tuple[str, ...]
    files: tuple[str, ...]
    place: Place


class Config(NamedTuple):
    name: str
    """With CONFIG_."""
    prompt: str | None
    depends: str | None
    file: str
    """The Kconfig file that defines it."""


class Section(NamedTuple):
    name: str
    status: str | None
    lists: tuple[str, ...]
    files: int
    """Source files it covers."""
    area: str | None
    """The area most of them are in."""


class Atlas(Protocol):
    """Look-ups. All return None (or an empty tuple) for what the sources do not have."""

    name: str
    """"6.12.117"-like release of the sources."""
    source: str
    """Name of the tarball or folder they came from."""
    rules: int
    """Version of the rules that built it."""
    why: str
    """Why this atlas was chosen."""
    note: str | None
    """What the reader of a result must know (another release than the kernel's), or None."""

    @property
    def sha256(self) -> str:
        """Of the atlas file itself."""

    def abis(self) -> tuple[str, ...]: ...

    def syscall(self, abi: str, key: int | str) -> Syscall | None:
        """By number or by name (the table's name, or the entry's: stat and newstat)."""

    def syscalls(self, abi: str) -> tuple[Syscall, ...]: ...

    def event(self, name: str, system: str | None = None) -> tuple[Event, ...]: ...

    def function(self, name: str) -> tuple[Function, ...]:
        """Candidates, compiler suffixes (.isra.0, .constprop.0, .part.0, .cold) folded."""

    def ioctl(self, key: int | str, *, abi: str = "x86_64") -> tuple[Ioctl, ...]:
        """By number as recorded under ``abi``, or by name; several drivers may share a number."""

    def filesystem(self, fstype: str) -> Place:
        """struct file_system_type name to the file that defines it."""

    def anon_inode(self, name: str) -> Place:
        """ "[eventfd]" and the like."""

    def socket(self, family: str, type: str | None, protocol: str | None) -> Place:
        """ "AF_INET", "SOCK_STREAM", "TCP" to the protocol's implementation."""

    def device(self, kind: str, name: str, major: int | None, minor: int | None) -> Place:
        """A char or block device by driver name (of /sys/dev or /proc/devices) or fixed number."""

    def module(self, name: str) -> Module | None: ...

    def file(self, path: str) -> File | None: ...

    def config(self, name: str) -> Config | None: ...

    def section(self, name: str) -> Section | None: ...

    def place(self, path: str | None, how: str) -> Place:
        """The place of a source file."""
