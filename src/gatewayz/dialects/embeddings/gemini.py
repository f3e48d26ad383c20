"""Gemini's batchEmbedContents: https://ai.google.dev/api/embeddings"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of, vectors_in
from gatewayz.dialects.media.service import facts, inside, whole

TASKS = {
    "search_query": "RETRIEVAL_QUERY",
    "search_document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}


class GeminiEmbed(EmbeddingProvider):
    """The `ProviderDialect` of Gemini's embeddings: every text is a request of its own in one body."""

    name = "gemini_embed"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        common: dict[str, Any] = {"model": f"models/{target.native_id.removeprefix('models/')}"}
        if request.dimensions is not None:
            common["outputDimensionality"] = request.dimensions
        if request.purpose is not None:
            common["taskType"] = TASKS.get(request.purpose, request.purpose.upper())
        texts = texts_of(request)
        return json_text.dump({"requests": [{**common, "content": {"parts": [{"text": each}]}} for each in texts]})

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        answer = json_text.load(body)
        rows = inside(answer, "embeddings")
        if not isinstance(rows, list):
            raise ValueError("no embeddings")
        vectors = vectors_in([inside(row, "values") for row in rows])
        tokens = whole(inside(answer, "usageMetadata", "promptTokenCount"))
        usage = Usage(prompt_tokens=tokens) if tokens else None
        return EmbeddingAnswer(vectors, usage), facts(usage, not vectors)


GEMINI_EMBED = GeminiEmbed()
