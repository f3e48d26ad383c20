"""Secrets: keys at rest (Fernet) and keys in the index (HMAC-SHA256)."""

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class KeyRing:
    """Encrypts with the first Fernet key and decrypts with any; the look-up hash is keyed by `pepper`.

    `pepper` must stay the same when Fernet keys rotate, or no stored key would be found again; see `derive_pepper`.
    """

    def __init__(self, fernet_keys: Sequence[str], pepper: bytes) -> None:
        """Raises ValueError if there is no key or one is not 32 url-safe base64 bytes."""
        if not fernet_keys:
            raise ValueError("no encryption key: set GATEWAYZ_SECRET_KEY")
        self._fernet = MultiFernet([Fernet(key) for key in fernet_keys])
        self._pepper = pepper

    def seal(self, plain: bytes) -> bytes:
        """Fernet ciphertext (url-safe base64) under the first key."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """The plain text. Raises ValueError if no key of the ring opens it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise ValueError("no key of the ring opens this ciphertext") from error

    def reseal(self, sealed: bytes) -> bytes:
        """The same content under the first key (operator re-encryption). Raises ValueError as `open`."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken as error:
            raise ValueError("no key of the ring opens this ciphertext") from error

    def lookup_hash(self, api_key: str) -> str:
        """HMAC-SHA256 of an API key under the pepper, 64 hex digits: the only thing a key is found by."""
        return hmac.digest(self._pepper, api_key.encode("utf-8", "surrogatepass"), "sha256").hex()


def derive_pepper(oldest_fernet_key: str) -> bytes:
    """The look-up pepper derived from the *last* key of GATEWAYZ_SECRET_KEY (new keys are put in front of it)."""
    return hashlib.sha256(b"gatewayz key look-up v1\0" + oldest_fernet_key.encode("ascii")).digest()


def new_fernet_key() -> str:
    """A fresh Fernet key, 44 url-safe base64 characters."""
    return Fernet.generate_key().decode("ascii")


def equal_secret(left: str, right: str) -> bool:
    """Constant-time comparison of two secrets."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
