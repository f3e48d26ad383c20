"""The fake's jobs: requests that fal, Replicate and DashScope accept, answer questions about, and give up when told to.

    fal        POST /fal-ai/…                    GET …/requests/{id}/status, …/requests/{id}   PUT …/requests/{id}/cancel
    Replicate  POST …/predictions                GET …/predictions/{id}                        POST …/predictions/{id}/cancel
    DashScope  POST …/services/aigc/…            GET …/tasks/{id}                              POST …/tasks/{id}/cancel

What becomes of a job is said by the script of its submission. `GET /picture/{what}` is an image: a small one, one that is
`huge`, none (`text`), or `gone`. A persona that is a host of its own names its addresses there.
"""

import re
from dataclasses import dataclass
from typing import Any

import speak_openai
from behaviour import Behaviour

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
_JSON = "application/json"
_ABOUT = re.compile(r"(?P<kind>/requests/|/predictions/|/tasks/)(?P<id>job-\d+)(?P<end>/status|/cancel|)$")

default_error = speak_openai.default_error


@dataclass
class _Job:
    kind: str
    base: str
    script: Behaviour
    made: int
    asked: int = 0
    cancelled: bool = False

    @property
    def is_done(self) -> bool:
        return self.asked > self.script.polls


def is_submission(path: str) -> bool:
    """Whether a job is submitted at this address."""
    return _kind(path) is not None and _ABOUT.search(path) is None


class Jobs:
    """All jobs of this fake."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def submit(self, path: str, entry: dict[str, Any], script: Behaviour) -> tuple[int, Any]:
        """Status and body of the answer to a submission."""
        kind, request, persona = _kind(path), entry["body"], entry["persona"]
        assert kind is not None
        job_id = f"job-{len(self._jobs) + 1}"
        root = f"https://{persona}" if "." in persona else f"http://{entry['headers']['host']}/p/{persona}"
        job = _Job(kind, script.job_base or root, script, _number(kind, request))
        if kind == "dashscope" and entry["headers"].get("x-dashscope-async") != "enable":
            return 200, _at_once(job)
        self._jobs[job_id] = job
        if kind == "fal":
            return 200, {"status": "IN_QUEUE", "queue_position": 0, **_fal_urls(job, job_id)}
        if kind == "dashscope":
            return 200, _task(job, job_id, "PENDING")
        return 201, self._asked(job, job_id, "")[1]

    def follow(self, method: str, path: str, persona: str) -> tuple[int, Any, str] | None:
        """Status, body and type of what is asked about a job, or of a picture; None for all else."""
        if path.startswith("/picture/") and method == "GET":
            return _picture(path.removeprefix("/picture/"))
        found = _ABOUT.search(path)
        if found is None:
            return None
        job = self._jobs.get(found["id"])
        if job is None:
            return 404, {"detail": "no such job"}, _JSON
        if found["end"] == "/cancel":
            allowed = "PUT" if job.kind == "fal" else "POST"
            if method != allowed:
                return 405, {"detail": f"use {allowed}"}, _JSON
            job.cancelled = True
            return (202 if job.kind == "fal" else 200), {"status": "CANCELLATION_REQUESTED"}, _JSON
        if job.script.poll_statuses:
            status = job.script.poll_statuses.pop(0)
            return status, default_error(status), _JSON
        status, value = self._asked(job, found["id"], found["end"])
        return status, value, _JSON

    def _asked(self, job: _Job, job_id: str, end: str) -> tuple[int, Any]:
        if job.kind == "fal" and not end:
            return 200, _fal_result(job)
        job.asked += 1
        failed = job.script.job_error if job.is_done else None
        if job.kind == "fal":
            urls = _fal_urls(job, job_id)
            if not job.is_done:
                return 202, {"status": "IN_PROGRESS", **urls}
            trouble = {"error": failed, "error_type": "runner_disconnected"} if failed else {}
            return 200, {"status": "COMPLETED", **urls, **trouble}
        if job.kind == "dashscope":
            state = "FAILED" if failed else "SUCCEEDED" if job.is_done else "RUNNING"
            return 200, _task(job, job_id, state)
        state = "failed" if failed else "succeeded" if job.is_done else "processing"
        base = f"{job.base}/v1/predictions/{job_id}"
        return 200, {
            "id": job_id, "status": state, "urls": {"get": base, "cancel": f"{base}/cancel"}, "error": failed,
            "output": _pictures(job) if state == "succeeded" else None,
        }  # fmt: skip


def _kind(path: str) -> str | None:
    if path.startswith("/fal-ai/"):
        return "fal"
    if "/services/aigc/" in path or "/tasks/" in path:
        return "dashscope"
    return "replicate" if "/predictions" in path else None


def _number(kind: str, request: Any) -> int:
    if kind == "dashscope":
        return int(request["parameters"].get("n", 4))
    return int(request.get("num_images", 1) if kind == "fal" else request["input"].get("num_outputs", 1))


def _pictures(job: _Job) -> list[str]:
    if job.script.empty:
        return []
    return job.script.pictures or [f"https://pictures.example/{number}.png" for number in range(job.made)]


def _fal_urls(job: _Job, job_id: str) -> dict[str, str]:
    base = f"{job.base}/fal-ai/native/requests/{job_id}"
    return {"request_id": job_id, "response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}


def _fal_result(job: _Job) -> dict[str, Any]:
    made = [{"url": url, "content_type": "image/png"} for url in _pictures(job)]
    return {"images": made, "seed": 1, "has_nsfw_concepts": job.script.flags or [False] * len(made)}


def _task(job: _Job, job_id: str, state: str) -> dict[str, Any]:
    output: dict[str, Any] = {"task_id": job_id, "task_status": state}
    if state == "SUCCEEDED":
        output["results"] = [{"url": url} for url in _pictures(job)]
    if state == "FAILED":
        output |= {"code": "InternalError", "message": job.script.job_error}
    return {"request_id": "r-1", "output": output}


def _at_once(job: _Job) -> dict[str, Any]:
    content = [{"image": url} for url in _pictures(job)]
    return {"request_id": "r-1", "output": {"choices": [{"message": {"role": "assistant", "content": content}}]}}


def _picture(what: str) -> tuple[int, Any, str]:
    if what == "gone":
        return 404, {"detail": "gone"}, _JSON
    if what == "text":
        return 200, b"<html>not a picture</html>", "text/html"
    return 200, (bytes(33 * 1024 * 1024) if what == "huge" else PICTURE), "image/png"
