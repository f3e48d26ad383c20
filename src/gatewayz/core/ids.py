"""Identifiers: requests, keys, and the pattern that each must match."""

import re
import secrets
import uuid

KEY_ENVIRONMENTS = ("live", "test", "staging", "dev")
KEY_PATTERN = re.compile(r"^gw_(?:live|test|staging|dev)_[A-Za-z0-9_-]{43}$")
# What a client may hand in as X-Request-ID: printable, no spaces, short enough for an index.
REQUEST_ID_PATTERN = re.compile(r"^[A-Za-z0-9._:+/=@~-]{1,128}$")


def new_request_id() -> str:
    """A fresh request id (UUID4, 36 characters)."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def new_key(environment: str) -> str:
    """A fresh API key `gw_{environment}_` + 43 characters of 256 random bits. Raises ValueError for other environments."""
    if environment not in KEY_ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(KEY_ENVIRONMENTS)}")
    return f"gw_{environment}_{secrets.token_urlsafe(32)}"
