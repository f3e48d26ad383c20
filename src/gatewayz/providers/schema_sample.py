"""A JSON value that fulfils a JSON schema: small, plain and the same each time."""

from collections.abc import Mapping
from typing import Any

_DEEPEST = 12
_LONGEST = 200  # characters or items; a schema that demands more is answered with this much
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Any, text: str = "simulated") -> Any:
    """A value for this schema; strings that may be anything are `text`. Never raises, whatever the schema is.

    Understood are types, enum, const, default, examples, properties, required, items, bounds, formats, allOf, anyOf,
    oneOf and local references; regular expressions are not.
    """
    return _value(schema, schema, text, 0)


def _value(schema: Any, root: Any, text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return text if schema is True or isinstance(schema, Mapping) else None
    schema = _resolved(schema, root, depth)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("enum", "examples"):
        listed = schema.get(name)
        if isinstance(listed, list) and listed:
            return listed[0]
    for name in ("anyOf", "oneOf"):
        options = schema.get(name)
        if isinstance(options, list) and options and "properties" not in schema:
            return _value(_first_telling(options), root, text, depth + 1)
    match _type_of(schema):
        case "object":
            return _object(schema, root, text, depth)
        case "array":
            return _array(schema, root, text, depth)
        case "integer":
            return _number(schema, whole=True)
        case "number":
            return _number(schema, whole=False)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, text)


def _resolved(schema: Mapping[str, Any], root: Any, depth: int) -> Mapping[str, Any]:
    """The schema with its reference and `allOf` parts folded in."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        target: Any = root
        for step in reference.lstrip("#/").split("/") if reference not in ("#", "#/") else ():
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        if isinstance(target, Mapping) and depth <= _DEEPEST:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return _resolved({**target, **rest}, root, depth + 1)
    parts = schema.get("allOf")
    if not isinstance(parts, list) or depth > _DEEPEST:
        return schema
    folded: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
    for part in parts:
        if isinstance(part, Mapping):
            _fold(folded, _resolved(part, root, depth + 1))
    return folded


def _fold(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        present = into.get(name)
        if isinstance(present, dict) and isinstance(value, Mapping):
            into[name] = {**present, **value}
        elif name == "required" and isinstance(present, list) and isinstance(value, list):
            into[name] = [*present, *value]
        else:
            into.setdefault(name, value)


def _first_telling(options: list[Any]) -> Any:
    """The first option that is not null: an optional value is more telling when it is there."""
    for option in options:
        if not (isinstance(option, Mapping) and option.get("type") == "null"):
            return option
    return options[0]


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _object(schema: Mapping[str, Any], root: Any, text: str, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    if depth < 2:  # near the top all properties are shown, further down what must be
        names += [name for name in properties if name not in names]
    return {name: _value(properties.get(name, True), root, text, depth + 1) for name in names}


def _array(schema: Mapping[str, Any], root: Any, text: str, depth: int) -> list[Any]:
    fixed = schema.get("prefixItems")
    values = [_value(item, root, text, depth + 1) for item in fixed] if isinstance(fixed, list) else []
    count = max(_whole(schema.get("minItems"), 0), 1 if depth < _DEEPEST // 2 else 0)
    count = min(count, _whole(schema.get("maxItems"), _LONGEST), _LONGEST)
    item = schema.get("items", True)
    while len(values) < count:
        value = _value(item, root, text, depth + 1)
        if schema.get("uniqueItems") is True and value in values:
            options = item.get("enum") if isinstance(item, Mapping) else None
            value = _other(options, values, text)
            if value is None:
                break
        values.append(value)
    return values


def _other(options: Any, taken: list[Any], text: str) -> Any:
    if isinstance(options, list):
        return next((option for option in options if option not in taken), None)
    if all(isinstance(value, str) for value in taken):
        return f"{text} {len(taken) + 1}"
    if all(isinstance(value, (int, float)) for value in taken):
        return max(taken) + 1
    return None


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf") or (1 if whole else None)
    value: float = 1
    if low is not None and value < low:
        value = low
    if above is not None and value <= above:
        value = above + (step or 0.5)
    if high is not None and value > high:
        value = high
    if below is not None and value >= below:
        value = below - (step or 0.5)
    if step:
        value = -(-value // step) * step if high is None or -(-value // step) * step <= high else value // step * step
    return int(value) if whole or value == int(value) else value


def _bound(schema: Mapping[str, Any], name: str) -> float | None:
    value = schema.get(name)
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    return value if finite else None


def _string(schema: Mapping[str, Any], text: str) -> str:
    form = schema.get("format")
    value = _FORMATS.get(form, text) if isinstance(form, str) else text
    shortest = min(_whole(schema.get("minLength"), 0), _LONGEST)
    return value.ljust(shortest, "x")[: _whole(schema.get("maxLength"), _LONGEST)]


def _whole(value: Any, default: int) -> int:
    return (
        int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9 else default
    )
