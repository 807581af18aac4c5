"""A host or a port that cannot be had is one line that says which of the two it is."""

from __future__ import annotations

import socket

import pytest

from src.announcing import listener
from src.errors import ConfigError

NOBODYS = "192.0.2.1"  # of a network that is for documentation alone (RFC 5737)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104
def test_a_host_of_this_machine_is_bound_by_its_address(host: str) -> None:
    with listener(host, 0) as bound:
        address, port = bound.getsockname()
        assert bound.family == socket.AF_INET and port > 0
        assert address == ("127.0.0.1" if host == "localhost" else host)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_address_of_ipv6_is_bound_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener("::1", 0) as bound:
        assert bound.getsockname()[0] == "::1"


@pytest.mark.parametrize(
    ("host", "what"),
    [
        (NOBODYS, "not an address of this machine"),
        ("2001:db8::1", "not an address of this machine"),
        ("::1%nowhere", r"[A-Z].+"),  # a name that is refused without asking another machine
        ("a..b", "not a name"),
    ],
)
def test_a_host_that_cannot_be_had_is_not_taken_for_the_ports_fault(host: str, what: str) -> None:
    with pytest.raises(ConfigError, match=f"^host {host}: {what}; choose another with --host$"):
        listener(host, 0)


def test_no_host_is_not_taken_for_every_address() -> None:
    with pytest.raises(ConfigError, match=r"^host: empty; name one with --host"):
        listener("", 0)


@pytest.mark.parametrize("port", [-1, 99_999])
def test_a_port_that_is_none_is_the_ports_fault(port: int) -> None:
    with pytest.raises(ConfigError, match=f"^port {port}: cannot be used; choose another with"):
        listener("127.0.0.1", port)


def test_a_port_that_is_taken_is_the_ports_fault() -> None:
    with listener("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^port {port}: already in use; choose another"):
            listener("localhost", port)
