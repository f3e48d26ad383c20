"""OpenAI Moderations: texts and images in, categories and scores out."""

from typing import Any

import msgspec

from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Counted, Glance
from gatewayz.dialects.media.service import MediaDialect, array_length, usage_of, whole
from gatewayz.dialects.parameters import check_all, missing, provider_wish, string, value_of, wrong_type, wrong_value
from gatewayz.dialects.tokens import DENSEST, IMAGE_TOKENS, estimate_tokens

# What OpenAI's own endpoint takes where no model is named.
DEFAULT_MODEL = "openai/omni-moderation-latest"
_PARTS = ("text", "image_url")


class OpenAIModerations(MediaDialect):
    """The `Dialect` of moderations."""

    name = "openai_moderations"
    service: Service = "moderations"

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        values = check_all(fields, {"model": string, "provider": provider_wish})
        model = values.get("model") or DEFAULT_MODEL
        tokens = _tokens(value_of("input", fields["input"]) if "input" in fields else None)
        known, most = Usage(prompt_tokens=tokens), Usage(prompt_tokens=DENSEST * tokens)
        return Glance(
            self.name, body, fields, model, False, None, tokens, provider=values.get("provider"),
            counted=Counted(known, most),
        )  # fmt: skip

    def count(self, members: dict[str, msgspec.Raw]) -> tuple[Usage | None, bool]:
        told = usage_of(members)
        tokens = whole(told.get("prompt_tokens")) or whole(told.get("total_tokens"))
        return (Usage(prompt_tokens=tokens) if tokens else None), array_length(members, "results") == 0


def _tokens(value: Any) -> int:
    """Estimated tokens of `input`. Raises InvalidRequest for what OpenAI would refuse."""
    if value is None:
        raise missing("input")
    items = value if isinstance(value, list) else [value]
    if not items:
        raise missing("input", " It is empty.")
    return sum(
        _tokens_of(f"input[{index}]" if isinstance(value, list) else "input", each) for index, each in enumerate(items)
    )


def _tokens_of(place: str, item: Any) -> int:
    if isinstance(item, str):
        return max(1, estimate_tokens(item))
    if not isinstance(item, dict):
        raise wrong_type(place, "a string or an object of type text or image_url")
    if item.get("type") not in _PARTS:
        raise wrong_value(f"{place}.type", "'text' or 'image_url'")
    if item["type"] == "text":
        if not isinstance(item.get("text"), str):
            raise missing(f"{place}.text")
        return max(1, estimate_tokens(item["text"]))
    image = item.get("image_url")
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise missing(f"{place}.image_url.url")
    return IMAGE_TOKENS


OPENAI_MODERATIONS = OpenAIModerations()
