"""Who is asking? Accounts, their keys and roles, where keys may be used, and the trail of what was done.

Doors: `Authenticator` (key -> Caller), `keys`, `users`, `roles`, `allowlist`, `audit`, `emails`, and
`ensure_bootstrap_admin`. All but the authenticator take a connection: the API opens and ends the transaction, and tells
the change feed of this process after the commit.
"""

from gatewayz.accounts import allowlist, audit, emails, keys, roles, users
from gatewayz.accounts.authenticate import Authenticator
from gatewayz.accounts.bootstrap import ensure_bootstrap_admin

__all__ = ["Authenticator", "allowlist", "audit", "emails", "ensure_bootstrap_admin", "keys", "roles", "users"]
