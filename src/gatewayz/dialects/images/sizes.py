"""What decides the price of an image: quality and size; and how many tokens it may count where tokens are billed."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from gatewayz.dialects.parameters import wrong_value

# What OpenAI's image models count for 1024x1024; https://platform.openai.com/docs/guides/image-generation
_TOKENS_PER_SQUARE: Mapping[str, int] = MappingProxyType({"low": 272, "medium": 1_056, "high": 4_160})
_SQUARE = 1024 * 1024
# Tall and wide images count as many at 1.5 times the area; nothing that is named counts more than this.
_AUTO_TOKENS = 6_240
# An image that is read closely, as edits do.
INPUT_IMAGE_TOKENS = 6_500
_SIZE = re.compile(r"([0-9]{2,5})x([0-9]{2,5})")


def variant(quality: str | None, size: str | None) -> str:
    """`quality/size`, each empty where the provider is left to choose. Raises InvalidRequest for a size that is none."""
    if size is not None and size != "auto" and not _SIZE.fullmatch(size):
        raise wrong_value("size", "width x height in pixels, for example '1024x1024', or 'auto'")
    named = [part if part is not None and part != "auto" else "" for part in (quality, size)]
    return "/".join(named) if any(named) else ""


def most_tokens(quality: str | None, size: str | None) -> int:
    """The most tokens that one such image counts."""
    found = _SIZE.fullmatch(size or "")
    per_square = _TOKENS_PER_SQUARE.get(quality or "", _TOKENS_PER_SQUARE["high"])
    if found is None:
        return _AUTO_TOKENS if per_square == _TOKENS_PER_SQUARE["high"] else per_square * 3 // 2
    area = int(found[1]) * int(found[2])
    return max(per_square, -(-per_square * area // _SQUARE))
