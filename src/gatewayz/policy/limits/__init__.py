"""How often may one come? Limits by address, key and day without key, limits on rare acts, and velocity mode."""

from gatewayz.policy.limits.edge import fingerprint_of, header_fingerprint
from gatewayz.policy.limits.limiter import Limiter
from gatewayz.policy.limits.plans import anonymous_daily_limit, key_rpm, plan_rpm
from gatewayz.policy.limits.state import LimitState
from gatewayz.policy.limits.velocity import Velocity, VelocityStatus

__all__ = [
    "LimitState",
    "Limiter",
    "Velocity",
    "VelocityStatus",
    "anonymous_daily_limit",
    "fingerprint_of",
    "header_fingerprint",
    "key_rpm",
    "plan_rpm",
]
