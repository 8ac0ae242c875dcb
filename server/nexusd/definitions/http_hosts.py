"""Which hosts and addresses an HttpRequestNode may reach.

A host is what stands in a URL and must be in the registry's `http_allow`. An address is what the host's name leads to;
one that is not public must be in the list itself, so that a listed name which somebody points at a machine of the
operator's own network reaches nothing (CWE-918).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCALHOST: Final = "localhost"
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
_ENTRY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/]+)(?::([0-9]{1,5}))?", re.ASCII)
_MAX_PORT: Final = 65535
_MAX_HOST: Final = 253

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class AllowList:
    """The entries of `http_allow`, read.

    Attributes:
        hosts: names and addresses, each with a port, or with None for every port.
        networks: whose addresses may be reached at every port.
        wrong: the entries that say nothing.
    """

    hosts: frozenset[tuple[str, int | None]]
    networks: tuple[Network, ...] = ()
    wrong: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing may be reached."""
        return not self.hosts and not self.networks

    def allows_host(self, host: str, port: int) -> bool:
        """Whether a URL may name this host."""
        if (host, None) in self.hosts or (host, port) in self.hosts:
            return True
        address = literal_address(host)
        return address is not None and self._in_networks(address)

    def allows_address(self, address: str, host: str, port: int) -> bool:
        """Whether a connection for an allowed host may go to this address."""
        found = literal_address(address)
        if found is None:
            return False
        if is_public(found):
            return True
        # `localhost` is its own address by definition (RFC 6761, section 6.3).
        if host == LOCALHOST and found.is_loopback:
            return True
        return self.allows_host(str(found), port)

    def _in_networks(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


def read_allow_list(entries: Iterable[str]) -> AllowList:
    """Read the entries: a host, `host:port`, or a network such as `10.0.0.0/8`."""
    hosts: set[tuple[str, int | None]] = set()
    networks: list[Network] = []
    wrong: list[str] = []
    for entry in entries:
        text = entry.strip().lower()
        if "/" in text:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                wrong.append(entry)
            continue
        match = _ENTRY.fullmatch(text)
        host = None if match is None else host_of(match[1])
        port = None if match is None or match[2] is None else int(match[2])
        if host is None or (port is not None and not 0 < port <= _MAX_PORT):
            wrong.append(entry)
        else:
            hosts.add((host, port))
    return AllowList(frozenset(hosts), tuple(networks), tuple(wrong))


def host_of(text: str) -> str | None:
    """A host of a URL in its one form; None if it is none. Addresses lose their brackets."""
    lowered = text.lower()
    if lowered.startswith("["):
        address = literal_address(lowered[1:-1])
        return None if address is None else str(address)
    lowered = lowered.removesuffix(".")
    address = literal_address(lowered)
    if address is not None:
        return str(address)
    return lowered if _HOST.fullmatch(lowered) and len(lowered) <= _MAX_HOST else None


def literal_address(text: str) -> Address | None:
    """The address that a text is; an IPv4 address inside an IPv6 one counts as itself."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Whether an address can be a machine of the internet, and not one of the operator's own."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None and not is_public(inner):
            return False
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a gateway would reach for this one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
