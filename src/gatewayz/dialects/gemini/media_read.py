"""Images, files and recordings of a Gemini client in canonical form."""

from typing import Any

from gatewayz.core.chat import Audio, Document, Image, Opaque, Part
from gatewayz.dialects.gemini.names import member
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import missing, optional_text, wrong_type

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "mp4": "m4a", "x-m4a": "m4a"}
# Addresses that only Google opens: uploaded files, buckets, videos.
_GOOGLES = ("https://generativelanguage.googleapis.com/", "gs://", "https://www.youtube.com/", "https://youtu.be/")


def inline_part(blob: Any, raw: dict[str, Any], param: str) -> Part:
    """The part of an `inlineData`. Raises InvalidRequest naming the field."""
    if not isinstance(blob, dict):
        raise wrong_type(f"{param}.inlineData", "an object")
    place = f"{param}.inlineData"
    media, data = _text(blob, "mimeType", place), _text(blob, "data", place)
    if data is None:
        raise missing(f"{place}.data")
    if media is None:
        raise missing(f"{place}.mimeType")
    data = data.translate(_USUAL_ALPHABET)
    kind, _, form = media.partition(";")[0].partition("/")
    if kind == "image":
        return Image(data=data, media_type=media)
    if kind == "audio":
        return Audio(data, _AUDIO_FORMATS.get(form, form))
    if kind in ("text", "application"):
        return Document(data=data, media_type=media, name=_text(blob, "displayName", place))
    return Opaque(NAME, kind, raw)


def file_part(file: Any, raw: dict[str, Any], param: str) -> Part:
    """The part of a `fileData`; what only Google can open stays opaque. Raises InvalidRequest naming the field."""
    if not isinstance(file, dict):
        raise wrong_type(f"{param}.fileData", "an object")
    place = f"{param}.fileData"
    url, media = _text(file, "fileUri", place), _text(file, "mimeType", place)
    if url is None:
        raise missing(f"{place}.fileUri")
    kind = media.partition("/")[0] if media is not None else ""
    if url.startswith("https://") and not url.startswith(_GOOGLES):
        if kind == "image":
            return Image(url=url, media_type=media)
        if kind in ("text", "application"):
            return Document(url=url, media_type=media, name=_text(file, "displayName", place))
    return Opaque(NAME, "fileData", raw)


def _text(value: dict[str, Any], name: str, place: str) -> str | None:
    return optional_text({name: member(value, name)}, name, place) or None


_USUAL_ALPHABET = str.maketrans("-_", "+/")  # SDKs write base64 in the alphabet for addresses
