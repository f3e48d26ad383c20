"""The forms of model lists, one pure function each: from one entry's JSON to a `FeedModel`.

A number is never guessed at: a list whose unit nobody confirmed is read without prices, and a price that depends on who
serves the request is no price.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from gatewayz.core.money import nano_from_usd
from gatewayz.providers.model_feeds import (
    LONGEST_TEXT,
    NO_PRICES,
    FeedModel,
    FeedPage,
    FeedPrice,
    FeedTier,
    FeedUnreadable,
    amount,
    members,
    per_mtok,
    text,
    whole,
    words,
)

_US = 1_000_000
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
# The word of a list for what a model is; anything else is unknown to us and is not taken for a chat.
_KINDS = {
    "chat": "chat", "language": "chat", "llm": "chat", "text": "chat", "text-generation": "chat", "base": "completion",
    "model": "chat", "vlm": "chat", "chat_completion": "chat", "code": "chat", "multimodal": "chat", "vision": "chat",
    "completion": "completion", "embedding": "embedding", "embeddings": "embedding", "image": "image",
    "text-to-image": "image", "image-generation": "image", "video": "video", "rerank": "rerank",
    "reranker": "rerank", "audio": "audio_speech", "speech": "audio_speech", "text-to-speech": "audio_speech",
    "transcribe": "audio_transcription", "transcription": "audio_transcription",
    "automatic-speech-recognition": "audio_transcription", "moderation": "moderation", "realtime": "realtime",
}  # fmt: skip
# Names that give a model away which is listed beside chat models without saying what it is.
_OTHER_NAMES = (
    ("embed", "embedding"), ("rerank", "rerank"), ("whisper", "audio_transcription"), ("transcribe", "audio_transcription"),
    ("tts", "audio_speech"), ("dall-e", "image"), ("gpt-image", "image"), ("flux", "image"), ("stable-diffusion", "image"),
    ("imagen", "image"), ("sora", "video"), ("veo-", "video"), ("moderation", "moderation"), ("realtime", "realtime"),
    ("ocr", "ocr"), ("guard", "moderation"), ("davinci-002", "completion"), ("babbage-002", "completion"),
)  # fmt: skip
_COHERE_KINDS = {"chat": "chat", "embed": "embedding", "rerank": "rerank", "generate": "completion"}
_MEDIA = {"text", "image", "file", "audio", "video", "embedding"}
_PARAMETERS = {
    "tools": "tools", "function_calling": "tools", "functions": "tools", "function-calling": "tools", "tool_use": "tools",
    "reasoning": "reasoning", "structured_outputs": "json_schema", "structured-outputs": "json_schema",
    "json_schema": "json_schema", "response_format": "json_object", "json_mode": "json_object", "logprobs": "logprobs",
    "vision": "vision",
}  # fmt: skip
_PRICE_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cache_read", ("input_cache_read", "cache_read", "cached_input", "cache_input", "cached_prompt", "cacheRead")),
    ("cache_write_5m", ("input_cache_write", "cache_write", "cacheWrite")),
    ("cache_write_1h", ("input_cache_write_1h", "cache_write_1h")),
    ("reasoning", ("internal_reasoning",)),
    ("audio_input", ("audio",)),
    ("audio_output", ("audio_output",)),
)
_PROMPT, _COMPLETION = ("prompt", "input"), ("completion", "output")
# A unit that the entry itself names counts more than what its profile says.
_NAMED_UNITS = {"usd_per_1m_tokens": "usd_per_mtok", "usd_per_token": "usd_per_token"}

Entry = Mapping[str, Any]
Reader = Callable[[Entry, str], FeedModel | None]


def read_feed(shape: str, body: bytes, unit: str = NO_PRICES) -> FeedPage:
    """The models of an answer of this shape. Raises FeedUnreadable if it is no list at all."""
    try:
        answer = _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise FeedUnreadable("the answer is no JSON") from error
    places, reader, further = _SHAPES[shape]
    entries = _entries(answer, places)
    if entries is None:
        raise FeedUnreadable("the answer holds no list of models")
    models = tuple(model for entry in entries if (model := _read(reader, entry, unit)) is not None)
    return FeedPage(models, len(entries) - len(models), further(answer) if isinstance(answer, dict) else None)


def _read(reader: Reader, entry: Any, unit: str) -> FeedModel | None:
    if not isinstance(entry, dict):
        return None
    try:
        return reader(entry, unit)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
        # Strangers' JSON: an entry that has another form than its list promises is counted, the others are read.
        return None


def _entries(answer: Any, places: tuple[str, ...]) -> list[Any] | None:
    if isinstance(answer, list):
        return answer
    for place in places:
        value = answer
        for name in place.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, list):
            return value
    return None


def _openai(entry: Entry, unit: str) -> FeedModel | None:
    """OpenAI's form and everything that others put into it: limits, media, abilities, prices."""
    native = text(entry, "id", "model", "name")
    if native is None:
        return None
    top, architecture = members(entry.get("top_provider")), members(entry.get("architecture"))
    before = words(entry.get("input_modalities")) or words(architecture.get("input_modalities"))
    after = words(entry.get("output_modalities")) or words(architecture.get("output_modalities"))
    price, problem = _price(members(entry.get("pricing")), unit)
    return FeedModel(
        native_id=native,
        name=text(entry, "display_name", "title") or (text(entry, "name") if "id" in entry else None),
        kind=_kind(entry, native, before, after),
        context_length=whole(
            entry, "context_length", "context_window", "max_context_length", "max_model_len", "context_size",
            "max_input_tokens", "context_len",
        ),
        max_output_tokens=whole(top, "max_completion_tokens")
        or whole(entry, "max_output_tokens", "max_completion_tokens", "max_output_length", "max_tokens"),
        media_in=_media(before),
        media_out=_media(after),
        capabilities=_abilities(entry),
        created_us=_created(entry.get("created")),
        huggingface_id=text(entry, "hugging_face_id", "huggingface_id"),
        price=price,
        price_problem=problem,
    )  # fmt: skip


