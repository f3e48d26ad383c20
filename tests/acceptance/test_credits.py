"""Credits as a customer sees them (6.1)."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance.conftest import SETTINGS
from tests.acceptance.spine import eventually
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway


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
    assert error["suggestions"][0] == "lower max_tokens" and "add credit" in error["suggestions"]
    assert "max_tokens" in error["hint"]
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


def spent(customer: Customer) -> float:
    """USD that have left the account by usage and refunds."""
    return -sum(row["amount_usd"] for row in customer.transactions() if row["type"] in ("api_usage", "hold", "refund"))


@pytest.mark.ac("AC-6.1.2")
@pytest.mark.parametrize("stream", [False, True])
def test_a_repeated_request_id_is_charged_once(gateway: LiveGateway, upstream: FakeUpstream, stream: bool) -> None:
    customer = gateway.customer(10)
    headers = {"X-Request-ID": f"order-{stream}"}
    first = customer.chat("acme/chat", headers=headers, stream=stream)
    again = customer.chat("acme/chat", headers=headers, stream=stream)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-idempotent-replay"] == "true"
    assert "x-idempotent-replay" not in first.headers
    assert len(upstream.journal()) == 1
    assert len(customer.transactions(type="api_usage")) == 1


def test_the_same_id_of_two_accounts_never_meets(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    one, two = gateway.customer(10), gateway.customer(10)
    for customer in (one, two):
        assert customer.chat("acme/chat", headers={"Idempotency-Key": "shared"}).status_code == 200
    assert len(upstream.journal()) == 2


def test_the_same_id_with_another_body_is_a_conflict(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)
    assert customer.chat("acme/chat", "one", headers={"X-Request-ID": "dup"}).status_code == 200
    answer = customer.chat("acme/chat", "two", headers={"X-Request-ID": "dup"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_the_same_id_while_it_runs_is_in_progress(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    upstream.script("first", default={"delay_s": 1.0})
    with ThreadPoolExecutor() as pool:
        running = pool.submit(customer.chat, "acme/single", headers={"X-Request-ID": "slow"})
        upstream.wait_until("first", "model", "acme-single")
        second = customer.chat("acme/single", headers={"X-Request-ID": "slow"})
        assert (second.status_code, second.json()["error"]["code"]) == (409, "request_in_progress")
        assert running.result().status_code == 200


@pytest.mark.ac("AC-6.1.4")
@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_a_provider_fault_is_refunded(gateway: LiveGateway, upstream: FakeUpstream, status: int) -> None:
    customer = gateway.customer(10)
    before = customer.balance()["balance_usd_exact"]
    upstream.script("first", default={"status": status})
    answer = customer.chat("acme/single", headers={"X-Request-ID": "fault"})
    assert answer.status_code in (502, 503, 504)
    assert customer.balance()["balance_usd_exact"] == before
    refund, hold = customer.transactions()[:2]
    assert (refund["type"], hold["type"]) == ("refund", "hold")
    assert refund["amount_usd"] == -hold["amount_usd"] > 0
    assert refund["request_id"] == "fault:refund"
    upstream.reset()
    retried = customer.chat("acme/single", headers={"X-Request-ID": "fault"})
    assert retried.status_code == 200
    assert customer.transactions(type="api_usage")[0]["request_id"] == "fault:2"


@pytest.mark.ac("AC-6.1.5")
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_timeout_is_refunded(gateway: LiveGateway, upstream: FakeUpstream, stream: bool) -> None:
    customer = gateway.customer(10)
    before = customer.balance()["balance_usd_exact"]
    upstream.script("first", default={"hang": "headers"})
    answer = customer.chat("acme/single", stream=stream)
    if stream:
        assert '"code":"provider_timeout"' in answer.text.replace(" ", "")
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "provider_timeout")
    assert customer.balance()["balance_usd_exact"] == before
    assert customer.transactions()[0]["type"] == "refund"


@pytest.mark.ac("AC-6.1.6")
def test_the_callers_own_mistake_leaves_no_row(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    rows = len(customer.transactions())
    upstream.script("first", default={"status": 400})
    assert customer.chat("acme/single").status_code == 400
    assert customer.chat("acme/single", temperature=9).status_code == 400
    assert customer.chat("no-such-model").status_code == 404
    assert len(customer.transactions()) == rows


PREMIUM = (
    "openai/gpt-4-custom", "openai/gpt-5-custom", "openai/o1-custom", "openai/o3-custom", "openai/o4-custom",
    "anthropic/claude-custom", "google/gemini-1.5-pro-custom", "google/gemini-2-custom", "google/gemini-3-custom",
    "google/gemini-pro-custom", "cohere/command-r-plus-custom", "mistralai/mixtral-8x22b-custom", "x-ai/grok-custom",
)  # fmt: skip


@pytest.mark.ac("AC-6.1.7", "AC-5.3.3")
def test_premium_models_never_run_without_their_own_price(upstream: FakeUpstream, tmp_path: Path) -> None:
    models = "".join(
        f'[[models]]\nid = "{name}"\nname = "Custom"\ncontext_length = 1000\n'
        f'[[models.offers]]\nprovider = "{"openai" if name.startswith("openai") else "openrouter"}"\nnative_id = "x"\n'
        for name in PREMIUM
    )
    entry = '[[providers]]\nslug = "{0}"\nbase_url = "{1}"\ndialect = "openai"\napi_key = "sk"\n'
    config = (
        SETTINGS + "".join(entry.format(slug, upstream.base_url(slug)) for slug in ("openai", "openrouter")) + models
    )
    with LiveGateway(tmp_path, config) as live:
        customer = live.customer(10)
        listed = {model["id"] for model in live.call("GET", "/v1/models").json()["data"]}
        for name in PREMIUM:
            for answer in (
                customer.chat(name),
                customer.chat(name, stream=True),
                customer.call(
                    "POST",
                    "/v1/messages",
                    {"model": name, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]},
                ),
            ):
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == (503, "pricing_unavailable"), (name, answer.text)
                assert name in error["message"]
            assert name not in listed
    assert upstream.journal() == []


@pytest.mark.ac("AC-6.1.8", "AC-6.1.11")
def test_usage_rows_say_everything_and_lists_count_all(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)
    ids = [customer.chat("acme/chat").headers["x-request-id"] for _ in range(3)]
    page = customer.call("GET", "/credits/transactions?limit=2&type=api_usage").json()
    assert (page["total"], page["returned"], page["limit"], page["has_more"]) == (3, 2, 2, True)
    row = page["data"][0]
    assert row["request_id"] == ids[-1]
    assert row["user_id"] == customer.user_id
    assert (row["model"], row["provider"]) == ("acme/chat", "first")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (10, 5)
    assert row["amount_usd_exact"] == "-0.00006"
    assert row["price_nano_usd_per_mtok"]["prompt"] == 2_000_000_000
    assert sum(row["split_usd"].values()) == pytest.approx(row["amount_usd"])
    assert customer.call("GET", f"/credits/transactions?key_id={row['key_id']}").json()["total"] >= 3
    assert customer.call("GET", "/credits/transactions?to=2020-01-01").json()["total"] == 0
    assert customer.call("GET", "/credits/transactions?limit=0").status_code == 422
    assert customer.call("GET", "/credits/transactions?type=theft").status_code == 422


@pytest.mark.ac("AC-6.1.12")
def test_administrators_move_money_with_a_reason(gateway: LiveGateway) -> None:
    customer = gateway.customer(0)
    user = {"user_id": customer.user_id}
    assert gateway.call("POST", "/credits/add", {**user, "amount_usd": 1}, key=gateway.admin_key).status_code == 422
    assert (
        gateway.call("POST", "/credits/add", {**user, "amount_usd": 1, "reason": "x"}, key=customer.key).status_code
        == 403
    )
    assert gateway.admin("POST", "/credits/add", {**user, "amount_usd": "2.5", "reason": "gift"})["amount_usd"] == 2.5
    assert (
        gateway.admin("POST", "/credits/adjust", {**user, "amount_usd": "-0.5", "reason": "oops"})["amount_usd"] == -0.5
    )
    too_much = {**user, "amount_usd": "1000.01", "reason": "x"}
    refused = gateway.call("POST", "/credits/add", too_much, key=gateway.admin_key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "grant_cap_exceeded")
    charged = customer.chat("acme/chat").headers["x-request-id"]
    refund = {**user, "request_id": charged, "reason": "bad answer"}
    assert (
        gateway.call("POST", "/credits/refund", {**refund, "amount_usd": 1}, key=gateway.admin_key).status_code == 400
    )
    assert gateway.admin("POST", "/credits/refund", refund)["amount_usd"] == pytest.approx(6e-5)
    assert gateway.call("POST", "/credits/refund", refund, key=gateway.admin_key).status_code == 400
    assert customer.balance()["buckets"]["purchased"]["balance_usd"] == 2.0 or customer.balance()["balance_usd"] == 7.0
    actions = [row["action"] for row in gateway.admin("GET", "/admin/audit-logs?limit=50")["data"]]
    assert {"credits.add", "credits.adjust", "credits.refund", "credits.add_refused"} <= set(actions)


@pytest.mark.ac("AC-6.1.13")
def test_a_keys_daily_cap_is_kept(gateway: LiveGateway) -> None:
    customer = gateway.customer(10, daily_usd_cap=0.01)
    answer = customer.chat("acme/single", max_tokens=1000)
    assert answer.status_code == 200, answer.text
    refused = customer.chat("acme/single", max_tokens=1250)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "daily_usage_cap")
    helps = ["lower max_tokens", "wait for the next day (UTC)", "raise the cap of the key"]
    assert refused.json()["error"]["suggestions"] == helps


def test_a_key_without_requests_left_is_told_of_no_lever(gateway: LiveGateway) -> None:
    customer = gateway.customer(10, max_requests=1)
    assert customer.chat("acme/single").status_code == 200
    error = customer.chat("acme/single").json()["error"]
    assert (error["code"], error["suggestions"]) == ("key_request_cap", ["use another key"])
    assert error["hint"] == "Use another key."


@pytest.mark.ac("AC-6.1.13")
def test_an_accounts_own_daily_cap_is_kept_and_can_be_taken_away(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)
    assert customer.call("PUT", "/user/daily-cap", {"daily_usd_cap": -1}).status_code == 422
    assert customer.call("PUT", "/user/daily-cap", {"daily_usd_cap": "0.001"}).json() == {"daily_usd_cap": 0.001}
    assert customer.balance()["daily_cap_usd"] == 0.001
    refused = customer.chat("acme/single", max_tokens=1000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "daily_usage_cap")
    assert customer.call("PUT", "/user/daily-cap", {"daily_usd_cap": None}).status_code == 200
    assert customer.chat("acme/single", max_tokens=1000).status_code == 200


def test_a_trial_spends_its_daily_share_only(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    trial = gateway.customer(0)
    upstream.script("first", default={"usage": {"prompt": 10, "completion": 124_000}})
    assert trial.chat("acme/single", max_tokens=124_000).status_code == 200
    refused = trial.chat("acme/single", max_tokens=1_000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "trial_daily_limit")


def test_low_balance_is_announced_before_zero(gateway: LiveGateway) -> None:
    rich, poor = gateway.customer(100), gateway.customer(0)
    assert "x-credits-remaining" not in rich.chat("acme/chat").headers
    announced = poor.chat("acme/chat")
    assert float(announced.headers["x-credits-remaining"]) == pytest.approx(500 - 0.006, abs=0.01)


def test_402_speaks_the_clients_dialect(gateway: LiveGateway) -> None:
    poor = gateway.customer(0)
    body = {"model": "acme/chat", "max_tokens": 10_000_000, "messages": [{"role": "user", "content": "x"}]}
    error = poor.call("POST", "/v1/messages", {**body, "max_tokens": 128_000}).json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "billing_error"
    assert error["error"]["shortfall_usd"] > 0


@pytest.mark.ac("AC-6.3.1", "AC-6.3.2", "AC-6.3.3", "AC-6.3.4")
def test_log_statistics_and_ledger_agree(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    for _ in range(3):
        customer.chat("acme/chat")
    upstream.script("first", default={"status": 400})
    customer.chat("acme/single")

    def whole_log() -> Any:
        log = customer.call("GET", "/user/activity/log?limit=2").json()
        return log["total"] == 4 and log

    # A record that comes with no charge is written after the answer.
    assert eventually(whole_log, "four records")["returned"] == 2
    stats = customer.call("GET", "/user/activity/stats?days=1").json()
    assert (stats["requests"], stats["errors"], stats["error_rate"]) == (4, 1, 0.25)
    assert stats["cost_usd_exact"] == "0.00018"
    assert stats["cost_usd"] == pytest.approx(spent(customer))
    assert [row["requests"] for row in stats["by_key"]] == [4]
    assert customer.call("GET", "/user/activity/log?status=400").json()["total"] == 1
    key_id = stats["by_key"][0]["key_id"]
    one_key = customer.call("GET", f"/user/api-keys/{key_id}/usage").json()
    assert (one_key["requests"], one_key["errors"], one_key["cost_usd_exact"]) == (4, 1, "0.00018")
    assert [row["model"] for row in one_key["by_model"]] == ["acme/chat", "acme/single"]
    assert one_key["last_used_at"] and sum(row["requests"] for row in one_key["by_date"]) == 4
    stranger = gateway.customer(0)
    assert stranger.call("GET", f"/user/api-keys/{key_id}/usage").status_code == 404
    assert customer.call("GET", "/user/activity/log?limit=1001").status_code == 422
    assert customer.call("GET", "/user/activity/log?limit=0").status_code == 422


@pytest.mark.ac("AC-9.2.3")
def test_cache_tokens_are_priced_apart(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 10,
        "output_tokens": 20,
    }
    upstream.script("ant", default={"usage": {"prompt": 1110, "cached": 1000, "cache_write": 10, "completion": 20}})
    body = {"model": "acme/claude-like", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]}
    answer = customer.call("POST", "/v1/messages", body)
    assert answer.status_code == 200, answer.text
    told = answer.json()["usage"]
    assert {name: told[name] for name in usage} == usage
    cost = 100 * 3e-6 + 1000 * 0.3e-6 + 10 * 3.75e-6 + 20 * 15e-6
    assert told["cost"] == pytest.approx(cost)
    assert -customer.transactions(type="api_usage")[0]["amount_usd"] == pytest.approx(cost)


def test_a_stream_that_outgrows_the_balance_is_stopped_and_charged(
    gateway: LiveGateway, upstream: FakeUpstream
) -> None:
    customer = gateway.customer(0)  # a trial: one dollar a day
    upstream.script("ant", default={"text": "word " * 400_000, "chunk_chars": 10_000, "chunk_delay_s": 0.01})
    body = {
        "model": "acme/claude-like",
        "stream": True,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "x"}],
    }
    answer = customer.call("POST", "/v1/messages", body)
    assert "credit_used_up" in answer.text
    assert answer.text.count("event: error") == 1
    assert upstream.wait_until("ant", "closed_early", True)
    row = customer.transactions(type="api_usage")[0]
    assert 0.5 < -row["amount_usd"] < 3
    log = customer.call("GET", "/user/activity/log?limit=1").json()["data"][0]
    assert (log["status"], log["error_code"], log["usage_estimated"]) == (402, "credit_used_up", True)


def test_a_client_that_leaves_pays_for_what_was_produced(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    upstream.script("first", default={"text": "word " * 400, "chunk_chars": 50, "chunk_delay_s": 0.05})
    headers = {"Authorization": f"Bearer {customer.key}", "X-Request-ID": "left"}
    body = {"model": "acme/single", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.stream(
        "POST", gateway.base_url + "/v1/chat/completions", json=body, headers=headers, timeout=30
    ) as stream:
        for number, _ in enumerate(stream.iter_lines()):
            if number > 6:
                break
    assert upstream.wait_until("first", "closed_early", True)
    until = time.monotonic() + 5
    while not (rows := customer.transactions(type="api_usage")):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert 0 < -rows[0]["amount_usd"] < 400 * 8e-6
    assert rows[0]["usage"]["estimated"] is True
    upstream.reset()
    again = customer.chat("acme/single", "Hi", headers={"X-Request-ID": "left"}, stream=True)
    assert again.status_code == 200
    assert customer.transactions(type="api_usage")[0]["request_id"] == "left:2"
