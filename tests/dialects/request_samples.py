"""Requests taken from one dialect into the other, for the tests of translation."""

import base64
import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET

from gatewayz.core.chat import ChatRequest
from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Dialect, Quirks, Target

USER = {"role": "user", "content": "Hi"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}}}
TOOL = {"type": "function", "function": FUNCTION}
ANTHROPIC_TOOL = {"name": "f", "description": "d", "input_schema": FUNCTION["parameters"]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
PDF = base64.b64encode(b"%PDF-1.4").decode()
LENIENT = Target("native-model", Quirks(reasoning_details=True, cache_control=True, developer_role=True))


def read(dialect: Dialect, fields: dict[str, Any]) -> ChatRequest:
    return dialect.read_request(dialect.glance(json.dumps(fields).encode()))


def to_anthropic(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [USER], **fields}
    written: dict[str, Any] = json.loads(ANTHROPIC.write_request(read(OPENAI, body), target))
    return written


def to_openai(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 50, "messages": [USER], **fields}
    written: dict[str, Any] = json.loads(OPENAI.write_request(read(ANTHROPIC, body), target))
    return written


def left_out(**fields: Any) -> set[str]:
    return set(ANTHROPIC.dropped(read(OPENAI, {"model": "m", "messages": [USER], **fields}), TARGET))


def refused(write: Any, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        write(**fields)
    assert caught.value.param
    return caught.value


DETAILS = [
    {"type": "reasoning.text", "text": "hm", "index": 0, "signature": "sig"},
    {"type": "reasoning.encrypted", "data": "xyz", "index": 1},
]