def _price(stated: Entry, unit: str) -> tuple[FeedPrice | None, str | None]:
    """(price, None), (None, why not), or (None, None) if nothing is stated."""
    named = stated.get("unit")
    unit = _NAMED_UNITS.get(named, NO_PRICES) if isinstance(named, str) else unit
    if unit == NO_PRICES or not stated:
        return None, None
    try:
        price = _figures(stated, unit)
    except ValueError as error:
        return None, str(error)[:LONGEST_TEXT]
    return price, None if price is not None else "prompt and completion prices are not both stated"


def _figures(stated: Entry, unit: str) -> FeedPrice | None:
    prompt, completion = (_first(stated, names, unit) for names in (_PROMPT, _COMPLETION))
    if prompt is None or completion is None:
        return None
    # A zero for a special kind means that it has no price of its own, not that it is a gift.
    special = {kind: value for kind, names in _PRICE_NAMES if (value := _first(stated, names, unit))}
    request = amount(stated.get("request"))
    units = {"web_search": stated.get("web_search"), "image_input": stated.get("image")}
    pieces = {name: nano_from_usd(round(piece, 9)) for name, one in units.items() if (piece := amount(one))}
    return FeedPrice(
        prompt=prompt,
        completion=completion,
        request_nano_usd=nano_from_usd(round(request, 9)) if request else 0,
        tiers=_tiers(stated, unit),
        units=pieces,
        **special,
    )


