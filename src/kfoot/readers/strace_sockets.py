"""Sockets and their addresses, as the arguments of socket, bind and connect tell them."""

from __future__ import annotations

import re

from kfoot.readers.reading import Object
from kfoot.readers.strace_args import number
from kfoot.readers.strace_objects import address, unix_name

_WORD = re.compile(r"(?:(0x[0-9a-fA-F]+|\d+)(?: /\* )?)?([A-Z_][A-Z0-9_|]*)?")
_INET = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)')
_INET6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]*)"')
_UNIX = re.compile(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"', re.DOTALL)

_FAMILIES = {
    1: "AF_UNIX",
    2: "AF_INET",
    10: "AF_INET6",
    16: "AF_NETLINK",
    17: "AF_PACKET",
    29: "AF_CAN",
    31: "AF_BLUETOOTH",
    38: "AF_ALG",
    40: "AF_VSOCK",
    44: "AF_XDP",
}
_TYPES = {
    1: "SOCK_STREAM",
    2: "SOCK_DGRAM",
    3: "SOCK_RAW",
    4: "SOCK_RDM",
    5: "SOCK_SEQPACKET",
    10: "SOCK_PACKET",
}
_DEFAULT_PROTOCOL = {"SOCK_STREAM": "TCP", "SOCK_DGRAM": "UDP"}
_IP_PROTOCOLS = {
    1: "ICMP",
    6: "TCP",
    17: "UDP",
    58: "ICMPV6",
    132: "SCTP",
    136: "UDPLITE",
    255: "RAW",
    262: "MPTCP",
}
_NETLINK = {
    0: "NETLINK_ROUTE",
    4: "NETLINK_SOCK_DIAG",
    9: "NETLINK_AUDIT",
    12: "NETLINK_NETFILTER",
    15: "NETLINK_KOBJECT_UEVENT",
    16: "NETLINK_GENERIC",
}


def socket_of(args: str) -> Object:
    """The socket that ``socket`` or ``socketpair`` makes."""
    words = [*args.split(", ", 3), "", "", ""]
    family, kind = _member(words[0], _FAMILIES), _member(words[1], _TYPES)
    protocol: str | None = None
    if family in ("AF_INET", "AF_INET6"):
        protocol = _member(words[2], _IP_PROTOCOLS)
        protocol = protocol.removeprefix("IPPROTO_") if protocol else None
        if protocol in (None, "IP"):
            protocol = _DEFAULT_PROTOCOL.get(kind or "")
    elif family == "AF_NETLINK":
        protocol = _member(words[2], _NETLINK)
    return Object("socket", "", family=family, type=kind, protocol=protocol, how="followed")


def socket_address(text: str) -> str:
    """A socket address as it stands in a name; "" when it says nothing stable."""
    if found := _INET.search(text):
        return address(f"{found[2]}:{found[1]}")
    if found := _INET6.search(text):
        return address(f"[{found[2]}]:{found[1]}")
    if found := _UNIX.search(text):
        return unix_name(found[1] + found[2])
    return ""


def _member(text: str, names: dict[int, str]) -> str | None:
    """A constant by its word, or by its number under -X raw."""
    found = _WORD.match(text)
    if found is None:
        return None
    if found[2]:
        return found[2].split("|")[0]
    value = number(found[1]) if found[1] else None
    if value is None:
        return None
    return names.get(value & 0xF if names is _TYPES else value)
