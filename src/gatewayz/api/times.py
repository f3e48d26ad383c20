"""Times in query strings."""

from gatewayz.core.errors import InvalidFields
from gatewayz.infra.clock import parse_time_us


def optional_time_us(text: str | None, param: str) -> int | None:
    """Microseconds of an ISO 8601 time, None without one. Raises InvalidFields naming the parameter."""
    if text is None:
        return None
    try:
        return parse_time_us(text)
    except ValueError:
        raise InvalidFields(
            f"{param} must be an ISO 8601 date or time, e.g. 2026-11-21T00:00:00Z.", param=param
        ) from None
