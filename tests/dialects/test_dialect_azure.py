"""Azure's annotations: what its filter says of an answer stays with it, what it says of the prompt is taken out."""

import json
from typing import Any

import pytest
from dialect_samples import OPENAI, VOICE, Recording, price, recordings, relayed

from gatewayz.core.usage import Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Target
from gatewayz.providers import load_profiles

QUIRKS = load_profiles()["azure-openai"].quirks
AZURE = [each for each in recordings() if str(each.id).startswith("azure/") or each.values[0] is None]


def annotations(body: bytes) -> list[Any]:
    """What the filter says of each choice, chunk by chunk."""
    text = body.decode()
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"] if lines else [json.loads(text)]
    return [
        choice["content_filter_results"]
        for chunk in chunks
        for choice in chunk.get("choices") or ()
        if "content_filter_results" in choice
    ]


@pytest.mark.parametrize("recording", AZURE)
def test_what_the_filter_says_stays_at_the_choices_and_goes_from_the_top(recording: Recording) -> None:
    if recording.stream:
        shown = relayed(bridge(OPENAI, OPENAI, VOICE, Target("native-model", QUIRKS), price), [recording.body])
    else:
        shown = OPENAI.forward_answer(recording.body, VOICE, Usage(1, 1), 1, QUIRKS)
    assert annotations(shown) == annotations(recording.body)
    assert b"prompt_filter_results" not in shown


def test_some_recordings_hold_annotations() -> None:
    given = [each.values[0] for each in AZURE if each.values[0] is not None]
    assert not given or any(annotations(each.body) for each in given)
