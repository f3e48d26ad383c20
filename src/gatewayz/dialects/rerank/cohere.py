"""Cohere's rerank endpoint, version 2: https://docs.cohere.com/reference/rerank"""

from dataclasses import replace
from typing import Any

from gatewayz.core.media import RerankRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.parameters import unsupported
from gatewayz.dialects.rerank.client import text_of
from gatewayz.dialects.rerank.provider import RerankProvider, common_body


class CohereRerank(RerankProvider):
    """The `ProviderDialect` of Cohere's reranker: documents are texts, and do not come back."""

    name = "cohere_rerank"
    passed = ("max_tokens_per_doc", "priority")

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        if "rank_fields" in request.extra:
            raise unsupported("rank_fields", "is not understood by this provider; send texts")
        texts: RerankRequest = replace(request, documents=tuple(text_of(each) for each in request.documents))
        body = common_body(texts, target.native_id, "top_n")
        return json_text.dump(body | self.known(request))


COHERE_RERANK = CohereRerank()
