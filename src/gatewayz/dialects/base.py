"""The shape that every dialect has: how to glance at, read, write and forward its bytes.

A dialect is code that knows what bytes mean and nothing else: no network, no settings, no clock (times are handed in).

Two ways through:
- *forward*: client and provider speak the same dialect. The body travels as bytes with the model name swapped (and
  usage asked for); the answer travels as bytes with a meter listening.
- *translate*: `read_request` -> canonical -> `write_request`, and back through `StreamReader` / `StreamWriter`.

The canonical form is that of the service: `core/chat.py` for chats, `core/media.py` for the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from gatewayz.core.errors import GatewayError
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError, StreamEvent
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects.runs import Taken

EXCERPT_BYTES = 200
SHOWN_REASONING = "reasoning_content"  # where clients of OpenAI's are shown reasoning, whatever the provider calls it

Need = Literal["tools", "vision", "audio", "documents", "json_object", "json_schema", "logprobs", "n", "reasoning"]
_NULL = msgspec.Raw(b"null")
Price = Callable[[Usage], int]  # nano-USD of a usage at the pinned price


class Encoded(msgspec.Struct, frozen=True):
    """A body that is not JSON, or does not say everything, and what it is.

    `headers` are sent with it; `endpoint` stands in the place of `{endpoint}` in the address, where the model decides it.
    """

    data: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    endpoint: str = ""


class Counted(msgspec.Struct, frozen=True):
    """What a request for a service beside chats consumes, as far as the request itself tells.

    `known` is charged where the provider is silent, `most` is set aside. `variant` decides the price (`quality/size` of an
    image). `form` is how the client wants the answer, in its dialect's words. `parts` are the parts of a form.
    """

    known: Usage = NOTHING
    most: Usage = NOTHING
    variant: str = ""
    form: str = ""
    parts: tuple[Any, ...] = ()


@dataclass(slots=True)
class Framing:
    """What an answer says around the model's words, where a dialect has answers with an identity of their own (Responses).

    `echo` are the members that the answer repeats of its request. `keep`: the client wants it kept, under `answer_id`,
    which the gateway gives. `previous_id` names the kept answer that this one continues; `own_input` is what this
    request itself brought to the conversation (JSON array of items).
    """

    echo: dict[str, Any]
    keep: bool
    previous_id: str | None
    own_input: bytes
    answer_id: str = ""


class Glance(msgspec.Struct):
    """What the pipeline must know of a request before a provider is chosen; read in one cheap pass.

    `fields` are the top-level members of the body as untouched bytes. `prompt_tokens` is an estimate. `needs` are the
    abilities without which an offer must not be used. `include_usage`: the client asked for a usage chunk.
    `max_tokens` is what will be sent upstream: lower it (or set it) here to put a ceiling on an answer. `counted` is None
    for chats. `events`: a stream comes as server-sent events, else as the bytes of a file. `has_developer`: one of the
    messages of a chat is in the role of the developer. `for_gateway` is False where it is known that no member is meant for
    the gateway itself.
    """

    dialect: str
    body: bytes
    fields: dict[str, msgspec.Raw]
    model: str
    stream: bool
    max_tokens: int | None
    prompt_tokens: int
    needs: frozenset[Need] = frozenset()
    n: int = 1
    include_usage: bool = False
    user: str | None = None
    provider: Any = None  # the gateway's own `provider` member, decoded; never sent upstream
    framing: Framing | None = None
    counted: Counted | None = None
    events: bool = True
    has_developer: bool = False
    for_gateway: bool = True

    def sets_any(self, names: frozenset[str]) -> bool:
        """Whether the body has one of these members; null counts as absent."""
        return any(self.fields.get(name, _NULL) != _NULL for name in names)

    def named_in(self, names: frozenset[str]) -> tuple[str, ...]:
        """Those members of the body that have one of these names, in the order of the body."""
        if not names or names.isdisjoint(self.fields):
            return ()
        return tuple([name for name in self.fields if name in names])


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one provider departs from its dialect; each value comes from the provider's profile, with its reason there.

    OpenAI-like: `max_tokens_field` is the name under which a maximum is sent; `stream_options` whether usage may be
    asked for in streams; `developer_role` whether that role is known (else it becomes `system`); `reasoning_field` the
    message field in which earlier reasoning is sent back ("" = never); `reasoning_details` whether signed and encrypted
    reasoning is understood there; `cache_control` whether cache marks are understood; `short_call_ids` whether tool
    call ids must be nine letters and digits; `tool_choice` whether anything but "auto" may be asked for;
    `max_temperature` is a ceiling (values above are lowered).
    Anthropic-like: `adaptive_thinking` for models that take an effort instead of a thinking budget; `system_messages`
    for models that take system messages in the middle of a conversation; `model_in_body` whether the body names the model
    (else the address alone does).
    Of the Responses API: `namespaces` whether tools may be grouped in namespaces.
    All: `drop_params` are parameters that the provider refuses (dropped unless that changes the meaning),
    `add_params` are added unless the caller set them, `strip_answer_fields` are top-level members removed from answers.
    """

    max_tokens_field: str = "max_tokens"
    stream_options: bool = True
    developer_role: bool = False
    reasoning_field: str = SHOWN_REASONING
    reasoning_details: bool = False
    cache_control: bool = False
    short_call_ids: bool = False
    adaptive_thinking: bool = False
    system_messages: bool = False
    model_in_body: bool = True
    namespaces: bool = False
    drop_params: frozenset[str] = frozenset()
    strip_answer_fields: frozenset[str] = frozenset()
    add_params: Mapping[str, Any] = field(default_factory=dict)
    max_temperature: float | None = None
    tool_choice: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the provider's own model id, its quirks, and what to say when the caller set no maximum.

    `default_max_tokens` is used by dialects in which a maximum is required. `force_params` are set unless the caller
    set one of `unless` (e.g. switch off reasoning of a model that reasons by default). `provider` is the slug by which
    encrypted reasoning is known to be this provider's own.

    The last three follow from the quirks, for OpenAI-like requests: `maximum_as` is the name under which a maximum is sent
    ("" = not at all), `changes_parameters` whether another parameter may be left out, added or changed, `changes_messages`
    whether one of the messages may.
    """

    native_id: str
    quirks: Quirks = Quirks()
    default_max_tokens: int = 4096
    force_params: Mapping[str, Any] = field(default_factory=dict)
    force_unless: frozenset[str] = frozenset()
    provider: str = ""
    maximum_as: str = field(init=False, compare=False)
    changes_parameters: bool = field(init=False, compare=False)
    changes_messages: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        quirks, keep = self.quirks, object.__setattr__
        name = quirks.max_tokens_field
        keep(self, "maximum_as", "" if name in quirks.drop_params else name)
        changes = quirks.drop_params or quirks.add_params or quirks.max_temperature is not None
        keep(self, "changes_parameters", bool(changes) or not (quirks.tool_choice and quirks.stream_options))
        keep(self, "changes_messages", quirks.short_call_ids or quirks.reasoning_field != SHOWN_REASONING)


class AnswerFacts(msgspec.Struct, frozen=True):
    """What a plain answer said, for metering and records.

    `unknown_events` counts its parts of kinds that the client's dialect may not know; `unknown_excerpt` begins the first.
    `usual`: a client of the same dialect finds nothing odd in it, so that forwarding it needs no second look.
    """

    usage: Usage | None
    finish: str | None
    native_finish: str | None
    upstream_id: str | None
    empty: bool
    output_chars: int
    unknown_events: int = 0
    unknown_excerpt: str | None = None
    usual: bool = False


@dataclass(slots=True)
class StreamFacts:
    """What a stream has said so far; kept up to date by the bridge that relays it.

    `started`: content, a tool call, thinking or a refusal was seen (the commit gate opens). `ended`: the regular
    terminator was seen. `output_chars`/`tokens_seen` serve to count when the provider is silent about usage.
    """

    started: bool = False
    ended: bool = False
    usage: Usage | None = None
    finish: str | None = None
    native_finish: str | None = None
    upstream_id: str | None = None
    error: StreamError | None = None
    output_chars: int = 0
    events: int = 0
    unknown_events: int = 0
    unknown_excerpt: str | None = None

    def take(self, taken: Taken) -> bytes:
        """Counts the events of a run, and what the client is shown for them: nothing after the end or an error."""
        if self.ended or self.error is not None:
            return b""
        self.events += taken.events
        self.output_chars += taken.chars
        return taken.shown

    def note_unknown(self, payload: bytes) -> None:
        """Counts something that the dialect does not know, and keeps the beginning of the first one for the log."""
        self.unknown_events += 1
        if self.unknown_excerpt is None:
            self.unknown_excerpt = payload[:EXCERPT_BYTES].decode("utf-8", "replace")


class Bridge(Protocol):
    """The way of one streamed answer from the provider's bytes to the client's bytes. One per attempt, no I/O.

    Lifecycle bytes before the first content (role delta, `message_start`) are held inside; `feed` returns them together
    with the first content, so that until `facts.started` nothing was shown and the attempt can be dropped. The
    terminator (`[DONE]`, `message_stop`) and everything after the last content that must wait for the charge is held
    until `finish`.
    """

    facts: StreamFacts

    def feed(self, data: bytes) -> bytes:
        """Client bytes that may be sent now; b"" if none. Never raises on any bytes: trouble goes to `facts.error`."""
        ...

    def close(self) -> bytes:
        """The provider's bytes are over: decodes what was left incomplete; client bytes that may be sent now."""
        ...

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """The held end of the stream, to be sent after the charge is committed. Called once, after `close`."""
        ...

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error event, after opened blocks are closed, and the terminator if the dialect ends failures with one.

        Called once, instead of `finish`.
        """
        ...


class StreamReader(Protocol):
    """Provider bytes -> canonical events; any split of the bytes gives the same events. Never raises."""

    def feed(self, data: bytes) -> list[StreamEvent]: ...

    def close(self) -> list[StreamEvent]: ...


class StreamWriter(Protocol):
    """Canonical events -> client bytes of one dialect. Opened blocks are closed, on error too."""

    def write(self, event: StreamEvent) -> bytes: ...

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes: ...

    def fail(self, error: GatewayError, request_id: str) -> bytes: ...


class Voice(msgspec.Struct, frozen=True):
    """How the answer must look to this client: the model name it is shown, and what it asked for.

    `form` is as in `Counted`.
    `itemised` gives what `usage` says besides about the charge, None for clients that do not want it.
    """

    model: str
    request_id: str
    created: int
    include_usage: bool
    framing: Framing | None = None
    form: str = ""
    itemised: Callable[[Usage], dict[str, Any]] | None = None

    def more(self, usage: Usage) -> dict[str, Any] | None:
        """What `usage` says besides about its charge."""
        return self.itemised(usage) if self.itemised is not None else None


class ClientDialect(Protocol):
    """What the gateway asks of a dialect in which clients speak. Instances have no state.

    `service` is what is asked of the provider.
    """

    name: str
    service: Service

    def glance(self, body: bytes) -> Glance:
        """Raises InvalidRequest naming the field for whatever this dialect's own API would refuse at first sight."""
        ...

    def read_request(self, glance: Glance) -> Any:
        """The whole request in canonical form. Raises InvalidRequest naming the field."""
        ...

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        """A plain answer for a client, with `usage.cost`."""
        ...

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        """A fresh encoder for one stream to a client of this dialect."""
        ...

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        """The error body in this dialect's envelope."""
        ...


