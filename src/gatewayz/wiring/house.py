"""One process of the product: every room made and joined, its background loops, its beginning and its end."""

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog

from gatewayz import __version__
from gatewayz.accounts import Authenticator
from gatewayz.accounts import audit as audit_trail
from gatewayz.accounts.audit import Entry, Origin
from gatewayz.api.public.metrics import refresh
from gatewayz.billing.bank import Bank
from gatewayz.billing.books import Books
from gatewayz.billing.cashier import Cashier
from gatewayz.billing.journal import Journal
from gatewayz.billing.nightly import Nightly
from gatewayz.billing.recall import TOPIC as LEASE_TOPIC
from gatewayz.billing.recall import Recall
from gatewayz.billing.store import Store
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.sweep import Sweeper
from gatewayz.billing.writer import Writer
from gatewayz.catalog import CatalogKeeper
from gatewayz.catalog.huggingface import HuggingFace
from gatewayz.catalog.sync import Syncer
from gatewayz.core.errors import GatewayError
from gatewayz.core.money import nano_from_usd
from gatewayz.gateway.entry import Doorkeeper
from gatewayz.gateway.exploring import Exploring
from gatewayz.gateway.keeping import Keeping
from gatewayz.gateway.pipeline import Gateway, Rooms
from gatewayz.gateway.replay import Replays
from gatewayz.gateway.staying import Staying
from gatewayz.infra.alarms import Alarms
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import Clock, SystemClock
from gatewayz.infra.crypto import KeyRing, derive_pepper
from gatewayz.infra.db import Database
from gatewayz.infra.guard import Guard, GuardedTransport
from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Timeouts, Transport
from gatewayz.infra.redis import RedisLink
from gatewayz.infra.tasks import end as end_tasks
from gatewayz.infra.telemetry import Metrics, RequestLog
from gatewayz.operations.traffic import Traffic
from gatewayz.policy.limits import Limiter
from gatewayz.providers.client import Upstreams
from gatewayz.providers.registry import Providers
from gatewayz.providers.simulated import Simulated
from gatewayz.routing.breaker_state import BreakerConfig, BreakerState
from gatewayz.routing.breakers import Breakers
from gatewayz.settings import ConfigurationError, Settings
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.local_models import LOOK_EVERY_S, LocalModels
from gatewayz.wiring.observe import Observer

log = structlog.get_logger(__name__)

_HUGGINGFACE_ENTRIES = 500
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy")


