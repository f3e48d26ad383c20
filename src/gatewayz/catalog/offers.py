"""Who serves it? An offer: a model at one provider, under that provider's own name, at that provider's price."""

from collections.abc import Iterable
from dataclasses import dataclass

from gatewayz.catalog.prices import PriceSnapshot

# Who states a row: `seed`, `feed:<provider>`, `config`, or `manual:<model>` for what an administrator wrote.
Source = str
# Later wins where several sources speak of the same model at the same provider.
SOURCES = ("seed", "feed", "config", "manual")
_RANK = {name: rank for rank, name in enumerate(SOURCES)}

# What a request may need that depends on the provider's protocol alone, whatever the model.
_PROVIDER_NEEDS = frozenset({"n"})


def rank_of(source: Source) -> int:
    """How much a source's word counts; higher wins."""
    return _RANK[source.partition(":")[0]]


def is_operators(source: Source) -> bool:
    """True for what the operator stated himself, in the configuration or by hand: no feed withdraws it."""
    return rank_of(source) >= _RANK["config"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model at one provider.

    `price` is None where no price is known; `suspect` marks a price that differs too much from everybody else's.
    Neither may serve a request. Limits are tokens, already filled from the model where the offer states none.
    `priority` is the source's hint (lower first). `regions` is empty where the provider decides.
    """

    id: int
    model_id: str
    provider: str
    native_id: str
    price: PriceSnapshot | None
    context_length: int | None
    max_output_tokens: int | None
    capabilities: frozenset[str]
    regions: tuple[str, ...] = ()
    priority: int = 0
    suspect: bool = False
    source: Source = "seed"
    variant: str | None = None
    status: str = "active"
    confidence: str | None = None

    @property
    def usable(self) -> bool:
        """True if the offer has a price that may be charged."""
        return self.price is not None and not self.suspect

    def lacks(self, needs: Iterable[str]) -> frozenset[str]:
        """The needs that the model cannot meet here; those that hang on the provider's protocol are not judged."""
        return frozenset(needs) - self.capabilities - _PROVIDER_NEEDS
