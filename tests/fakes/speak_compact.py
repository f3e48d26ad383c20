"""The fake's compaction: the user's messages, and one item that only this persona can read."""

from collections.abc import Iterator
from typing import Any

from behaviour import Behaviour
from speak_openai import CREATED
from speak_responses import default_error as default_error
from speak_responses import error_frame as error_frame
from speak_responses import usage_of


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A compaction."""
    said = request.get("input") or []
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    kept = [_message(each, place) for place, each in enumerate(items) if each.get("role") == "user"]
    secret = {
        "id": f"cmp_{number}",
        "type": "compaction",
        "encrypted_content": behaviour.signature or f"secret-of-{persona}",
    }
    return {
        "id": behaviour.id or f"resp_fake_{number}",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [] if behaviour.empty else [*kept, secret],
        "usage": usage_of(behaviour),
        **behaviour.members,
    }


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """There are no streams of compactions."""
    yield error_frame(default_error(400)), False


def _message(item: dict[str, Any], place: int) -> dict[str, Any]:
    content = item["content"]
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {"id": f"msg_{place}", "type": "message", "status": "completed", **item, "content": parts}
