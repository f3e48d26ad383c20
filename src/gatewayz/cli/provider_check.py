"""Tries one provider for real, step by step, and says in words what is wrong and what to do about it."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gatewayz.billing.pricing import cost
from gatewayz.catalog import Catalog
from gatewayz.cli.provider_trial import Trial, choose
from gatewayz.core.usage import Usage
from gatewayz.dialects import DIALECTS, PROVIDER_DIALECTS, bridge
from gatewayz.dialects.base import AnswerFacts, StreamFacts, Voice
from gatewayz.gateway.attempts import SILENT_FINISHES
from gatewayz.infra.http_client import Reply, Timeouts, Transport, TransportError, trust_store
from gatewayz.providers.client import Unsigned, Upstreams
from gatewayz.providers.discovery import list_url, listed_names
from gatewayz.providers.failures import Failure, FailureKind, classify
from gatewayz.providers.profile import Provider

_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried. `ok` None: it could not be, or says nothing about the provider. Times are seconds."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""
    took_s: float | None = None


@dataclass(slots=True)
class Report:
    """What came of one provider at one location; `cost` is nano-USD by its own counts, None if they are unknown."""

    provider: Provider
    steps: list[Step] = field(default_factory=list)
    trial: Trial | None = None
    first_token_s: float | None = None
    cost: int | None = None
    usage_reported: bool | None = None

    @property
    def failed(self) -> bool:
        """True if something failed."""
        return any(step.ok is False for step in self.steps)

    @property
    def ok(self) -> bool:
        """True if nothing failed and both chats were answered; at a provider without chats, if its list came."""
        if not self.provider.chats:
            return not self.failed and any(step.ok for step in self.steps)
        answered = sum(step.ok is True for step in self.steps if step.name in ("plain", "stream"))
        return answered == 2 and not self.failed


class Checker:
    """Checks providers: `look`, then `ask`. `wanted` is the model to ask for; `limit_s` bounds each step."""

    def __init__(
        self,
        upstreams: Upstreams,
        transport: Transport,
        catalog: Catalog,
        *,
        wanted: str | None,
        limit_s: float,
        timeouts: Timeouts,
        through_proxy: bool,
    ) -> None:
        self._upstreams = upstreams
        self._transport = transport
        self._catalog = catalog
        self._wanted = wanted
        self._limit_s = limit_s
        self._timeouts = timeouts
        self._through_proxy = through_proxy

    async def look(self, provider: Provider) -> Report:
        """What costs nothing: address, credential, list of models; and the model to ask next. Raises nothing of the network."""
        report = Report(provider)
        if not provider.simulated and not await self._address(report):
            return report
        listed = await self._models(report)
        if report.failed:
            return report
        if not provider.chats:
            services = ", ".join(provider.ways) or "nothing"
            report.steps.append(Step("plain", None, f"not tried: it is not asked for chats, but for {services}"))
            return report
        report.trial = choose(self._catalog, provider, self._wanted, listed)
        if report.trial is None:
            remedy = "name one with --model, or write a [[models]] entry with an offer of it"
            report.steps.append(Step("plain", False, "no model is known to be served there", remedy))
        return report

    async def ask(self, report: Report) -> None:
        """Two small chats, plain and streamed, noted in the report; none if looking has failed. Raises as `look`."""
        trial = report.trial
        if trial is None or report.failed:
            return
        usages = []
        for stream in (False, True):
            usages.append(await self._chat(report, trial, stream=stream))
            if report.failed:
                return
        report.usage_reported = all(usage is not None for usage in usages)
        if trial.price is not None and report.usage_reported:
            report.cost = sum(cost(trial.price, usage) for usage in usages if usage is not None)

    async def _address(self, report: Report) -> bool:
        if self._through_proxy:
            report.steps.append(Step("address", None, "calls go through the proxy of the environment"))
            return True
        parts = urlsplit(report.provider.url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        began_s = time.perf_counter()
        connected = False
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                _, writer = await asyncio.open_connection(host, port)
                connected = True
                try:
                    if secure:
                        await writer.start_tls(trust_store(), server_hostname=host)
                finally:
                    writer.close()
        except (OSError, TimeoutError, ssl.SSLError) as error:
            report.steps.append(_no_connection(host, port, error, connected=connected))
            return False
        told = f"{host}:{port}, {'TLS' if secure else 'without TLS'}"
        report.steps.append(Step("address", True, told, took_s=time.perf_counter() - began_s))
        return True

    async def _models(self, report: Report) -> frozenset[str] | None:
        """The provider's own list; None where there is none to be had, which proves nothing."""
        provider = report.provider
        url = list_url(provider)
        if url is None:
            report.steps.append(Step("models", None, "it has no list to be asked for"))
            return None
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._limit_s):
                reply = await self._transport.get(url, provider.headers, self._timeouts)
                try:
                    body = await reply.read()
                finally:
                    reply.close()
            if reply.status in (401, 403):
                report.steps.append(_failed("models", _refused(provider, reply, body), report))
                return None
            names = listed_names(provider, body) if reply.status == 200 else None
        except (TransportError, TimeoutError, ValueError) as error:
            report.steps.append(Step("models", None, f"no list: {type(error).__name__}"))
            return None
        if names is None:
            report.steps.append(Step("models", None, f"no list there (status {reply.status})"))
            return None
        took_s = time.perf_counter() - began_s
        report.steps.append(Step("models", True, f"{len(names)} listed", took_s=took_s))
        return names

    async def _chat(self, report: Report, trial: Trial, *, stream: bool) -> Usage | None:
        """One small chat; its step is noted. The usage that was reported, None if none was."""
        name = "stream" if stream else "plain"
        began_s = time.perf_counter()
        facts = await self._outcome(report, trial, began_s, stream=stream)
        if isinstance(facts, _Refusal):
            report.steps.append(_failed(name, facts, report))
            return None
        report.steps.append(_answered(name, trial, facts, report, time.perf_counter() - began_s))
        return facts.usage

    async def _outcome(
        self, report: Report, trial: Trial, began_s: float, *, stream: bool
    ) -> "AnswerFacts | StreamFacts | _Refusal":
        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._limit_s):
                reply = await self._upstreams.open(
                    trial.provider,
                    trial.provider.chat_way,
                    trial.body(stream=stream),
                    stream=stream,
                    request_id="gatewayz-check",
                    native_id=trial.target.native_id,
                )
                if reply.status != 200:
                    return _refused(trial.provider, reply, await reply.read())
                if stream:
                    return await self._read_stream(report, trial, reply, began_s)
                body = await reply.read()
        except TimeoutError:
            return _Refusal(Failure(FailureKind.TIMEOUT))
        except TransportError as error:
            return _Refusal(classify(None, None, {}, error))
        finally:
            if reply is not None:
                reply.close()
        try:
            return PROVIDER_DIALECTS[trial.provider.dialect].read_answer(body)[1]
        except ValueError:
            return _refused(trial.provider, reply, body)

    async def _read_stream(
        self, report: Report, trial: Trial, reply: Reply, began_s: float
    ) -> "StreamFacts | _Refusal":
        voice = Voice(trial.model, "gatewayz-check", 0, include_usage=True)
        theirs = PROVIDER_DIALECTS[trial.provider.dialect]
        relayed = bridge(DIALECTS["openai"], theirs, voice, trial.target, lambda _usage: 0)
        facts = relayed.facts
        while chunk := await reply.next_chunk():
            relayed.feed(chunk)
            if facts.started and report.first_token_s is None:
                report.first_token_s = time.perf_counter() - began_s
        relayed.close()
        if facts.error is not None:
            return _Refusal(classify(facts.error.status, facts.error, {}, None), facts.error.message)
        return facts


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A step that failed: what kind of failure, in whose words. `unsigned`: no access token was issued for it."""

    failure: Failure
    words: str = ""
    unsigned: bool = False


def _refused(provider: Provider, reply: Reply, body: bytes) -> _Refusal:
    told = PROVIDER_DIALECTS[provider.dialect].read_error(body)
    if reply.status == 200 and not (told.kind or told.code or told.status):
        return _Refusal(Failure(FailureKind.MALFORMED))
    return _Refusal(classify(reply.status, told, reply.headers, None), told.message, isinstance(reply, Unsigned))


def _answered(name: str, trial: Trial, facts: AnswerFacts | StreamFacts, report: Report, took_s: float) -> Step:
    empty = facts.empty if isinstance(facts, AnswerFacts) else not facts.started
    if empty and facts.finish not in SILENT_FINISHES:
        return Step(name, False, f"{trial.target.native_id} answered without a word", "try another one with --model")
    usage = facts.usage
    counted = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage is not None else "no usage reported"
    first = ""
    if name == "stream" and report.first_token_s is not None:
        first = f"first content after {report.first_token_s * 1000:.0f} ms, "
    remedy = "" if usage is not None else "answers are charged by an estimate; see the quirk stream_options"
    return Step(name, True, f"{trial.target.native_id}: {first}{counted}", remedy, took_s)


_LOOK_AT_NAME = "look the model's name at this provider up, or try another one with --model"
_WORDS: Mapping[FailureKind, tuple[str, str]] = {
    FailureKind.CALLER: ("it refused the request", "try another model with --model; its quirks may be wrong here"),
    FailureKind.CONTEXT_LENGTH: ("it found the request too long", "try another model with --model"),
    FailureKind.CONTENT_POLICY: ("it refused the content", "try another model with --model"),
    FailureKind.CREDENTIALS: (
        "the credential was refused",
        "check {credential}: is it this provider's, and still active?",
    ),
    FailureKind.CREDIT: ("the account there has no credit left", "add credit at {site}"),
    FailureKind.MODEL_GONE: ("it does not serve {model} to this account", _LOOK_AT_NAME),
    FailureKind.TIMEOUT: ("it was silent for too long", "try again, or allow more with --timeout"),
    FailureKind.BUSY: ("a rate limit or quota is used up", "wait, or raise the quota at {site}"),
    FailureKind.FAULT: (
        "it failed, or the address is not that of its API",
        "check base_url; otherwise try again later",
    ),
    FailureKind.OVERLOADED: ("it has no capacity at the moment", "try again later"),
    FailureKind.CONNECTION: ("the connection broke off", "try again; check proxies and firewalls on the way"),
    FailureKind.EMPTY: ("it answered without a word", "try another model with --model"),
    FailureKind.MALFORMED: ("its answer cannot be read", "check dialect and base_url"),
    FailureKind.MID_STREAM: ("its answer broke off", "try again"),
}


def _failed(name: str, refusal: _Refusal, report: Report) -> Step:
    provider, failure = report.provider, refusal.failure
    if refusal.unsigned:
        remedy = "check the key file of the service account, its rights, and this machine's clock"
        return Step(name, False, "no access token was issued for the service account", remedy)
    what, remedy = _WORDS[failure.kind]
    model = report.trial.target.native_id if report.trial is not None else "the model"
    filled = {"credential": _credential(provider), "site": provider.site_url or "the provider's site", "model": model}
    status = f" (status {failure.status})" if failure.status is not None else ""
    own = _without_secrets(provider, refusal.words) or (failure.reason if failure.status is None else "")
    return Step(name, False, what.format(**filled) + status + (f": {own}" if own else ""), remedy.format(**filled))


def _credential(provider: Provider) -> str:
    if provider.account is not None:
        return "the service account"
    if provider.aws is not None:
        return "the pair of AWS keys"
    return f"the key of {provider.slug}"


def _without_secrets(provider: Provider, text: str) -> str:
    """The provider's own words on one line, without any credential that they repeat."""
    for value in provider.headers.values():
        secret = value.removeprefix("Bearer ").strip()
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    return " ".join(text.split())[:_SHOWN_CHARS]


def _no_connection(host: str, port: int, error: Exception, *, connected: bool) -> Step:
    where = f"{host}:{port}"
    match error:
        case socket.gaierror():
            told = (f"DNS: the name {host} is not known", "check base_url, and the resolver of this machine")
        case ssl.SSLCertVerificationError():
            remedy = "check base_url; for a private certificate authority set SSL_CERT_FILE"
            told = (f"TLS: the certificate of {where} is not trusted: {error.verify_message}", remedy)
        case _ if connected:
            told = (f"TLS: {where} does not speak it", "check scheme and port of base_url")
        case ConnectionRefusedError():
            told = (f"{where} refuses the connection", "is it running? check host and port of base_url")
        case TimeoutError():
            told = (f"{where} does not answer", "check firewalls on the way, and connect_timeout_s")
        case _:
            told = (f"{where} cannot be reached: {type(error).__name__}", "check the network and base_url")
    return Step("address", False, *told)
