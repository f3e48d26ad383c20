"""Tools and their schemas in the subset that Gemini knows, and the choice among them."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI
from gemini_samples import GEMINI, OLD, read, to_gemini
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.gemini.schema import convert_schema

KNOWN = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "items",
    "minimum", "maximum",
}  # fmt: skip


def converted(schema: Any) -> dict[str, Any]:
    """The schema of one property."""
    whole = convert_schema({"type": "object", "properties": {"p": schema}}, "tools[0]")
    assert set(whole) == {"type", "properties"}
    found: dict[str, Any] = whole["properties"]["p"]
    return found


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "minLength": 1, "pattern": "^a"}, {"type": "string", "minLength": 1, "pattern": "^a"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer", "nullable": True}),
        (
            {"oneOf": [{"type": "integer"}, {"type": "boolean"}], "description": "d"},
            {"anyOf": [{"type": "integer"}, {"type": "boolean"}], "description": "d"},
        ),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"enum": ["a", "b", None]}, {"type": "string", "enum": ["a", "b"], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "description": "One of: 1, 2."}),
        ({"enum": [True]}, {"type": "boolean", "description": "One of: true."}),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9}, {"type": "integer", "minimum": 1, "maximum": 8}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "description": "Greater than 0."}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "string", "format": "email", "description": "Where to."},
            {"type": "string", "description": "Where to. Format: email."},
        ),
        ({"type": "integer", "default": 3, "multipleOf": 3}, {"type": "integer", "description": "Default: 3. A multiple of: 3."}),
        ({"type": "array", "items": {"type": "number"}, "uniqueItems": True},
         {"type": "array", "items": {"type": "number"}, "description": "No item twice."}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        (
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]},
            {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}, "minItems": 2, "maxItems": 2},
        ),
        ({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "number"}}, "required": ["b"]}]},
         {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}, "required": ["a", "b"]}),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "z"], "additionalProperties": False},
         {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "object"}),
        ({"properties": {"a": True}}, {"type": "object", "properties": {"a": {"type": "string"}}}),
        ({}, {"type": "string"}),
        ({"not": {"type": "null"}, "$comment": "c", "readOnly": True, "if": {}, "type": "string"}, {"type": "string"}),
    ],
)  # fmt: skip
def test_keywords(schema: Any, expected: dict[str, Any]) -> None:
    assert converted(schema) == expected


@pytest.mark.ac("AC-CC.13.1")
def test_references_are_put_in_place_and_recursion_ends() -> None:
    schema = {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node", "description": "the root"}, "same": {"$ref": "#/$defs/Name"}},
        "$defs": {
            "Name": {"type": "string", "maxLength": 9},
            "Node": {
                "type": "object",
                "properties": {
                    "name": {"$ref": "#/$defs/Name"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                },
            },
        },
    }
    name = {"type": "string", "maxLength": 9}
    assert convert_schema(schema, "tools[0]") == {
        "type": "object",
        "properties": {
            "root": {
                "type": "object",
                "description": "the root",
                "properties": {
                    "name": name,
                    "children": {"type": "array", "items": {"type": "object", "description": "As Node above."}},
                },
            },
            "same": name,
        },
    }
    assert converted({"$ref": "#/nowhere"}) == {"type": "object"}
    assert converted({"$ref": "https://elsewhere/schema"}) == {"type": "object"}


def test_absurd_schemas_are_refused_by_name() -> None:
    doubling = {
        f"D{n}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}, "b": {"$ref": f"#/$defs/D{n + 1}"}},
        }
        for n in range(40)
    }
    chain = {f"D{n}": {"type": "array", "items": {"$ref": f"#/$defs/D{n + 1}"}} for n in range(3000)}
    merging = {f"D{n}": {"allOf": [{"$ref": f"#/$defs/D{n + 1}"}]} for n in range(3000)}
    for definitions in (doubling, chain, merging):
        schema = {"type": "object", "properties": {"p": {"$ref": "#/$defs/D0"}}, "$defs": definitions}
        with pytest.raises(InvalidRequest) as caught:
            convert_schema(schema, "tools[0]")
        assert caught.value.param == "tools[0]"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["string", "object", "array", "null", "#/$defs/a", "#", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "a", "enum", "const", "required",
             "format", "prefixItems", "exclusiveMinimum", "default", "description", "nullable", "not"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    schema=st.dictionaries(st.sampled_from(["type", "properties", "anyOf", "allOf", "$defs", "$ref", "items"]), VALUES)
)
def test_whatever_stands_in_a_schema_only_known_members_remain(schema: dict[str, Any]) -> None:
    def check(value: dict[str, Any]) -> None:
        assert set(value) <= KNOWN
        assert "anyOf" in value or value["type"] in ("string", "number", "integer", "boolean", "array", "object")
        for inner in [*value.get("properties", {}).values(), *value.get("anyOf", [])]:
            check(inner)
        if value.get("type") == "array":
            check(value["items"])
        assert set(value.get("required", [])) <= set(value.get("properties", {}))

    check(convert_schema(schema, "tools[0]"))


@pytest.mark.ac("AC-CC.13.1")
def test_tools_of_both_clients() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
    openai = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {"type": "function", "function": {"name": "g"}},
    ]
    anthropic = [
        {"name": "f", "description": "d", "input_schema": schema},
        {"name": "g", "input_schema": {"type": "object"}},
    ]
    expected = [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object", "properties": {"x": {"type": "number"}}},
                },
                {"name": "g"},
            ]
        }
    ]
    assert to_gemini(OPENAI, tools=openai)["tools"] == to_gemini(ANTHROPIC, tools=anthropic)["tools"] == expected
    assert "toolConfig" not in to_gemini(OPENAI, tools=openai)
    assert "tools" not in to_gemini(OPENAI, tools=[])


@pytest.mark.ac("AC-CC.13.3")
@pytest.mark.parametrize(
    ("openai", "anthropic", "config"),
    [
        ("auto", {"type": "auto"}, {"mode": "AUTO"}),
        ("required", {"type": "any"}, {"mode": "ANY"}),
        ("none", {"type": "none"}, {"mode": "NONE"}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"type": "tool", "name": "f"},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choice(openai: Any, anthropic: Any, config: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = to_gemini(OPENAI, tools=tools, tool_choice=openai)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    body = to_gemini(ANTHROPIC, tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice=anthropic)
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_allowed_tools_leave_the_others_out() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    body = to_gemini(OPENAI, tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert body["tools"] == [{"functionDeclarations": [{"name": "g"}]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_a_request_without_model_or_stream_in_its_body() -> None:
    body = json.loads(GEMINI.write_request(read(OPENAI, {"stream": True}), OLD))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
