"""How accounts and keys look from outside; shared by their owner's pages and the administrators'."""

from typing import Any

from gatewayz.accounts import keys, users
from gatewayz.core.money import usd_number
from gatewayz.infra.clock import US_PER_DAY, iso


def key_view(key: keys.Key, now_us: int) -> dict[str, Any]:
    """A key as its owner sees it: everything but the secret."""
    settings = key.settings
    expired = settings.expires_at_us is not None and settings.expires_at_us <= now_us
    grace_us = key.previous_expires_at_us
    return {
        "id": key.id,
        "key_id": key.id,
        "key_name": settings.key_name,
        "key_preview": f"{key.prefix}…{key.last4}",
        "last4": key.last4,
        "environment_tag": key.environment,
        "scopes": sorted(settings.scopes),
        "ip_allowlist": list(settings.ip_allowlist),
        "domain_referrers": list(settings.domain_referrers),
        "model_allowlist": list(settings.model_allowlist),
        "expires_at": iso(settings.expires_at_us),
        "max_requests": settings.max_requests,
        "daily_usd_cap": None if settings.daily_cap_nano_usd is None else usd_number(settings.daily_cap_nano_usd),
        "rate_limit": settings.rpm_limit,
        "is_active": settings.is_active,
        "status": "expired" if expired else "active" if settings.is_active else "inactive",
        "previous_secret_until": iso(grace_us) if grace_us is not None and grace_us > now_us else None,
        "created_at": iso(key.created_at_us),
        "last_used_at": iso(key.last_used_at_us),
    }


def user_view(user: users.User, now_us: int) -> dict[str, Any]:
    """An account as its owner and administrators see it."""
    ends_us = user.trial_ends_at_us
    running = ends_us is not None and ends_us > now_us
    return {
        "id": user.id,
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "auth_method": user.auth_method,
        "environment": user.environment,
        "role": user.role,
        "tier": user.tier,
        "status": user.status,
        "trial": {
            "active": running,
            "ends_at": iso(ends_us),
            "days_left": -(-(ends_us - now_us) // US_PER_DAY) if ends_us is not None and running else 0,
        },
        "created_at": iso(user.created_at_us),
    }
