"""OpenAI's transcription and translation: a form with a sound file in; JSON, text or subtitles out, or a stream of events.

A file may also come as base64 in JSON; it travels on as the same form.
"""

import base64
import binascii
from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.audio.sound import ACCEPTED, EXTENSIONS, MEDIA_TYPES, Kind, length_ms, sniff
from gatewayz.dialects.base import AnswerFacts, Bridge, Counted, Encoded, Glance, Quirks, Target, Voice
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.media.events import EventsForwarder
from gatewayz.dialects.media.forms import Part, read_form, replaced, values_of, write_form
from gatewayz.dialects.media.service import JSON, MediaDialect, facts, usage_of, whole
from gatewayz.dialects.parameters import check_all, missing, string, wrong_value

FORMS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_JSON_FORMS = frozenset({"json", "verbose_json", "diarized_json"})
_TEXT = "text/plain; charset=utf-8"
# Where a file does not tell its length: what is set aside is that of 16 kbit/s, the least that speech is sent with; what is
# charged, if the provider does not tell it either, is that of 64 kbit/s.
LEAST_BYTES_PER_S = 2_000
USUAL_BYTES_PER_S = 8_000
# OpenAI's models count a tenth of a second as a token; people say about four tokens a second.
AUDIO_TOKENS_PER_S = 10
TEXT_TOKENS_PER_S = 5
_OURS = GATEWAY_FIELDS
_ENDINGS = frozenset({"transcript.text.done"})


