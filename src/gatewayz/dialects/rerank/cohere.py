"""Cohere's rerank endpoint, version 2: https://docs.cohere.com/reference/rerank"""

from dataclasses import replace
from typing import Any

from gatewayz.core.media import RerankRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.rerank.client import text_of
from gatewayz.dialects.rerank.provider import RerankProvider, common_body

_PASSED = ("max_tokens_per_doc", "priority")


class CohereRerank(RerankProvider):
    """The `ProviderDialect` of Cohere's reranker: documents are texts, and do not come back."""

    name = "cohere_rerank"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        texts: RerankRequest = replace(request, documents=tuple(text_of(each) for each in request.documents))
        body = common_body(texts, target.native_id, "top_n")
        return json_text.dump(body | {name: request.extra[name] for name in _PASSED if name in request.extra})


COHERE_RERANK = CohereRerank()
