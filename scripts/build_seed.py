"""Builds the packaged seed of the catalog from a folder of collected facts.

    python scripts/build_seed.py DATA_FOLDER [--out src/gatewayz/catalog/seed]

Reads models.json, aliases.json and providers.json; writes models.json.gz, aliases.json and SOURCES.md. The same input
gives the same bytes. Every correction made on the way is a function below and a line in SOURCES.md.
"""

import argparse
import gzip
import io
import json
import re
from collections import Counter, defaultdict
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec

from gatewayz.catalog.aliases import alias_problems
from gatewayz.catalog.models import modality_of
from gatewayz.catalog.prices import PriceTier
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.core.money import nano_from_usd, price_per_mtok
from gatewayz.infra.clock import parse_time_us

Json = dict[str, Any]

# Names that the tables of section 2.1 of the specification ask for and the collection lacks.
EXTRA_ALIASES = {"deepseek-chat-v3": "deepseek/deepseek-chat", "deepseek/deepseek-chat-v3": "deepseek/deepseek-chat"}
EXTRA_PINS = {
    "openrouter": {
        "deepseek-chat-v3": "deepseek/deepseek-chat-v3-0324",
        "deepseek-chat-v3.1": "deepseek/deepseek-chat-v3-0324",
    }
}

# The regions that a provider's standard address serves; an offer for another region has another address and price.
HOME_REGIONS = {
    "alibaba-cloud": {"intl"},
    "bedrock": {"us", "global", "eu", "apac", "au", "jp"},
    "azure-openai": {"global", "global-standard", "us", "eu"},
}
# The only names that the provider's own list contains (2026-08); other collections spell them as they please.
KNOWN_NAMES = {"deepseek": {"deepseek-v4-flash", "deepseek-v4-pro", "deepseek-chat", "deepseek-reasoner"}}
# Billed by the megapixel, whatever a collection says of the image: at a large size that price would be too low.
OTHER_UNITS = {"fal": {"fal-ai/flux/schnell", "fal-ai/flux-pro/v1.1", "fal-ai/stable-diffusion-v35-medium"}}
# Variants that are the same model at another speed or price, the likeliest meaning of the plain name first.
VARIANT_ORDER = ("", "reasoning", "turbo", "tee", "thinking")
CAPABILITY_NAMES = {
    "streaming": "streaming", "tools": "tools", "vision": "vision", "reasoning": "reasoning",
    "json_mode": "json_object", "structured_outputs": "json_schema", "logprobs": "logprobs",
}  # fmt: skip
STATUSES = {"active": "active", "vendor_listed": "active", "not_in": "unlisted", "retired_on": "retired"}
TOKEN_PRICES = {
    "input": "prompt", "output": "completion", "cache_read": "cache_read", "cache_write": "cache_write_5m",
    "cache_write_1h": "cache_write_1h", "reasoning": "reasoning", "audio_input": "audio_input",
    "audio_output": "audio_output", "image_input": "image_input", "image_output": "image_output",
    "batch_input": "batch_prompt", "batch_output": "batch_completion",
}  # fmt: skip
UNIT_PRICES = {
    "per_image": "image", "per_image_input": "image_input", "per_second_input": "second_input",
    "per_second_output": "second_output", "per_web_search": "web_search", "per_query": "query", "per_page": "page",
    "per_million_characters": "million_characters", "per_million_pixels_input": "million_pixels_input",
    "per_million_pixels_output": "million_pixels_output",
}  # fmt: skip
KIND_BY_NAME = (
    ("realtime", "realtime"), ("native-audio", "realtime"), ("-live-", "realtime"), ("livetranslate", "realtime"),
    ("-voice-", "realtime"), ("whisper", "audio_transcription"), ("-stt", "audio_transcription"),
    ("gpt-image", "image"), ("chatgpt-image", "image"),
)  # fmt: skip


