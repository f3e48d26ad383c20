"""A conversation in one normal form: what any dialect can say, before it is said in another one.

Used only when client and provider speak different dialects; equal dialects forward bytes. A value that a dialect
cannot express is refused by name there, never dropped here.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from gatewayz.core.usage import Usage

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Role = Literal["system", "developer", "user", "assistant"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "pause"]


@dataclass(frozen=True, slots=True)
class CacheMark:
    """Prompt-cache breakpoint after the part that carries it; `ttl` is "5m" or "1h" (None: the provider's default)."""

    ttl: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text; `annotations` are citations in the sender's own form (JSON values)."""

    text: str
    cache: CacheMark | None = None
    annotations: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image by `url` or by base64 `data` with its `media_type`; `detail` is OpenAI's low/high/auto."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file or document: by `url`, base64 `data`, plain `text`, or provider `file_id`."""

    url: str | None = None
    data: str | None = None
    text: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    context: str | None = None
    citations: bool = False
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Base64 audio and its container format ("wav", "mp3")."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning text with the signature that its provider wants back on the next turn.

    `format` names the family that signed it ("anthropic-claude-v1", …) where that is known: no other accepts it.
    """

    text: str
    signature: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """Encrypted reasoning that must travel back unchanged; `format` as for `Thinking`."""

    data: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's own words of refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call by the model; `arguments` is the JSON text exactly as produced ("" while none came)."""

    id: str
    name: str
    arguments: str
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The caller's answer to one tool call."""

    call_id: str
    parts: "tuple[Part, ...]"
    is_error: bool = False
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part that only its own dialect understands (server tool blocks, …): kept whole, refused elsewhere by `kind`."""

    dialect: str
    kind: str
    raw: Any


Part = Text | Image | Document | Audio | Thinking | RedactedThinking | Refusal | ToolCall | ToolResult | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. Tool results stand in a user message, as parts, in the order in which they were sent."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is its JSON schema.

    `further` holds the members that only the sender's dialect has.
    """

    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool | None = None
    cache: CacheMark | None = None
    further: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpaqueTool:
    """A provider's own tool (web search, code execution, …) in its dialect's form."""

    dialect: str
    kind: str
    raw: Any


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode` auto, none, required, or named (then `name`)."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """`kind` text, json_object or json_schema (then `schema`, `name`, `strict`)."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much the model may think: an effort, a token budget, or switched off."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    off: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A whole inference request. `extra` holds the top-level fields of the sender's `dialect` that have no place here.

    `only_here` names fields without which the answer would be another one, and which no other dialect can say.
    """

    dialect: str
    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: tuple[Tool | OpaqueTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    only_here: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One alternative answer: its parts in order, why it ended, and the provider's own word for that."""

    parts: tuple[Part, ...]
    finish: FinishReason
    native_finish: str | None = None
    stop_sequence: str | None = None
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A complete plain answer. `usage` is None when the provider was silent."""

    id: str
    model: str
    created: int
    choices: tuple[Choice, ...]
    usage: Usage | None
    service_tier: str | None = None
    system_fingerprint: str | None = None
