"""Relaying a stream of an OpenAI-like provider to an OpenAI client: bytes pass, a meter listens.

Each event keeps its bytes except for the model name, one stable id, the cost in `usage`, and what `normal.py` names.
Everything from the finish reason on is held until `finish`, that is until the charge is committed.
"""

from itertools import compress
from operator import attrgetter
from typing import Any

import msgspec

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Price, StreamFacts, Target, Voice
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.openai_chat import wire
from gatewayz.dialects.openai_chat.chunks import DONE, chunk, sse, stable_id, usage_chunk
from gatewayz.dialects.openai_chat.errors import render_error
from gatewayz.dialects.openai_chat.normal import (
    CLIENT_FINISH,
    ToolIndexes,
    is_usual_call,
    normal_delta,
    normal_finish,
)
from gatewayz.dialects.runs import RunParser, Taken, learn
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value

KEEP_ALIVE = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})
_TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments"})
_AS_IT_IS, _STRIPPED, _REASONING_RENAMED, _NORMALISED, _PLAIN_ANSWER = range(5)
_REASONING, _REASONING_CONTENT = b'"reasoning":', b'"reasoning_content":'
_decode = wire.SEEN.decode
_members_of = attrgetter(*wire.SeenDelta.__struct_fields__)

_Charge = tuple[Usage, int]  # what was charged: usage and nano-USD
_Item = tuple[bytes, wire.Seen | None, int]  # payload, what was seen in it (None: payload is ready), what to edit


