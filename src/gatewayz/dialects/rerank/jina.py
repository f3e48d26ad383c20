"""Jina's rerank endpoint, and the servers that answer like it: https://api.jina.ai/redoc"""

from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Encoded, Target
from gatewayz.dialects.rerank.provider import RerankProvider, common_body


class JinaRerank(RerankProvider):
    """The `ProviderDialect` of rerankers that take documents as texts or objects and may return them."""

    name = "jina_rerank"

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        body = common_body(request, target.native_id, "top_n")
        if request.return_documents is not None:
            body["return_documents"] = request.return_documents
        return json_text.dump({**self.known(request), **body})


JINA_RERANK = JinaRerank()
