"""JSON schemas of tools in the subset that Gemini knows (an excerpt of OpenAPI 3.0).

What it lacks is converted where another form says the same, else told in the description, else removed:

| keyword | becomes |
|---|---|
| `$ref`, `$defs`, `definitions` | the definition in its place; where one contains itself, an object of any shape |
| `type: [a, "null"]`, `anyOf`/`oneOf` with a null | `nullable`; several other types: `anyOf` |
| `oneOf` | `anyOf` |
| `allOf` | one schema with the members of all |
| `const` | an `enum` of one |
| `enum` of other values than texts | told in the description |
| `exclusiveMinimum`, `exclusiveMaximum` | of whole numbers: the bound next to it; else told in the description |
| `format` other than date-time, enum, float, double, int32, int64 | told in the description |
| `default`, `examples`, `multipleOf`, `uniqueItems` | told in the description |
| `prefixItems` | `items` that may be any of them, as many |
| `items` missing or of any kind | texts |
| boolean schemas, schemas without a type | the type that its other members imply, else a text |
| `required` names without a property | removed |
| `additionalProperties`, `patternProperties`, `propertyNames`, `contains`, `not`, `if`/`then`/`else` | removed |
| `dependent…`, `unevaluated…`, `content…`, `$schema`, `$id`, `$comment`, unknown keywords | removed |
| `readOnly`, `writeOnly`, `deprecated` | removed |
"""

from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.parameters import unsupported

_KEPT = frozenset(
    {"title", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "pattern", "nullable"}
    | {"minProperties", "maxProperties", "propertyOrdering"}
)
_TOLD = ("default", "examples", "example", "multipleOf", "uniqueItems")
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})
_FORMATS = frozenset({"date-time", "enum", "float", "double", "int32", "int64"})
_ANY_OBJECT: dict[str, Any] = {"type": "object"}
MOST_NODES = 5_000  # references may multiply; no tool needs more
MOST_LEVELS = 100


def convert_schema(schema: dict[str, Any], param: str) -> dict[str, Any]:
    """The schema in Gemini's subset. Raises InvalidRequest naming `param` if it is absurdly large."""
    return _Converter(schema, param).convert(schema, ())


