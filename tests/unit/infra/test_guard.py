"""What strangers' addresses may lead to: the public internet, and what the operator has named."""

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from gatewayz.infra.guard import Guard, GuardedTransport, is_public
from gatewayz.infra.http_client import ConnectFailed, Reply, Timeouts

WAIT = Timeouts(1.0, 1.0)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True), ("127.0.0.1", False), ("0.0.0.0", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False), ("fe80::1", False),
        ("fd00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False),
        ("2002:a00:1::1", False), ("::10.0.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def named(**names: str) -> Any:
    """A look-up that knows these names, and numbers as the system does."""

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host in names:
            return socket.getaddrinfo(names[host], port, type=socket.SOCK_STREAM)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    return look_up


REFUSED = "network of our own"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/x", REFUSED), ("https://2130706433/x", REFUSED), ("https://127.1/x", REFUSED),
        ("https://0177.0.0.1/x", REFUSED), ("https://[::1]/x", REFUSED), ("https://[::ffff:127.0.0.1]/x", REFUSED),
        ("https://inside.example/x", REFUSED), ("http://outside.example/x", "https"), ("file:///etc/passwd", "http"),
        ("https://user@outside.example/x", "user"), ("https://outside.example:0/x", "port"), ("https://", "host"),
    ],
)  # fmt: skip
async def test_what_is_refused_before_a_connection_is_made(url: str, why: str) -> None:
    transport = GuardedTransport(Guard(), look_up=named(**{"inside.example": "10.0.0.7"}))
    try:
        with pytest.raises(ConnectFailed, match=why):
            await transport.get(url, {}, WAIT)
    finally:
        await transport.close()


@pytest.mark.parametrize("allowed", ["inside.example", "127.0.0.1", "127.0.0.0/8"])
async def test_what_the_operator_names_is_let_through(allowed: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: whoever may connect is refused by the system
        port = nobody.getsockname()[1]
        transport = GuardedTransport(Guard([allowed]), look_up=named(**{"inside.example": "127.0.0.1"}))
        try:
            with pytest.raises(ConnectFailed) as failed:
                await transport.get(f"https://inside.example:{port}/x", {}, WAIT)
        finally:
            await transport.close()
    assert REFUSED not in str(failed.value)


def test_one_private_address_among_public_ones_is_enough() -> None:
    infos: Any = [(0, 0, 0, "", (address, 443)) for address in ("93.184.216.34", "10.0.0.1")]
    with pytest.raises(ConnectFailed):
        Guard().admit("h", infos)
    Guard(["10.0.0.1"]).admit("h", infos)
    Guard().admit("h", infos[:1])


class Proxied:
    """A transport that notes what goes through the proxy."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        self.urls.append(url)
        raise ConnectFailed("no proxy here")


async def test_through_a_proxy_what_is_known_to_be_private_is_refused_as_well() -> None:
    proxied: Any = Proxied()
    look_up = named(**{"inside.example": "10.0.0.7", "outside.example": "93.184.216.34"})
    transport = GuardedTransport(Guard(), proxied=proxied, look_up=look_up)
    for host in ("inside.example", "outside.example", "known-to-the-proxy.example"):
        with pytest.raises(ConnectFailed):
            await transport.get(f"https://{host}/x", {}, WAIT)
    await transport.close()
    assert proxied.urls == ["https://outside.example/x", "https://known-to-the-proxy.example/x"]
