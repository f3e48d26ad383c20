"""What did the operator put on offer? `[[models]]` of gatewayz.toml, read strictly and written as a whole."""

import difflib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog.merge import may_be_free
from gatewayz.catalog.models import CAPABILITIES, MODALITY_OF, SERVED_KINDS, media_of, modality_of
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.resolve import FREE, ONLINE, SORTING
from gatewayz.catalog.seed import TOPIC
from gatewayz.catalog.store import write_source
from gatewayz.catalog.transforms import native_id
from gatewayz.core.money import nano_from_usd, price_per_mtok
from gatewayz.infra.changes import announce
from gatewayz.settings import Mistake

Path = tuple[str | int, ...]
LineOf = Callable[[Path], int | None]

# Every spelling of a capability flag that is understood; the value is the capability.
_FLAG_WORDS: dict[str, str] = {
    **{name: name for name in CAPABILITIES},
    "function_calling": "tools",
    "json_mode": "json_object",
    "structured_outputs": "json_schema",
}
FLAGS: dict[str, str] = {f"supports_{word}": name for word, name in _FLAG_WORDS.items()} | _FLAG_WORDS
# Field of an offer, kind of price. All in USD per million tokens.
TOKEN_PRICES: dict[str, str] = {
    "price_prompt_usd_per_mtok": "prompt",
    "price_completion_usd_per_mtok": "completion",
    "price_cache_read_usd_per_mtok": "cache_read",
    "price_cache_write_usd_per_mtok": "cache_write_5m",
    "price_cache_write_1h_usd_per_mtok": "cache_write_1h",
    "price_reasoning_usd_per_mtok": "reasoning",
    "price_audio_input_usd_per_mtok": "audio_input",
    "price_audio_output_usd_per_mtok": "audio_output",
    "price_image_input_usd_per_mtok": "image_input",
    "price_image_output_usd_per_mtok": "image_output",
}
# Field of an offer, unit. All in USD per piece.
UNIT_PRICES: dict[str, str] = {
    "price_image_usd": "image",
    "price_audio_usd_per_second": "second_input",
    "price_speech_usd_per_second": "second_output",
    "price_usd_per_million_characters": "million_characters",
    "price_search_usd": "query",
    "price_web_search_usd": "web_search",
}
IMAGE_VARIANTS = "price_image_variants_usd"
REQUEST_PRICE = "price_request_usd"
# The owner of a model whose id names no organisation.
_NO_ORGANISATION = "local"
_LONGEST_ID = 200

_MODEL_FIELDS = frozenset(
    {"id", "name", "kind", "context_length", "max_output_tokens", "modality", "huggingface_id", "offers", *FLAGS}
)
_OFFER_FIELDS = frozenset(
    {
        "provider", "native_id", "regions", "context_length", "max_output_tokens", REQUEST_PRICE,
        IMAGE_VARIANTS, *TOKEN_PRICES, *UNIT_PRICES, *FLAGS,
    }
)  # fmt: skip


async def apply_config(connection: AsyncConnection, models: Sequence[ModelRecord], now_us: int) -> bool:
    """Makes the configuration's part of the catalog exactly these models, in the caller's transaction.

    Returns whether anything changed; if so the change is announced to all processes. What an earlier configuration had
    and this one has not is deactivated, and the packaged facts of it show again. May be called twice.
    """
    changed = await write_source(connection, "config", models, now_us)
    if changed:
        await announce(connection, TOPIC, "config", now_us)
    return changed > 0


def read_models(
    tables: Any,
    line_of: LineOf,
    *,
    where: str = "gatewayz.toml",
    providers: Container[str] | None = None,
    free_model_allowlist: Container[str] = (),
) -> tuple[list[ModelRecord], list[Mistake]]:
    """The models of `[[models]]` and every mistake in them; with mistakes the models must not be used.

    `line_of` gives the line of a path such as `("models", 0, "offers", 1, "provider")`. `providers` are the slugs that
    exist (None: not checked).
    """
    reader = _Reader(where, line_of, providers, free_model_allowlist)
    records: list[ModelRecord] = []
    if not isinstance(tables, list):
        reader.wrong(("models",), "must be a list of tables: write [[models]]")
        return [], reader.mistakes
    seen: dict[str, int] = {}
    for index, table in enumerate(tables):
        path: Path = ("models", index)
        record = reader.model(table, path)
        if record is None:
            continue
        if record.id.lower() in seen:
            reader.wrong((*path, "id"), f"model {record.id} stands twice; put all its offers into one [[models]] table")
        seen[record.id.lower()] = index
        records.append(record)
    return records, reader.mistakes


