"""What stands on the shelf now: the served models with their ready entries, shared by all pages about the catalog.

A shelf is made once per catalog, set of providers and standing; its entries are encoded once. Pages are kept as bytes
under keys that name all of these, so that a change of any of them is a new page at once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import msgspec
from fastapi import Request, Response

from gatewayz.api.public.model_entry import Standing, openai_entry, standing_of
from gatewayz.catalog import Catalog, CatalogKeeper
from gatewayz.catalog.huggingface import HuggingFace
from gatewayz.catalog.listing import Served, served
from gatewayz.catalog.search import SearchIndex
from gatewayz.catalog.snapshot import Reach
from gatewayz.infra.answers import Answer, AnswerCache, key_of
from gatewayz.operations.traffic import Traffic
from gatewayz.routing.breakers import Breakers

CACHE_CONTROL = "public, max-age=300"
_KEPT_SHELVES = 3


class Providers(Protocol):
    """What the pages ask of the configured providers."""

    def active_slugs(self) -> frozenset[str]: ...

    def reach(self) -> Reach: ...


class House(Protocol):
    """What the pages need of `app.state.house`."""

    @property
    def catalog(self) -> CatalogKeeper: ...

    @property
    def providers(self) -> Providers: ...

    @property
    def answers(self) -> AnswerCache: ...

    @property
    def traffic(self) -> Traffic: ...

    @property
    def breakers(self) -> Breakers: ...

    @property
    def huggingface(self) -> HuggingFace: ...


class Shelf:
    """The served models at one moment."""

    def __init__(self, catalog: Catalog, reach: Reach | None, standing: Standing) -> None:
        self.catalog = catalog
        self.standing = standing
        self.rows = served(catalog, reach)
        self._by_id = {row.model.id.lower(): row for row in self.rows}
        self._encoded: dict[str, msgspec.Raw] = {}
        self._index: SearchIndex | None = None
        self._lock = Lock()

    def row(self, model_id: str) -> Served | None:
        """The row of a canonical id, any case."""
        return self._by_id.get(model_id.lower())

    def entry(self, row: Served) -> msgspec.Raw:
        """The entry of a row, encoded once unless a filter took some of its offers away."""
        if self._by_id.get(row.model.id.lower()) is not row:
            return msgspec.Raw(msgspec.json.encode(openai_entry(row, self.standing)))
        found = self._encoded.get(row.model.id)
        if found is None:
            found = self._encoded[row.model.id] = msgspec.Raw(msgspec.json.encode(openai_entry(row, self.standing)))
        return found

    def index(self) -> SearchIndex:
        """The search index, built at the first search."""
        with self._lock:
            if self._index is None:
                self._index = SearchIndex(self.rows)
            return self._index


@dataclass(frozen=True, slots=True)
class View:
    """A shelf, and what is known of its models at this moment."""

    shelf: Shelf
    standing: Standing

    @property
    def rows(self) -> tuple[Served, ...]:
        """All served models, by id."""
        return self.shelf.rows


# The shelves of this moment and of the one before: requests that are under way may still read the latter.
_shelves: OrderedDict[Any, Shelf] = OrderedDict()
_making = Lock()


def _shelf(catalog: Catalog, reach: Reach | None, standing: Standing, mark: str) -> Shelf:
    with _making:
        key = (catalog.version, reach, mark)
        found = _shelves.get(key)
        if found is None or found.catalog is not catalog:
            found = _shelves[key] = Shelf(catalog, reach, standing)
            while len(_shelves) > _KEPT_SHELVES:
                _shelves.popitem(last=False)
        return found


async def page(
    request: Request,
    kind: str,
    wanted: Any,
    build: Callable[[View], Any],
    *,
    everything: bool = False,
    figures: bool = False,
    shared: bool = True,
) -> Response:
    """The answer that `build` makes of the shelf, kept for `kind` and `wanted`; 304 for a client that has it.

    `build` runs in a thread, so it must only read. `everything`: also what providers offer that are not configured here.
    `figures`: the page shows recorded use, and is new whenever that is. `shared` as in `AnswerCache.get`. Raises what
    `build` raises.
    """
    house: House = request.app.state.house
    catalog = house.catalog.current
    reach = None if everything else house.providers.reach()
    standing = standing_of(house.breakers.states(), house.traffic.current, house.huggingface.facts)
    health = key_of(
        sorted(standing.paused), sorted(standing.probed), standing.usage.health_digest, house.huggingface.digest
    )

    def make() -> bytes:
        return msgspec.json.encode(build(View(_shelf(catalog, reach, standing, health), standing)))

    depends = (health, standing.usage.digest if figures else "")
    key = key_of(catalog.version, None if reach is None else sorted(reach), depends, kind, wanted)
    # Ten thousand models take long enough to be felt by every request on the loop.
    answer = await house.answers.get(key, lambda: asyncio.to_thread(make), shared=shared)
    return respond(request, answer)


def respond(request: Request, answer: Answer) -> Response:
    """The response with its entity tag, or 304 if the client has it."""
    headers = {"ETag": answer.etag, "Cache-Control": CACHE_CONTROL, "Vary": "anthropic-version, x-goog-api-key"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if answer.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type="application/json", headers=headers)


def listing(rows: Sequence[Any], total: int, limit: int | None, offset: int) -> dict[str, Any]:
    """A list with the members of every list of this API, and OpenAI's mark."""
    return {
        "object": "list",
        "data": rows,
        "total": total,
        "returned": len(rows),
        "limit": limit,
        "offset": offset,
        "has_more": offset + len(rows) < total,
    }


def cut(rows: Sequence[Any], limit: int | None, offset: int) -> Sequence[Any]:
    """The rows of one page."""
    return rows[offset : None if limit is None else offset + limit]
