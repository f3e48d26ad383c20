"""Voyage's embeddings: OpenAI's answers, a request in its own words. https://docs.voyageai.com/reference/embeddings-api"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.openai import OPENAI_EMBEDDINGS
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of
from gatewayz.dialects.parameters import unsupported

_PURPOSES = {"search_query": "query", "search_document": "document"}


class VoyageEmbeddings(EmbeddingProvider):
    """The `ProviderDialect` of Voyage's embeddings."""

    name = "voyage_embeddings"
    passed = ("truncation", "output_dtype")

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        body: dict[str, Any] = {"model": target.native_id, "input": texts_of(request)}
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        if request.purpose is not None:
            if request.purpose not in _PURPOSES:
                raise unsupported("input_type", "must be search_query or search_document for this provider")
            body["input_type"] = _PURPOSES[request.purpose]
        return json_text.dump(body | self.known(request))

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        return OPENAI_EMBEDDINGS.read_answer(body)


VOYAGE_EMBEDDINGS = VoyageEmbeddings()
