"""What every upstream driver can do, and what they share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.talk import Reply, Talk


@dataclass(frozen=True)
class Upstream:
    """One column. `slug` is the provider's name in the configuration and its persona at the fake.

    `hear` reads what reached the provider; `says` gives of a wanted reply what this dialect has words for, which is what
    a client must get; `remembers` is what the provider must hear of it when the client sends it back; `script` is that reply
    for the fake. `never` gives for rows of the matrix the reason why no provider
    of this dialect could take part. `broken` is an error object as it sends one with status 200, `picture` a
    picture as it stands in an answer. `otherwise` are the ways in whose clients this provider answers in their own
    dialect, which is another column.
    """

    name: str
    title: str
    dialect: str
    slug: str
    native_id: str
    hear: Callable[[dict[str, Any]], Talk]
    says: Callable[[Reply], Reply]
    remembers: Callable[[Reply], Reply]
    script: Callable[[Reply], dict[str, Any]]
    broken: dict[str, Any]
    picture: dict[str, Any]
    never: dict[str, str]
    otherwise: frozenset[str] = frozenset()

    def takes_no(self, ingress: str, row: str) -> str | None:
        """Why there is no such cell, None if there is."""
        if ingress in self.otherwise:
            return f"{self.title} itself speaks the dialect of these clients, so that what they send is forwarded to it"
        return self.never.get(row)


def _usage(reply: Reply) -> dict[str, int]:
    used = reply.usage
    told = {"prompt": used.prompt, "completion": used.completion}
    if used.cached or used.written:
        told |= {"cached": used.cached, "cache_write": used.written}
    return told


def scripted(reply: Reply, finishes: dict[str, str]) -> dict[str, Any]:
    """The members of a script that all dialects share."""
    script: dict[str, Any] = {
        "text": reply.texts[0],
        "usage": _usage(reply),
        "tool_calls": [{"id": call_id, "name": name, "arguments": given} for call_id, name, given in reply.calls],
        "citations": [{"url": url, "title": title} for url, title in reply.citations],
        "logprobs": reply.logprobs is not None,
        "blocks": [json.loads(each) for each in reply.raw],
    }
    if reply.finish in finishes:
        script["finish"] = finishes[reply.finish]
    for name, value in (
        ("thinking", reply.thinking),
        ("signature", reply.signature),
        ("redacted", reply.redacted),
        ("stop_sequence", reply.stop_sequence),
    ):
        if value:
            script[name] = value
    return script


def marked(value: dict[str, Any]) -> bool:
    """Whether a prompt-cache breakpoint stands here."""
    return value.get("cache_control") == {"type": "ephemeral"}
