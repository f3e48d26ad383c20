"""OpenAI's speech: a text in, a sound file out as it is made, or the same in events."""

import base64
import binascii
from functools import partial
from typing import Any

from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.audio.sound import length_of
from gatewayz.dialects.base import Bridge, Counted, Glance, Voice
from gatewayz.dialects.media.events import EitherForwarder, EventsForwarder, FileForwarder
from gatewayz.dialects.media.service import MediaDialect, whole
from gatewayz.dialects.parameters import (
    boolean,
    check_all,
    missing,
    number,
    provider_wish,
    read_model,
    string,
    wrong_value,
)
from gatewayz.dialects.tokens import estimate_tokens

FORMATS = {
    "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # fmt: skip
# Voices say about 15 characters a second; nobody hired to speak slowly stays below 6.
CHARACTERS_PER_S = 15
LEAST_CHARACTERS_PER_S = 6
_KEEP_BYTES = 65_536
EVENT_STREAM = "text/event-stream"
# `stream: true` is no word of OpenAI's: some providers answer it with events, others with the file as always.
_EVENTS, _EITHER = "sse ", "either "
_CHECKS = {
    "input": string, "instructions": string, "response_format": string, "stream_format": string,
    "speed": number(0.25, 4), "provider": provider_wish, "stream": boolean,
}  # fmt: skip


class OpenAISpeech(MediaDialect):
    """The `Dialect` of speech. Every answer is streamed."""

    name = "openai_speech"
    service: Service = "speech"

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        model = read_model(fields)
        values = check_all(fields, _CHECKS)
        text = values.get("input")
        if not text:
            raise missing("input")
        form = values.get("response_format", "mp3")
        if form not in FORMATS:
            raise wrong_value("response_format", f"one of {', '.join(FORMATS)}")
        streamed = values.get("stream_format", "audio")
        if streamed not in ("audio", "sse"):
            raise wrong_value("stream_format", "'audio' or 'sse'")
        tokens = estimate_tokens(text) + estimate_tokens(values.get("instructions", ""))
        speed = values.get("speed", 1)
        known, most = (
            Usage(
                prompt_tokens=tokens,
                characters=len(text),
                audio_output_ms=max(1000, round(len(text) * 1000 / (per_second * speed))),
                estimated=True,
            )
            for per_second in (CHARACTERS_PER_S, LEAST_CHARACTERS_PER_S)
        )
        if streamed == "sse":
            form = _EVENTS + form
        elif values.get("stream"):
            form = _EITHER + form
        return Glance(
            self.name, body, fields, model, True, None, tokens, provider=values.get("provider"),
            counted=Counted(known, most, form=form), events=streamed == "sse",
        )  # fmt: skip

    def answer_type(self, said: str, voice: Voice) -> str:
        way, kind = _way_and_kind(voice.form)
        if way == _EVENTS or (way == _EITHER and said.lower().startswith(EVENT_STREAM)):
            return f"{EVENT_STREAM}; charset=utf-8"
        return said if said.startswith("audio/") and said.isprintable() else FORMATS[kind]

    def stream(self, voice: Voice) -> Bridge:
        way, kind = _way_and_kind(voice.form)
        events, file = partial(_events, kind), partial(FileForwarder, partial(length_of, kind), _KEEP_BYTES)
        if way == _EITHER:
            return EitherForwarder(events, file)
        return events() if way == _EVENTS else file()


def _way_and_kind(form: str) -> tuple[str, str]:
    """(how the sound comes, of which kind it is) of a form in a `Voice`."""
    way = next((each for each in (_EVENTS, _EITHER) if form.startswith(each)), "")
    return way, form.removeprefix(way)


def _events(kind: str) -> EventsForwarder:
    return EventsForwarder(frozenset({"speech.audio.done"}), _Heard(kind))


class _Heard:
    """Measures the sound in events."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._head = bytearray()
        self._last = b""
        self._size = 0

    def __call__(self, kind: str, members: dict[str, Any], before: Usage | None) -> Usage | None:
        if kind == "speech.audio.delta" and isinstance(members.get("audio"), str):
            try:
                self._last = base64.b64decode(members["audio"])
            except (binascii.Error, ValueError):
                return before
            self._size += len(self._last)
            self._head += self._last[: max(0, _KEEP_BYTES - len(self._head))]
        elif kind == "speech.audio.done":
            told = members.get("usage")
            told = told if isinstance(told, dict) else {}
            length = length_of(self._kind, bytes(self._head), self._size, self._last)
            return Usage(whole(told.get("input_tokens")), whole(told.get("output_tokens")), audio_output_ms=length or 0)
        return before


OPENAI_SPEECH = OpenAISpeech()
