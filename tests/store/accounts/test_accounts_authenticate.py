"""The authenticator over a real database: verdicts, memory, changes, outages."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from accounts_house import FERNET_KEY, House
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from gatewayz.accounts import Authenticator, keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.core.caller import SCOPES
from gatewayz.core.errors import Forbidden, GatewayError, Unauthenticated, Unavailable
from gatewayz.core.ids import KEY_PATTERN, new_key
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.settings import Settings


class CountedDatabase:
    """Counts and can delay or refuse the reads of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reads = 0
        self.away: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.read_rows: asyncio.Event = asyncio.Event()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        self.reads += 1
        if self.away is not None:
            raise self.away
        async with self.database.read() as connection:
            yield connection
            self.read_rows.set()
            if self.gate is not None:
                await self.gate.wait()

    def begin(self) -> Any:
        return self.database.begin()


def counted(house: House, chosen: Settings | None = None) -> tuple[CountedDatabase, Authenticator]:
    """An authenticator over a counted database, listening to the house's feed."""
    database = CountedDatabase(house.database)
    authenticator = Authenticator(database, house.ring, house.clock, chosen or house.settings)  # type: ignore[arg-type]
    authenticator.listen(house.feed)
    return database, authenticator


async def refusal(authenticator: Authenticator, key: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await authenticator.authenticate(key)
    return caught.value


@pytest.mark.ac("AC-1.1.1")
async def test_a_live_key_tells_its_holder(house: House) -> None:
    user = await house.user()
    issued = await house.key(
        user.id, key_name="main", model_allowlist=("a/b",), rpm_limit=7, daily_cap_nano_usd=5, max_requests=9
    )
    caller = await house.authenticator.authenticate(issued.secret)
    assert (caller.user_id, caller.key_id, caller.role, caller.tier) == (user.id, issued.key.id, "user", "free")
    assert caller.scopes == frozenset(SCOPES) - {"admin"}
    assert (caller.key_name, caller.model_allowlist, caller.rpm_limit) == ("main", ("a/b",), 7)
    assert (caller.daily_cap_nano_usd, caller.max_requests) == (5, 9)
    assert caller.key_hint == f"gw_live_…{issued.secret[-4:]}"


@pytest.mark.ac("AC-1.1.2")
async def test_unknown_and_malformed_keys_are_401(house: House) -> None:
    good = (await house.key((await house.user()).id)).secret
    bad = [
        "",
        " ",
        "gw_live_",
        good + "\n",
        good[:-1],
        good + "x",
        f" {good}",
        "x" * 1_000_000,
        "\ud800",
        "gw_live_" + "é" * 43,
    ]
    bad += ["'; DROP TABLE users; --", good.replace("gw_live", "gw_prod"), new_key("live"), good[:-1] + "\0"]
    for key in bad:
        error = await refusal(house.authenticator, key)
        assert (type(error), error.code) == (Unauthenticated, "invalid_api_key"), key[:60]
    assert house.authenticator.failures["malformed"] == len(bad) - 1
    assert house.authenticator.failures["unknown"] == 1


@pytest.mark.ac("AC-1.1.3")
async def test_expiry_is_judged_at_each_call(house: House) -> None:
    now_us = house.clock.now_us()
    issued = await house.key((await house.user()).id, expires_at_us=now_us + 10_000_000)
    await house.authenticator.authenticate(issued.secret)
    house.clock.advance(9.999999)
    await house.authenticator.authenticate(issued.secret)
    house.clock.advance(0.000001)
    error = await refusal(house.authenticator, issued.secret)
    assert (error.status, error.code) == (401, "api_key_expired")
    assert "expired" in error.message


@pytest.mark.ac("AC-1.1.4")
async def test_switching_off_is_heard_by_every_process(house: House) -> None:
    other = House(house.database, clock=house.clock, ring=house.ring)
    user = await house.user()
    issued = await house.key(user.id)
    await other.feed.start()
    await house.authenticator.authenticate(issued.secret)
    await other.authenticator.authenticate(issued.secret)
    async with house.database.begin() as connection:
        await keys.update(connection, user.id, issued.key.id, {"is_active": False}, SYSTEM, house.clock.now_us())
    house.feed.tell("key", str(issued.key.id))
    assert (await refusal(house.authenticator, issued.secret)).code == "api_key_inactive"
    await other.feed.poll()
    assert (await refusal(other.authenticator, issued.secret)).code == "api_key_inactive"


async def test_suspension_and_role_are_heard(house: House) -> None:
    user = await house.user()
    issued = await house.key(user.id)
    await house.authenticator.authenticate(issued.secret)
    async with house.database.begin() as connection:
        await users.update_status(connection, user.id, "suspended", "", SYSTEM, house.clock.now_us())
    await house.feed.poll()
    error = await refusal(house.authenticator, issued.secret)
    assert (type(error), error.code) == (Forbidden, "account_suspended")
    async with house.database.begin() as connection:
        await users.update_status(connection, user.id, "active", "", SYSTEM, house.clock.now_us())
        await users.update_role(connection, user.id, "team", "promoted", SYSTEM, house.clock.now_us())
    await house.feed.poll()
    assert (await house.authenticator.authenticate(issued.secret)).role == "team"


async def test_the_first_failing_check_decides(house: House) -> None:
    """Active before expiry, expiry before the account."""
    user = await house.user()
    issued = await house.key(user.id, expires_at_us=house.clock.now_us() - 1, is_active=False)
    async with house.database.begin() as connection:
        await users.update_status(connection, user.id, "suspended", "", SYSTEM, house.clock.now_us())
    assert (await refusal(house.authenticator, issued.secret)).code == "api_key_inactive"
    async with house.database.begin() as connection:
        await keys.update(connection, user.id, issued.key.id, {"is_active": True}, SYSTEM, house.clock.now_us())
    await house.feed.poll()
    assert (await refusal(house.authenticator, issued.secret)).code == "api_key_expired"
    async with house.database.begin() as connection:
        await keys.update(connection, user.id, issued.key.id, {"expires_at_us": None}, SYSTEM, house.clock.now_us())
    await house.feed.poll()
    assert (await refusal(house.authenticator, issued.secret)).code == "account_suspended"


@pytest.mark.ac("AC-CC.5.6")
async def test_a_deleted_key_and_a_deleted_account_are_unknown(house: House) -> None:
    user = await house.user()
    first, second = await house.key(user.id), await house.key(user.id)
    await house.authenticator.authenticate(first.secret)
    async with house.database.begin() as connection:
        await keys.delete(connection, user.id, first.key.id, SYSTEM, house.clock.now_us())
    house.feed.tell("key", str(first.key.id))
    assert (await refusal(house.authenticator, first.secret)).code == "invalid_api_key"
    async with house.database.begin() as connection:
        await connection.execute(sa.text("UPDATE users SET status = 'deleted'"))
    assert (await refusal(house.authenticator, second.secret)).code == "invalid_api_key"


@pytest.mark.ac("AC-1.1.9")
async def test_memory_holds_the_latest_keys_for_its_time(house: House) -> None:
    chosen = replace(house.settings, auth_cache_entries=2)
    database, authenticator = counted(house, chosen)
    user = await house.user()
    one, two, three = [(await house.key(user.id)).secret for _ in range(3)]
    for key in (one, two, one, three):  # two is the least recently used when three arrives
        await authenticator.authenticate(key)
    assert database.reads == 3
    await authenticator.authenticate(one)
    await authenticator.authenticate(three)
    assert database.reads == 3
    await authenticator.authenticate(two)
    assert database.reads == 4
    house.clock.advance(chosen.auth_cache_s)
    await authenticator.authenticate(two)
    assert database.reads == 5
    assert (authenticator.hits, authenticator.misses) == (3, 5)


@pytest.mark.ac("AC-1.1.9")
def test_the_defaults_are_512_entries_for_5_minutes() -> None:
    assert (Settings().auth_cache_entries, Settings().auth_cache_s) == (512, 300.0)


@pytest.mark.ac("AC-1.1.9")
async def test_a_key_in_memory_is_told_without_waiting_until_something_changes(house: House) -> None:
    database, authenticator = counted(house)
    issued = await house.key((await house.user()).id, expires_at_us=house.clock.now_us() + 20_000_000)
    assert authenticator.at_once(issued.secret) is None
    caller = await authenticator.authenticate(issued.secret)
    assert authenticator.at_once(issued.secret, "203.0.113.9") is caller
    assert (database.reads, authenticator.hits, authenticator.misses) == (1, 1, 1)
    assert await authenticator.flush_last_used() == 1  # both uses, of one hour
    house.feed.tell("key", str(issued.key.id))
    assert authenticator.at_once(issued.secret) is None
    await authenticator.authenticate(issued.secret)
    house.clock.advance(20)
    with pytest.raises(Unauthenticated) as expired:
        authenticator.at_once(issued.secret)
    assert expired.value.code == "api_key_expired"
    assert authenticator.at_once("no key") is None


async def test_a_remembered_key_costs_microseconds(house: House) -> None:
    key = (await house.key((await house.user()).id)).secret
    await house.authenticator.authenticate(key)
    started = time.perf_counter()
    for _ in range(1000):
        await house.authenticator.authenticate(key)
    assert (time.perf_counter() - started) / 1000 < 0.0005  # the criterion is 5 ms; measured 4 us


async def test_concurrent_misses_share_one_query(house: House) -> None:
    database, authenticator = counted(house)
    key = (await house.key((await house.user()).id)).secret
    callers = await asyncio.gather(*(authenticator.authenticate(key) for _ in range(100)))
    assert database.reads == 1
    assert len({id(caller) for caller in callers}) == 1


async def test_a_client_that_hangs_up_fails_nobody_else(house: House) -> None:
    database, authenticator = counted(house)
    database.gate = asyncio.Event()
    key = (await house.key((await house.user()).id)).secret
    first, second = (asyncio.create_task(authenticator.authenticate(key)) for _ in range(2))
    await database.read_rows.wait()
    first.cancel()
    database.gate.set()
    assert (await second).key_name
    assert database.reads == 1


@pytest.mark.ac("AC-1.1.4")
@pytest.mark.parametrize("arrives_late", [False, True])
async def test_an_answer_overtaken_by_a_change_serves_nobody_else(house: House, arrives_late: bool) -> None:
    """The row was read before the change: it is neither remembered nor given to those who asked after the change."""
    database, authenticator = counted(house)
    user = await house.user()
    issued = await house.key(user.id)
    database.gate = asyncio.Event()
    early = asyncio.create_task(authenticator.authenticate(issued.secret))
    await database.read_rows.wait()
    async with house.database.begin() as connection:
        await keys.update(connection, user.id, issued.key.id, {"is_active": False}, SYSTEM, house.clock.now_us())
    house.feed.tell("key", str(issued.key.id))
    late = asyncio.create_task(refusal(authenticator, issued.secret)) if arrives_late else None
    await asyncio.sleep(0)
    database.gate.set()
    assert (await early).key_id == issued.key.id
    error = await late if late else await refusal(authenticator, issued.secret)
    assert error.code == "api_key_inactive"


async def test_an_unknown_key_is_asked_once_and_never_hidden_when_made(house: House) -> None:
    database, authenticator = counted(house)
    user = await house.user()
    secret = new_key("live")
    for _ in range(5):
        assert (await refusal(authenticator, secret)).code == "invalid_api_key"
    assert database.reads == 1
    async with house.database.begin() as connection:
        made = await keys.insert(
            connection, house.ring, user.id, secret, keys.KeySettings("late"), house.clock.now_us()
        )
    house.feed.tell("key", str(made.id))
    assert (await authenticator.authenticate(secret)).key_id == made.id


async def test_without_database_remembered_keys_work_and_others_get_503(house: House) -> None:
    database, authenticator = counted(house)
    user = await house.user()
    known, unknown = await house.key(user.id), await house.key(user.id)
    await authenticator.authenticate(known.secret)
    for away in (sa.exc.OperationalError("SELECT", {}, Exception("gone")), ConnectionRefusedError()):
        database.away = away
        await authenticator.authenticate(known.secret)
        error = await refusal(authenticator, unknown.secret)
        assert (type(error), error.code) == (Unavailable, "accounts_unavailable")
        assert int(error.headers["Retry-After"]) >= 1
    database.away = None
    await authenticator.authenticate(unknown.secret)


@pytest.mark.ac("AC-1.1.10")
async def test_no_redis_takes_part(house: House) -> None:
    """The memory of verified keys is the process's own: it works where no Redis was ever configured."""
    database, authenticator = counted(house)
    key = (await house.key((await house.user()).id)).secret
    await authenticator.authenticate(key)
    await authenticator.authenticate(key)
    assert (database.reads, authenticator.hits) == (1, 1)


@pytest.mark.ac("AC-1.1.5", "AC-CC.12.1")
async def test_no_plain_key_in_database_or_logs(house: House) -> None:
    user = await house.user()
    with capture_logs() as logs:
        issued = await house.key(user.id)
        async with house.database.begin() as connection:
            rotated = await keys.rotate(
                connection, house.ring, user.id, issued.key.id, grace_s=60, origin=SYSTEM, now_us=house.clock.now_us()
            )
        stranger = new_key("test")
        await house.authenticator.authenticate(rotated.secret)
        await refusal(house.authenticator, stranger)
        await refusal(house.authenticator, "sk-proj-something-of-another-service")
        await house.authenticator.flush_last_used()
    async with house.database.read() as connection:
        sealed = (await connection.execute(sa.text("SELECT encrypted_key FROM api_keys_new"))).scalar_one()
        assert house.ring.open(sealed.encode()).decode() == rotated.secret
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        dump = ""
        for name in names:
            dump += repr((await connection.execute(sa.text(f'SELECT * FROM "{name}"'))).all())
    said = repr(logs) + repr(issued) + repr(rotated)
    for secret in (issued.secret, rotated.secret, stranger):
        assert secret not in dump
        assert secret not in said
        assert secret[8:-4] not in dump + said
    assert "another-service" not in said
    assert f"gw_test_…{stranger[-4:]}" in said


@pytest.mark.ac("AC-1.1.6", "AC-CC.12.2")
async def test_the_look_up_uses_the_unique_index_of_the_hash(house: House) -> None:
    """Both statements search by index, and nothing is decrypted: a ring that opens no stored key still finds it."""
    user = await house.user()
    issued = await house.key(user.id)
    async with house.database.read() as connection:
        for column in ("key_hash", "previous_key_hash"):
            query = f"SELECT * FROM api_keys_new WHERE {column} = 'x' AND deleted_at_us IS NULL"
            if house.database.is_sqlite:
                plan = repr((await connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"))).all())
                assert "SEARCH" in plan and column in plan
            else:
                await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
                plan = repr((await connection.execute(sa.text(f"EXPLAIN {query}"))).all())
                assert "Index Scan" in plan and column in plan
    blind = KeyRing([new_fernet_key()], derive_pepper(FERNET_KEY))
    authenticator = Authenticator(house.database, blind, house.clock, house.settings)
    assert (await authenticator.authenticate(issued.secret)).key_id == issued.key.id


@pytest.mark.ac("AC-1.1.6")
async def test_a_thousand_keys_cost_one_look_up_as_one_does(house: House) -> None:
    user = await house.user()
    key = (await house.key(user.id)).secret
    async with house.database.begin() as connection:
        for number in range(1000):
            await keys.insert(
                connection, house.ring, user.id, new_key("live"), keys.KeySettings(f"n{number}"), house.clock.now_us()
            )
    statements: list[str] = []
    async with house.database.read() as connection:
        engine = connection.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    await house.authenticator.authenticate(key)
    looked_up = [text for text in statements if "api_keys_new" in text]
    assert len(looked_up) == 1
    assert "key_hash = " in looked_up[0]


@pytest.mark.ac("AC-1.1.7")
@given(environment=st.sampled_from(["live", "test", "staging", "dev"]))
def test_new_keys_have_their_form(environment: str) -> None:
    key = new_key(environment)
    assert KEY_PATTERN.fullmatch(key)
    assert key.startswith(f"gw_{environment}_") and len(key.removeprefix(f"gw_{environment}_")) == 43


@settings(max_examples=200)
@given(st.text() | st.from_regex(KEY_PATTERN).map(lambda text: text + "\n"))
def test_arbitrary_text_is_refused_before_any_query(text: str) -> None:
    authenticator = Authenticator(None, KeyRing([FERNET_KEY], b"p"), ManualClock(), Settings())  # type: ignore[arg-type]
    if KEY_PATTERN.fullmatch(text) is None:
        with pytest.raises(Unauthenticated):
            asyncio.run(authenticator.authenticate(text))


async def test_rotation_grace_ends_by_itself(house: House) -> None:
    user = await house.user()
    old = await house.key(user.id)
    await house.authenticator.authenticate(old.secret)
    async with house.database.begin() as connection:
        new = await keys.rotate(
            connection, house.ring, user.id, old.key.id, grace_s=60, origin=SYSTEM, now_us=house.clock.now_us()
        )
    house.feed.tell("key", str(old.key.id))
    assert (await house.authenticator.authenticate(old.secret)).key_id == new.key.id
    assert (await house.authenticator.authenticate(new.secret)).expires_at_us is None
    house.clock.advance(60)
    assert (await refusal(house.authenticator, old.secret)).code == "api_key_expired"
    await house.authenticator.authenticate(new.secret)


async def test_rotation_without_grace_ends_the_old_secret_at_once(house: House) -> None:
    user = await house.user()
    old = await house.key(user.id)
    await house.authenticator.authenticate(old.secret)
    async with house.database.begin() as connection:
        new = await keys.rotate(
            connection, house.ring, user.id, old.key.id, grace_s=0, origin=SYSTEM, now_us=house.clock.now_us()
        )
    house.feed.tell("key", str(old.key.id))
    assert (await refusal(house.authenticator, old.secret)).code == "invalid_api_key"
    assert (await house.authenticator.authenticate(new.secret)).key_id == old.key.id


async def test_uses_are_summed_and_survive_a_failed_flush(house: House) -> None:
    database, authenticator = counted(house)
    user = await house.user()
    issued = await house.key(user.id)
    for ip in ("198.51.100.1", "198.51.100.2"):
        await authenticator.authenticate(issued.secret, ip)

    def used_meanwhile() -> Any:
        authenticator.uses.note(issued.key.id, user.id, house.clock.now_us(), "198.51.100.2")
        raise OSError("away")

    begin, database.begin = database.begin, used_meanwhile  # type: ignore[method-assign]
    with pytest.raises(OSError, match="away"):
        await authenticator.flush_last_used()
    database.begin = begin  # type: ignore[method-assign]
    house.clock.advance(1)
    await authenticator.authenticate(issued.secret, "198.51.100.3")
    assert await authenticator.flush_last_used() == 1
    assert await authenticator.flush_last_used() == 0
    await house.authenticator.authenticate(issued.secret, "198.51.100.4")  # another process, same hour
    await house.authenticator.flush_last_used()
    async with house.database.read() as connection:
        key = await keys.get(connection, user.id, issued.key.id)
        rows = (await connection.execute(sa.text("SELECT uses, ip FROM key_use_hours"))).all()
    assert key.last_used_at_us == house.clock.now_us()
    assert [tuple(row) for row in rows] == [(5, "198.51.100.4")]


async def test_refusals_are_logged_quietly(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        await refusal(house.authenticator, "nonsense")
    assert logs == [{"event": "api_key_refused", "log_level": "info", "reason": "malformed", "key": ""}]
