"""Identifiers: requests, keys, and the pattern that each must match."""

import os
import random
import re
import secrets
from time import time_ns

KEY_ENVIRONMENTS = ("live", "test", "staging", "dev")
KEY_PATTERN = re.compile(r"^gw_(?:live|test|staging|dev)_[A-Za-z0-9_-]{43}$")
LONGEST_KEY = max(len(f"gw_{environment}_") for environment in KEY_ENVIRONMENTS) + 43
# What a client may hand in as X-Request-ID: printable, no spaces, short enough for an index.
REQUEST_ID_PATTERN = re.compile(r"^[A-Za-z0-9._:+/=@~-]{1,128}$")


# Ids name things and open nothing, so they need to be unique and not secret: a generator seeded once from the system costs
# no system call per request. A forked process must not repeat its parent's ids.
_unique = random.Random()  # noqa: S311
_bits = _unique.getrandbits
# Of the 80 lowest bits of a UUID: those that are left to chance, and what version and variant put into the others.
_BY_CHANCE, _VERSION_7 = 2**80 - 1 & ~(0xF << 76 | 0b11 << 62), 0x7 << 76 | 0b10 << 62
os.register_at_fork(after_in_child=_unique.seed)


def new_request_id() -> str:
    """A fresh request id (36 characters): a UUID of version 7 (RFC 9562), which begins with the milliseconds of its making.

    So ids that are made one after another stand side by side in an index, and a batch of charges writes one of its pages,
    where random ids would have it write one for each charge.
    """
    number = time_ns() // 1_000_000 << 80 | _bits(80) & _BY_CHANCE | _VERSION_7
    digits = number.to_bytes(16, "big").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_response_id() -> str:
    """A fresh id of a response, `resp_` and 48 hex digits."""
    return f"resp_{_unique.getrandbits(192):048x}"


def new_trace_id() -> str:
    """A fresh W3C trace id, 32 hex digits."""
    return (_bits(128) or 1).to_bytes(16, "big").hex()


def new_batch_id() -> str:
    """A fresh id of a ledger batch, 24 hex digits."""
    return f"{_unique.getrandbits(96):024x}"


def new_key(environment: str) -> str:
    """A fresh API key `gw_{environment}_` + 43 characters of 256 random bits. Raises ValueError for other environments."""
    if environment not in KEY_ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(KEY_ENVIRONMENTS)}")
    return f"gw_{environment}_{secrets.token_urlsafe(32)}"
