"""Which limit applies to whom: requests per minute by plan and key, and the day's share of callers without a key."""

from gatewayz.core.caller import TIERS, Tier
from gatewayz.settings import Settings

MINUTES_PER_DAY = 1440


def plan_rpm(tier: Tier, settings: Settings) -> int:
    """Requests per minute of a key on this plan; 0: no limit."""
    by_tier = {
        "free": settings.rpm_free,
        "starter": settings.rpm_starter,
        "pro": settings.rpm_pro,
        "enterprise": settings.rpm_enterprise,
    }
    return by_tier[tier]


def key_rpm(tier: Tier, override: int | None, settings: Settings) -> int:
    """Requests per minute of a key with its own limit (None: the plan's), never above the plan's; 0: no limit."""
    plan = plan_rpm(tier, settings)
    if not override:
        return plan
    return min(override, plan) if plan else override


def anonymous_daily_limit(settings: Settings) -> int:
    """Requests per day without a key: the setting, held below what the smallest plan allows in a day."""
    limited = [rpm for rpm in (plan_rpm(tier, settings) for tier in TIERS) if rpm]
    if not limited:
        return settings.anonymous_per_day
    return min(settings.anonymous_per_day, min(limited) * MINUTES_PER_DAY - 1)
