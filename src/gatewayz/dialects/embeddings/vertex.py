"""Embeddings of Google Cloud: the predict method of a publisher's model.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.gemini import TASKS
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of, vectors_in
from gatewayz.dialects.media.service import facts, inside, whole


class VertexEmbed(EmbeddingProvider):
    """The `ProviderDialect` of embeddings on Vertex AI; the model stands in the address."""

    name = "vertex_embed"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        task: dict[str, str] = {}
        if request.purpose is not None:
            task["task_type"] = TASKS.get(request.purpose, request.purpose.upper())
        body: dict[str, Any] = {"instances": [{"content": each, **task} for each in texts_of(request)]}
        if request.dimensions is not None:
            body["parameters"] = {"outputDimensionality": request.dimensions}
        return json_text.dump(body)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        rows = inside(json_text.load(body), "predictions")
        if not isinstance(rows, list):
            raise ValueError("no predictions")
        vectors = vectors_in([inside(row, "embeddings", "values") for row in rows])
        tokens = sum(whole(inside(row, "embeddings", "statistics", "token_count")) for row in rows)
        usage = Usage(prompt_tokens=tokens) if tokens else None
        return EmbeddingAnswer(vectors, usage), facts(usage, not vectors)


VERTEX_EMBED = VertexEmbed()
