"""fal, Replicate and DashScope: what an image is asked for with, and answers as these providers document them."""

import base64
import json
from typing import Any

import pytest

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.media import ImageAnswer, ImageRequest, Picture
from gatewayz.core.usage import Usage
from gatewayz.dialects import JOB_DIALECTS, MEDIA_DIALECTS, PROVIDER_DIALECTS
from gatewayz.dialects.base import Encoded, Target, Voice
from gatewayz.dialects.jobs import Job
from gatewayz.dialects.media import MediaDialect
from gatewayz.providers.failures import FailureKind, classify

VOICE = Voice("acme/model", "r-1", 1_700_000_000, False)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
PNG_URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
FAL, REPLICATE, DASHSCOPE = "fal-ai/flux/dev", "black-forest-labs/flux-schnell", "qwen-image-plus"
WAN = "wan2.2-t2i-flash"
CLIENT = MEDIA_DIALECTS["openai_images"]


def request(**members: Any) -> ImageRequest:
    """What a client's body asks for."""
    body = {"model": "acme/model", "prompt": "a cat", **members}
    read: ImageRequest = CLIENT.read_request(CLIENT.glance(json.dumps(body).encode()))
    return read


def written(dialect: str, native: str, asked: ImageRequest) -> tuple[dict[str, Any], Encoded | None]:
    """The body for a provider, and what goes beside it."""
    told = PROVIDER_DIALECTS[dialect].write_request(asked, Target(native))
    body = told.data if isinstance(told, Encoded) else told
    return json.loads(body), told if isinstance(told, Encoded) else None


@pytest.mark.parametrize(
    ("native", "asked", "expected"),
    [
        (FAL, {}, {"prompt": "a cat"}),
        (FAL, {"n": 3, "size": "1024x768"}, {"num_images": 3, "image_size": {"width": 1024, "height": 768}}),
        (FAL, {"size": "auto", "quality": "auto"}, {"prompt": "a cat"}),
        (FAL, {"seed": 7, "loras": [{"path": "x"}]}, {"seed": 7, "loras": [{"path": "x"}]}),
        ("fal-ai/imagen4/preview", {"size": "1920x1080"}, {"aspect_ratio": "16:9"}),
        ("fal-ai/gpt-image-1/text-to-image/byok", {"quality": "high"}, {"quality": "high"}),
    ],
)
def test_fal_is_asked_with_the_models_own_inputs(native: str, asked: Any, expected: Any) -> None:
    body, beside = written("fal_images", native, request(**asked, user="u-1"))
    assert body == {"prompt": "a cat"} | expected
    assert beside is None


@pytest.mark.parametrize(
    ("native", "asked", "expected"),
    [
        (REPLICATE, {}, {}),
        (REPLICATE, {"n": 2, "size": "1536x1024", "go_fast": True}, {"num_outputs": 2, "aspect_ratio": "3:2", "go_fast": True}),
        ("stability-ai/sdxl:7762fd", {"size": "768x512"}, {"width": 768, "height": 512}),
        ("recraft-ai/recraft-v3", {"size": "1024x1024"}, {"size": "1024x1024"}),
        (REPLICATE, {"size": "1024x1024", "aspect_ratio": "custom"}, {"aspect_ratio": "custom"}),
        ("openai/gpt-image-1.5", {"quality": "low"}, {"quality": "low"}),
    ],
)  # fmt: skip
def test_replicate_is_asked_for_a_prediction(native: str, asked: Any, expected: Any) -> None:
    body, beside = written("replicate_images", native, request(**asked))
    assert body == {"version": native, "input": {"prompt": "a cat"} | expected}
    assert beside is None


def test_dashscope_answers_at_once_or_by_a_task() -> None:
    body, beside = written("dashscope_images", DASHSCOPE, request(size="1328x1328", negative_prompt="dogs", seed=1))
    assert body == {
        "model": DASHSCOPE,
        "input": {"messages": [{"role": "user", "content": [{"text": "a cat"}]}]},
        "parameters": {"n": 1, "size": "1328*1328", "negative_prompt": "dogs", "seed": 1},
    }
    assert beside is not None and (beside.endpoint, beside.headers) == ("multimodal-generation/generation", ())
    body, beside = written("dashscope_images", WAN, request(n=2, negative_prompt="dogs", prompt_extend=False))
    assert body == {
        "model": WAN,
        "input": {"prompt": "a cat", "negative_prompt": "dogs"},
        "parameters": {"n": 2, "prompt_extend": False},
    }
    assert beside is not None
    assert (beside.endpoint, beside.headers) == ("text2image/image-synthesis", (("X-DashScope-Async", "enable"),))
    assert written("dashscope_images", "wan2.6-t2i", request(n=4))[0]["parameters"] == {"n": 4}


