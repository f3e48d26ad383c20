"""What a client asks of a reranker. Cohere's and Jina's requests are the same but for the odd member, their answers differ.

The answer has the members of both: `results` with index, score and, where asked for, the document; `meta.billed_units` as
Cohere tells it; `model`, `object` and `usage` as Jina does.
"""

from dataclasses import replace
from typing import Any

from gatewayz.core.media import Ranked, RerankRequest
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Counted, Glance, Voice
from gatewayz.dialects.media.service import MediaDialect
from gatewayz.dialects.parameters import (
    boolean,
    check_all,
    integer,
    missing,
    out_of_range,
    provider_wish,
    read_model,
    string,
    value_of,
    wrong_type,
)
from gatewayz.dialects.tokens import DENSEST, estimate_tokens

MAX_DOCUMENTS = 10_000
# Cohere bills a search for a query with up to 100 documents; longer documents are cut, and each piece is one.
DOCUMENTS_PER_SEARCH = 100
TOKENS_PER_DOCUMENT = 500
_CHECKS = {
    "query": string,
    "top_n": integer(1, 1_000_000),
    "top_k": integer(1, 1_000_000),
    "return_documents": boolean,
    "provider": provider_wish,
}
_KNOWN = frozenset({"model", "documents", *_CHECKS})


class Rerank(MediaDialect):
    """The `ClientDialect` of reranking."""

    name = "rerank"
    service: Service = "rerank"

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        model = read_model(fields)
        values = check_all(fields, _CHECKS)
        if not values.get("query"):
            raise missing("query")
        documents = read_documents(value_of("documents", fields["documents"]) if "documents" in fields else None)
        query_tokens = estimate_tokens(values["query"])
        lengths = [estimate_tokens(text_of(each)) for each in documents]
        # The query is read with every document.
        tokens = query_tokens * len(documents) + sum(lengths)
        pieces = sum(max(1, -(-(query_tokens + each) // TOKENS_PER_DOCUMENT)) for each in lengths)
        known = Usage(prompt_tokens=tokens, searches=-(-len(documents) // DOCUMENTS_PER_SEARCH))
        most = Usage(prompt_tokens=DENSEST * tokens, searches=-(-pieces // DOCUMENTS_PER_SEARCH))
        return Glance(
            self.name, body, fields, model, False, None, tokens, provider=values.get("provider"),
            counted=Counted(known, most),
        )  # fmt: skip

    def read_request(self, glance: Glance) -> RerankRequest:
        fields = glance.fields
        values = check_all(fields, _CHECKS)
        return RerankRequest(
            query=values["query"],
            documents=tuple(read_documents(value_of("documents", fields["documents"]))),
            top_n=values.get("top_n") or values.get("top_k"),
            return_documents=values.get("return_documents"),
            extra={name: raw for name, raw in fields.items() if name not in _KNOWN},
        )

    def completed(self, answer: Any, glance: Glance) -> Any:
        wanted = check_all(glance.fields, {"return_documents": boolean}).get("return_documents")
        if wanted is None:
            return answer
        documents = value_of("documents", glance.fields["documents"]) if wanted else []
        return replace(answer, results=tuple(_with_document(each, documents, wanted) for each in answer.results))

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        results = []
        for each in answer.results:
            result: dict[str, Any] = {"index": each.index, "relevance_score": each.score}
            if each.document is not None:
                result["document"] = each.document
            results.append(result)
        billed: dict[str, Any] = {"search_units": usage.searches} if usage.searches else {}
        return json_text.dump(
            {
                "id": answer.id or f"rerank-{voice.request_id}",
                "object": "list",
                "model": voice.model,
                "results": results,
                "meta": {"billed_units": billed or {"input_tokens": usage.prompt_tokens}},
                "usage": {"total_tokens": usage.prompt_tokens, "cost": json_text.usd_raw(cost_nano_usd)},
            }
        )


def _with_document(ranked: Ranked, documents: list[Any], wanted: bool) -> Ranked:
    if not wanted:
        return replace(ranked, document=None)
    if ranked.document is not None or not 0 <= ranked.index < len(documents):
        return ranked
    own = documents[ranked.index]
    return replace(ranked, document=own if isinstance(own, dict) else {"text": own})


def read_documents(value: Any) -> list[Any]:
    """The documents of a request. Raises InvalidRequest."""
    if value is None:
        raise missing("documents")
    if not isinstance(value, list):
        raise wrong_type("documents", "an array")
    if not value:
        raise missing("documents", " It is empty.")
    if len(value) > MAX_DOCUMENTS:
        raise out_of_range("documents", f"at most {MAX_DOCUMENTS} documents")
    for index, each in enumerate(value):
        if not isinstance(each, (str, dict)):
            raise wrong_type(f"documents[{index}]", "a string or an object")
    return value


def text_of(document: Any) -> str:
    """The text of a document; of an object without one, all of it."""
    if isinstance(document, str):
        return document
    text = document.get("text")
    return text if isinstance(text, str) else json_text.dump(document).decode()


RERANK = Rerank()
