"""Which model a provider is tried with, and what that may cost."""

from gatewayz.catalog import Catalog, Model, Offer, PriceSnapshot, build
from gatewayz.cli.provider_trial import choose
from gatewayz.providers.profile import Provider

ACME = Provider("acme", "Acme", "openai", "http://x/v1/chat/completions", {})


def catalog(*stated: tuple[str, int | None, str]) -> Catalog:
    """(name, price or None, what is special) of each model at acme."""
    models, offers = [], []
    for name, price, special in stated:
        kind = "embedding" if special == "embedding" else "chat"
        able = frozenset({"reasoning"}) if special == "thinks" else frozenset[str]()
        models.append(Model(f"m/{name}", name, "m", kind, 1000, 100, "text->text", able, 0))
        snapshot = PriceSnapshot(1, "t", 0, price, price) if price is not None else None
        status = "deprecated" if special == "old" else "active"
        offers.append(Offer(1, f"m/{name}", "acme", name, snapshot, 1000, 100, able, status=status))
    return build(models, offers)


KNOWN = catalog(
    ("dear", 900, ""), ("cheap", 100, ""), ("thinker", 1, "thinks"), ("free", 0, ""), ("old", 1, "old"),
    ("embed", 1, "embedding"), ("priceless", None, ""),
)  # fmt: skip


def chosen(wanted: str | None = None, listed: set[str] | None = None, known: Catalog = KNOWN) -> str | None:
    trial = choose(known, ACME, wanted, listed)
    return trial.target.native_id if trial is not None else None


def test_the_cheapest_that_the_provider_lists() -> None:
    assert chosen() == "cheap"
    assert chosen(listed={"dear", "thinker", "free"}) == "dear"
    assert chosen(listed={"thinker", "free"}) == "thinker" and chosen(listed={"free"}) == "free"
    assert chosen(listed={"quite", "others"}) == "cheap", "the catalog may use another name for it than the list"


def test_a_wanted_model_by_either_name_or_as_the_providers_own() -> None:
    assert chosen("m/DEAR") == chosen("dear") == "dear"
    assert chosen("brand-new") == "brand-new"
    trial = choose(KNOWN, ACME, "brand-new")
    assert trial is not None and trial.most is None


def test_without_a_catalog_the_list_is_all_there_is() -> None:
    nothing = catalog()
    assert chosen(known=nothing) is None and chosen(listed=set(), known=nothing) is None
    assert chosen(listed={"nomic-embed-text", "qwen"}, known=nothing) == "qwen"