@dataclass(slots=True)
class _Reader:
    """Reads tables and collects what is wrong with them."""

    where: str
    line_of: LineOf
    providers: Container[str] | None
    free_model_allowlist: Container[str]
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, path: Path, problem: str) -> None:
        """Notes a mistake at the nearest line known."""
        line = None
        for end in range(len(path), 0, -1):
            line = self.line_of(path[:end])
            if line is not None:
                break
        self.mistakes.append(Mistake(self.where, problem, line))

    def model(self, table: Any, path: Path) -> ModelRecord | None:
        """One `[[models]]` table; None if it has no usable id."""
        if not isinstance(table, Mapping):
            self.wrong(path, "[[models]] must be a table")
            return None
        model_id = self._id(table, path)
        label = f"model {model_id or table.get('id')!s}"
        self._unknown_fields(table, path, _MODEL_FIELDS, label)
        offers = table.get("offers", [])
        if not isinstance(offers, list) or not offers:
            self.wrong((*path, "offers"), f"{label}: needs at least one [[models.offers]]")
            offers = []
        vendor = model_id.partition("/")[0] if model_id and "/" in model_id else _NO_ORGANISATION
        name, huggingface_id = self._text(table, path, "name", label), self._text(table, path, "huggingface_id", label)
        kind = self._kind(table, path, label)
        modality = self._modality(table, path, label) or MODALITY_OF.get(kind)
        limits = self._limits(table, path, label)
        flags = self._flags(table, path, label)
        read = [
            self.offer(offer, (*path, "offers", index), model_id or "", label, kind)
            for index, offer in enumerate(offers)
        ]
        kept = tuple(offer for offer in read if offer is not None)
        self._unique(kept, path, label)
        if model_id is None:
            return None
        return ModelRecord(
            id=model_id, name=name, vendor=vendor, kind=kind, modality=modality, huggingface_id=huggingface_id,
            capabilities=flags, offers=kept, **limits,
        )  # fmt: skip

    def offer(self, table: Any, path: Path, model_id: str, label: str, kind: str = "chat") -> OfferRecord | None:
        """One `[[models.offers]]` table; None if it names no provider."""
        if not isinstance(table, Mapping):
            self.wrong(path, f"{label}: [[models.offers]] must be a table")
            return None
        self._unknown_fields(table, path, _OFFER_FIELDS, label)
        provider = self._text(table, path, "provider", label, required=True)
        if provider is None:
            return None
        label = f"{label} at {provider}"
        if self.providers is not None and provider not in self.providers:
            near = (
                difflib.get_close_matches(provider, self.providers, n=1) if isinstance(self.providers, Iterable) else []
            )
            hint = f"; did you mean {near[0]}?" if near else "; add a [[providers]] table for it"
            self.wrong((*path, "provider"), f"{label}: there is no provider {provider!r}{hint}")
        native = self._text(table, path, "native_id", label)
        return OfferRecord(
            provider=provider,
            native_id=native if native is not None else native_id(provider, model_id),
            price=self._price(table, path, model_id, label, kind),
            regions=self._regions(table, path, label),
            capabilities=self._flags(table, path, label),
            stated_by="config",
            **self._limits(table, path, label),
        )

    def _id(self, table: Mapping[str, Any], path: Path) -> str | None:
        model_id = self._text(table, path, "id", "[[models]]", required=True)
        if model_id is None:
            return None
        if not all(model_id.split("/")) or any(letter.isspace() for letter in model_id) or len(model_id) > _LONGEST_ID:
            self.wrong((*path, "id"), f"model id {model_id!r} must read organisation/name, without blanks")
            return None
        suffix = next((each for each in (*SORTING, ONLINE) if model_id.lower().endswith(each)), None)
        if suffix is not None:
            self.wrong(
                (*path, "id"), f"model id {model_id!r}: the suffix {suffix} is what callers add to say what they prefer"
            )
            return None
        return model_id

    def _kind(self, table: Mapping[str, Any], path: Path, label: str) -> str:
        kind = table.get("kind", "chat")
        if kind not in SERVED_KINDS:
            self.wrong((*path, "kind"), f"{label}: kind must be one of {', '.join(sorted(SERVED_KINDS))}, not {kind!r}")
            return "chat"
        return str(kind)

    def _price(self, table: Mapping[str, Any], path: Path, model_id: str, label: str, kind: str) -> PriceRecord | None:
        before = len(self.mistakes)
        tokens = {kind: self._money(table, path, name, label, price_per_mtok) for name, kind in TOKEN_PRICES.items()}
        units = {unit: self._money(table, path, name, label, nano_from_usd) for name, unit in UNIT_PRICES.items()}
        request = self._money(table, path, REQUEST_PRICE, label, nano_from_usd)
        variants = self._image_variants(table, path, label)
        if len(self.mistakes) > before:
            return None
        figures: dict[str, Any] = {kind: value for kind, value in tokens.items() if value is not None}
        pieces = {unit: value for unit, value in units.items() if value is not None} | variants
        if not figures and not pieces and request is None:
            return None
        if kind != "chat" and "prompt" in figures:
            figures.setdefault("completion", 0)  # most of these answers are no tokens
        if ("prompt" in figures) != ("completion" in figures) or (figures and "prompt" not in figures):
            self.wrong(
                path, f"{label}: give both price_prompt_usd_per_mtok and price_completion_usd_per_mtok, or neither"
            )
            return None
        price = PriceRecord(
            prompt=figures.pop("prompt", 0), completion=figures.pop("completion", 0), units=pieces,
            request_nano_usd=request or 0, **figures,
        )  # fmt: skip
        self._free_or_paid(price, path, model_id, label)
        return price

    def _image_variants(self, table: Mapping[str, Any], path: Path, label: str) -> dict[str, int]:
        """`{"hd/1024x1024" = 0.08}`: prices by quality, size, or both."""
        stated = table.get(IMAGE_VARIANTS, {})
        if not isinstance(stated, Mapping):
            self.wrong((*path, IMAGE_VARIANTS), f"{label}: {IMAGE_VARIANTS} must be a table of quality/size and price")
            return {}
        found = {
            f"image:{name}": self._money(stated, (*path, IMAGE_VARIANTS), name, label, nano_from_usd) for name in stated
        }
        return {name: amount for name, amount in found.items() if amount is not None}

    def _free_or_paid(self, price: PriceRecord, path: Path, model_id: str, label: str) -> None:
        costs = any(getattr(price, name) for name in (*TOKEN_PRICES.values(), "request_nano_usd")) or any(
            price.units.values()
        )
        if costs and model_id.endswith(FREE):
            self.wrong(path, f"{label}: an id ending in {FREE} must have price zero")
        if not costs and not may_be_free(model_id, self.free_model_allowlist):
            self.wrong(
                path,
                f"{label}: a price of zero needs an id ending in {FREE}, or the id in the setting free_model_allowlist",
            )

    def _unique(self, offers: Sequence[OfferRecord], path: Path, label: str) -> None:
        seen: set[tuple[str, tuple[str, ...]]] = set()
        for index, offer in enumerate(offers):
            key = (offer.provider, offer.regions)
            if key in seen:
                place = f" in {', '.join(offer.regions)}" if offer.regions else ""
                self.wrong((*path, "offers", index), f"{label}: a second offer at {offer.provider}{place}")
            seen.add(key)

    def _unknown_fields(self, table: Mapping[str, Any], path: Path, known: frozenset[str], label: str) -> None:
        for name in table:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.wrong((*path, name), f"{label}: unknown field {name!r}{hint}")

    def _text(
        self, table: Mapping[str, Any], path: Path, name: str, label: str, *, required: bool = False
    ) -> str | None:
        value = table.get(name)
        if value is None:
            if required:
                self.wrong(path, f"{label}: {name} is missing")
            return None
        if not isinstance(value, str) or not value.strip():
            self.wrong((*path, name), f"{label}: {name} must be a text that is not empty, not {value!r}")
            return None
        return value.strip()

    def _limits(self, table: Mapping[str, Any], path: Path, label: str) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        for name in ("context_length", "max_output_tokens"):
            value = table.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                self.wrong((*path, name), f"{label}: {name} must be a whole number of tokens above zero, not {value!r}")
                value = None
            limits[name] = value
        return limits

    def _flags(self, table: Mapping[str, Any], path: Path, label: str) -> dict[str, bool]:
        flags: dict[str, bool] = {}
        for name, capability in FLAGS.items():
            value = table.get(name)
            if value is None:
                continue
            if not isinstance(value, bool):
                self.wrong((*path, name), f"{label}: {name} must be true or false, not {value!r}")
            elif flags.get(capability, value) is not value:
                self.wrong((*path, name), f"{label}: {name} contradicts another flag for the same thing")
            else:
                flags[capability] = value
        return flags

    def _modality(self, table: Mapping[str, Any], path: Path, label: str) -> str | None:
        value = table.get("modality")
        if value is None:
            return None
        try:
            return modality_of(*media_of(value))
        except (ValueError, AttributeError) as error:
            self.wrong(
                (*path, "modality"), f"{label}: {error if isinstance(error, ValueError) else 'modality must be a text'}"
            )
            return None

    def _regions(self, table: Mapping[str, Any], path: Path, label: str) -> tuple[str, ...]:
        value = table.get("regions", [])
        if not isinstance(value, list) or not all(isinstance(part, str) and part and "," not in part for part in value):
            self.wrong((*path, "regions"), f"{label}: regions must be a list of texts, not {value!r}")
            return ()
        return tuple(value)

    def _money(
        self, table: Mapping[str, Any], path: Path, name: str, label: str, convert: Callable[[Any], int]
    ) -> int | None:
        value = table.get(name)
        if value is None:
            return None
        try:
            if isinstance(value, bool):
                raise ValueError("not a price")
            amount = convert(value)
        except ValueError:
            amount = -1
        if amount < 0:
            self.wrong((*path, name), f"{label}: {name} must be a price in USD, zero or more, not {value!r}")
            return None
        return amount
