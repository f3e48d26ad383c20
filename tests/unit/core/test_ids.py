"""Identifiers have the form that they promise."""

import time
import uuid

import pytest

from gatewayz.core.ids import (
    KEY_PATTERN,
    LONGEST_KEY,
    REQUEST_ID_PATTERN,
    new_batch_id,
    new_key,
    new_request_id,
    new_trace_id,
)


def test_request_ids_are_uuids_of_version_7_and_begin_with_the_time() -> None:
    began_ms = time.time_ns() // 1_000_000
    made = {new_request_id() for _ in range(1000)}
    ended_ms = time.time_ns() // 1_000_000
    assert len(made) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)
        assert began_ms <= parsed.int >> 80 <= ended_ms
        assert REQUEST_ID_PATTERN.fullmatch(text)


def test_trace_and_batch_ids_have_their_length() -> None:
    assert len({new_trace_id() for _ in range(100)}) == len({new_batch_id() for _ in range(100)}) == 100
    assert {len(new_trace_id()), len(new_batch_id())} == {32, 24}


@pytest.mark.ac("AC-1.1.7")
@pytest.mark.parametrize("environment", ["live", "test", "staging", "dev"])
def test_keys_have_the_documented_form(environment: str) -> None:
    key = new_key(environment)
    assert KEY_PATTERN.fullmatch(key) and len(key) <= LONGEST_KEY


def test_other_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="environment"):
        new_key("prod")
