"""What a model of Bedrock is, as far as its name tells: Converse is one form for all of them, but not one set of abilities.

A name is `vendor.model-version`, with the area of an inference profile before it (`eu.anthropic.claude-…`) or the address
of a resource around it (`arn:aws:bedrock:…/eu.anthropic.claude-…`). Of a model under another name (one of the owner's own
profiles) nothing is known; it is taken for a plain one.
"""

import re
from dataclasses import dataclass

AREAS = ("us-gov", "us", "eu", "apac", "jp", "au", "ca", "sa", "me", "af", "il", "mx", "global")
_AREA = re.compile(rf"(?:{'|'.join(AREAS)})\.(?=[\w-]+\.)")
# claude-3-7-sonnet-20250219, claude-opus-4-1-20250805, claude-sonnet-4-6, claude-opus-5
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
# Models that answer by a schema and keep to strict tools, as AWS lists them; Claude does from 4.5 on.
_STRUCTURED = re.compile(
    r"qwen\.qwen3|openai\.gpt-oss|deepseek\.v3|google\.gemma-3|minimax\.minimax-m2|moonshot(?:ai)?\.kimi-k2"
    r"|nvidia\.nemotron|mistral\.(?:magistral|ministral-3|mistral-large-3|voxtral)|zai\.glm|xai\.grok"
)


@dataclass(frozen=True, slots=True)
class Family:
    """One model. `claude` is the version of a Claude, (0, 0) of any other; `name` is without area and address."""

    name: str
    claude: tuple[int, int] = (0, 0)

    @property
    def is_claude(self) -> bool:
        """Whether it is one of Anthropic's, whose rules hold here, too."""
        return self.name.startswith("anthropic.")

    @property
    def is_nova(self) -> bool:
        """Whether it is one of Amazon's Nova models."""
        return self.name.startswith("amazon.nova")

    @property
    def adaptive(self) -> bool:
        """Whether it takes an effort instead of a budget of thinking tokens."""
        return self.claude >= (4, 7)

    @property
    def structured(self) -> bool:
        """Whether it answers by a schema and keeps to strict tools."""
        return self.claude >= (4, 5) or _STRUCTURED.match(self.name) is not None

    @property
    def caches(self) -> bool:
        """Whether it takes cache points in messages and the system text."""
        return self.is_nova or self.claude >= (3, 7) or self.name.startswith("anthropic.claude-3-5-haiku")

    @property
    def caches_long(self) -> bool:
        """Whether a cache point may name its lifetime."""
        return self.claude >= (4, 5)

    @property
    def wants_json_results(self) -> bool:
        """Whether results of tools must be JSON objects."""
        return self.name.startswith("mistral.")

    @property
    def tells_failed_results(self) -> bool:
        """Whether a result may be marked as an error."""
        return self.is_claude or self.is_nova


def family_of(native_id: str) -> Family:
    """The family of a model by its name at Bedrock."""
    name = plain_id(native_id)
    if not name.startswith("anthropic."):
        return Family(name)
    found = _VERSION.search(name)
    return Family(name, (int(found[1]), int(found[2] or 0)) if found else (0, 0))


def plain_id(native_id: str) -> str:
    """The name without the area of an inference profile and without the address of a resource."""
    name = native_id.rpartition("/")[2] if native_id.startswith("arn:") else native_id
    return _AREA.sub("", name, count=1) if _AREA.match(name) else name
