"""How a candidate is spoken to is worked out once for each dialect of clients, and goes with the candidate."""

from typing import Any

import pytest

from gatewayz.catalog.models import Model
from gatewayz.dialects import DIALECTS
from gatewayz.dialects.gemini import GeminiGenerateContent
from gatewayz.gateway.speaking import spoken
from gatewayz.infra.http_client import Timeouts
from gatewayz.providers.client import Upstreams
from gatewayz.providers.profile import Provider
from gatewayz.providers.simulated import Simulated
from gatewayz.routing.plan import Candidate
from tests.unit.catalog.catalog_values import a_model, an_offer

MODEL: Model = a_model("m/one")
NOBODY: Any = None
UPSTREAMS = Upstreams(NOBODY, None, Timeouts(1.0, 2.0))


def a_candidate(key: str = "k1", dialect: Any = "openai", url: str = "http://x/chat") -> Candidate:
    provider = Provider("a", "A", dialect, url, {"authorization": key})
    return Candidate(an_offer("m/one", "a"), provider, provider.chat_way)


def test_it_is_worked_out_once_for_each_dialect_of_clients() -> None:
    candidate = a_candidate()
    openai, anthropic = DIALECTS["openai"], DIALECTS["anthropic"]
    first = spoken(candidate, MODEL, openai, UPSTREAMS)
    assert spoken(candidate, MODEL, openai, UPSTREAMS) is first
    other = spoken(candidate, MODEL, anthropic, UPSTREAMS)
    assert (first.same, other.same) == (openai, None)
    assert spoken(candidate, MODEL, openai, UPSTREAMS) is first


def test_another_candidate_for_the_same_offer_has_nothing_of_the_first() -> None:
    """What is planned after a change of the catalog or the providers are new candidates."""
    before = spoken(a_candidate("k1"), MODEL, DIALECTS["openai"], UPSTREAMS)
    after = spoken(a_candidate("k2"), MODEL, DIALECTS["openai"], UPSTREAMS)
    assert (before.plain.headers["authorization"], after.plain.headers["authorization"]) == ("k1", "k2")
    assert a_candidate() == a_candidate(), "what was worked out does not make them different"


def test_a_dialect_that_was_made_for_one_path_is_not_remembered() -> None:
    candidate = a_candidate(dialect="gemini", url="http://x/models/{model}:generateContent")
    client = GeminiGenerateContent("m/one", stream=True)
    asked = spoken(candidate, MODEL, client, UPSTREAMS)
    assert asked.same is client
    assert candidate.spoken == {}
    assert asked.streamed.url.partition(":streamGenerateContent")[1]
    assert asked.plain.url.endswith(":generateContent")


@pytest.mark.parametrize(("simulated", "direct"), [(False, True), (True, False)])
def test_only_what_is_merely_sent_goes_the_direct_way(simulated: bool, direct: bool) -> None:
    provider = Provider("a", "A", "openai", "http://x", {"authorization": "secret"}, simulated=simulated)
    access = Upstreams(NOBODY, Simulated(lambda: 0.0), Timeouts(1.0, 2.0)).access(
        provider, provider.chat_way, stream=False
    )
    assert (access.direct, access.in_process) == (direct, simulated)
    assert "secret" not in repr(access)