@pytest.mark.parametrize(
    ("dialect", "native", "asked", "param"),
    [
        ("fal_images", FAL, {"quality": "hd"}, "quality"),
        ("fal_images", "fal-ai/imagen4/preview", {"size": "1024x1000"}, "size"),
        ("fal_images", FAL, {"num_images": 8}, "num_images"),
        ("fal_images", FAL, {"image_size": {"width": 4096, "height": 4096}}, "image_size"),
        ("fal_images", "../secret", {}, "model"),
        ("fal_images", "fal-ai/..%2f/x", {}, "model"),
        ("replicate_images", REPLICATE, {"quality": "hd"}, "quality"),
        ("replicate_images", REPLICATE, {"size": "1000x77"}, "size"),
        ("replicate_images", REPLICATE, {"num_outputs": 4}, "num_outputs"),
        ("replicate_images", REPLICATE, {"megapixels": "2"}, "megapixels"),
        ("dashscope_images", DASHSCOPE, {"n": 2}, "n"),
        ("dashscope_images", WAN, {"quality": "hd"}, "quality"),
    ],
)
def test_what_cannot_be_said_is_named(dialect: str, native: str, asked: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        written(dialect, native, request(**asked))
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


def test_who_asks_is_told_to_nobody() -> None:
    for name in JOB_DIALECTS:
        assert PROVIDER_DIALECTS[name].dropped(request(user="u", seed=1), Target("x")) == ("user",)


def edit(*images: bytes, mask: bytes | None = None, **fields: str) -> ImageRequest:
    """What a form asks for."""
    parts = [(b'name="image[]"; filename="a.png"', each) for each in images]
    if mask is not None:
        parts.append((b'name="mask"; filename="m.png"', mask))
    parts += [
        (f'name="{name}"'.encode(), value.encode())
        for name, value in {"model": "m", "prompt": "a hat", **fields}.items()
    ]
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    client = MEDIA_DIALECTS["openai_image_edits"]
    assert isinstance(client, MediaDialect)
    read: ImageRequest = client.read_request(client.look(body + b"--b--\r\n", "multipart/form-data; boundary=b"))
    return read


@pytest.mark.parametrize(
    ("dialect", "native", "images", "expected"),
    [
        ("fal_image_edits", "fal-ai/flux-pro/kontext", 1, {"image_url": PNG_URI}),
        ("fal_image_edits", "fal-ai/nano-banana/edit", 2, {"image_urls": [PNG_URI, PNG_URI]}),
        ("replicate_image_edits", "black-forest-labs/flux-kontext-pro", 1, {"input_image": PNG_URI}),
        ("replicate_image_edits", "google/nano-banana", 2, {"image_input": [PNG_URI, PNG_URI]}),
    ],
)
def test_edits_give_pictures_as_inputs(dialect: str, native: str, images: int, expected: Any) -> None:
    body, _ = written(dialect, native, edit(*[PNG] * images, seed="7", response_format="url"))
    assert body.get("input", body) == {"prompt": "a hat", "seed": 7} | expected


def test_edits_at_dashscope_are_a_message() -> None:
    body, _ = written("dashscope_image_edits", "qwen-image-edit", edit(PNG, PNG))
    assert body["input"]["messages"][0]["content"] == [{"image": PNG_URI}, {"image": PNG_URI}, {"text": "a hat"}]


@pytest.mark.parametrize(
    ("dialect", "native", "asked", "param"),
    [
        ("fal_image_edits", FAL, edit(PNG), "model"),
        ("fal_image_edits", "fal-ai/flux-pro/kontext", edit(PNG, PNG), "image"),
        ("fal_image_edits", "fal-ai/flux-pro/kontext", edit(PNG, mask=PNG), "mask"),
        ("replicate_image_edits", REPLICATE, edit(PNG), "model"),
        ("replicate_image_edits", "google/nano-banana", edit(PNG + bytes(1_100_000)), "image"),
        ("dashscope_image_edits", WAN, edit(PNG), "model"),
        ("dashscope_image_edits", "qwen-image-plus", edit(PNG), "model"),
        ("dashscope_image_edits", "qwen-image-edit", edit(PNG, mask=PNG), "mask"),
    ],
)
def test_edits_that_a_model_cannot_do_are_named(dialect: str, native: str, asked: ImageRequest, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        written(dialect, native, asked)
    assert refused.value.param == param


def test_a_mask_goes_to_models_that_fill() -> None:
    assert written("fal_image_edits", "fal-ai/flux-pro/v1/fill", edit(PNG, mask=PNG))[0]["mask_url"] == PNG_URI
    body, _ = written("replicate_image_edits", "black-forest-labs/flux-fill-pro", edit(PNG, mask=PNG))
    assert body["input"] | {"prompt": ""} == {"prompt": "", "image": PNG_URI, "mask": PNG_URI}


QUEUE = "https://queue.fal.run"
SUBMITTED = {
    "status": "IN_QUEUE",
    "request_id": "764cabcf",
    "response_url": f"{QUEUE}/fal-ai/flux/requests/764cabcf",
    "status_url": f"{QUEUE}/fal-ai/flux/requests/764cabcf/status",
    "cancel_url": f"{QUEUE}/fal-ai/flux/requests/764cabcf/cancel",
    "queue_position": 2,
}
FAL_JOB = Job(SUBMITTED["status_url"], SUBMITTED["response_url"], SUBMITTED["cancel_url"], "PUT")
MADE = {
    "images": [
        {"url": "https://v3.fal.media/files/a.png", "width": 1024, "height": 1024, "content_type": "image/png"},
        {"url": "https://v3.fal.media/files/b.png", "width": 1024, "height": 1024, "content_type": "image/png"},
    ],
    "timings": {"inference": 1.2},
    "seed": 42,
    "has_nsfw_concepts": [False, False],
    "prompt": "a cat",
}
STARTING = {
    "id": "gm3qorzdhgbfurvjtvhg6dckhu",
    "model": "black-forest-labs/flux-schnell",
    "version": "dp-4d0bcc",
    "input": {"prompt": "a cat"},
    "output": None,
    "error": None,
    "status": "starting",
    "created_at": "2026-09-08T12:00:00Z",
    "urls": {
        "cancel": "https://api.replicate.com/v1/predictions/gm3q/cancel",
        "get": "https://api.replicate.com/v1/predictions/gm3q",
        "stream": "https://stream.replicate.com/v1/files/gm3q",
    },
}
REPLICATE_JOB = Job(STARTING["urls"]["get"], cancel=STARTING["urls"]["cancel"])  # type: ignore[index]
SUCCEEDED = STARTING | {
    "status": "succeeded",
    "output": ["https://replicate.delivery/xezq/out-0.webp"],
    "metrics": {"predict_time": 0.4},
}
TASKS = "https://dashscope-intl.aliyuncs.com/api/v1"
TASK_URL = f"{TASKS}/services/aigc/text2image/image-synthesis"
PENDING = {"request_id": "4909100c", "output": {"task_id": "86ecf553-d340-4e21", "task_status": "PENDING"}}
DASHSCOPE_JOB = Job(f"{TASKS}/tasks/86ecf553-d340-4e21", cancel=f"{TASKS}/tasks/86ecf553-d340-4e21/cancel")
TASK_DONE = {
    "request_id": "85eaba38",
    "output": {
        "task_id": "86ecf553-d340-4e21",
        "task_status": "SUCCEEDED",
        "submit_time": "2026-09-08 19:53:01.001",
        "results": [
            {"orig_prompt": "a cat", "actual_prompt": "a grey cat", "url": "https://dashscope-result.example/1.png"},
            {"code": "InternalError.Timeout", "message": "An internal timeout error has occurred during execution."},
        ],
        "task_metrics": {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1},
    },
    "usage": {"image_count": 1},
}
AT_ONCE = {
    "output": {
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": [{"image": "https://dashscope-result.example/q.png"}]},
            }
        ],
        "task_metric": {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1},
    },
    "usage": {"width": 1328, "image_count": 1, "height": 1328},
    "request_id": "7a270c86",
}


