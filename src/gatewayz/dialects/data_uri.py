"""Data URIs, as OpenAI clients embed images and files."""


def split_data_uri(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a base64 data URI; None for any other address."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return None
    return head[: -len(";base64")].split(";")[0] or "application/octet-stream", data


def data_uri(media_type: str, data: str) -> str:
    """The data URI of base64 data."""
    return f"data:{media_type};base64,{data}"
