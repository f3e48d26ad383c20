"""How clients of generateContent ask, and what they read."""

import base64
import json
from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress, streamed
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage
from tests.events import events

_MEDIA = {"png": "image/png", "pdf": "application/pdf"}
_ON_PATH = ("model", "stream")
_FURTHER = {"top_p": "topP", "top_k": "topK", "presence_penalty": "presencePenalty"}


def _body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    """The body; `model` and `stream` are put into the path by `_address`."""
    calling: dict[str, Any] | None = None
    if talk.choice is not None:
        named = {"mode": "ANY", "allowedFunctionNames": [talk.choice]}
        calling = (
            {"mode": {"required": "ANY", "none": "NONE"}[talk.choice]} if talk.choice in ("required", "none") else named
        )
    thinking = {"thinkingLevel": talk.effort.upper(), "includeThoughts": True} if talk.effort else None
    config = {
        "maxOutputTokens": talk.max_tokens,
        "temperature": talk.temperature,
        "stopSequences": list(talk.stop) or None,
        "candidateCount": talk.n if talk.n > 1 else None,
        "responseLogprobs": talk.logprobs or None,
        "thinkingConfig": thinking,
        "responseMimeType": "application/json" if talk.form is not None else None,
        "responseJsonSchema": talk.form if isinstance(talk.form, dict) else None,
        **{_FURTHER[name]: value for name, value in talk.further},
    }
    tools = [{"functionDeclarations": [_tool(tool) for tool in talk.tools]}] if talk.tools else []
    tools += [{"googleSearch": {}}] if talk.server_tool else []
    members = {
        "systemInstruction": {"parts": [{"text": talk.system}]} if talk.system else None,
        "tools": tools or None,
        "toolConfig": {"functionCallingConfig": calling} if calling else None,
    }
    return {
        "model": model,
        "stream": stream,
        "contents": [_content(turn, list(talk.turns)) for turn in talk.turns],
        "generationConfig": {name: value for name, value in config.items() if value is not None},
        **{name: value for name, value in members.items() if value is not None},
    }