class _Converter:
    """Converts one schema; knows its definitions."""

    def __init__(self, root: dict[str, Any], param: str) -> None:
        self._root = root
        self._param = param
        self._nodes = 0
        self._level = 0

    def convert(self, schema: Any, inside: tuple[str, ...]) -> dict[str, Any]:
        """`inside` are the references that led here."""
        self._count()
        if not isinstance(schema, dict):
            return {"type": "string"}
        self._level += 1
        resolved, inside, recursive = self._resolved(schema, inside)
        result = resolved if recursive else self._converted(resolved, inside)
        self._level -= 1
        return result

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES or self._level > MOST_LEVELS:
            raise unsupported(
                self._param, f"describes more than {MOST_NODES} values or {MOST_LEVELS} levels, its references resolved"
            )

    def _converted(self, schema: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        notes: list[str] = []
        result = {name: value for name, value in schema.items() if name in _KEPT and value is not None}
        self._type(schema, result, inside, notes)
        self._values(schema, result, notes)
        self._bounds(schema, result, notes)
        self._inner(schema, result, inside)
        _describe(schema, result, notes)
        return result

    def _resolved(
        self, schema: dict[str, Any], inside: tuple[str, ...]
    ) -> tuple[dict[str, Any], tuple[str, ...], bool]:
        """The schema with its reference and `allOf` put in place, and whether it would contain itself for ever."""
        while isinstance(schema.get("$ref"), str):
            self._count()
            reference = schema["$ref"]
            if reference in inside:
                return {**_ANY_OBJECT, "description": f"As {reference.rpartition('/')[2]} above."}, inside, True
            inside = (*inside, reference)
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**self._definition(reference), **beside}
        parts = schema.get("allOf")
        if isinstance(parts, list):
            merged: dict[str, Any] = {}
            for part in [*parts, {name: value for name, value in schema.items() if name != "allOf"}]:
                if isinstance(part, dict):
                    self._level += 1
                    resolved, inside, _ = self._resolved(part, inside)
                    self._level -= 1
                    _merge(merged, resolved)
            schema = merged
        return schema, inside, False

    def _definition(self, reference: str) -> dict[str, Any]:
        found: Any = self._root if reference.startswith("#") else None
        for step in reference.split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        definition: dict[str, Any] = found if isinstance(found, dict) else _ANY_OBJECT
        return definition

    def _type(self, schema: dict[str, Any], result: dict[str, Any], inside: tuple[str, ...], notes: list[str]) -> None:
        """`type`, `nullable` and `anyOf`."""
        stated = schema.get("type")
        names = [name for name in (stated if isinstance(stated, list) else [stated]) if isinstance(name, str)]
        names = [name.lower() for name in names]
        if "null" in names:
            result["nullable"] = True
        types = [name for name in names if name in _TYPES]
        branches = [each for name in ("anyOf", "oneOf") for each in _list(schema.get(name))]
        if any(_is_null(each) for each in branches):
            result["nullable"] = True
            branches = [each for each in branches if not _is_null(each)]
        if len(types) > 1 and not branches:
            branches = [{**schema, "type": name, "description": None} for name in types]
            for name in _KEPT - {"nullable", "title"}:
                result.pop(name, None)
        if len(branches) > 1:
            result["anyOf"] = [self.convert(each, inside) for each in branches]
        elif branches:
            only = self.convert(branches[0], inside)
            said = only.pop("description", None)
            if said:
                notes.append(said)
            result.update({name: value for name, value in only.items() if name not in result})
        if "anyOf" not in result and "type" not in result:
            result["type"] = types[0] if types else _implied(schema)

    def _values(self, schema: dict[str, Any], result: dict[str, Any], notes: list[str]) -> None:
        """`enum` and `const`."""
        values = _list(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])
        if None in values:
            result["nullable"] = True
            values = [value for value in values if value is not None]
        if not values or "anyOf" in result:
            return
        if result.get("type") == "string" and all(isinstance(value, str) and value for value in values):
            result["enum"] = values
        else:
            notes.append("One of: " + ", ".join(_shown(value) for value in values) + ".")

    def _bounds(self, schema: dict[str, Any], result: dict[str, Any], notes: list[str]) -> None:
        """Exclusive bounds and `format`."""
        for name, kept, step, word in (
            ("exclusiveMinimum", "minimum", 1, "Greater"),
            ("exclusiveMaximum", "maximum", -1, "Less"),
        ):
            bound = schema.get(name)
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                continue
            if result.get("type") == "integer" and isinstance(bound, int):
                result[kept] = bound + step
            else:
                notes.append(f"{word} than {_shown(bound)}.")
        stated = schema.get("format")
        if isinstance(stated, str) and stated:
            if stated in _FORMATS:
                result["format"] = stated
            else:
                notes.append(f"Format: {stated}.")

    def _inner(self, schema: dict[str, Any], result: dict[str, Any], inside: tuple[str, ...]) -> None:
        """Properties and items."""
        if result.get("type") == "object":
            properties = schema.get("properties")
            if isinstance(properties, dict) and properties:
                result["properties"] = {name: self.convert(each, inside) for name, each in properties.items()}
                required = [name for name in properties if name in _list(schema.get("required"))]
                if required:
                    result["required"] = required
        elif result.get("type") == "array" and "items" not in result:
            ordered = _list(schema.get("prefixItems")) or _list(schema.get("items"))
            if ordered:
                kinds = [self.convert(each, inside) for each in ordered]
                result["items"] = kinds[0] if all(kind == kinds[0] for kind in kinds) else {"anyOf": kinds}
                result.setdefault("minItems", len(kinds))
                result.setdefault("maxItems", len(kinds))
            else:
                result["items"] = self.convert(schema.get("items"), inside)


def _merge(into: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        known = into.get(name)
        if name == "properties" and isinstance(value, dict) and isinstance(known, dict):
            into[name] = {**known, **value}
        elif name == "required":
            into[name] = _list(known) + _list(value)
        else:
            into[name] = value


def _describe(schema: dict[str, Any], result: dict[str, Any], notes: list[str]) -> None:
    """The description, with what Gemini has no member for."""
    for name in _TOLD:
        value = schema.get(name)
        if value is not None and value is not False and value != []:
            notes.append(f"{_LABELS[name]}: {_shown(value)}." if value is not True else f"{_LABELS[name]}.")
    stated = schema.get("description")
    told = [stated] if isinstance(stated, str) and stated else []
    if told or notes:
        result["description"] = " ".join([*told, *notes])


_LABELS = {
    "default": "Default",
    "examples": "Examples",
    "example": "Example",
    "multipleOf": "A multiple of",
    "uniqueItems": "No item twice",
}


def _implied(schema: dict[str, Any]) -> str:
    """The type of a schema that states none."""
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    values = _list(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])
    if values and all(isinstance(value, bool) for value in values):
        return "boolean"
    if values and all(isinstance(value, (int, float)) for value in values):
        return "integer" if all(isinstance(value, int) for value in values) else "number"
    if any(name in schema for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema.get("enum") == [None])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json_text.dump(value).decode()
