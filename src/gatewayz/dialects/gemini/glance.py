"""First sight of a generateContent request: valid at all, what it needs, how long it is.

The model and whether a stream is wanted stand in the path, and are told here.
"""

from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Need
from gatewayz.dialects.gemini.names import listed, member, snake
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import (
    Check,
    boolean,
    integer,
    missing,
    number,
    obj,
    string,
    strings,
    value_of,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    audio_tokens,
    document_tokens,
    estimate_tokens,
)

ROLES = frozenset({"user", "model", "function"})
JSON_TYPE = "application/json"
_ABSENT = msgspec.Raw()
_READ_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ONE_OR_MORE_STRINGS = strings(or_one=True)


def _provider(param: str, value: Any) -> None:
    if not isinstance(value, (str, dict)):
        raise wrong_type(param, "a provider's name or an object")


_CONFIG_CHECKS: dict[str, Check] = {
    "temperature": number(0, 2),
    "topP": number(0, 1),
    "topK": number(0, 2**31),
    "candidateCount": integer(1, 128),
    "maxOutputTokens": integer(0, 2**31),
    "stopSequences": _ONE_OR_MORE_STRINGS,
    "responseMimeType": string,
    "responseSchema": obj,
    "seed": integer(-(2**63), 2**63 - 1),
    "presencePenalty": number(-2, 2),
    "frequencyPenalty": number(-2, 2),
    "responseLogprobs": boolean,
    "logprobs": integer(0, 20),
    "thinkingConfig": obj,
    "responseModalities": _ONE_OR_MORE_STRINGS,
}


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: Any = None
    mime_type_2: Any = msgspec.field(default=None, name="mime_type")
    data: Any = None


class _Part(msgspec.Struct, rename="camel"):
    """The members that decide a need or are counted; each in both spellings."""

    text: msgspec.Raw = _ABSENT
    inline_data: _Blob | None = None
    inline_data_2: _Blob | None = msgspec.field(default=None, name="inline_data")
    file_data: _Blob | None = None
    file_data_2: _Blob | None = msgspec.field(default=None, name="file_data")
    function_call: msgspec.Raw = _ABSENT
    function_call_2: msgspec.Raw = msgspec.field(default=_ABSENT, name="function_call")
    function_response: msgspec.Raw = _ABSENT
    function_response_2: msgspec.Raw = msgspec.field(default=_ABSENT, name="function_response")


class _Content(msgspec.Struct):
    role: Any = None
    parts: list[_Part] | _Part | None = None


_NO_PART = _Part()  # one with other members than these looks like it, too
_CONTENTS = msgspec.json.Decoder(list[_Content] | _Content)
_CONTENT = msgspec.json.Decoder(_Content | str)


def glance(body: bytes, model: str, stream: bool) -> Glance:
    """What a generateContent body asks of `model`. Raises InvalidRequest naming the field."""
    return read_fields(body, json_text.request_members(body), model, stream)


def read_fields(body: bytes, fields: json_text.Fields, model: str, stream: bool) -> Glance:
    """As `glance`, of members that were cut out of `body`."""
    seen = _Seen()
    raw = field(fields, "contents")
    if raw is None:
        raise missing("contents")
    seen.contents(raw)
    system = field(fields, "systemInstruction")
    if system is not None:
        seen.content(system, "systemInstruction")
    seen.tools(field(fields, "tools"))
    config = config_of(fields)
    seen.config(config)
    provider = value_of("provider", fields["provider"]) if "provider" in fields else None
    if provider is not None:
        _provider("provider", provider)
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=model,
        stream=stream,
        max_tokens=int(config["maxOutputTokens"]) if config.get("maxOutputTokens") else None,
        prompt_tokens=seen.tokens + REQUEST_TOKENS,
        needs=frozenset(seen.needs),
        n=config.get("candidateCount", 1),
        include_usage=True,
        provider=provider,
    )


def field(fields: json_text.Fields, name: str) -> msgspec.Raw | None:
    """A top-level member, in whichever spelling; None if it is absent or null."""
    raw = fields.get(name, _ABSENT) or fields.get(snake(name), _ABSENT)
    return raw if raw and bytes(raw) != b"null" else None


def config_of(fields: json_text.Fields) -> dict[str, Any]:
    """The checked members of `generationConfig`, in the usual spelling. Raises InvalidRequest naming the field."""
    raw = field(fields, "generationConfig")
    if raw is None:
        return {}
    given = value_of("generationConfig", raw)
    obj("generationConfig", given)
    values: dict[str, Any] = {}
    for name, check in _CONFIG_CHECKS.items():
        value = member(given, name)
        if value is not None:
            check(f"generationConfig.{name}", value)
            values[name] = value
    return values


