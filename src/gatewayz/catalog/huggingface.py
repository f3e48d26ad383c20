"""What does Hugging Face say of a model? Asked politely: cached for an hour, never more often than the operator allows.

Nothing of the gateway depends on it: where it does not answer, the answer is that nothing is known.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from gatewayz.catalog.tables import huggingface_models
from gatewayz.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from gatewayz.infra.answers import AnswerCache, key_of
from gatewayz.infra.clock import US_PER_DAY, US_PER_S, Clock, iso
from gatewayz.infra.db import Database
from gatewayz.infra.http_client import Timeouts, Transport, TransportError
from gatewayz.infra.leases import Held, lease

log = structlog.get_logger(__name__)

DEFAULT_ENDPOINT = "https://huggingface.co"
MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
AUTHOR_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")
_WAIT = Timeouts(connect_s=3.0, idle_s=10.0)
_LONGEST_CALL_S = 15.0
# After a failure nobody asks for the same thing again for a while.
_FAILURE_LIFE_S = 60.0
_MOST_FAILURES = 2_000
_REFRESH_US = US_PER_DAY
_PER_TICK = 200
_MOST_FAILURES_IN_TURN = 3
_TURN_US = 60 * US_PER_S
_LEASE = "huggingface"
_MINUTE_S = 60.0
_EXPANDED = (
    "author", "createdAt", "downloads", "downloadsAllTime", "gated", "inferenceProviderMapping", "lastModified",
    "library_name", "likes", "pipeline_tag", "safetensors", "tags",
)  # fmt: skip
_LISTED = ("author", "downloads", "likes", "pipeline_tag", "library_name", "tags", "createdAt", "lastModified")
Facts = Mapping[str, Any]


class HuggingFace:
    """Reads of one process. `facts` is what is stored of the catalog's models, by their names there in lower case."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        clock: Clock,
        answers: AnswerCache,
        *,
        endpoint: str | None,
        token: str | None,
        per_min: int,
        enabled: bool,
    ) -> None:
        self._transport = transport
        self._database = database
        self._clock = clock
        self._answers = answers
        self._endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        self._headers = {"accept": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._per_min = per_min
        self._enabled = enabled
        self._asked: deque[float] = deque()
        self._failed: dict[str, float] = {}
        self.facts: Mapping[str, Facts] = MappingProxyType({})
        self.digest = ""

    async def discovery(self, task: str | None, sort: str, limit: int) -> Any:
        """The most used models, in Hugging Face's own order. Raises as `details`."""
        wanted = {"sort": sort, "direction": "-1", "limit": str(limit)} | ({"pipeline_tag": task} if task else {})
        return [_listed(entry) for entry in _list(await self._get("/api/models", wanted))]

    async def search(self, query: str, limit: int) -> Any:
        """Models that its search finds. Raises as `details`."""
        found = await self._get(
            "/api/models", {"search": query, "sort": "downloads", "direction": "-1", "limit": str(limit)}
        )
        return [_listed(entry) for entry in _list(found)]

    async def models_of(self, author: str, limit: int) -> Any:
        """Models of an author. Raises as `details`."""
        _checked(AUTHOR_NAME, author, "author")
        found = await self._get(
            "/api/models", {"author": author, "sort": "downloads", "direction": "-1", "limit": str(limit)}
        )
        return [_listed(entry) for entry in _list(found)]

    async def details(self, name: str) -> dict[str, Any]:
        """Figures of one model with its author's avatar.

        Raises NotFound, Unavailable `huggingface_unavailable` if it does not answer or too much was asked of it,
        InvalidRequest for what is no name there, Conflict `feature_unavailable` if the operator switched it off.
        """
        _checked(MODEL_NAME, name, "model_id")
        found = await self._get(f"/api/models/{name}", {"expand[]": _EXPANDED})
        if not isinstance(found, dict):
            raise _away()
        stated = found.get("author")
        author: str = stated if isinstance(stated, str) else name.partition("/")[0]
        return _details(name, found) | {"author": author, "avatar_url": await self._avatar(author)}

    async def card(self, name: str) -> str:
        """The model card as it is written, in Markdown. Raises as `details`."""
        _checked(MODEL_NAME, name, "model_id")
        text = await self._get(f"/{name}/raw/main/README.md", {}, as_text=True)
        return str(text)

    async def files(self, name: str) -> Any:
        """Paths and sizes in bytes of its files. Raises as `details`."""
        _checked(MODEL_NAME, name, "model_id")
        found = await self._get(f"/api/models/{name}/tree/main", {"recursive": "true"})
        return [
            {"path": entry["path"], "size_bytes": entry.get("size")}
            for entry in _list(found)
            if isinstance(entry.get("path"), str) and entry.get("type") == "file"
        ]

    async def load(self) -> None:
        """Reads the stored facts. Raises database errors."""
        query = sa.select(huggingface_models).where(huggingface_models.c.found)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        facts = {
            row.id.lower(): {**msgspec.json.decode(row.facts), "fetched_at": iso(row.fetched_at_us)} for row in rows
        }
        if facts != dict(self.facts):
            self.facts = MappingProxyType(facts)
            self.digest = hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()[:24]

    async def enrich(self, names: Iterable[str]) -> int:
        """Fetches a few of these models that were not asked about for a day; returns how many. Raises database errors.

        One process at a time does it; all read what it stored.
        """
        done = 0
        if self._enabled:
            try:
                async with lease(self._database, self._clock, _LEASE):
                    done = await self._enrich(names)
            except Held:
                pass
        await self.load()
        return done

    async def _enrich(self, names: Iterable[str]) -> int:
        horizon_us = self._clock.now_us() - _REFRESH_US
        query = sa.select(huggingface_models.c.id).where(huggingface_models.c.fetched_at_us > horizon_us)
        async with self._database.read() as connection:
            fresh = frozenset((await connection.execute(query)).scalars())
        due = [name for name in dict.fromkeys(names) if name not in fresh and MODEL_NAME.fullmatch(name)]
        done = failures = 0
        # Another beginning each time, so that a few names that always fail do not keep the others waiting.
        first = self._clock.now_us() // _TURN_US % len(due) if due else 0
        for name in (due[first:] + due[:first])[: min(_PER_TICK, max(1, self._per_min // 6))]:
            try:
                facts = await self.details(name)
            except NotFound:
                facts = None
            except Unavailable as error:
                failures += 1
                if failures < _MOST_FAILURES_IN_TURN:
                    continue
                log.info("huggingface_enrichment_paused", reason=error.code)
                break
            await self._store(name, facts)
            done += 1
        return done

    async def _store(self, name: str, facts: dict[str, Any] | None) -> None:
        values = {
            "found": facts is not None,
            "facts": msgspec.json.encode(facts or {}).decode(),
            "fetched_at_us": self._clock.now_us(),
        }
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        insert = dialect.insert(huggingface_models).values(id=name, **values)
        async with self._database.begin() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    async def _avatar(self, author: str) -> str | None:
        for kind in ("organizations", "users"):
            try:
                found = await self._get(f"/api/{kind}/{quote(author)}/overview", {})
            except NotFound:
                continue
            except Unavailable:
                return None
            url = found.get("avatarUrl") if isinstance(found, dict) else None
            if isinstance(url, str):
                return url if url.startswith("https://") else f"{self._endpoint}{url}" if url.startswith("/") else None
        return None

    async def _get(self, path: str, query: Mapping[str, Any], *, as_text: bool = False) -> Any:
        """What an address answers, from the cache if it was asked within the hour."""
        if not self._enabled:
            raise Conflict(
                "Hugging Face is switched off here (setting huggingface_enrichment).", code="feature_unavailable"
            )
        url = f"{self._endpoint}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        failed_until = self._failed.get(url, 0.0)
        if self._clock.monotonic_s() < failed_until:
            raise _away()
        answer = await self._answers.get(key_of(url), lambda: self._fetch(url))
        kind, body = answer.body[:1], answer.body[1:]
        if kind == b"-":
            raise NotFound("Hugging Face has no such thing, or it is private.", code="huggingface_not_found")
        if as_text:
            return body.decode("utf-8", "replace")
        return await asyncio.to_thread(msgspec.json.decode, body) if len(body) > 2**18 else msgspec.json.decode(body)

    async def _fetch(self, url: str) -> bytes:
        """The body behind `+`, or `-` alone for what is not there: that is worth remembering, too."""
        self._count()
        try:
            async with asyncio.timeout(_LONGEST_CALL_S):
                reply = await self._transport.get(url, self._headers, _WAIT)
                try:
                    body = await reply.read() if reply.status == 200 else b""
                finally:
                    reply.close()
            if reply.status in (401, 403, 404):
                return b"-"
            if reply.status != 200:
                raise TransportTrouble(f"HTTP status {reply.status}")
            if "/raw/" not in url:
                msgspec.json.decode(body)
            return b"+" + body
        except (TransportError, TransportTrouble, TimeoutError, msgspec.MsgspecError) as error:
            log.warning("huggingface_failed", error=f"{type(error).__name__}: {error}"[:200])
            if len(self._failed) >= _MOST_FAILURES:
                self._failed.clear()
            self._failed[url] = self._clock.monotonic_s() + _FAILURE_LIFE_S
            raise _away() from error

    def _count(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._asked and self._asked[0] <= now_s - _MINUTE_S:
            self._asked.popleft()
        if len(self._asked) >= self._per_min:
            raise _away("Hugging Face was asked as often as this gateway allows; try again in a minute.")
        self._asked.append(now_s)


class TransportTrouble(Exception):
    """An answer that is none."""


def _checked(form: re.Pattern[str], name: str, param: str) -> None:
    if not form.fullmatch(name):
        raise InvalidRequest(f"{param} is no name at Hugging Face.", param=param, code="invalid_name")


def _away(message: str = "Hugging Face does not answer at the moment.") -> Unavailable:
    return Unavailable(message, code="huggingface_unavailable")


def _list(found: Any) -> list[dict[str, Any]]:
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _listed(entry: dict[str, Any]) -> dict[str, Any]:
    return {"id": entry.get("id") or entry.get("modelId")} | {name: entry.get(name) for name in _LISTED}


def _details(name: str, found: dict[str, Any]) -> dict[str, Any]:
    weights = found.get("safetensors")
    mapping = found.get("inferenceProviderMapping")
    if isinstance(mapping, dict):
        providers = [slug for slug, one in mapping.items() if not isinstance(one, dict) or one.get("status") == "live"]
    elif isinstance(mapping, list):
        entries = (one for one in mapping if isinstance(one, dict) and one.get("status") == "live")
        providers = [one["provider"] for one in entries if isinstance(one.get("provider"), str)]
    else:
        providers = []
    return {
        "id": found.get("id") or name,
        "downloads": found.get("downloads"),
        "downloads_all_time": found.get("downloadsAllTime"),
        "likes": found.get("likes"),
        "parameters": weights.get("total") if isinstance(weights, dict) else None,
        "pipeline_tag": found.get("pipeline_tag"),
        "library": found.get("library_name"),
        "gated": bool(found.get("gated")),
        "tags": [tag for tag in found.get("tags") or () if isinstance(tag, str)],
        "inference_providers": sorted(providers),
        "created_at": found.get("createdAt"),
        "last_modified": found.get("lastModified"),
        "url": f"{DEFAULT_ENDPOINT}/{name}",
    }
