"""Where providers tell what is left there."""

from typing import Any

import pytest

from gatewayz.providers.balances import BalanceSource, read_balance
from gatewayz.providers.profile import ProfileError, load_profiles, parse_profile

ACME = 'slug = "acme"\nname = "Acme"\ndialect = "openai"\nbase_url = "https://api.acme.example/v1"\nenv = ["ACME_API_KEY"]\n'


def test_profiles_know_where_their_balance_stands() -> None:
    known = {slug: each.balance for slug, each in load_profiles().items() if each.balance is not None}
    assert known["openrouter"].url == "https://openrouter.ai/api/v1/key" and known["openrouter"].unit == "USD"
    assert "management key" in known["xai"].note
    assert {"deepseek", "moonshot", "novita", "hyperbolic", "vercel-ai-gateway", "fal"} <= known.keys()
    assert "anthropic" not in known


def test_a_table_is_read_as_it_stands() -> None:
    text = ACME + '[balance]\nurl = "https://api.acme.example/left"\nfield = "left"\nunit = "US cents"\n'
    assert parse_profile(text, "acme.toml").balance == BalanceSource(
        "https://api.acme.example/left", "left", "US cents"
    )
    assert parse_profile(ACME, "acme.toml").balance is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"field": "left"}, "url is needed"),
        ({"url": "https://a.example", "price": "1"}, "must be a table of"),
        ({"url": "http://a.example"}, "https://"),
        ({"url": "https://a.example", "unit": 1}, "texts"),
        ("https://a.example", "must be a table of"),
    ],
)
def test_nonsense_is_refused(table: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_balance(table)


def test_a_profile_with_nonsense_names_its_file() -> None:
    with pytest.raises(ProfileError, match=r"acme\.toml: balance: "):
        parse_profile(ACME + '[balance]\nurl = "ftp://a.example"\n', "acme.toml")
