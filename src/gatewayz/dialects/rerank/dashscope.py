"""DashScope's own rerank endpoint: https://www.alibabacloud.com/help/en/model-studio/text-rerank-api"""

from dataclasses import replace
from typing import Any

from gatewayz.core.media import RerankAnswer, RerankRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.parameters import unsupported
from gatewayz.dialects.rerank.client import text_of
from gatewayz.dialects.rerank.provider import RerankProvider

# What its models for pictures take besides texts.
_MEDIA = frozenset({"image", "video"})


class DashScopeRerank(RerankProvider):
    """The `ProviderDialect` of Alibaba's rerankers: what is ranked stands in `input`, how in `parameters`."""

    name = "dashscope_rerank"
    passed = ("instruct", "fps")

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        if "rank_fields" in request.extra:
            raise unsupported("rank_fields", "is not understood by this provider; send texts")
        ranking: RerankRequest = request
        wanted: dict[str, Any] = self.known(ranking)
        if ranking.top_n is not None:
            wanted["top_n"] = ranking.top_n
        if ranking.return_documents is not None:
            wanted["return_documents"] = ranking.return_documents
        documents = [_document(each) for each in ranking.documents]
        body = {"model": target.native_id, "input": {"query": ranking.query, "documents": documents}}
        return json_text.dump(body | ({"parameters": wanted} if wanted else {}))

    def read_answer(self, body: bytes, provider: str = "") -> tuple[RerankAnswer, AnswerFacts]:
        answer = json_text.load(body)
        output = answer.get("output") if isinstance(answer, dict) else None
        if not isinstance(output, dict):
            raise ValueError("no output")
        read, facts = self.ranked({**output, "usage": answer.get("usage")})
        own_id = answer.get("request_id")
        return replace(read, id=own_id if isinstance(own_id, str) else None), facts


def _document(document: Any) -> Any:
    return document if isinstance(document, dict) and _MEDIA & document.keys() else text_of(document)


DASHSCOPE_RERANK = DashScopeRerank()
