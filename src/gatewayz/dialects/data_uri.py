"""Data URIs, as OpenAI clients embed images and files."""

import base64
from urllib.parse import unquote_to_bytes


def split_data_uri(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a data URI; None for any other address."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type = head.split(";")[0]
    if head.lower().endswith(";base64"):
        return media_type or "application/octet-stream", data
    return media_type or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode()


def data_uri(media_type: str, data: str) -> str:
    """The data URI of base64 data."""
    return f"data:{media_type};base64,{data}"
