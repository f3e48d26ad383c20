"""Alibaba's DashScope: images at once from Qwen-Image and Wan 2.6, by a task from the Wan models before.

https://www.alibabacloud.com/help/en/model-studio/text-to-image-v2-api-reference
https://www.alibabacloud.com/help/en/model-studio/qwen-image-generation-and-editing-api-reference
https://www.alibabacloud.com/help/en/model-studio/manage-asynchronous-tasks
"""

import re
from typing import Any

from gatewayz.core.media import ImageRequest, Picture
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.images.inputs import ModelInputs, further, picture
from gatewayz.dialects.jobs import Job
from gatewayz.dialects.media.service import JSON, inside
from gatewayz.dialects.parameters import unsupported

_WAITING = frozenset({"PENDING", "SUSPENDED", "RUNNING"})
_TASK_ID = re.compile(r"[\w-]{1,200}")
_ANY_QUALITY = (None, "auto", "standard")
_BY_TASK = re.compile(r"^wan(?:x|2\.[0-5])")
_ONE_AT_A_TIME = re.compile(r"^qwen-image(?:-plus|-max|-edit)?(?:-\d{4}-\d{2}-\d{2})?$")
_TAKES_PICTURES = re.compile(r"^qwen-image-(?:edit|[2-9])|^wan2\.[6-9]-image")
_AT_ONCE, _BY_TASKS = "multimodal-generation/generation", "text2image/image-synthesis"
_ROOT = "/services/aigc/"


class DashScopeImages(ModelInputs):
    """The `JobDialect` of DashScope's own API for images."""

    name = "dashscope_images"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        model = target.native_id
        if request.quality not in _ANY_QUALITY:
            raise unsupported("quality", "cannot be chosen at this provider")
        if request.n > 1 and _ONE_AT_A_TIME.search(model):
            raise unsupported("n", "must be 1 for this model at this provider")
        # Where it is left out some models make four, and charge for them.
        parameters: dict[str, Any] = {"n": request.n}
        if request.size not in (None, "auto"):
            parameters["size"] = request.size.replace("x", "*")
        parameters |= further(request)
        if not _BY_TASK.search(model):
            body = {"model": model, "input": {"messages": [_message(request, model)]}, "parameters": parameters}
            return Encoded(json_text.dump(body), JSON, endpoint=_AT_ONCE)
        if request.given:
            raise unsupported("model", "makes images from a text only at this provider")
        prompt: dict[str, Any] = {"prompt": request.prompt}
        if "negative_prompt" in parameters:
            prompt["negative_prompt"] = parameters.pop("negative_prompt")
        body = {"model": model, "input": prompt, "parameters": parameters}
        return Encoded(json_text.dump(body), JSON, (("X-DashScope-Async", "enable"),), _BY_TASKS)

    def step(self, body: bytes, url: str, job: Job | None) -> Job | None:
        """See `JobDialect`. Tasks have no address of their own in an answer: they stand beside the services."""
        output = inside(json_text.load(body), "output")
        status = inside(output, "task_status")
        if status is None and job is not None:
            raise ValueError("no task_status")
        if status not in _WAITING:
            return None
        if job is not None:
            return job
        task_id = inside(output, "task_id")
        root, found, _ = url.partition(_ROOT)
        if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id) or not found:
            raise ValueError("no task_id")
        task = f"{root}/tasks/{task_id}"
        return Job(task, cancel=f"{task}/cancel")

    def pictures(self, answer: dict[str, Any]) -> tuple[Picture, ...]:
        output = answer.get("output")
        if not isinstance(output, dict) or output.get("task_status", "SUCCEEDED") != "SUCCEEDED":
            raise ValueError("the task did not succeed")
        rows = output.get("results")
        if isinstance(rows, list):  # one that failed has a code in the place of its address
            found = [picture(inside(row, "url"), revised_prompt=inside(row, "actual_prompt")) for row in rows]
        else:
            found = [picture(inside(piece, "image")) for piece in _pieces(output)]
        return tuple(each for each in found if each is not None)

    def read_error(self, body: bytes) -> StreamError:
        """As of a `ProviderDialect`; a task that failed is a body like one that did not."""
        try:
            answer = json_text.load(body)
        except ValueError:
            return error_text.read_error(body)
        output = inside(answer, "output")
        status = inside(output, "task_status")
        if status is None or status == "SUCCEEDED":
            rows = inside(output, "results")
            failed = rows[0] if isinstance(rows, list) and rows else None
            return _told(failed) if inside(failed, "code") is not None else error_text.read_error(body)
        return _told(output) if inside(output, "code") is not None else StreamError("", kind=f"task_{status}".lower())


def _told(value: Any) -> StreamError:
    code, said = str(inside(value, "code"))[:200], inside(value, "message")
    # A task has no status of HTTP; whose fault it was is known by the name alone.
    is_ours = code.startswith("InvalidParameter")
    message = said[:2000] if isinstance(said, str) else ""
    return StreamError(message, None, code, 400 if is_ours else None, None if is_ours else "prompt")


def _message(request: ImageRequest, model: str) -> dict[str, Any]:
    """The one message that is allowed: pictures to be edited, then the text. Raises InvalidRequest."""
    if request.given and not _TAKES_PICTURES.search(model):
        raise unsupported("model", "makes images from a text only at this provider")
    if request.mask:
        raise unsupported("mask", "is not taken at this provider")
    return {"role": "user", "content": [*({"image": each} for each in request.given), {"text": request.prompt}]}


def _pieces(output: dict[str, Any]) -> list[Any]:
    """The pieces of content of all choices. Raises ValueError where there are none."""
    choices = output.get("choices")
    if not isinstance(choices, list):
        raise ValueError("no images")
    contents = [inside(choice, "message", "content") for choice in choices]
    return [piece for content in contents if isinstance(content, list) for piece in content]


class DashScopeImageEdits(DashScopeImages):
    """The same for edits: the pictures of the request are inputs of the model."""

    name = "dashscope_image_edits"
    service: Service = "image_edits"


DASHSCOPE_IMAGES = DashScopeImages()
DASHSCOPE_IMAGE_EDITS = DashScopeImageEdits()
