"""What each provider's API insists on in a request, read from its documentation: checks of whole bodies."""

import re
from typing import Any

_IDS = re.compile(r"^[a-zA-Z0-9_-]+$")


def check_openai(body: dict[str, Any]) -> None:
    """A Chat Completions body: every call is answered, at once and exactly once, and nothing else is."""
    assert body["model"] and body["messages"], "model and messages are required"
    waiting: list[str] = []
    for message in body["messages"]:
        role = message["role"]
        assert role in ("system", "developer", "user", "assistant", "tool")
        if role == "tool":
            assert isinstance(message["content"], str)
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "tool messages come right after their calls"
        content = message.get("content")
        if role == "assistant":
            assert content or message.get("tool_calls") or message.get("refusal"), "says something"
            for call in message.get("tool_calls") or ():
                assert call["id"] and call["type"]
                if call["type"] == "function":
                    assert call["function"]["name"] and isinstance(call["function"]["arguments"], str)
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
        else:
            assert content, "a message has content"
        for part in content if isinstance(content, list) else ():
            _openai_part(part)
    assert not waiting, "every call is answered"
    for tool in body.get("tools") or ():
        assert tool["type"]
        assert tool["type"] != "function" or (
            tool["function"]["name"] and isinstance(tool["function"]["parameters"], dict)
        )
    if body.get("tool_choice") not in (None, "none"):
        assert body.get("tools"), "a choice needs tools"
    form = body.get("response_format") or {"type": "text"}
    assert form["type"] != "json_schema" or form["json_schema"]["name"]


def _openai_part(part: dict[str, Any]) -> None:
    kind = part["type"]
    if kind == "text":
        assert part["text"]
    elif kind == "image_url":
        assert part["image_url"]["url"]
    elif kind == "input_audio":
        assert part["input_audio"].keys() == {"data", "format"}
    elif kind == "file":
        assert part["file"].get("file_id") or part["file"].get("file_data")


def check_anthropic(body: dict[str, Any]) -> None:
    """A Messages body: roles alternate from the user on, results open the turn after their calls, no text is blank."""
    assert body["model"] and type(body["max_tokens"]) is int and body["max_tokens"] > 0
    turns = body["messages"]
    assert turns and turns[0]["role"] == "user"
    waiting: list[str] = []
    before = None
    for turn in turns:
        assert turn["role"] in ("user", "assistant") and turn["role"] != before, "roles alternate"
        before = turn["role"]
        content = turn["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        assert blocks, "a turn says something"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert sorted(results) == sorted(waiting), "every call is answered in the next turn, and nothing else is"
        assert [block["type"] for block in blocks[: len(results)]] == ["tool_result"] * len(results)
        for block in blocks:
            _anthropic_block(block, turn["role"])
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert not waiting
    for block in body["system"] if isinstance(body.get("system"), list) else ():
        assert block["type"] == "text" and block["text"].strip()
    tools = body.get("tools") or []
    for tool in tools:
        assert tool["name"]
        assert tool.get("type", "custom") != "custom" or tool["input_schema"]["type"]
    if "tool_choice" in body:
        assert tools and body["tool_choice"]["type"] in ("auto", "any", "tool", "none")
    if (body.get("thinking") or {}).get("type") == "enabled":
        assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]
        assert body.get("temperature", 1) == 1 and "top_k" not in body and body.get("top_p", 1) >= 0.95
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool")


def _anthropic_block(block: dict[str, Any], role: str) -> None:
    kind = block["type"]
    if kind == "text":
        assert block["text"].strip(), "no text is blank"
    elif kind in ("thinking", "redacted_thinking"):
        assert role == "assistant" and (block.get("signature") or block.get("data"))
    elif kind == "tool_use":
        assert role == "assistant" and _IDS.match(block["id"]) and isinstance(block["input"], dict)
    elif kind == "tool_result":
        assert role == "user" and _IDS.match(block["tool_use_id"])
        for inner in block["content"] if isinstance(block.get("content"), list) else ():
            assert inner["type"] in ("text", "image", "document", "search_result", "tool_reference")
    elif kind in ("image", "document") and role == "user":
        assert block["source"]["type"] in ("base64", "url", "text", "file", "content")


def check_gemini(body: dict[str, Any]) -> None:
    """A generateContent body: it begins with the user, roles alternate, calls are answered in the next turn."""
    contents = body["contents"]
    assert contents and contents[0]["role"] == "user"
    waiting: list[str] = []
    before = None
    for content in contents:
        assert content["role"] in ("user", "model") and content["role"] != before
        before = content["role"]
        assert content["parts"]
        names = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        assert sorted(names) == sorted(waiting)
        for part in content["parts"]:
            kinds = part.keys() & {
                "text",
                "inlineData",
                "fileData",
                "functionCall",
                "functionResponse",
                "executableCode",
            }
            kinds |= part.keys() & {"codeExecutionResult", "toolCall", "toolResponse"}
            assert len(kinds) == 1, "a part is of one kind"
            assert isinstance(part.get("functionCall", {}).get("args", {}), dict)
            assert isinstance(part.get("functionResponse", {}).get("response", {}), dict)
        waiting = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
    assert not waiting