def step(dialect: str, answer: Any, url: str = "", job: Job | None = None) -> Job | None:
    return JOB_DIALECTS[dialect].step(json.dumps(answer).encode(), url, job)


def test_the_way_of_a_job_at_fal() -> None:
    job = step("fal_images", SUBMITTED, f"{QUEUE}/{FAL}")
    assert job == FAL_JOB
    for status in ("IN_QUEUE", "IN_PROGRESS"):
        assert step("fal_images", {**SUBMITTED, "status": status}, job=job) is job
    done = step("fal_images", {**SUBMITTED, "status": "COMPLETED", "metrics": {"inference_time": 3.7}}, job=job)
    assert done == Job(FAL_JOB.result, ended=True)
    assert step("fal_images", MADE) is None, "without a queue the images come at once"


def test_the_way_of_a_prediction() -> None:
    job = step("replicate_images", STARTING)
    assert job == REPLICATE_JOB
    assert step("replicate_images", {**STARTING, "status": "processing"}, job=job) is job
    for status in ("succeeded", "failed", "canceled", "aborted"):
        assert step("replicate_images", {**STARTING, "status": status}, job=job) is None
    assert step("replicate_images", SUCCEEDED) is None, "held until it was done"


def test_the_way_of_a_task() -> None:
    job = step("dashscope_images", PENDING, TASK_URL)
    assert job == DASHSCOPE_JOB
    assert step("dashscope_images", {"output": {"task_id": "x", "task_status": "RUNNING"}}, job=job) is job
    assert step("dashscope_images", TASK_DONE, job=job) is None
    assert step("dashscope_images", AT_ONCE, TASK_URL) is None