class OpenAIForwarder:
    """A `Bridge` between two ends of the same dialect."""

    __slots__ = (
        "_before",
        "_called",
        "_edit",
        "_finished",
        "_held",
        "_id",
        "_model",
        "_native",
        "_new",
        "_old",
        "_open",
        "_parser",
        "_price",
        "_strip",
        "_strip_marks",
        "_tools",
        "_voice",
        "facts",
    )

    def __init__(self, voice: Voice, target: Target, price: Price) -> None:
        self.facts = StreamFacts()
        self._voice = voice
        self._price = price
        self._strip = target.quirks.strip_answer_fields
        self._strip_marks = [b'"%s"' % name.encode() for name in self._strip]
        self._parser = RunParser()
        self._tools = ToolIndexes()
        self._id: Any = None
        self._model = msgspec.Raw(json_text.dump(voice.model))
        self._native: Any = None  # the provider's model name for which _old and _new were made
        self._old = self._new = b""
        self._before: list[_Item] = []  # lifecycle chunks until the first content
        self._held: list[_Item] = []  # chunks from the finish on, until the charge
        self._open: set[int] = set()  # choices seen and not finished
        self._finished: set[int] = set()
        self._called: set[int] = set()  # choices with tool calls
        self._edit = _AS_IT_IS  # what the chunk at hand needs beside model and id

    def feed(self, data: bytes) -> bytes:
        """See `Bridge`."""
        facts = self.facts
        heard = self._parser.feed(data)
        if isinstance(heard, Taken):
            return facts.take(heard)
        out: list[bytes] = []
        for item in heard:
            if isinstance(item, Taken):
                out.append(facts.take(item))
            else:
                self._event(*item, out)
        if self._parser.overflowed and facts.error is None:
            facts.error = StreamError("one event of the stream is too large", kind="stream_overflow")
        return b"".join(out)

    def close(self) -> bytes:
        """See `Bridge`. A last event that was cut off in the middle is not shown."""
        out: list[bytes] = []
        for name, payload in self._parser.close():
            if payload.strip() != b"[DONE]":
                try:
                    json_text.load(payload)
                except ValueError:
                    continue
            self._event(name, payload, out)
        if self._finished and not self._open and self.facts.error is None:
            self.facts.ended = True  # some providers never send [DONE]
        return b"".join(out)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge`."""
        out: list[bytes] = []
        self._flush(self._before, out)
        reported = any(seen is not None and isinstance(seen.usage, dict) for _, seen, _ in self._held)
        self._flush(self._held, out, (usage, cost_nano_usd))
        if self._voice.include_usage and not reported:
            out.append(usage_chunk(self._voice, self._id or stable_id(self._voice), usage, cost_nano_usd))
        out.append(DONE)
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge`."""
        self._before.clear()
        self._held.clear()
        return sse(render_error(error, request_id)) + DONE

    def _event(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        facts = self.facts
        if facts.ended or facts.error is not None:
            return
        if not payload.isascii():
            payload = json_text.whole_characters(payload)
        try:
            seen = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._unreadable(name, payload, out)
            return
        self._chunk(name, payload, seen, out)

    def _chunk(self, name: bytes, payload: bytes, seen: wire.Seen, out: list[bytes]) -> None:
        facts = self.facts
        choices = seen.choices
        if seen.error or name or (choices is None and seen.usage is None):
            if name in KEEP_ALIVE:
                return
            if seen.error:
                self._error(payload, seen)
                return
            if choices is None:
                self._unknown(name, payload, out)
                return
        if seen.x_groq is not None and (not self._finished or self._open):
            stopped = wire.groq_error(seen.x_groq)
            if stopped is not None:
                facts.events += 1
                facts.usage = wire.usage_of(seen.usage, seen.x_groq) or facts.usage
                facts.error = StreamError(stopped)
                return
        facts.events += 1
        self._edit = _AS_IT_IS
        carries = False
        for choice in choices or ():
            carries = self._choice(choice) or carries
        if facts.error is not None:
            return
        if seen.usage is not None or seen.x_groq is not None:
            facts.usage = wire.usage_of(seen.usage, seen.x_groq) or facts.usage
        if self._id is None and isinstance(seen.id, str) and seen.id:
            self._id = facts.upstream_id = seen.id
        complete = self._finished and not self._open
        if not choices and isinstance(seen.usage, dict):
            if not self._voice.include_usage:
                return
            complete = True
        self._place((payload, seen, self._edit), carries, bool(complete), out)

    def _place(self, item: _Item, carries: bool, complete: bool, out: list[bytes]) -> None:
        """Sends a chunk now, or holds it with the lifecycle before the content or with the end after it."""
        facts = self.facts
        if carries:
            if not facts.started:
                facts.started = True
                self._flush(self._before, out)
            if self._held:
                self._flush(self._held, out)
        if complete or (self._held and not carries):
            self._held.append(item)
            self._parser.teach(None)
        elif facts.started:
            out.append(self._shown(item))
            if carries and self._parser.learns and not self._finished:
                self._learn(item, out[-1])
        else:
            self._before.append(item)

    def _learn(self, item: _Item, shown: bytes) -> None:
        """Teaches the parser the run of a chunk that was shown, if it carries one text and nothing else."""
        payload, seen, edit = item
        if seen is None or edit > _REASONING_RENAMED or seen.usage is not None or seen.x_groq is not None:
            return
        if seen.choices and len(seen.choices) == 1 and (found := _only_text(seen.choices[0].delta)):
            member, text = found
            renamed = edit == _REASONING_RENAMED and member == b"reasoning"
            run = learn(sse(payload), shown, (member, b"reasoning_content" if renamed else member), text)
            if run is not None:
                self._parser.teach(run)

    def _choice(self, choice: wire.SeenChoice) -> bool:
        """Notes what a choice says; whether it carries content."""
        facts = self.facts
        index = choice.index if type(choice.index) is int else 0
        if index not in self._open and index not in self._finished:
            self._open.add(index)
        delta = choice.delta
        carries = delta is not None and self._delta(delta, index)
        if delta is None and not facts.started and (choice.message or choice.text):
            self._edit = _PLAIN_ANSWER  # a plain answer where a stream was asked for
            carries = True
            facts.output_chars += len(find_text({"message": choice.message, "text": choice.text}) or "")
        reason = choice.finish_reason
        if reason and isinstance(reason, str):
            if reason in wire.ERROR_FINISH:
                facts.error = StreamError(f"the provider ended the answer with {reason}", kind=reason)
                return False
            if reason not in CLIENT_FINISH:
                self._edit = max(self._edit, _NORMALISED)
            if facts.finish is None or index == 0:
                native = choice.native_finish_reason
                facts.finish = wire.finish_reason(reason)
                facts.native_finish = native if native and isinstance(native, str) else reason
            self._open.discard(index)
            self._finished.add(index)
        return carries

    def _delta(self, delta: wire.SeenDelta, index: int) -> bool:
        facts = self.facts
        carries = False
        for text in (delta.content, delta.reasoning_content, delta.refusal):
            if text:
                carries = True
                if isinstance(text, str):
                    facts.output_chars += len(text)
                else:
                    self._edit = _NORMALISED
                    facts.output_chars += len(str(text))
        if isinstance(delta.reasoning, str) and not delta.reasoning_content:
            self._edit = self._edit or _REASONING_RENAMED
            facts.output_chars += len(delta.reasoning)
        if delta.reasoning:
            carries = True
        calls = delta.tool_calls
        if calls and isinstance(calls, list):
            carries = True
            self._called.add(index)
            for call in calls:
                if not is_usual_call(call):
                    self._edit = _NORMALISED
                function = call.get("function") if isinstance(call, dict) else None
                if isinstance(function, dict):
                    facts.output_chars += len(str(function.get("name") or ""))
                    facts.output_chars += len(str(function.get("arguments") or ""))
        return carries or bool(
            delta.function_call or delta.reasoning_details or delta.audio or delta.images or delta.annotations
        )

    def _unreadable(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        """The terminator, a blank event, half a surrogate pair, or something unknown."""
        text = payload.strip()
        if text == b"[DONE]":
            self._done()
        elif text:
            try:
                seen = wire.seen(payload)
                payload = json_text.strict(payload)
            except ValueError:
                self._unknown(name, payload, out)
            else:
                self._chunk(name, payload, seen, out)

    def _done(self) -> None:
        """The terminator; choices that were never finished in so many words are finished by it."""
        self.facts.ended = True
        if self.facts.started and self._open:
            reasons = {index: "tool_calls" if index in self._called else "stop" for index in sorted(self._open)}
            choices = [{"index": index, "delta": {}, "finish_reason": reason} for index, reason in reasons.items()]
            self.facts.finish = self.facts.finish or wire.finish_reason(next(iter(reasons.values())))
            last = chunk(self._voice, self._id or stable_id(self._voice), choices)
            self._held.append((sse(json_text.dump(last)), None, _AS_IT_IS))

    def _error(self, payload: bytes, seen: wire.Seen) -> None:
        """An error chunk. One that comes after the finish (a provider's afterthought) leaves the answer whole."""
        facts = self.facts
        facts.events += 1
        facts.usage = wire.usage_of(seen.usage, seen.x_groq) or facts.usage
        if not self._finished or self._open:
            facts.error = error_from(raw_value(payload))

    def _unknown(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        facts = self.facts
        facts.events += 1
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            facts.error = error_from(value)
            return
        facts.note_unknown(payload)
        text = find_text(value)
        voice = self._voice
        chunk_id = self._id or stable_id(voice)
        if text is None:
            shown = chunk(voice, chunk_id, [], gateway_raw=value)
        else:
            facts.output_chars += len(text)
            shown = chunk(voice, chunk_id, [{"index": 0, "delta": {"content": text}, "finish_reason": None}])
        complete = bool(self._finished and not self._open)
        self._place((sse(json_text.dump(shown)), None, _AS_IT_IS), text is not None, complete, out)

    def _flush(self, items: list[_Item], out: list[bytes], charged: _Charge | None = None) -> None:
        out.extend([self._shown(item, charged) for item in items])
        items.clear()

    def _shown(self, item: _Item, charged: _Charge | None = None) -> bytes:
        """The client's bytes of one chunk; before the charge, usage is priced as it stands."""
        payload, seen, edit = item
        if seen is None:
            return payload
        if self._id is None:
            self._id = stable_id(self._voice)
        if edit == _REASONING_RENAMED and payload.count(_REASONING) == 1 and _REASONING_CONTENT not in payload:
            payload = payload.replace(_REASONING, _REASONING_CONTENT)
            edit = _AS_IT_IS
        if self._strip_marks and any(mark in payload for mark in self._strip_marks):
            edit = edit or _STRIPPED
        if edit or seen.id != self._id or isinstance(seen.usage, dict):
            return sse(self._edited(payload, seen, edit, charged))
        if seen.model == self._voice.model:
            return sse(payload)
        if seen.model != self._native:
            self._meet(seen.model, payload)
        if self._old and payload.count(b'"model"') == 1 and self._old in payload:
            return sse(payload.replace(self._old, self._new))
        return sse(self._edited(payload, seen, edit, charged))

    def _meet(self, native: Any, payload: bytes) -> None:
        """Learns how the provider spells its model member, so that it can be replaced without parsing."""
        self._native = native
        self._old = b""
        if not isinstance(native, str):
            return
        name = json_text.dump(native)
        for member in (b'"model":', b'"model": '):
            if member + name in payload:
                self._old, self._new = member + name, member + bytes(self._model)

    def _edited(self, payload: bytes, seen: wire.Seen, edit: int, charged: _Charge | None) -> bytes:
        """The slow way: single members replaced, all others as untouched bytes."""
        try:
            fields = json_text.members(payload)
        except ValueError:
            return payload
        for name in self._strip:
            fields.pop(name, None)
        fields["id"] = msgspec.Raw(json_text.dump(self._id))
        fields["model"] = self._model
        if edit > _STRIPPED and "choices" in fields:
            fields["choices"] = msgspec.Raw(self._normal_choices(fields["choices"], edit == _PLAIN_ANSWER))
        if isinstance(seen.usage, dict) and "usage" in fields:
            if self._voice.include_usage:
                usage = wire.usage_of(seen.usage) or Usage()
                usage, cost = charged if charged is not None else (usage, self._price(usage))
                fields["usage"] = with_cost(fields["usage"], usage, cost, self._voice.more(usage))
            else:
                del fields["usage"]
        return json_text.dump(fields)

    def _normal_choices(self, raw: msgspec.Raw, plain_answer: bool) -> bytes:
        choices = json_text.load(raw)
        for choice in choices:
            index = choice.get("index")
            index = index if type(index) is int else 0
            if plain_answer and not isinstance(choice.get("delta"), dict):
                message = choice.pop("message", None)
                choice["delta"] = message if isinstance(message, dict) else {"content": choice.pop("text", None)}
            if isinstance(choice.get("delta"), dict):
                normal_delta(choice["delta"], index, self._tools)
            normal_finish(choice)
        return json_text.dump(choices)


def _only_text(delta: wire.SeenDelta | None) -> tuple[bytes, str] | None:
    """The member of a delta that has a text, and the text, if that is all it has."""
    if delta is None:
        return None
    found = list(compress(delta.__struct_fields__, _members_of(delta)))
    if len(found) != 1:
        return None
    name, value = found[0], getattr(delta, found[0])
    if name == "tool_calls" and isinstance(value, list) and len(value) == 1 and is_usual_call(value[0]):
        function = value[0].get("function")
        if isinstance(function, dict) and not function.get("name"):
            name, value = "arguments", function.get("arguments")
    return (name.encode(), value) if name in _TEXTS and isinstance(value, str) else None


def with_cost(raw: msgspec.Raw, usage: Usage, cost_nano_usd: int, more: dict[str, Any] | None = None) -> msgspec.Raw:
    """A provider's `usage` object with `cost` in USD as charged, the two counts as they were charged, and `more`.

    Where the gateway had to count, because the provider reported nothing of use, its own counts stand instead.
    """
    if usage.estimated:
        return msgspec.Raw(json_text.dump(wire.usage_members(usage, cost_nano_usd, more)))
    members: dict[str, Any] = {**json_text.members(raw)}
    for name, count in (("prompt_tokens", usage.prompt_tokens), ("completion_tokens", usage.completion_tokens)):
        if count and members.get(name) != msgspec.Raw(b"%d" % count):
            members[name] = count
    members["cost"] = json_text.usd_raw(cost_nano_usd)
    if more is not None:
        members.update(more)
    return msgspec.Raw(json_text.dump(members))
