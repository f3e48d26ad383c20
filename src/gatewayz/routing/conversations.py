"""Where conversations were served last: a bounded memory of this process."""

from collections import OrderedDict

from gatewayz.routing.sticky import Stay


class Conversations:
    """At most `most` stays, the least recently used is forgotten first; a stay that is over is not found any more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stays: OrderedDict[bytes, Stay] = OrderedDict()

    def __len__(self) -> int:
        return len(self._stays)

    def find(self, key: bytes, now_s: float) -> Stay | None:
        """The stay of a conversation that is not over at `now_s` (monotonic seconds)."""
        stay = self._stays.get(key)
        if stay is None:
            return None
        if stay.until_s <= now_s:
            del self._stays[key]
            return None
        self._stays.move_to_end(key)
        return stay

    def note(self, key: bytes, stay: Stay | None) -> None:
        """Remembers where the conversation is now; None forgets it."""
        if stay is None:
            self._stays.pop(key, None)
            return
        self._stays[key] = stay
        self._stays.move_to_end(key)
        if len(self._stays) > self._most:
            self._stays.popitem(last=False)
