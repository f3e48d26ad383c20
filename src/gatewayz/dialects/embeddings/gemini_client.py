"""What a Gemini client asks of an embedding model: embedContent and batchEmbedContents.

https://ai.google.dev/api/embeddings. The model stands in the path, as for `GeminiGenerateContent`; each text of a batch is a
request of its own, and all of them have to want the same kind of vector.
"""

from collections.abc import Mapping
from typing import Any

from gatewayz.core.errors import GatewayError, InvalidRequest
from gatewayz.core.media import EmbeddingRequest
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Counted, Glance, Voice
from gatewayz.dialects.embeddings.gemini import TASKS
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.gemini.errors import render_error
from gatewayz.dialects.gemini.names import camel_members
from gatewayz.dialects.media.service import MediaDialect
from gatewayz.dialects.parameters import (
    integer,
    missing,
    obj,
    out_of_range,
    provider_wish,
    string,
    unsupported,
    value_of,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import DENSEST, estimate_tokens

MAX_INPUTS = 100_000
_PURPOSES = {task: purpose for purpose, task in TASKS.items()}
NO_TASK = "TASK_TYPE_UNSPECIFIED"
SIZE = integer(1, 1_000_000)


class GeminiEmbeddings(MediaDialect):
    """The `ClientDialect` of one path: its model, and whether it is the one of batches."""

    name = "gemini_embeddings"
    service: Service = "embeddings"

    def __init__(self, model: str = "", *, batch: bool = True) -> None:
        self._model = model
        self._batch = batch

    def glance(self, body: bytes) -> Glance:
        fields = json_text.request_members(body)
        provider = value_of("provider", fields["provider"]) if "provider" in fields else None
        if provider is not None:
            provider_wish("provider", provider)
        texts = self._read(fields).inputs
        tokens = sum(max(1, estimate_tokens(str(each))) for each in texts)
        characters = sum(len(each) for each in texts)
        known = Usage(prompt_tokens=tokens, characters=characters)
        most = Usage(prompt_tokens=DENSEST * tokens, characters=characters)
        return Glance(
            self.name, body, fields, self._model, False, None, tokens, n=len(texts), provider=provider,
            counted=Counted(known, most),
        )  # fmt: skip

    def read_request(self, glance: Glance) -> EmbeddingRequest:
        return self._read(glance.fields)

    def completed(self, answer: Any, glance: Glance) -> Any:
        if len(answer.vectors) != glance.n:
            raise ValueError(f"{len(answer.vectors)} vectors for {glance.n} texts")
        return answer

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        vectors = [{"values": each} for each in answer.vectors]
        told = {
            "promptTokenCount": usage.prompt_tokens,
            "totalTokenCount": usage.prompt_tokens,
            "cost": json_text.usd_raw(cost_nano_usd),
        }
        whole: dict[str, Any] = {"embeddings": vectors} if self._batch else {"embedding": vectors[0]}
        return json_text.dump({**whole, "usageMetadata": told})

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return render_error(error, request_id)

    def _read(self, fields: Mapping[str, Any]) -> EmbeddingRequest:
        """The texts and what is wanted of them. Raises InvalidRequest naming the member."""
        members = {name: value_of(name, raw) for name, raw in fields.items() if name not in GATEWAY_FIELDS}
        if not self._batch:
            text, wish = self._one("", members)
            return EmbeddingRequest((text,), *wish)
        known(members, {"requests", "model"}, "")
        items = members.get("requests")
        if items is None:
            raise missing("requests")
        if not isinstance(items, list):
            raise wrong_type("requests", "an array of objects")
        if not items:
            raise missing("requests", " It is empty.")
        if len(items) > MAX_INPUTS:
            raise out_of_range("requests", f"at most {MAX_INPUTS} texts")
        read: list[tuple[str, tuple[int | None, str | None]]] = []
        for index, item in enumerate(items):
            param = f"requests[{index}]"
            obj(param, item)
            read.append(self._one(f"{param}.", item))
            if read[-1][1] != read[0][1]:
                raise InvalidRequest(
                    f"'{param}' wants another size or task than the first; send requests of different kinds apart.",
                    code="unsupported_parameter",
                    param=param,
                )
        return EmbeddingRequest(tuple(text for text, _ in read), *read[0][1])

    def _one(self, place: str, members: Mapping[str, Any]) -> tuple[str, tuple[int | None, str | None]]:
        """A text, and the size and purpose of its vector; `place` is where it stands in the body."""
        given = _flat(place, camel_members(members))
        title = given.get("title")
        if title:
            raise unsupported(f"{place}title", "cannot be passed on; write it in front of the text")
        known(given, {"model", "content", "taskType", "outputDimensionality", "title"}, place)
        named = given.get("model")
        if named is not None and (not isinstance(named, str) or named.removeprefix("models/") != self._model):
            raise wrong_value(f"{place}model", f"the model of the path, models/{self._model[:200]}")
        size, task = given.get("outputDimensionality"), given.get("taskType")
        if size is not None:
            SIZE(f"{place}outputDimensionality", size)
        if task is not None:
            string(f"{place}taskType", task)
        purpose = None if task in (None, "", NO_TASK) else _PURPOSES.get(task, str(task).lower())
        return _text(f"{place}content", given.get("content")), (size, purpose)


def _flat(place: str, given: dict[str, Any]) -> dict[str, Any]:
    """The members, with those of `embedContentConfig` beside them, in which Vertex's clients put what they want."""
    config = given.pop("embedContentConfig", None)
    if config is None:
        return given
    param = f"{place}embedContentConfig"
    obj(param, config)
    wanted = camel_members(config)
    if wanted.pop("autoTruncate", True) is False:
        raise unsupported(f"{param}.autoTruncate", "cannot be switched off: what is too long is the provider's affair")
    known(wanted, {"taskType", "title", "outputDimensionality"}, f"{param}.")
    return {**given, **wanted}


def known(given: Mapping[str, Any], names: set[str], place: str) -> None:
    """Raises InvalidRequest for a member that is none of these; `place` is where they stand."""
    unknown = sorted(given.keys() - names)
    if unknown:
        raise unsupported(f"{place}{unknown[0]}", "is not known to embeddings here")


def _text(param: str, content: Any) -> str:
    """The text of a content, its parts joined. Raises InvalidRequest for parts that are no text."""
    if content is None:
        raise missing(param)
    if isinstance(content, dict):
        parts = content.get("parts")
        parts = [parts] if isinstance(parts, dict) else parts
        if not isinstance(parts, list):
            raise wrong_type(f"{param}.parts", "an array of objects")
        for index, part in enumerate(parts):
            if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                raise unsupported(f"{param}.parts[{index}]", "is no text; only texts are embedded here")
        text = "".join(part["text"] for part in parts)
    else:
        raise wrong_type(param, "an object")
    if not text:
        raise missing(param, " It is empty.")
    return text


GEMINI_EMBEDDINGS = GeminiEmbeddings()
