"""OpenAI's legacy completions. Spoken by clients only: every request becomes a chat before it reaches a provider."""

from gatewayz.core.chat import ChatAnswer, ChatRequest
from gatewayz.core.errors import GatewayError
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects.base import Glance, Price, StreamWriter, Voice
from gatewayz.dialects.openai_chat import errors, request_read
from gatewayz.dialects.openai_completions import answer as plain
from gatewayz.dialects.openai_completions import glance


class OpenAICompletions:
    """The `ClientDialect` of legacy completions; each method is described there."""

    name = glance.NAME
    service: Service = "chat"

    def glance(self, body: bytes) -> Glance:
        return glance.glance(body)

    def read_request(self, glance: Glance) -> ChatRequest:
        return request_read.read_request(glance)

    def write_answer(self, answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return plain.write_answer(answer, voice, usage, cost_nano_usd)

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return plain.CompletionsWriter(voice)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.render_error(error, request_id)


OPENAI_COMPLETIONS = OpenAICompletions()
