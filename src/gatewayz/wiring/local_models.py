"""Models of local servers in the catalog: free of charge, under the server's slug, as long as the server lists them."""

import structlog

from gatewayz.catalog import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.seed import TOPIC
from gatewayz.catalog.store import write_source
from gatewayz.infra.changes import announce
from gatewayz.infra.clock import Clock
from gatewayz.infra.db import Database
from gatewayz.infra.http_client import Transport
from gatewayz.providers.discovery import models_of
from gatewayz.providers.registry import Providers

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 30.0
# What such a server's model can do is known to nobody beforehand: everything in text is let through to it.
_ABILITIES = ("streaming", "tools", "json_object", "json_schema", "reasoning", "vision", "logprobs")


class LocalModels:
    """Looks at the local servers now and then, and writes what changed."""

    def __init__(self, database: Database, transport: Transport, clock: Clock) -> None:
        self._database = database
        self._transport = transport
        self._clock = clock
        self._known: dict[str, tuple[str, ...]] = {}
        self._written: dict[str, tuple[str, ...]] | None = None

    async def look(self, providers: Providers) -> bool:
        """Asks every local server once; returns whether the catalog changed. A server that is away keeps its models."""
        local = [provider for provider in providers.all() if provider.local]
        slugs = {provider.slug for provider in local}
        self._known = {slug: names for slug, names in self._known.items() if slug in slugs}
        for provider in local:
            names = await models_of(self._transport, provider)
            if names is not None:
                self._known[provider.slug] = names
        if self._known == self._written or (not self._known and self._written is None and not local):
            return False
        now_us = self._clock.now_us()
        changed = 0
        async with self._database.begin() as connection:
            for slug in sorted(set(self._known) | set(self._written or ())):
                records = [_record(slug, name) for name in self._known.get(slug, ())]
                changed += await write_source(connection, f"feed:{slug}", records, now_us)
            if changed:
                await announce(connection, TOPIC, "local", now_us)
        self._written = dict(self._known)
        log.info("local_models", **{slug: len(names) for slug, names in self._known.items()})
        return changed > 0


def _record(slug: str, name: str) -> ModelRecord:
    return ModelRecord(
        id=f"{slug}/{name}:free",
        name=name,
        vendor=slug,
        kind="chat",
        modality="text+image->text",
        capabilities=dict.fromkeys(_ABILITIES, True),
        status="active",
        offers=(OfferRecord(provider=slug, native_id=name, price=PriceRecord(0, 0), stated_by=f"{slug} model list"),),
    )
