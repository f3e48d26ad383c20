"""A service account of Google: what its JSON says, and the signed claim that it exchanges for an access token."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIFE_S = 3600  # the longest that Google accepts
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)


@dataclass(frozen=True, slots=True)
class AccountRules:
    """How a provider is used with a service account.

    `json` are variables that may hold its key file's text, `file` those that may hold the file's path, `scope` is what its
    tokens are for. `path` stands in the place of the profile's `chat_path`; its `{project}` comes from the variables
    `project` or from the account itself, its `{location}` from the variables `location` (one or several, separated by
    commas) or is `default_location`. `hosts` are the base addresses by location, `*` that of all others.
    """

    json: tuple[str, ...]
    file: tuple[str, ...]
    scope: str
    path: str
    project: tuple[str, ...]
    location: tuple[str, ...]
    default_location: str
    hosts: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that may hold the account, best first."""
        return (*self.json, *self.file)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """One service account; `scope` is what its tokens are good for."""

    email: str
    private_key: str = field(repr=False)
    scope: str
    project: str | None = None
    key_id: str | None = None
    token_uri: str = _TOKEN_URI


def account_in(rules: AccountRules, env: Mapping[str, str]) -> ServiceAccount | str | None:
    """The account that the environment names, why it cannot be used, or None if it names none."""
    for name in rules.names:
        value = env.get(name, "").strip()
        if not value:
            continue
        try:
            text = Path(value).read_text(encoding="utf-8") if name in rules.file else value
            return read_account(text, rules.scope)
        except OSError as error:
            return f"{name}: the file cannot be read: {error.strerror or type(error).__name__}"
        except ValueError as error:
            return f"{name}: {error}"
    return None


def read_account(text: str, scope: str) -> ServiceAccount:
    """The account that a key file's text describes. Raises ValueError saying what is wrong, without quoting it."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    # Imported where there is an account: eight megabytes in every process otherwise.
    from gatewayz.providers.rsa import check_private_key

    kind = value.get("type", "service_account")
    if kind != "service_account":
        raise ValueError(f"holds credentials of type {str(kind)[:40]!r}; only a service_account can be used")
    for name in ("client_email", "private_key"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise ValueError(f"has no {name}")
    token_uri = value.get("token_uri") or _TOKEN_URI
    if not isinstance(token_uri, str) or not token_uri.startswith(("https://", "http://")):
        raise ValueError("has a token_uri that is no address")
    check_private_key(value["private_key"])
    project, key_id = value.get("project_id"), value.get("private_key_id")
    return ServiceAccount(
        email=value["client_email"],
        private_key=value["private_key"],
        scope=scope,
        project=project if isinstance(project, str) and project else None,
        key_id=key_id if isinstance(key_id, str) and key_id else None,
        token_uri=token_uri,
    )


def assertion(account: ServiceAccount, now_s: float) -> str:
    """The signed claim (a JWT, RS256) that is exchanged for a token. Takes about a millisecond of CPU."""
    from gatewayz.providers.rsa import signature  # as in `read_account`

    header = {"alg": "RS256", "typ": "JWT", **({"kid": account.key_id} if account.key_id else {})}
    claims = {
        "iss": account.email,
        "scope": account.scope,
        "aud": account.token_uri,
        "iat": int(now_s),
        "exp": int(now_s) + LIFE_S,
    }
    signed = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return (signed + b"." + _base64url(signature(account.private_key, signed))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
