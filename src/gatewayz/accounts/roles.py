"""What each role may do: one table, read by the guards and shown to administrators."""

from collections.abc import Mapping
from types import MappingProxyType

from gatewayz.core.caller import Role

ALIASES: Mapping[str, Role] = MappingProxyType({"dev": "developer", "free": "user"})

_OWN = ("inference", "catalog:read", "account:read", "account:write", "billing")
# Support looks, and neither moves money nor changes who may do what.
_SUPPORT = (*_OWN, "users:read", "usage:read", "incidents:read", "deliveries:read")
_ADMIN = (
    *_SUPPORT,
    "users:write",
    "roles:read",
    "roles:write",
    "allowlists:read",
    "allowlists:write",
    "audit:read",
    "credits:write",
    "plans:write",
    "limits:write",
    "catalog:write",
    "incidents:write",
    "config:read",
    "config:write",
)
PERMISSIONS: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {"admin": _ADMIN, "support": _SUPPORT, "developer": _OWN, "team": _OWN, "user": _OWN}
)
# Keys that one account may hold at a time.
MAX_KEYS: Mapping[Role, int] = MappingProxyType(
    {"admin": 1000, "support": 100, "developer": 250, "team": 1000, "user": 100}
)


def canonical(name: str) -> Role | None:
    """The role of a name or alias, in any case; None if there is none."""
    lowered = name.strip().lower()
    for role in PERMISSIONS:
        if role == lowered:
            return role
    return ALIASES.get(lowered)


def allows(role: Role, permission: str) -> bool:
    """True if the role holds the permission."""
    return permission in PERMISSIONS[role]