@pytest.mark.parametrize(
    ("dialect", "answer", "url", "job"),
    [
        ("fal_images", {**SUBMITTED, "cancel_url": None}, "", None),
        ("fal_images", [], "", None),
        ("fal_images", {"status": "DREAMING"}, "", FAL_JOB),
        ("replicate_images", {**STARTING, "urls": None}, "", None),
        ("dashscope_images", {"output": {"task_id": "../x", "task_status": "PENDING"}}, TASK_URL, None),
        ("dashscope_images", PENDING, "https://elsewhere.example/", None),
    ],
)
def test_a_job_that_cannot_be_followed_is_a_fault(dialect: str, answer: Any, url: str, job: Job | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        step(dialect, answer, url, job)


@pytest.mark.parametrize(
    ("dialect", "answer", "pictures", "own_id"),
    [
        ("fal_images", MADE, [Picture("", row["url"], "image/png") for row in MADE["images"]], None),  # type: ignore[attr-defined]
        ("fal_images", {**MADE, "has_nsfw_concepts": [True, False]},
         [Picture("", "https://v3.fal.media/files/b.png", "image/png")], None),
        ("fal_images", {"image": {"url": PNG_URI}}, [Picture(PNG_URI.partition(",")[2], "", "image/png")], None),
        ("replicate_images", SUCCEEDED, [Picture("", "https://replicate.delivery/xezq/out-0.webp")], STARTING["id"]),
        ("replicate_images", {**SUCCEEDED, "output": PNG_URI},
         [Picture(PNG_URI.partition(",")[2], "", "image/png")], STARTING["id"]),
        ("dashscope_images", TASK_DONE,
         [Picture("", "https://dashscope-result.example/1.png", "", "a grey cat")], "85eaba38"),
        ("dashscope_images", AT_ONCE, [Picture("", "https://dashscope-result.example/q.png")], "7a270c86"),
    ],
)  # fmt: skip
def test_what_was_made_is_read_and_counted(dialect: str, answer: Any, pictures: list[Picture], own_id: Any) -> None:
    read, facts = PROVIDER_DIALECTS[dialect].read_answer(json.dumps(answer).encode())
    assert read == ImageAnswer(tuple(pictures), Usage(images=len(pictures)))
    assert (facts.usage, facts.empty, facts.upstream_id) == (Usage(images=len(pictures)), False, own_id)


K = FailureKind


@pytest.mark.parametrize(
    ("dialect", "answer", "kind", "param"),
    [
        ("fal_images", {**MADE, "has_nsfw_concepts": [True, True]}, K.CONTENT_POLICY, "prompt"),
        ("fal_images", {"status": "COMPLETED", "error": "Runner gone", "error_type": "runner_disconnected"}, K.FAULT, None),
        ("fal_images", {"status": "COMPLETED", "error": "Too slow", "error_type": "request_timeout"}, K.TIMEOUT, None),
        ("fal_images", {"status": "FAILED"}, K.FAULT, None),
        ("replicate_images", {**STARTING, "status": "failed", "error": "CUDA out of memory"}, K.FAULT, None),
        ("replicate_images", {**STARTING, "status": "failed", "error": "NSFW content detected. Try running it again."},
         K.CONTENT_POLICY, "prompt"),
        ("replicate_images", {**STARTING, "status": "aborted"}, K.TIMEOUT, None),
        ("dashscope_images", {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "Bad."}},
         K.CONTENT_POLICY, "prompt"),
        ("dashscope_images", {"output": {"task_status": "FAILED", "code": "InvalidParameter", "message": "The size must be in [512, 1440]."}},
         K.CALLER, None),
        ("dashscope_images", {"output": {"task_status": "FAILED", "code": "InternalError.Timeout", "message": "Late."}}, K.FAULT, None),
        ("dashscope_images", {"output": {"task_status": "UNKNOWN"}}, K.FAULT, None),
        ("dashscope_images", {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}, K.BUSY, None),
    ],
)  # fmt: skip
def test_a_job_that_failed_says_whose_fault_it_was(dialect: str, answer: Any, kind: FailureKind, param: Any) -> None:
    body = json.dumps(answer).encode()
    theirs = PROVIDER_DIALECTS[dialect]
    with pytest.raises(ValueError, match=r"."):
        theirs.read_answer(body)
    told = theirs.read_error(body)
    assert told.kind or told.code or told.status
    failure = classify(told.status, told, {}, None)
    assert (failure.kind, failure.param) == (kind, param)