def _tiers(stated: Entry, unit: str) -> tuple[FeedTier, ...]:
    """Dearer prices of long prompts: `overrides` with `min_prompt_tokens`, or a list of tiers per kind."""
    found = []
    for other in stated.get("overrides") or ():
        above = whole(members(other), "min_prompt_tokens")
        prompt, completion = (_first(members(other), names, unit) for names in (_PROMPT, _COMPLETION))
        if above is None or prompt is None or completion is None:
            raise ValueError("a tier of the price cannot be read")
        kinds = {kind: value for kind, names in _PRICE_NAMES[:3] if (value := _first(other, names, unit))}
        found.append(FeedTier(above, prompt, completion, **kinds))
    lists = {kind: stated.get(f"{kind}_tiers") for kind in ("input", "output")}
    if any(isinstance(tiers, list) and len(tiers) > 1 for tiers in lists.values()):
        if not all(isinstance(tiers, list) for tiers in lists.values()):
            raise ValueError("tiers of one kind only")
        costs = [
            {whole(members(tier), "min") or 0: per_mtok(members(tier).get("cost"), unit) for tier in lists[kind] or ()}
            for kind in ("input", "output")
        ]
        if costs[0].keys() != costs[1].keys():
            raise ValueError("tiers that begin at different lengths")
        for above in sorted(costs[0]):
            prompt, completion = costs[0][above], costs[1][above]
            if prompt is None or completion is None:
                raise ValueError("a tier of the price cannot be read")
            if above:
                found.append(FeedTier(above, prompt, completion))
    return tuple(sorted(found, key=lambda tier: tier.above_prompt_tokens))


def _first(stated: Entry, names: tuple[str, ...], unit: str) -> int | None:
    for name in names:
        value = per_mtok(stated.get(name), unit)
        if value is not None:
            return value
    return None


def _kind(entry: Entry, native: str, before: frozenset[str], after: frozenset[str]) -> str | None:
    told = text(entry, "type", "model_type", "task")
    if told is not None and told.lower() not in ("model", "object"):
        # Together calls models that only continue a text "language", too; they have no template of a chat.
        template = members(entry.get("config")).get("chat_template", "")
        return "completion" if told.lower() == "language" and template is None else _KINDS.get(told.lower())
    if "text" in after and (not before or "text" in before):
        return "chat"
    if after and "text" not in after:
        return "image" if "image" in after else "embedding" if {"embedding", "embeddings"} & after else None
    mistral = members(entry.get("capabilities"))
    if "completion_chat" in mistral:
        return "chat" if mistral["completion_chat"] is True else None
    lowered = native.lower()
    return next((kind for part, kind in _OTHER_NAMES if part in lowered), "chat")


def _media(stated: frozenset[str]) -> frozenset[str] | None:
    known = frozenset("file" if word == "pdf" else word for word in stated) & _MEDIA
    return known or None


def _abilities(entry: Entry) -> dict[str, bool]:
    """What the entry says of abilities; a list of parameters denies what it leaves out."""
    stated = words(entry.get("supported_parameters"))
    if stated:
        able = {ability for word, ability in _PARAMETERS.items() if word in stated}
        return {name: name in able for name in ("tools", "reasoning", "json_object", "json_schema", "logprobs")}
    found: dict[str, bool] = {}
    for word in words(entry.get("supported_features")) | words(entry.get("features")) | words(entry.get("tags")):
        if word in _PARAMETERS:
            found[_PARAMETERS[word]] = True
    flags = {**members(entry.get("capabilities"))}
    for name in ("supports_tools", "supports_tool_use", "supports_function_calling"):
        flags.setdefault("function_calling", entry.get(name))
    for word, value in flags.items():
        if isinstance(value, bool) and word in _PARAMETERS:
            found[_PARAMETERS[word]] = value
    return found


