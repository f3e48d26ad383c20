"""Model lists of the fake upstream: what each persona lists, in whatever form its provider uses.

`POST /_feed` takes `{persona, path, body, status?, delay_s?}`; a GET of that path (`/v1/models` by default) then gets exactly
this. Without one the persona lists one model, as OpenAI does. `POST /_reset` forgets them.
"""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Listed:
    """One answer."""

    status: int
    body: bytes
    delay_s: float = 0.0


class Feeds:
    """The lists of all personas."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, str], Listed] = {}

    def load(self, told: dict[str, Any]) -> None:
        """Takes one list. Raises ValueError for unknown members."""
        unknown = sorted(set(told) - {"persona", "path", "body", "status", "delay_s"})
        if unknown:
            raise ValueError(f"unknown members of a feed: {', '.join(unknown)}")
        body = told.get("body", "")
        text = body if isinstance(body, str) else json.dumps(body)
        key = (told.get("persona", "default"), told.get("path", "/v1/models"))
        self._lists[key] = Listed(told.get("status", 200), text.encode(), told.get("delay_s", 0.0))

    def find(self, persona: str, path: str) -> Listed | None:
        """The list at this path, None if nobody told one."""
        return self._lists.get((persona, path))

    def clear(self) -> None:
        """Forgets everything."""
        self._lists.clear()
