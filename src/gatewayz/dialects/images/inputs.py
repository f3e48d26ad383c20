"""What dialects share in which each model has inputs of its own: the request's further members, and pictures to read."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gatewayz.core.media import ImageAnswer, ImageRequest, Picture
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Target
from gatewayz.dialects.data_uri import split_data_uri
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.media.service import MediaDialect, facts
from gatewayz.dialects.parameters import unsupported

# Inputs that decide how many images are made, and how large: both are paid for, so both are said in OpenAI's words.
_NUMBERS = frozenset(
    {
        "num_images",
        "num_outputs",
        "number_of_images",
        "max_images",
        "batch_size",
        "num_samples",
        "num_images_per_prompt",
    }
)
_SIZES = frozenset({"image_size", "width", "height", "resolution", "megapixels", "output_megapixels"})
# OpenAI's word for who asks; no model has an input for it.
_NOT_SAID = frozenset({"user"})
_ANY_QUALITY = (None, "auto", "standard")
_WITH_QUALITY = re.compile(r"gpt-image|dall-e")


class ModelInputs(MediaDialect):
    """The `ProviderDialect` of a provider that gives each model's inputs a place in the request."""

    service: Service = "image_generations"

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        return tuple(sorted(_NOT_SAID & request.extra.keys()))

    def submit_headers(self, longest_s: float) -> Mapping[str, str]:
        """See `JobDialect`."""
        return {}

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ImageAnswer, AnswerFacts]:
        answer = json_text.load(body)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        pictures = self.pictures(answer)
        usage = Usage(images=len(pictures))
        own_id = answer.get("id") or answer.get("request_id")
        told = {"id": msgspec.Raw(json_text.dump(own_id))} if isinstance(own_id, str) else {}
        return ImageAnswer(pictures, usage), facts(usage, not pictures, told)

    def pictures(self, answer: dict[str, Any]) -> tuple[Picture, ...]:
        """The images of an answer that were made and not withheld. Raises ValueError for what is no answer."""
        raise NotImplementedError


def further(request: ImageRequest) -> dict[str, Any]:
    """The members that the caller gave besides OpenAI's own: inputs of the model. Raises InvalidRequest for some.

    What is asked for must be known before it is paid for.
    """
    for name in request.extra:
        if name in _NUMBERS or name in _SIZES:
            raise unsupported(name, f"cannot be given at this provider; use '{'n' if name in _NUMBERS else 'size'}'")
    return {name: raw for name, raw in request.extra.items() if name not in GATEWAY_FIELDS and name not in _NOT_SAID}


def quality_input(request: ImageRequest, target: Target) -> dict[str, str]:
    """`quality` for a model that has it. Raises InvalidRequest for others: what is paid for must be what is made."""
    if request.quality in _ANY_QUALITY:
        return {}
    if not _WITH_QUALITY.search(target.native_id):
        raise unsupported("quality", "cannot be chosen for this model at this provider")
    return {"quality": str(request.quality)}


def picture(address: Any, content_type: Any = "", revised_prompt: Any = "") -> Picture | None:
    """An image by its address, which may be a data URI; None if there is none."""
    if not isinstance(address, str) or not address:
        return None
    kind = content_type if isinstance(content_type, str) else ""
    revised = revised_prompt if isinstance(revised_prompt, str) else ""
    embedded = split_data_uri(address)
    if embedded is not None:
        return Picture(embedded[1], "", embedded[0], revised)
    return Picture("", address, kind, revised)


def texts_in(answer: dict[str, Any], *names: str) -> tuple[str, ...]:
    """The texts under these names. Raises ValueError where one is missing."""
    found = tuple(answer.get(name) for name in names)
    if not all(isinstance(each, str) and each for each in found):
        raise ValueError(f"no {' or '.join(names)}")
    return tuple(str(each) for each in found)
