"""Who is asking, and may it pass? The checks that come before any work for the request."""

from gatewayz.accounts.authenticate import Authenticator
from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.caller import TIERS, Caller
from gatewayz.core.errors import Forbidden, GatewayError, Unauthenticated, Unavailable
from gatewayz.gateway.trip import Trip
from gatewayz.policy.access import check_domain, check_ip, check_model, check_scope
from gatewayz.policy.limits import Limiter, fingerprint_of, key_rpm, plan_rpm
from gatewayz.settings import Settings


class Doorkeeper:
    """Identifies callers and applies restrictions and limits, in the order that decides code and status."""

    def __init__(self, authenticator: Authenticator, limiter: Limiter, settings: Settings) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._settings = settings
        self._plan_rpm = {tier: plan_rpm(tier, settings) for tier in TIERS}
        self._free_models = frozenset(name.lower() for name in settings.free_model_allowlist)

    async def identify(self, trip: Trip) -> Caller | None:
        """The caller, None for a stranger without a key; counted by the limit of its layer.

        A key that does not open anything counts as a stranger's visit. Raises Unauthenticated, Forbidden, RateLimited,
        Unavailable.
        """
        call = trip.call
        keys = call.credentials
        if not keys:
            await self._admit_stranger(trip)
            return None
        try:
            if len(keys) > 1:
                raise Unauthenticated(
                    "Two different API keys were sent. Send one, as Authorization: Bearer or as x-api-key.",
                    code="multiple_api_keys",
                )
            key, ip = keys[0], call.client_ip
            caller = self._authenticator.at_once(key, ip) or await self._authenticator.authenticate(key, ip)
        except (Unauthenticated, Forbidden):
            await self._admit_stranger(trip)
            raise
        trip.caller = caller
        if caller.ip_allowlist:
            check_ip(call.client_ip, caller.ip_allowlist)
        if caller.domain_referrers:
            check_domain(call.referer, call.origin, caller.domain_referrers)
        if "inference" not in caller.scopes:
            check_scope(caller.scopes, "inference")
        rpm = self._plan_rpm[caller.tier]
        if caller.rpm_limit:
            rpm = key_rpm(caller.tier, caller.rpm_limit, self._settings)
        state = self._limiter.at_once(caller.key_id, rpm) or await self._limiter.admit_key(caller.key_id, rpm)
        trip.limit_headers = state.header_pairs()
        return caller

    async def _admit_stranger(self, trip: Trip) -> None:
        call = trip.call
        state = await self._limiter.admit_ip(call.client_ip, fingerprint_of(call.headers))
        trip.limit_headers = state.header_pairs()

    async def knows(self, credentials: tuple[str, ...]) -> bool:
        """Whether these credentials are worth reading a large body for; `identify` refuses whoever they are not."""
        try:
            return len(credentials) == 1 and await self._authenticator.knows(credentials[0])
        except Unavailable:
            return False

    async def permit(self, trip: Trip, found: Resolved) -> None:
        """Whether this caller may use this model. Raises Forbidden, Unauthenticated (strangers), RateLimited (layer 3)."""
        self.check(trip, found)
        if trip.caller is None:
            trip.limit_headers = (await self._limiter.admit_anonymous(trip.call.client_ip)).header_pairs()

    def check(self, trip: Trip, found: Resolved) -> None:
        """As `permit`, without counting a stranger's visit. Raises Forbidden, Unauthenticated (strangers)."""
        caller = trip.caller
        if caller is not None:
            if caller.model_allowlist:
                check_model(found.model.id, caller.model_allowlist)
        elif not (found.model.is_free or found.model.id.lower() in self._free_models):
            raise no_key(found.model.id)


def key_needed(endpoint: str) -> GatewayError:
    """The refusal of a stranger at an endpoint where no model is free."""
    return Unauthenticated(
        f"{endpoint} needs an API key. Send it as Authorization: Bearer gw_… or x-api-key: gw_….",
        code="missing_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def no_key(model: str) -> GatewayError:
    """The refusal of a stranger who asks for a model that needs a key."""
    return Unauthenticated(
        f"The model {model} needs an API key. Send it as Authorization: Bearer gw_… or x-api-key: gw_….",
        code="missing_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
