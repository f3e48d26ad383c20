"""Images, documents and recordings as Converse takes them: as bytes inside the request.

It would also read them from S3, with the rights of the operator's account: so a caller's `s3://` address is refused like any
other.
"""

import re
from typing import Any

from gatewayz.core.chat import Audio, Document, Image
from gatewayz.dialects.parameters import unsupported

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", _WORD: "docx",
    "application/vnd.ms-excel": "xls", _SHEET: "xlsx", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
    "application/json": "txt", "text/xml": "txt", "application/xml": "txt",
}  # fmt: skip
_AUDIO = frozenset(
    {
        "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm",
    }
)  # fmt: skip
_AUDIO_NAMES = {"pcm16": "pcm"}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\s()\[\]-]")
_BLANKS = re.compile(r"\s+")
_LONGEST_NAME = 180  # AWS takes 200; room for a number
_PDF = "application/pdf"
_ELSEWHERE = "by an address, and the provider of this model fetches nothing; send it as data"


def image_block(image: Image, param: str) -> dict[str, Any]:
    """The block of an image. Raises InvalidRequest naming `param` for one by address, and for a type that is not taken."""
    if image.url is not None:
        raise unsupported(param, f"holds an image {_ELSEWHERE}")
    media_type = image.media_type or "image/png"
    if media_type not in _IMAGES:
        raise unsupported(param, f"holds an image of type {media_type}, which the provider of this model does not take")
    return {"image": {"format": _IMAGES[media_type], "source": {"bytes": image.data or ""}}}


def audio_block(audio: Audio, param: str) -> dict[str, Any]:
    """The block of a recording. Raises InvalidRequest naming `param` for a form that is not taken."""
    form = _AUDIO_NAMES.get(audio.format, audio.format)
    if form not in _AUDIO:
        raise unsupported(param, f"holds audio in the form {form}, which the provider of this model does not take")
    return {"audio": {"format": form, "source": {"bytes": audio.data}}}


class Documents:
    """Writes the documents of one request, whose names must differ and hold few characters."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self.renamed = False

    def block(self, document: Document, param: str) -> dict[str, Any]:
        """The block of a document. Raises InvalidRequest naming `param` for one by address or of a type not taken."""
        if document.url is not None:
            raise unsupported(param, f"holds a document {_ELSEWHERE}")
        written: dict[str, Any] = {"name": self._name(document.name)}
        if document.text is not None:
            written |= {"format": "txt", "source": {"text": document.text}}
        else:
            media_type = document.media_type or _PDF
            form = _DOCUMENTS.get(media_type) or ("txt" if media_type.startswith("text/") else None)
            if form is None:
                raise unsupported(
                    param, f"holds a file of type {media_type}, which the provider of this model does not take"
                )
            written |= {"format": form, "source": {"bytes": document.data or ""}}
        if document.context is not None:
            written["context"] = document.context
        if document.citations:
            written["citations"] = {"enabled": True}
        return {"document": written}

    def _name(self, given: str | None) -> str:
        plain = _BLANKS.sub(" ", _NOT_IN_NAMES.sub(" ", given or "")).strip()[:_LONGEST_NAME] or "document"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain} {number}"
        self._names.add(name)
        self.renamed = self.renamed or (given is not None and name != given)
        return name
