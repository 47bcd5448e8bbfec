"""Which addresses a webhook may be sent to, and which never."""

from __future__ import annotations

import socket

import pytest

from services.alerts.addresses import ForbiddenAddress, guarded_socket, is_public, is_public_or_private

PUBLIC = ("1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101")
OWN = ("10.0.0.7", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "::1", "fd12:3456::1", "64:ff9b::a00:7")
NOBODYS = (
    "169.254.169.254",  # the metadata of a cloud's host, and its credentials
    "fd00:ec2::254",  # the same of EC2
    "64:ff9b::a9fe:a9fe",  # the same through NAT64
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:1.1.1.1",  # what is mapped hides what it is
    "::ffff:10.0.0.7",
    "::ffff:169.254.169.254",
    "2002:a00:7::1",  # 10.0.0.7 within 6to4
    "2001:0:a00:7::1",  # Teredo
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "fec0::1",
    "100::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert is_public(address)
    assert is_public_or_private(address)


@pytest.mark.parametrize("address", OWN)
def test_a_private_address_has_to_be_allowed(address: str) -> None:
    assert not is_public(address)
    assert is_public_or_private(address)


@pytest.mark.parametrize("address", NOBODYS)
def test_some_addresses_are_never_permitted(address: str) -> None:
    assert not is_public(address)
    assert not is_public_or_private(address)


def test_carrier_grade_nat_is_not_public() -> None:
    assert not is_public("100.64.0.1")


def test_no_socket_is_made_for_a_forbidden_address() -> None:
    make_socket = guarded_socket(is_public)

    with pytest.raises(ForbiddenAddress, match=r"nothing is sent to 10\.0\.0\.7"):
        make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 443)))
    make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))).close()
