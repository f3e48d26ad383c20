"""What every ingress driver can do, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from tests.conformance.talk import Part, Reply, Talk, Turn
from tests.events import events

STREAM = "text/event-stream"


@dataclass(frozen=True)
class Ingress:
    """One way in. `dialect` is its name in the product, `cannot_ask` says why a talk has no form in it, or None.

    `write` gives the body; `message` the answer's members, of a stream joined as official clients do it; `read` what they
    say; `next_body` the client's next request, with that answer as it is in the conversation, None where there is no
    next; `check_failure` how a stream ends that failed. `address` gives the path, and what is sent there, of a body whose
    model and form stand in the path.
    """

    name: str
    title: str
    dialect: str
    path: str
    cannot_ask: Callable[[Talk], str | None]
    write: Callable[[Talk, str, bool], dict[str, Any]]
    message: Callable[[httpx.Response], dict[str, Any]]
    read: Callable[[dict[str, Any]], Reply]
    next_body: Callable[[dict[str, Any], dict[str, Any], Turn], dict[str, Any]] | None
    check_failure: Callable[[str], dict[str, Any]]
    address: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]] | None = None

    def put(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path for a body, and what is sent there."""
        return self.address(body) if self.address is not None else (self.path, body)


def streamed(answer: httpx.Response) -> bool:
    """Whether an answer is a stream."""
    return answer.headers["content-type"].startswith(STREAM)


def cache_mark(marked: bool) -> dict[str, Any]:
    """The member that marks a prompt-cache breakpoint."""
    return {"cache_control": {"type": "ephemeral"}} if marked else {}


def only_text(parts: tuple[Part, ...]) -> str:
    """The texts of some parts, joined."""
    return "".join(part.value for part in parts if part.kind == "text")


def openai_failure(text: str) -> dict[str, Any]:
    """How a failed stream ends: one error, then the terminator, and no finish reason before them."""
    found = events(text)
    assert found[-1].data == "[DONE]" and text.count("[DONE]") == 1
    finished = [c.get("finish_reason") for e in found[:-1] for c in e.data.get("choices", ())]
    return {"error": found[-2].data["error"], "like success": any(finished)}
