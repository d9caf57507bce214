"""Opening a raw file, plain or packed (gzip, xz, zstd), as bounded blocks of bytes or lines.

Whatever the file holds, memory stays bounded: packed data is unpacked in small steps, and the
middle of a line longer than ``LINE_LIMIT`` is dropped and counted. A packed file that ends early
gives what could be unpacked; ``broken`` then says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

from kfoot.errors import InputError
from kfoot.packing import MAGIC

if TYPE_CHECKING:
    from kfoot.readers.base import Options
    from kfoot.readers.reading import Loss

BLOCK = 1 << 20
LINE_LIMIT = 1 << 20
"""Bytes of a line above which its middle is dropped."""
LINE_TAIL = 1 << 16
"""Bytes kept of the end of such a line: a trace's result stands there."""
HEAD = 1 << 16
"""Bytes a sniffer is shown."""

SUFFIXES = (".gz", ".xz", ".zst")


class _Unpacked(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Source:
    """A file's bytes, unpacked. ``read`` ends quietly where a packed file is broken."""

    def __init__(self, path: Path):
        self.path = path
        self.broken: str | None = None
        """Why the packed data ended early; None when it did not."""
        try:
            self.size = path.stat().st_size
            self._file: BinaryIO = path.open("rb")
            magic = self._file.read(6)
            self._file.seek(0)
        except IsADirectoryError:
            raise InputError(path, "is a directory", expected="a trace file") from None
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror}") from None
        self._unpacked = self._open(magic)
        self.plain = self._unpacked is self._file
        """Not packed: the bytes are as they are in the file."""

    def _open(self, magic: bytes) -> _Unpacked:
        self._errors: tuple[type[Exception], ...] = (OSError,)
        if not magic.startswith(MAGIC):
            return self._file
        # Most traces are not packed: what unpacks is imported for those that are.
        from kfoot.readers import packed

        self._errors = packed.ERRORS
        return packed.unpacked(self._file, magic)

    def read(self, size: int = BLOCK) -> bytes:
        """Up to ``size`` bytes (zstd: somewhat more); b"" at the end."""
        if self.broken:
            return b""
        try:
            return self._unpacked.read(size)
        except self._errors as error:
            self.broken = str(error) or type(error).__name__
            return b""

    def fileno(self) -> int:
        """The file's own descriptor: of a packed one, that of the packed bytes."""
        return self._file.fileno()

    @property
    def position(self) -> int:
        """Packed bytes read so far, for progress."""
        return self._file.tell()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """The path of a file's unpacked bytes, for readers that must seek: ``path`` itself when it is
    not packed, else a temporary file. A packed file that ends early gives what there is."""
    with Source(path) as source:
        if source.plain:
            yield path
            return
        import tempfile

        with tempfile.NamedTemporaryFile(prefix="kfoot-") as copy:
            while block := source.read():
                copy.write(block)
            copy.flush()
            yield Path(copy.name)


def head(path: Path, size: int = HEAD) -> bytes:
    """The first ``size`` bytes, unpacked. Raises InputError when the file cannot be read."""
    found = b""
    with Source(path) as source:
        while len(found) < size and (block := source.read(size - len(found))):
            found += block
    return found[:size]


def bare_name(path: Path) -> str:
    """The file's name without the suffix of a packer."""
    return path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name


class Lines:
    """A text file as lists of lines, decoded as UTF-8 with surrogate escapes, without line ends.

    After reading, ``losses`` names dropped middles of long lines and an early end, and
    ``open_end`` tells whether the last line had no line end (it may have been cut).
    """

    def __init__(self, path: Path, options: Options | None = None):
        self.path = path
        self.losses: list[Loss] = []
        self.open_end = False
        self._progress = options.progress if options else None
        self._cut = 0

    def batches(self) -> Iterator[list[str]]:
        """Lists of some thousand lines. Raises InputError when the file cannot be read."""
        carry = b""
        cutting = False
        with Source(self.path) as source:
            while block := source.read(BLOCK):
                if self._progress:
                    self._progress(source.position, source.size)
                end = block.rfind(b"\n")
                if end < 0:
                    carry += block
                    if len(carry) > LINE_LIMIT + LINE_TAIL:
                        carry = carry[:LINE_LIMIT] + carry[-LINE_TAIL:]
                        self._cut += not cutting
                        cutting = True
                    continue
                data = carry + block[:end]
                carry = block[end + 1 :]
                cutting = False
                yield _decode(data)
            if carry:
                self.open_end = True
                yield _decode(carry)
            if source.broken:
                self.losses.append(_loss("truncated", f"{self.path.name}: {source.broken}", None))
        if self._cut:
            self.losses.append(_loss("cut", f"{self.path.name}: long lines", self._cut))

    def __iter__(self) -> Iterator[str]:
        for batch in self.batches():
            yield from batch


def _loss(kind: str, where: str, count: int | None) -> Loss:
    from kfoot.readers.reading import Loss  # counting calls alone needs no reading

    return Loss(kind, where, count)


def _decode(data: bytes) -> list[str]:
    if b"\r" in data:
        data = data.removesuffix(b"\r").replace(b"\r\n", b"\n")
    return data.decode("utf-8", "surrogateescape").split("\n")
