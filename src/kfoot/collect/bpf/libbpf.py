"""libbpf.so.1 through ctypes: just the functions the collector needs.

Everything raises ``BpfError`` with the kernel's reason; libbpf's own messages, among them the
verifier's log, are kept and never printed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIBRARY = "libbpf.so.1"
MEND = "apt-get install libbpf1"
_RAW_TRACEPOINT = 17
"""BPF_PROG_TYPE_RAW_TRACEPOINT"""
_BATCH = 4096
_INSTRUCTION = struct.Struct("<BBhi")
_LOAD_64 = 0x18
"""BPF_LD | BPF_IMM | BPF_DW"""
_MAPS = (1, 2)
"""BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, in the source register's place"""

_pointer, _string, _int, _size = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_size_t,
)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__open_file": (_pointer, [_string, _pointer]),
    "bpf_object__load": (_int, [_pointer]),
    "bpf_object__close": (None, [_pointer]),
    "bpf_object__find_map_by_name": (_pointer, [_pointer, _string]),
    "bpf_object__find_program_by_name": (_pointer, [_pointer, _string]),
    "bpf_map__fd": (_int, [_pointer]),
    "bpf_map__initial_value": (_pointer, [_pointer, _pointer]),
    "bpf_map__reuse_fd": (_int, [_pointer, _int]),
    "bpf_map__set_max_entries": (_int, [_pointer, ctypes.c_uint32]),
    "bpf_program__attach": (_pointer, [_pointer]),
    "bpf_program__fd": (_int, [_pointer]),
    "bpf_program__insns": (_pointer, [_pointer]),
    "bpf_program__insn_cnt": (_size, [_pointer]),
    "bpf_link__destroy": (_int, [_pointer]),
    "bpf_map_lookup_elem": (_int, [_int, _pointer, _pointer]),
    "bpf_map_update_elem": (_int, [_int, _pointer, _pointer, ctypes.c_uint64]),
    "bpf_map_get_next_key": (_int, [_int, _pointer, _pointer]),
    "bpf_map_lookup_batch": (_int, [_int, *[_pointer] * 5, _pointer]),
    "bpf_obj_get_info_by_fd": (_int, [_int, _pointer, _pointer]),
    "bpf_prog_load": (_int, [_int, _string, _string, _pointer, _size, _pointer]),
    "bpf_raw_tracepoint_open": (_int, [_string, _int]),
    "libbpf_num_possible_cpus": (_int, []),
    "libbpf_set_print": (_pointer, [_pointer]),
    "libbpf_version_string": (_string, []),
}
_PRINT = ctypes.CFUNCTYPE(_int, _int, _string, _pointer)
_LONGEST_MESSAGE = 4 << 20
_MESSAGE_TAIL = 8192
_vsnprintf = ctypes.CDLL(None).vsnprintf
_vsnprintf.argtypes = [_pointer, _size, _string, _pointer]


ENOTSUPP = 524
"""The kernel's own (include/linux/errno.h), which the C library has no words for."""


class BpfError(Exception):
    """A call into libbpf or the kernel failed."""

    def __init__(self, what: str, number: int):
        why = os.strerror(number)
        if number == ENOTSUPP:
            why = "its compiler lacks one of their instructions (ENOTSUPP)"
        super().__init__(f"{what}: {why}")
        self.number = number


class Library:
    """The loaded library. Raises OSError when there is none of that name."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype = result
            function.argtypes = arguments
        self.said: list[str] = []
        """libbpf's warnings, the verifier's logs among them (each cut to its end)."""
        self._print = _PRINT(self._heard)
        self._library.libbpf_set_print(ctypes.cast(self._print, ctypes.c_void_p))
        self.cpus = int(self._library.libbpf_num_possible_cpus())
        self.version = self._library.libbpf_version_string().decode()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def _heard(self, level: int, text: bytes, arguments: int) -> int:
        if level == 0:  # LIBBPF_WARN; a verifier's log is one message of up to megabytes
            buffer = ctypes.create_string_buffer(_LONGEST_MESSAGE)
            _vsnprintf(buffer, _LONGEST_MESSAGE, text, arguments)
            self.said.append(buffer.value.decode("utf-8", "replace")[-_MESSAGE_TAIL:])
        return 0

    def why(self) -> str:
        """The verifier's last word, "" when it has not spoken."""
        for message in reversed(self.said):
            lines = message.strip().splitlines()
            words = [line for line in lines if not line.startswith(("processed ", "--", "libbpf"))]
            if "PROG LOAD LOG" in message and words:
                return words[-1]
        return ""

    def check(self, what: str, result: int) -> int:
        """``result`` if it is not negative; else raises what errno (or the result) says."""
        if result < 0:
            raise BpfError(what, ctypes.get_errno() or -result)
        return result


