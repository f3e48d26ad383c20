"""`gatewayz keys`: for operators at the machine, who need no key to make one."""

import argparse
import asyncio
import secrets

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.accounts.emails import read_email
from gatewayz.billing import grants
from gatewayz.core.caller import SCOPES
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.money import nano_from_usd
from gatewayz.infra.clock import SystemClock, iso
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.settings import ConfigurationError, Mistake, read_environment
from gatewayz.wiring.configuration import load_configuration
from gatewayz.wiring.prepare import prepare, secret_keys_of


def create_key(options: argparse.Namespace) -> int:
    """Prints a new key, once. Makes the account if it is named by an e-mail address that has none."""
    return asyncio.run(_create(options))


def list_keys(options: argparse.Namespace) -> int:
    """Prints the keys of an account, masked."""
    return asyncio.run(_list(options))


def revoke_key(options: argparse.Namespace) -> int:
    """Deletes a key; running processes hear of it within a second."""
    return asyncio.run(_revoke(options))


def new_secret(_options: argparse.Namespace) -> int:
    """Prints a fresh encryption key. Put it in front of the old ones, separated by a comma, and keep the last where it is."""
    print(new_fernet_key())
    return 0


def reencrypt(_options: argparse.Namespace) -> int:
    """Encrypts every stored key again under the first key of GATEWAYZ_SECRET_KEY; safe to repeat and to interrupt."""
    return asyncio.run(_reencrypt())


async def _reencrypt() -> int:
    environment = read_environment()
    secret_keys = secret_keys_of(environment)
    ring = KeyRing(secret_keys, derive_pepper(secret_keys[-1]))
    database = Database(environment.database_url)
    done = last_id = 0
    try:
        while True:
            async with database.begin() as connection:
                last_id, count = await keys.reseal_page(connection, ring, last_id)
            done += count
            if not count:
                break
    except ValueError as error:
        raise ConfigurationError(
            [Mistake("GATEWAYZ_SECRET_KEY", f"{error}: put the old keys behind the new one")]
        ) from error
    finally:
        await database.close()
    print(f"{done} key(s) are encrypted under the first key now")
    return 0


async def _create(options: argparse.Namespace) -> int:
    environment = read_environment()
    configuration = load_configuration(environment)
    await prepare(configuration)
    secret_keys = secret_keys_of(environment)
    ring = KeyRing(secret_keys, derive_pepper(secret_keys[-1]))
    now_us = SystemClock().now_us()
    database = Database(environment.database_url)
    try:
        async with database.begin() as connection:
            user = await _account(connection, options, now_us)
            await grants.open_account(connection, configuration.settings, user.id, now_us, trial=False)
            if options.admin and user.role != "admin":
                await users.update_role(
                    connection, user.id, "admin", "made administrator at the machine", SYSTEM, now_us
                )
            if options.credit_usd is not None:
                await _credit(connection, user.id, options.credit_usd, now_us)
            settings = keys.KeySettings(
                options.name, scopes=frozenset(SCOPES) if options.admin else keys.DEFAULT_SCOPES
            )
            issued = await keys.create(connection, ring, user.id, options.environment, settings, SYSTEM, now_us)
    finally:
        await database.close()
    print(f"account {user.id} ({user.email}), key {issued.key.id}:")
    print(issued.secret)
    return 0


async def _account(connection: AsyncConnection, options: argparse.Namespace, now_us: int) -> users.User:
    """The account that the command names; made if it is named by an address that nobody has."""
    if options.email is None:
        return await users.get(connection, options.user_id)
    try:
        email = read_email(options.email)
    except ValueError as error:
        raise InvalidRequest(f"--email: {options.email} {error}") from error
    # The person's own account: a search by a part of the address could find somebody else's.
    found = await users.find_by_email(connection, email)
    if found is not None:
        return found
    return await users.create(
        connection,
        username=options.email.partition("@")[0][:40] or "user",
        email=email,
        auth_method="email",
        environment=options.environment,
        origin=SYSTEM,
        now_us=now_us,
    )


async def _credit(connection: object, user_id: int, amount_usd: str, now_us: int) -> None:
    try:
        amount = nano_from_usd(amount_usd)
    except ValueError as error:
        raise InvalidRequest(f"--credit-usd: {error}") from error
    key = f"command-line:{secrets.token_hex(12)}"
    order = grants.Order(user_id, amount, key, "granted at the machine", "system", now_us)
    await grants.grant(connection, order)  # type: ignore[arg-type]


async def _list(options: argparse.Namespace) -> int:
    database = Database(read_environment().database_url)
    try:
        async with database.read() as connection:
            found, total = await keys.page(connection, options.user_id, active_at_us=None, limit=1000, offset=0)
    finally:
        await database.close()
    for key in found:
        state = "active" if key.settings.is_active else "off"
        used = iso(key.last_used_at_us) or "never used"
        print(f"{key.id:>8}  {key.prefix}…{key.last4}  {state:<6}  {used:<28}  {key.settings.key_name}")
    print(f"{total} key(s)")
    return 0


async def _revoke(options: argparse.Namespace) -> int:
    database = Database(read_environment().database_url)
    try:
        async with database.begin() as connection:
            key = await keys.get(connection, None, options.key_id)
            await keys.delete(connection, key.user_id, key.id, SYSTEM, SystemClock().now_us())
    finally:
        await database.close()
    print(f"key {options.key_id} is deleted")
    return 0
