"""Keys are found by HMAC-SHA256, as the standard library computes it."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from gatewayz.infra.crypto import KeyRing, new_fernet_key

FERNET = new_fernet_key()


@given(st.binary(max_size=200), st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_the_hash_of_a_key_is_its_hmac_under_the_pepper(pepper: bytes, keys: list[str]) -> None:
    ring = KeyRing([FERNET], pepper)
    for key in keys:
        assert ring.lookup_hash(key) == hmac.digest(pepper, key.encode(), "sha256").hex()
