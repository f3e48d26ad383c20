"""The public registration, over HTTP."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from accounts_house import House, customer

from gatewayz.infra.clock import iso

NEW = {"username": "Zoë", "email": "zoe@example.com", "auth_method": "email", "environment": "test"}


async def test_registration_gives_account_key_and_trial(house: House) -> None:
    async with house.client() as client:
        answer = await client.post("/admin/create", json=NEW)
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "3")
        made = answer.json()
        assert (made["username"], made["email"], made["auth_method"], made["environment"]) == tuple(NEW.values())
        assert made["api_key"].startswith("gw_test_")
        assert (made["balance_usd"], made["credits"]) == (5.0, 500.0)
        assert made["trial"] == {
            "active": True,
            "ends_at": iso(house.clock.now_us() + 14 * 86_400_000_000),
            "days_left": 14,
        }
        assert house.billing.opened == [made["user_id"]]
        profile = (await client.get("/user/profile", headers={"x-api-key": made["api_key"]})).json()
        assert profile == {name: made[name] for name in profile}
        assert (await client.post("/admin/create", json=NEW | {"email": "ZOE@example.com"})).status_code == 409
    async with house.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM api_keys_new"))).scalar_one() == 1


async def test_concurrent_registration_makes_one_account(house: House) -> None:
    async with house.client(await house.admin()) as client:
        answers = await asyncio.gather(*(client.post("/admin/create", json=NEW) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_the_4th_registration_from_an_address_is_429_but_for_admins(house: House) -> None:
    _, ordinary = await customer(house)
    async with house.client() as client:
        for number in range(3):
            body = NEW | {"email": f"n{number}@example.com"}
            # A key that is not an administrator's makes no difference, be it good or bad.
            headers = ({}, {"x-api-key": ordinary}, {"x-api-key": "nonsense"})[number]
            assert (await client.post("/admin/create", json=body, headers=headers)).status_code == 200
        answer = await client.post("/admin/create", json=NEW)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert (await client.post("/admin/create", json=NEW, headers={"test-ip": "192.0.2.2"})).status_code == 200
    async with house.client(await house.admin()) as client:
        answer = await client.post("/admin/create", json=NEW | {"email": "by-admin@example.com"})
        assert (answer.status_code, "X-RateLimit-Limit" in answer.headers) == (200, False)


@pytest.mark.ac("AC-CC.12.9")
async def test_throw_away_addresses_are_refused(house: House) -> None:
    house.settings = replace(house.settings, disposable_domains=("Junk.example",))
    async with house.client(await house.admin()) as client:
        for email in ("user@tempmail.com", "user@mx.TempMail.com", "user@mailinator.com", "a@junk.example"):
            answer = await client.post("/admin/create", json=NEW | {"email": email})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "disposable_email"), email
        assert (await client.post("/admin/create", json=NEW | {"email": "a@nottempmail.com"})).status_code == 200


WRONG_FIELDS: list[dict[str, Any]] = [
    {"username": ""},
    {"username": "a\0b"},
    {"username": "\ud800"},
    {"username": "x" * 101},
    {"email": "nobody"},
    {"email": "a@b@c.example"},
    {"email": "a\nb@example.com"},
    {"email": "x" * 400 + "@example.com"},
    {"auth_method": "carrier pigeon"},
    {"environment": "prod"},
]


async def test_wrong_registrations_are_422(house: House) -> None:
    async with house.client() as client:
        for number, wrong in enumerate(WRONG_FIELDS):
            headers = {"Content-Type": "application/json", "test-ip": f"192.0.2.{number}"}
            answer = await client.post("/admin/create", content=json.dumps(NEW | wrong).encode(), headers=headers)
            assert answer.status_code == 422, wrong
    assert house.billing.opened == []


async def test_the_environment_has_three_names(house: House) -> None:
    async with house.client() as client:
        for name in ("environment", "environment_name", "environment_tag"):
            body = {"username": "a", "email": f"{name}@example.com", name: "dev"}
            assert (await client.post("/admin/create", json=body)).json()["api_key"].startswith("gw_dev_")


async def test_a_failing_trial_leaves_no_account(house: House) -> None:
    class NoMoney:
        async def open_account(self, *_: object, **__: object) -> None:
            raise sa.exc.OperationalError("INSERT", {}, Exception("gone"))

    house.billing = NoMoney()  # type: ignore[assignment]
    async with house.client() as client:
        with pytest.raises(sa.exc.OperationalError):
            await client.post("/admin/create", json=NEW)
    async with house.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM users"))).scalar_one() == 0
