"""What the fake upstream is told to do with one request: the members of a script, with their defaults."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Behaviour:
    """One scripted answer. Everything has a default, so a script says only what is special.

    Content: `text`, `thinking` (with `signature`), `redacted`, `refusal`, `tool_calls` (`[{id, name, arguments}]`, the
    arguments as text or value), `finish` in the words of the dialect; `pieces` cuts the text of a stream as given,
    `chunk_chars` by length, `fragment_chars` the arguments; `interleave` sends the fragments of parallel calls in
    turns. `details`: reasoning goes into `reasoning_details`, signed and encrypted, as OpenRouter sends it. `citations`
    (`[{url, title}]`) are sources of the text, `logprobs` gives one probability for each piece of it, `stop_sequence` is
    the stop text that ended it, `blocks` are raw blocks before it (of OpenAI: the images beside it;
    of Responses: items), `members` further top-level members of every body.
    Usage: `usage` `{prompt, completion, cached, cache_write, reasoning, searches}` (searches of the web), None to say
    nothing; `usage_when` is "end", "every" chunk, or "own" (its own chunk although nobody asked).
    Trouble by status: `status` (0: reset without any reply), `error` (the body, a value or text), `headers`.
    Trouble in the bytes: `body` (this text instead of an answer), `body_base64` (these bytes), `frames` (these texts instead of a stream's),
    `error_in_200` (an error object with status 200), `error_after` + `stream_error` (after so many content chunks),
    `cut_after_bytes`, `cut_after_chunks` (connection reset there), `close_after_chunks` (silent regular end there),
    `no_done` (without terminator), `empty` (nothing but the terminator), `extra` (raw frames before the content),
    `comments` (keep-alives between the chunks), `crlf`, `split` (bytes of each write), `malformed`, `huge` (bytes of
    one comment line).
    Time: `delay_s` before the headers, `first_delay_s` before the first chunk, `chunk_delay_s` between chunks, `hang`
    at "headers", "first" or "middle" for ever. `read_body` False: the request's body is never read.
    Jobs (`speak_jobs.py`): `polls` questions are answered with "not yet" before a job is done, then `job_error` says how it
    failed, if it did; `poll_statuses` are the statuses of the first questions; `job_base` is where the job is said to be,
    `pictures` are the addresses of what was made, `flags` whether each is withheld.
    `keep_body`: the journal keeps the request's body as text, too (`text`).
    """

    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    redacted: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None
    details: bool = False
    citations: list[dict[str, str]] = field(default_factory=list)
    logprobs: bool = False
    stop_sequence: str | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    id: str | None = None
    pieces: list[str] | None = None
    chunk_chars: int = 6
    fragment_chars: int = 7
    interleave: bool = False
    usage: dict[str, int] | None = field(default_factory=lambda: {"prompt": 10, "completion": 5})
    usage_when: str = "end"
    status: int = 200
    error: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    body_base64: str | None = None
    frames: list[str] | None = None
    error_in_200: Any = None
    error_after: int | None = None
    stream_error: Any = None
    cut_after_bytes: int | None = None
    cut_after_chunks: int | None = None
    close_after_chunks: int | None = None
    no_done: bool = False
    empty: bool = False
    extra: list[str] = field(default_factory=list)
    comments: bool = False
    crlf: bool = False
    split: int | None = None
    malformed: bool = False
    huge: int | None = None
    delay_s: float = 0.0
    first_delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    hang: str | None = None
    polls: int = 0
    poll_statuses: list[int] = field(default_factory=list)
    job_error: str | None = None
    job_base: str | None = None
    pictures: list[str] | None = None
    flags: list[bool] | None = None
    read_body: bool = True
    keep_body: bool = False

    def text_pieces(self, text: str) -> list[str]:
        """The text as the chunks of a stream carry it."""
        if self.pieces is not None:
            return self.pieces
        return [text[start : start + self.chunk_chars] for start in range(0, len(text), self.chunk_chars)]

    def fragments(self, arguments: str) -> list[str]:
        """The arguments of a call as the chunks of a stream carry them."""
        step = self.fragment_chars
        return [arguments[start : start + step] for start in range(0, len(arguments), step)]


_NAMES = frozenset(each.name for each in fields(Behaviour))


def behaviour_from(value: dict[str, Any]) -> Behaviour:
    """The behaviour that a script describes. Raises ValueError naming unknown members."""
    unknown = sorted(set(value) - _NAMES)
    if unknown:
        raise ValueError(f"unknown members of a behaviour: {', '.join(unknown)}")
    return Behaviour(**value)


class Scripts:
    """Per persona, and per model where given: a queue of behaviours, then the default."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str | None], list[Behaviour]] = {}
        self._defaults: dict[tuple[str, str | None], Behaviour] = {}

    def load(self, script: dict[str, Any]) -> None:
        """Takes `{persona, model?, default?, queue?}`; a queue is appended to, a default replaced."""
        unknown = sorted(set(script) - {"persona", "model", "default", "queue"})
        if unknown:
            raise ValueError(f"unknown members of a script: {', '.join(unknown)}")
        key = (script.get("persona", "default"), script.get("model"))
        if script.get("default") is not None:
            self._defaults[key] = behaviour_from(script["default"])
        self._queues.setdefault(key, []).extend(behaviour_from(each) for each in script.get("queue", []))

    def next(self, persona: str, model: str | None) -> Behaviour:
        """What to do now; the model's own script comes first."""
        keys = [(persona, model), (persona, None)] if model is not None else [(persona, None)]
        for key in keys:
            queue = self._queues.get(key)
            if queue:
                return queue.pop(0)
        for key in keys:
            if key in self._defaults:
                return self._defaults[key]
        return Behaviour()

    def reads_body(self, persona: str) -> bool:
        """Whether the next request's body is to be read at all; decided before its model is known."""
        queue = self._queues.get((persona, None))
        upcoming = queue[0] if queue else self._defaults.get((persona, None))
        return upcoming.read_body if upcoming is not None else True

    def clear(self) -> None:
        """Forgets everything."""
        self._queues.clear()
        self._defaults.clear()
