"""Where lists are, who gets the credential, and how pages of a list are followed."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gatewayz.infra.http_client import Broken, Timeouts
from gatewayz.providers.config import ConfiguredProvider, read_providers
from gatewayz.providers.discovery import MAX_PAGES, fetch_feed
from gatewayz.providers.model_feeds import FeedUnreadable, ModelFeed
from gatewayz.providers.profile import Profile, ProfileError, load_profiles, parse_profile
from gatewayz.providers.registry import build_providers


def feed_of(slug: str, **configured: Any) -> ModelFeed | None:
    wanted = [ConfiguredProvider(slug, api_key="k", **configured)]
    provider = build_providers(load_profiles(), {}, wanted, simulated=False).get(slug)
    assert provider is not None
    return provider.feed


@pytest.mark.parametrize(
    ("slug", "configured", "url", "unit", "with_key"),
    [
        ("openrouter", {}, "https://openrouter.ai/api/v1/models", "usd_per_token", True),
        ("anthropic", {}, "https://api.anthropic.com/v1/models?limit=1000", "none", True),
        ("deepinfra", {}, "https://api.deepinfra.com/models/list", "cents_per_token", True),
        ("helicone", {}, "https://api.helicone.ai/v1/public/model-registry/models", "usd_per_mtok", False),
        ("deepinfra", {"base_url": "http://here:1/v1"}, "http://here:1/v1/models", "cents_per_token", True),
        ("mine", {"base_url": "http://mine:1/v1"}, "http://mine:1/v1/models", "none", True),
        ("mine", {"base_url": "http://mine:1/v1", "models_feed": {"unit": "usd_per_mtok"}}, "http://mine:1/v1/models",
            "usd_per_mtok", True),
        ("mine", {"base_url": "http://mine:1/v1", "models_feed": {"path": "http://other:1/list"}}, "http://other:1/list",
            "none", False),
        ("mine", {"base_url": "http://mine:1/v1", "models_feed": {"path": "../list?all=1"}}, "http://mine:1/list?all=1",
            "none", True),
    ],
)  # fmt: skip
def test_places(slug: str, configured: dict[str, Any], url: str, unit: str, with_key: bool) -> None:
    feed = feed_of(slug, **configured)
    assert feed is not None
    assert (feed.url, feed.unit, feed.with_key) == (url, unit, with_key)


def test_some_have_no_list() -> None:
    assert feed_of("minimax") is None and feed_of("perplexity") is None
    assert feed_of("mine", base_url="http://mine:1/v1", models_feed={"shape": "none"}) is None
    assert feed_of("ollama", base_url="http://mine:1/v1") is None, "local servers are looked at in another way"


def test_every_profile_with_a_unit_says_where_that_was_read() -> None:
    stated: list[Profile] = [profile for profile in load_profiles().values() if profile.feed is not None]
    assert len(stated) > 15 and all(profile.feed_source for profile in stated)


@pytest.mark.parametrize(
    ("feed", "problem"),
    [
        ('shape = "sphere"\nsource = "x"', "shape"), ('shape = "openai"\nunit = "bananas"\nsource = "x"', "unit"),
        ('shape = "openai"', "source"), ('shape = "openai"\nsource = "x"\ncolour = "red"', "models_feed"),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_refused(feed: str, problem: str) -> None:
    text = f'slug = "x"\nname = "X"\ndialect = "openai"\nbase_url = "https://x.example"\n[models_feed]\n{feed}\n'
    with pytest.raises(ProfileError, match=problem):
        parse_profile(text, "x.toml")


def test_mistakes_of_the_operator_are_named() -> None:
    table = {"slug": "mine", "base_url": "http://mine:1/v1"}
    for feed, word in (
        ({"unit": "bananas"}, "models_feed.unit must be one of"),
        ({"shape": "sphere"}, "models_feed.shape must be one of"),
        ({"color": "red"}, "no member 'color'"),
        ({"path": "ftp://x/y"}, "models_feed.path must"),
        ("no table", "models_feed must be a table"),
    ):
        _, mistakes = read_providers([{**table, "models_feed": feed}], lambda _: None, {}, load_profiles())
        assert [word in mistake.problem for mistake in mistakes] == [True], (feed, mistakes)


class Pages:
    """Answers pages by the token in the query; notes what was asked."""

    def __init__(self, pages: Mapping[str, Any], status: int = 200) -> None:
        self.pages = pages
        self.status_code = status
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.open = 0

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> "Pages":
        self.asked.append((url, headers))
        self.open += 1
        self.body = self.pages.get(url.partition("pageToken=")[2], self.pages[""])
        return self

    @property
    def status(self) -> int:
        return self.status_code

    headers: Mapping[str, str] = {}

    async def read(self) -> bytes:
        if self.body == "broken":
            raise Broken("cut off")
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    async def next_chunk(self) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        self.open -= 1

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> "Pages":
        raise NotImplementedError


def google() -> Any:
    wanted = [ConfiguredProvider("google-ai-studio", api_key="secret")]
    return build_providers(load_profiles(), {}, wanted, simulated=False).get("google-ai-studio")


async def test_pages_are_followed_with_the_credential() -> None:
    def page(name: str, token: str | None) -> dict[str, Any]:
        return {
            "models": [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]}],
            "nextPageToken": token,
        }

    pages = Pages({"": page("a", "t1"), "t1": page("b", "t2"), "t2": page("c", None)})
    models, unread = await fetch_feed(pages, google())  # type: ignore[arg-type]
    assert [model.native_id for model in models] == ["a", "b", "c"] and unread == 0
    assert len(pages.asked) == 3 and pages.open == 0
    assert all(headers["x-goog-api-key"] == "secret" for _, headers in pages.asked)
    assert "pageSize=1000&pageToken=t1" in pages.asked[1][0]


@pytest.mark.parametrize("body", [{"models": []}, "broken", "<html>", {"models": [{"name": "x"}], "nextPageToken": ""}])
async def test_what_is_no_list_is_an_error_and_the_reply_is_closed(body: Any) -> None:
    pages = Pages({"": body})
    try:
        models, _ = await fetch_feed(pages, google())  # type: ignore[arg-type]
        assert len(models) == 1
    except (FeedUnreadable, Broken):
        assert body in ({"models": []}, "broken", "<html>")
    assert pages.open == 0


async def test_a_list_without_end_and_an_error_status_are_refused() -> None:
    endless = Pages({"": {"models": [{"name": "x"}], "nextPageToken": "more"}})
    with pytest.raises(FeedUnreadable, match="pages"):
        await fetch_feed(endless, google())  # type: ignore[arg-type]
    assert len(endless.asked) == MAX_PAGES
    with pytest.raises(FeedUnreadable, match="HTTP status 401"):
        await fetch_feed(Pages({"": {}}, 401), google())  # type: ignore[arg-type]
