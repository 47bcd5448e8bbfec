"""Which network addresses a webhook may be sent to, asked of each address in the moment it is connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import structlog

log = structlog.get_logger()

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all of IPv6 that is routed
NAT64: Final = IPv6Network("64:ff9b::/96")  # how a host without IPv4 reaches it: the last 32 bits are the address
OWN: Final = tuple(
    ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1", "fc00::/7")
)
# A host's own services, its credentials among them, which clouds have beside the link-local address.
CLOUDS: Final = tuple(
    ip_network(network)
    for network in ("fd00:ec2::/32", "fd20:ce::254/128", "168.63.129.16/32", "192.0.0.192/32", "3fff::/20")
)

IsPermitted = Callable[[str], bool]


class ForbiddenAddress(OSError):
    """An address that nothing is sent to; the next one of the same name is tried."""


def is_public(address: str) -> bool:
    """Anybody's on the Internet, and nothing that another address hides in.

    >>> is_public("1.1.1.1"), is_public("169.254.169.254"), is_public("::ffff:1.1.1.1")
    (True, False, False)
    """
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast and not _is_clouds(ip)
    if ip in NAT64:
        return is_public(str(_inside(ip)))
    is_hidden = ip.sixtofour is not None or ip.teredo is not None
    return ip in GLOBAL_UNICAST and ip.is_global and not is_hidden and not _is_clouds(ip)


def is_public_or_private(address: str) -> bool:
    """Also loopback and private networks; never link-local ones, where clouds keep their hosts' credentials.

    >>> is_public_or_private("10.0.0.7"), is_public_or_private("::1"), is_public_or_private("fe80::1")
    (True, True, False)
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip in NAT64:
        return is_public_or_private(str(_inside(ip)))
    is_own = any(ip in network for network in OWN) and not _is_clouds(ip)
    return is_own or is_public(address)


def _is_clouds(ip: IPv4Address | IPv6Address) -> bool:
    return any(ip in network for network in CLOUDS)


def guarded_socket(is_permitted: IsPermitted) -> Callable[[Any], socket.socket]:
    """Makes sockets only for permitted addresses: aiohttp asks it for each address, also for one that stood in a URL,
    and then connects to that very one. So it does not matter what a name server answered before, or will after."""

    def make_socket(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        if not is_permitted(host):
            log.warning("webhook_address_refused", address=host)
            raise ForbiddenAddress(f"nothing is sent to {host}")
        return socket.socket(family=family, type=kind, proto=protocol)

    return make_socket


def _inside(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)
