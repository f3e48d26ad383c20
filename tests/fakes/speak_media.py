"""The fake's services beside chats: what each address answers, from the request and a few members of the script.

`usage` of the script means tokens (`prompt`, `completion`) or `{"seconds": …}`, `{"searches": …}`; None to say nothing. `text`
is what was heard. `empty` makes an answer without anything in it. Streams follow `pieces`, `error_after` and so on as chats do.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import speak_openai
from behaviour import Behaviour

PREFIX = "/v1"
PATHS = frozenset(
    {
        "/embeddings", "/moderations", "/rerank", "/images/generations", "/images/edits", "/images/variations",
        "/audio/transcriptions", "/audio/translations", "/audio/speech", "/embed", "/text-embedding", "/text-rerank",
    }
)  # fmt: skip
SOUND = bytes(range(256)) * 40
PNG = base64.b64encode(b"\x89PNG fake").decode()

default_error = speak_openai.default_error
error_frame = speak_openai.error_frame


def service_in(path: str) -> str | None:
    """The service at this address; None if it is none of these."""
    found = next((tail for tail in PATHS if path.endswith(tail)), None)
    return found or ("google" if path.endswith((":batchEmbedContents", ":predict")) else None)


def form_of(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a form; of files their name, size and type. Read by another parser than the gateway's."""
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, Any] = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True) or b""
        if part.get_filename() is None:
            fields[name] = data.decode()
        else:
            fields[name] = {"filename": part.get_filename(), "type": part.get_content_type(), "bytes": len(data)}
    return fields


_NAMES = {"wav": "wav", "pcm": "pcm", "flac": "flac", "aac": "aac", "opus": "ogg"}


def answer(path: str, request: dict[str, Any], script: Behaviour, persona: str) -> tuple[bytes, str]:
    """A plain answer and its content type."""
    service = service_in(path)
    if service == "/audio/speech":
        return (b"" if script.empty else SOUND), f"audio/{_NAMES.get(request.get('response_format'), 'mpeg')}"
    if service in ("/audio/transcriptions", "/audio/translations"):
        return _heard(request, script, persona)
    if path.endswith(":batchEmbedContents"):
        value: dict[str, Any] = {"embeddings": [{"values": [0.25, -0.5]} for _ in request["requests"]]}
        if script.usage is not None:
            value["usageMetadata"] = {"promptTokenCount": script.usage["prompt"]}
    elif path.endswith(":predict"):
        made = 0 if script.empty else request["parameters"]["sampleCount"]
        value = {"predictions": [{"bytesBase64Encoded": PNG, "mimeType": "image/png"} for _ in range(made)]}
    elif service == "/embed":
        value = {"id": "e", "embeddings": {"float": [[0.25, -0.5] for _ in request["texts"]]}}
        if script.usage is not None:
            value["meta"] = {"billed_units": {"input_tokens": script.usage["prompt"]}}
    elif service in ("/text-embedding", "/text-rerank"):
        value = _at_dashscope(path, request, script)
    elif service == "/embeddings":
        value = _vectors(request, script)
    elif service == "/moderations":
        value = {"id": "modr-1", "model": request.get("model"), "results": [] if script.empty else [_judged()]}
    elif service == "/rerank":
        value = _ranked(path, request, script)
    else:
        value = _images(request, script)
    return json.dumps(value).encode(), "application/json"


def streams(path: str, request: dict[str, Any]) -> bool:
    """Whether this request wants a stream of events."""
    service = service_in(path)
    return service is not None and (request.get("stream") in (True, "true") or request.get("stream_format") == "sse")


