"""What a caller who cannot pay for a request may change in it, by service: not each has a `max_tokens`."""

from collections.abc import Mapping

from gatewayz.core.errors import PaymentRequired
from gatewayz.core.services import Service

_TEXTS, _IMAGES = "send fewer or shorter texts", "ask for fewer or smaller images, or for a lower quality"
_BY_SERVICE: Mapping[Service, str] = {
    "chat": "lower max_tokens",
    "responses": "lower max_output_tokens",
    "compact": "send a shorter input",
    "embeddings": _TEXTS,
    "moderations": _TEXTS,
    "rerank": "send fewer or shorter documents",
    "image_generations": _IMAGES,
    "image_edits": _IMAGES,
    "image_variations": _IMAGES,
    "transcriptions": "send a shorter recording",
    "translations": "send a shorter recording",
    "speech": "send a shorter text",
}
_BY_DIALECT: Mapping[str, str] = {"gemini": "lower maxOutputTokens"}
# A number of requests is used up, however small the next one is.
_NO_LEVER = frozenset({"key_request_cap"})


def with_lever(error: PaymentRequired, service: Service, dialect: str) -> PaymentRequired:
    """The refusal of a hold, in place, with what lowers the amount in this request in front of its other remedies."""
    if error.code not in _NO_LEVER:
        lever = _BY_DIALECT.get(dialect, _BY_SERVICE[service])
        others = ", or ".join(error.suggestions)
        error.suggestions = (lever, *error.suggestions)
        error.extra["hint"] = f"To lower the amount that is set aside, {lever}. Otherwise {others}."
    return error
