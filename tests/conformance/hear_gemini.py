"""How Gemini hears and answers."""

from dataclasses import replace
from typing import Any

from tests.conformance.hear import Upstream, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged


def _gemini_script(reply: Reply) -> dict[str, Any]:
    return scripted(_gemini_remembers(reply), {"length": "MAX_TOKENS", "content_filter": "SAFETY"})


def _gemini_says(reply: Reply) -> Reply:
    """A signature stands on the call, and travels sealed together with that place (docs/adr/0014)."""
    said = _gemini_remembers(reply)
    return (
        replace(said, signature=None, redacted=f"google-gemini-v1:call0:{said.signature}") if said.signature else said
    )


def _gemini_remembers(reply: Reply) -> Reply:
    said = replace(reply, stop_sequence=None, redacted=None, usage=replace(reply.usage, written=0), raw=())
    # It has no words of refusal: it stops.
    return replace(said, texts=("",), finish="content_filter") if said.refused and said.finish == "stop" else said


def _gemini_hear(body: dict[str, Any]) -> Talk:
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = {"ANY": "required", "NONE": "none", "AUTO": None, None: None}[calling.get("mode")]
    declared = [each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()]
    thinking = config.get("thinkingConfig")
    assert thinking is None or thinking["includeThoughts"] is True
    form = config.get("responseJsonSchema", "json") if config.get("responseMimeType") == "application/json" else None
    names = {
        "top_p": "topP",
        "seed": "seed",
        "presence_penalty": "presencePenalty",
        "frequency_penalty": "frequencyPenalty",
    }
    names["top_k"] = "topK"
    return Talk(
        turns=merged([_gemini_turn(content) for content in body["contents"]]),
        system="\n".join(part["text"] for part in (body.get("systemInstruction") or {"parts": []})["parts"]),
        tools=tuple(Tool(each["name"], _lower(each["parameters"]), each["description"]) for each in declared),
        server_tool=any("googleSearch" in tool for tool in body.get("tools") or ()),
        choice=calling.get("allowedFunctionNames", [mode])[0],
        effort=thinking["thinkingLevel"].lower() if thinking else None,
        form=form,
        stop=tuple(config.get("stopSequences") or ()),
        n=config.get("candidateCount", 1),
        logprobs=config.get("responseLogprobs", False),
        temperature=config.get("temperature"),
        max_tokens=config["maxOutputTokens"],
        further=tuple((name, config[native]) for name, native in names.items() if native in config),
    )


def _lower(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its types as others spell them, which Gemini takes, too."""
    lowered = {name: _lower(each) if isinstance(each, dict) else each for name, each in schema.items()}
    return {**lowered, "type": schema["type"].lower()} if isinstance(schema.get("type"), str) else lowered


def _gemini_turn(content: dict[str, Any]) -> Turn:
    parts: list[Part] = []
    thought = "".join(part["text"] for part in content["parts"] if part.get("thought"))
    signed = [part for part in content["parts"] if "thoughtSignature" in part]
    calls = [part for part in content["parts"] if "functionCall" in part]
    excused = [part for part in signed if part["thoughtSignature"] == "skip_thought_signature_validator"]
    signed = [part for part in signed if part not in excused]
    if thought or signed:
        assert not calls or signed == calls[:1], "the signature of a turn with calls stands on its first call"
        parts.append(Part("thinking", (thought, signed[0]["thoughtSignature"] if signed else None)))
    parts += [_gemini_part(part) for part in content["parts"] if not part.get("thought")]
    return Turn({"model": "assistant"}.get(content["role"], content["role"]), tuple(parts))


def _gemini_part(part: dict[str, Any]) -> Part:
    if "functionCall" in part:
        call = part["functionCall"]
        return Part("call", (call["id"], call["name"], call["args"]))
    if "functionResponse" in part:
        answer = part["functionResponse"]
        (kind, text), *more = answer["response"].items()
        assert not more and kind in ("output", "error")
        others = tuple(_gemini_part(each) for each in answer.get("parts") or ())
        return Part("result", (answer["id"], (Part("text", text), *others), kind == "error"))
    if "fileData" in part:
        where, media = part["fileData"]["fileUri"], part["fileData"]["mimeType"]
        return (
            Part("image", where)
            if media.startswith("image/")
            else Part("document", (None, where, part["fileData"].get("displayName")))
        )
    if "inlineData" in part:
        media, data = part["inlineData"]["mimeType"], part["inlineData"]["data"]
        kind, _, form = media.partition("/")
        if kind == "image":
            return Part("image", (media, data))
        return (
            Part("audio", (form, data))
            if kind == "audio"
            else Part("document", (media, data, part["inlineData"].get("displayName")))
        )
    return Part("text", part["text"])


GEMINI = Upstream(
    "gemini", "Gemini", "gemini", "likegemini", "gemini-3.1-pro-preview",
    _gemini_hear, _gemini_says, _gemini_remembers, _gemini_script,
    {"error": {"code": 500, "message": "The engine is on fire.", "status": "INTERNAL"}},
    {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    {
        "calls in turns": "Gemini sends each call whole",
        "encrypted thinking": "Gemini shows what it thinks, or nothing",
        "cache marks, told": "Gemini tells what was read from the cache, not what was written",
    },
)  # fmt: skip
