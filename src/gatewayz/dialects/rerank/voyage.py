"""Voyage's rerank endpoint: https://docs.voyageai.com/reference/reranker-api"""

from dataclasses import replace
from typing import Any

from gatewayz.core.media import RerankRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.parameters import unsupported
from gatewayz.dialects.rerank.client import text_of
from gatewayz.dialects.rerank.provider import RerankProvider, common_body


class VoyageRerank(RerankProvider):
    """The `ProviderDialect` of Voyage's reranker."""

    name = "voyage_rerank"
    passed = ("truncation",)

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        if "rank_fields" in request.extra:
            raise unsupported("rank_fields", "is not understood by this provider; send texts")
        texts: RerankRequest = replace(request, documents=tuple(text_of(each) for each in request.documents))
        body = common_body(texts, target.native_id, "top_k")
        if request.return_documents is not None:
            body["return_documents"] = request.return_documents
        return json_text.dump(body | self.known(request))


VOYAGE_RERANK = VoyageRerank()
