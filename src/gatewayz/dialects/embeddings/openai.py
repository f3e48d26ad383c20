"""OpenAI Embeddings: texts or token ids in, vectors out, as lists of numbers or as base64 of 32-bit floats."""

import base64
from array import array
from sys import byteorder
from typing import Any

import msgspec

from gatewayz.core.media import EmbeddingAnswer, EmbeddingRequest, Vector
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Counted, Encoded, Glance, Target, Voice
from gatewayz.dialects.media.service import MediaDialect, array_length, facts, inside, usage_of, whole
from gatewayz.dialects.parameters import (
    check_all,
    integer,
    missing,
    out_of_range,
    provider_wish,
    read_model,
    string,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.parameters import value_of as decoded
from gatewayz.dialects.tokens import DENSEST, estimate_tokens

# More than any provider takes; a provider's own limit is told by the provider.
MAX_INPUTS = 100_000
_FORMS = ("float", "base64")
PURPOSES = ("search_query", "search_document", "classification", "clustering")
_PURPOSE_WORDS = {"query": "search_query", "document": "search_document"}
_CHECKS = {
    "dimensions": integer(1, 1_000_000),
    "encoding_format": string,
    "user": string,
    "input_type": string,
    "provider": provider_wish,
}
_KNOWN = frozenset({"model", "input", *_CHECKS})


class OpenAIEmbeddings(MediaDialect):
    """The `Dialect` of embeddings."""

    name = "openai_embeddings"
    service: Service = "embeddings"

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        model = read_model(fields)
        values = check_all(fields, _CHECKS)
        form = values.get("encoding_format", "float")
        if form not in _FORMS:
            raise wrong_value("encoding_format", "'float' or 'base64'")
        inputs = read_inputs(decoded("input", fields["input"]) if "input" in fields else None)
        tokens = sum(len(each) if isinstance(each, tuple) else max(1, estimate_tokens(each)) for each in inputs)
        characters = sum(len(each) for each in inputs if isinstance(each, str))
        known = Usage(prompt_tokens=tokens, characters=characters)
        texts = tokens - sum(len(each) for each in inputs if isinstance(each, tuple))
        most = Usage(prompt_tokens=tokens + (DENSEST - 1) * texts, characters=characters)
        return Glance(
            self.name, body, fields, model, False, None, tokens, n=len(inputs), user=values.get("user"),
            provider=values.get("provider"), counted=Counted(known, most, form=form),
        )  # fmt: skip

    def count(self, members: dict[str, msgspec.Raw]) -> tuple[Usage | None, bool]:
        told = usage_of(members)
        tokens = whole(told.get("prompt_tokens")) or whole(told.get("total_tokens"))
        return (Usage(prompt_tokens=tokens) if tokens else None), array_length(members, "data") == 0

    def told_usage(self, said: msgspec.Raw | None, usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
        told = super().told_usage(said, usage, cost_nano_usd)
        # OpenAI's clients expect both, and some providers say neither.
        return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens, **told}

    def read_request(self, glance: Glance) -> EmbeddingRequest:
        values = check_all(glance.fields, _CHECKS)
        purpose = values.get("input_type")
        extra = {name: raw for name, raw in glance.fields.items() if name not in _KNOWN}
        return EmbeddingRequest(
            inputs=read_inputs(decoded("input", glance.fields["input"])),
            dimensions=values.get("dimensions"),
            purpose=_PURPOSE_WORDS.get(purpose, purpose) if purpose is not None else None,
            user=values.get("user"),
            extra=extra,
        )

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        vectors = (as_base64(each) if voice.form == "base64" else each for each in answer.vectors)
        told = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
        return json_text.dump(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)
                ],
                "model": voice.model,
                "usage": {**told, "cost": json_text.usd_raw(cost_nano_usd)},
            }
        )

    def completed(self, answer: Any, glance: Glance) -> Any:
        if len(answer.vectors) != glance.n:
            raise ValueError(f"{len(answer.vectors)} vectors for {glance.n} texts")
        return answer

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        body = {
            "model": target.native_id,
            "input": [list(each) if isinstance(each, tuple) else each for each in request.inputs],
            "dimensions": request.dimensions,
            "input_type": request.purpose,
            "user": request.user,
        }
        return json_text.dump({name: value for name, value in body.items() if value is not None} | request.extra)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[EmbeddingAnswer, AnswerFacts]:
        members = json_text.members(body)
        usage, empty = self.count(members)
        rows = json_text.load(members["data"])
        vectors = tuple(_vector(inside(row, "embedding")) for row in sorted(rows, key=_index))
        return EmbeddingAnswer(vectors, usage), facts(usage, empty, members)


def read_inputs(value: Any) -> tuple[str | tuple[int, ...], ...]:
    """The texts and token lists of `input`, each apart. Raises InvalidRequest."""
    if value is None:
        raise missing("input")
    items = [value] if isinstance(value, str) or _is_tokens(value) else value
    if not isinstance(items, list):
        raise wrong_type("input", "a string, an array of strings, or an array of token ids")
    if not items:
        raise missing("input", " It is empty.")
    if len(items) > MAX_INPUTS:
        raise out_of_range("input", f"at most {MAX_INPUTS} texts")
    read: list[str | tuple[int, ...]] = []
    for index, item in enumerate(items):
        if isinstance(item, str):
            if not item:
                raise missing(f"input[{index}]", " It is empty.")
            read.append(item)
        elif _is_tokens(item):
            read.append(tuple(item))
        else:
            raise wrong_type(f"input[{index}]", "a string or an array of token ids")
    return tuple(read)


def as_base64(vector: Vector) -> str:
    """A vector as OpenAI encodes it: little-endian 32-bit floats."""
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


def _vector(value: Any) -> Vector:
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise ValueError("an embedding that is none")
    floats = array("f", base64.b64decode(value))
    if byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def _is_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    )


def _index(row: Any) -> int:
    return whole(inside(row, "index"))


OPENAI_EMBEDDINGS = OpenAIEmbeddings()
