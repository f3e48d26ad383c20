"""Images, files and recordings as Gemini takes them: inside the request, or by an address whose type is told with it."""

from typing import Any
from urllib.parse import urlsplit

from gatewayz.core.chat import Audio, Document, Image
from gatewayz.dialects.parameters import unsupported

# By the ending of an address: the gateway does not fetch anything to find out.
_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "bmp": "image/bmp", "avif": "image/avif",
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "html": "text/html", "htm": "text/html",
    "csv": "text/csv", "xml": "text/xml", "json": "application/json", "rtf": "text/rtf",
    "mp3": "audio/mp3", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "m4a": "audio/mp4",
    "mp4": "video/mp4", "mov": "video/mov", "mpeg": "video/mpeg", "mpg": "video/mpg", "webm": "video/webm",
}  # fmt: skip
_AUDIO_TYPES = {"m4a": "audio/mp4", "pcm16": "audio/pcm", "mpeg": "audio/mp3"}
_PDF = "application/pdf"


def image_part(image: Image, param: str) -> dict[str, Any]:
    """The part of an image. Raises InvalidRequest naming `param` for an address that does not tell a type."""
    if image.url is None:
        return _inline(image.media_type or "image/png", image.data or "")
    media_type = image.media_type or _type_of(image.url)
    if media_type is None:
        raise unsupported(
            param,
            "holds an image by an address without an ending such as .png, so that its type cannot be told to the"
            " provider of this model; send the image itself, as data",
        )
    return {"fileData": {"mimeType": media_type, "fileUri": image.url}}


def document_part(document: Document) -> dict[str, Any]:
    """The part of a document; plain text travels as text, under its name and context."""
    if document.text is not None:
        head = f"Document: {document.name}\n\n" if document.name else ""
        context = f"{document.context}\n\n" if document.context else ""
        return {"text": head + context + document.text}
    if document.url is not None:
        return {
            "fileData": {"mimeType": document.media_type or _type_of(document.url) or _PDF, "fileUri": document.url}
        }
    return _inline(document.media_type or _PDF, document.data or "")


def audio_part(audio: Audio) -> dict[str, Any]:
    """The part of a recording."""
    return _inline(_AUDIO_TYPES.get(audio.format, f"audio/{audio.format}"), audio.data)


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _type_of(url: str) -> str | None:
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return _TYPES.get(path.rpartition(".")[2].lower())