class TokenCounter(Protocol):
    """What the gateway asks of a dialect that has a way to ask how many tokens a request has."""

    def glance(self, body: bytes) -> Glance:
        """What a body to be counted holds. Raises InvalidRequest naming the field."""
        ...

    def write_request(self, seen: Glance, target: Target, url: str) -> bytes:
        """The body for a provider's own counter; `url` is its address for chats.

        Raises InvalidRequest as `Dialect.forward_request`.
        """
        ...

    def read(self, body: bytes) -> int:
        """The number that a provider's counter gave. Raises ValueError if these bytes are none."""
        ...

    def write(self, tokens: int, *, estimated: bool) -> bytes:
        """The answer for a client; `estimated` says that the gateway counted by rule of thumb."""
        ...


class ProviderDialect(Protocol):
    """What the gateway asks of a dialect in which providers are spoken to. Instances have no state."""

    name: str

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        """The body for a provider. Raises InvalidRequest naming the field that cannot be said in this dialect."""
        ...

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        """Names of the caller's parameters that this target will not receive, for the log.

        What would change the meaning is never in here: it is refused by `write_request`.
        """
        ...

    def read_answer(self, body: bytes, provider: str = "") -> tuple[Any, AnswerFacts]:
        """A plain answer in canonical form. Raises ValueError if these bytes are none (an error in HTTP 200).

        `provider` is its slug, as in `Target`.
        """
        ...

    def reader(self, provider: str = "") -> StreamReader:
        """A fresh decoder for one stream of this dialect. `provider` is its slug, as in `Target`."""
        ...

    def read_error(self, body: bytes) -> StreamError:
        """What a provider's error body says, for the failure classifier. Never raises."""
        ...


class Dialect(ClientDialect, ProviderDialect, Protocol):
    """A dialect that is spoken on both sides, so that what one side says can be forwarded to the other."""

    def forward_request(self, glance: Glance, target: Target) -> bytes | Encoded:
        """The client's own body: model name swapped, usage asked for, gateway fields removed, quirks applied."""
        ...

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        """As of a `ProviderDialect`; a `Glance` is asked about before forwarding, else what is to be written."""
        ...

    def glance_answer(self, body: bytes) -> AnswerFacts:
        """What a plain answer says, without building it. Raises ValueError as `read_answer`."""
        ...

    def forward_answer(
        self,
        body: bytes,
        voice: Voice,
        usage: Usage,
        cost_nano_usd: int,
        quirks: Quirks,
        provider: str = "",
        *,
        usual: bool = False,
    ) -> bytes:
        """The provider's own answer with the model name as the client knows it and `usage.cost` added.

        `provider` is its slug, as in `Target`. `usual` is what `glance_answer` has found of these bytes, where `usage` is
        what it has reported.
        """
        ...

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        """A bridge for a provider that speaks the same dialect."""
        ...
