"""The ways in: one driver per ingress dialect.

A further ingress is one more module like `ask_openai.py`, one more line here, and its lines in `notes.py`.
"""

from tests.conformance.ask import Ingress
from tests.conformance.ask_anthropic import ANTHROPIC
from tests.conformance.ask_completions import COMPLETIONS
from tests.conformance.ask_gemini import GEMINI
from tests.conformance.ask_openai import OPENAI
from tests.conformance.ask_responses import RESPONSES

INGRESSES: dict[str, Ingress] = {each.name: each for each in (OPENAI, RESPONSES, ANTHROPIC, COMPLETIONS, GEMINI)}
