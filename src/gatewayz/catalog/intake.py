"""What of a provider's list comes into the catalog? Gates with their reasons, decided as a whole and without side effects.

An entry is `served` (a row of the provider's feed), `confirmed` (it says what another source already states: no row),
`held` (its new price is in doubt, the last good one stays), `rejected`, `withdrawn` (its price was lost) or `missing`.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gatewayz.catalog.merge import may_be_free
from gatewayz.catalog.models import SERVED_KINDS, modality_of
from gatewayz.catalog.naming import canonical_id
from gatewayz.catalog.offers import Offer
from gatewayz.catalog.plausible import COMPARISONS_NEEDED as NEEDED
from gatewayz.catalog.plausible import LARGEST_STEP, Doubt, Reference, comparisons, list_doubt, price_doubt
from gatewayz.catalog.premium import is_premium
from gatewayz.catalog.prices import PriceTier
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.snapshot import Catalog
from gatewayz.providers.model_feeds import FeedModel, FeedPrice
from gatewayz.providers.profile import speaker

State = Literal["served", "confirmed", "held", "rejected", "withdrawn", "missing"]
# A list may leave a model out once by mistake; after this many lists without it, it is gone.
LISTS_UNTIL_GONE = 3
NOT_SHOWN: frozenset[str] = frozenset({"withdrawn", "missing"})
IN_DOUBT: frozenset[str] = frozenset({"held", "rejected", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a provider's models as its list had it last. `record` is what was accepted; times in microseconds."""

    native_id: str
    model_id: str
    state: State
    first_seen_us: int
    last_seen_us: int
    changed_at_us: int
    reason: str | None = None
    detail: str | None = None
    record: ModelRecord | None = None
    pending: PriceRecord | None = None
    approved: PriceRecord | None = None
    had_price: bool = False
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog knows without this list: `catalog` of all sources, `described` the ids with facts of their own
    (lower case), the operator's allow-list of free models, and the largest step of a price that needs no second look."""

    catalog: Catalog
    described: Container[str]
    free_model_allowlist: Container[str] = ()
    largest_step: float = LARGEST_STEP


@dataclass(frozen=True, slots=True)
class Intake:
    """The outcome: the entries of the provider from now on, and what its feed states."""

    entries: tuple[Entry, ...]
    records: tuple[ModelRecord, ...]
    doubt: Doubt | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """How many entries are not taken as stated."""
        return sum(entry.state in IN_DOUBT for entry in self.entries)


def take_in(
    provider: str, models: Sequence[FeedModel], before: Mapping[str, Entry], known: Known, now_us: int
) -> Intake:
    """Decides on a list that was read whole. `before` are the provider's entries of the last one, by native id."""
    judge = _Judge(provider, known, before, now_us)
    named = judge.named(models)
    priced = [(price, judge.reference(model_id)) for _, model_id, price in named if price is not None and model_id]
    doubt = list_doubt(priced)
    judge.list_doubt, judge.borne_out = doubt, doubt is None and comparisons(priced) >= NEEDED
    entries = [judge.entry(model, model_id, price) for model, model_id, price in named]
    listed = {entry.native_id for entry in entries}
    entries += [judge.missed(entry) for native, entry in before.items() if native not in listed]
    shown = {entry.native_id for entry in entries if entry.record is not None and _states(entry)}
    shown_before = {entry.native_id for entry in before.values() if entry.record is not None and _states(entry)}
    return Intake(
        entries=tuple(entries),
        records=_joined(entry.record for entry in entries if entry.record is not None and _states(entry)),
        doubt=doubt,
        added=tuple(sorted(shown - shown_before)),
        removed=tuple(sorted(shown_before - shown)),
    )


def _states(entry: Entry) -> bool:
    """Whether the feed states the entry's record."""
    return entry.state in ("served", "held")


def _joined(records: Iterable[ModelRecord]) -> tuple[ModelRecord, ...]:
    """One record per model; entries of one list that lead to the same model were told apart before."""
    by_id = {record.id: record for record in records}
    return tuple(by_id[model_id] for model_id in sorted(by_id))