def check_responses(body: dict[str, Any]) -> None:
    """A Responses body: items of known kinds, every call is answered exactly once, and nothing is left with the provider."""
    assert body["model"] and body["input"] and body["store"] is False and "previous_response_id" not in body
    waiting: list[str] = []
    for item in body["input"]:
        kind = item["type"]
        assert "id" not in item, "no item refers to what another request left"
        if kind in ("function_call_output", "custom_tool_call_output"):
            waiting.remove(item["call_id"])
            said = item["output"]
            for part in said if isinstance(said, list) else ():
                _responses_part(part, "user")
            continue
        if kind in ("function_call", "custom_tool_call"):
            assert item["name"] and item["call_id"] not in waiting
            assert isinstance(item["arguments" if kind == "function_call" else "input"], str)
            waiting.append(item["call_id"])
        elif kind == "reasoning":
            assert item["encrypted_content"] and isinstance(item["summary"], list)
        elif kind == "message":
            assert item["role"] in ("system", "developer", "user", "assistant") and item["content"]
            assert item["role"] == "assistant" or not waiting, "results come right after their calls"
            for part in item["content"]:
                _responses_part(part, item["role"])
    assert not waiting, "every call is answered"
    tools = body.get("tools") or []
    for tool in tools:
        assert tool["type"] != "function" or (tool["name"] and isinstance(tool["parameters"], dict))
        assert tool["type"] != "function" or isinstance(tool["strict"], bool), "silence would mean strict"
    if body.get("tool_choice") not in (None, "none"):
        assert tools, "a choice needs tools"
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    assert form["type"] != "json_schema" or (form["name"] and isinstance(form["schema"], dict))


def _responses_part(part: dict[str, Any], role: str) -> None:
    kind = part["type"]
    if role == "assistant":
        assert (kind == "output_text" and part["text"]) or (kind == "refusal" and part["refusal"])
    elif kind == "input_text":
        assert part["text"]
    elif kind == "input_image":
        assert part["image_url"] and part["detail"]
    elif kind == "input_file":
        assert part.get("file_id") or part.get("file_url") or (part["filename"] and part["file_data"])
    elif kind == "input_audio":
        assert part["input_audio"].keys() == {"data", "format"}


def check_bedrock(body: dict[str, Any]) -> None:
    """A Converse body: as Messages, in its own words; unions have one member, names of documents differ."""
    turns = body["messages"]
    assert turns and turns[0]["role"] == "user"
    waiting: list[str] = []
    before, names = None, []
    for turn in turns:
        assert turn["role"] in ("user", "assistant") and turn["role"] != before, "roles alternate"
        before, blocks = turn["role"], turn["content"]
        assert blocks and all(len(block) == 1 for block in blocks)
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        assert sorted(results) == sorted(waiting), "every call is answered in the next turn, and nothing else is"
        for block in blocks:
            assert block.get("text", "x").strip(), "no text is blank"
            names += [block["document"]["name"]] if "document" in block else []
            if "toolResult" in block:
                assert all(len(each) == 1 for each in block["toolResult"]["content"])
        assert "text" in {name for block in blocks for name in block} or not any(
            "document" in block for block in blocks
        )
        waiting = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
        assert all(re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", each) for each in waiting)
    assert not waiting and len(names) == len(set(names))
    used = any("toolUse" in block or "toolResult" in block for turn in turns for block in turn["content"])
    config = body.get("toolConfig")
    assert config or not used, "calls in the history want tools"
    for tool in (config or {}).get("tools", []):
        assert len(tool) == 1 and tool.get("toolSpec", {}).get("description", "x")
    assert all(block.get("text", "x").strip() for block in body.get("system") or ())
    assert body.get("inferenceConfig", {}).get("temperature", 0) <= 1


def check_cohere(body: dict[str, Any]) -> None:
    """A body for Cohere's chat: every call is answered, at once and exactly once; no message is empty."""
    assert body["model"] and isinstance(body["messages"], list)
    waiting: list[str] = []
    for message in body["messages"]:
        role = message["role"]
        assert role in ("system", "user", "assistant", "tool")
        if role == "tool":
            assert isinstance(message["content"], str)
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "tool messages come right after their calls"
        assert message.get("content") or message.get("tool_calls"), "says something"
        for block in message["content"] if isinstance(message.get("content"), list) else ():
            assert block["type"] in ("text", "image_url", "thinking") and block[block["type"]]
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        assert not ("tool_plan" in message and not waiting)
    assert not waiting, "every call is answered"
    assert body.get("tool_choice") in (None, "NONE", "REQUIRED")
    assert len(body.get("stop_sequences") or ()) <= 5
    assert 0.01 <= body.get("p", 0.5) <= 0.99 and 0 <= body.get("k", 0) <= 500


CHECKS = {
    "openai": check_openai,
    "anthropic": check_anthropic,
    "gemini": check_gemini,
    "openai_responses": check_responses,
    "bedrock": check_bedrock,
    "cohere": check_cohere,
}
