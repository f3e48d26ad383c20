"""What is on offer? A model: its name, its limits and what it can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Capability = Literal[
    "streaming", "tools", "vision", "reasoning", "json_object", "json_schema", "logprobs", "audio", "documents"
]
CAPABILITIES: tuple[Capability, ...] = (
    "streaming",
    "tools",
    "vision",
    "reasoning",
    "json_object",
    "json_schema",
    "logprobs",
    "audio",
    "documents",
)

Kind = Literal[
    "chat", "completion", "embedding", "image", "video", "audio_speech", "audio_transcription", "realtime", "rerank",
    "ocr", "moderation",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
# Models of other kinds are known, so that a request for one is refused by its real name, but nothing here serves them.
SERVED_KINDS: frozenset[str] = frozenset(
    {"chat", "embedding", "moderation", "rerank", "image", "audio_transcription", "audio_speech"}
)
# What goes in and comes out where nobody states it.
MODALITY_OF: Mapping[str, str] = MappingProxyType(
    {
        "embedding": "text->embedding",
        "moderation": "text+image->score",
        "rerank": "text->score",
        "image": "text->image",
        "audio_transcription": "audio->text",
        "audio_speech": "text->audio",
    }
)

# The capabilities that follow from what may stand in a prompt.
INPUT_CAPABILITIES: dict[str, Capability] = {"image": "vision", "audio": "audio", "file": "documents"}
MEDIA = ("text", "image", "file", "audio", "video", "embedding", "score")


@dataclass(frozen=True, slots=True)
class Model:
    """A canonical model, whoever serves it.

    `id` is `organisation/name` with an optional `:free`; `vendor` the organisation. `context_length` and
    `max_output_tokens` are tokens, None where no source states them. `modality` reads `text+image->text`.
    `created_at_us` is the release date, or when the model entered this catalog if its release is unknown.
    """

    id: str
    name: str
    vendor: str
    kind: Kind
    context_length: int | None
    max_output_tokens: int | None
    modality: str
    capabilities: frozenset[str]
    created_at_us: int
    is_free: bool = False
    premium: bool = False
    huggingface_id: str | None = None
    status: str = "active"
    deprecation_date: str | None = None

    @property
    def supports_streaming(self) -> bool:
        """True if the answer can be streamed."""
        return "streaming" in self.capabilities

    @property
    def supports_tools(self) -> bool:
        """True if the model calls functions."""
        return "tools" in self.capabilities

    @property
    def supports_vision(self) -> bool:
        """True if images may stand in the prompt."""
        return "vision" in self.capabilities

    @property
    def supports_reasoning(self) -> bool:
        """True if the model can think before it answers."""
        return "reasoning" in self.capabilities

    @property
    def supports_json_mode(self) -> bool:
        """True if `response_format` json_object is understood."""
        return "json_object" in self.capabilities

    @property
    def supports_json_schema(self) -> bool:
        """True if `response_format` json_schema is understood."""
        return "json_schema" in self.capabilities

    @property
    def supports_logprobs(self) -> bool:
        """True if token probabilities can be asked for."""
        return "logprobs" in self.capabilities

    @property
    def supports_audio(self) -> bool:
        """True if audio may stand in the prompt."""
        return "audio" in self.capabilities

    @property
    def supports_documents(self) -> bool:
        """True if files may stand in the prompt."""
        return "documents" in self.capabilities


def media_of(modality: str) -> tuple[frozenset[str], frozenset[str]]:
    """The media in and out of a modality such as `text+image->text`; without an arrow the answer is text.

    Raises ValueError for anything else.
    """
    before, arrow, after = modality.lower().partition("->")
    sides = [
        frozenset("file" if word.strip() == "pdf" else word.strip() for word in side.split("+"))
        for side in (before, after if arrow else "text")
    ]
    if not all(side <= set(MEDIA) for side in sides):
        raise ValueError(
            f"not a modality: {modality!r}; write media joined by + on both sides of ->, each of {', '.join(MEDIA)}"
        )
    return sides[0], sides[1]


def modality_of(media_in: frozenset[str], media_out: frozenset[str]) -> str:
    """The one spelling of a modality: media in a fixed order."""
    return "->".join("+".join(word for word in MEDIA if word in side) for side in (media_in, media_out))
