"""How clients of legacy completions ask, and what they read."""

from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress, only_text, openai_failure, streamed
from tests.conformance.ask_openai import chat_cannot, chat_members, chat_usage
from tests.conformance.talk import Reply, Talk
from tests.events import events


def _completions_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    body = {"model": model, "prompt": only_text(talk.turns[0].parts), "max_tokens": talk.max_tokens}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, **chat_members(talk)}


def _completions_cannot(talk: Talk) -> str | None:
    if len(talk.turns) > 1 or talk.system or any(part.kind != "text" for turn in talk.turns for part in turn.parts):
        return "a completion has one prompt of plain text"
    if any(part.mark for turn in talk.turns for part in turn.parts):
        return "a prompt carries no marks"
    return chat_cannot(talk)


def _completions_message(answer: httpx.Response) -> dict[str, Any]:
    if not streamed(answer):
        body = answer.json()
        assert body["object"] == "text_completion"
        return {"choices": body["choices"], "usage": body["usage"]}
    found = events(answer.text)
    assert found[-1].data == "[DONE]" and {each.data["object"] for each in found[:-1]} == {"text_completion"}
    choices: dict[int, dict[str, Any]] = {}
    for choice in (choice for each in found[:-1] for choice in each.data["choices"]):
        whole = choices.setdefault(choice["index"], {"text": "", "finish_reason": None})
        assert whole["finish_reason"] is None
        whole["text"] += choice["text"]
        whole["finish_reason"] = choice["finish_reason"]
    usages = [each.data["usage"] for each in found[:-1] if each.data.get("usage")]
    assert len(usages) == 1
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usages[0]}


def _completions_reply(body: dict[str, Any]) -> Reply:
    finish = body["choices"][0]["finish_reason"]
    return Reply(
        texts=tuple(choice["text"] for choice in body["choices"]),
        finish=finish,
        refused=finish == "content_filter",
        usage=chat_usage(body["usage"]),
    )


COMPLETIONS = Ingress(
    "completions", "OpenAI Completions (legacy)", "openai_completions", "/v1/completions",
    _completions_cannot, _completions_body, _completions_message, _completions_reply, None, openai_failure,
)  # fmt: skip
