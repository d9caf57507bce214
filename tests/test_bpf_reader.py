"""Reader ``bpf`` on damaged and hostile files; recorded ones are read in the other bpf tests."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfoot.errors import InputError
from kfoot.readers import sniff
from kfoot.readers.base import Options
from kfoot.readers.bpf import READER
from kfoot.readers.bpf_objects import object_of, sockaddr, socket_object
from kfoot.readers.bpf_records import MAGIC, Damaged, Seen, pieces
from kfoot.readers.reading import Object

META = {
    "format": "kfoot-bpf",
    "version": 1,
    "abis": ["x86_64", "i386", "x32"],
    "machine": "x86_64",
    "marked": [[42, 1]],
    "first": 3,
    "stats": {},
    "finished": True,
}
HEADER = MAGIC + struct.pack("<II", 1, 0)
COUNTS = b"kfootcnt" + struct.pack("<II", 1, 0)


def files(folder: Path, records: bytes, counts: bytes = COUNTS, **meta: object) -> list[Path]:
    (folder / "records").write_bytes(records)
    (folder / "counts").write_bytes(counts)
    (folder / "meta.json").write_text(json.dumps(META | meta))
    return sorted(folder.iterdir())


def step(shape: int = 0, flags: int = 0, ns: int = 0) -> bytes:
    body = struct.pack("<HHIIIQqQII", 2, flags, shape, 42, 42, ns, 0, 5, 1, 0)
    return struct.pack("<II", len(body), 0) + body


def test_the_three_files_are_known_and_belong_together(tmp_path: Path) -> None:
    made = files(tmp_path, HEADER)
    assert {sniff(path) for path in made} == {"bpf"}
    assert READER.groups(made) == [made]


def test_counts_without_a_description_are_counted_and_a_loss(tmp_path: Path) -> None:
    counts = COUNTS + struct.pack("<IIIHHQQ", 1, 7, 39, 0, 0, 12, 600)
    counts += struct.pack("<IIIHHQQ", 1, 8, 257, 2, 1, 3, 30)
    reading = READER.read(files(tmp_path, HEADER, counts), Options())
    assert {(k.abi, k.nr, k.outcome): c.calls for k, c in reading.calls.items()} == {
        ("x86_64", 39, "ok"): 12,
        ("i386", 257, "ENOENT"): 3,
    }
    assert [(loss.kind, loss.count) for loss in reading.losses] == [("dropped", 2)]


@pytest.mark.parametrize("cut", [1, 7, 9, 40])
def test_a_truncated_stream_gives_what_is_whole(cut: int, tmp_path: Path) -> None:
    whole = step(ns=1) + step(ns=2)
    reading = READER.read(files(tmp_path, HEADER + whole[:-cut]), Options())
    (loss,) = reading.losses
    assert loss.kind == "truncated"
    assert f"offset {len(HEADER) + len(step())}" in loss.where


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (b"", "no kfootbpf header"),
        (b"something else altogether", "no kfootbpf header"),
        (MAGIC + struct.pack("<II", 99, 0), "format 99, this kfoot reads 1"),
    ],
)
def test_a_foreign_stream_is_an_error(records: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        READER.read(files(tmp_path, records), Options())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    made = [path for path in files(tmp_path, HEADER) if path.name != "records"]
    with pytest.raises(InputError, match="has no records"):
        READER.read(made, Options())


def test_a_recording_that_was_cut_off_is_read_without_counts(tmp_path: Path) -> None:
    made = [p for p in files(tmp_path, HEADER, finished=False) if p.name != "counts"]
    assert [loss.kind for loss in READER.read(made, Options()).losses] == ["truncated"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=1200))
def test_no_bytes_upset_the_reader(tmp_path: Path, noise: bytes) -> None:
    length = struct.pack("<II", len(noise), 0)
    padded = noise + bytes(-len(noise) % 8)
    reading = READER.read(files(tmp_path, HEADER + length + padded + noise), Options())
    assert all(loss.kind in ("truncated", "dropped") for loss in reading.losses)
    with suppress(Damaged):
        list(pieces(noise))


SEEN = Seen(1, (1, 3), 0o020666, 0, 0, 0, "devtmpfs", "", b"", b"", 0, 0, True)


def test_objects() -> None:
    assert object_of(SEEN, "/dev/null", b"", False) == Object(
        "char", "/dev/null", device=(1, 3), fstype="devtmpfs"
    )
    spi = SEEN._replace(device=(153, 0), operations="spidev_fops [spidev]")
    assert object_of(spi, "/dev/spidev0.0", b"", False).driver == "spidev"
    event = SEEN._replace(mode=0o600, fs="anon_inodefs")
    assert object_of(event, "[eventfd]", b"", False).kind == "anon"
    many = SEEN._replace(mode=0o100644, fs="ext4")
    assert object_of(many, "/etc/passwd", b"", True) == Object("file", "", fstype="ext4")
    tcp = SEEN._replace(
        mode=0o140777, family=2, type=1, protocol=6, local=bytes([127, 0, 0, 1]) + bytes(12),
        remote=bytes([10, 0, 0, 9]) + bytes(12), local_port=4000, remote_port=80,
    )  # fmt: skip
    found = object_of(tcp, "TCP", b"", False)
    assert (found.family, found.type, found.protocol) == ("AF_INET", "SOCK_STREAM", "TCP")
    assert found.name == "127.0.0.1:4000->10.0.0.9:80"


def test_sockets_and_addresses() -> None:
    assert socket_object(16, 3 | 0o2000000, 0).protocol == "NETLINK_ROUTE"
    assert socket_object(10, 2, 0).protocol == "UDP"
    assert socket_object(99, 77, 5) == Object("socket", "", family="99", type="13", protocol="5")
    assert sockaddr(b"\1\0/run/x\0junk") == "/run/x"
    assert sockaddr(b"\1\0\0bus") == "@bus"
    assert sockaddr(b"\2\0\0\x50\x7f\0\0\1" + bytes(8)) == "127.0.0.1:80"
    v6 = struct.pack("<H", 10) + b"\x01\xbb" + bytes(4) + bytes(15) + b"\1" + bytes(4)
    assert sockaddr(v6) == "[::1]:443"
    assert sockaddr(b"\2") == ""