def main() -> None:
    """Reads the folder and writes the seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/gatewayz/catalog/seed"))
    options = parser.parse_args()
    models, aliases, providers = (
        json.loads((options.data / f"{name}.json").read_text("utf-8")) for name in ("models", "aliases", "providers")
    )
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in build(models, aliases, providers).items():
        (options.out / name).write_bytes(content)
        print(f"{options.out / name}: {len(content)} bytes")


def build(models: Json, aliases: Json, providers: Json) -> dict[str, bytes]:
    """The files of the seed by name."""
    records = model_records(models["models"])
    tables = alias_file(aliases, providers)
    return {
        "models.json.gz": packed(msgspec.json.encode(records)),
        "aliases.json": (json.dumps(tables, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(),
        "SOURCES.md": sources_page(models["header"], aliases, providers["header"], tables, figures(records)).encode(),
    }


def packed(content: bytes) -> bytes:
    """The content compressed, the same bytes each time: no time and no name in the header."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as file:
        file.write(content)
    return buffer.getvalue()


def alias_file(aliases: Json, providers: Json) -> Json:
    """Aliases, redirects, pins and provider slugs. Raises SystemExit if a name leads to itself."""
    pins: dict[str, dict[str, str]] = defaultdict(dict, {slug: dict(table) for slug, table in EXTRA_PINS.items()})
    for pin in aliases["provider_pins"]:
        pins[pin["provider"]][pin["from"].lower()] = pin["to"]
    redirects = {entry["from"].lower(): entry["to"] for entry in aliases["redirects"]}
    table = {name.lower(): entry["target"] for name, entry in aliases["aliases"].items()} | EXTRA_ALIASES
    table = {name: target for name, target in table.items() if name not in redirects}
    problems = alias_problems(table | redirects)
    if problems:
        raise SystemExit("\n".join(problems))
    slugs = sorted(entry["slug"] for entry in providers["providers"])
    return {"aliases": table, "redirects": redirects, "pins": dict(pins), "providers": slugs}


def model_records(models: list[Json]) -> list[ModelRecord]:
    """The models sorted by id, each `:free` variant as a model of its own; models that nobody offers are left out."""
    records = []
    for model in models:
        plain = [offer for offer in model["offers"] if offer.get("variant") != "free"]
        free = [offer for offer in model["offers"] if offer.get("variant") == "free"]
        if plain:
            records.append(model_record(model, plain))
        if free:
            records.append(
                model_record({**model, "id": f"{model['id']}:free", "name": f"{model['name']} (free)"}, free)
            )
    return sorted(records, key=lambda record: record.id)


def model_record(model: Json, offers: list[Json]) -> ModelRecord:
    """One model; of several offers of one provider the first in `preference` is in use."""
    kind = kind_of(model)
    lengths = [offer["context_length"] for offer in offers if offer.get("context_length")]
    groups: dict[str, list[Json]] = defaultdict(list)
    for offer in unrepeated(offers):
        groups[offer["provider"]].append(offer)
    chosen: list[OfferRecord] = []
    for group in groups.values():
        ordered = sorted(group, key=lambda offer: preference(offer, model, kind))
        chosen += [offer_record(offer, model, kind, spare=index > 0) for index, offer in enumerate(ordered)]
    media = [
        frozenset("file" if word == "pdf" else word for word in model["modalities"][side])
        for side in ("input", "output")
    ]
    return ModelRecord(
        id=model["id"],
        name=model["name"],
        vendor=model["vendor"],
        kind=kind,
        context_length=model.get("context_length") or max(lengths, default=None),
        max_output_tokens=model.get("max_output"),
        modality=modality_of(*media),
        capabilities=capabilities(model, kind),
        released_at_us=day_us(model.get("release_date")),
        huggingface_id=model.get("huggingface_id"),
        status=STATUSES[model["status"].partition("_openrouter")[0]],
        deprecation_date=model.get("deprecation_date"),
        offers=tuple(sorted(chosen, key=lambda o: (o.provider, not o.active, o.native_id, o.regions, o.variant))),
    )


