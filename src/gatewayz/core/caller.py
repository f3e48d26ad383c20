"""Who is asking: the frozen answer of the key check, carried through the whole request."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["admin", "support", "developer", "team", "user"]
Tier = Literal["free", "starter", "pro", "enterprise"]
Scope = Literal["inference", "catalog:read", "account:read", "account:write", "billing", "admin"]

SCOPES: tuple[Scope, ...] = ("inference", "catalog:read", "account:read", "account:write", "billing", "admin")
ROLES: tuple[Role, ...] = ("admin", "support", "developer", "team", "user")
TIERS: tuple[Tier, ...] = ("free", "starter", "pro", "enterprise")


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified key with its account.

    `rpm_limit` is the key's own limit in requests per minute (None: the plan's). Caps are nano-USD per UTC day (None:
    none). `expires_at_us` is microseconds since the epoch (None: never). `trial_ends_at_us` is None for accounts
    without a trial. Restrictions that are empty do not restrict.
    """

    user_id: int
    key_id: int
    role: Role
    tier: Tier
    scopes: frozenset[str]
    key_name: str = ""
    key_hint: str = ""
    environment: str = "live"
    key_active: bool = True
    account_active: bool = True
    expires_at_us: int | None = None
    trial_ends_at_us: int | None = None
    ip_allowlist: tuple[str, ...] = ()
    domain_referrers: tuple[str, ...] = ()
    model_allowlist: tuple[str, ...] = ()
    rpm_limit: int | None = None
    daily_cap_nano_usd: int | None = None
    max_requests: int | None = None

    @property
    def is_admin(self) -> bool:
        """True if the account holds the admin role and the key carries the admin scope."""
        return self.role == "admin" and "admin" in self.scopes

    @property
    def metered_per_key(self) -> bool:
        """True if the key has caps of its own, which need a durable hold per request."""
        return self.daily_cap_nano_usd is not None or self.max_requests is not None