@dataclass(slots=True)
class _Judge:
    provider: str
    known: Known
    before: Mapping[str, Entry]
    now_us: int
    list_doubt: Doubt | None = None
    borne_out: bool = False
    taken: dict[str, str] = field(default_factory=dict)

    def named(self, models: Sequence[FeedModel]) -> list[tuple[FeedModel, str | None, PriceRecord | None]]:
        """Each entry once, with its canonical id and stated price; names that the catalog already knows come first."""
        once = {model.native_id: model for model in models}
        native = self.known.catalog.native
        first = sorted(once.values(), key=lambda model: (self.provider, model.native_id.lower()) not in native)
        return [
            (model, canonical_id(self.known.catalog, self.provider, model.native_id), price_record(model.price))
            for model in first
        ]

    def reference(self, model_id: str) -> Reference:
        offers = [offer for offer in self.known.catalog.offers_of(model_id) if offer.usable and offer.price is not None]
        own = next((offer.price for offer in offers if offer.provider == self.provider), None)
        return Reference(tuple(o.price for o in offers if o.provider != self.provider and o.price is not None), own)

    def entry(self, model: FeedModel, model_id: str | None, price: PriceRecord | None) -> Entry:
        """What becomes of one entry of the list."""
        old = self.before.get(model.native_id)
        base = Entry(
            native_id=model.native_id,
            model_id=model_id or "",
            state="rejected",
            first_seen_us=old.first_seen_us if old else self.now_us,
            last_seen_us=self.now_us,
            changed_at_us=self.now_us,
            record=old.record if old and old.model_id == (model_id or "") else None,
            approved=old.approved if old else None,
            had_price=old.had_price if old else False,
        )
        found = self._gate(base, model, model_id) or self._priced(base, old, model, price)
        if old is not None and (old.state, old.reason, old.detail, old.pending) == (
            found.state, found.reason, found.detail, found.pending
        ):  # fmt: skip
            found = replace(found, changed_at_us=old.changed_at_us)
        return found

    def missed(self, old: Entry) -> Entry:
        """An entry of earlier lists that this one does not hold."""
        missed = old.missed + 1
        if missed < LISTS_UNTIL_GONE or old.state == "missing":
            return replace(old, missed=missed)
        detail = f"not in the last {missed} lists"
        return replace(
            old, state="missing", reason="gone", detail=detail, missed=missed, pending=None, changed_at_us=self.now_us
        )

    def _gate(self, base: Entry, model: FeedModel, model_id: str | None) -> Entry | None:
        """The entry if it stays outside whatever it costs."""
        if model.kind is None:
            return _out(base, "modality_unknown", "the list does not say that it is a model that chats")
        if model.kind not in SERVED_KINDS:
            return _out(base, "kind_not_served", f"a model of kind {model.kind}")
        if model_id is None:
            return _out(base, "name_unusable", "no model id can be made of its name, or the name is retired")
        if speaker(self.provider, model.native_id) is None:
            return _out(base, "not_spoken", "the provider wants another protocol for this model")
        twin = self.taken.setdefault(model_id, model.native_id)
        if twin != model.native_id:
            return _out(base, "duplicate", f"{twin} already is this provider's {model_id}")
        return None

    def _priced(self, base: Entry, old: Entry | None, model: FeedModel, price: PriceRecord | None) -> Entry:
        model_id = base.model_id
        free = price is not None and not _costs(price)
        if price is None or (free and not may_be_free(model_id, self.known.free_model_allowlist)):
            return self._unpriced(base, model, free)
        base = replace(base, had_price=True)
        doubt = None if free else self._doubt(old, model_id, price)
        if doubt is not None:
            pending = price if doubt.waits else None
            if base.record is not None:
                return replace(base, state="held", reason=doubt.reason, detail=doubt.detail, pending=pending)
            return replace(base, reason=doubt.reason, detail=doubt.detail, pending=pending)
        own = self._own(model_id)
        if own is not None and not own.source.startswith("feed:") and _says_the_same(own, model.native_id, price):
            return replace(base, state="confirmed", record=None)
        return replace(base, state="served", record=self._record(model_id, model, price, own))

    def _doubt(self, old: Entry | None, model_id: str, price: PriceRecord) -> Doubt | None:
        approved = old.approved if old else None
        if self.list_doubt is not None and price != approved:
            return self.list_doubt
        return price_doubt(
            price, self.reference(model_id), borne_out=self.borne_out, pending=old.pending if old else None,
            approved=approved, largest_step=self.known.largest_step,
        )  # fmt: skip

    def _unpriced(self, base: Entry, model: FeedModel, free: bool) -> Entry:
        if base.had_price:
            return replace(
                base, state="withdrawn", reason="price_lost", detail="the list stated a price and does no more"
            )
        own = self._own(base.model_id)
        if own is not None and not own.source.startswith("feed:"):
            return replace(base, state="confirmed", record=None)
        reason = "premium_without_price" if is_premium(base.model_id) else "no_price"
        detail = model.price_problem or (
            "a price of zero" if free else "neither the list nor any other source has its price"
        )
        return _out(base, reason, detail)

    def _own(self, model_id: str) -> Offer | None:
        offers = self.known.catalog.offers_of(model_id)
        return next((offer for offer in offers if offer.usable and offer.provider == self.provider), None)

    def _record(self, model_id: str, model: FeedModel, price: PriceRecord, own: Offer | None) -> ModelRecord:
        if own is not None and own.price is not None:
            price = _with_kept_kinds(price, own)
        capabilities = dict(model.capabilities)
        offer = OfferRecord(
            provider=self.provider,
            native_id=model.native_id,
            price=price,
            context_length=model.context_length,
            max_output_tokens=model.max_output_tokens,
            capabilities=capabilities,
            stated_by=f"{self.provider} model list",
        )
        if model_id.lower() in self.known.described:
            # Another source describes the model; what this provider limits stands at its offer.
            return ModelRecord(id=model_id, offers=(offer,))
        return ModelRecord(
            id=model_id,
            name=model.name,
            vendor=model_id.partition("/")[0],
            kind="chat",
            context_length=model.context_length,
            max_output_tokens=model.max_output_tokens,
            modality=modality_of(model.media_in or _TEXT, model.media_out or _TEXT),
            capabilities={"streaming": True, **capabilities},
            released_at_us=model.created_us,
            huggingface_id=model.huggingface_id,
            status="active",
            offers=(offer,),
        )


