"""Accounts and the bootstrap administrator at the door of the room."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa
from accounts_house import House

from gatewayz.accounts import audit, ensure_bootstrap_admin, keys, users
from gatewayz.accounts.audit import SYSTEM, Filters
from gatewayz.core.errors import Conflict, NotFound, Unauthenticated
from gatewayz.core.ids import new_key


async def test_concurrent_registrations_of_one_person_make_one_account(house: House) -> None:
    emails = ["Jo.Doe+a@Gmail.com", "jodoe@gmail.com", "j.o.d.o.e@googlemail.com", "JODOE+b@gmail.com"]
    outcomes = await asyncio.gather(*(house.user(email) for email in emails), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, users.User)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert (len(made), [error.code for error in refused]) == (1, ["email_taken"] * 3)
    async with house.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM users"))).scalar_one() == 1
        assert (await audit.verify(connection, "audit")).sound == 1


async def test_search_counts_what_it_lists(house: House) -> None:
    ann, bob, eve = [await house.user(email) for email in ("ann@example.com", "bob@example.org", "e%ve_@example.org")]
    issued = await house.key(bob.id)
    async with house.database.begin() as connection:
        await users.update_role(connection, eve.id, "support", "helps", SYSTEM, 1)
        await users.update_status(connection, ann.id, "suspended", "", SYSTEM, 1)

    async def found(limit: int = 100, **search: str) -> tuple[list[int], users.Statistics]:
        async with house.database.read() as connection:
            rows, statistics = await users.page(connection, users.Search(**search), limit, 0)
        return [row.id for row in rows], statistics

    assert (await found())[0] == [eve.id, bob.id, ann.id]
    ids, statistics = await found(limit=1, email="EXAMPLE.ORG")
    assert ids == [eve.id]
    assert statistics.total == 2
    assert statistics.by_role == {"user": 1, "support": 1}
    assert statistics.by_status == {"active": 2}
    assert (await found(search="%"))[0] == (await found(search="e%ve_"))[0] == [eve.id]
    assert (await found(search="nn@"))[0] == (await found(status="suspended"))[0] == [ann.id]
    assert (await found(role="support"))[0] == [eve.id]
    assert (await found(tier="pro")) == ([], users.Statistics(0, {}, {}, {}))
    assert (await found(key=issued.key.last4))[0] == (await found(search=issued.key.last4))[0] == [bob.id]
    assert (await found(key="gw_live_"))[0] == [bob.id]
    assert (await found(search="'; DROP TABLE users; --"))[0] == []


async def test_the_last_two_administrators_cannot_both_step_down(house: House) -> None:
    one, two = await house.user(), await house.user()

    async def change(user_id: int, role: str) -> None:
        async with house.database.begin() as connection:
            await users.update_role(connection, user_id, role, "r", SYSTEM, 1)  # type: ignore[arg-type]

    await change(one.id, "admin")
    with pytest.raises(Conflict, match="last active administrator") as caught:
        await change(one.id, "user")
    assert caught.value.code == "last_admin"
    await change(two.id, "admin")
    outcomes = await asyncio.gather(change(one.id, "user"), change(two.id, "user"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "NoneType"]
    async with house.database.begin() as connection:
        (admin,), _ = await users.page(connection, users.Search(role="admin"), 10, 0)
        with pytest.raises(Conflict):
            await users.update_status(connection, admin.id, "suspended", "", SYSTEM, 1)


async def test_missing_accounts_are_404(house: House) -> None:
    async with house.database.begin() as connection:
        with pytest.raises(NotFound):
            await users.get(connection, 99)
        with pytest.raises(NotFound):
            await users.update_role(connection, 99, "user", "r", SYSTEM, 1)
        with pytest.raises(NotFound):
            await keys.create(connection, house.ring, 99, "live", keys.KeySettings("k"), SYSTEM, 1)


async def bootstrap(house: House, secret: str) -> users.User:
    async with house.database.begin() as connection:
        admin = await ensure_bootstrap_admin(connection, house.ring, secret, house.clock.now_us())
    await house.feed.poll()
    return admin


async def test_the_bootstrap_admin_holds_exactly_that_key(house: House) -> None:
    secret = new_key("live")
    admins = await asyncio.gather(*(bootstrap(house, secret) for _ in range(5)))
    assert len({admin.id for admin in admins}) == 1
    caller = await house.authenticator.authenticate(secret)
    assert (caller.user_id, caller.role, caller.tier, caller.is_admin) == (admins[0].id, "admin", "enterprise", True)
    async with house.database.read() as connection:
        _, total = await keys.page(connection, admins[0].id, active_at_us=None, limit=10, offset=0)
        _, entries = await audit.page(connection, "audit", Filters(), 10, 0)
    assert (total, entries) == (1, 2)


async def test_a_bent_bootstrap_admin_is_straightened(house: House) -> None:
    secret = new_key("live")
    admin = await bootstrap(house, secret)
    (key,), _ = await _keys(house, admin.id)
    async with house.database.begin() as connection:
        await keys.update(
            connection,
            admin.id,
            key.id,
            {"is_active": False, "ip_allowlist": ("10.0.0.1",), "scopes": frozenset({"billing"})},
            SYSTEM,
            1,
        )
        await connection.execute(sa.text("UPDATE users SET role = 'user', status = 'suspended', tier = 'free'"))
    await bootstrap(house, secret)
    caller = await house.authenticator.authenticate(secret)
    assert (caller.is_admin, caller.tier, caller.ip_allowlist) == (True, "enterprise", ())
    async with house.database.begin() as connection:
        await keys.delete(connection, admin.id, key.id, SYSTEM, 1)
    await bootstrap(house, secret)
    assert (await house.authenticator.authenticate(secret)).key_id == key.id


async def test_another_bootstrap_key_retires_the_one_before(house: House) -> None:
    first, second = new_key("live"), new_key("live")
    admin = await bootstrap(house, first)
    assert (await bootstrap(house, second)).id == admin.id
    assert (await house.authenticator.authenticate(second)).is_admin
    with pytest.raises(Unauthenticated):
        await house.authenticator.authenticate(first)
    await bootstrap(house, first)
    assert (await house.authenticator.authenticate(first)).is_admin
    with pytest.raises(Unauthenticated):
        await house.authenticator.authenticate(second)


async def test_a_bootstrap_key_must_be_a_key_and_nobody_elses(house: House) -> None:
    issued = await house.key((await house.user()).id)
    for secret in ("admin", issued.secret):
        with pytest.raises(ValueError, match="GATEWAYZ_BOOTSTRAP_ADMIN_KEY"):
            await bootstrap(house, secret)
    assert not (await house.authenticator.authenticate(issued.secret)).is_admin


async def test_keys_per_account_are_limited_by_role(house: House) -> None:
    user = await house.user()
    async with house.database.begin() as connection:
        for number in range(100):
            await keys.insert(connection, house.ring, user.id, new_key("live"), keys.KeySettings(f"k{number}"), 1)
    with pytest.raises(Conflict) as caught:
        await house.key(user.id)
    assert caught.value.code == "key_limit_reached"


async def test_a_key_is_changed_by_its_owner_only(house: House) -> None:
    owner, other = await house.user(), await house.user()
    issued = await house.key(owner.id, key_name="mine")
    async with house.database.begin() as connection:
        for act in (
            keys.get(connection, other.id, issued.key.id),
            keys.update(connection, other.id, issued.key.id, {"is_active": False}, SYSTEM, 1),
            keys.delete(connection, other.id, issued.key.id, SYSTEM, 1),
            keys.rotate(connection, house.ring, other.id, issued.key.id, grace_s=0, origin=SYSTEM, now_us=1),
        ):
            with pytest.raises(NotFound):
                await act
        with pytest.raises(ValueError, match="encrypted_key"):
            await keys.update(connection, owner.id, issued.key.id, {"encrypted_key": "x"}, SYSTEM, 1)
        assert await keys.get(connection, owner.id, issued.key.id) == issued.key


async def test_names_are_unique_among_existing_keys_of_one_account(house: House) -> None:
    owner, other = await house.user(), await house.user()
    first = await house.key(owner.id, key_name="ci")
    await house.key(other.id, key_name="ci")
    with pytest.raises(Conflict) as caught:
        await house.key(owner.id, key_name="ci")
    assert caught.value.code == "key_name_taken"
    second = await house.key(owner.id, key_name="cd")
    async with house.database.begin() as connection:
        with pytest.raises(Conflict):
            await keys.update(connection, owner.id, second.key.id, {"key_name": "ci"}, SYSTEM, 1)
        await keys.delete(connection, owner.id, first.key.id, SYSTEM, 1)
        renamed = await keys.update(connection, owner.id, second.key.id, {"key_name": "ci"}, SYSTEM, 1)
    assert renamed.settings == replace(second.key.settings, key_name="ci")


async def test_a_change_that_changes_nothing_is_not_audited(house: House) -> None:
    owner = await house.user()
    issued = await house.key(owner.id, key_name="same", rpm_limit=5)
    async with house.database.begin() as connection:
        await keys.update(connection, owner.id, issued.key.id, {"key_name": "same", "rpm_limit": 5}, SYSTEM, 1)
        await keys.update(connection, owner.id, issued.key.id, {"key_name": "same", "rpm_limit": 6}, SYSTEM, 1)
        (entry,), total = await audit.page(connection, "audit", Filters(action="key.updated"), 10, 0)
    assert total == 1
    assert (entry["before"], entry["after"]) == ({"rpm_limit": 5}, {"rpm_limit": 6})


async def test_the_trial_end_reaches_the_caller(house: House) -> None:
    owner = await house.user()
    issued = await house.key(owner.id)
    assert (await house.authenticator.authenticate(issued.secret)).trial_ends_at_us is None
    async with house.database.begin() as connection:
        await users.set_trial_end(connection, owner.id, 77, 1)
    await house.feed.poll()
    assert (await house.authenticator.authenticate(issued.secret)).trial_ends_at_us == 77


async def _keys(house: House, user_id: int) -> tuple[list[keys.Key], int]:
    async with house.database.read() as connection:
        found, total = await keys.page(connection, user_id, active_at_us=None, limit=100, offset=0)
    return list(found), total