def day_us(date: str | None) -> int | None:
    """Microseconds of a date; a month alone is its first day."""
    if not date:
        return None
    return parse_time_us(date if len(date) > len("2026-01") else f"{date}-01")


def kind_of(model: Json) -> str:
    """The kind; names tell what the collections file under chat although no chat endpoint takes it."""
    if model["type"] != "chat":
        return str(model["type"])
    return next((kind for word, kind in KIND_BY_NAME if word in model["id"]), "chat")


def capabilities(model: Json, kind: str) -> dict[str, bool]:
    """What the collections state, and what follows where they are silent about a chat model."""
    stated = model.get("capabilities", {})
    known = {ours: stated[theirs] for theirs, ours in CAPABILITY_NAMES.items() if theirs in stated}
    if kind == "chat":
        if known.get("json_schema"):
            known.setdefault("json_object", True)
        known.setdefault("json_object", known.get("tools", False))
        known.setdefault("logprobs", model["vendor"] == "openai" and not known.get("reasoning", False))
    return known


def unrepeated(offers: list[Json]) -> list[Json]:
    """Without the second of two offers that differ in nothing a caller could notice."""
    seen: dict[tuple[str, ...], Json] = {}
    for offer in offers:
        key = (offer["provider"], offer["native_id"], offer.get("region", ""), offer.get("variant", ""))
        there = seen.get(key)
        if there is None or preference_of_repeat(offer) < preference_of_repeat(there):
            seen[key] = offer
    return list(seen.values())


def preference_of_repeat(offer: Json) -> tuple[bool, bool, bool]:
    """Of two statements about the same offer: priced, with text prices for both sides, with cache prices."""
    return ("input" not in offer, "output" not in offer, "cache_read" not in offer)


def preference(offer: Json, model: Json, kind: str) -> tuple[Any, ...]:
    """Which of one provider's offers is meant by the plain name: smaller comes first."""
    variant = offer.get("variant", "")
    order = VARIANT_ORDER.index(variant) if variant in VARIANT_ORDER else len(VARIANT_ORDER)
    return (
        unusable(offer, model, kind) is not None,
        price_record(offer, model, kind) is None,
        bool(offer.get("price_outlier")),
        bool(offer.get("moving_alias")),
        order,
        region_order(offer),
        offer.get("status") == "deprecated",
        offer.get("confidence") == "low",
        model["offers"].index(offer),
    )


def region_order(offer: Json) -> int:
    """No region before the region of the standard address, that before others."""
    region = offer.get("region")
    return 0 if region is None else 1 if region in ("intl", "global", "global-standard") else 2


def unusable(offer: Json, model: Json, kind: str) -> str | None:
    """Why an offer cannot be used, None if it can."""
    names = KNOWN_NAMES.get(offer["provider"])
    if names is not None and offer["native_id"] not in names:
        return "unknown_name"
    if offer["native_id"] in OTHER_UNITS.get(offer["provider"], ()):
        return "other_unit"
    region = offer.get("region")
    if region is not None and region not in HOME_REGIONS.get(offer["provider"], set()):
        return "other_region"
    if offer.get("mode") in ("realtime", "image") and kind == "chat":
        return "other_endpoint"
    if is_other_model(model["id"], offer["native_id"]):
        return "other_model"
    return None


def is_other_model(model_id: str, native_id: str) -> bool:
    """True if the provider's name betrays a distillate or another month's snapshot of the model."""
    months, native_months = (
        set(re.findall(r"(?<!\d)2[3-6](?:0[1-9]|1[0-2])(?!\d)", name)) for name in (model_id, native_id)
    )
    distilled = "distill" in native_id.lower() and "distill" not in model_id
    return distilled or bool(months and native_months and not months & native_months)


