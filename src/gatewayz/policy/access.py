"""May this key be used from here, for this? Pure rules over addresses, hosts, scopes and model names.

A restriction that is empty does not restrict. Each check returns None or raises Forbidden with its own code. The parsed
form of a list is kept for the tuple that held it, so a request pays one dictionary look-up and a few comparisons.
"""

import ipaddress
import re
import socket
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from gatewayz.core.errors import Forbidden

# More hops than any real chain of proxies; a longer header is an attempt to cost time.
_MAX_HOPS = 32
UNKNOWN_ADDRESS = "unknown"

_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)"
# Backslash and blanks are excluded: browsers and libraries disagree about the host of such an address.
_URL_HOST = re.compile(rf"https?://(?:[^/?#\\@\s]*@)?({_HOST})(?::[0-9]{{0,5}})?(?:[/?#].*)?", re.I | re.A | re.S)
_LISTED_HOST = re.compile(rf"(?:https?://)?({_HOST})(?::[0-9]{{1,5}})?/?", re.I | re.A)


def check_ip(client_ip: str, entries: tuple[str, ...]) -> None:
    """Returns if `entries` (IPv4 addresses and CIDRs) is empty or holds the address.

    Raises Forbidden ip_not_allowed otherwise; an IPv6 client never passes a list.
    """
    if entries and matching_entry(client_ip, entries) is None:
        raise Forbidden(
            f"This API key may not be used from {client_ip}: the address is not on its IP allowlist.",
            code="ip_not_allowed",
        )


def matching_entry(client_ip: str, entries: tuple[str, ...]) -> str | None:
    """The first entry that holds the IPv4 address, or None."""
    try:
        address = int.from_bytes(socket.inet_pton(socket.AF_INET, client_ip), "big")
    except (OSError, ValueError):
        return None
    for entry, network, mask in _networks(entries):
        if address & mask == network:
            return entry
    return None


def network_text(text: str) -> str:
    """Normal form of an allowlist entry: an IPv4 address or a CIDR range of them.

    Raises ValueError with a sentence for the person who typed it.
    """
    stripped = text.strip()
    if ":" in stripped:
        raise ValueError("IPv6 is not supported in allowlists; give an IPv4 address or range")
    try:
        if "/" not in stripped:
            return str(ipaddress.IPv4Address(stripped))
        network = ipaddress.IPv4Network(stripped, strict=False)
    except ValueError:
        raise ValueError("must be an IPv4 address such as 203.0.113.7 or a range such as 10.0.0.0/24") from None
    if str(network.network_address) != stripped.partition("/")[0]:
        raise ValueError(f"has bits set behind the prefix; did you mean {network}?")
    return str(network)


def check_domain(referer: str | None, origin: str | None, allowed: tuple[str, ...]) -> None:
    """Returns if `allowed` is empty, the caller sent neither header, or the host of Referer (else Origin) is listed.

    Raises Forbidden domain_not_allowed otherwise, also when the header cannot be read. Case and port do not matter.
    """
    if not allowed:
        return
    sent = referer or origin
    if not sent:
        return
    found = _URL_HOST.fullmatch(sent)
    if found is None or found[1].lower() not in _lowered(allowed):
        raise Forbidden(
            "This API key may not be used from this site: its domain is not on the key's list.",
            code="domain_not_allowed",
        )


def host_text(text: str) -> str:
    """Normal form of a listed domain: lower case, IDNA, without scheme and port.

    Raises ValueError with a sentence for the person who typed it.
    """
    stripped = text.strip()
    if "*" in stripped:
        raise ValueError("wildcards are not supported; list each host")
    if not stripped.isascii():
        try:
            stripped = stripped.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("is not a host name") from None
    found = _LISTED_HOST.fullmatch(stripped)
    if found is None or len(found[1]) > 253:
        raise ValueError("must be a host name such as app.example.com")
    return found[1].lower()


def check_scope(scopes: Collection[str], needed: str) -> None:
    """Returns if the key holds the scope. Raises Forbidden insufficient_scope otherwise."""
    if needed not in scopes:
        raise Forbidden(f"This API key lacks the scope {needed}.", code="insufficient_scope")


def check_model(model: str, allowlist: tuple[str, ...]) -> None:
    """Returns if `allowlist` is empty or names the resolved model (case does not matter).

    Raises Forbidden model_not_allowed otherwise.
    """
    if allowlist and model.lower() not in _lowered(allowlist):
        raise Forbidden(f"This API key may not use the model {model}.", code="model_not_allowed", param="model")


def client_address(
    peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted_proxies: tuple[str, ...] = ()
) -> str:
    """Address of the client in normal form (IPv4-mapped IPv6 becomes IPv4).

    `peer` is the other end of the connection, `headers` are lower-case ASGI pairs. Only a peer inside `trusted_proxies`
    is believed: then it is the right-most hop of X-Forwarded-For that is no trusted proxy itself (the left-most if all
    are), or X-Real-IP where that header is absent. Unreadable headers give the peer. A connection without an address
    gives "unknown".
    """
    address = _normal_address(peer) if peer else None
    if address is None:
        return UNKNOWN_ADDRESS
    if not trusted_proxies or not _is_trusted(address, trusted_proxies):
        return address
    forwarded: list[bytes] = []
    real_ip = b""
    for name, value in headers:
        if name == b"x-forwarded-for":
            forwarded.append(value)
        elif name == b"x-real-ip":
            real_ip = value
    if forwarded:
        return _last_stranger(b",".join(forwarded), trusted_proxies) or address
    return (_normal_address(real_ip.decode("latin-1")) if real_ip else None) or address


def _last_stranger(forwarded: bytes, trusted_proxies: tuple[str, ...]) -> str | None:
    hops = forwarded.rsplit(b",", _MAX_HOPS)
    if len(hops) > _MAX_HOPS:
        del hops[0]
    address = None
    for hop in reversed(hops):
        address = _normal_address(hop.decode("latin-1"))
        if address is None or not _is_trusted(address, trusted_proxies):
            return address
    return address


@lru_cache(maxsize=8192)
def _normal_address(text: str) -> str | None:
    """Normal form of an address with or without brackets and port; None if it is none."""
    candidate = text.strip()
    if len(candidate) > 64:
        return None
    if candidate.startswith("["):
        candidate = candidate[1:].partition("]")[0]
    elif candidate.count(":") == 1:
        candidate = candidate.partition(":")[0]
    try:
        address = ipaddress.ip_address(candidate.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


@lru_cache(maxsize=8192)
def _is_trusted(address: str, trusted_proxies: tuple[str, ...]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _proxy_networks(trusted_proxies))


@lru_cache(maxsize=16)
def _proxy_networks(trusted_proxies: tuple[str, ...]) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in trusted_proxies)


@lru_cache(maxsize=4096)
def _networks(entries: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    networks = ((entry, ipaddress.IPv4Network(entry, strict=False)) for entry in entries)
    return tuple((entry, int(network.network_address), int(network.netmask)) for entry, network in networks)


@lru_cache(maxsize=4096)
def _lowered(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(text.lower() for text in texts)
