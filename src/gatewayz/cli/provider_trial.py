"""What `gatewayz providers check` sends: two very small chats, of which model, and what they may cost. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from gatewayz.billing.pricing import ceiling
from gatewayz.catalog import Catalog, Model, Offer, PriceSnapshot
from gatewayz.catalog.transforms import force_params, upstream_id
from gatewayz.core.chat import ChatRequest, Message, Text
from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.dialects.base import Encoded, Target
from gatewayz.gateway.quote import target_for
from gatewayz.providers.profile import Provider
from gatewayz.routing.plan import Candidate

QUESTION = "Say OK."
ANSWER_TOKENS = 16  # the least that every model of every provider takes
_PROMPT_TOKENS = 32  # the question with what the providers' own templates put around it


@dataclass(frozen=True, slots=True)
class Trial:
    """One model at one provider: the model to ask, and what two small chats with it may cost (nano-USD, None: unknown)."""

    provider: Provider
    model: str
    target: Target
    price: PriceSnapshot | None

    @property
    def most(self) -> int | None:
        """Nano-USD that both chats cost at most; None without a known price."""
        return None if self.price is None else 2 * ceiling(self.price, _PROMPT_TOKENS, ANSWER_TOKENS)

    def body(self, *, stream: bool) -> bytes:
        """The chat in the provider's own dialect, as any client's would be written."""
        message = Message("user", (Text(QUESTION),))
        request = ChatRequest("openai", self.model, (message,), stream=stream, max_tokens=ANSWER_TOKENS)
        body = PROVIDER_DIALECTS[self.provider.dialect].write_request(request, self.target)
        return body.data if isinstance(body, Encoded) else body


def choose(
    catalog: Catalog, provider: Provider, wanted: str | None, listed: Collection[str] | None = None
) -> Trial | None:
    """The model to try a provider with: the one that is `wanted`, else the cheapest of the catalog that it lists.

    `listed` are the provider's own names as it told them, None if it did not. A wanted name that the catalog does not have
    there is taken for the provider's own. None: nothing is wanted and nothing is known to be there.
    """
    if wanted is not None:
        for offer in _offers(catalog, provider):
            if wanted.lower() in (offer.model_id.lower(), offer.native_id.lower()):
                return _trial(catalog, provider, offer)
        return _unknown(provider, wanted)
    usable = [offer for offer in _offers(catalog, provider) if offer.usable and offer.status == "active"]
    there = [offer for offer in usable if listed is None or upstream_id(provider.slug, offer.native_id) in listed]
    if there or usable:
        return _trial(catalog, provider, min(there or usable, key=_dearness))
    chat = sorted(name for name in listed or () if "embed" not in name.lower())
    return _unknown(provider, chat[0]) if chat else None


def _offers(catalog: Catalog, provider: Provider) -> list[Offer]:
    served = (key for key, model in catalog.models.items() if model.kind == "chat")
    return [offer for key in served for offer in catalog.offers_of(key) if offer.provider == provider.slug]


def _dearness(offer: Offer) -> tuple[bool, bool, int, str]:
    """Cheapest first; models that think after the others, since they may spend all tokens before a word; free ones last."""
    price = offer.price
    most = ceiling(price, _PROMPT_TOKENS, ANSWER_TOKENS) if price is not None else 0
    return (price is None or price.is_zero, "reasoning" in offer.capabilities, most, offer.native_id)


def _trial(catalog: Catalog, provider: Provider, offer: Offer) -> Trial:
    model: Model | None = catalog.model(offer.model_id)
    if model is None:
        return _unknown(provider, offer.native_id)
    return Trial(
        provider,
        model.id,
        target_for(Candidate(offer, provider, provider.chat_way), model),
        offer.price,
    )


def _unknown(provider: Provider, name: str) -> Trial:
    native = upstream_id(provider.slug, name)
    forced = force_params(provider.slug, native)
    target = Target(native, provider.quirks, ANSWER_TOKENS, forced.params, forced.unless)
    return Trial(provider, name, target, None)
