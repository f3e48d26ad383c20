"""Replicate: a prediction with a model's inputs. https://replicate.com/docs/reference/http#predictions.create"""

import math
import re
from collections.abc import Mapping
from typing import Any

from gatewayz.core.media import ImageRequest, Picture
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.data_uri import split_data_uri
from gatewayz.dialects.images.inputs import ModelInputs, further, picture, quality_input, texts_in
from gatewayz.dialects.images.shapes import ratio, sides
from gatewayz.dialects.jobs import Job
from gatewayz.dialects.parameters import unsupported

_WAITING = frozenset({"starting", "processing"})
_TIMED_OUT = frozenset({"canceled", "aborted"})  # nobody but us and the deadline that we set ends a prediction
# A quick model answers at once; of a slow one the gateway soon knows the address, by which it can be given up.
_HOLD_S = 5
_SHORTEST_DEADLINE_S = 5
# How a model is told the size, where that is not by its proportions.
_BY_PIXELS = re.compile(r"^recraft-ai/")
_BY_SIDES = re.compile(r"^stability-ai/(?:sdxl|stable-diffusion)(?::|$)|sdxl-lightning")
_RATIOS = frozenset({"21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "9:21"})
# The input in which a model takes pictures, and whether it takes a list. https://replicate.com/collections/image-editing
_PICTURE_INPUTS = (
    (re.compile(r"^black-forest-labs/flux-kontext-"), "input_image", False),
    (re.compile(r"^black-forest-labs/flux-fill-"), "image", False),
    (re.compile(r"^google/nano-banana"), "image_input", True),
    (re.compile(r"^bytedance/seedream-4"), "image_input", True),
    (re.compile(r"^qwen/qwen-image-edit(?::|$)"), "image", False),
)
_TAKES_MASK = re.compile(r"^black-forest-labs/flux-fill-")
_MOST_INLINE = 1_000_000 * 4 // 3  # larger files are to be uploaded; characters of base64


class ReplicateImages(ModelInputs):
    """The `JobDialect` of Replicate's image models; the model, with or without its version, stands in the body."""

    name = "replicate_images"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        inputs: dict[str, Any] = {"prompt": request.prompt}
        if request.n > 1:
            inputs["num_outputs"] = request.n
        if request.size not in (None, "auto"):
            inputs |= _size(request.size, target.native_id)
        inputs |= quality_input(request, target) | _given(request, target) | further(request)
        return json_text.dump({"version": target.native_id, "input": inputs})

    def submit_headers(self, longest_s: float) -> Mapping[str, str]:
        deadline_s = max(_SHORTEST_DEADLINE_S, math.ceil(longest_s))
        return {"Prefer": f"wait={_HOLD_S}", "Cancel-After": f"{deadline_s}s"}

    def step(self, body: bytes, url: str, job: Job | None) -> Job | None:
        """See `JobDialect`."""
        answer = json_text.load(body)
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, str):
            raise ValueError("no status")
        if status not in _WAITING:
            return None
        if job is not None:
            return job
        urls = answer.get("urls")
        ask, cancel = texts_in(urls if isinstance(urls, dict) else {}, "get", "cancel")
        return Job(ask, cancel=cancel)

    def pictures(self, answer: dict[str, Any]) -> tuple[Picture, ...]:
        if answer.get("status") != "succeeded":
            raise ValueError("the prediction did not succeed")
        output = answer.get("output")
        found = [picture(each) for each in (output if isinstance(output, list) else [output])]
        return tuple(each for each in found if each is not None)

    def read_error(self, body: bytes) -> StreamError:
        """As of a `ProviderDialect`; a prediction that failed is a body like one that did not."""
        try:
            answer = json_text.load(body)
        except ValueError:
            return error_text.read_error(body)
        status = answer.get("status") if isinstance(answer, dict) else None
        if status in _TIMED_OUT:
            return StreamError("", kind="timeout")
        if status == "failed":
            said = answer.get("error")
            return StreamError(said[:2000] if isinstance(said, str) else "", kind="prediction_failed", param="prompt")
        return error_text.read_error(body)


def _size(size: str, native_id: str) -> dict[str, Any]:
    if _BY_PIXELS.search(native_id):
        return {"size": size}
    if _BY_SIDES.search(native_id):
        width, height = sides(size)
        return {"width": width, "height": height}
    return {"aspect_ratio": ratio(size, _RATIOS)}


def _given(request: ImageRequest, target: Target) -> dict[str, Any]:
    """The pictures of an edit, under the name that the model has for them. Raises InvalidRequest where none is known."""
    if not request.given:
        return {}
    known = next((entry for entry in _PICTURE_INPUTS if entry[0].search(target.native_id)), None)
    if known is None:
        raise unsupported("model", "is not known to take pictures at this provider; give them as inputs of the model")
    for each in (*request.given, request.mask):
        data = split_data_uri(each)
        if data is not None and len(data[1]) > _MOST_INLINE:
            raise unsupported("image", "may have one megabyte at most at this provider")
    members: dict[str, Any] = {}
    if request.mask:
        if not _TAKES_MASK.search(target.native_id):
            raise unsupported("mask", "is not taken by this model at this provider")
        members["mask"] = request.mask
    _, name, is_list = known
    if is_list:
        return {**members, name: list(request.given)}
    if len(request.given) > 1:
        raise unsupported("image", "may be one picture only for this model at this provider")
    return {**members, name: request.given[0]}


class ReplicateImageEdits(ReplicateImages):
    """The same for edits: the pictures of the request are inputs of the model."""

    name = "replicate_image_edits"
    service: Service = "image_edits"


REPLICATE_IMAGES = ReplicateImages()
REPLICATE_IMAGE_EDITS = ReplicateImageEdits()
