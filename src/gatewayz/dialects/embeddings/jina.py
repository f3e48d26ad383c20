"""Jina's embeddings: OpenAI's answers, a request in its own words. https://api.jina.ai/redoc"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.openai import OPENAI_EMBEDDINGS
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of

_TASKS = {
    "search_query": "retrieval.query",
    "search_document": "retrieval.passage",
    "classification": "classification",
    "clustering": "separation",
}


class JinaEmbeddings(EmbeddingProvider):
    """The `ProviderDialect` of Jina's embeddings."""

    name = "jina_embeddings"
    passed = ("late_chunking", "truncate", "normalized")

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        body: dict[str, Any] = {"model": target.native_id, "input": texts_of(request)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.purpose is not None:
            body["task"] = _TASKS.get(request.purpose, request.purpose)
        return json_text.dump(body | self.known(request))

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        return OPENAI_EMBEDDINGS.read_answer(body)


JINA_EMBEDDINGS = JinaEmbeddings()