def offer_record(offer: Json, model: Json, kind: str, *, spare: bool) -> OfferRecord:
    """One offer; a `spare` one is kept beside the one in use."""
    reason = unusable(offer, model, kind) or ("spare" if spare else None)
    return OfferRecord(
        provider=offer["provider"],
        native_id=offer["native_id"],
        price=price_record(offer, model, kind),
        regions=(offer["region"],) if offer.get("region") else (),
        variant=offer.get("variant", ""),
        context_length=offer.get("context_length"),
        max_output_tokens=offer.get("max_output"),
        suspect=bool(offer.get("price_outlier")),
        status=offer.get("status", "active"),
        confidence=offer.get("confidence"),
        stated_by=offer["source"],
        active=reason is None,
        reason=reason,
    )


def price_record(offer: Json, model: Json, kind: str) -> PriceRecord | None:
    """The stated price in nano-USD; None if nothing is stated, or only one side of a chat model."""
    tokens = {ours: price_per_mtok(offer[theirs]) for theirs, ours in TOKEN_PRICES.items() if theirs in offer}
    units = {ours: nano_half_even(offer[theirs]) for theirs, ours in UNIT_PRICES.items() if theirs in offer}
    if not tokens and not units:
        return None
    if kind == "chat" and ("prompt" not in tokens or "completion" not in tokens):
        return None
    if model["vendor"] == "anthropic":
        tokens = anthropic_cache_prices(tokens)
    prompt, completion = tokens.pop("prompt", 0), tokens.pop("completion", 0)
    tiers = tuple(tier_record(tier, prompt, tokens) for tier in offer.get("tiers", ()))
    return PriceRecord(
        prompt=prompt,
        completion=completion,
        tiers=tuple(sorted(tiers, key=lambda t: t.above_prompt_tokens)),
        units=units,
        **tokens,
    )


def anthropic_cache_prices(tokens: dict[str, int]) -> dict[str, int]:
    """Anthropic's rule where a collection left it out: writing for an hour costs twice the prompt price.

    Every offer that states all three prices keeps it. A write price below the prompt price contradicts the rule and is
    dropped, so that such tokens cost the prompt price.
    """
    tokens = dict(tokens)
    prompt, write = tokens["prompt"], tokens.get("cache_write_5m")
    if write is not None and write < prompt:
        del tokens["cache_write_5m"]
    elif write is not None and 4 * write == 5 * prompt:
        tokens.setdefault("cache_write_1h", 2 * prompt)
    return tokens


def tier_record(tier: Json, base_prompt: int, base: dict[str, int]) -> PriceTier:
    """A tier whose cache prices, where it states none, are those of the base price; one hour scales with the prompt."""
    prompt = price_per_mtok(tier["input"])
    stated = {
        kind: price_per_mtok(tier[name])
        for kind, name in (("cache_read", "cache_read"), ("cache_write_5m", "cache_write"))
        if name in tier
    }
    hour = base.get("cache_write_1h")
    if hour is not None and base_prompt:
        stated["cache_write_1h"] = hour * prompt // base_prompt
    return PriceTier(
        above_prompt_tokens=tier["above_input_tokens"],
        prompt=prompt,
        completion=price_per_mtok(tier["output"]),
        cache_read=stated.get("cache_read", base.get("cache_read")),
        cache_write_5m=stated.get("cache_write_5m", base.get("cache_write_5m")),
        cache_write_1h=stated.get("cache_write_1h"),
    )


def nano_half_even(usd: str) -> int:
    """Nano-USD of a price per piece; collections that converted floats have more than nine places."""
    return nano_from_usd(Decimal(usd).quantize(Decimal("0.000000001"), ROUND_HALF_EVEN))


def figures(records: list[ModelRecord]) -> Json:
    """Counts for SOURCES.md."""
    offers = [offer for record in records for offer in record.offers]
    return {
        "models": len(records),
        "offers": len(offers),
        "in use": sum(offer.active for offer in offers),
        "in use, priced and not suspect": sum(
            offer.active and offer.price is not None and not offer.suspect for offer in offers
        ),
        "suspect": sum(offer.suspect for offer in offers),
        "without price": sum(offer.price is None for offer in offers),
        **{
            f"kept but not in use: {reason}": count
            for reason, count in sorted(Counter(o.reason for o in offers if o.reason).items())
        },
    }


