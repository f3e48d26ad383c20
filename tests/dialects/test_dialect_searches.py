"""How many searches of the web a provider ran for an answer, as recorded answers tell."""

import json

import pytest
from dialect_samples import ABSENT, folder

from gatewayz.dialects import DIALECTS


@pytest.mark.parametrize(
    ("file", "dialect", "searches"),
    [
        ("openrouter/openai-chat-citations-thinking-tools-4c1e1f", "openai", 3),
        ("xai/openai-responses-server-tool-use-citations-thinking-signature-b185b4", "openai_responses", 2),
        ("openai/openai-responses-server-tool-use-citations-tools-834c05", "openai_responses", 1),
        ("deepseek/openai-responses-server-tool-use-thinking-cached-usage-09723d", "openai_responses", 1),
        ("gemini/gemini-generate-server-tool-use-citations-thinking-signature-bf5288", "gemini", 1),
        ("vertex/gemini-generate-server-tool-use-citations-tools-d36e7b", "gemini", 2),
        ("anthropic/anthropic-messages-server-tool-use-citations-thinking-signature-0db43c", "anthropic", 1),
        ("openai/openai-responses-stream-server-tool-use-citations-tools-dd1c71", "openai_responses", 2),
        ("anthropic/anthropic-messages-stream-server-tool-use-citations-thinking-signature-b47b3a", "anthropic", 2),
    ],
)
def test_searches_are_counted_in_recorded_answers(file: str, dialect: str, searches: int) -> None:
    path = folder() / f"{file}.json"
    if not path.exists():
        pytest.skip(ABSENT)
    recorded = json.loads(path.read_text())
    body = recorded["response"]["body_text"].encode()
    speaker = DIALECTS[dialect]
    if recorded["stream"]:
        reader = speaker.reader()
        told = [each.usage for each in [*reader.feed(body), *reader.close()] if hasattr(each, "usage")]
        usage = [each for each in told if each is not None][-1]
    else:
        usage = speaker.glance_answer(body).usage
        assert speaker.read_answer(body)[1].usage == usage
    assert usage is not None and usage.web_searches == searches
