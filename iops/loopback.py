"""Which addresses are this machine's own, so that nobody else reaches what listens there."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def is_loopback_host(host: str) -> bool:
    """Whether a host's name or address is loopback; a name other than `localhost` is not looked up.

    >>> is_loopback_host("127.0.0.1"), is_loopback_host("::1"), is_loopback_host("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:  # how a socket for both families says it
        address = address.ipv4_mapped
    return address.is_loopback


def is_loopback_url(url: str) -> bool:
    """Whether a URL's host is.

    >>> is_loopback_url("http://[::1]:8080/"), is_loopback_url("https://127.0.0.1.example.com")
    (True, False)
    """
    try:
        return is_loopback_host(urlsplit(url).hostname or "")
    except ValueError:  # no URL at all
        return False