_TEXT = frozenset({"text"})


def price_record(price: FeedPrice | None) -> PriceRecord | None:
    """The stated price in the catalog's form."""
    if price is None:
        return None
    tiers = tuple(
        PriceTier(t.above_prompt_tokens, t.prompt, t.completion, t.cache_read, t.cache_write_5m, t.cache_write_1h)
        for t in price.tiers
    )
    return PriceRecord(
        prompt=price.prompt, completion=price.completion, cache_read=price.cache_read,
        cache_write_5m=price.cache_write_5m, cache_write_1h=price.cache_write_1h, reasoning=price.reasoning,
        audio_input=price.audio_input, audio_output=price.audio_output, request_nano_usd=price.request_nano_usd,
        tiers=tiers, units=dict(price.units),
    )  # fmt: skip


_STATED_KINDS = ("cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "audio_input", "audio_output")


def _with_kept_kinds(price: PriceRecord, own: Offer) -> PriceRecord:
    """The price, with what the list leaves out kept from the one in force as long as its base did not move."""
    there = own.price
    if there is None or (price.prompt, price.completion) != (there.prompt, there.completion):
        return price
    values = {name: getattr(price, name) for name in PriceRecord.__struct_fields__}
    kept = {name: getattr(there, name) for name, value in values.items() if value is None}
    return PriceRecord(
        **values
        | kept
        | {
            "tiers": price.tiers or there.tiers,
            "units": {**there.units, **price.units},
            "request_nano_usd": price.request_nano_usd or there.request_nano_usd,
        }
    )


def _says_the_same(own: Offer, native_id: str, price: PriceRecord) -> bool:
    """Whether the offer in force already says all that the list states."""
    if own.price is None or own.native_id.lower() != native_id.lower():
        return False
    stated = {name: getattr(price, name) for name in ("prompt", "completion", *_STATED_KINDS)}
    same = all(value is None or value == getattr(own.price, name) for name, value in stated.items())
    units = all(own.price.units.get(name) == value for name, value in price.units.items())
    request = price.request_nano_usd in (0, own.price.request_nano_usd)
    return same and units and request and (not price.tiers or price.tiers == own.price.tiers)


def _costs(price: PriceRecord) -> bool:
    return bool(price.prompt or price.completion or price.request_nano_usd)


def _out(base: Entry, reason: str, detail: str) -> Entry:
    return replace(base, state="rejected", reason=reason, detail=detail, record=None, pending=None)