@dataclass(slots=True)
class House:
    """The joined rooms of one process; what `request.app.state.house` is."""

    configuration: Configuration
    settings: Settings
    clock: Clock
    database: Database
    ring: KeyRing
    feed: ChangeFeed
    redis: RedisLink
    limiter: Limiter
    breakers: Breakers
    authenticator: Authenticator
    catalog: CatalogKeeper
    providers: Providers
    billing: Bank
    writer: Writer
    cashier: Cashier
    sweeper: Sweeper
    nightly: Nightly
    transport: Transport
    local_models: LocalModels
    keeping: Keeping
    alarms: Alarms
    metrics: Metrics
    requests: RequestLog
    started_at_us: int
    traffic: Traffic
    answers: AnswerCache
    huggingface_answers: AnswerCache
    upstreams: Upstreams = field(init=False)
    gateway: Gateway = field(init=False)
    syncer: Syncer = field(init=False)
    huggingface: HuggingFace = field(init=False)
    _loops: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Loads what requests need and starts the background loops. The database must be migrated and seeded."""
        await self.feed.start()
        await self.catalog.load()
        await self.redis.start()
        every = self._every
        self._loops = [
            asyncio.create_task(loop, name=name)
            for name, loop in (
                ("changes", self.feed.run()),
                ("redis", self.redis.run()),
                ("limits", self.limiter.run()),
                ("breakers", self.breakers.run()),
                ("leases", every(self.settings.lease_s / 4, self.cashier.tend)),
                ("sweep", every(5.0, self.sweeper.sweep)),
                ("journals", every(15.0, self.writer.adopt_orphans, at_once=True)),
                ("purge", every(300.0, self.sweeper.purge)),
                ("kept-answers", every(300.0, self.keeping.purge)),
                ("reconcile", every(60.0, self.nightly.tick, at_once=True)),
                ("changes-purge", every(600.0, self.feed.purge)),
                ("key-use", every(2.0, self.authenticator.flush_last_used)),
                ("gauges", every(1.0, self._refresh_gauges)),
                ("traffic", every(1.0, self.traffic.tick, at_once=True)),
                ("huggingface", every(60.0, self._enrich, at_once=True)),
                ("model-sync", every(5.0, self.syncer.tick)),
                ("local-models", every(LOOK_EVERY_S, self.look_at_local_servers, at_once=True)),
            )
        ]

    async def stop(self) -> None:
        """Ends the loops, returns leases, writes what waits, closes connections. May be called twice."""
        loops, self._loops = self._loops, []
        await end_tasks(loops)
        await self.syncer.close()
        await self.cashier.close()
        await self.writer.close()
        try:
            await self.authenticator.flush_last_used()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("key_use_not_written", error=type(error).__name__)
        await self.breakers.flush()
        await self.limiter.close()
        await self.catalog.close()
        await self.upstreams.close()
        await self.transport.close()
        await self.redis.close()
        await self.database.close()
        self.requests.flush()
        self.metrics.tally.flush()

    async def audit(
        self, action: str, *, resource: str, origin: Origin, before: Mapping[str, Any] | None = None
    ) -> None:
        """Writes one entry of the audit trail; raises database errors if it cannot."""
        entry = Entry(self.clock.now_us(), action, resource, origin, before=before, severity="medium")
        async with self.database.begin() as connection:
            await audit_trail.append(connection, "audit", entry)

    def reload_providers(self, _subject: str = "") -> None:
        """Reads the configuration again and swaps the providers; an invalid file changes nothing."""
        try:
            fresh = load_configuration(self.configuration.environment)
        except ConfigurationError as error:
            log.error("configuration_refused", mistakes=[str(mistake) for mistake in error.mistakes])
            return
        self.configuration = fresh
        self.providers = fresh.providers
        for slug, config in breaker_configs(fresh.providers, self.settings).items():
            self.breakers.configure(slug, config)
        self.catalog.refresh()
        log.info("configuration_applied", providers=sorted(fresh.providers.active_slugs()))

    async def look_at_local_servers(self) -> bool:
        """Asks the local servers what they have; returns whether the catalog changed."""
        return await self.local_models.look(self.providers)

    async def _enrich(self) -> None:
        catalog, slugs = self.catalog.current, self.providers.active_slugs()
        there = [model for model in catalog.models.values() if model.huggingface_id]
        await self.huggingface.enrich(
            model.huggingface_id for model in there if model.huggingface_id and catalog.served_by(model.id, slugs)
        )

    def forget_answers(self, _subject: str = "") -> None:
        """Empties the caches of this process."""
        self.answers.forget()
        self.huggingface_answers.forget()
        self.authenticator.forget_all()

    async def _refresh_gauges(self) -> None:
        refresh(self)

    async def _every(self, pause_s: float, act: Callable[[], Awaitable[object]], *, at_once: bool = False) -> None:
        """Acts again and again; a database that is away is tried again at the same pace."""
        wait_s = 0.0 if at_once else pause_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = pause_s
            try:
                await act()
            except (sa.exc.SQLAlchemyError, OSError, GatewayError) as error:
                log.warning("background_act_failed", act=getattr(act, "__qualname__", "?"), error=type(error).__name__)


def breaker_configs(providers: Providers, settings: Settings) -> dict[str, BreakerConfig]:
    """Thresholds of the providers that have their own."""
    default = BreakerConfig.from_settings(settings)
    configs = {}
    for provider in providers.all():
        own = provider.breaker
        configs[provider.slug] = BreakerConfig(
            failures=own.failures if own.failures is not None else default.failures,
            cooldown_s=own.cooldown_s if own.cooldown_s is not None else default.cooldown_s,
            successes=own.successes if own.successes is not None else default.successes,
            half_open_concurrency=(
                own.half_open_concurrency if own.half_open_concurrency is not None else default.half_open_concurrency
            ),
        )
    return configs


def build_house(
    configuration: Configuration,
    secret_keys: tuple[str, ...],
    *,
    clock: Clock | None = None,
    transport: Transport | None = None,
) -> House:
    """Every room of one process, joined; nothing is running and nothing is connected yet."""
    settings, environment = configuration.settings, configuration.environment
    clock = clock or SystemClock()
    database = Database(environment.database_url)
    pepper = derive_pepper(secret_keys[-1])
    ring = KeyRing(secret_keys, pepper)
    redis = RedisLink(environment.redis_url, clock)
    limiter = Limiter(settings, clock, redis, salt=pepper)
    breakers = Breakers(settings, clock, redis, breaker_configs(configuration.providers, settings))
    feed = ChangeFeed(database, clock)
    authenticator = Authenticator(database, ring, clock, settings)
    authenticator.listen(feed)
    catalog = CatalogKeeper(database, clock, feed, free_model_allowlist=settings.free_model_allowlist)
    process_id = secrets.token_hex(6)
    writer = Writer(_store(database, settings, clock), Journal(environment.home / "journal", process_id))
    cashier = Cashier(writer, settings, clock, process_id, Recall(database, clock))
    feed.on(LEASE_TOPIC, cashier.heard_recall)
    if transport is None:
        transport = choose_transport(settings, environment.variables)
    metrics = Metrics()
    house = House(
        configuration=configuration,
        settings=settings,
        clock=clock,
        database=database,
        ring=ring,
        feed=feed,
        redis=redis,
        limiter=limiter,
        breakers=breakers,
        authenticator=authenticator,
        catalog=catalog,
        providers=configuration.providers,
        billing=Bank(settings),
        writer=writer,
        cashier=cashier,
        sweeper=Sweeper(database, writer, clock),
        nightly=Nightly(database, clock, metrics.reconciliation_drifts.set),
        transport=transport,
        local_models=LocalModels(database, transport, clock),
        keeping=Keeping(database, ring, clock),
        alarms=Alarms(),
        metrics=metrics,
        requests=RequestLog(sys.stderr.buffer, settings.log_level, as_json=environment.app_env != "development"),
        started_at_us=clock.now_us(),
        traffic=Traffic(database, clock),
        answers=AnswerCache("catalog", redis, clock, **_answers_of_catalog(settings)),
        huggingface_answers=AnswerCache("huggingface", redis, clock, **_answers_of_huggingface(settings)),
    )
    feed.on("config", house.reload_providers)
    _add_gateway(house)
    _add_catalog_service(house)
    return house


def uses_proxy(variables: Mapping[str, str]) -> bool:
    """Whether the environment names a proxy for calls to providers."""
    return any(variables.get(name) for name in _PROXY_VARIABLES)


def choose_transport(settings: Settings, variables: Mapping[str, str]) -> Transport:
    """The client for calls to providers: the own one, or aiohttp for proxies and for operators who choose it."""
    proxied = uses_proxy(variables)
    if proxied or settings.http_client == "aiohttp":
        # Imported only where it is needed: six megabytes in every process otherwise.
        from gatewayz.infra.aiohttp_client import AiohttpTransport

        return AiohttpTransport(use_proxy_variables=proxied)
    return Http1Transport()


def _add_gateway(house: House) -> None:
    """What calls providers, and what calls are served by."""
    settings, variables = house.settings, house.configuration.environment.variables
    # Where a proxy is the only way out, what strangers' addresses name is fetched through it as well.
    proxied = house.transport if uses_proxy(variables) else None
    house.upstreams = Upstreams(
        house.transport,
        Simulated(lambda: house.clock.now_us() / 1e6),
        Timeouts(
            settings.connect_timeout_s,
            settings.idle_timeout_s,
            max(settings.first_token_timeout_s, settings.plain_wait_s),
        ),
        lambda: house.clock.now_us() / 1e6,
        GuardedTransport(Guard(settings.ssrf_allow_hosts), proxied=proxied),
    )
    house.gateway = Gateway(_rooms(house))


def _rooms(house: House) -> Rooms:
    settings = house.settings
    observer = Observer(house.metrics, house.limiter, house.clock, house.requests)
    house.breakers.on_transition(observer.breaker_moved)
    return Rooms(
        settings=settings,
        clock=house.clock,
        doorkeeper=Doorkeeper(house.authenticator, house.limiter, settings),
        replays=Replays(house.cashier, house.ring, house.clock),
        keeping=house.keeping,
        catalog=house.catalog,
        providers=lambda: house.providers,
        known_slugs=house.configuration.known_slugs,
        breakers=house.breakers,
        staying=Staying(
            settings.sticky_conversations,
            house.clock,
            lambda slug: house.breakers.state(slug) is BreakerState.CLOSED,
        ),
        exploring=Exploring(
            settings.explore_share,
            lambda: house.traffic.current,
            lambda slug: house.breakers.state(slug) is BreakerState.CLOSED,
            random.random,
        ),
        cashier=house.cashier,
        upstreams=house.upstreams,
        alarms=house.alarms,
        records=lambda: house.traffic.current,
        observe=observer.finished,
    )


def _answers_of_catalog(settings: Settings) -> dict[str, Any]:
    return {
        "entries": settings.catalog_cache_entries,
        "life_s": settings.catalog_cache_s,
        "shared_life_s": settings.catalog_shared_cache_s,
        "max_bytes": round(settings.catalog_cache_mb * 1_000_000),
        # Another version may show other members, another allow-list other models.
        "salt": f"{__version__} {sorted(settings.free_model_allowlist)}",
    }


def _answers_of_huggingface(settings: Settings) -> dict[str, Any]:
    life_s = settings.huggingface_cache_s
    return {"entries": _HUGGINGFACE_ENTRIES, "life_s": life_s, "shared_life_s": life_s}


def _add_catalog_service(house: House) -> None:
    """What keeps the catalog alive and is told when its caches are to be emptied."""
    settings, variables = house.settings, house.configuration.environment.variables
    house.huggingface = HuggingFace(
        house.transport,
        house.database,
        house.clock,
        house.huggingface_answers,
        endpoint=variables.get("HF_ENDPOINT") or None,
        token=variables.get("HF_TOKEN") or None,
        per_min=settings.huggingface_per_min,
        enabled=settings.huggingface_enrichment,
    )
    house.catalog.search_of = lambda slug, native_id: house.providers.search_for(slug, native_id)
    house.feed.on("cache", house.forget_answers)
    # Answers of the catalog before are read by nobody any more.
    house.catalog.on_load(house.answers.forget)
    house.syncer = Syncer(
        house.database,
        house.transport,
        house.clock,
        lambda: house.providers,
        free_model_allowlist=house.settings.free_model_allowlist,
        largest_step=house.settings.model_price_step,
        interval_s=house.settings.model_sync_interval_s,
        observe=lambda outcome: house.metrics.model_syncs.labels(outcome.provider, outcome.status).inc(),
    )


def _store(database: Database, settings: Settings, clock: Clock) -> Store:
    trial_daily, low = nano_from_usd(settings.trial_daily_usd), nano_from_usd(settings.low_balance_usd)

    def new_books() -> Books:
        return Books(clock.now_us(), trial_daily, low)

    if database.is_sqlite:
        return SqliteStore(database.sqlite_path, new_books)
    # Imported only where it is needed, as the driver is large.
    from gatewayz.billing.store_postgres import PostgresStore

    return PostgresStore(database.postgres_dsn, new_books)