class OpenAITranscriptions(MediaDialect):
    """The `Dialect` of transcriptions."""

    name = "openai_transcriptions"
    service: Service = "transcriptions"

    def look(self, body: bytes, content_type: str) -> Glance:
        return self.seen(body, read_form(body, content_type))

    def seen(self, body: bytes, parts: tuple[Part, ...]) -> Glance:
        """What these parts ask for. Raises InvalidRequest naming the field."""
        values = values_of(parts)
        files = [part for part in parts if part.filename is not None or part.name == "file"]
        if len(files) != 1 or files[0].name != "file":
            raise missing("file", " Send exactly one file, as the part `file`.")
        file, kind = _sound_in(files[0])
        model = values.get("model", "").strip()
        if not model:
            raise missing("model")
        form = values.get("response_format") or "json"
        if form not in FORMS:
            raise wrong_value("response_format", f"one of {', '.join(FORMS)}")
        known, most = _amounts(file.data, kind, values.get("prompt", ""))
        kept = tuple(file if part is files[0] else part for part in parts)
        return Glance(
            self.name, body, {}, model, values.get("stream", "").lower() == "true", None, known.prompt_tokens,
            provider=values.get("provider"), counted=Counted(known, most, form=form, parts=kept),
        )  # fmt: skip

    def forward_request(self, glance: Glance, target: Target) -> bytes | Encoded:
        parts = glance.counted.parts if glance.counted is not None else ()
        return write_form(replaced(parts, target.native_id, _OURS))

    def answer_type(self, said: str, voice: Voice) -> str:
        if voice.form in _JSON_FORMS:
            return JSON
        return "text/vtt; charset=utf-8" if voice.form == "vtt" else _TEXT

    def glance_answer(self, body: bytes) -> AnswerFacts:
        if body.lstrip()[:1] != b"{":
            return AnswerFacts(None, None, None, None, False, len(body.decode("utf-8", "replace")))
        members = json_text.members(body)
        if "text" not in members:
            raise ValueError("no text")
        usage, _ = self.count(members)
        found = facts(usage, False, members)
        return msgspec.structs.replace(found, output_chars=len(members["text"]))

    def count(self, members: dict[str, msgspec.Raw]) -> tuple[Usage | None, bool]:
        told = usage_of(members)
        seconds = told.get("seconds") or told.get("prompt_audio_seconds") or _number(members.get("duration"))
        return told_usage(told, seconds), False

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
        if voice.form not in _JSON_FORMS or body.lstrip()[:1] != b"{":
            return body
        return super().forward_answer(body, voice, usage, cost_nano_usd, quirks)

    def told_usage(self, said: msgspec.Raw | None, usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
        told = super().told_usage(said, usage, cost_nano_usd)
        if "type" in told or usage.total_tokens:
            return told
        return {"type": "duration", "seconds": -(-usage.audio_input_ms // 1000), **told}

    def stream(self, voice: Voice) -> Bridge:
        return EventsForwarder(_ENDINGS, _counted, text_of="delta")


class OpenAITranslations(OpenAITranscriptions):
    """The `Dialect` of translations into English."""

    name = "openai_translations"
    service: Service = "translations"


class TranscriptionsBase64(OpenAITranscriptions):
    """The `ClientDialect` of files in JSON: `audio` holds the base64; `format` is not needed, and never trusted."""

    def look(self, body: bytes, content_type: str) -> Glance:
        return MediaDialect.look(self, body, content_type)

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        text = check_all(fields, {"audio": string}).get("audio")
        if not text:
            raise missing("audio")
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise wrong_value("audio", "base64 of a sound file") from error
        parts = [Part("file", data, "audio")]
        for name, raw in fields.items():
            if name not in ("audio", "format"):
                parts += _as_parts(name, raw)
        return self.seen(body, tuple(parts))


def told_usage(told: dict[str, Any], seconds: Any = None) -> Usage | None:
    """What a `usage` of a transcription says: tokens, seconds or both; None if neither."""
    details = told.get("input_token_details") or told.get("prompt_tokens_details") or {}
    prompt = whole(told.get("input_tokens")) or whole(told.get("prompt_tokens"))
    audio_ms = round(seconds * 1000) if isinstance(seconds, (int, float)) and seconds > 0 else 0
    audio_tokens = whole(details.get("audio_tokens")) if isinstance(details, dict) else 0
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=whole(told.get("output_tokens")) or whole(told.get("completion_tokens")),
        audio_input_tokens=min(prompt, audio_tokens),
        audio_input_ms=audio_ms,
    )
    return usage if usage.total_tokens or audio_ms else None


def _counted(kind: str, members: dict[str, Any], before: Usage | None) -> Usage | None:
    told = members.get("usage")
    return told_usage(told, told.get("seconds")) if isinstance(told, dict) else before


def _sound_in(part: Part) -> tuple[Part, Kind]:
    """The file under a name that fits what it is. Raises InvalidRequest `unsupported_format`."""
    kind = sniff(part.data)
    if kind is None:
        raise InvalidRequest(
            f"The file is not a sound file that is understood here. Accepted formats: {ACCEPTED}.",
            code="unsupported_format",
            param="file",
        )
    extension = (part.filename or "").rpartition(".")[2].lower()
    fits = extension in EXTENSIONS[kind]
    name = part.filename if fits else f"audio.{EXTENSIONS[kind][0]}"
    return Part("file", part.data, name, MEDIA_TYPES[kind]), kind


def _amounts(data: bytes | memoryview, kind: Kind, prompt: str) -> tuple[Usage, Usage]:
    """What a file is known to consume, and the most."""
    length = length_ms(kind, data)
    usual = length if length is not None else max(1, len(data) * 1000 // USUAL_BYTES_PER_S)
    longest = length if length is not None else max(1, len(data) * 1000 // LEAST_BYTES_PER_S)
    known, most = (
        Usage(
            prompt_tokens=len(prompt) // 3 + tokens,
            completion_tokens=-(-ms * TEXT_TOKENS_PER_S // 1000),
            audio_input_tokens=tokens,
            audio_input_ms=ms,
            estimated=length is None,
        )
        for ms, tokens in (
            (usual, -(-usual * AUDIO_TOKENS_PER_S // 1000)),
            (longest, -(-longest * AUDIO_TOKENS_PER_S // 1000)),
        )
    )
    return known, most


def _as_parts(name: str, raw: msgspec.Raw) -> list[Part]:
    """A member of a JSON body as the fields of a form: lists as `name[]`, each item a field."""
    value = json_text.load(raw)
    if value is None:
        return []
    if isinstance(value, list):
        return [Part(f"{name}[]", _plain(each)) for each in value]
    return [Part(name, _plain(value))]


def _plain(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else json_text.dump(value)


def _number(raw: msgspec.Raw | None) -> float | None:
    """A number that some providers write as text."""
    try:
        return float(json_text.load(raw)) if raw is not None else None
    except (TypeError, ValueError):
        return None


OPENAI_TRANSCRIPTIONS = OpenAITranscriptions()
OPENAI_TRANSLATIONS = OpenAITranslations()
TRANSCRIPTIONS_BASE64 = TranscriptionsBase64()