def sources_page(header: Json, aliases: Json, providers: Json, tables: Json, counts: Json) -> str:
    """SOURCES.md: where the figures come from, under which licences, what was corrected and what is doubted."""
    checks = header["checks"]
    snapshots = ", ".join(f"{name} {date}" for name, date in header["snapshot_dates"].items())
    licences = ", ".join(f"{name} ({licence})" for name, licence in sorted(providers["licences"].items()))
    names = f"{len(tables['aliases'])} aliases, {len(tables['redirects'])} redirects of retired names"
    return "\n".join(
        [
            *("# Sources of the packaged catalog", "", "Written by `scripts/build_seed.py`; do not edit.", ""),
            *("## Where the figures come from", "", *map(source_line, header["sources"]), ""),
            f"Snapshots: {snapshots}.",
            f"Names: {names}, {aliases['header']['snapshot']}.",
            f"Provider facts: {licences}.",
            *("", "## What it holds", "", *(f"- {name}: {count}" for name, count in counts.items()), "", *_DECISIONS),
            *("## Doubts carried over", ""),
            *("Prices more than ten times off the median of all providers; kept, not used until confirmed:", ""),
            *map(outlier_line, checks["price_outliers_over_10x_median"]),
            *("", "Price zero without being marked free; no price unless the model is in `free_model_allowlist`:", ""),
            *(f"- {place(entry)}; {entry['source']}" for entry in checks["zero_price_not_marked_free"]),
            *("", "Prices that two collections state differently; the first is used:", ""),
            *map(disagreement_line, checks["price_disagreements"]),
            *("", "Aliases:", "", *(f"- {note}" for note in aliases["header"]["notes"]), ""),
        ]
    )


def source_line(source: Json) -> str:
    """One source with its place, version and licence."""
    origin = source.get("repo") or source.get("via") or source["origin"]
    used = f"; {source['use']}" if "use" in source else ""
    return f"- {source['name']}: {origin}, commit `{source['commit'][:12]}`. Licence: {source['licence']}{used}."


def place(entry: Json) -> str:
    """The offer that a doubt is about."""
    return f"{entry['id']} at {entry['provider']} (`{entry['native_id']}`)"


def outlier_line(entry: Json) -> str:
    """One suspect price."""
    figures_text = f"{entry['field']} {entry['value']}, median {entry['median']} USD per million"
    return f"- {place(entry)}: {figures_text}; {entry['source']}"


def disagreement_line(entry: Json) -> str:
    """Two statements about one price, prompt/completion in USD per million."""
    return (
        f"- {place(entry)}: {'/'.join(entry['here'])} ({entry['source_here']}), other {'/'.join(entry['genai_prices'])}"
    )


_DECISIONS = [
    "## What was decided on the way",
    "",
    "- One offer per model and provider is in use; others are kept as `spare`. Fixed names come before moving ones,",
    "  plain variants before special ones, the region of the provider's standard address before others.",
    "- `other_region`: served at another address than the provider's standard one, at another price.",
    "- `unknown_name`: the provider's own list does not contain the name.",
    "- `other_model`: filed under the model, but by its name a distillate or another snapshot.",
    "- `other_unit`: billed there by another unit than the one that was collected.",
    "- `other_endpoint`: a realtime or picture price of a model that also chats.",
    "- Free variants are models of their own (`…:free`).",
    "- Anthropic: where the price for cache writes of one hour is missing it is twice the prompt price, as in every",
    "  offer that states it. A write price below the prompt price is dropped.",
    "- A context tier that states no cache price keeps the base price's; its price for one hour scales with its",
    "  prompt price.",
    "- A chat price with one side only counts as no price.",
    "- JSON mode, where no source speaks of it, follows from structured outputs, else from tools; token probabilities",
    "  are assumed for OpenAI models that do not reason. A provider may still refuse either.",
    "- Figures from the source without a licence file are marked `confidence: low`.",
    "",
]


if __name__ == "__main__":
    main()
