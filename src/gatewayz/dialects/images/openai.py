"""OpenAI Images: generations as JSON, edits and variations as forms, with streams of partial images."""

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gatewayz.core.media import ImageAnswer, ImageRequest, Picture
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Bridge, Counted, Encoded, Glance, Target, Voice
from gatewayz.dialects.data_uri import data_uri
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.images.sizes import INPUT_IMAGE_TOKENS, most_tokens, variant
from gatewayz.dialects.media.events import EventsForwarder
from gatewayz.dialects.media.forms import Part, read_form, replaced, values_of, write_form
from gatewayz.dialects.media.service import MediaDialect, array_length, usage_of, whole
from gatewayz.dialects.parameters import (
    boolean,
    check_all,
    integer,
    missing,
    out_of_range,
    provider_wish,
    read_model,
    string,
    unsupported,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import estimate_tokens

MAX_IMAGES = 10
_FORMS = ("url", "b64_json")
_OURS = GATEWAY_FIELDS
_CHECKS = {
    "prompt": string, "n": integer(1, MAX_IMAGES), "size": string, "quality": string, "response_format": string,
    "stream": boolean, "partial_images": integer(0, 3), "user": string, "provider": provider_wish,
}  # fmt: skip
_KNOWN = frozenset(
    {"model", "prompt", "n", "size", "quality", "response_format", "stream", "partial_images", "provider"}
)
_ENDINGS = frozenset({"image_generation.completed", "image_edit.completed"})
_MANY = "many"
_FILES = ("image", "image[]", "mask")
_BYTES = "application/octet-stream"
_WHOLE = re.compile("[+-]?[0-9]{1,20}")
_BEGINNINGS = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


class OpenAIImages(MediaDialect):
    """The `Dialect` of image generations."""

    name = "openai_images"
    service: Service = "image_generations"

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        model = read_model(fields)
        values = check_all(fields, _CHECKS)
        if not values.get("prompt"):
            raise missing("prompt")
        return seen(self.name, body, fields, model, values)

    def count(self, members: dict[str, msgspec.Raw]) -> tuple[Usage | None, bool]:
        made = array_length(members, "data")
        return told_tokens(usage_of(members), made), made == 0

    def read_request(self, glance: Glance) -> ImageRequest:
        values = check_all(glance.fields, _CHECKS)
        if values.get("stream"):
            raise unsupported("stream", "cannot be asked for at this provider")
        return ImageRequest(
            prompt=values["prompt"],
            n=values.get("n", 1),
            size=values.get("size"),
            quality=values.get("quality"),
            form=values.get("response_format"),
            extra={name: raw for name, raw in glance.fields.items() if name not in _KNOWN},
        )

    def completed(self, answer: Any, glance: Glance) -> Any:
        """See `MediaDialect`: an image that came as base64 and was wanted as an address is one as a data URI."""
        if self.wanted_form(glance) != "url":
            return answer
        shown = [
            replace(each, data="", url=data_uri(each.content_type or _kind_of_base64(each.data), each.data))
            if each.data
            else each
            for each in answer.images
        ]
        return ImageAnswer(tuple(shown), answer.usage)

    def wants_bytes(self, glance: Glance) -> bool:
        return bool(self.wanted_form(glance) == "b64_json")

    def wanted_form(self, glance: Glance) -> Any:
        """`url` or `b64_json`, as the client wants images; None where it does not say."""
        raw = glance.fields.get("response_format")
        return json_text.load(raw) if raw is not None else None

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return json_text.dump(
            {
                "created": voice.created,
                "data": [_shown(each) for each in answer.images],
                "usage": {"cost": json_text.usd_raw(cost_nano_usd)},
            }
        )

    def stream(self, voice: Voice) -> Bridge:
        return EventsForwarder(frozenset() if voice.form == _MANY else _ENDINGS, _counted)


class OpenAIImageForms(OpenAIImages):
    """What edits and variations share: a form with images in it."""

    needs_prompt = True

    def look(self, body: bytes, content_type: str) -> Glance:
        parts = read_form(body, content_type)
        values: dict[str, Any] = dict(values_of(parts))
        given = [part for part in parts if part.filename is not None and part.name in ("image", "image[]")]
        if not given:
            raise missing("image", " Send the image as a file of the form.")
        model = values.get("model", "").strip()
        if not model:
            raise missing("model")
        if self.needs_prompt and not values.get("prompt"):
            raise missing("prompt")
        if "n" in values:
            values["n"] = _count_in(values["n"])
        values["stream"] = str(values.get("stream", "")).lower() == "true"
        return seen(self.name, body, {}, model, values, parts, len(given))

    def wanted_form(self, glance: Glance) -> Any:
        values = values_of(glance.counted.parts) if glance.counted is not None else {}
        return values.get("response_format")

    def read_request(self, glance: Glance) -> ImageRequest:
        parts: tuple[Part, ...] = glance.counted.parts if glance.counted is not None else ()
        if not self.needs_prompt:
            raise unsupported("model", "cannot vary images without a text at this provider")
        values = values_of(parts)
        if str(values.get("stream", "")).lower() == "true":
            raise unsupported("stream", "cannot be asked for at this provider")
        files = {name: [part for part in parts if part.filename is not None and part.name == name] for name in _FILES}
        return ImageRequest(
            prompt=values.get("prompt", ""),
            n=_count_in(values["n"]) if "n" in values else 1,
            size=values.get("size"),
            quality=values.get("quality"),
            form=values.get("response_format"),
            extra={name: _plain_value(text) for name, text in values.items() if name not in _KNOWN},
            given=tuple(_as_data_uri(part) for name in ("image", "image[]") for part in files[name]),
            mask=_as_data_uri(files["mask"][0]) if files["mask"] else "",
        )

    def forward_request(self, glance: Glance, target: Target) -> bytes | Encoded:
        parts = glance.counted.parts if glance.counted is not None else ()
        return write_form(replaced(parts, target.native_id, _OURS))


class OpenAIImageEdits(OpenAIImageForms):
    """The `Dialect` of image edits."""

    name = "openai_image_edits"
    service: Service = "image_edits"


class OpenAIImageVariations(OpenAIImageForms):
    """The `Dialect` of image variations."""

    name = "openai_image_variations"
    service: Service = "image_variations"
    needs_prompt = False


def seen(
    name: str,
    body: bytes,
    fields: dict[str, msgspec.Raw],
    model: str,
    values: Mapping[str, Any],
    parts: tuple[Part, ...] = (),
    given: int = 0,
) -> Glance:
    """What a request for images asks for, `given` of which were sent with it. Raises InvalidRequest naming the field."""
    n, size, quality = values.get("n", 1), values.get("size"), values.get("quality")
    if values.get("response_format", "url") not in _FORMS:
        raise wrong_value("response_format", "'url' or 'b64_json'")
    read = given * INPUT_IMAGE_TOKENS
    prompt = estimate_tokens(values.get("prompt") or "") + read
    made = n * most_tokens(quality, size)
    usage = Usage(prompt, made, image_input_tokens=read, image_output_tokens=made, images=n)
    counted = Counted(usage, usage, variant(quality, size), _MANY if n > 1 else "", parts)
    return Glance(
        name, body, fields, model, bool(values.get("stream")), None, prompt, n=n, user=values.get("user"),
        provider=values.get("provider"), counted=counted,
    )  # fmt: skip


def told_tokens(told: dict[str, Any], made: int) -> Usage:
    """Tokens as a `usage` of images tells them, and how many images there are."""
    prompt, completion = whole(told.get("input_tokens")), whole(told.get("output_tokens"))
    read, written = told.get("input_tokens_details"), told.get("output_tokens_details")
    images_in = min(prompt, whole(read.get("image_tokens"))) if isinstance(read, dict) else 0
    cached = whole(read.get("cached_tokens")) if isinstance(read, dict) else 0
    # Image models write images unless they say otherwise.
    images_out = whole(written.get("image_tokens")) if isinstance(written, dict) else completion
    return Usage(
        prompt, completion, cached_tokens=min(cached, prompt - images_in), image_input_tokens=images_in,
        image_output_tokens=min(images_out, completion), images=made,
    )  # fmt: skip


def _counted(kind: str, members: dict[str, Any], before: Usage | None) -> Usage | None:
    if kind not in _ENDINGS:
        return before
    told = members.get("usage")
    now = told_tokens(told if isinstance(told, dict) else {}, 1)
    if before is None:
        return now
    return Usage(
        before.prompt_tokens + now.prompt_tokens,
        before.completion_tokens + now.completion_tokens,
        cached_tokens=before.cached_tokens + now.cached_tokens,
        image_input_tokens=before.image_input_tokens + now.image_input_tokens,
        image_output_tokens=before.image_output_tokens + now.image_output_tokens,
        images=before.images + 1,
    )


def _count_in(text: str) -> int:
    if _WHOLE.fullmatch(text.strip(" ")) is None:
        raise wrong_type("n", "an integer")
    n = int(text)
    if not 1 <= n <= MAX_IMAGES:
        raise out_of_range("n", f"between 1 and {MAX_IMAGES}")
    return n


def _shown(picture: Picture) -> dict[str, str]:
    """An image in the words of the API."""
    shown = {"b64_json": picture.data} if picture.data else {"url": picture.url}
    if picture.revised_prompt:
        shown["revised_prompt"] = picture.revised_prompt
    return shown


def _plain_value(text: str) -> Any:
    """A field of a form as a model's input: a number or a truth value where it reads as one, else the text."""
    try:
        value = json_text.load(text.encode())
    except ValueError:
        return text
    return value if isinstance(value, (int, float)) else text


def _as_data_uri(part: Part) -> str:
    return data_uri(
        _kind_of(bytes(part.data[:12])) or part.content_type or _BYTES, base64.b64encode(part.data).decode()
    )


def _kind_of_base64(data: str) -> str:
    return _kind_of(base64.b64decode(data[:16])) or _BYTES


def _kind_of(start: bytes) -> str:
    """The media type of an image by its first bytes; "" for what is none of the usual ones."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if start.startswith(begin)), "")


OPENAI_IMAGES = OpenAIImages()
OPENAI_IMAGE_EDITS = OpenAIImageEdits()
OPENAI_IMAGE_VARIATIONS = OpenAIImageVariations()
