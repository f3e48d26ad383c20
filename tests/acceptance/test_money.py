"""Credits as a customer sees them (6.1)."""

import pytest

from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway


@pytest.mark.ac("AC-6.1.1")
def test_without_credit_nobody_is_called(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    poor = gateway.customer(0)
    gateway.admin("POST", "/credits/add", {"user_id": poor.user_id, "amount_usd": "0.000001", "reason": "test"})
    answer = poor.chat("acme/single", max_tokens=1_000_000)
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert error["type"] == "insufficient_credits"
    assert error["code"] in ("payment_required", "trial_daily_limit")
    assert error["shortfall_usd"] > 0 and error["required_usd"] > error["balance_usd"] - 5
    assert {"topup_url", "upgrade_url", "hint"} <= error.keys()
    assert upstream.journal() == []


def test_one_answer_is_one_row(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)
    before = customer.balance()["balance_usd"]
    answer = customer.chat("acme/chat")
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]
    cost = usage["prompt_tokens"] * 2e-6 + usage["completion_tokens"] * 8e-6
    assert usage["cost"] == pytest.approx(cost)
    assert float(answer.headers["x-gatewayz-cost-usd"]) == pytest.approx(cost)
    assert customer.balance()["balance_usd"] == pytest.approx(before - cost)
    rows = customer.transactions(type="api_usage")
    assert [row["request_id"] for row in rows] == [answer.headers["x-request-id"]]
