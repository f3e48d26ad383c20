"""Requests and answers of the services beside chats in one normal form, for those that are translated between dialects."""

from dataclasses import dataclass, field
from typing import Any

from gatewayz.core.usage import Usage

Vector = list[float]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed, each a string or a list of token ids.

    `purpose` is what the vectors are for, in the words of Cohere and Voyage (`search_query`, `search_document`,
    `classification`, `clustering`); None: the provider's default. `extra` are the fields without a place here.
    """

    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    purpose: str | None = None
    user: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    """One vector for each text, in their order. `usage` is None when the provider was silent."""

    vectors: tuple[Vector, ...]
    usage: Usage | None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to put in order for a query; each is a text or an object with one.

    `extra` are the fields without a place here, in the sender's words.
    """

    query: str
    documents: tuple[Any, ...]
    top_n: int | None = None
    return_documents: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One document's place in the list that was sent, and its score."""

    index: int
    score: float
    document: Any = None


@dataclass(frozen=True, slots=True)
class RerankAnswer:
    """The documents, best first. `usage` is None when the provider was silent."""

    results: tuple[Ranked, ...]
    usage: Usage | None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Images to make from a text. `size` is width x height, `quality` the sender's word; None where the provider chooses.

    `form` is `url` or `b64_json` where one of them is wanted. `extra` are the fields without a place here. `given` are
    pictures to be edited and `mask` the part to be changed ("": all of it), as data URIs.
    """

    prompt: str
    n: int = 1
    size: str | None = None
    quality: str | None = None
    form: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    mask: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image: as base64 in `data`, else at the address `url`; "" for what is not there.

    `content_type` and `revised_prompt` are what the provider says of it.
    """

    data: str = ""
    url: str = ""
    content_type: str = ""
    revised_prompt: str = ""


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """Images in their order. `usage` counts them."""

    images: tuple[Picture, ...]
    usage: Usage