class Object:
    """A compiled object: opened, configured, loaded, attached, closed."""

    def __init__(self, library: Library, path: Path):
        self.library = library
        self._links: list[int] = []
        self._handle = library.bpf_object__open_file(os.fsencode(path), None)
        if not self._handle:
            raise BpfError(f"cannot open {path.name}", ctypes.get_errno())

    def _map(self, name: str) -> int:
        found = self.library.bpf_object__find_map_by_name(self._handle, name.encode())
        if not found:
            raise BpfError(f"no map {name}", errno.ENOENT)
        return int(found)

    def _program(self, name: str) -> int:
        found = self.library.bpf_object__find_program_by_name(self._handle, name.encode())
        if not found:
            raise BpfError(f"no program {name}", errno.ENOENT)
        return int(found)

    def set(self, section: str, data: bytes) -> None:
        """Set the initial value of a section of variables (".rodata"); before ``load``."""
        size = ctypes.c_size_t()
        value = self.library.bpf_map__initial_value(self._map(section), ctypes.byref(size))
        if not value or size.value != len(data):
            raise BpfError(f"{section} has {size.value} bytes, not {len(data)}", errno.EINVAL)
        ctypes.memmove(value, data, len(data))

    def resize(self, name: str, entries: int) -> None:
        """Set a map's number of entries (a ring's bytes); before ``load``."""
        what = f"cannot size map {name}"
        self.library.check(what, self.library.bpf_map__set_max_entries(self._map(name), entries))

    def share(self, name: str, other: Object) -> None:
        """Use the map of that name of another, loaded object; before ``load``."""
        result = self.library.bpf_map__reuse_fd(self._map(name), other.map(name))
        self.library.check(f"cannot share map {name}", result)

    def load(self) -> None:
        result = self.library.bpf_object__load(self._handle)
        if result < 0:
            why = self.library.why()
            what = "the kernel refused the programs"
            raise BpfError(f"{what} ({why})" if why else what, -result)

    def attach(self, name: str) -> None:
        link = self.library.bpf_program__attach(self._program(name))
        if not link:
            raise BpfError(f"cannot attach {name}", ctypes.get_errno())
        self._links.append(link)

    def program(self, name: str) -> int:
        """Descriptor of a loaded program."""
        return int(self.library.bpf_program__fd(self._program(name)))

    def code(self, name: str) -> bytes:
        """A loaded program's instructions with maps and types filled in: a template."""
        program = self._program(name)
        count = self.library.bpf_program__insn_cnt(program)
        return ctypes.string_at(self.library.bpf_program__insns(program), count * 8)

    def map(self, name: str) -> int:
        """Descriptor of a map."""
        return int(self.library.bpf_map__fd(self._map(name)))

    def detach(self) -> None:
        for link in self._links:
            self.library.bpf_link__destroy(link)
        self._links.clear()

    def close(self) -> None:
        """Detach and unload all."""
        self.detach()
        if self._handle:
            self.library.bpf_object__close(self._handle)
            self._handle = None


def maps_of(code: bytes) -> set[int]:
    """Descriptors of the maps that a program's instructions name."""
    found = set()
    for at in range(0, len(code), 8):
        operation, registers, _, immediate = _INSTRUCTION.unpack_from(code, at)
        if operation == _LOAD_64 and registers >> 4 in _MAPS:
            found.add(immediate)
    return found


def load_copy(library: Library, name: str, code: bytes) -> int:
    """Load one raw tracepoint program; gives its descriptor."""
    buffer = ctypes.create_string_buffer(code, len(code))
    result = library.bpf_prog_load(
        _RAW_TRACEPOINT, name.encode(), b"Dual BSD/GPL", buffer, len(code) // 8, None
    )
    return library.check(f"cannot load {name}", result)


def attach_raw(library: Library, tracepoint: str, program: int) -> int:
    """Attach to a raw tracepoint; closing the descriptor it gives detaches."""
    result = library.bpf_raw_tracepoint_open(tracepoint.encode(), program)
    return library.check(f"cannot attach to {tracepoint}", result)


def look_up(library: Library, map_fd: int, key: bytes, size: int) -> bytes | None:
    """One value of a map (``size`` bytes for all CPUs together), None without that key."""
    value = ctypes.create_string_buffer(size)
    if library.bpf_map_lookup_elem(map_fd, ctypes.create_string_buffer(key, len(key)), value) < 0:
        return None
    return value.raw


def total(library: Library, map_fd: int, index: int) -> int:
    """One u64 of a per-CPU array, all CPUs together."""
    raw = look_up(library, map_fd, struct.pack("<I", index), 8 * library.cpus)
    return sum(struct.unpack(f"<{library.cpus}Q", raw)) if raw else 0


def update(library: Library, map_fd: int, key: bytes, value: bytes) -> None:
    result = library.bpf_map_update_elem(
        map_fd,
        ctypes.create_string_buffer(key, len(key)),
        ctypes.create_string_buffer(value, len(value)),
        0,
    )
    library.check("cannot write to a map", result)


def batches(
    library: Library, map_fd: int, key_size: int, value_size: int
) -> Iterator[tuple[bytes, bytes, int]]:
    """All of a map, many entries at a time: (keys, values, how many)."""
    keys = ctypes.create_string_buffer(key_size * _BATCH)
    values = ctypes.create_string_buffer(value_size * _BATCH)
    token = ctypes.create_string_buffer(max(8, key_size))
    previous = None
    while True:
        count = ctypes.c_uint32(_BATCH)
        result = library.bpf_map_lookup_batch(
            map_fd, previous, token, keys, values, ctypes.byref(count), None
        )
        number = ctypes.get_errno() if result < 0 else 0
        if result < 0 and number != errno.ENOENT:
            raise BpfError("cannot read a map", number)
        n = count.value
        if n:
            yield keys.raw[: n * key_size], values.raw[: n * value_size], n
        if result < 0:
            return
        previous = token


def misses(library: Library, program_fd: int) -> int:
    """How often a program did not run because it would have interrupted itself
    (``recursion_misses`` of struct bpf_prog_info, since 5.12; 0 before)."""
    info = ctypes.create_string_buffer(256)
    length = ctypes.c_uint32(256)
    if library.bpf_obj_get_info_by_fd(program_fd, info, ctypes.byref(length)) < 0:
        return 0
    at = 208
    return struct.unpack_from("<Q", info.raw, at)[0] if length.value >= at + 8 else 0
