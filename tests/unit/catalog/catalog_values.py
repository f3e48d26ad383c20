"""Small values of the catalog for tests."""

from typing import Any

from gatewayz.catalog import Catalog, Model, Offer, PriceSnapshot, build
from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.merge import merged
from gatewayz.catalog.seed import packaged_seed, seed_records
from gatewayz.catalog.store import PRICE_COLUMNS

NO_TABLES = AliasTables({}, {}, {}, frozenset())


def a_price(prompt: int = 2_000_000_000, completion: int = 8_000_000_000, **more: Any) -> PriceSnapshot:
    """USD 2 and 8 per million tokens."""
    return PriceSnapshot(id=1, source="test", effective_from_us=0, prompt=prompt, completion=completion, **more)


def a_model(model_id: str, **more: Any) -> Model:
    """A chat model with modest limits."""
    facts: dict[str, Any] = {
        "name": model_id.rpartition("/")[2],
        "vendor": model_id.partition("/")[0],
        "kind": "chat",
        "context_length": 8000,
        "max_output_tokens": 1000,
        "modality": "text->text",
        "capabilities": frozenset({"streaming"}),
        "created_at_us": 1_700_000_000_000_000,
    }
    return Model(id=model_id, **(facts | more))


def an_offer(model_id: str, provider: str, native_id: str | None = None, **more: Any) -> Offer:
    """A priced offer under the model's bare name."""
    facts: dict[str, Any] = {
        "id": 1,
        "price": a_price(),
        "context_length": 8000,
        "max_output_tokens": 1000,
        "capabilities": frozenset({"streaming"}),
    }
    name = native_id if native_id is not None else model_id.rpartition("/")[2]
    return Offer(model_id=model_id, provider=provider, native_id=name, **(facts | more))


def a_catalog(*offered: tuple[str, str], tables: AliasTables | None = NO_TABLES) -> Catalog:
    """A catalog of (model id, provider) pairs."""
    models = [a_model(model_id) for model_id in dict.fromkeys(model_id for model_id, _ in offered)]
    return build(models, [an_offer(model_id, provider) for model_id, provider in offered], tables)


class ARow:
    """Stands for a database row: the given columns, None for all others."""

    def __init__(self, **columns: Any) -> None:
        self.__dict__.update(columns)

    def __getattr__(self, name: str) -> Any:
        return None


def a_model_row(model_id: str, source: str = "config", **more: Any) -> ARow:
    """A row of models_catalog."""
    return ARow(**{"id": model_id, "source": source, "capabilities": "", "created_at_us": 7, **more})


def an_offer_row(model_id: str, provider: str, source: str = "config", **more: Any) -> ARow:
    """A row of `read_in_use` with a price, unless `price_id` is given as None."""
    columns: dict[str, Any] = dict.fromkeys(PRICE_COLUMNS)
    columns |= {"prompt": 2, "completion": 8, "request_nano_usd": 0, "tiers": "[]", "units": "{}"}
    columns |= {"price_id": 5, "price_source": "test", "effective_from_us": 3, "id": 1, "source": source}
    columns |= {"model_id": model_id, "provider": provider, "native_id": model_id.rpartition("/")[2], "regions": ""}
    columns |= {"capabilities": "", "priority": 0, "suspect": False, "variant": "", "status": "active"}
    return ARow(**(columns | more))


def seeded_catalog() -> Catalog:
    """The catalog of the packaged seed alone, built without a database."""
    records = seed_records(packaged_seed())
    models, offers = [], []
    for record in records:
        facts = {
            name: getattr(record, name) for name in record.__struct_fields__ if name not in ("offers", "capabilities")
        }
        words = " ".join(name if able else f"!{name}" for name, able in record.capabilities.items())
        models.append(ARow(source="seed", capabilities=words, created_at_us=0, **facts))
        for offer in record.offers:
            if offer.active:
                offers.append(_seed_offer_row(record.id, offer, len(offers) + 1))
    return build(*merged(models, offers))


def _seed_offer_row(model_id: str, offer: Any, number: int) -> ARow:
    facts = {name: getattr(offer, name) for name in offer.__struct_fields__ if name not in ("price", "capabilities")}
    figures: dict[str, Any] = {"price_id": None}
    if offer.price is not None:
        figures = {name: getattr(offer.price, name) for name in PRICE_COLUMNS}
        figures |= {"tiers": "[]", "units": "{}", "price_id": number, "price_source": offer.stated_by}
        figures |= {"effective_from_us": 0}
    row = ARow(**facts, **figures)
    row.__dict__ |= {
        "id": number,
        "model_id": model_id,
        "source": "seed",
        "capabilities": "",
        "regions": ",".join(offer.regions),
    }
    return row
