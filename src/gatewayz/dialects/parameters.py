"""Checks of single request parameters, shared by the dialects: type, range and the error that names the field."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text

Check = Callable[[str, Any], None]


def wrong_type(param: str, expected: str) -> InvalidRequest:
    """The error to raise when `param` is not `expected`."""
    return InvalidRequest(f"'{param}' must be {expected}.", code="invalid_type", param=param)


def wrong_value(param: str, expected: str) -> InvalidRequest:
    """The error to raise when `param` has the right type and a value that nobody knows."""
    return InvalidRequest(f"'{param}' must be {expected}.", code="invalid_value", param=param)


def out_of_range(param: str, expected: str) -> InvalidRequest:
    """The error to raise when `param` is outside `expected`."""
    return InvalidRequest(f"'{param}' must be {expected}.", code="parameter_out_of_range", param=param)


def missing(param: str, hint: str = "") -> InvalidRequest:
    """The error to raise when `param` is required."""
    return InvalidRequest(f"'{param}' is required.{hint}", code="missing_field", param=param)


def unsupported(param: str, why: str) -> InvalidRequest:
    """The error to raise when `param` asks for something that the chosen provider's dialect cannot express."""
    return InvalidRequest(f"'{param}' {why}.", code="unsupported_parameter", param=param)


def number(low: float, high: float) -> Check:
    """A check for numbers within [low, high]."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(param, "a number")
        if not low <= value <= high:
            raise out_of_range(param, f"between {low:g} and {high:g}")

    return check


def integer(low: int, high: int) -> Check:
    """A check for integers within [low, high]."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, "an integer")
        if not low <= value <= high:
            raise out_of_range(param, f"between {low} and {high}")

    return check


def boolean(param: str, value: Any) -> None:
    """A check for true and false."""
    if not isinstance(value, bool):
        raise wrong_type(param, "true or false")


def string(param: str, value: Any) -> None:
    """A check for strings."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string")


def obj(param: str, value: Any) -> None:
    """A check for objects."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object")


def optional_text(members: Mapping[str, Any], name: str, place: str) -> str | None:
    """A member that may be missing or null. Raises InvalidRequest naming it if it is no string."""
    value: str | None = members.get(name)
    if value is not None:
        string(f"{place}.{name}", value)
    return value


def optional_flag(members: Mapping[str, Any], name: str, place: str) -> bool | None:
    """A member that may be missing or null. Raises InvalidRequest naming it if it is not true or false."""
    value: bool | None = members.get(name)
    if value is not None:
        boolean(f"{place}.{name}", value)
    return value


def optional_object(members: Mapping[str, Any], name: str, place: str) -> dict[str, Any] | None:
    """A member that may be missing or null. Raises InvalidRequest naming it if it is no object."""
    value: dict[str, Any] | None = members.get(name)
    if value is not None:
        obj(f"{place}.{name}", value)
    return value


def array_of_objects(param: str, value: Any) -> None:
    """A check for arrays in which every member is an object."""
    if not isinstance(value, list):
        raise wrong_type(param, "an array")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong_type(f"{param}[{index}]", "an object")


def strings(most: int | None = None, *, or_one: bool = False) -> Check:
    """A check for arrays of strings, `most` of them at most; with `or_one` a single string is accepted too."""

    def check(param: str, value: Any) -> None:
        if or_one and isinstance(value, str):
            return
        if not isinstance(value, list):
            raise wrong_type(param, "a string or an array of strings" if or_one else "an array of strings")
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise wrong_type(f"{param}[{index}]", "a string")
        if most is not None and len(value) > most:
            raise out_of_range(param, f"at most {most} strings")

    return check


def check_all(fields: Mapping[str, msgspec.Raw], checks: Mapping[str, Check]) -> dict[str, Any]:
    """The decoded values of the fields for which there is a check; null counts as absent.

    Raises InvalidRequest naming the first field that fails.
    """
    values: dict[str, Any] = {}
    for name, raw in fields.items():
        check = checks.get(name)
        if check is None:
            continue
        value = value_of(name, raw)
        if value is not None:
            check(name, value)
            values[name] = value
    return values


def value_of(param: str, raw: msgspec.Raw) -> Any:
    """The decoded value of one field of a body. Raises InvalidRequest if it is no valid JSON inside."""
    try:
        return json_text.load(raw, may_be_deep=False)  # `request_members` looked
    except ValueError as error:
        raise InvalidRequest(f"'{param}' is not valid JSON.", code="invalid_json", param=param) from error


def provider_wish(param: str, value: Any) -> None:
    """Checks that a value names a provider or prefers some. Raises InvalidRequest."""
    if not isinstance(value, (str, dict)):
        raise wrong_type(param, "a provider's name or an object")


def read_model(fields: Mapping[str, msgspec.Raw]) -> str:
    """The `model` of a request, without one the first of its `models`. Raises InvalidRequest if it is missing or no string."""
    raw = fields.get("model")
    model = value_of("model", raw) if raw is not None else None
    if model is None and "models" in fields:
        models = value_of("models", fields["models"])
        model = models[0] if isinstance(models, list) and models else None
    if model is None:
        raise missing("model")
    if not isinstance(model, str):
        raise wrong_type("model", "a string")
    if not model.strip():
        raise empty_model()
    return model


def empty_model() -> InvalidRequest:
    """The error to raise when `model` names none."""
    return missing("model", " It is empty.")
