"""What a client of Vertex AI asks of an embedding model: `predict`, with one instance for each text.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api. The model stands in the path.
"""

from collections.abc import Mapping
from typing import Any

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.media import EmbeddingRequest
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.embeddings.gemini import TASKS
from gatewayz.dialects.embeddings.gemini_client import NO_TASK, SIZE, GeminiEmbeddings, known
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.gemini.names import camel_members
from gatewayz.dialects.parameters import array_of_objects, missing, obj, string, unsupported, value_of

_PURPOSES = {task: purpose for purpose, task in TASKS.items()}


class VertexPredict(GeminiEmbeddings):
    """The `ClientDialect` of `predict` for one model. Instances that are no texts to be embedded are refused by name."""

    name = "vertex_predict"

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        """One prediction for each text. Only the whole is counted here, so the first bears all tokens."""
        counts = [usage.prompt_tokens, *(0 for _ in answer.vectors[1:])]
        predictions = [
            {"embeddings": {"values": values, "statistics": {"token_count": count, "truncated": False}}}
            for values, count in zip(answer.vectors, counts, strict=True)
        ]
        metadata = {"billableCharacterCount": usage.characters, "cost": json_text.usd_raw(cost_nano_usd)}
        return json_text.dump({"predictions": predictions, "metadata": metadata})

    def _read(self, fields: Mapping[str, Any]) -> EmbeddingRequest:
        members = {name: value_of(name, raw) for name, raw in fields.items() if name not in GATEWAY_FIELDS}
        known(members, {"instances", "parameters"}, "")
        instances = members.get("instances")
        if not instances:
            raise missing("instances")
        array_of_objects("instances", instances)
        read = [self._instance(f"instances[{place}].", each) for place, each in enumerate(instances)]
        if any(task != read[0][1] for _, task in read):
            raise InvalidRequest(
                "'instances' want different tasks; send requests of different kinds apart.",
                code="unsupported_parameter",
                param="instances",
            )
        task = read[0][1]
        purpose = None if task in (None, "", NO_TASK) else _PURPOSES.get(task, str(task).lower())
        return EmbeddingRequest(tuple(text for text, _ in read), _size(members.get("parameters") or {}), purpose)

    def _instance(self, place: str, instance: Mapping[str, Any]) -> tuple[str, str | None]:
        """The text of an instance, and its task."""
        given = camel_members(instance)
        if given.get("title"):
            raise unsupported(f"{place}title", "cannot be passed on; write it in front of the text")
        known(given, {"content", "taskType", "title"}, place)
        text, task = given.get("content"), given.get("taskType")
        if not text:
            raise missing(f"{place}content")
        string(f"{place}content", text)
        if task is not None:
            string(f"{place}task_type", task)
        return text, task


def _size(parameters: Any) -> int | None:
    """How long the vectors are to be; None leaves it to the model."""
    obj("parameters", parameters)
    known(parameters, {"outputDimensionality", "autoTruncate"}, "parameters.")
    if parameters.get("autoTruncate") is False:
        raise unsupported(
            "parameters.autoTruncate", "cannot be switched off: what is too long is the provider's affair"
        )
    size: int | None = parameters.get("outputDimensionality")
    if size is not None:
        SIZE("parameters.outputDimensionality", size)
    return size


VERTEX_PREDICT = VertexPredict()
