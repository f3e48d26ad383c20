"""AWS Signature Version 4: the headers that prove who sends a request. A pure function of the request, keys and time."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
# What proxies may change on the way is not signed.
_SIGNED = frozenset({"content-type", "host"})


@dataclass(frozen=True, slots=True)
class AwsKeysRule:
    """Which variables hold the keys of a provider that AWS signs for, best first, and what AWS calls the service."""

    access_key: tuple[str, ...]
    secret_key: tuple[str, ...]
    session_token: tuple[str, ...]
    service: str

    @property
    def names(self) -> tuple[str, ...]:
        """The variables without which there is no signature."""
        return (f"{' or '.join(self.access_key)} with {' or '.join(self.secret_key)}",)


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """One set of keys for one service in one region; `session_token` is there for temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    service: str
    region: str
    session_token: str | None = field(default=None, repr=False)


def signed_headers(
    keys: AwsKeys, method: str, url: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> dict[str, str]:
    """`headers` with date, session token and signature; an `authorization` among them is replaced.

    `now_s` is seconds since the epoch: AWS refuses what is more than five minutes off its own clock. `url` must be as it
    goes on the wire.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    signed = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    signed["x-amz-date"] = moment
    if keys.session_token is not None:
        signed["x-amz-security-token"] = keys.session_token
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    canonical = {"host": _without_usual_port(host, parts.scheme)}
    for name, value in signed.items():
        lower = name.lower()
        if lower in _SIGNED or lower.startswith("x-amz-"):
            canonical[lower] = " ".join(value.split())
    names = ";".join(sorted(canonical))
    request = "\n".join(
        (
            method,
            quote(parts.path or "/", safe="/~"),
            _query(parts.query),
            *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{keys.region}/{keys.service}/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(keys, moment[:8]), text.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _key(keys: AwsKeys, day: str) -> bytes:
    key = f"AWS4{keys.secret_key}".encode()
    for part in (day, keys.region, keys.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _query(query: str) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _without_usual_port(host: str, scheme: str) -> str:
    return host.removesuffix(":443" if scheme == "https" else ":80")
