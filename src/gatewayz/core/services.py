"""What can be asked of a provider: the services, and the kind of model that each needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Service = Literal[
    "chat",
    "responses",
    "compact",
    "embeddings",
    "moderations",
    "rerank",
    "image_generations",
    "image_edits",
    "image_variations",
    "transcriptions",
    "translations",
    "speech",
]
SERVICES: tuple[str, ...] = get_args(Service)

# Services whose requests can be put as a chat to providers that do not offer them in their own form.
AS_CHAT: frozenset[str] = frozenset({"responses"})

# Chats are metered as they are written; of all other services more is known beforehand.
CHATS: frozenset[str] = frozenset({"chat", "responses"})

# Services that cost what their tokens cost, at the prices as an offer states them.
BY_TOKEN: frozenset[str] = CHATS | {"compact"}

# Kinds as in `catalog.models.Kind`.
KIND_OF: Mapping[str, str] = MappingProxyType(
    {
        "chat": "chat",
        "responses": "chat",
        "compact": "chat",
        "embeddings": "embedding",
        "moderations": "moderation",
        "rerank": "rerank",
        "image_generations": "image",
        "image_edits": "image",
        "image_variations": "image",
        "transcriptions": "audio_transcription",
        "translations": "audio_transcription",
        "speech": "audio_speech",
    }
)
