"""Secrets: keys at rest (Fernet) and keys in the index (HMAC-SHA256)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_FERNET_KEY_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class KeyRing:
    """Encrypts with the first Fernet key and decrypts with any; the look-up hash is keyed by `pepper`.

    `pepper` must stay the same when Fernet keys rotate, or no stored key would be found again; see `derive_pepper`.
    """

    def __init__(self, fernet_keys: Sequence[str], pepper: bytes) -> None:
        """Raises ValueError if there is no key or one is not 32 url-safe base64 bytes."""
        if not fernet_keys:
            raise ValueError("no encryption key: set GATEWAYZ_SECRET_KEY")
        for key in fernet_keys:
            if len(base64.urlsafe_b64decode(key)) != _FERNET_KEY_BYTES:
                raise ValueError("an encryption key must be 32 bytes in url-safe base64")
        self._keys = tuple(fernet_keys)
        # The two halves of an HMAC (RFC 2104), each with its key taken in: to continue copies of them takes half as long as
        # to copy the HMAC object of the library.
        block = (hashlib.sha256(pepper).digest() if len(pepper) > _BLOCK_BYTES else pepper).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    @cached_property
    def _fernet(self) -> "MultiFernet":
        # Made when something is sealed or opened for the first time, which takes 15 ms: with the cryptography that it
        # brings it is seven megabytes, and a process that only serves requests never needs it.
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(key) for key in self._keys])

    def seal(self, plain: bytes) -> bytes:
        """Fernet ciphertext (url-safe base64) under the first key."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """The plain text. Raises ValueError if no key of the ring opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise ValueError("no key of the ring opens this ciphertext") from error

    def reseal(self, sealed: bytes) -> bytes:
        """The same content under the first key (operator re-encryption). Raises ValueError as `open`."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise ValueError("no key of the ring opens this ciphertext") from error

    def lookup_hash(self, api_key: str) -> str:
        """HMAC-SHA256 of an API key under the pepper, 64 hex digits: the only thing a key is found by."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(api_key.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.hexdigest()


def derive_pepper(oldest_fernet_key: str) -> bytes:
    """The look-up pepper derived from the *last* key of GATEWAYZ_SECRET_KEY (new keys are put in front of it)."""
    return hashlib.sha256(b"gatewayz key look-up v1\0" + oldest_fernet_key.encode("ascii")).digest()


def new_fernet_key() -> str:
    """A fresh Fernet key, 44 url-safe base64 characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_FERNET_KEY_BYTES)).decode("ascii")


def equal_secret(left: str, right: str) -> bool:
    """Constant-time comparison of two secrets."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