def frames(path: str, request: dict[str, Any], script: Behaviour, persona: str) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content."""
    service = service_in(path)
    if service == "/audio/transcriptions":
        text = script.text or f"Heard by {persona}"
        for piece in script.text_pieces(text):
            yield _event({"type": "transcript.text.delta", "delta": piece}), True
        usage = {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
        yield _event({"type": "transcript.text.done", "text": text, "usage": usage}), False
    elif service == "/audio/speech":
        for start in range(0, len(SOUND), 4096):
            part = base64.b64encode(SOUND[start : start + 4096]).decode()
            yield _event({"type": "speech.audio.delta", "audio": part}), True
        usage = {"input_tokens": 4, "output_tokens": 40, "total_tokens": 44}
        yield _event({"type": "speech.audio.done", "usage": usage}), False
    else:
        for index in range(int(request.get("partial_images") or 0)):
            partial = {"type": "image_generation.partial_image", "b64_json": PNG, "partial_image_index": index}
            yield _event(partial), True
        done: dict[str, Any] = {"type": "image_generation.completed", "b64_json": PNG}
        if script.usage is not None:
            done["usage"] = _image_usage(script)
        yield _event(done), True


def _event(value: dict[str, Any]) -> str:
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n"


def _vectors(request: dict[str, Any], script: Behaviour) -> dict[str, Any]:
    given = request["input"]
    count = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    one: Any = [0.5, -0.25]
    if request.get("encoding_format") == "base64":
        one = "AAAAPwAAgL4="  # the same two numbers
    data = [{"object": "embedding", "index": index, "embedding": one} for index in range(0 if script.empty else count)]
    value: dict[str, Any] = {"object": "list", "data": data, "model": request["model"]}
    if script.usage is not None:
        value["usage"] = {"prompt_tokens": script.usage["prompt"], "total_tokens": script.usage["prompt"]}
    return value


def _judged() -> dict[str, Any]:
    return {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}


def _ranked(path: str, request: dict[str, Any], script: Behaviour) -> dict[str, Any]:
    count = len(request["documents"])
    rows = [{"index": index, "relevance_score": 0.9 - index / 10} for index in reversed(range(count))]
    rows = rows[: request.get("top_n") or count]
    if path.startswith("/v2"):
        searches = (script.usage or {}).get("searches", 1)
        return {"id": "r-1", "results": rows, "meta": {"billed_units": {"search_units": searches}}}
    value: dict[str, Any] = {"model": request["model"], "object": "list", "results": rows}
    if script.usage is not None:
        value["usage"] = {"total_tokens": script.usage["prompt"]}
    return value


def _at_dashscope(path: str, request: dict[str, Any], script: Behaviour) -> dict[str, Any]:
    given, wanted = request["input"], request.get("parameters") or {}
    if path.endswith("/text-embedding"):
        size = range(len(given["texts"]))
        # Out of order, as its index allows.
        rows: list[Any] = [{"text_index": index, "embedding": [0.25 + index, -0.5]} for index in reversed(size)]
        output: dict[str, Any] = {"embeddings": rows}
    else:
        output = {"results": _ranked(path, {"model": request["model"], **given, **wanted}, script)["results"]}
        for row in output["results"] if wanted.get("return_documents") else ():
            row["document"] = {"text": given["documents"][row["index"]]}
    value: dict[str, Any] = {"output": {} if script.empty else output, "request_id": "d-1"}
    if script.usage is not None:
        value["usage"] = {"total_tokens": script.usage["prompt"]}
    return value


def _images(request: dict[str, Any], script: Behaviour) -> dict[str, Any]:
    count = int(request.get("n") or 1) if script.id is None else int(script.id)  # `id`: how many really come
    data = [{"b64_json": PNG} for _ in range(0 if script.empty else count)]
    value: dict[str, Any] = {"created": speak_openai.CREATED, "data": data}
    if script.usage is not None and "image" in script.usage:
        value["usage"] = _image_usage(script)
    return value


def _image_usage(script: Behaviour) -> dict[str, Any]:
    usage = script.usage or {}
    text, image, made = usage.get("prompt", 0), usage.get("image", 0), usage.get("completion", 0)
    details = {"text_tokens": text, "image_tokens": image}
    total = text + image + made
    return {
        "input_tokens": text + image, "input_tokens_details": details, "output_tokens": made, "total_tokens": total,
    }  # fmt: skip


def _heard(request: dict[str, Any], script: Behaviour, persona: str) -> tuple[bytes, str]:
    text = f"Heard by {persona}" if script.text is None else script.text
    form = request.get("response_format") or "json"
    if form in ("text", "srt", "vtt"):
        shown = text if form == "text" else f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n"
        return f"{shown}\n".encode(), "text/plain; charset=utf-8"
    value: dict[str, Any] = {"text": text}
    usage = script.usage or {}
    if "seconds" in usage:
        value["usage"] = {"type": "duration", "seconds": usage["seconds"]}
    elif script.usage is not None and "audio" in usage:
        value["usage"] = {
            "type": "tokens", "input_tokens": usage["prompt"], "output_tokens": usage["completion"],
            "total_tokens": usage["prompt"] + usage["completion"],
            "input_token_details": {"audio_tokens": usage["audio"], "text_tokens": usage["prompt"] - usage["audio"]},
        }  # fmt: skip
    return json.dumps(value).encode(), "application/json"
