"""What the provider's side of all rerankers shares: results in some list, scores, and whoever was asked for documents."""

from typing import Any

from gatewayz.core.media import Ranked, RerankAnswer, RerankRequest
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Target
from gatewayz.dialects.media.service import MediaDialect, facts, whole


class RerankProvider(MediaDialect):
    """A `ProviderDialect` of reranking. Answers are read in all forms: servers mix them as they please."""

    service: Service = "rerank"
    passed: tuple[str, ...] | None = None  # further fields that it knows; None: whatever there is

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        return tuple(sorted({*request.extra} - {*self.passed})) if self.passed is not None else ()

    def known(self, request: RerankRequest) -> dict[str, Any]:
        """The further fields of the request that are sent."""
        if self.passed is None:
            return dict(request.extra)
        return {name: request.extra[name] for name in self.passed if name in request.extra}

    def read_answer(self, body: bytes, provider: str = "") -> tuple[RerankAnswer, AnswerFacts]:
        answer = json_text.load(body)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        return self.ranked(answer)

    def ranked(self, answer: dict[str, Any]) -> tuple[RerankAnswer, AnswerFacts]:
        """What an answer says whose members stand at its top. Raises ValueError."""
        rows = answer.get("results", answer.get("data"))
        if not isinstance(rows, list):
            raise ValueError("no results")
        usage = _usage(answer)
        own_id = answer.get("id")
        ranked = tuple(_ranked(row) for row in rows)
        return RerankAnswer(ranked, usage, own_id if isinstance(own_id, str) else None), facts(usage, not rows)


def common_body(request: RerankRequest, native_id: str, most: str) -> dict[str, Any]:
    """Model, query and documents; `most` is the name under which the number of results is asked for."""
    body: dict[str, Any] = {"model": native_id, "query": request.query, "documents": list(request.documents)}
    if request.top_n is not None:
        body[most] = request.top_n
    return body


def _ranked(row: Any) -> Ranked:
    if not isinstance(row, dict) or not isinstance(row.get("index"), int):
        raise ValueError("a result without index")
    score = row.get("relevance_score", row.get("score"))
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise ValueError("a result without score")
    return Ranked(row["index"], float(score), row.get("document"))


def _usage(answer: dict[str, Any]) -> Usage | None:
    meta, told = answer.get("meta"), answer.get("usage")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    searches = whole(billed.get("search_units")) if isinstance(billed, dict) else 0
    counted = told if isinstance(told, dict) else {}
    tokens = whole(counted.get("total_tokens")) or whole(counted.get("prompt_tokens"))
    searches = searches or whole(counted.get("search_units"))
    return Usage(prompt_tokens=tokens, searches=searches) if tokens or searches else None
