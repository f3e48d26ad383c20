"""Hugging Face's router: who serves a model behind it stands at the end of the model's name there, and has a price of its own."""

from collections.abc import Iterator

import pytest

from tests.acceptance.spine import error_of, ledger, settings_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

MESSAGES = [{"role": "user", "content": "Hi"}]
_MODEL = """
[[models]]
id = "{id}"
name = "{id}"
context_length = 8000
modality = "text->text"
[[models.offers]]
provider = "huggingface"
native_id = "{native}"
price_prompt_usd_per_mtok = {price}
price_completion_usd_per_mtok = {price}
"""


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One model by the router's own choice, the same at two providers behind it, and by a wish."""
    parts = [settings_toml()]
    parts.append(
        f'[[providers]]\nslug = "huggingface"\nbase_url = "{upstream.base_url("huggingface")}"\napi_key = "hf_x"\n'
    )
    for name, native, price in (
        ("org/model-x", "org/Model-X", 1),
        ("org/model-x-groq", "org/Model-X:groq", 2),
        ("org/model-x-fastest", "org/Model-X:fastest", 3),
    ):
        parts.append(_MODEL.format(id=name, native=native, price=price))
    with LiveGateway(tmp_path_factory.mktemp("router"), "".join(parts)) as live:
        yield live


@pytest.mark.parametrize(
    ("asked", "native", "price"),
    [
        ("org/model-x", "org/Model-X", 1),
        ("huggingface/org/Model-X", "org/Model-X", 1),
        ("hf/org/model-x", "org/Model-X", 1),
        ("org/model-x-groq", "org/Model-X:groq", 2),
        ("huggingface/org/Model-X:groq", "org/Model-X:groq", 2),
        ("huggingface/org/Model-X:fastest", "org/Model-X:fastest", 3),  # no wish for `:fast`
        ("huggingface/org/Model-X:fast", "org/Model-X", 1),  # which is about who serves it here
    ],
)
def test_a_provider_behind_the_router_is_asked_for_by_its_name_there_at_its_price(
    upstream: FakeUpstream, gateway: LiveGateway, asked: str, native: str, price: int
) -> None:
    customer: Customer = gateway.customer(1)
    answer = customer.call("POST", "/v1/chat/completions", {"model": asked, "messages": MESSAGES})
    assert answer.status_code == 200, answer.text
    entry = upstream.journal("huggingface")[-1]
    assert entry["model"] == native
    assert entry["headers"]["authorization"] == "Bearer hf_x"
    assert ledger(customer) == [("api_usage", pytest.approx(-15 * price / 1e6))]


@pytest.mark.parametrize("suffix", ["cheapest", "together"])
def test_what_has_no_price_here_is_not_asked_for(upstream: FakeUpstream, gateway: LiveGateway, suffix: str) -> None:
    before = len(upstream.journal("huggingface"))
    asked = {"model": f"huggingface/org/Model-X:{suffix}", "messages": MESSAGES}
    answer = gateway.customer(1).call("POST", "/v1/chat/completions", asked)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"
    assert len(upstream.journal("huggingface")) == before
