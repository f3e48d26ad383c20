"""Applications say who they are with OpenRouter's headers: kept with the record, shown to the account, told to nobody else."""

import pytest

from tests.acceptance import spine
from tests.fakes.handle import FakeUpstream
from tests.live import Customer

APP = {"HTTP-Referer": "https://app.example/chat?x=1", "X-Title": "My App"}


@pytest.fixture
def upstream() -> FakeUpstream:
    upstream = spine.shared().upstream
    upstream.reset()
    return upstream


@pytest.fixture
def customer(upstream: FakeUpstream) -> Customer:
    return spine.shared().gateway.customer(5)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", spine.chat_body(spine.CHAT)),
        ("/api/v1/chat/completions", spine.chat_body(spine.CHAT)),
        ("/v1/messages", spine.messages_body(spine.CHAT)),
        ("/v1/responses", {"model": spine.CHAT, "input": "Hello!"}),
    ],
)
def test_the_app_is_kept_with_the_record_and_never_sent_on(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, object], stream: bool
) -> None:
    answer = customer.call("POST", path, {**body, "stream": stream}, **APP)
    assert answer.status_code == 200
    record = spine.only_record(customer)
    assert record["app"] == {"id": record["app"]["id"], "origin": "https://app.example", "title": "My App"}
    told = customer.call("GET", f"/api/v1/generation?id={answer.headers['x-request-id']}").json()["data"]
    assert (told["app_id"], told["origin"]) == (record["app"]["id"], "https://app.example")
    assert told["http_referer"] == "https://app.example"
    (asked,) = upstream.journal()
    assert not {"http-referer", "x-title", "x-openrouter-title", "referer"} & asked["headers"].keys()
    assert "app.example" not in str(asked)


def test_the_newer_header_wins_and_a_request_without_any_has_no_app(customer: Customer) -> None:
    body = spine.chat_body(spine.CHAT)
    titles = {"X-Title": "Old", "X-OpenRouter-Title": "New"}
    customer.call("POST", "/v1/chat/completions", body, **titles)
    customer.call("POST", "/v1/chat/completions", body)
    customer.call("POST", "/v1/chat/completions", body, **{"HTTP-Referer": "not an address"})
    rows = spine.eventually(
        lambda: len(found := customer.call("GET", "/user/activity/log").json()["data"]) == 3 and found, "three records"
    )
    assert isinstance(rows, list)
    assert [row["app"] and row["app"]["title"] for row in rows] == [None, None, "New"]
    told = customer.call("GET", f"/v1/generation?id={rows[0]['request_id']}").json()["data"]
    assert (told["app_id"], told["origin"], told["http_referer"]) == (None, "", None)


def test_a_request_that_is_refused_has_its_app_too(customer: Customer) -> None:
    assert customer.call("POST", "/v1/chat/completions", spine.chat_body("nobody/x"), **APP).status_code == 404
    assert spine.only_record(customer)["app"]["title"] == "My App"


def test_statistics_and_the_log_by_app(customer: Customer) -> None:
    body = spine.chat_body(spine.CHAT)
    for headers in (APP, APP, {"X-Title": "Other"}, {}):
        assert customer.call("POST", "/v1/chat/completions", body, **headers).status_code == 200
    stats = spine.eventually(
        lambda: (found := customer.call("GET", "/user/activity/stats").json())["requests"] == 4 and found,
        "four records",
    )
    assert isinstance(stats, dict)
    by_app = {each["app"] and each["app"]["title"]: each for each in stats["by_app"]}
    assert {name: each["requests"] for name, each in by_app.items()} == {"My App": 2, "Other": 1, None: 1}
    assert sum(each["cost_usd"] for each in stats["by_app"]) == pytest.approx(stats["cost_usd"])
    for query, count in (("https://app.example", 2), ("Other", 1), ("https://other.example", 0)):
        assert customer.call("GET", f"/user/activity/log?app={query}").json()["total"] == count
    assert customer.call("GET", "/user/activity/stats?app=Other").json()["requests"] == 1
