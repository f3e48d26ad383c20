"""Tool calls and their results in the order that every provider accepts.

Providers insist that each call is answered, at once and exactly once. Clients do not always keep to it: results arrive
in any order, late, twice, or never. Here each group of assistant messages is followed by one user message with the
results of its calls in the order in which they were sent; a missing result is replaced by one that says so; a result
nobody asked for becomes plain text.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from gatewayz.core.chat import ChatRequest, Document, Image, Message, Opaque, Part, Text, Tool, ToolCall, ToolResult
from gatewayz.dialects.parameters import unsupported

NO_RESULT = "No result was returned for this tool call."
_CLEARING = (
    "clear_thinking_",
    "clear_tool_uses_",
)  # kinds of Anthropic's `context_management.edits`, before their dates
OPENING = "(The conversation starts here.)"  # the user's turn where a provider wants one first and there is none


def system_tagged(text: str) -> str:
    """A system message as it stands inside the user's turn, for providers that take none in mid-conversation."""
    return f"<system>\n{text}\n</system>"


def refuse_foreign_parts(request: ChatRequest, dialect: str) -> None:
    """Raises InvalidRequest if a request of another dialect holds what only providers of that dialect can read.

    That is an uploaded file, which only its own provider holds, a part of a kind that other dialects do not have, and a
    field that none of them can say. Messages are counted as the caller does, to whom a system prompt is none of them where
    it stands apart.
    """
    if request.dialect == dialect:
        return
    for name in request.only_here:
        raise unsupported(name, "cannot be said to the provider of this model")
    uncounted = request.dialect in ("anthropic", "gemini") and request.messages[0].role == "system"
    for index, message in enumerate(request.messages, -1 if uncounted else 0):
        param = f"messages[{index}]" if index >= 0 else "system"
        for part in message.parts:
            _refuse_foreign(part, dialect, param)


def _refuse_foreign(part: Part, dialect: str, param: str) -> None:
    if isinstance(part, Document) and part.file_id is not None:
        raise unsupported(f"{param}.file_id", "names a file that the provider of this model does not hold")
    if isinstance(part, Opaque) and part.dialect != dialect:
        raise unsupported(param, f"holds a part of type '{part.kind}', which the provider of this model does not know")
    if isinstance(part, ToolResult):
        for inner in part.parts:
            _refuse_foreign(inner, dialect, param)


def all_parts(request: ChatRequest) -> Iterator[Part]:
    """Every part of the conversation, also those inside the results of tools."""
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def asks_for_detail(request: ChatRequest) -> bool:
    """Whether the caller says how closely an image is to be looked at, other than as the provider sees fit."""
    return any(isinstance(part, Image) and part.detail not in (None, "auto") for part in all_parts(request))


def asks_for_citations(request: ChatRequest) -> bool:
    """Whether the caller wants a document to be cited."""
    return any(isinstance(part, Document) and part.citations for part in all_parts(request))


def has_cache_marks(request: ChatRequest) -> bool:
    """Whether the caller marks what is to be kept in the provider's prompt cache."""
    return any(getattr(part, "cache", None) is not None for part in (*all_parts(request), *request.tools))


def foreign_tool_members(request: ChatRequest) -> list[str]:
    """Names of members of tools that only the sender's dialect has, as they are told in the log."""
    names = {name for tool in request.tools if isinstance(tool, Tool) for name in tool.further}
    return [f"tools.{name}" for name in sorted(names)]


def harmless_extras(request: ChatRequest) -> frozenset[str]:
    """Fields of another dialect that could ask for another kind of answer, and in this request do not.

    A `context_management` that only clears old thinking and old results of tools leaves the model less to read, no more:
    Claude Code sends one with every request.
    """
    value = request.extra.get("context_management")
    edits = value.get("edits") if isinstance(value, dict) else None
    clears = isinstance(edits, list) and all(
        isinstance(edit, dict) and str(edit.get("type")).startswith(_CLEARING) for edit in edits
    )
    return frozenset({"context_management"}) if clears else frozenset()


def with_results_paired(messages: Sequence[Message]) -> list[Message]:
    """The conversation with every tool call answered right after it; other messages keep their order."""
    if not any(isinstance(part, (ToolCall, ToolResult)) for message in messages for part in message.parts):
        return list(messages)
    waiting = _results_by_call(messages)
    used: set[tuple[int, int]] = set()
    paired: list[Message] = []
    calls: list[ToolCall] = []
    for position, message in enumerate(messages):
        if message.role != "assistant":
            paired += _answers(calls, waiting, position, used)
            calls = []
            kept = _without_used(message, position, used)
            if kept.parts or not message.parts:
                paired.append(kept)
            continue
        paired.append(message)
        calls += [part for part in message.parts if isinstance(part, ToolCall)]
    return paired + _answers(calls, waiting, len(messages), used)


_Waiting = dict[str, deque[tuple[tuple[int, int], ToolResult]]]


def _results_by_call(messages: Sequence[Message]) -> _Waiting:
    waiting: _Waiting = defaultdict(deque)
    for position, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                waiting[part.call_id].append(((position, number), part))
    return waiting


def _answers(calls: list[ToolCall], waiting: _Waiting, position: int, used: set[tuple[int, int]]) -> list[Message]:
    """One user message that answers all `calls`, whose group ended before the message at `position`."""
    found: list[tuple[tuple[int, int], ToolResult]] = []
    invented: list[ToolResult] = []
    for call in calls:
        queue = waiting.get(call.id, deque())
        while queue and queue[0][0][0] < position:
            queue.popleft()  # sent before the call was made: stays where it is, as text
        if queue:
            where, result = queue.popleft()
            used.add(where)
            found.append((where, result))
        else:
            invented.append(ToolResult(call.id, (Text(NO_RESULT),), is_error=True))
    results: list[Part] = [result for _, result in sorted(found, key=lambda item: item[0])]
    return [Message("user", (*results, *invented))] if calls else []


def _without_used(message: Message, position: int, used: set[tuple[int, int]]) -> Message:
    """The message without the results that answer a call already; any other result becomes text."""
    if not any(isinstance(part, ToolResult) for part in message.parts):
        return message
    parts: list[Part] = []
    for number, part in enumerate(message.parts):
        if not isinstance(part, ToolResult):
            parts.append(part)
        elif (position, number) not in used:
            parts += _as_text(part)
    return Message(message.role, tuple(parts), message.name)


def _as_text(result: ToolResult) -> list[Part]:
    head = Text(f"Result of tool call {result.call_id}:")
    return [head, *result.parts]
