"""From what the kernel had behind a descriptor to ``Object``: kinds, sockets, addresses."""

from __future__ import annotations

import ipaddress
import socket
import stat
import struct

from kfoot.readers.bpf_records import Seen
from kfoot.readers.reading import Object

# include/linux/socket.h
_FAMILY_NAMES = """
UNSPEC UNIX INET AX25 IPX APPLETALK NETROM BRIDGE ATMPVC X25 INET6 ROSE DECnet NETBEUI SECURITY KEY
NETLINK PACKET ASH ECONET ATMSVC RDS SNA IRDA PPPOX WANPIPE LLC IB MPLS CAN TIPC BLUETOOTH IUCV
RXRPC ISDN PHONET IEEE802154 CAIF ALG NFC VSOCK KCM QIPCRTR SMC XDP MCTP
"""
FAMILIES = dict(enumerate(_FAMILY_NAMES.split()))
# include/linux/net.h
TYPES = {1: "STREAM", 2: "DGRAM", 3: "RAW", 4: "RDM", 5: "SEQPACKET", 6: "DCCP", 10: "PACKET"}
# include/uapi/linux/in.h
_INTERNET = {
    0: "IP", 1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPV6",
    47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPV6", 132: "SCTP", 136: "UDPLITE", 255: "RAW",
    256: "SMC", 262: "MPTCP",
}  # fmt: skip
# include/uapi/linux/netlink.h
_NETLINK = {
    0: "ROUTE", 1: "UNUSED", 2: "USERSOCK", 3: "FIREWALL", 4: "SOCK_DIAG", 5: "NFLOG", 6: "XFRM",
    7: "SELINUX", 8: "ISCSI", 9: "AUDIT", 10: "FIB_LOOKUP", 11: "CONNECTOR", 12: "NETFILTER",
    13: "IP6_FW", 14: "DNRTMSG", 15: "KOBJECT_UEVENT", 16: "GENERIC", 18: "SCSITRANSPORT",
    19: "ECRYPTFS", 20: "RDMA", 21: "CRYPTO", 22: "SMC",
}  # fmt: skip
_DEFAULT = {1: 6, 2: 17}
"""Protocol of an internet socket of a type made with protocol 0, once it is there."""
_ANONYMOUS = {"pidfs": "[pidfd]", "secretmem": "secretmem"}
"""Filesystems of which each file is anonymous, and its name; anon_inodefs has names of its own."""
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFLNK: "file",
}


def object_of(seen: Seen, name: str | None, address: bytes, folded: bool) -> Object:
    """What a descriptor stands for. ``address`` is a unix socket's; ``folded``: it is one of many
    files of its kind that were counted together, so its name is not all of them."""
    form = stat.S_IFMT(seen.mode)
    if form == stat.S_IFSOCK:
        found = socket_object(seen.family, seen.type, seen.protocol)
        return found._replace(name="" if folded else _ends(seen, address))
    if seen.fs == "anon_inodefs" or seen.fs in _ANONYMOUS:
        return Object("anon", _ANONYMOUS.get(seen.fs, name or ""), fstype=seen.fs)
    kind = _KINDS.get(form, "unknown")
    device = seen.device if kind in ("char", "block") else None
    if seen.fs == "pipefs":
        name = ""
    return Object(
        kind,
        "" if folded else name or "",
        device=device,
        fstype=seen.fs or None,
        driver=_module(seen.operations) if device else None,
    )


def _module(symbol: str) -> str | None:
    """The module of a kernel symbol: "spidev" for "spidev_fops [spidev]"; None for a built-in."""
    return symbol.partition("[")[2].rstrip("]") or None


def socket_object(family: int, type_: int, protocol: int) -> Object:
    """A socket by its three numbers, as socket(2) takes them (flags in the type are dropped)."""
    type_ &= 0xF
    if family in (2, 10):
        word: str | None = _INTERNET.get(protocol or _DEFAULT.get(type_, 0), str(protocol))
    elif family == 16:
        word = f"NETLINK_{_NETLINK[protocol]}" if protocol in _NETLINK else str(protocol)
    else:
        word = str(protocol) if protocol else None
    return Object(
        "socket",
        "",
        family="AF_" + FAMILIES[family] if family in FAMILIES else str(family),
        type="SOCK_" + TYPES[type_] if type_ in TYPES else str(type_),
        protocol=word,
    )


def _ends(seen: Seen, address: bytes) -> str:
    if seen.family == socket.AF_UNIX:
        return sockaddr(address) if address else ""
    if seen.family not in (2, 10):
        return ""
    size = 4 if seen.family == 2 else 16
    local = _host(seen.local[:size], seen.local_port)
    if not seen.remote_port:
        return local if seen.local_port else ""
    return f"{local}->{_host(seen.remote[:size], seen.remote_port)}"


def _host(raw: bytes, port: int) -> str:
    host = str(ipaddress.ip_address(raw))
    return f"[{host}]:{port}" if len(raw) == 16 else f"{host}:{port}"


def sockaddr(raw: bytes) -> str:
    """A socket address: "127.0.0.1:80", "/run/x", "@abstract"; "" where it says nothing."""
    if len(raw) < 2:
        return ""
    (family,) = struct.unpack_from("<H", raw)
    body = raw[2:]
    if family == socket.AF_UNIX:
        if body[:1] == b"\0":
            return "@" + body[1:].decode("utf-8", "surrogateescape") if body.strip(b"\0") else ""
        return body.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if family == 2 and len(body) >= 6:
        return _host(body[2:6], int.from_bytes(body[:2], "big"))
    if family == 10 and len(body) >= 22:
        return _host(body[6:22], int.from_bytes(body[:2], "big"))
    return ""
