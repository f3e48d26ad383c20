"""Signatures with the RSA key of a service account (RS256)."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def check_private_key(pem: str) -> None:
    """Raises ValueError if this is no RSA key that can be read; the text is not quoted."""
    _private_key(pem)


def signature(pem: str, text: bytes) -> bytes:
    """The signature of the text. Takes about a millisecond of CPU; raises ValueError as `check_private_key`."""
    return _private_key(pem).sign(text, padding.PKCS1v15(), hashes.SHA256())


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("has a private_key that cannot be read") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("has a private_key that is no RSA key")
    return key