@pytest.mark.parametrize("wrapped", [True, False])
def test_fields_that_fal_refuses_are_named(wrapped: bool) -> None:
    row = {"loc": ["body", "prompt"], "msg": "The content was flagged by a content checker.",
           "type": "content_policy_violation", "input": "x"}  # fmt: skip
    told = PROVIDER_DIALECTS["fal_images"].read_error(json.dumps({"detail": [row]} if wrapped else [row]).encode())
    failure = classify(422, told, {}, None)
    assert (failure.kind, failure.param, failure.safe_message) == (K.CONTENT_POLICY, "prompt", row["msg"])


def test_an_answer_in_openais_words() -> None:
    answer = ImageAnswer(
        (Picture("AAAA"), Picture("", "https://x.example/1.png", "image/png", "a grey cat")), Usage(images=2)
    )
    told = json.loads(CLIENT.write_answer(answer, VOICE, answer.usage, 60_000_000))
    assert told == {
        "created": 1_700_000_000,
        "data": [{"b64_json": "AAAA"}, {"url": "https://x.example/1.png", "revised_prompt": "a grey cat"}],
        "usage": {"cost": 0.06},
    }


def test_an_address_that_was_wanted_is_a_data_uri_where_there_is_none() -> None:
    assert isinstance(CLIENT, MediaDialect)
    made = ImageAnswer((Picture(PNG_URI.partition(",")[2]), Picture("", "https://x.example/1.png")), Usage(images=2))
    for form, first in (("url", Picture("", PNG_URI)), (None, made.images[0]), ("b64_json", made.images[0])):
        asked = {"response_format": form} if form else {}
        glance = CLIENT.glance(json.dumps({"model": "m", "prompt": "x", **asked}).encode())
        assert CLIENT.completed(made, glance).images == (first, made.images[1])
        assert CLIENT.wants_bytes(glance) is (form == "b64_json")


def test_headers_keep_a_job_from_outliving_its_wait() -> None:
    assert JOB_DIALECTS["replicate_images"].submit_headers(12.3) == {"Prefer": "wait=5", "Cancel-After": "13s"}
    assert JOB_DIALECTS["replicate_images"].submit_headers(2)["Cancel-After"] == "5s"
    assert JOB_DIALECTS["fal_images"].submit_headers(12.3) == {"X-Fal-Request-Timeout": "12"}
    assert JOB_DIALECTS["dashscope_images"].submit_headers(12.3) == {}
