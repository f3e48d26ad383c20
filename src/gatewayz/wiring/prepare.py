"""What must be true before the first request: shape of the database, catalog, configuration, administrator, first account."""

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import bootstrap, keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.accounts.emails import Email
from gatewayz.billing import grants
from gatewayz.catalog import apply_config
from gatewayz.catalog.seed import apply_seed, packaged_seed
from gatewayz.core.money import nano_from_usd
from gatewayz.infra.clock import Clock, SystemClock
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.settings import ConfigurationError, Environment, Mistake
from gatewayz.wiring.configuration import Configuration
from gatewayz.wiring.simulated_models import simulated_records

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
# Any number: it only has to be the same in every process that might migrate the same database.
_MIGRATION_LOCK = 7_240_913_551
_FIRST_CREDIT_USD = "100"
_FIRST_EMAIL = "you@gatewayz.invalid"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What preparing found or made: the keys of the ring, and the ready key of a first development run."""

    secret_keys: tuple[str, ...]
    ready_key: str | None


async def prepare(configuration: Configuration, clock: Clock | None = None) -> Prepared:
    """Brings database and catalog up to date and makes sure that the bootstrap administrator exists.

    May run at every start, and in several processes at the same time. Raises ConfigurationError for a bootstrap key that
    cannot be used, database errors as they are.
    """
    clock = clock or SystemClock()
    environment = configuration.environment
    secret_keys = secret_keys_of(environment)
    ring = KeyRing(secret_keys, derive_pepper(secret_keys[-1]))
    database = Database(environment.database_url)
    try:
        await migrate(database)
        async with database.begin() as connection:
            await apply_seed(connection, packaged_seed(), clock.now_us())
            await apply_models(connection, configuration, clock.now_us())
            await _bootstrap(connection, configuration, ring, clock.now_us())
        ready_key = None
        if environment.app_env == "development":
            ready_key = await _ready_key(database, configuration, ring, clock.now_us())
    finally:
        await database.close()
    return Prepared(secret_keys, ready_key)


def prepare_apart(configuration: Configuration) -> Prepared:
    """`prepare`, in a process that ends with it: what only migrations and the first filling need takes no memory later.

    Done here where processes are not forked, and again here if that one failed, so that its error is raised. For a process
    that has no threads yet.
    """
    found = _from_child(configuration) if sys.platform == "linux" else None
    return found if found is not None else asyncio.run(prepare(configuration))


def _from_child(configuration: Configuration) -> Prepared | None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(ours)
            found = asyncio.run(prepare(configuration))
            with os.fdopen(theirs, "wb") as out:
                out.write(msgspec.json.encode(found))
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, "rb") as told:
        text = told.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return msgspec.json.decode(text, type=Prepared) if ended == 0 else None


async def apply_models(connection: AsyncConnection, configuration: Configuration, now_us: int) -> bool:
    """Writes the configured models (and the simulated ones while that provider is on); returns whether anything changed."""
    records = list(configuration.models)
    if any(provider.simulated for provider in configuration.providers.all()):
        records += simulated_records()
    return await apply_config(connection, records, now_us)


async def migrate(database: Database) -> bool:
    """Brings the database to the newest shape; returns whether there was anything to do."""
    async with _migration_turn(database) as connection:
        if await _revision(connection) == newest_revision():
            return False
        await connection.run_sync(_upgrade)
    return True


async def current_revision(database: Database) -> str | None:
    """The database's revision, None for an empty one."""
    async with database.read() as connection:
        return await _revision(connection)


def newest_revision() -> str:
    """The revision that this version of the code wants."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def secret_keys_of(environment: Environment) -> tuple[str, ...]:
    """GATEWAYZ_SECRET_KEY, or outside production the key kept in GATEWAYZ_HOME (made at the first call, mode 600)."""
    if environment.secret_keys:
        return environment.secret_keys
    path = environment.home / "secret.key"
    kept = read_private(path)
    if kept is None:
        write_private(path, new_fernet_key())
        kept = read_private(path)
    if kept is None:
        raise ConfigurationError([Mistake(str(path), "cannot be read back; set GATEWAYZ_SECRET_KEY")])
    return tuple(kept.split(","))


def read_private(path: Path) -> str | None:
    """A one-line secret file, None if there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def write_private(path: Path, content: str) -> None:
    """Writes a secret file that only its owner can read; a file that another process made first is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content + "\n")


@contextlib.asynccontextmanager
async def _migration_turn(database: Database) -> AsyncIterator[AsyncConnection]:
    """A write transaction that only one process at a time is in."""
    async with database.begin() as connection:
        if not database.is_sqlite:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        yield connection


async def _revision(connection: AsyncConnection) -> str | None:
    has_table = await connection.run_sync(lambda sync: sa.inspect(sync).has_table("alembic_version"))
    if not has_table:
        return None
    found: str | None = await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: a start that has nothing to migrate need not load it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _bootstrap(connection: AsyncConnection, configuration: Configuration, ring: KeyRing, now_us: int) -> None:
    key = configuration.environment.bootstrap_admin_key
    if key is None:
        return
    try:
        admin = await bootstrap.ensure_bootstrap_admin(connection, ring, key, now_us)
    except ValueError as error:
        raise ConfigurationError([Mistake("GATEWAYZ_BOOTSTRAP_ADMIN_KEY", str(error))]) from error
    await grants.open_account(connection, configuration.settings, admin.id, now_us, trial=False)


async def _ready_key(database: Database, configuration: Configuration, ring: KeyRing, now_us: int) -> str:
    """The key printed by a development start: made with a funded account at the first run, then kept in GATEWAYZ_HOME."""
    path = configuration.environment.home / "ready.key"
    kept = read_private(path)
    async with database.begin() as connection:
        if kept is not None and await keys.opens(connection, ring, kept):
            return kept
        found = await users.find_by_email(connection, Email(_FIRST_EMAIL, _FIRST_EMAIL))
        user_id = found.id if found is not None else await _first_account(connection, configuration, now_us)
        settings = keys.KeySettings(f"Ready key {secrets.token_hex(3)}")
        issued = await keys.create(connection, ring, user_id, "live", settings, SYSTEM, now_us)
    path.unlink(missing_ok=True)
    write_private(path, issued.secret)
    return issued.secret


async def _first_account(connection: AsyncConnection, configuration: Configuration, now_us: int) -> int:
    """An account for whoever runs this gateway on their own machine, with some credit to try it with."""
    user = await users.create(
        connection,
        username="you",
        email=Email(_FIRST_EMAIL, _FIRST_EMAIL),
        auth_method="development",
        environment="live",
        origin=SYSTEM,
        now_us=now_us,
    )
    await grants.open_account(connection, configuration.settings, user.id, now_us, trial=False)
    credit = nano_from_usd(_FIRST_CREDIT_USD)
    order = grants.Order(user.id, credit, f"first-run:{user.id}", "first run in development", "system", now_us)
    await grants.grant(connection, order)
    return user.id
