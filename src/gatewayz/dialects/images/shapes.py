"""The shape of an image where a provider is told proportions instead of pixels."""

from math import gcd

from gatewayz.dialects.parameters import unsupported


def sides(size: str) -> tuple[int, int]:
    """Width and height of a size that was checked (`1024x1024`)."""
    width, height = size.split("x")
    return int(width), int(height)


def ratio(size: str, known: frozenset[str]) -> str:
    """The shape of a size, for example `16:9`. Raises InvalidRequest for one that is not `known`."""
    width, height = sides(size)
    divisor = gcd(width, height) or 1
    found = f"{width // divisor}:{height // divisor}"
    if found not in known:
        raise unsupported("size", f"must have one of the shapes {', '.join(sorted(known))} at this provider")
    return found