def _address(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    method = "streamGenerateContent?alt=sse" if body["stream"] else "generateContent"
    sent = {name: value for name, value in body.items() if name not in _ON_PATH}
    return f"/v1beta/models/{body['model']}:{method}", sent


def _tool(tool: Tool) -> dict[str, Any]:
    """A declaration, its schema as Gemini's own clients spell it."""
    schema = {**tool.schema, "type": "OBJECT"}
    schema["properties"] = {name: {**each, "type": each["type"].upper()} for name, each in schema["properties"].items()}
    return {"name": tool.name, "description": tool.description, "parameters": schema}


def _content(turn: Turn, before: list[Turn]) -> dict[str, Any]:
    called = {part.value[0]: part.value[1] for each in before for part in each.parts if part.kind == "call"}
    return {
        "role": {"assistant": "model"}.get(turn.role, turn.role),
        "parts": [_part(part, called) for part in turn.parts],
    }


def _part(part: Part, called: dict[str, str]) -> dict[str, Any]:
    match part.kind:
        case "text":
            return {"text": part.value}
        case "image":
            return _file(part.value, None)
        case "document":
            media, data, name = part.value
            return _file((media, data) if media else data, name)
        case "audio":
            form, data = part.value
            return {"inlineData": {"mimeType": f"audio/{form}", "data": data}}
        case "call":
            call_id, name, given = part.value
            return {"functionCall": {"id": call_id, "name": name, "args": given}}
        case "result":
            call_id, parts, is_error = part.value
            text = "".join(inner.value for inner in parts if inner.kind == "text")
            others = [_part(inner, called) for inner in parts if inner.kind != "text"]
            answer = {"id": call_id, "name": called[call_id], "response": {"error" if is_error else "output": text}}
            return {"functionResponse": {**answer, **({"parts": others} if others else {})}}
    raise ValueError(part.kind)


def _file(what: Any, name: str | None) -> dict[str, Any]:
    named = {"displayName": name} if name else {}
    if isinstance(what, str):
        return {"fileData": {"mimeType": _MEDIA.get(what.rpartition(".")[2], "image/png"), "fileUri": what, **named}}
    return {"inlineData": {"mimeType": what[0], "data": what[1], **named}}


def _cannot(talk: Talk) -> str | None:
    parts = [part for turn in talk.turns for part in turn.parts]
    kinds = {part.kind for part in parts}
    if kinds & {"note", "cited"}:
        return "generateContent takes files, not documents of plain text"
    if "detailed" in kinds:
        return "generateContent has no such member of images"
    if any(turn.role == "system" for turn in talk.turns):
        return "generateContent takes system messages only at the beginning"
    if any(tool.strict for tool in talk.tools) or talk.one_at_a_time:
        return "generateContent has no such wish"
    if talk.system_mark or any(part.mark for part in parts):
        return "generateContent has no cache marks"
    if talk.user or "logit_bias" in dict(talk.further):
        return "generateContent has no such parameter"
    return None


def _message(answer: httpx.Response) -> dict[str, Any]:
    """The answer's members, and its usage under the name by which all dialects are asked for the cost.

    The contents of a stream are joined as SDKs join them: texts of a kind together, all else as it came.
    """
    if streamed(answer):
        found = events(answer.text.replace("\r\n", "\n"))
        chunks = [each.data for each in found]
        assert all(not each.name for each in found)
        ends = [any("finishReason" in each for each in chunk["candidates"]) for chunk in chunks]
        assert ends[-1] and ends == sorted(ends), "reasons come last, after the charge"
        whole = {**chunks[-1], "candidates": _joined([each for chunk in chunks for each in chunk["candidates"]])}
        assert {(chunk["modelVersion"], chunk["responseId"]) for chunk in chunks} == {
            (whole["modelVersion"], whole["responseId"])
        }
    else:
        whole = answer.json()
    assert whole["modelVersion"].startswith("matrix/") and whole["responseId"]
    told = whole["usageMetadata"]
    return {**whole, "usage": {"cost": told["cost"], "usage_estimated": told.get("usageEstimated", False)}}


def _joined(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    candidates: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        index = piece.get("index", 0)
        whole = candidates.setdefault(index, {"index": index, "content": {"role": "model", "parts": []}})
        assert "finishReason" not in whole, "nothing of a candidate comes after its finish reason"
        for part in piece["content"].get("parts") or ():
            _join_part(whole["content"]["parts"], part)
        if "logprobsResult" in piece:
            known = whole.setdefault("logprobsResult", {"chosenCandidates": []})["chosenCandidates"]
            known += piece["logprobsResult"]["chosenCandidates"]
        whole |= {name: value for name, value in piece.items() if name not in ("index", "content", "logprobsResult")}
    return [candidates[index] for index in sorted(candidates)]


def _join_part(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    last = parts[-1] if parts else None
    joins = last is not None and "text" in last and "text" in part and last.get("thought") == part.get("thought")
    if last is not None and joins and "thoughtSignature" not in last:
        last["text"] += part["text"]
        last |= {name: value for name, value in part.items() if name == "thoughtSignature"}
    elif part != {"text": ""}:
        parts.append(dict(part))


def _reply(body: dict[str, Any]) -> Reply:
    candidates = body["candidates"]
    first = candidates[0]
    parts = first["content"].get("parts") or []
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    signature, redacted = _signatures(parts)
    reason = first["finishReason"]
    finish = {"STOP": "tool_calls" if calls else "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}[reason]
    chosen = first.get("logprobsResult", {}).get("chosenCandidates")
    cited = [chunk["web"] for chunk in first.get("groundingMetadata", {}).get("groundingChunks") or ()]
    usual = ("text", "functionCall")
    return Reply(
        texts=tuple(_text(each["content"].get("parts") or []) for each in candidates),
        thinking="".join(part["text"] for part in parts if part.get("thought")),
        signature=signature,
        redacted=redacted,
        calls=tuple((call["id"], call["name"], call["args"]) for call in calls),
        finish=finish,
        refused=reason == "SAFETY",
        citations=tuple((each["uri"], each["title"]) for each in cited),
        logprobs="".join(each["token"] for each in chosen) if chosen else None,
        raw=tuple(json.dumps(part, sort_keys=True) for part in parts if not any(name in part for name in usual)),
        usage=_usage(body["usageMetadata"]),
    )


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _signatures(parts: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    """(signature of the thinking, what is encrypted): Gemini's own bare on its call, those of others wrapped."""
    signed, encrypted = "", ""
    calls = 0
    for part in parts:
        told = part.get("thoughtSignature")
        if "functionCall" in part:
            if told is not None:
                encrypted += f"google-gemini-v1:call{calls}:{told}"
            calls += 1
        elif told is not None:
            mark, kind, _, text = base64.b64decode(told, validate=True).decode().split(":", 3)
            assert mark == "gatewayz-v1" and part["thought"] is True
            signed, encrypted = (signed + text, encrypted) if kind == "signed" else (signed, encrypted + text)
    return signed or None, encrypted or None


def _usage(told: dict[str, Any]) -> Usage:
    completion = told["candidatesTokenCount"] + told.get("thoughtsTokenCount", 0)
    assert told["totalTokenCount"] == told["promptTokenCount"] + completion and told["cost"] >= 0
    cached, written = told.get("cachedContentTokenCount", 0), told.get("cacheWriteTokenCount", 0)
    return Usage(told["promptTokenCount"], completion, cached, written)


def _next(body: dict[str, Any], answer: dict[str, Any], turn: Turn) -> dict[str, Any]:
    said = answer["candidates"][0]["content"]
    called = {
        part["functionCall"]["id"]: part["functionCall"]["name"] for part in said["parts"] if "functionCall" in part
    }
    told = {"role": "user", "parts": [_part(part, called) for part in turn.parts]}
    return {**body, "contents": [*body["contents"], said, told]}


def _failure(text: str) -> dict[str, Any]:
    """How a failed stream ends: with an error, and nothing that tells of a whole answer."""
    chunks = [each.data for each in events(text.replace("\r\n", "\n"))]
    finished = [each.get("finishReason") for chunk in chunks for each in chunk.get("candidates") or ()]
    return {"error": chunks[-1]["error"], "like success": any(finished)}


GEMINI = Ingress(
    "gemini", "Gemini generateContent", "gemini", "/v1beta/models/{model}:generateContent",
    _cannot, _body, _message, _reply, _next, _failure, _address,
)  # fmt: skip
