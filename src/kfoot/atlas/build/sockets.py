"""Socket families, types and protocols: the file that implements each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kfoot.atlas.build.base import Builder, Context
from kfoot.atlas.build.csource import calls, constants, fields, plain, string, structs
from kfoot.atlas.build.handlers import is_code
from kfoot.atlas.schema import Row

_QUICK = (
    b"net_proto_family",
    b"inet_protosw",
    b"struct proto ",
    b"netlink_kernel_create",
    b"struct can_proto",
    b"bt_sock_register",
)


_Found = tuple[str, str | None, str | None, str, str]
"""Family, type, protocol, file, rule."""


class Facts(NamedTuple):
    families: tuple[tuple[str, str], ...]
    """Variable and AF_ name of each net_proto_family."""
    registered: tuple[str, ...]
    """Variables given to sock_register()."""
    bluetooth: tuple[tuple[str, str], ...]
    """BTPROTO_ name and variable given to bt_sock_register()."""
    protocols: tuple[tuple[str, str], ...]
    """Variable and name of each struct proto."""
    internet: tuple[tuple[str, str, str, str], ...]
    """Family, type, protocol (IPPROTO_) and proto variable of each inet_protosw."""
    netlink: tuple[str, ...]
    can: tuple[tuple[str, str], ...]
    """CAN_ protocol and socket type."""


def _family(name: str) -> str:
    return "AF_" + name.removeprefix("PF_").removeprefix("AF_")


class Sockets(Builder):
    """Table ``sockets``."""

    name = "sockets"
    needs = ("areas", "maintainers")

    def __init__(self) -> None:
        self._found: dict[str, Facts] = {}

    def wants(self, path: str) -> bool:
        return is_code(path)

    def scan(self, path: str, data: bytes) -> Facts | None:
        if not any(word in data for word in _QUICK):
            return None
        text = plain(data)
        known = constants(text)
        families = []
        for variable, parts, _ in structs(text, "net_proto_family"):
            family = fields(parts).get("family", "")
            if re.fullmatch(r"[AP]F_\w+", family):
                families.append((variable, _family(family)))
        protocols = []
        for variable, parts, _ in structs(text, "proto"):
            name = string(fields(parts).get("name", ""), known)
            if name:
                protocols.append((variable, name))
        facts = Facts(
            tuple(families),
            tuple(args[0].lstrip("&") for _, args, _ in calls(text, ("sock_register",))),
            tuple(
                (args[0], args[1].lstrip("&"))
                for _, args, _ in calls(text, ("bt_sock_register",))
                if len(args) == 2
            ),
            tuple(protocols),
            tuple(_internet(text)),
            tuple(
                args[1]
                for _, args, _ in calls(text, ("netlink_kernel_create",))
                if len(args) == 3 and args[1].startswith("NETLINK_")
            ),
            tuple(
                (told.get("protocol", ""), told.get("type", ""))
                for _, parts, _ in structs(text, "can_proto")
                for told in (fields(parts),)
            ),
        )
        return facts if any(facts) else None

    def take(self, path: str, facts: Facts) -> None:
        self._found[path] = facts

    def finish(self, context: Context) -> Mapping[str, Iterable[Row]]:
        """Most specific rows: family, type and protocol; a family alone has both None."""
        found = sorted(self._found.items())
        registered = {name for _, facts in found for name in facts.registered}
        variables = {
            name: path for path, facts in found for name, _ in (*facts.families, *facts.protocols)
        }
        families: dict[str, str] = {}
        rows: set[_Found] = set()
        for path, facts in found:
            for variable, family in facts.families:
                if variable in registered or family not in families:
                    families[family] = path
            for protocol, variable in facts.bluetooth:
                if variable in variables:
                    rows.add(
                        ("AF_BLUETOOTH", None, protocol, variables[variable], "socket-protocol")
                    )
            for family, kind, protocol, variable in facts.internet:
                file = variables.get(variable)
                if file:
                    short = protocol.removeprefix("IPPROTO_")
                    # IPPROTO_IP (0) is the wild card of raw sockets: any protocol.
                    named = None if short in ("IP", "0") else short
                    rows.add((family, kind, named, file, "socket-protocol"))
            for protocol in facts.netlink:
                rows.add(("AF_NETLINK", None, protocol, path, "socket-netlink"))
            for protocol, kind in facts.can:
                if protocol.startswith("CAN_") and kind.startswith("SOCK_"):
                    rows.add(("AF_CAN", kind, protocol, path, "socket-protocol"))
        for family, path in families.items():
            rows.add((family, None, None, path, "socket-family"))
        rows.update(self._defaults(rows))
        rows.update(self._kernel_names(found, families))
        return {
            "sockets": [
                (family, kind, protocol, *context.place(file, how))
                for family, kind, protocol, file, how in sorted(rows, key=str)
            ]
        }

    def _defaults(self, rows: Iterable[_Found]) -> list[_Found]:
        """What protocol 0 gives: TCP for streams and UDP for datagrams, as the first permanent
        entries of inetsw_array say."""
        out: list[_Found] = []
        for family, kind, protocol, file, how in rows:
            if (kind, protocol) in (("SOCK_STREAM", "TCP"), ("SOCK_DGRAM", "UDP")):
                out.append((family, kind, None, file, how))
        return out

    def _kernel_names(
        self, found: Iterable[tuple[str, Facts]], families: Mapping[str, str]
    ) -> list[_Found]:
        """struct proto's own name ("TCPv6", "UNIX-STREAM"), as /proc/net/protocols has it.

        Its family is that of the folder it lies in; one in a folder of several families has none
        that could be told, and is left out.
        """
        folders: dict[str, set[str]] = {}
        for family, path in families.items():
            folders.setdefault(path.rsplit("/", 1)[0], set()).add(family)
        out: list[_Found] = []
        for path, facts in found:
            own = folders.get(path.rsplit("/", 1)[0], set())
            for _, name in facts.protocols:
                if len(own) == 1:
                    out.append((min(own), None, name, path, "socket-proto-name"))
        return out


def _internet(text: str) -> list[tuple[str, str, str, str]]:
    """inet_protosw entries, alone or in the array."""
    out: list[tuple[str, str, str, str]] = []
    for _, parts, _ in structs(text, "inet_protosw"):
        entries = [parts] if not parts[0].startswith("{") else []
        for part in parts:
            if part.startswith("{"):
                entries.append([piece.strip() for piece in part.strip("{} \n\t").split(",")])
        for entry in entries:
            told = fields(entry)
            if {"type", "protocol", "prot"} <= told.keys():
                variable = told["prot"].lstrip("&")
                six = "6" in told.get("ops", "") or "6" in variable
                family = "AF_INET6" if six else "AF_INET"
                out.append((family, told["type"], told["protocol"], variable))
    return out
