"""The response object around an answer: its identity, its state, and the request's parameters again."""

from typing import Any

from gatewayz.core.chat import FinishReason
from gatewayz.core.errors import GatewayError
from gatewayz.dialects import citations
from gatewayz.dialects.base import Voice

_PREFIX = "resp_"


def response_id(voice: Voice) -> str:
    """The id of the answer: the gateway's own, never the provider's."""
    return (voice.framing.answer_id if voice.framing else "") or f"{_PREFIX}{voice.request_id}"


def item_id(kind: str, voice: Voice, number: int) -> str:
    """The id of the `number`th item of an answer."""
    return f"{kind}_{response_id(voice).removeprefix(_PREFIX)}_{number}"


def response(voice: Voice, status: str, output: list[Any], **more: Any) -> dict[str, Any]:
    """A response object."""
    framing = voice.framing
    return {
        "id": response_id(voice),
        "object": "response",
        "created_at": voice.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        **(
            framing.echo
            if framing
            else {"metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        ),
        "model": voice.model,
        "output": output,
        "previous_response_id": framing.previous_id if framing else None,
        "store": framing.keep if framing else False,
        "usage": None,
        **more,
    }


def ended(finish: FinishReason, refused: bool) -> tuple[str, dict[str, Any]]:
    """(status, members that say why) of an answer that ended for this reason."""
    if finish == "length":
        return "incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}
    if finish == "content_filter" and not refused:
        return "incomplete", {"incomplete_details": {"reason": "content_filter"}}
    return "completed", {}


def failure(error: GatewayError) -> dict[str, Any]:
    """The `error` member of a response that failed."""
    return {"code": error.code, "message": error.message}


def annotation(found: Any, start: int, end: int) -> Any:
    """An annotation of the characters `start` to `end`, flat as the Responses API has them."""
    told = citations.to_openai(found, start, end)
    kind = told.get("type")
    inner = told.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else told


def logprobs(found: Any) -> list[Any]:
    """Log probabilities of Chat Completions, or of this API, as its list."""
    if isinstance(found, dict):
        found = found.get("content")
    return found if isinstance(found, list) else []