class _Seen:
    """Collects needs and tokens."""

    def __init__(self) -> None:
        self.needs: set[Need] = set()
        self.tokens = 0

    def contents(self, raw: msgspec.Raw) -> None:
        try:
            read = _CONTENTS.decode(raw)
        except _READ_ERRORS as error:
            raise _what_is_wrong(raw) from error
        contents = [read] if isinstance(read, _Content) else read
        if not contents or bytes(raw) == b"{}":
            raise missing("contents", " At least one content must be sent.")
        for index, content in enumerate(contents):
            _role(content.role, f"contents[{index}].role")
            if content.parts == _NO_PART:
                _refuse_no_part(listed(value_of("contents", raw))[index], f"contents[{index}].parts")
            self._parts(content)

    def content(self, raw: msgspec.Raw, param: str) -> None:
        try:
            read = _CONTENT.decode(raw)
        except _READ_ERRORS as error:
            raise wrong_type(param, "a content with parts") from error
        if isinstance(read, str):
            self.tokens += estimate_tokens(read) + MESSAGE_TOKENS
        else:
            if read.role is not None:
                string(f"{param}.role", read.role)
            if read.parts == _NO_PART:
                _refuse_no_part(value_of(param, raw), f"{param}.parts")
            self._parts(read)

    def _parts(self, content: _Content) -> None:
        self.tokens += MESSAGE_TOKENS
        parts = content.parts
        for part in [parts] if isinstance(parts, _Part) else parts or ():
            if part.text:
                self.tokens += estimate_tokens(bytes(part.text)[1:-1])
            for raw in (part.function_call, part.function_call_2, part.function_response, part.function_response_2):
                if raw:
                    self.tokens += estimate_tokens(bytes(raw))
            for blob in (part.inline_data, part.inline_data_2, part.file_data, part.file_data_2):
                if blob is not None:
                    self._blob(blob)

    def _blob(self, blob: _Blob) -> None:
        media = blob.mime_type if isinstance(blob.mime_type, str) else blob.mime_type_2
        kind = media.partition("/")[0] if isinstance(media, str) else ""
        length = len(blob.data) if isinstance(blob.data, str) else 0
        if kind == "image":
            self.needs.add("vision")
            self.tokens += IMAGE_TOKENS
        elif kind == "audio":
            self.needs.add("audio")
            self.tokens += audio_tokens(length)
        else:
            self.needs.add("documents")
            self.tokens += document_tokens(length)

    def tools(self, raw: msgspec.Raw | None) -> None:
        if raw is None or bytes(raw) == b"[]":
            return
        tools = value_of("tools", raw)
        if isinstance(tools, dict):
            tools = [tools]
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise wrong_type("tools", "an array of tool objects")
        self.needs.add("tools")
        self.tokens += estimate_tokens(bytes(raw))

    def config(self, config: dict[str, Any]) -> None:
        if config.get("candidateCount", 1) > 1:
            self.needs.add("n")
        if config.get("responseLogprobs") or config.get("logprobs"):
            self.needs.add("logprobs")
        if config.get("responseMimeType") == JSON_TYPE:
            self.needs.add("json_schema" if "responseSchema" in config else "json_object")
        thinking = config.get("thinkingConfig")
        if thinking is not None and _thinks(thinking):
            self.needs.add("reasoning")


def _thinks(config: dict[str, Any]) -> bool:
    """Whether a `thinkingConfig` asks for thinking. Raises InvalidRequest naming a member of the wrong type."""
    budget, level, shown = (member(config, name) for name in ("thinkingBudget", "thinkingLevel", "includeThoughts"))
    if budget is not None:
        integer(-1, 2**31)("generationConfig.thinkingConfig.thinkingBudget", budget)
        return bool(budget)
    if level is not None:
        string("generationConfig.thinkingConfig.thinkingLevel", level)
        return True
    if shown is not None:
        boolean("generationConfig.thinkingConfig.includeThoughts", shown)
    return shown is True


def _role(role: Any, param: str) -> None:
    if role is None or role == "" or (isinstance(role, str) and role in ROLES):
        return
    string(param, role)
    raise wrong_value(param, "user or model")


def _refuse_no_part(content: Any, param: str) -> None:
    """Raises InvalidRequest if an empty object stands in the place of the parts."""
    if content.get("parts") == {}:
        raise wrong_type(param, "an array of parts")


def _what_is_wrong(raw: msgspec.Raw) -> InvalidRequest:
    """The error that names the first content that is none."""
    contents = value_of("contents", raw)
    if not isinstance(contents, list):
        return wrong_type("contents", "an array of contents")
    for index, content in enumerate(contents):
        param = f"contents[{index}]"
        if not isinstance(content, dict):
            return wrong_type(param, "an object")
        parts = content.get("parts")
        if parts is not None and not isinstance(parts, (list, dict)):
            return wrong_type(f"{param}.parts", "an array of parts")
        for number_, part in enumerate(listed(parts) or ()):
            if not isinstance(part, dict):
                return wrong_type(f"{param}.parts[{number_}]", "an object")
            for name in ("inlineData", "fileData"):
                if not isinstance(member(part, name), (dict, type(None))):
                    return wrong_type(f"{param}.parts[{number_}].{name}", "an object")
    return wrong_value("contents", "valid JSON text")
