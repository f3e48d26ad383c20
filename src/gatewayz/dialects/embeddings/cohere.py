"""Cohere's embed endpoint, version 2: https://docs.cohere.com/reference/embed"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of, vectors_in
from gatewayz.dialects.media.service import facts, inside, whole

# Its models want to know what the vectors are for; documents are what most callers embed.
_PURPOSE = "search_document"


class CohereEmbed(EmbeddingProvider):
    """The `ProviderDialect` of Cohere's embeddings."""

    name = "cohere_embed"
    passed = ("truncate", "max_tokens", "priority")

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        body: dict[str, Any] = {
            "model": target.native_id,
            "texts": texts_of(request),
            "input_type": request.purpose or _PURPOSE,
            "embedding_types": ["float"],
        }
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        return json_text.dump(body | self.known(request))

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        answer = json_text.load(body)
        vectors = vectors_in(inside(answer, "embeddings", "float"))
        billed = inside(answer, "meta", "billed_units")
        tokens = whole(inside(billed, "input_tokens")) + whole(inside(billed, "image_tokens"))
        usage = Usage(prompt_tokens=tokens) if tokens else None
        return EmbeddingAnswer(vectors, usage), facts(usage, not vectors)


COHERE_EMBED = CohereEmbed()
