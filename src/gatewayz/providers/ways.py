"""Where and how is a service of a provider asked for? Chats are told by the profile itself, all others by its `ways`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gatewayz.core.services import AS_CHAT


@dataclass(frozen=True, slots=True)
class WayRule:
    """What a profile says of one service: its dialect, its path, and where that was read.

    `path` may hold `{model}`, `{+model}` where the slashes of a name are those of the path, and `{endpoint}` where the
    dialect decides by the model. It continues the base URL; or, if `from_root`, it begins where the path of the profile's own
    base URL does: at the host's root, or behind what a proxy puts before it.
    """

    dialect: str
    path: str
    source: str
    from_root: bool = False


class Way(msgspec.Struct, frozen=True):
    """How one service of an active provider is asked for. `url` may hold `{model}`."""

    dialect: str
    url: str


NO_WAYS: Mapping[str, Way] = MappingProxyType({})


def ways_beside(chat_url: str, chat_path: str, rules: Mapping[str, WayRule], own_path: str = "") -> Mapping[str, Way]:
    """The ways of a provider whose chats are sent to `chat_url`, which ends in `chat_path`; none where it does not.

    `own_path` is the path of the profile's base URL.
    """
    parts = urlsplit(chat_url)
    if not rules or not parts.path.endswith(chat_path):
        return NO_WAYS
    base = parts.path.removesuffix(chat_path)
    root = base.removesuffix(own_path) if own_path and base.endswith(own_path) else ""
    return MappingProxyType(
        {
            service: Way(
                rule.dialect,
                urlunsplit(
                    (parts.scheme, parts.netloc, (root if rule.from_root else base) + rule.path, parts.query, "")
                ),
            )
            for service, rule in rules.items()
        }
    )


# What a provider of the OpenAI dialect is taken to offer whom only its operator knows: everything, at OpenAI's own paths.
_ASSUMED = "OpenAI's own path"
OPENAI_WAYS: Mapping[str, WayRule] = MappingProxyType(
    {
        "embeddings": WayRule("openai_embeddings", "/embeddings", _ASSUMED),
        "moderations": WayRule("openai_moderations", "/moderations", _ASSUMED),
        "rerank": WayRule("jina_rerank", "/rerank", _ASSUMED),
        "image_generations": WayRule("openai_images", "/images/generations", _ASSUMED),
        "image_edits": WayRule("openai_image_edits", "/images/edits", _ASSUMED),
        "image_variations": WayRule("openai_image_variations", "/images/variations", _ASSUMED),
        "transcriptions": WayRule("openai_transcriptions", "/audio/transcriptions", _ASSUMED),
        "translations": WayRule("openai_translations", "/audio/translations", _ASSUMED),
        "speech": WayRule("openai_speech", "/audio/speech", _ASSUMED),
    }
)


def narrowed(ways: Mapping[str, Way], services: Collection[str]) -> Mapping[str, Way]:
    """The ways to these services; all of them if none is named."""
    if not services:
        return ways
    return MappingProxyType({service: way for service, way in ways.items() if service in services})


def way_to(service: str, ways: Mapping[str, Way], chat: Way) -> Way | None:
    """How a service is asked for; None if the provider does not offer it, in whatever form."""
    if service == "chat":
        return chat
    return ways.get(service) or (chat if service in AS_CHAT else None)
