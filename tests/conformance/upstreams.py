"""The columns: one driver per kind of provider.

A further upstream is one more module like `hear_openai.py`, one more line here, a speaker in `tests/fakes`, and its lines in
`notes.py`.
"""

from tests.conformance.hear import Upstream
from tests.conformance.hear_anthropic import ANTHROPIC
from tests.conformance.hear_bedrock import BEDROCK
from tests.conformance.hear_cohere import COHERE
from tests.conformance.hear_gemini import GEMINI
from tests.conformance.hear_openai import OPENAI, OPENROUTER
from tests.conformance.hear_responses import RESPONSES

UPSTREAMS: dict[str, Upstream] = {
    each.name: each for each in (OPENAI, OPENROUTER, RESPONSES, ANTHROPIC, GEMINI, BEDROCK, COHERE)
}
