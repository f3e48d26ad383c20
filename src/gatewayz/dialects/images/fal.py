"""fal.ai: a model's inputs as the body, at its queue or directly. https://fal.ai/docs/model-apis/inference/queue

The queue answers with the addresses of a request that waits; `fal.run` answers with the images themselves. Both are read.
"""

import re
from collections.abc import Mapping
from typing import Any

from gatewayz.core.media import ImageRequest, Picture
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.images.inputs import ModelInputs, further, picture, quality_input, texts_in
from gatewayz.dialects.images.shapes import ratio, sides
from gatewayz.dialects.jobs import Job
from gatewayz.dialects.parameters import unsupported

_WAITING = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_ENDED_BADLY = frozenset({"FAILED", "CANCELED", "CANCELLED"})
_WITHHELD = "content_policy_violation"
# A name becomes the path of an address.
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)+")
# Models that are told proportions; all others take `image_size`. Read from their pages under https://fal.ai/models
_BY_RATIO = re.compile(r"imagen|nano-banana|gemini|ultra|kontext|bria/text-to-image")
_RATIOS = frozenset({"21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "9:21"})
_TAKES_PICTURES = re.compile(r"edit|kontext|image-to-image|inpaint|/fill")
_TAKES_SEVERAL = re.compile(r"nano-banana|gemini|flux-2|seedream|gpt-image|/multi|edit-plus")
_TAKES_MASK = re.compile(r"inpaint|/fill")


class FalImages(ModelInputs):
    """The `JobDialect` of fal's image models; the model stands in the address."""

    name = "fal_images"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        if not _MODEL.fullmatch(target.native_id):
            raise unsupported("model", "has a name there that is no path")
        body: dict[str, Any] = {"prompt": request.prompt}
        if request.n > 1:
            body["num_images"] = request.n
        if request.size not in (None, "auto"):
            if _BY_RATIO.search(target.native_id):
                body["aspect_ratio"] = ratio(request.size, _RATIOS)
            else:
                width, height = sides(request.size)
                body["image_size"] = {"width": width, "height": height}
        body |= quality_input(request, target) | _given(request, target) | further(request)
        return json_text.dump(body)

    def submit_headers(self, longest_s: float) -> Mapping[str, str]:
        # A request that has not begun by then is dropped there; one that runs can only be asked to stop.
        return {"X-Fal-Request-Timeout": f"{max(1, round(longest_s))}"}

    def step(self, body: bytes, url: str, job: Job | None) -> Job | None:
        """See `JobDialect`."""
        answer = json_text.load(body)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        if job is None:
            if "status_url" not in answer:
                return None
            ask, result, cancel = texts_in(answer, "status_url", "response_url", "cancel_url")
            return Job(ask, result, cancel, "PUT")
        status = answer.get("status")
        if status in _WAITING:
            return job
        if status == "COMPLETED" and not answer.get("error"):
            return Job(job.result, ended=True)
        if status == "COMPLETED" or status in _ENDED_BADLY:
            return None
        raise ValueError("a status that nobody knows")

    def pictures(self, answer: dict[str, Any]) -> tuple[Picture, ...]:
        made = _made(answer)
        if made is None:
            raise ValueError("no images")
        shown = [each for each, flagged in made if not flagged]
        if made and not shown:
            raise ValueError("all images were withheld")
        found = [
            picture(each.get("url"), each.get("content_type")) if isinstance(each, dict) else picture(each)
            for each in shown
        ]
        return tuple(each for each in found if each is not None)

    def read_error(self, body: bytes) -> StreamError:
        """As of a `ProviderDialect`. Errors of fields come as a list, with or without `detail` around it."""
        try:
            answer = json_text.load(body)
        except ValueError:
            return error_text.read_error(body)
        if isinstance(answer, dict):
            made = _made(answer)
            if made and all(flagged for _, flagged in made):
                return StreamError("The images were withheld by a content check.", code=_WITHHELD, param="prompt")
            if isinstance(answer.get("error_type"), str):
                return StreamError(str(answer.get("error") or answer.get("detail") or ""), answer["error_type"])
            if answer.get("status") in _ENDED_BADLY:
                return StreamError(str(answer.get("error") or ""), str(answer["status"]))
        rows = answer.get("detail") if isinstance(answer, dict) else answer
        first = rows[0] if isinstance(rows, list) and rows else None
        if not isinstance(first, dict) or not isinstance(first.get("msg"), str):
            return error_text.read_error(body)
        place = first.get("loc")
        named = [part for part in place if isinstance(part, str) and part != "body"] if isinstance(place, list) else []
        kind = first.get("type")
        return StreamError(first["msg"], kind if isinstance(kind, str) else None, param=".".join(named) or None)


def _made(answer: dict[str, Any]) -> list[tuple[Any, bool]] | None:
    """Each image, and whether it was flagged and so is a black one; None where there is no list."""
    rows = answer.get("images")
    if rows is None and "image" in answer:
        rows = [answer["image"]]
    if not isinstance(rows, list):
        return None
    flags = answer.get("has_nsfw_concepts") or answer.get("nsfw_content_detected")
    known = flags if isinstance(flags, list) and len(flags) == len(rows) else [False] * len(rows)
    return [(row, flag is True) for row, flag in zip(rows, known, strict=True)]


def _given(request: ImageRequest, target: Target) -> dict[str, Any]:
    """The pictures of an edit, under the name that the model has for them. Raises InvalidRequest where it has none."""
    if not request.given:
        return {}
    if not _TAKES_PICTURES.search(target.native_id):
        raise unsupported("model", "makes images from a text only at this provider")
    members: dict[str, Any] = {}
    if request.mask:
        if not _TAKES_MASK.search(target.native_id):
            raise unsupported("mask", "is not taken by this model at this provider")
        members["mask_url"] = request.mask
    if _TAKES_SEVERAL.search(target.native_id):
        return {**members, "image_urls": list(request.given)}
    if len(request.given) > 1:
        raise unsupported("image", "may be one picture only for this model at this provider")
    return {**members, "image_url": request.given[0]}


class FalImageEdits(FalImages):
    """The same for edits: the pictures of the request are inputs of the model."""

    name = "fal_image_edits"
    service: Service = "image_edits"


FAL_IMAGES = FalImages()
FAL_IMAGE_EDITS = FalImageEdits()
