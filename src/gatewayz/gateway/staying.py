"""Keeping a conversation where its prompt is cached: what is remembered of an answer, and asked before the next."""

from collections.abc import Callable

from gatewayz.core.usage import Usage
from gatewayz.dialects.base import Glance
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import Clock
from gatewayz.routing.conversation import conversation_key
from gatewayz.routing.conversations import Conversations
from gatewayz.routing.plan import Plan
from gatewayz.routing.sticky import LEAST_CACHED_TOKENS, stay_after, stick

_RETENTION = "prompt_cache_retention"
_KEPT_LONG = b'"24h"'


class Staying:
    """The stays of this process. Requests of which nobody has a choice, or whose prompt nobody caches, cost nothing here."""

    def __init__(self, most: int, clock: Clock, is_healthy: Callable[[str], bool]) -> None:
        """`most` conversations are remembered, 0 switches staying off; `is_healthy` tells of a provider's breaker."""
        self._conversations = Conversations(most) if most else None
        self._clock = clock
        self._is_healthy = is_healthy

    def ordered(self, trip: Trip, glance: Glance, route: Plan) -> Plan:
        """The plan, with the provider in front at which the conversation should stay; notes in the trip what was decided."""
        if glance.prompt_tokens < LEAST_CACHED_TOKENS:
            return route
        conversations, caller = self._conversations, trip.caller
        if conversations is None or caller is None or not route.has_choice:
            return route
        key = trip.conversation = conversation_key(caller.user_id, trip.model_id or "", glance.fields, glance.user)
        stay = conversations.find(key, self._clock.monotonic_s())
        route, trip.sticking = stick(route, stay, glance.prompt_tokens, self._is_healthy)
        return route

    def served(self, trip: Trip, usage: Usage) -> None:
        """Remembers who has just served the conversation. To be called before its client can send the next turn."""
        key, conversations = trip.conversation, self._conversations
        if key is None or conversations is None or trip.served_by is None:
            return
        fields = trip.glance.fields if trip.glance is not None else {}
        now_s = self._clock.monotonic_s()
        kept_long = bytes(fields.get(_RETENTION, b"")) == _KEPT_LONG
        before = conversations.find(key, now_s)
        conversations.note(key, stay_after(trip.served_by, usage, now_s, before, kept_long=kept_long))
