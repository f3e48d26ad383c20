"""Kept answers on both databases: written with the charge, chained, bounded, out of time, and in the journal."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_books import PRICE, USAGE, USD, Shop

from gatewayz.billing import journal
from gatewayz.billing.ops import Capture, Charge, HoldRef
from gatewayz.billing.pricing import price_json, usage_json
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import InvalidRequest, NotFound
from gatewayz.core.services import Service
from gatewayz.dialects import OPENAI_RESPONSES
from gatewayz.dialects.base import Glance
from gatewayz.gateway import keeping
from gatewayz.gateway.keeping import Keeping
from gatewayz.gateway.ports import Call
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import US_PER_DAY, ManualClock
from gatewayz.infra.crypto import KeyRing, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.operations.kept import LIFE_US, KeptAnswer
from gatewayz.operations.records import RequestRecord
from gatewayz.operations.tables import kept_answers

SERVICE: Service = "responses"


@pytest.fixture
def kept(database: Database, clock: ManualClock) -> Keeping:
    return Keeping(database, KeyRing([new_fernet_key()], b"pepper"), clock)


@pytest.fixture
async def shop(database: Database, clock: ManualClock) -> Any:
    made = Shop(database, clock)
    for user_id in (1, 2):
        await made.open(user_id, USD)
    yield made
    await made.close()


def caller(user_id: int) -> Caller:
    return Caller(user_id, user_id, "user", "free", frozenset(SCOPES))


def trip_of(user_id: int | None, **members: Any) -> tuple[Trip, Glance]:
    body = json.dumps({"model": "m", "input": "Hi", **members}).encode()
    call = Call(
        dialect=OPENAI_RESPONSES, endpoint="/v1/responses", body=body, request_id="r", claimed_id=None, credentials=(),
        client_ip="::1", headers={}, received_s=0.0,
    )  # fmt: skip
    trip = Trip(call, 0, caller(user_id) if user_id is not None else None)
    trip.glance = OPENAI_RESPONSES.glance(body)
    return trip, trip.glance


async def answered(kept: Keeping, shop: Shop, user_id: int, said: str, **members: Any) -> KeptAnswer:
    """A request that was answered, charged and kept."""
    trip, glance = trip_of(user_id, **members)
    assert glance.framing is not None
    await kept.prepare(trip, glance, glance.framing)
    item = {"type": "message", "role": "assistant", "content": said}
    row = kept.kept(trip, json.dumps({"id": glance.framing.answer_id, "output": [item]}).encode())
    assert row is not None
    hold = await shop.cashier.hold(caller(user_id), row.id, 1000)
    charge = Charge(1000, "m", "p", 1, 1, usage_json(USAGE), price_json(PRICE))
    record = RequestRecord(0, user_id, user_id, row.id, "/v1/responses", "m")
    await shop.cashier.capture(hold, row.id, charge, record, kept=row)
    return row


async def conversation(kept: Keeping, user_id: int, previous: str) -> list[str]:
    """The texts of the conversation that a request continues."""
    trip, glance = trip_of(user_id, previous_response_id=previous, input="now")
    assert glance.framing is not None
    await kept.prepare(trip, glance, glance.framing)
    return [item["content"] for item in json.loads(bytes(glance.fields["input"]))]


async def test_turns_are_chained_within_one_account(kept: Keeping, shop: Shop, database: Database) -> None:
    first = await answered(kept, shop, 1, "a", input="1")
    second = await answered(kept, shop, 1, "b", input="2", previous_response_id=first.id)
    assert await conversation(kept, 1, second.id) == ["1", "a", "2", "b", "now"]
    assert await conversation(kept, 1, first.id) == ["1", "a", "now"], "a conversation may branch"
    for user_id, answer_id in ((2, second.id), (1, "resp_" + "f" * 48), (1, "' OR 1=1"), (1, "x\0y")):
        with pytest.raises(NotFound) as told:
            await conversation(kept, user_id, answer_id)
        assert told.value.code == "previous_response_not_found"
    assert json.loads(await kept.response(1, second.id))["id"] == second.id
    assert json.loads(await kept.input(1, second.id))[0]["content"] == "2"
    with pytest.raises(NotFound):
        await kept.delete(2, first.id)
    await kept.delete(1, first.id)
    with pytest.raises(NotFound, match=first.id):
        await conversation(kept, 1, second.id)
    async with database.read() as connection:
        sealed = (await connection.execute(sa.select(kept_answers.c.sealed_input))).scalars().all()
    assert len(sealed) == 1 and b"content" not in bytes(sealed[0])


async def test_an_answer_is_kept_for_thirty_days(
    kept: Keeping, shop: Shop, clock: ManualClock, database: Database
) -> None:
    first = await answered(kept, shop, 1, "a", input="1")
    assert first.expires_at_us == clock.now_us() + 30 * US_PER_DAY
    clock.advance(29 * 86_400)
    second = await answered(kept, shop, 1, "b", input="2", previous_response_id=first.id)
    await kept.purge()
    assert await conversation(kept, 1, second.id) == ["1", "a", "2", "b", "now"]
    clock.advance(86_401)
    with pytest.raises(NotFound):
        await kept.response(1, first.id)
    with pytest.raises(NotFound, match=first.id):
        await conversation(kept, 1, second.id)
    await kept.purge()
    async with database.read() as connection:
        assert (await connection.execute(sa.select(kept_answers.c.id))).scalars().all() == [second.id]
    assert LIFE_US == 30 * US_PER_DAY


async def test_a_conversation_is_bounded_in_turns_and_bytes(
    kept: Keeping, database: Database, clock: ManualClock, shop: Shop
) -> None:
    def rows(letter: str, count: int, size: int) -> list[dict[str, Any]]:
        sealed = kept._seal(b"[]"), kept._seal(b'{"output":[]}')
        return [
            {
                "id": f"resp_{letter}{number:047x}",
                "user_id": 1,
                "previous_id": f"resp_{letter}{number - 1:047x}" if number else None,
                "sealed_input": sealed[0],
                "sealed_response": sealed[1],
                "plain_bytes": size,
                "created_at_us": 0,
                "expires_at_us": clock.now_us() + 1_000_000,
            }
            for number in range(count)
        ]

    large = keeping.MAX_CONVERSATION_BYTES // 4
    async with database.begin() as connection:
        await connection.execute(sa.insert(kept_answers), rows("a", keeping.MAX_TURNS + 1, 10) + rows("b", 6, large))
    assert await conversation(kept, 1, f"resp_a{keeping.MAX_TURNS - 1:047x}") == ["now"]
    assert await conversation(kept, 1, f"resp_b{3:047x}") == ["now"]
    for answer_id in (f"resp_a{keeping.MAX_TURNS:047x}", f"resp_b{4:047x}", f"resp_b{5:047x}"):
        with pytest.raises(InvalidRequest) as told:
            await conversation(kept, 1, answer_id)
        assert (told.value.code, told.value.param) == ("conversation_too_long", "previous_response_id")


async def test_what_cannot_be_kept_says_so(kept: Keeping) -> None:
    for user_id, text in ((None, "Hi"), (1, "x" * (keeping.MAX_INPUT_BYTES + 1))):
        trip, glance = trip_of(user_id, input=text)
        assert glance.framing is not None and glance.framing.keep
        await kept.prepare(trip, glance, glance.framing)
        assert not glance.framing.keep and kept.kept(trip, b'{"output":[]}') is None
    trip, glance = trip_of(1, store=False)
    assert glance.framing is not None
    await kept.prepare(trip, glance, glance.framing)
    assert trip.kept_input is None and glance.framing.answer_id.startswith("resp_")


async def test_a_large_input_is_sealed_off_the_loop_and_comes_back(kept: Keeping, shop: Shop) -> None:
    text = "é" * 600_000
    row = await answered(kept, shop, 1, "a", input=text)
    assert row.plain_bytes > 256 * 1024 and len(row.sealed_input) < 100_000
    told = await asyncio.wait_for(conversation(kept, 1, row.id), 30)
    assert told == [text, "a", "now"]


async def test_a_large_response_comes_back_and_a_huge_one_is_not_kept(kept: Keeping, shop: Shop) -> None:
    row = await answered(kept, shop, 1, "b" * 400_000)
    assert len(await kept.response(1, row.id)) > 400_000
    assert await conversation(kept, 1, row.id) == ["Hi", "b" * 400_000, "now"]
    trip, glance = trip_of(1)
    assert glance.framing is not None
    await kept.prepare(trip, glance, glance.framing)
    assert kept.kept(trip, b'{"output":[],"x":"' + b"y" * keeping.MAX_RESPONSE_BYTES + b'"}') is None
    assert kept.kept(trip, b"event: error\ndata: {}\n\n") is None


def test_a_kept_answer_waits_in_the_journal_with_its_charge() -> None:
    row = KeptAnswer("resp_1", 1, None, b"\x00in", b"\xffout", 7, 1, 2)
    charge = Charge(1, "m", "p", 1, 1, "{}", "{}")
    op = Capture("1:r", HoldRef(1, 1, 1), charge, RequestRecord(0, 1, 1, "r", "/v1/responses", "m"), kept=row)
    (again,) = journal.decode(journal.encode("batch", [op])).ops
    assert again == op