def _created(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            return round(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()) * _US
        except ValueError:
            return None
    number = whole({"at": value}, "at")
    return number * _US if number is not None and number < 10**11 else None


def _anthropic(entry: Entry, _unit: str) -> FeedModel | None:
    native = text(entry, "id")
    if native is None:
        return None
    return FeedModel(
        native_id=native,
        name=text(entry, "display_name"),
        context_length=whole(entry, "max_input_tokens"),
        max_output_tokens=whole(entry, "max_tokens"),
        created_us=_created(entry.get("created_at")),
    )


def _gemini(entry: Entry, _unit: str) -> FeedModel | None:
    native = text(entry, "name")
    if native is None:
        return None
    methods = words(entry.get("supportedGenerationMethods"))
    kind = "chat" if "generatecontent" in methods else "embedding" if "embedcontent" in methods else None
    native = native.removeprefix("models/")
    named = next((other for part, other in _OTHER_NAMES if part in native), kind)
    return FeedModel(
        native_id=native,
        name=text(entry, "displayName"),
        kind=named,
        context_length=whole(entry, "inputTokenLimit"),
        max_output_tokens=whole(entry, "outputTokenLimit"),
        capabilities={"reasoning": entry["thinking"]} if isinstance(entry.get("thinking"), bool) else {},
    )


def _cohere(entry: Entry, _unit: str) -> FeedModel | None:
    native = text(entry, "name")
    if native is None:
        return None
    served = words(entry.get("endpoints"))
    kind = next((kind for name, kind in _COHERE_KINDS.items() if name in served), None)
    able = words(entry.get("features"))
    capabilities: dict[str, bool] = {name: True for name in ("tools", "reasoning", "vision") if name in able}
    if entry.get("supports_vision") is True:
        capabilities["vision"] = True
    return FeedModel(
        native_id=native, kind=kind, context_length=whole(entry, "context_length"), capabilities=capabilities
    )


def _deepinfra(entry: Entry, unit: str) -> FeedModel | None:
    native = text(entry, "model_name", "id")
    if native is None:
        return None
    stated = members(entry.get("pricing"))
    names = {"prompt": "cents_per_input_token", "completion": "cents_per_output_token"}
    figures = {name: stated.get(other) for name, other in names.items() if other in stated}
    prompt, rate = amount(figures.get("prompt")), amount(stated.get("rate_per_input_token_cached"))
    if prompt is not None and rate is not None and rate > 0:
        # The price of cached tokens is told as a part of the prompt's.
        figures["cache_read"] = prompt * rate
    price, problem = _price(figures, unit)
    if entry.get("deprecated"):
        price, problem = None, "deprecated: another model may answer in its place"
    return FeedModel(
        native_id=native,
        kind=_KINDS.get((text(entry, "type", "reported_type") or "").lower()),
        context_length=whole(entry, "max_tokens"),
        capabilities=_abilities(entry),
        price=price,
        price_problem=problem,
    )


def _novita(entry: Entry, unit: str) -> FeedModel | None:
    model = _openai(entry, NO_PRICES)
    names = {"prompt": "input_token_price_per_m", "completion": "output_token_price_per_m"}
    figures = {name: entry.get(other) for name, other in names.items() if other in entry}
    cached = members(members(entry.get("pricing")).get("input_cache_read")).get("price_per_m")
    if cached is not None:
        figures["cache_read"] = cached
    if model is not None and entry.get("is_tiered_billing"):
        return replace(model, price_problem="the price has tiers that the list does not tell in a known form")
    return _priced(model, figures, unit)


def _xai(entry: Entry, unit: str) -> FeedModel | None:
    model = _openai(entry, NO_PRICES)
    names = {
        "prompt": "prompt_text_token_price",
        "completion": "completion_text_token_price",
        "cache_read": "cached_prompt_text_token_price",
    }
    figures = {name: entry.get(other) for name, other in names.items() if other in entry}
    dearer = {name: entry.get(f"{other}_long_context") for name, other in names.items()}
    if dearer["prompt"] is not None or dearer["completion"] is not None:
        figures["overrides"] = [{**dearer, "min_prompt_tokens": entry.get("long_context_threshold")}]
    return _priced(model, figures, unit)


def _near(entry: Entry, _unit: str) -> FeedModel | None:
    """NEAR states amount and scale of each price: `amount * 10^scale` USD per token."""
    native, about = text(entry, "modelId"), members(entry.get("metadata"))
    if native is None:
        return None
    stated: dict[str, Any] = {}
    problem = None
    for name, other in (("prompt", "inputCostPerToken"), ("completion", "outputCostPerToken")):
        cost = members(entry.get(other))
        figure, scale = cost.get("amount"), cost.get("scale")
        if not cost:
            continue
        if (
            not isinstance(figure, int)
            or not isinstance(scale, int)
            or abs(scale) > 18
            or cost.get("currency") != "USD"
        ):
            problem = "a price in an unknown form"
            continue
        stated[name] = Decimal(figure).scaleb(scale)
    price, reason = (None, problem) if problem else _price(stated, "usd_per_token")
    return FeedModel(
        native_id=native,
        name=text(about, "modelDisplayName"),
        kind=next((kind for part, kind in _OTHER_NAMES if part in native.lower()), "chat"),
        context_length=whole(about, "contextLength"),
        price=price,
        price_problem=reason,
    )


def _huggingface(entry: Entry, unit: str) -> FeedModel | None:
    """A router: its price is known only where all who serve a model ask the same."""
    model = _openai(entry, NO_PRICES)
    live = [members(one) for one in entry.get("providers") or () if members(one).get("status") in (None, "live")]
    return _of_all(model, [members(one.get("pricing")) for one in live], unit)


def _helicone(entry: Entry, unit: str) -> FeedModel | None:
    named = {"context_length": entry.get("contextLength"), "max_output_tokens": entry.get("maxOutput")}
    model = _openai({**entry, **named}, NO_PRICES)
    ends = [members(one) for one in entry.get("endpoints") or ()]
    return _of_all(model, [members(one.get("pricing")) for one in ends], unit)


def _of_all(model: FeedModel | None, stated: list[Entry], unit: str) -> FeedModel | None:
    prices = [_price(one, unit)[0] for one in stated]
    if prices and all(price is not None and price == prices[0] for price in prices):
        return _priced(model, stated[0], unit)
    if model is None or not stated:
        return model
    return replace(model, price=None, price_problem="the price depends on who serves the request")


def _priced(model: FeedModel | None, stated: Entry, unit: str) -> FeedModel | None:
    if model is None:
        return None
    price, problem = _price(stated, unit)
    return replace(model, price=price, price_problem=problem)


def _no_more(_answer: Entry) -> Mapping[str, str] | None:
    return None


def _after_id(answer: Entry) -> Mapping[str, str] | None:
    last = answer.get("last_id")
    return {"after_id": last} if answer.get("has_more") is True and isinstance(last, str) and last else None


def _page_token(answer: Entry) -> Mapping[str, str] | None:
    token = answer.get("nextPageToken")
    return {"pageToken": token} if isinstance(token, str) and token else None


def _cohere_token(answer: Entry) -> Mapping[str, str] | None:
    token = answer.get("next_page_token")
    return {"page_token": token} if isinstance(token, str) and token else None


_USUAL = ("data", "models", "result", "data.models")
_SHAPES: Mapping[str, tuple[tuple[str, ...], Reader, Callable[[Entry], Mapping[str, str] | None]]] = MappingProxyType(
    {
        "openai": (_USUAL, _openai, _no_more),
        "anthropic": (("data",), _anthropic, _after_id),
        "gemini": (("models",), _gemini, _page_token),
        "cohere": (("models",), _cohere, _cohere_token),
        "deepinfra": (_USUAL, _deepinfra, _no_more),
        "novita": (_USUAL, _novita, _no_more),
        "xai": (("models",), _xai, _no_more),
        "near": (("models",), _near, _no_more),
        "huggingface": (("data",), _huggingface, _no_more),
        "helicone": (("data.models", "data"), _helicone, _no_more),
    }
)
SHAPES = frozenset(_SHAPES)
NO_FEED = "none"
