"""DashScope's own embeddings: https://www.alibabacloud.com/help/en/model-studio/text-embedding-synchronous-api

Its compatible mode knows no purpose of the vectors and answers in numbers only, whatever form was asked for.
"""

from typing import Any

from gatewayz.core.media import EmbeddingAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.embeddings.provider import EmbeddingProvider, texts_of, vectors_in
from gatewayz.dialects.media.service import facts, inside, whole

# What is no query is a document, which is what it takes everything for by itself.
_PURPOSES = {"search_query": "query", "search_document": "document"}


class DashScopeEmbed(EmbeddingProvider):
    """The `ProviderDialect` of Alibaba's embeddings of texts."""

    name = "dashscope_embed"
    passed = ("instruct",)

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        wanted: dict[str, Any] = {"output_type": "dense", **self.known(request)}
        if request.purpose in _PURPOSES:
            wanted["text_type"] = _PURPOSES[request.purpose]
        if request.dimensions is not None:
            wanted["dimension"] = request.dimensions
        body = {"model": target.native_id, "input": {"texts": texts_of(request)}, "parameters": wanted}
        return json_text.dump(body)

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        unknown = ("input_type",) if request.purpose is not None and request.purpose not in _PURPOSES else ()
        return tuple(sorted({*super().dropped(request, target), *unknown}))

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        answer = json_text.load(body)
        rows = inside(answer, "output", "embeddings")
        if not isinstance(rows, list) or not all(isinstance(inside(row, "text_index"), int) for row in rows):
            raise ValueError("no embeddings")
        ordered = sorted(rows, key=lambda row: int(row["text_index"]))
        vectors = vectors_in([row.get("embedding") for row in ordered])
        told = inside(answer, "usage")
        tokens = whole(inside(told, "total_tokens")) or whole(inside(told, "input_tokens"))
        usage = Usage(prompt_tokens=tokens) if tokens else None
        return EmbeddingAnswer(vectors, usage), facts(usage, not vectors)


DASHSCOPE_EMBED = DashScopeEmbed()
