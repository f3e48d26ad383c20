"""A live gateway with a fake upstream that plays several providers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import spine
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway

# Limits that would get in the way of tests that are not about them.
SETTINGS = """
[settings]
ip_limit_per_min = 100000
fingerprint_limit_per_min = 100000
registrations_per_hour = 100000
key_creations_per_hour = 10
explore_share = 0
admin_grant_cap_24h_usd = 1000000
rpm_free = 100000
first_token_timeout_s = 2
idle_timeout_s = 2
connect_timeout_s = 1
commit_gate_s = 1
breaker_failures = 1000
velocity_min_requests = 1000000
"""

# One model per purpose; prices are those of the worked example of the specification where money is looked at.
MODELS = """
[[models]]
id = "acme/chat"
name = "Acme Chat"
context_length = 128000
modality = "text+image->text"
supports_tools = true
[[models.offers]]
provider = "first"
native_id = "acme-chat-native"
price_prompt_usd_per_mtok = 2
price_completion_usd_per_mtok = 8
[[models.offers]]
provider = "second"
native_id = "acme-chat-second"
price_prompt_usd_per_mtok = 2
price_completion_usd_per_mtok = 8
[[models]]
id = "acme/single"
name = "Acme Single"
context_length = 128000
modality = "text->text"
[[models.offers]]
provider = "first"
native_id = "acme-single"
price_prompt_usd_per_mtok = 2
price_completion_usd_per_mtok = 8
[[models]]
id = "acme/claude-like"
name = "Acme Messages"
context_length = 200000
modality = "text+image->text"
supports_tools = true
[[models.offers]]
provider = "ant"
native_id = "acme-messages"
price_prompt_usd_per_mtok = 3
price_completion_usd_per_mtok = 15
price_cache_read_usd_per_mtok = 0.3
price_cache_write_usd_per_mtok = 3.75
[[models]]
id = "acme/tiny:free"
name = "Acme Tiny"
context_length = 8000
modality = "text->text"
[[models.offers]]
provider = "first"
native_id = "acme-tiny"
price_prompt_usd_per_mtok = 0
price_completion_usd_per_mtok = 0
"""


def providers(upstream: FakeUpstream) -> str:
    """Three providers, all played by the fake upstream: two of the OpenAI dialect, one of Anthropic's."""
    entry = '[[providers]]\nslug = "{slug}"\nbase_url = "{url}"\ndialect = "{dialect}"\napi_key = "sk-{slug}"\npriority = {priority}\n'
    return "".join(
        entry.format(slug=slug, url=upstream.base_url(slug), dialect=dialect, priority=priority)
        for slug, dialect, priority in (("first", "openai", 1), ("second", "openai", 2), ("ant", "anthropic", 3))
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake upstream, without scripts."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway on SQLite, without Redis."""
    home: Path = tmp_path_factory.mktemp("gateway")
    with LiveGateway(home, SETTINGS + providers(upstream) + MODELS) as live:
        yield live


@pytest.fixture(autouse=True)
def _fresh_upstream(upstream: FakeUpstream) -> None:
    upstream.reset()


@pytest.fixture(scope="module", autouse=True)
def official_clients() -> Iterator[None]:
    """Those of a module are closed with it."""
    yield
    spine.close_clients()
