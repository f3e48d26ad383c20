"""Where may an address lead that somebody else named? Into the public internet, never into our own networks.

What providers answer names addresses, of pictures for one. Whoever can choose such an address could have the gateway read
what only it can reach: the machine's own services, a cloud's credentials. So the addresses behind a name are looked at when
the connection is made, not before: a name may mean another address the next moment.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Mapping, Sequence

import structlog

from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http1.dial import Info, LookUp
from gatewayz.infra.http1.request import parse_url
from gatewayz.infra.http_client import ConnectFailed, Reply, Timeouts, Transport

log = structlog.get_logger(__name__)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Networks that carry an IPv4 address inside an IPv6 one, with the number of bits behind it.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("64:ff9b::/96", 0), ("64:ff9b:1::/96", 0), ("2002::/16", 80), ("::/96", 0))
)


class Guard:
    """Lets public addresses through, and those of the operator's list."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """`allowed` holds host names, addresses and networks (`10.0.0.0/8`) that may be reached although they are private."""
        self._names = frozenset(entry.lower().rstrip(".") for entry in allowed)
        self._networks = tuple(network for entry in allowed if (network := _network(entry)) is not None)

    def names(self, host: str) -> bool:
        """Whether the operator's list names this host or address."""
        if host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def admit(self, host: str, infos: Sequence[Info]) -> None:
        """Returns if each of the addresses of a host may be connected to. Raises ConnectFailed."""
        for info in infos:
            address = ipaddress.ip_address(str(info[4][0]).partition("%")[0])
            if is_public(address):
                continue
            if host not in self._names and not any(address in network for network in self._networks):
                raise ConnectFailed("the address is in a network of our own")
            log.info("ssrf_guard_let_through", host=host, address=str(address))


class GuardedTransport:
    """Fetches what a stranger's address names, through a `Guard`. Only https, except at hosts of the operator's list."""

    def __init__(self, guard: Guard, *, proxied: Transport | None = None, look_up: LookUp | None = None) -> None:
        """`proxied` calls through a proxy, where there is one; `look_up` stands for the event loop's `getaddrinfo`."""
        self._guard = guard
        self._proxied = proxied
        self._look_up = look_up
        self._direct = Http1Transport(look_up=look_up, admit=guard.admit)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """As `Transport.get`; a redirect is a reply like others. Raises TransportError, also for an address that is refused."""
        try:
            address = parse_url(url)
        except ValueError as error:
            raise ConnectFailed(str(error)) from error
        if address.scheme != "https" and not self._guard.names(address.host):
            raise ConnectFailed("the address does not begin with https://")
        if self._proxied is None:
            return await self._direct.get(url, headers, timeouts)
        await self._look(address.host, address.port)
        return await self._proxied.get(url, headers, timeouts)

    async def close(self) -> None:
        """Closes all connections of its own. May be called twice."""
        await self._direct.close()

    async def _look(self, host: str, port: int) -> None:
        """Refuses what is known to be private; a name that only the proxy can look up is the proxy's to judge."""
        look_up = self._look_up or asyncio.get_running_loop().getaddrinfo
        try:
            infos = await look_up(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        self._guard.admit(host, list(infos))


def is_public(address: _Address) -> bool:
    """Whether an address belongs to the public internet, also where it carries another one inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        for network, shift in _CARRIERS:
            if address in network:
                return is_public(ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _network(entry: str) -> _Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
