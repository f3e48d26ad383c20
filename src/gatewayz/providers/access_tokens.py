"""Access tokens of service accounts: asked for once, kept while they are good, renewed before they are not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
import structlog

from gatewayz.infra.http_client import Broken, Timeouts, Transport
from gatewayz.providers.service_accounts import ServiceAccount, assertion

log = structlog.get_logger(__name__)

RENEW_BEFORE_S = 300.0  # a token is renewed in the background this long before its end, at the latest at half its life
_MARGIN_S = 30.0  # and not used any more this long before it
_PAUSE_S = 10.0  # between two tries to renew one that is still good
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_HEADERS = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}


class TokenRefused(Exception):
    """The issuer knows the account and gives no token: revoked, disabled, wrong clock. The text is for logs."""


class _Issued(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0


class _Refusal(msgspec.Struct):
    error: str = ""


@dataclass(slots=True)
class _Held:
    token: str
    renew_at_s: float
    good_until_s: float


class AccessTokens:
    """The tokens of this process. Whoever asks while one is being fetched waits for that one."""

    def __init__(self, transport: Transport, timeouts: Timeouts, now_s: Callable[[], float]) -> None:
        """`now_s` is seconds since the epoch: the issuer compares it with its own clock."""
        self._transport = transport
        self._timeouts = timeouts
        self._now_s = now_s
        self._held: dict[ServiceAccount, _Held] = {}
        self._asking: dict[ServiceAccount, asyncio.Task[str]] = {}

    async def token(self, account: ServiceAccount) -> str:
        """A token that is good now. Raises TokenRefused, TransportError."""
        held, now_s = self._held.get(account), self._now_s()
        if held is not None and now_s < min(held.renew_at_s, held.good_until_s):
            return held.token
        asking = self._asking.get(account)
        if asking is None:
            asking = self._asking[account] = asyncio.get_running_loop().create_task(self._ask(account))
            asking.add_done_callback(lambda task: self._asked(account, task))
        if held is not None and now_s < held.good_until_s:
            return held.token
        return await asyncio.shield(asking)  # others wait for the same answer

    def forget(self, account: ServiceAccount, token: str) -> None:
        """Drops a token that a provider refused, so that the next request asks for a new one."""
        held = self._held.get(account)
        if held is not None and held.token == token:
            del self._held[account]

    async def _ask(self, account: ServiceAccount) -> str:
        now_s = self._now_s()
        claim = await asyncio.to_thread(assertion, account, now_s)
        body = urlencode({"grant_type": _GRANT, "assertion": claim}).encode()
        reply = await self._transport.post(account.token_uri, _HEADERS, body, self._timeouts)
        try:
            answer = await reply.read()
        finally:
            reply.close()
        if reply.status >= 500 or reply.status == 429:
            raise Broken(f"the issuer of tokens answered {reply.status}")
        if reply.status != 200:
            raise TokenRefused(f"the issuer of tokens answered {reply.status} {_word_of(answer)}".strip())
        try:
            issued = msgspec.json.decode(answer, type=_Issued)
        except msgspec.MsgspecError as error:
            raise Broken("the issuer of tokens gave an answer that is none") from error
        life_s = issued.expires_in
        renew_s, good_s = max(life_s - RENEW_BEFORE_S, life_s / 2), max(life_s - _MARGIN_S, life_s * 0.9)
        self._held[account] = _Held(issued.access_token, now_s + renew_s, now_s + good_s)
        return issued.access_token

    def _asked(self, account: ServiceAccount, task: "asyncio.Task[str]") -> None:
        self._asking.pop(account, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.warning("access_token_not_issued", account=account.email, reason=str(error)[:200])
        held = self._held.get(account)
        if held is not None:
            held.renew_at_s = self._now_s() + _PAUSE_S


def _word_of(answer: bytes) -> str:
    """The issuer's own word for a refusal; its sentences may hold identities."""
    try:
        return msgspec.json.decode(answer, type=_Refusal).error[:60]
    except msgspec.MsgspecError:
        return ""
